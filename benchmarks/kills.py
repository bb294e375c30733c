#!/usr/bin/env python3
"""Kills `gradfix apply` at random moments and takes it back with `gradfix undo`.

After each kill every file is as it was or as it is meant to become, and nothing between; after
`undo` the tree is what it was before, byte for byte. It is a trial rather than a benchmark: it ends
at the first file that is wrong. Half of the moments lie in the time in which files are written.
With `--quick` the rewriting is replaced by one that costs nothing, so that nearly all of the time
is spent writing (in one process).

    python -m benchmarks.kills [--files 500] [--notebooks 50] [--kills 50] [--jobs 1] [--quick]
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import trees
from benchmarks.measuring import GRADFIX, environment

JOURNAL = ".gradfix_journal"
#: The command line with a rewrite that costs nothing.
QUICK = """\
import sys
from gradfix import cli, engine
from gradfix.model import Outcome

def fix(source, *rest):
    return Outcome(source, source.text.replace("torch.tensor([", "torch.stack(["))

engine.fix = fix
sys.exit(cli.run(sys.argv[1:]))
"""


def tree(project: Path) -> dict[str, bytes]:
    """Every file but the journal, and what is in it."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file() and JOURNAL not in path.parts
    }


def started(project: Path, *command: str) -> subprocess.Popen[bytes]:
    """A process of its own."""
    return subprocess.Popen(
        command,
        cwd=project,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def undone(project: Path, before: dict[str, bytes]) -> None:
    """Take the last run back, and end unless the tree is as it was."""
    child = started(project, *GRADFIX, "undo")
    _, said = child.communicate()
    now = tree(project)
    if child.returncode or now != before:
        wrong = sorted(name for name in {**now, **before} if now.get(name) != before.get(name))
        sys.exit(f"undo: exit code {child.returncode}, wrong: {wrong[:5]}\n{said.decode()}")


def whole_run(project: Path, apply: tuple[str, ...]) -> tuple[float, float]:
    """Let one run end: the seconds until it began to write, and until its end."""
    begun = time.monotonic()
    child = started(project, *apply)
    first: float | None = None
    while child.poll() is None:
        if first is None and (project / JOURNAL).exists():
            first = time.monotonic() - begun
        time.sleep(0.01)
    end = time.monotonic() - begun
    return first or end, end


def killed(project: Path, apply: tuple[str, ...], seconds: float) -> dict[str, bytes]:
    """The tree after a run that was killed so many seconds after its start."""
    child = started(project, *apply)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return tree(project)


def main() -> None:
    """Kill, look, undo, and look again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--notebooks", type=int, default=50)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick and options.jobs != 1:
        parser.error("--quick works in one process")
    chance = random.Random(options.seed)
    program = (sys.executable, "-c", QUICK) if options.quick else GRADFIX
    apply = (*program, "apply", "-q", "--isolated", "--no-cache", "-j", str(options.jobs))
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        (project / "gradfix.toml").touch()
        trees.write(project, options.files, options.files, notebooks=options.notebooks)
        before = tree(project)
        first, end = whole_run(project, apply)
        after = tree(project)
        changed = sum(after[name] != old for name, old in before.items())
        print(f"{changed} of {len(before)} files change, in {end:.1f} s", flush=True)
        undone(project, before)
        hits = 0
        for number in range(1, options.kills + 1):
            moment = chance.uniform(first if number % 2 else 0.0, end)
            now = killed(project, apply, moment)
            odd = [name for name in before if now.get(name) not in (before[name], after[name])]
            if odd:
                sys.exit(f"kill {number}: neither old nor new: {odd[:5]}")
            new = sum(now[name] == after[name] != before[name] for name in before)
            hits += 0 < new < changed
            undone(project, before)
            print(
                f"kill {number} after {moment:.2f} s: {new} files new,"
                f" {len(now) - len(before)} temporary; undone",
                flush=True,
            )
    print(f"{options.kills} kills, {hits} of them between the first file and the last: all undone")


if __name__ == "__main__":
    main()
