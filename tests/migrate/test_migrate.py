"""What a campaign makes of repositories, and what it never touches."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradfix.migrate.attempt import Attempt
from tests.migrate.conftest import (
    FAULTY,
    FINE,
    MENDED,
    PYTHON_2,
    UNFIXABLE,
    Ran,
    alive,
    branches,
    commit,
    git,
    put,
    repository,
)

Outcome = Callable[..., tuple[int, dict[str, Any]]]
Migrate = Callable[..., Ran]


def campaign(tmp_path: Path, text: str) -> str:
    (tmp_path / "c.toml").write_text(text)
    return "c.toml"


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with its content and the time it was written."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


# -- delivering ---------------------------------------------------------------------------------


def test_a_branch_is_made(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    head = git(source, "rev-parse", "HEAD").strip()
    code, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert code == 0
    result = done["src"]
    assert (result["status"], result["branch"], result["base"]) == (
        "migrated",
        "gradfix/migrate",
        head,
    )
    assert git(source, "show", "gradfix/migrate:m.py") == MENDED
    assert git(source, "rev-parse", "gradfix/migrate", "gradfix/migrate^").split() == [
        result["commit"],
        head,
    ]
    said = git(source, "log", "-1", "--format=%an <%ae>%n%B", "gradfix/migrate")
    assert said.startswith("Uma User <uma@example.org>\nMend gradient faults found by gradfix\n")
    assert "- GF301 tensor-rewrap: 1\n" in said
    assert done["summary"]["fixed"] == 1
    assert list((tmp_path / "c.gradfix" / "work").iterdir()) == [
        tmp_path / "c.gradfix" / "work" / "gradfix.toml"
    ]


def test_name_message_and_author_are_the_campaigns(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    settings = 'branch = "fix/grad"\nmessage = "As I say"\nauthor = "Ann B <ann@example.org>"\n'
    outcome(campaign(tmp_path, settings + 'repositories = ["src"]'))
    said = git(source, "log", "-1", "--format=%an <%ae> %cn%n%B", "fix/grad")
    assert said.strip() == "Ann B <ann@example.org> Ann B\nAs I say"


def test_a_patch_is_written_and_the_source_is_not(tmp_path: Path, outcome: Outcome) -> None:
    files = {"m.py": FAULTY, "mit blank/ü.py": FAULTY.replace("Mixer", "Mixér")}
    source = repository(tmp_path / "src", files)
    before = everything(source)
    code, done = outcome(campaign(tmp_path, 'output = "patch"\nrepositories = ["src"]'))
    assert (code, done["src"]["patch"]) == (0, "patches/src.patch")
    assert everything(source) == before
    patch = tmp_path / "c.gradfix" / "patches" / "src.patch"
    git(source, "apply", "--check", str(patch))
    git(source, "apply", str(patch))
    assert (source / "m.py").read_text() == MENDED
    assert "torch.stack([" in (source / "mit blank/ü.py").read_text()


def test_a_bare_repository_gets_a_branch(tmp_path: Path, outcome: Outcome) -> None:
    repository(tmp_path / "src")
    git(tmp_path, "clone", "-q", "--bare", "src", "mirror.git")
    code, done = outcome(campaign(tmp_path, 'repositories = ["mirror.git"]'))
    assert (code, done["mirror"]["status"]) == (0, "migrated")
    assert git(tmp_path / "mirror.git", "show", "gradfix/migrate:m.py") == MENDED
    assert branches(tmp_path / "src") == ["main"]


def test_a_branch_is_pushed_to_a_url(tmp_path: Path, outcome: Outcome) -> None:
    repository(tmp_path / "src")
    git(tmp_path, "clone", "-q", "--bare", "src", "hub.git")
    url = (tmp_path / "hub.git").as_uri()
    code, done = outcome(campaign(tmp_path, f'push = true\nrepositories = ["{url}"]'))
    assert (code, done["hub"]["status"]) == (0, "migrated")
    assert git(tmp_path / "hub.git", "show", "gradfix/migrate:m.py") == MENDED


def test_another_ref_and_only_some_paths(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src", {"a/m.py": FAULTY, "b/m.py": FAULTY})
    git(source, "tag", "v1")
    put(source, {"a/m.py": FINE, "b/m.py": FINE})
    commit(source, "mended")
    _, done = outcome(campaign(tmp_path, 'repositories = ["src"]\nref = "v1"\npaths = ["b"]'))
    assert done["src"]["changed_files"] == ["b/m.py"]
    assert git(source, "diff", "--name-only", "v1", "gradfix/migrate") == "b/m.py\n"


# -- left alone ---------------------------------------------------------------------------------


def test_a_dirty_checkout_is_not_disturbed(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src", {"m.py": FAULTY, "n.py": FINE})
    put(source, {"m.py": FAULTY + "# in work\n", "new.py": FAULTY, "n.py": FINE + "# staged\n"})
    git(source, "add", "n.py")
    git(source, "stash", "list")
    before = everything(source)
    code, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert (code, done["src"]["status"]) == (0, "migrated")
    assert done["src"]["notes"] == ["3 uncommitted changes of the checkout were not looked at"]
    after = everything(source)
    assert {k: v for k, v in after.items() if k in before} == before
    new = [name for name in after if name not in before]
    ours = ("objects/", "refs/heads/gradfix/", "logs/refs/heads/gradfix/")
    assert all(name.startswith(tuple(f".git/{where}" for where in ours)) for name in new)
    assert git(source, "show", "gradfix/migrate:m.py") == MENDED


def test_what_is_fine_is_unchanged(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src", {"m.py": FINE})
    code, done = outcome(campaign(tmp_path, 'test = "touch ran; false"\nrepositories = ["src"]'))
    assert (code, done["src"]["status"], branches(source)) == (0, "unchanged", ["main"])


def test_line_endings_are_kept_whatever_the_attributes_say(
    tmp_path: Path, outcome: Outcome
) -> None:
    source = tmp_path / "src"
    repository(source, {"m.py": FAULTY.replace("\n", "\r\n"), "unix.py": FAULTY})
    put(source, {".gitattributes": "* text=auto\nunix.py eol=crlf\n*.py -diff\n"})
    commit(source, "attributes")
    _, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert done["src"]["changed_files"] == ["m.py", "unix.py"]
    counts = git(source, "diff", "--text", "-U0", "main", "gradfix/migrate")
    assert counts.count("\n@@ ") == 2 and counts.count("\n-") == 4
    raw = subprocess.check_output(["git", "cat-file", "blob", "gradfix/migrate:m.py"], cwd=source)
    assert raw == MENDED.replace("\n", "\r\n").encode()


def test_a_link_that_leads_out_is_not_followed(tmp_path: Path, outcome: Outcome) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(FAULTY)
    source = repository(tmp_path / "src")
    (source / "link.py").symlink_to(outside)
    (source / "up.py").symlink_to("../../../../outside.py")
    (source / "within.py").symlink_to("m.py")
    commit(source, "links")
    _, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert outside.read_text() == FAULTY
    assert done["src"]["changed_files"] == ["m.py"]
    assert git(source, "diff", "--name-status", "main", "gradfix/migrate") == "M\tm.py\n"


def test_a_module_of_the_repository_is_not_imported(tmp_path: Path, outcome: Outcome) -> None:
    trap = "raise SystemExit('imported')\n"
    repository(tmp_path / "src", {"m.py": FAULTY, "ast.py": trap, "click.py": trap, "torch.py": ""})
    code, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert (code, done["src"]["changed_files"]) == (0, ["m.py"])


def test_a_configuration_around_the_campaign_does_not_count(
    tmp_path: Path, outcome: Outcome
) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.gradfix]\nignore = ["GF3"]\n')
    repository(tmp_path / "plain")
    repository(tmp_path / "own", {"m.py": FAULTY, "gradfix.toml": 'ignore = ["GF3"]\n'})
    _, done = outcome(campaign(tmp_path, 'repositories = ["plain", "own"]'))
    assert (done["plain"]["status"], done["own"]["status"]) == ("migrated", "unchanged")


def test_variables_of_a_git_hook_do_not_lead_elsewhere(
    tmp_path: Path, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = repository(tmp_path / "src")
    other = repository(tmp_path / "other", {"x.py": FINE})
    before = everything(other)
    file = campaign(tmp_path, 'repositories = ["src"]')
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git" / "index"))
    code, _ = outcome(file)
    monkeypatch.undo()
    assert code == 0
    assert everything(other) == before
    assert (source / ".git" / "refs" / "heads" / "gradfix" / "migrate").exists()


def test_a_branch_of_somebody_else_is_not_moved(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    git(source, "branch", "gradfix/migrate")
    code, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert (code, done["src"]["status"]) == (2, "failed")
    assert "the branch 'gradfix/migrate' exists and is not this campaign's" in done["src"]["reason"]
    assert git(source, "rev-parse", "gradfix/migrate") == git(source, "rev-parse", "main")


def test_an_own_branch_is_moved_unless_it_is_checked_out(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    file = campaign(tmp_path, 'repositories = ["src"]')
    first = outcome(file)[1]["src"]["commit"]
    put(source, {"n.py": FAULTY})
    commit(source, "more")
    second = outcome(file)[1]["src"]
    assert second["commit"] == git(source, "rev-parse", "gradfix/migrate").strip() != first
    assert second["changed_files"] == ["m.py", "n.py"]
    git(source, "checkout", "-q", "gradfix/migrate")
    code, done = outcome(file, "--redo")
    assert code != 0 or done["src"]["status"] == "unchanged"
    assert git(source, "rev-parse", "gradfix/migrate").strip() == second["commit"]


def test_an_own_branch_that_is_checked_out_elsewhere_stays(
    tmp_path: Path, outcome: Outcome
) -> None:
    source = repository(tmp_path / "src")
    file = campaign(tmp_path, 'repositories = ["src"]')
    first = outcome(file)[1]["src"]["commit"]
    git(source, "worktree", "add", "-q", "../copy", "gradfix/migrate")
    put(source, {"n.py": FAULTY})
    commit(source, "more")
    code, done = outcome(file)
    assert (code, done["src"]["status"]) == (2, "failed")
    assert "is checked out there" in done["src"]["reason"]
    assert git(source, "rev-parse", "gradfix/migrate").strip() == first


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


def test_verified(tmp_path: Path, outcome: Outcome) -> None:
    repository(tmp_path / "src")
    code, done = outcome(campaign(tmp_path, 'verify = true\nrepositories = ["src"]'))
    assert (code, done["src"]["status"]) == (0, "migrated")
    assert done["src"]["findings"][0]["fix"]["verification"] == "verified"


# -- trouble ------------------------------------------------------------------------------------


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
    assert reasons["empty"] == "the repository has no commit yet"
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


# -- exit codes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "code"), [(FINE, 0), (FAULTY, 0), (UNFIXABLE, 1), (PYTHON_2, 2)]
)
def test_exit_codes(tmp_path: Path, migrate: Migrate, content: str, code: int) -> None:
    repository(tmp_path / "src", {"m.py": content})
    file = campaign(tmp_path, 'repositories = ["src"]')
    assert migrate(file).code == code
    assert migrate(file).code == code  # the second time from what is kept
    assert migrate(file, "--exit-zero").code == (0 if code == 1 else code)


def test_a_table_and_one_line_each(tmp_path: Path, migrate: Migrate) -> None:
    repository(tmp_path / "one")
    repository(tmp_path / "two", {"m.py": UNFIXABLE})
    ran = migrate(campaign(tmp_path, 'repositories = ["one", "two", "three"]'))
    assert ran.code == 2
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[2][:3] == ["two", "unchanged", "1"]
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
