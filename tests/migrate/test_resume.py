"""Whatever ends a campaign, the next run goes on where it was."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradfix.migrate.store import Store

from .conftest import (
    FINE,
    MENDED,
    Ran,
    alive,
    branches,
    commit,
    git,
    put,
    repository,
)

Outcome = Callable[..., tuple[int, dict[str, Any]]]


def listen() -> None:
    """Have an interrupt arrive, also where the tests themselves run in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Campaign:
    """Two repositories; the tests of the second one last until a file is there."""

    def __init__(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.first, self.second = repository(tmp_path / "first"), repository(tmp_path / "second")
        self.pid_file, self.go = tmp_path / "pid", tmp_path / "go"
        test = f"test -e {self.go} || (echo $$ > {self.pid_file}.new;"
        test += f" mv {self.pid_file}.new {self.pid_file}; sleep 100)"
        (tmp_path / "c.toml").write_text(
            'jobs = 1\nrepositories = ["first"]\n[[repository]]\npath = "second"\n'
            f'test = "{test}"\n'
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start it, and wait until it is in the midst of the second repository."""
        process = subprocess.Popen(
            [sys.executable, "-m", "gradfix", "migrate", "c.toml", *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            preexec_fn=listen,
        )
        deadline = time.monotonic() + 120
        while not self.pid_file.exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return process

    def ended(self) -> bool:
        """Whether what was started is over."""
        deadline = time.monotonic() + 10
        while alive(int(self.pid_file.read_text())):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


def times(folder: Path) -> int:
    return (folder / ".git" / "refs" / "heads" / "gradfix" / "migrate").stat().st_mtime_ns


def test_killed_in_the_midst_of_a_repository(tmp_path: Path, outcome: Outcome) -> None:
    campaign = Campaign(tmp_path)
    process = campaign.start()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert campaign.ended()  # nothing that was started goes on
    assert (branches(campaign.first), branches(campaign.second)) == (
        ["gradfix/migrate", "main"],
        ["main"],
    )
    assert [p for p in (tmp_path / "c.gradfix" / "work").iterdir() if p.is_dir()]
    written = times(campaign.first)
    campaign.go.touch()
    code, done = outcome("c.toml")
    assert code == 0
    assert (done["first"]["status"], done["first"]["earlier"]) == ("migrated", True)
    assert (done["second"]["status"], done["second"]["earlier"]) == ("migrated", False)
    assert times(campaign.first) == written
    assert git(campaign.second, "show", "gradfix/migrate:m.py") == MENDED
    assert not [p for p in (tmp_path / "c.gradfix" / "work").iterdir() if p.is_dir()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, outcome: Outcome, number: int) -> None:
    campaign = Campaign(tmp_path)
    process = campaign.start("--output-format", "json")
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.decode().endswith(
        "interrupted: 1 of 2 repositories are done and kept; to go on:"
        " gradfix migrate c.toml (with the same options)\n"
    )
    assert campaign.ended()
    assert branches(campaign.second) == ["main"]
    assert "1 of 2 repositories done" in (tmp_path / "c.gradfix" / "report.html").read_text()
    campaign.go.touch()
    code, done = outcome("c.toml")
    assert (code, done["first"]["earlier"], done["second"]["status"]) == (0, True, "migrated")


def test_two_at_a_time_are_refused(tmp_path: Path, migrate: Callable[..., Ran]) -> None:
    campaign = Campaign(tmp_path)
    process = campaign.start()
    ran = migrate("c.toml")
    assert ran.code == 2
    assert f"another gradfix works on this campaign (process {process.pid})" in ran.err
    process.kill()
    process.communicate()
    campaign.go.touch()
    assert migrate("c.toml").code == 0


def test_what_is_finished_is_done_again_only_for_a_reason(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src", {"m.py": FINE})
    (tmp_path / "c.toml").write_text('repositories = ["src"]')

    def earlier(*arguments: str) -> bool:
        return bool(outcome("c.toml", *arguments)[1]["src"]["earlier"])

    assert not earlier()
    assert earlier()
    assert not earlier("--redo")
    assert earlier("--timeout", "500")
    assert not earlier("--unsafe-fixes")
    assert not earlier()
    git(source, "commit", "-q", "--allow-empty", "-m", "more")
    assert not earlier()
    assert earlier()


def test_what_has_failed_is_tried_again(tmp_path: Path, outcome: Outcome) -> None:
    (tmp_path / "c.toml").write_text('repositories = ["src"]')
    assert outcome("c.toml")[1]["src"]["status"] == "failed"
    repository(tmp_path / "src")
    code, done = outcome("c.toml")
    assert (code, done["src"]["status"]) == (0, "migrated")


def test_a_finished_repository_that_is_gone_stays_finished(
    tmp_path: Path, outcome: Outcome
) -> None:
    source = repository(tmp_path / "src")
    (tmp_path / "c.toml").write_text('output = "patch"\nrepositories = ["src"]')
    outcome("c.toml")
    source.rename(tmp_path / "moved")
    code, done = outcome("c.toml")
    assert (code, done["src"]["status"], done["src"]["earlier"]) == (0, "migrated", True)
    assert "could not be asked whether it has changed" in done["src"]["notes"][0]


def test_a_patch_that_no_longer_holds_is_removed(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    (tmp_path / "c.toml").write_text('output = "patch"\nrepositories = ["src"]')
    outcome("c.toml")
    assert os.listdir("c.gradfix/patches") == ["src.patch"]
    put(source, {"m.py": FINE})
    commit(source, "mended by hand")
    assert outcome("c.toml")[1]["src"]["status"] == "unchanged"
    assert os.listdir("c.gradfix/patches") == []


def test_a_delivery_that_was_not_written_down_is_known_again(
    tmp_path: Path, outcome: Outcome
) -> None:
    source = repository(tmp_path / "src")
    (tmp_path / "c.toml").write_text('repositories = ["src"]')
    outcome("c.toml")
    with sqlite3.connect("c.gradfix/state.sqlite") as state:  # as if killed just before
        state.execute("DELETE FROM repositories")
    code, done = outcome("c.toml")
    assert (code, done["src"]["status"]) == (0, "migrated")
    assert git(source, "rev-parse", "gradfix/migrate").strip() == done["src"]["commit"]


def test_report_does_nothing(tmp_path: Path, migrate: Callable[..., Ran]) -> None:
    source = repository(tmp_path / "src")
    (tmp_path / "c.toml").write_text('repositories = ["src"]')
    ran = migrate("c.toml", "--report", "--output-format", "json")
    assert ran.code == 1
    assert json.loads(ran.out)["summary"]["pending"] == 1
    assert branches(source) == ["main"]
    assert migrate("c.toml").code == 0
    ran = migrate("c.toml", "--report")
    assert ran.code == 0
    assert "migrated" in ran.out


@pytest.mark.parametrize("spoil", ["text", "version"])
def test_a_state_that_cannot_be_used(
    tmp_path: Path, migrate: Callable[..., Ran], spoil: str
) -> None:
    repository(tmp_path / "src")
    (tmp_path / "c.toml").write_text('repositories = ["src"]')
    migrate("c.toml", "--report")
    state = tmp_path / "c.gradfix" / "state.sqlite"
    if spoil == "text":
        for left in state.parent.glob("state.sqlite*"):
            left.write_bytes(b"not a database, but long enough to be taken for one" * 99)
    else:
        with sqlite3.connect(state) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    ran = migrate("c.toml")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "state.sqlite: " in ran.err and "(remove it to start again)" in ran.err


def test_a_folder_that_cannot_be_made(tmp_path: Path, migrate: Callable[..., Ran]) -> None:
    (tmp_path / "c.toml").write_text('repositories = ["src"]')
    (tmp_path / "c.gradfix").write_text("in the way")
    ran = migrate("c.toml")
    assert ran.code == 2
    assert "cannot hold the campaign's state" in ran.err


def test_the_state_is_written_ahead(tmp_path: Path) -> None:
    with Store(tmp_path / "state") as store:
        mode = sqlite3.connect(tmp_path / "state" / "state.sqlite").execute("PRAGMA journal_mode")
        assert mode.fetchone() == ("wal",)
        assert not store.owns("a", "b", "c")
        store.intend("a", "b", "c")
        assert store.owns("a", "b", "c")
        assert not store.owns("a", "b", "d")
