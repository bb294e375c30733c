"""What a command has left behind is looked for until nobody is found any more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradfix import guard
from gradfix.migrate import process
from gradfix.verify import isolate

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="what leaves its session is found on Linux"
)
MARK = "GRADFIX_TEST_OF_STRAYS=1"
ONCE = [False, False, True, False, True, False, False, False]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether a pass over the processes found one; one that is found late is there twice."""
    answers = iter(ONCE[:5])
    passes: list[bool] = []

    def end_if_marked(name: str, mark: bytes) -> bool:
        assert mark == os.fsencode(MARK)
        passes.append(next(answers, False))
        return passes[-1]

    monkeypatch.setattr(guard.os, "listdir", lambda folder: ["self", "0"])
    monkeypatch.setattr(guard, "_end_if_marked", end_if_marked)
    return passes


@pytest.fixture
def ended() -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(["true"], stdout=subprocess.PIPE, start_new_session=True)
    yield child
    child.wait()


def test_when_the_parent_is_gone(shown: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard.os, "killpg", lambda group, number: shown.append(True))
    life, end = os.pipe()
    os.close(end)
    guard._follow(life, MARK)
    os.close(life)
    assert shown == [*ONCE, True]


def test_after_a_verification(
    shown: list[bool], ended: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolate, "namespaces_work", lambda: False)
    monkeypatch.setattr(isolate, "_MARK", MARK.partition("=")[0])
    isolate._end(ended, "1")
    assert shown == ONCE


def test_where_namespaces_end_everything_nobody_is_looked_for(
    shown: list[bool], ended: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolate, "namespaces_work", lambda: True)
    isolate._end(ended, "1")
    assert shown == []


def test_after_a_command_of_a_campaign(shown: list[bool], ended: subprocess.Popen[bytes]) -> None:
    process._end(ended, MARK)
    assert shown == ONCE


def test_only_who_carries_the_mark_is_ended() -> None:
    marked = {**os.environ, **dict([MARK.split("=")])}
    with (
        subprocess.Popen(["sleep", "100"], env=marked, start_new_session=True) as one,
        subprocess.Popen(["sleep", "100"], start_new_session=True) as other,
    ):
        guard.end_marked(MARK)
        assert one.wait() == -9
        assert other.poll() is None
        other.kill()


def test_it_runs_without_the_package(tmp_path: Path) -> None:
    command = [sys.executable, "-I", "-S", guard.__file__]
    failed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "IndexError" in failed.stderr  # as far as its arguments: every import succeeded
