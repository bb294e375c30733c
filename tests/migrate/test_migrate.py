"""Tests decide, trouble stays where it is, and what users are told at the end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradfix.migrate import applying
from gradfix.migrate.attempt import Attempt
from gradfix.migrate.campaign import Repository
from gradfix.migrate.process import Limits

from .conftest import (
    FAULTY,
    FINE,
    MENDED,
    PYTHON_2,
    UNFIXABLE,
    Ran,
    alive,
    branches,
    campaign,
    everything,
    git,
    repository,
)

Outcome = Callable[..., tuple[int, dict[str, Any]]]
Migrate = Callable[..., Ran]


# -- tests decide -------------------------------------------------------------------------------

#: Passes on the code as it was and fails on what is rewritten.
PARTICULAR = "grep -q torch.tensor m.py"


def test_a_repository_whose_tests_break_is_left_as_it_was(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    before = everything(source)
    code, done = outcome(campaign(tmp_path, f'test = "{PARTICULAR}"\nrepositories = ["src"]'))
    result = done["src"]
    assert (code, result["status"]) == (1, "rejected")
    assert result["reason"] == "the tests passed before and failed (exit 1) after the rewrite"
    assert (result["tests"]["after"]["code"], result["tests"]["before"]["code"]) == (1, 0)
    assert everything(source) == before
    assert (done["summary"]["fixed"], done["summary"]["findings"]) == (0, 1)


def test_tests_that_failed_before_prove_nothing(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    text = 'test = ["sh", "-c", "echo no such luck; exit 3"]\nrepositories = ["src"]\n'
    code, done = outcome(campaign(tmp_path, text))
    assert (code, done["src"]["status"], branches(source)) == (1, "rejected", ["main"])
    assert done["src"]["tests"]["after"]["output"] == "no such luck\n"
    code, done = outcome(campaign(tmp_path, f"deliver-untested = true\n{text}"))
    assert (code, done["src"]["status"]) == (0, "migrated")
    assert "too: they prove nothing" in done["src"]["notes"][0]


def test_what_tests_leave_behind_is_not_delivered(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src", {"m.py": FAULTY, "kept.txt": "kept"})
    test = "echo x > kept.txt; echo x > new.txt; echo '# x' >> m.py; grep -q stack m.py"
    code, _ = outcome(campaign(tmp_path, f'test = "{test}"\nrepositories = ["src"]'))
    assert code == 0
    assert git(source, "diff", "--name-status", "main", "gradfix/migrate") == "M\tm.py\n"
    assert git(source, "show", "gradfix/migrate:m.py") == MENDED


def test_the_run_before_does_not_see_what_the_run_after_left(
    tmp_path: Path, outcome: Outcome
) -> None:
    repository(tmp_path / "src", {"m.py": FAULTY, ".gitignore": "left\n"})
    test = "test -e left && exit 5; touch left; exit 4"
    _, done = outcome(campaign(tmp_path, f'test = "{test}"\nrepositories = ["src"]'))
    assert done["src"]["tests"]["before"]["code"] == 4


def test_an_endless_test_is_ended_with_all_it_started(
    tmp_path: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hurried(self: Attempt, *arguments: Any) -> None:
        self.limits.deadline = time.monotonic() + 1.5
        tested(self, *arguments)

    tested = Attempt._test
    monkeypatch.setattr(Attempt, "_test", hurried)
    source = repository(tmp_path / "src")
    pids = tmp_path / "pids"
    test = f"echo $$ >> {pids}; (setsid sleep 100 & echo $! >> {pids}; sleep 100) & wait"
    text = f'timeout = 100\ntest = "{test}"\nrepositories = ["src", "other"]\n'
    repository(tmp_path / "other", {"m.py": FINE})
    code, done = outcome(campaign(tmp_path, text))
    assert (code, done["src"]["status"]) == (2, "failed")
    assert done["src"]["reason"] == "took longer than 100 s (timeout), while running the tests"
    assert done["other"]["status"] == "unchanged"
    assert branches(source) == ["main"]
    assert not any(alive(int(pid)) for pid in pids.read_text().split())


def test_a_test_command_that_is_not_there(tmp_path: Path, outcome: Outcome) -> None:
    repository(tmp_path / "src")
    code, done = outcome(campaign(tmp_path, 'test = ["no-such-thing"]\nrepositories = ["src"]'))
    assert (code, done["src"]["status"]) == (2, "failed")
    assert "no-such-thing: No such file or directory" in done["src"]["reason"]


@pytest.mark.usefixtures("really")
def test_verified(tmp_path: Path, outcome: Outcome) -> None:
    repository(tmp_path / "src")
    code, done = outcome(campaign(tmp_path, 'verify = true\nrepositories = ["src"]'))
    assert (code, done["src"]["status"]) == (0, "migrated")
    assert done["src"]["findings"][0]["fix"]["verification"] == "verified"


# -- trouble ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("really")
def test_trouble_in_one_leaves_the_others_alone(tmp_path: Path, outcome: Outcome) -> None:
    repository(tmp_path / "good")
    (tmp_path / "plain").mkdir()
    git(tmp_path, "init", "-q", "empty")
    broken = repository(tmp_path / "broken", {"m.py": FAULTY, "gradfix.toml": "selct = []\n"})
    missing = (tmp_path / "missing.git").as_uri()
    text = f"""\
    repositories = ["nowhere", "plain", "empty", "broken", "good"]
    [[repository]]
    url = "{missing}"
    output = "patch"
    [[repository]]
    path = "good"
    name = "nobranch"
    ref = "no-such-branch"
    """
    code, done = outcome(campaign(tmp_path, text))
    reasons = {r["name"]: r["reason"] for r in done["repositories"]}
    assert code == 2
    assert reasons["nowhere"] == f"no such folder: {tmp_path / 'nowhere'}"
    assert "does not appear to be a git repository" in reasons["plain"]
    assert reasons["empty"] == "its HEAD names no commit: it is empty, or needs a 'ref'"
    assert "gradfix.toml: unknown key 'selct'; did you mean 'select'?" in reasons["broken"]
    assert reasons["missing"].startswith("git: ")
    assert reasons["nobranch"] == "the repository has no branch or tag 'no-such-branch'"
    assert (done["good"]["status"], reasons["good"]) == ("migrated", None)
    assert branches(broken) == ["main"]
    assert done["summary"]["failed"] == 6


def test_without_git(tmp_path: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    repository(tmp_path / "src")
    file = campaign(tmp_path, 'output = "patch"\nrepositories = ["src"]')
    monkeypatch.setenv("PATH", str(tmp_path))
    code, done = outcome(file)
    assert (code, done["src"]["reason"]) == (2, "git is not installed, or not on the PATH")


def test_a_commit_needs_somebody_who_makes_it(
    tmp_path: Path, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = repository(tmp_path / "src")
    (tmp_path / "gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    for key in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "EMAIL"):
        monkeypatch.delenv(key, raising=False)
    ran = migrate(campaign(tmp_path, 'repositories = ["src"]'))
    assert ran.code == 2
    assert "give the campaign an 'author', or tell git" in ran.err
    assert branches(source) == ["main"]


def test_a_repository_that_does_not_take_branches(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    git(source, "branch", "gradfix")  # a file where a folder would have to be
    code, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert (code, done["src"]["status"]) == (2, "failed")
    assert "delivering the result" in done["src"]["reason"]


def test_a_bug_of_ours_costs_one_repository(
    tmp_path: Path, migrate: Migrate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Attempt) -> Any:
        if self.repository.name == "bad":
            raise ValueError("what?\nwell")
        return run(self)

    run = Attempt.run
    monkeypatch.setattr(Attempt, "run", broken)
    repository(tmp_path / "bad")
    repository(tmp_path / "good")
    ran = migrate(campaign(tmp_path, 'repositories = ["bad", "good"]'), "-v")
    assert ran.code == 2
    assert "bad: failed: internal error: ValueError: what? (0.0 s)" in ran.err
    assert 'raise ValueError("what?' in ran.err
    assert "good: migrated" in ran.err


def test_a_process_that_was_killed_is_tried_again_with_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def run(arguments: list[str], checkout: Path, limits: Limits) -> dict[str, Any]:
        asked.append(arguments)
        if len(asked) == 1:
            raise applying._Killed("gradfix apply was killed by signal 11")
        return {"findings": [], "errors": [], "summary": {"files": 3}}

    monkeypatch.setattr(applying, "_run", run)
    limits = Limits(time.monotonic() + 60)
    assert applying.apply(Repository("r", "/r"), tmp_path, limits, 1).files == 3
    assert ["--timeout" in arguments for arguments in asked] == [False, True]
    asked.clear()
    with pytest.raises(applying.ApplyError, match="killed by signal 11"):
        applying.apply(Repository("r", "/r", verify=True), tmp_path, limits, 1)


@pytest.mark.usefixtures("really")
def test_a_crash_of_apply_says_what_it_said(
    tmp_path: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot = "import os; print('on its way', flush=True); os.kill(os.getpid(), 11)"
    monkeypatch.setattr(applying, "_BOOT", boot)
    repository(tmp_path / "src")
    code, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert (code, done["src"]["status"]) == (2, "failed")
    assert done["src"]["reason"] == (
        "gradfix apply was killed by signal 11: on its way (while rewriting it)"
    )


# -- exit codes ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("really")
@pytest.mark.parametrize(
    ("content", "code"), [(FINE, 0), (FAULTY, 0), (UNFIXABLE, 1), (PYTHON_2, 2)]
)
def test_exit_codes(tmp_path: Path, migrate: Migrate, content: str, code: int) -> None:
    repository(tmp_path / "src", {"m.py": content})
    file = campaign(tmp_path, 'repositories = ["src"]')
    assert migrate(file).code == code
    assert migrate(file).code == code  # the second time from what is kept
    assert migrate(file, "--exit-zero").code == (0 if code == 1 else code)


@pytest.mark.usefixtures("really")
def test_a_table_and_one_line_each(tmp_path: Path, migrate: Migrate) -> None:
    repository(tmp_path / "one")
    repository(tmp_path / "two", {"m.py": UNFIXABLE})
    ran = migrate(campaign(tmp_path, 'repositories = ["one", "two", "three"]'))
    assert ran.code == 2
    rows = [line.split()[:3] for line in ran.out.splitlines()]  # the last column may be folded
    assert ["two", "unchanged", "1"] in rows
    assert f"three: no such folder: {tmp_path / 'three'}" in ran.out
    assert "[3/3] " in ran.err
    assert "one: migrated: 1 finding fixed in 1 file, gradfix/migrate @ " in ran.err
    assert "3 repositories: 1 migrated, 1 unchanged, 1 failed. Fixed 1 finding, left 1." in ran.err
    assert ran.err.endswith("Report: c.gradfix/report.html\n")


def test_options_win_over_the_file(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    file = campaign(tmp_path, 'repositories = ["src"]')
    _, done = outcome(file, "--ignore", "GF301")
    assert done["src"]["status"] == "unchanged"
    _, done = outcome(file, "--output", "patch", "--folder", "elsewhere")
    assert done["src"]["patch"] == "patches/src.patch"
    assert (tmp_path / "elsewhere" / "patches" / "src.patch").exists()
    assert branches(source) == ["main"]
    _, done = outcome(file, "--branch", "other", "--test", "true")
    assert done["src"]["branch"] == "other"


@pytest.mark.usefixtures("really")
def test_only(tmp_path: Path, outcome: Outcome, migrate: Migrate) -> None:
    repository(tmp_path / "one")
    repository(tmp_path / "two", {"m.py": UNFIXABLE})
    file = campaign(tmp_path, 'repositories = ["one", "two"]')
    code, done = outcome(file, "--only", "one")
    assert (code, done["one"]["status"], done["two"]["status"]) == (0, "migrated", "pending")
    ran = migrate(file, "--only", "tow")
    assert (ran.code, ran.err) == (
        2,
        "error: --only: c.toml lists no repository 'tow'; did you mean 'two'?\n",
    )


def test_the_folder_is_hidden_from_git(tmp_path: Path, migrate: Migrate) -> None:
    repository(tmp_path / "src")
    git(tmp_path, "init", "-q", ".")
    migrate(campaign(tmp_path, 'repositories = ["src"]'))
    assert "c.gradfix" not in git(tmp_path, "status", "--porcelain")
    assert os.path.exists("c.gradfix/state.sqlite")
