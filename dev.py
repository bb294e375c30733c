#!/usr/bin/env python3
"""The developer's door: set up on first use, then show, test or lint. Standard library only.

python3 dev.py demo                 find, mend and prove the faults in a copy of fixtures/legacy
python3 dev.py test [pytest args]   the whole test suite
python3 dev.py lint                 ruff, black --check, mypy --strict
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "gradfix-setup"
VENV_PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
# Pinned here and installed in the same call as the project: resolved on its own, pip may prefer
# another build of torch, several gigabytes larger.
TORCH = "torch==2.13.0"
OLDEST = (3, 10)


class SetupError(Exception):
    """The environment could not be made; the text says in one line what to do."""


# -- setting up ------------------------------------------------------------------------------


def fingerprint() -> str:
    """Changes whenever the installed environment would have to change."""
    parts = (
        (ROOT / "pyproject.toml").read_bytes(),
        TORCH.encode(),
        str(ROOT).encode(),
        sys.version.encode(),
    )
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def ensure_environment() -> None:
    """Make ``.venv`` with gradfix (editable), its extras and torch, unless it is there already.

    Raises SetupError.
    """
    wanted = fingerprint()
    if STAMP.exists() and VENV_PYTHON.exists() and STAMP.read_text() == wanted:
        return
    say("Setting up .venv (first use only, a minute or two) ...")
    pip = pip_of_environment()
    install = [*pip, "install", "-q", "--disable-pip-version-check"]
    run_quietly([*install, "-e", ".[verify,dev]", TORCH], "pip could not install gradfix")
    STAMP.write_text(wanted)


def pip_of_environment() -> list[str]:
    """The command that installs into ``.venv``, which is created if it is missing or broken."""
    if not works(VENV_PYTHON, "-c", "pass"):
        create_environment()
    if works(VENV_PYTHON, "-m", "pip", "--version"):
        return [str(VENV_PYTHON), "-m", "pip"]
    # No ensurepip (Debian without python3-venv): the system's own pip can install into .venv.
    borrowed = [sys.executable, "-m", "pip", "--python", str(VENV_PYTHON)]
    if works(*borrowed, "--version"):
        return borrowed
    version = "{}.{}".format(*sys.version_info)
    raise SetupError(
        "this Python has neither ensurepip nor a pip newer than 22.3; "
        f"on Debian or Ubuntu: apt install python{version}-venv"
    )


def create_environment() -> None:
    """Create ``.venv``, without pip where the system cannot bring it."""
    if importlib.util.find_spec("venv") is None:
        raise SetupError(
            "this Python has no venv module; on Debian or Ubuntu: apt install python3-venv"
        )
    shutil.rmtree(VENV, ignore_errors=True)
    if importlib.util.find_spec("ensurepip") and works(sys.executable, "-m", "venv", VENV):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    run_quietly(
        [sys.executable, "-m", "venv", "--without-pip", str(VENV)], "could not create .venv"
    )


def works(*command: str | Path) -> bool:
    """Whether a command can be started and succeeds."""
    try:
        done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def run_quietly(command: Sequence[str], trouble: str) -> None:
    """Run a command and show nothing unless it fails. Raises SetupError."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        reason = next((line for line in reversed(lines) if "error" in line.lower()), None)
        raise SetupError(f"{trouble}: {reason or (lines or ['no output'])[-1]}")


# -- the demo --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One command of the demo, the exit code it must have and what it must print, if anything."""

    title: str
    command: tuple[str, ...]
    expected: int
    accepts: Callable[[str], bool] = lambda output: True

    def shown(self) -> str:
        """The command as a user would type it."""
        words = self.command[1:] if self.command[0] == "-m" else ("python", *self.command)
        return " ".join(words)


STORY = (
    Step(
        "The lab's program runs, and does not learn", ("train.py",), 0, lambda out: "False" in out
    ),
    Step(
        "In its tutorial, gradients are missing and a pulse is overwritten",
        ("run_tutorial.py",),
        0,
        lambda out: out.count("gradient: tensor") == 2 and "still the pulse: False" in out,
    ),
    Step("What gradfix finds", ("-m", "gradfix", "check"), 1),
    Step("What torch says: verify fails, as it should", ("-m", "gradfix", "verify"), 1),
    Step("What would be rewritten", ("-m", "gradfix", "apply", "--dry-run"), 1),
    Step("The rewrite", ("-m", "gradfix", "apply"), 0),
    Step("Nothing is left to find", ("-m", "gradfix", "check"), 0),
    Step("What torch says now: verify passes", ("-m", "gradfix", "verify"), 0),
    Step("The same program learns", ("train.py",), 0, lambda out: "False" not in out),
    Step(
        "Every section of the tutorial has its gradient",
        ("run_tutorial.py",),
        0,
        lambda out: out.count("gradient: tensor") == 5 and "still the pulse: True" in out,
    ),
)


def demo() -> int:
    """Tell the whole story on a temporary copy of ``fixtures/legacy``; 0 only if all of it held."""
    failed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gradfix-demo-") as folder:
        project = Path(folder) / "legacy"
        shutil.copytree(
            ROOT / "fixtures" / "legacy", project, ignore=shutil.ignore_patterns("__pycache__")
        )
        for number, step in enumerate(STORY, 1):
            say(f"\n== {number}/{len(STORY)}  {step.title}\n$ {step.shown()}")
            trouble = play(step, project)
            if trouble:
                say(f"!! {trouble}")
                failed.append(f"  step {number}, {step.shown()}: {trouble}")
    say("\n== Summary")
    if failed:
        say("The story did not hold:\n" + "\n".join(failed))
        return 1
    say(f"All {len(STORY)} steps held: found, mended and proven on a copy of fixtures/legacy.")
    return 0


def play(step: Step, folder: Path) -> str | None:
    """Run one step, show its output as it comes, and say what was not as expected."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [str(VENV_PYTHON), *step.command],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        sys.stdout.write(line)
        sys.stdout.flush()
    code = process.wait()
    if code != step.expected:
        return f"exit code {code}, expected {step.expected}"
    if not step.accepts("".join(lines)):
        return "the output is not what it should be"
    return None


# -- tests and lint --------------------------------------------------------------------------


def test(arguments: Sequence[str]) -> int:
    """Run pytest over the suite (or what is named) in two processes."""
    return call("-m", "pytest", "-n", "2", "--dist", "loadfile", *arguments)


def lint() -> int:
    """Run every linter, also after one has failed."""
    tools = (("ruff", "check", "."), ("black", "--check", "--quiet", "."), ("mypy",))
    worst = 0
    for tool in tools:
        code = call("-m", *tool)
        say(f"{tool[0]}: {'ok' if code == 0 else f'failed ({code})'}")
        worst = max(worst, abs(code))
    return worst


def call(*arguments: str) -> int:
    """Run the environment's Python in the repository root."""
    return subprocess.run([str(VENV_PYTHON), *arguments], cwd=ROOT, check=False).returncode


def say(text: str) -> None:
    """Print at once, so that lines stay in order with those of child processes."""
    print(text, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Dispatch; returns the exit code."""
    # Not installed yet, so nothing has checked the version.
    if sys.version_info < OLDEST:
        print("dev.py: needs Python 3.10, this is", sys.version.split()[0], file=sys.stderr)
        return 2
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", ())
    if command in ("-h", "--help", "help"):
        say(str(__doc__))
        return 0
    if command not in ("demo", "test", "lint") or (rest and command != "test"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        ensure_environment()
    except SetupError as error:
        print(f"dev.py: {error}", file=sys.stderr)
        return 2
    return test(rest) if command == "test" else demo() if command == "demo" else lint()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
