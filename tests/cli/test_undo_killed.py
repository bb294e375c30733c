"""Whatever moment ``apply`` or ``undo`` is killed at, the tree comes back byte for byte.

The number of files and of kills can be set: ``GRADFIX_KILLS=50 GRADFIX_KILL_FILES=500``.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gradfix import journal

from .conftest import FAULTY, Result

Gradfix = Callable[..., Result]
KILLS = int(os.environ.get("GRADFIX_KILLS", "4"))
FILES = int(os.environ.get("GRADFIX_KILL_FILES", "60"))
FOLDERS = 5
NOTEBOOKS = 6  # every so many files one

#: The command line with a rewrite that costs nothing: nearly all of the time is spent writing.
QUICK = """\
import sys
from gradfix import cli, engine
from gradfix.model import Outcome

def fix(source, *rest):
    new = source.text.replace("torch.tensor([", "torch.stack([")
    return Outcome(source, new)

engine.fix = fix
sys.exit(cli.run(sys.argv[1:]))
"""


def tree(project: Path) -> dict[str, bytes]:
    """Every file and what is in it, but for the journal."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in sorted(project.rglob("*"))
        if path.is_file() and journal.FOLDER not in path.parts
    }


def started(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", QUICK, *arguments], stderr=subprocess.PIPE)


def written(project: Path, child: subprocess.Popen[bytes], run: int, count: int) -> None:
    """Wait until a run has announced a number of files, or is at its end."""
    file = project / journal.FOLDER / f"{run:06}.jsonl"
    while child.poll() is None:
        if file.exists() and file.read_bytes().count(b"\n") > count:
            return
        time.sleep(0.001)


def notebook(text: str) -> str:
    """A notebook with one code cell."""
    cell = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    cells = [{**cell, "source": text.splitlines(keepends=True)}]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_kill_at_any_moment_can_be_undone(project: Path, gradfix: Gradfix) -> None:
    for number in range(FILES):
        folder = project / f"f{number % FOLDERS}"
        folder.mkdir(exist_ok=True)
        text = f"# {number}\n{FAULTY}"
        if number % NOTEBOOKS:
            (folder / f"m{number:03}.py").write_text(text)
        else:
            (folder / f"m{number:03}.ipynb").write_text(notebook(text))
    before = tree(project)
    child = started("apply", "-q", "-j", "1", "--no-cache")
    assert child.wait() == 0
    after = {k: v.replace(b"torch.tensor([", b"torch.stack([") for k, v in before.items()}
    assert all(after[name] != data for name, data in before.items())
    assert tree(project) == after
    begun = time.monotonic()
    assert started("undo", "-q").wait() == 0
    duration = time.monotonic() - begun
    assert tree(project) == before

    chance, partly = random.Random(0), 0
    for run in range(2, KILLS + 2):
        child = started("apply", "-q", "-j", "1", "--no-cache")
        written(project, child, run, chance.randrange(FILES))
        time.sleep(chance.random() / 50)  # a file takes about as long
        child.send_signal(signal.SIGKILL)
        assert child.wait() in (0, -signal.SIGKILL)
        now = {name: data for name, data in tree(project).items() if name in before}
        assert all(now[name] in (before[name], after[name]) for name in before)
        partly += now not in (before, after)
        undoing = started("undo")  # killed, too, and then made to the end
        time.sleep(chance.random() * duration)
        undoing.send_signal(signal.SIGKILL)
        undoing.wait()
        result = gradfix("undo", str(run))
        assert (result.code, tree(project) == before) == (0, True), (run, result)
    assert partly, "no kill has hit a run that was writing"
