"""Several processes: the same answers in the same order, and trouble in one file stays there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gradfix import batch, files, jobs, journal
from gradfix.config import settings_from
from gradfix.errors import GradfixError
from gradfix.job import Job
from gradfix.model import Outcome

from .conftest import FAULTY, MENDED, PYTHON_2, Result, put

Gradfix = Callable[..., Result]

#: Every Python process that finds this on its path misbehaves over sources that say so.
HOSTILE = '''\
import sys

class Watch:
    """Replaces `engine.check` and `engine.fix` once gradfix has imported its engine."""

    def find_spec(self, name, path=None, target=None):
        if name == "gradfix.batch":
            sys.meta_path.remove(self)
            from gradfix import engine
            engine.check, engine.fix = hostile(engine.check), hostile(engine.fix)

def hostile(work):
    def wrapped(source, *rest):
        import os, signal, time
        if "exits" in source.text:
            os._exit(7)
        if "is killed" in source.text:
            os.kill(os.getpid(), signal.SIGKILL)
        if "dies once" in source.text and not os.path.exists("died"):
            open("died", "w").close()
            os._exit(7)
        while "never ends" in source.text:
            pass
        if "copies a.py" in source.text:
            from gradfix.model import Outcome
            project = rest[-1].project
            return Outcome(source, project.text(os.path.abspath("a.py")) + "# seen\\n")
        if "takes its time" in source.text:
            open(source.filename + ".begun", "w").close()
            time.sleep(3600)
        return work(source, *rest)
    return wrapped

sys.meta_path.insert(0, Watch())
'''


@pytest.fixture
def hostile(project: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which sources do what they say."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "sitecustomize.py").write_text(HOSTILE)
    return {**os.environ, "PYTHONPATH": str(folder)}


def command(hostile: dict[str, str], *arguments: str) -> Result:
    done = subprocess.run(
        [sys.executable, "-m", "gradfix", *arguments], env=hostile, capture_output=True, text=True
    )
    return Result(done.returncode, done.stdout, done.stderr)


def tree_of(project: Path, count: int) -> None:
    """Faulty, clean and broken files in several folders; some need others."""
    for number in range(count):
        folder = project / f"p{number % 3}"
        folder.mkdir(exist_ok=True)
        text = [FAULTY, "x = 1\n", f"from .m{number - 2:02} import Mixer\n{FAULTY}"][number % 3]
        (folder / f"m{number:02}.py").write_text(PYTHON_2 if number == 7 else text)
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**cell, "source": FAULTY.splitlines(keepends=True)}]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    (project / "p1" / "n.ipynb").write_text(json.dumps(notebook, indent=1))


# -- the same, whatever the number --------------------------------------------------------------


def test_check_says_the_same(project: Path, gradfix: Gradfix) -> None:
    tree_of(project, 20)
    for form in ("json", "full"):
        one = gradfix("check", "-j", "1", "--output-format", form, ".", "nowhere.py")
        assert one.code == 2
        assert one.out.count("GF301") >= 12
        assert gradfix("check", "-j", "2", "--output-format", form, ".", "nowhere.py") == one


def contents(project: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in project.glob("p?/*")}


def test_apply_does_the_same(project: Path, gradfix: Gradfix) -> None:
    tree_of(project, 20)
    before = contents(project)
    one = gradfix("apply", "-j", "1", "--show-fixes", "--output-format", "json")
    after = contents(project)
    changed = {path.name for path in before if before[path] != after[path]}
    assert {"m00.py", "n.ipynb"} <= changed
    gradfix("undo")
    assert before == contents(project)
    assert gradfix("apply", "-j", "3", "--show-fixes", "--output-format", "json") == one
    assert after == contents(project)
    gradfix("undo")
    assert before == contents(project)


@pytest.mark.parametrize("count", ["1", "2"])
def test_apply_writes_what_a_dry_run_shows(
    count: str, project: Path, hostile: dict[str, str]
) -> None:
    """Every file here becomes what `a.py` is, and `a.py` is the first to be written."""
    text = "# torch copies a.py\n"
    put(project, a=text, **{f"m{number:02}": text + "x = 1\n" for number in range(30)})
    shown = command(hostile, "apply", "--no-cache", "--diff", "-j", count)
    assert command(hostile, "apply", "--no-cache", "-j", count).code == 0
    assert {path.read_text() for path in project.glob("*.py")} == {text + "# seen\n"}
    assert shown.out.count("+# seen\n") == 31


def test_few_files_need_no_workers(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pool(*_: object) -> None:
        raise AssertionError("workers were started")

    monkeypatch.setattr(jobs, "Pool", no_pool)
    put(project, a=FAULTY, b=FAULTY)
    assert gradfix("check").code == 1
    assert gradfix("check", "-j", "auto").code == 1
    assert gradfix("check", "-j", "2").code == 2


def test_many_files_are_worth_workers(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree_of(project, 40)
    one = gradfix("check", "-j", "1")
    started, start = [], jobs.Pool._start

    def counted(pool: jobs.Pool) -> jobs._Worker:
        started.append(pool)
        return start(pool)

    monkeypatch.setattr(jobs.Pool, "_start", counted)
    monkeypatch.setattr(jobs, "PATIENCE", 0.0)
    monkeypatch.setattr(jobs, "STILL", 0.0)
    monkeypatch.setattr(jobs, "cores_here", lambda: 2)
    assert gradfix("check") == one
    assert len(started) == 2
    monkeypatch.setattr(jobs, "STILL", 1_000.0)
    assert gradfix("check", "--no-cache") == one
    assert len(started) == 2  # the rest would not take so long
    monkeypatch.setattr(jobs, "STILL", 0.0)
    monkeypatch.setattr(jobs, "cores_here", lambda: 1)
    assert gradfix("check") == one
    assert len(started) == 2


def test_the_file_that_waits_for_imports_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 5.1, 5.2])
    monkeypatch.setattr(jobs.time, "monotonic", lambda: next(clock))
    spent = jobs._Spent()
    spent.add()
    assert not spent.is_worth_help(1_000)  # nothing is known of the others
    spent.add()
    assert spent.is_worth_help(1_000)
    assert not spent.is_worth_help(20)
    spent.add()
    assert not spent.is_worth_help(20)


@pytest.mark.parametrize("count", ["0", "-1", "two", "1.5", "²"])
def test_a_wrong_number_is_an_error(count: str, gradfix: Gradfix) -> None:
    result = gradfix("check", "-j", count)
    assert result.code == 2
    assert "is neither a number from 1 on nor 'auto'" in result.err


# -- who reads the whole project ----------------------------------------------------------------


#: Whether there is a fix depends on a file that nothing imports.
SIZED = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.rand(()))
        self.count = 3

    def forward(self, x):
        w = torch.zeros(3)
        for i in range(self.count):
            w[i] = self.a * i
        return (w * x).sum()
"""
CHANGES = """\
import importlib


def main(name):
    net = importlib.import_module(name).Net()
    net.count = 2
"""


def test_a_hasty_look_puts_off_what_needs_all_files(project: Path) -> None:
    put(project, a=SIZED, b="import torch\nx = torch.zeros(3)\n")
    settings = settings_from(select=["GF302"])
    items = [files.Found(f"{name}.py", f"{name}.py", settings, hasty=True) for name in "aba"]
    items[2] = replace(items[2], hasty=False)
    hasty, clean, thorough = batch.run(items, rewriting=True, roots=["."])
    assert (hasty.put_off, hasty.outcome.findings, hasty.outcome.fixed) == (True, (), ())
    assert hasty.before == hasty.after == SIZED.encode()
    assert not clean.put_off
    assert [finding.code for finding in thorough.outcome.fixed] == ["GF302"]
    again, _, _ = batch.run(
        [replace(item, hasty=True) for item in items], rewriting=False, cache=Refusing()
    )
    assert again.put_off


class Refusing:
    """A cache that must not be given what is put off."""

    def get(self, *_: object) -> None:
        """Nothing is known."""

    def put(self, outcome: Outcome, path: str, *_: object) -> None:
        assert path.endswith("b.py")


@pytest.mark.parametrize("waiting", [1000, -1])
def test_one_worker_reads_all_files_for_the_others(
    waiting: int, project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, **{f"m{number:02}": f"# {number}\n{SIZED}" for number in range(40)}, n=CHANGES)
    one = gradfix("check", "-j", "1", "--no-cache", "--output-format", "json")
    assert one.err == "Found 40 findings.\n"  # without the other file, 40 could be fixed
    put_off: list[int] = []
    hand_out = jobs.Pool._hand_out

    def handed_out(pool: jobs.Pool) -> None:
        put_off.append(len(pool._put_off))
        if all(worker.ready for worker in pool._workers):
            hand_out(pool)
            assert [worker.hasty for worker in pool._workers] == [False, waiting > 0]

    monkeypatch.setattr(jobs.Pool, "_hand_out", handed_out)
    monkeypatch.setattr(jobs, "_MANY", 2)
    monkeypatch.setattr(jobs, "_GROUP", 4)
    monkeypatch.setattr(jobs, "_PUT_OFF", waiting)
    assert gradfix("check", "-j", "2", "--no-cache", "--output-format", "json") == one
    assert any(put_off) == (waiting > 0)


# -- files that take their process with them ----------------------------------------------------


DIED = "internal error: its process died twice"


@pytest.mark.parametrize(
    ("line", "text", "why"),
    [
        ("check", "exits", f"{DIED} (exit code 7)"),
        ("apply", "is killed", f"{DIED} (killed by signal 9, SIGKILL)"),
        ("check --timeout 4", "never ends", "took longer than 4 s and was given up (--timeout)"),
    ],
)
def test_a_hostile_file_fails_alone(
    line: str, text: str, why: str, project: Path, hostile: dict[str, str]
) -> None:
    put(project, **{f"m{number:02}": FAULTY for number in range(8)})
    put(project, m03=f"# {text}\n{FAULTY}")
    result = command(hostile, *line.split(), "-j", "2", "--output-format", "json")
    assert result.code == 2, result
    assert f"m03.py: error: {why}\n" in result.err
    data = json.loads(result.out)
    assert [(error["filename"], error["message"]) for error in data["errors"]] == [("m03.py", why)]
    others = [f"m{number:02}.py" for number in range(8) if number != 3]
    assert [f["filename"] for f in data["findings"]] == others
    now = {(project / name).read_text() for name in others}
    assert now == {MENDED if line == "apply" else FAULTY}
    assert (project / "m03.py").read_text() == f"# {text}\n{FAULTY}"


def test_a_timeout_guards_one_process_as_well(project: Path, hostile: dict[str, str]) -> None:
    put(project, a="import torch  # never ends\n", b=FAULTY)
    result = command(hostile, "check", "-j", "1", "--timeout", "3")
    assert result.code == 2
    assert "a.py: error: took longer than 3 s and was given up" in result.err
    assert "b.py:12" in result.out


def test_a_file_is_tried_again_after_a_death(project: Path, hostile: dict[str, str]) -> None:
    put(project, a=FAULTY, b=f"# dies once\n{FAULTY}", c=FAULTY)
    result = command(hostile, "check", "-j", "2", "--output-format", "concise")
    assert (project / "died").exists()
    assert result.code == 1
    assert [line[:4] for line in result.out.splitlines()] == ["a.py", "b.py", "c.py"]


def test_every_file_hostile(project: Path, hostile: dict[str, str]) -> None:
    put(project, **dict.fromkeys("abc", "import torch  # exits\n"))
    result = command(hostile, "check", "-j", "2")
    assert result.code == 2
    assert result.err.count("its process died twice") == 3


def test_the_main_script_is_not_run_by_the_workers(project: Path) -> None:
    put(project, a=FAULTY, b=FAULTY)
    script = 'open("ran", "a").write("x")\nfrom gradfix import cli\ncli.run(["check", "-j", "2"])\n'
    (project / "script").write_text(script)
    done = subprocess.run([sys.executable, "script"], capture_output=True, text=True)
    assert (done.stdout.count("GF301"), (project / "ran").read_text()) == (2, "x"), done.stderr


def test_no_worker_can_be_started(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project, a=FAULTY)
    monkeypatch.setattr(jobs, "_work", sys.exit)  # what is sent to the worker ends it at once
    found = [files.Found("a.py", "a.py", settings_from())] * 2
    with pytest.raises(GradfixError, match=r"cannot start a worker process: exit code .*-j 1"):
        list(jobs.run(found, Job(rewriting=False), 2))


# -- interrupts ---------------------------------------------------------------------------------


def alive(group: int) -> list[int]:
    """The processes of a process group (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupt_ends_all_processes_and_leaves_files_whole(
    sent: signal.Signals, project: Path, hostile: dict[str, str], gradfix: Gradfix
) -> None:
    put(project, **{f"m{number:02}": FAULTY for number in range(6)})
    put(project, m03=f"# takes its time\n{FAULTY}")
    before = {path.name: path.read_bytes() for path in project.glob("*.py")}
    running = subprocess.Popen(
        [sys.executable, "-m", "gradfix", "apply", "-j", "2"],
        env=hostile,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    written = project / "m02.py"
    deadline = time.monotonic() + 60
    while not (project / "m03.py.begun").exists() or written.read_text() == FAULTY:
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    if sent is signal.SIGINT:  # as a terminal does it: to every process
        os.killpg(running.pid, sent)
    else:
        running.send_signal(sent)
    _, err = running.communicate(timeout=60)
    while alive(running.pid):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.01)
    if sent is signal.SIGINT:
        assert running.returncode == 130
        # The third file is written, and perhaps not counted yet.
        assert re.fullmatch(
            r"interrupted\nwhat was rewritten \(at least [23] files\) is whole; "
            r"run the same command again to go on, or `gradfix undo 1` to go back\n",
            err,
        )
    assert sorted(p.name for p in project.iterdir() if not p.name.startswith("m")) == [
        journal.FOLDER
    ]
    whole = (FAULTY, MENDED, f"# takes its time\n{FAULTY}")
    assert all(path.read_text() in whole for path in project.glob("*.py"))
    assert gradfix("undo").code == 0
    assert {path.name: path.read_bytes() for path in project.glob("*.py")} == before


# -- progress -----------------------------------------------------------------------------------


def on_a_terminal(*arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, and what a terminal at standard error was sent."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:  # how Linux tells that the other side is closed
        pass
    os.close(ours)
    out, _ = child.communicate()
    return child.returncode, out.decode(), shown.decode()


SLOW = """\
import sys, time
from gradfix import cli, engine
from gradfix.cli import progress
progress._SOON = 0.0
sys.exit(cli.run(sys.argv[1:]))
"""


def test_a_terminal_gets_a_bar_and_nothing_else_does(project: Path, gradfix: Gradfix) -> None:
    put(project, a=FAULTY, b=PYTHON_2, c=FAULTY)
    plain = gradfix("check", "-j", "1")
    code, out, shown = on_a_terminal("check", "-j", "1", "--color", "never")
    assert (code, out) == (2, plain.out)
    assert "3/3" in shown or "2/3" in shown
    assert "b.py:2: error: invalid syntax" in shown
    assert "files" not in plain.err.replace("3 files", "")
    assert "\x1b[" not in plain.err
    assert "/3" not in on_a_terminal("check", "-j", "1", "-q", "--color", "never")[2]
