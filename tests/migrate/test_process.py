"""Commands end with their time, with their user's patience, and with whoever started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gradfix.migrate.git import environment
from gradfix.migrate.process import Ended, Limits, NotStarted, Stopped, TimedOut, run

from .conftest import alive


def shell(script: str, folder: Path, seconds: float = 60, **options: object) -> Ended:
    limits = Limits(time.monotonic() + seconds)
    return run(["sh", "-c", script], folder, limits, environment=os.environ, **options)  # type: ignore[arg-type]


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def pids(path: Path, number: int) -> list[int]:
    """So many process ids that a file comes to hold."""
    deadline = time.monotonic() + 30
    while not path.exists() or path.read_text().count("\n") < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return [int(pid) for pid in path.read_text().split()]


def test_what_it_says_and_how_it_ends(tmp_path: Path) -> None:
    done = shell("cat; echo out; echo err >&2; pwd; exit 7", tmp_path, given=b"given\n")
    assert (done.code, done.err) == (7, b"err\n")
    assert done.out == f"given\nout\n{tmp_path}\n".encode()
    assert shell("echo a; echo b >&2", tmp_path, together=True).out == b"a\nb\n"
    assert shell("kill -SEGV $$", tmp_path).code == -signal.SIGSEGV
    assert shell("read x", tmp_path).code == 1  # there is nothing to read


def test_only_the_end_of_what_it_says_is_kept(tmp_path: Path) -> None:
    done = shell("yes 0123456789 | head -c 3000000; echo end", tmp_path, kept=1000)
    assert len(done.out) == 1000
    assert done.out.endswith(b"0123456789\n012end\n")


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    limits = Limits(time.monotonic() + 60)
    with pytest.raises(NotStarted, match="no-such-thing: No such file or directory"):
        run(["no-such-thing"], tmp_path, limits, environment=os.environ)
    with pytest.raises(NotStarted, match="No such file or directory"):
        run(["true"], tmp_path / "nowhere", limits, environment=os.environ)


@pytest.mark.parametrize("ending", ["time", "stop", "end"])
def test_nothing_is_left_of_it(tmp_path: Path, ending: str) -> None:
    script = "sleep 100 & echo $! >> pids; setsid sleep 100 & echo $! >> pids;"
    script += "true" if ending == "end" else "trap '' TERM INT HUP; wait"
    limits = Limits(time.monotonic() + (1.0 if ending == "time" else 60))
    started = time.monotonic()
    if ending == "stop":
        threading.Timer(0.7, limits.stop.set).start()
    raised: type[Exception] | None = None
    try:
        run(["sh", "-c", script], tmp_path, limits, environment=os.environ, strays=True)
    except (TimedOut, Stopped) as error:
        raised = type(error)
    assert raised is {"time": TimedOut, "stop": Stopped, "end": None}[ending]
    assert time.monotonic() - started < 30
    if sys.platform == "linux":
        assert all(gone(pid) for pid in pids(tmp_path / "pids", 2))


def test_nothing_is_started_when_the_time_is_over(tmp_path: Path) -> None:
    with pytest.raises(TimedOut):
        shell("touch started", tmp_path, seconds=-1)
    assert not (tmp_path / "started").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="what leaves its session is found on Linux")
def test_a_killed_parent_takes_it_along(tmp_path: Path) -> None:
    script = "echo $$ >> pids; setsid sleep 100 & echo $! >> pids; wait"
    program = (
        "import os, sys, time; from pathlib import Path;"
        " from gradfix.migrate.process import Limits, run;"
        f" run(['sh', '-c', {script!r}], Path('.'), Limits(1e12), environment=os.environ)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    started = pids(tmp_path / "pids", 2)
    assert all(map(alive, started))
    parent.kill()
    parent.wait()
    assert all(gone(pid) for pid in started)


def test_the_environment_does_not_lead_git_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    assert "GIT_DIR" not in environment()
    assert environment()["GIT_SSH_COMMAND"] == "ssh -i key"
    listed = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True)
    for name in listed.stdout.decode().split():
        monkeypatch.setenv(name, "x")
        assert name not in environment()
