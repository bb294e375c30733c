"""Runs many small programs quickly: torch is imported once, and every run is a forked child."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

PROGRAMS = Path(__file__).resolve().parent / "programs"

SERVER = """\
import atexit, gc, json, os, runpy, sys, traceback
import torch
import gradfix.run.watch
import torch._dynamo  # every optimizer imports it, which takes longer than all of torch

def child(job):
    for number, name in ((1, "out"), (2, "err")):
        fd = os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(fd, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.chdir(job["cwd"])
    sys.path[0] = job["cwd"]
    if job["watched"]:
        from gradfix.cli import run
        sys.argv = ["gradfix", "run", *job["arguments"]]
        return run(sys.argv[1:])
    sys.argv = job["arguments"]
    runpy.run_path(sys.argv[0], run_name="__main__")

gc.freeze()
for line in sys.stdin:
    job = json.loads(line)
    pid = os.fork()
    if pid == 0:
        try:
            code = child(job) or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException:
            traceback.print_exc()
            code = 1
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code & 255)  # taking down all of torch takes longer than the program
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class Done(NamedTuple):
    """How a program ended and what it said."""

    code: int
    out: str
    err: str


class Server:
    """Runs programs with and without gradfix."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
        )

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0

    def _run(self, watched: bool, arguments: tuple[str, ...], cwd: Path) -> Done:
        assert self._process.stdin is not None and self._process.stdout is not None
        out, err = self._folder / "out", self._folder / "err"
        job = {
            "watched": watched,
            "arguments": arguments,
            "cwd": str(cwd),
            "out": str(out),
            "err": str(err),
        }
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Done(code, out.read_text(), err.read_text())

    def plain(self, *arguments: str, cwd: Path = PROGRAMS) -> Done:
        """Run a script as python does."""
        return self._run(False, arguments, cwd)

    def watched(self, *arguments: str, cwd: Path = PROGRAMS) -> Done:
        """Run it with `gradfix run`."""
        return self._run(True, arguments, cwd)

    def verdicts(
        self, *arguments: str, cwd: Path = PROGRAMS
    ) -> tuple[Done, dict[str, dict[str, Any]]]:
        """Run it with a JSON report in a file; the targets by name, Parameters by name in each."""
        path = self._folder / "report.json"
        path.unlink(missing_ok=True)
        options = ("--output-format", "json", "-o", str(path))
        done = self._run(True, (*options, *arguments), cwd)
        found = json.loads(path.read_text())["targets"]
        return done, {
            t["target"]: {**t, "parameters": {p["name"]: p for p in t["parameters"]}} for t in found
        }


def python(*arguments: str, cwd: Path = PROGRAMS, **options: Any) -> Done:
    """A real process of its own."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "NO_COLOR": "1"},
        **{"stdin": subprocess.DEVNULL, **options} if "input" not in options else options,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def row_of(name: str, marker: str) -> int:
    """The line of a program that carries a comment."""
    lines = (PROGRAMS / name).read_text().splitlines()
    return next(n for n, line in enumerate(lines, 1) if line.endswith(f"# {marker}"))
