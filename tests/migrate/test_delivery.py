"""What a campaign makes of repositories, and what of them it never touches."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import (
    FAULTY,
    FINE,
    MENDED,
    Ran,
    branches,
    campaign,
    commit,
    everything,
    git,
    put,
    repository,
)

Outcome = Callable[..., tuple[int, dict[str, Any]]]
Migrate = Callable[..., Ran]


# -- delivering ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("really")
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


@pytest.mark.usefixtures("really")
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


@pytest.mark.usefixtures("really")
def test_another_ref_and_only_some_paths(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src", {"a/m.py": FAULTY, "b/m.py": FAULTY})
    git(source, "tag", "v1")
    put(source, {"a/m.py": FINE, "b/m.py": FINE})
    commit(source, "mended")
    _, done = outcome(campaign(tmp_path, 'repositories = ["src"]\nref = "v1"\npaths = ["b"]'))
    assert done["src"]["changed_files"] == ["b/m.py"]
    assert git(source, "diff", "--name-only", "v1", "gradfix/migrate") == "b/m.py\n"


# -- left alone ---------------------------------------------------------------------------------


def test_one_change_was_not_looked_at(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src", {"m.py": FAULTY})
    put(source, {"new.py": FAULTY})
    _, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert done["src"]["notes"] == ["1 uncommitted change of the checkout was not looked at"]


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


@pytest.mark.usefixtures("really")
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


@pytest.mark.usefixtures("really")
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


@pytest.mark.usefixtures("really")
def test_a_module_of_the_repository_is_not_imported(tmp_path: Path, outcome: Outcome) -> None:
    trap = "raise SystemExit('imported')\n"
    repository(tmp_path / "src", {"m.py": FAULTY, "ast.py": trap, "click.py": trap, "torch.py": ""})
    code, done = outcome(campaign(tmp_path, 'repositories = ["src"]'))
    assert (code, done["src"]["changed_files"]) == (0, ["m.py"])


@pytest.mark.usefixtures("really")
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


def test_an_own_branch_is_moved(tmp_path: Path, outcome: Outcome) -> None:
    source = repository(tmp_path / "src")
    file = campaign(tmp_path, 'repositories = ["src"]')
    first = outcome(file)[1]["src"]["commit"]
    put(source, {"n.py": FAULTY})
    commit(source, "more")
    second = outcome(file)[1]["src"]
    assert second["commit"] == git(source, "rev-parse", "gradfix/migrate").strip() != first
    assert second["changed_files"] == ["m.py", "n.py"]


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
