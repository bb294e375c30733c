"""Modules that misbehave: each is survived, with a status of its own, and harms nothing."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from verify_helpers import results_of

from gradfix.verify import isolate
from gradfix.verify.results import TargetResult
from gradfix.verify.settings import VerifySettings

HEAD = """\
import ctypes, os, signal, subprocess, sys, threading, time
import torch
from torch import nn

class Good(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))
    def forward(self):
        return self.w * 2

"""
BAD = """\
class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))
    def forward(self):
        {body}
        return self.w * 2

class Last(Good):
    pass
"""
QUICK = VerifySettings(timeout=5, memory_mb=6000)

#: What the module does in forward, and what must be said of it.
IN_FORWARD = {
    "exit": ("os._exit(0)", "exited with code 0 while verifying Bad"),
    "exit-code": ("os._exit(7)", "exited with code 7 while verifying Bad"),
    "segfault": ("ctypes.string_at(0)", "signal 11 (segmentation fault) while verifying Bad"),
    "abort": ("os.abort()", "killed by signal 6 (aborted) while verifying Bad"),
    "kill": ("os.kill(os.getpid(), 9)", "while verifying Bad"),
    "loop": ("while True: pass", "timed out after 5 s while verifying Bad"),
    "sleep": ("time.sleep(1000)", "timed out after 5 s while verifying Bad"),
    "stubborn": (
        "[signal.signal(s, signal.SIG_IGN) for s in (15, 1, 2)]; time.sleep(99)",
        "timed out after 5 s",
    ),
    "stopped": ("os.kill(os.getpid(), signal.SIGSTOP)", "while verifying Bad"),
    "memory": ("torch.empty(25 * 2**30)", "out of memory"),
    "python-memory": ("x = bytearray(100 * 2**30)", "out of memory"),
    "descriptors": ("os.closerange(3, 4096)", "closed gradfix's result channel"),
    "exception": ("raise KeyError('no such thing')", "KeyError: 'no such thing'"),
    "recursion": ("self.forward()", "RecursionError"),
}
AT_IMPORT = {
    "exit": ("os._exit(0)", "exited with code 0 while importing"),
    "segfault": ("ctypes.string_at(0)", "segmentation fault) while importing"),
}


Results = dict[str, TargetResult]


def write(folder: Path, text: str) -> Path:
    path = folder / "m.py"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    """All of them, a few at a time: most only wait for the clock."""

    folders = {name: tmp_path_factory.mktemp(name) for name in IN_FORWARD}

    def survive(name: str) -> Results:
        text = HEAD + BAD.format(body=IN_FORWARD[name][0])
        return results_of(write(folders[name], text), settings=QUICK)

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(IN_FORWARD, pool.map(survive, IN_FORWARD), strict=True))


@pytest.mark.parametrize("name", IN_FORWARD)
def test_a_module_that_dies_takes_no_other_with_it(name: str, survived: dict[str, Results]) -> None:
    said, found = IN_FORWARD[name][1], survived[name]
    assert {n: r.status for n, r in found.items()} == {
        "Good": "passed",
        "Bad": "not_verified",
        "Last": "passed",
    }
    assert said in str(found["Bad"].reason)


@pytest.mark.parametrize("name", AT_IMPORT)
def test_a_death_at_import_is_no_pass(name: str, tmp_path: Path) -> None:
    body, said = AT_IMPORT[name]
    text = HEAD + f"class Doomed(Good):\n    {body}\n"
    found = results_of(write(tmp_path, text), settings=QUICK)
    assert {r.status for r in found.values()} == {"not_verified"}
    assert all(said in str(r.reason) for r in found.values())


@pytest.mark.parametrize("body", ["sys.exit(0)", "raise SystemExit", "os._exit(3)", "1 / 0"])
def test_work_at_import_does_not_hide_the_classes(body: str, tmp_path: Path) -> None:
    found = results_of(write(tmp_path, f"{HEAD}\n{body}\n"), settings=QUICK)
    assert found["Good"].status == "passed"


def test_a_verdict_cannot_be_printed(tmp_path: Path) -> None:
    fake = '{"stage": "result", "name": "Bad", "data": {"status": "passed"}}'
    body = f"print({fake!r}); sys.stdout.flush(); os.write(2, {fake.encode()!r}); os._exit(0)"
    found = results_of(write(tmp_path, HEAD + BAD.format(body=body)), settings=QUICK)
    assert found["Bad"].status == "not_verified"


def test_a_verdict_cannot_be_written_without_the_token(tmp_path: Path) -> None:
    body = (
        '[os.write(fd, b\'guess {"stage": "done"}\\n\') for fd in range(3, 1500) '
        "if os.path.exists(f'/proc/self/fd/{fd}') and 'pipe' in os.readlink(f'/proc/self/fd/{fd}')]"
        "; os._exit(0)"
    )
    found = results_of(write(tmp_path, HEAD + BAD.format(body=body)), settings=QUICK)
    assert found["Bad"].status == "not_verified"


def test_the_project_is_not_changed(tmp_path: Path) -> None:
    (tmp_path / "data.txt").write_text("kept")
    body = (
        "open('data.txt', 'w').write('lost'); open(__file__, 'w').write(''); "
        "open('new.txt', 'w').write('litter'); os.remove('data.txt')"
    )
    path = write(tmp_path, HEAD + BAD.format(body=body))
    before = path.read_text()
    assert results_of(path, settings=QUICK)["Bad"].status in ("passed", "not_verified")
    assert (tmp_path / "data.txt").read_text() == "kept"
    assert path.read_text() == before
    assert not (tmp_path / "new.txt").exists()


@pytest.mark.skipif(not isolate.namespaces_work(), reason="needs mount namespaces")
def test_the_project_is_read_only_under_its_own_name(tmp_path: Path) -> None:
    target = tmp_path / "data.txt"
    target.write_text("kept")
    path = write(tmp_path, HEAD + BAD.format(body=f"open({str(target)!r}, 'w')"))
    found = results_of(path, settings=QUICK)
    assert "Read-only file system" in str(found["Bad"].reason)
    assert target.read_text() == "kept"


def test_home_is_a_temporary_one(tmp_path: Path) -> None:
    body = "raise ValueError(os.path.expanduser('~'))"
    found = results_of(write(tmp_path, HEAD + BAD.format(body=body)), settings=QUICK)
    assert "gradfix-verify-" in str(found["Bad"].reason)


@pytest.mark.skipif(not isolate.namespaces_work(), reason="needs network namespaces")
def test_there_is_no_network(tmp_path: Path) -> None:
    body = "import socket; socket.create_connection(('127.0.0.1', 9), 1)"
    found = results_of(write(tmp_path, HEAD + BAD.format(body=body)), settings=QUICK)
    assert "unreachable" in str(found["Bad"].reason)


def alive(mark: str) -> list[str]:
    """Processes, other than zombies, whose command line holds the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (
                mark in (folder / "cmdline").read_text()
                and "Z" not in (folder / "stat").read_text()
            ):
                found.append(folder.name)
        except OSError:
            continue
    return found


@pytest.mark.parametrize("namespaces", [True, False])
def test_nothing_is_left_running(
    tmp_path: Path, namespaces: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not namespaces:
        monkeypatch.setattr(isolate, "namespaces_work", lambda: False)
    mark = f"gradfix-left-over-{os.getpid()}-{namespaces}"
    code = f"import time; time.sleep(300)  # {mark}"
    body = (
        f"subprocess.Popen([sys.executable, '-c', {code!r}]); "
        f"subprocess.Popen([sys.executable, '-c', {code!r}], start_new_session=True); "
        "threading.Thread(target=time.sleep, args=(300,)).start(); "
        "os.fork() or time.sleep(300)"
    )
    found = results_of(write(tmp_path, HEAD + BAD.format(body=body)), settings=QUICK)
    assert found["Last"].status == "passed"
    deadline = time.monotonic() + 5
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(mark) == []


def test_a_fork_bomb_ends_with_the_clock(tmp_path: Path) -> None:
    body = "exec('while time.sleep(0.2) is None: os.fork()')"
    start = time.monotonic()
    found = results_of(write(tmp_path, HEAD + BAD.format(body=body)), "Bad", settings=QUICK)
    assert "timed out after 5 s" in str(found["Bad"].reason)
    assert time.monotonic() - start < 30


def test_output_without_end_is_only_overheard(tmp_path: Path) -> None:
    body = "exec('while True: print(\"x\" * 10000)')"
    found = results_of(write(tmp_path, HEAD + BAD.format(body=body)), "Bad", settings=QUICK)
    assert "timed out" in str(found["Bad"].reason)


def test_a_file_without_end_hits_the_limit(tmp_path: Path) -> None:
    body = 'exec(\'f = open("big", "wb")\\nwhile True: f.write(bytes(2**24))\')'
    found = results_of(write(tmp_path, HEAD + BAD.format(body=body)), "Bad", settings=QUICK)
    assert "File too large" in str(found["Bad"].reason)
