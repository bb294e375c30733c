"""What campaign files may say, and what users are told about one that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gradfix.errors import ConfigError
from gradfix.migrate.campaign import Campaign
from gradfix.migrate.naming import is_url, named, wrong_branch, wrong_name
from gradfix.migrate.reading import read

from .conftest import Ran


def parsed(tmp_path: Path, text: str, name: str = "c.toml") -> Campaign:
    (tmp_path / name).write_text(text)
    return read(Path(name), {})


WRONG = [
    ("", "c.toml: lists no repository"),
    ("repositories = []", "c.toml: lists no repository"),
    (
        '\nrepositories = ["a"]\nbrnach = "x"',
        "c.toml:3: unknown key 'brnach'; did you mean 'branch'?",
    ),
    (
        '[[repository]]\npath = "a"\n\n[[repository]]\npath = "b"\nverfiy = true',
        "c.toml:6: unknown key 'verfiy'; did you mean 'verify'?",
    ),
    ('repositories = ["a"]\n[campaign]\nx = 1', "c.toml:2: unknown key 'campaign'"),
    ('repositories = ["a"\n', "c.toml: not valid TOML: "),
    ('repositories = ["a"]\nverify = yes\n', "c.toml:2: not valid TOML: "),
    ('repositories = "a"', "c.toml:1: 'repositories' must be a list of strings"),
    ('repositories = ["a"]\nverify = "yes"', "c.toml:2: 'verify' must be true or false"),
    ('repositories = ["a"]\ntimeout = -1', "c.toml:2: 'timeout' must be positive"),
    ('repositories = ["a"]\njobs = 1.5', "c.toml:2: 'jobs' must be a positive whole number"),
    (
        'repositories = ["a"]\noutput = "brunch"',
        "c.toml:2: 'output' must be 'branch' or 'patch'; did you mean 'branch'?",
    ),
    (
        'repositories = ["a"]\nselect = ["GF101", "slice-alisaing"]',
        "c.toml:2: unknown code 'slice-alisaing'; did you mean 'slice-aliasing'?",
    ),
    ('repositories = ["a"]\nbranch = "a b"', "c.toml:2: 'a b' is no name for a branch"),
    ('repositories = ["a"]\nref = "-x"', "c.toml:2: '-x' is no branch, tag or commit"),
    (
        'repositories = ["a"]\nauthor = "Ann"',
        "c.toml:2: 'author' must be of the form \"Name <mail>\"",
    ),
    (
        'repositories = ["a"]\npaths = ["src", "../x"]',
        "c.toml:2: '../x' does not lie in the repository",
    ),
    (
        'repositories = ["a"]\ntest = 3',
        "c.toml:2: 'test' must be a command, or a list of a command and its arguments",
    ),
    ('[repository]\npath = "a"', "c.toml:1: 'repository' must be tables: [[repository]]"),
    ('[[repository]]\nname = "a"', "c.toml:1: a repository needs either 'path' or 'url'"),
    (
        '[[repository]]\npath = "a"\nurl = "https://example.org/a"',
        "c.toml:1: a repository needs either 'path' or 'url'",
    ),
    ('[[repository]]\nurl = "a"', "c.toml:2: 'a' is no URL (a folder is a 'path')"),
    (
        '[[repository]]\npath = "a"\n[[repository]]\npath = "a/"',
        "c.toml:3: 'a/' is listed twice (line 1); give one of them another 'name'",
    ),
    (
        '[[repository]]\npath = "a"\nname = "../a"',
        "c.toml:1: '../a' is no name of letters, digits and any of _.+-"
        " (give the repository a 'name')",
    ),
    (
        'output = "patch"\nrepositories = [\n  "a",\n  "https://example.org/a.git",\n]\n'
        '[[repository]]\nurl = "https://example.org/b"\noutput = "branch"\n',
        "c.toml:6: a branch of a URL has to be pushed:"
        " say push = true, or output = 'patch' for a patch file",
    ),
    (
        'repositories = [\n  "a",\n  "git@example.org:x/b.git",\n]',
        "c.toml:3: a branch of a URL has to be pushed:"
        " say push = true, or output = 'patch' for a patch file",
    ),
]


@pytest.mark.parametrize(("text", "complaint"), WRONG)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, migrate: Callable[..., Ran], text: str, complaint: str
) -> None:
    (tmp_path / "c.toml").write_text(text)
    ran = migrate("c.toml")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {complaint}")
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "c.gradfix").exists()


def test_files_that_cannot_be_read(tmp_path: Path, migrate: Callable[..., Ran]) -> None:
    assert migrate("no.toml").err == "error: no.toml: cannot be read: No such file or directory\n"
    (tmp_path / "c.toml").write_bytes(b'# one\nmessage = "\xff"\n')
    assert migrate("c.toml").err.startswith("error: c.toml:2: not UTF-8: ")
    assert migrate("c.toml").code == 2


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--select", "GF1O1", "--select: unknown code 'GF1O1'"),
        ("--branch", "a..b", "--branch: 'a..b' is no name for a branch"),
    ],
)
def test_options_that_are_wrong(
    tmp_path: Path, migrate: Callable[..., Ran], option: str, value: str, complaint: str
) -> None:
    (tmp_path / "c.toml").write_text('repositories = ["a"]')
    ran = migrate("c.toml", option, value)
    assert ran.code == 2
    assert complaint in ran.err


def test_defaults_and_what_a_repository_says_itself(tmp_path: Path) -> None:
    text = """\
    verify = true
    select = ["GF1", "GF301"]
    test = "pytest -q"
    jobs = 3
    folder = "state"
    repositories = ["../one"]
    [[repository]]
    path = "~/two"
    verify = false
    test = ["make", "check it"]
    timeout = 7
    [[repository]]
    url = "https://example.org/x/three.git"
    output = "patch"
    test = ""
    unsafe-fixes = true
    """
    campaign = parsed(tmp_path, text)
    one, two, three = campaign.repositories
    assert (campaign.jobs, campaign.folder) == (3, tmp_path / "state")
    assert (one.name, one.source, one.local) == ("one", str(tmp_path.parent / "one"), True)
    assert (one.verify, one.test, one.timeout) == (True, ("sh", "-c", "pytest -q"), 900)
    assert two.source == str(Path("~/two").expanduser())
    assert (two.verify, two.test, two.timeout) == (False, ("make", "check it"), 7)
    assert (three.name, three.local, three.test) == ("three", False, None)
    assert (one.unsafe_fixes, three.unsafe_fixes) == (False, True)
    assert one.select == two.select == ("GF1", "GF301")


def test_a_plain_list(tmp_path: Path) -> None:
    text = "# my models\n\n  a/b  \nc d/e\n# the end\n"
    campaign = parsed(tmp_path, text, "list.txt")
    assert [r.name for r in campaign.repositories] == ["b", "e"]
    assert campaign.repositories[1].source == str(tmp_path / "c d" / "e")
    assert campaign.folder == tmp_path / "list.gradfix"
    with pytest.raises(ConfigError, match=r"^list.txt:3: 'a/b' is listed twice \(line 1\)"):
        parsed(tmp_path, "a/b\n\na/b\n", "list.txt")


def test_a_repository_twice_under_two_names(tmp_path: Path) -> None:
    text = 'repositories = ["a"]\n[[repository]]\npath = "a"\nname = "b"\nref = "old"\n'
    assert [r.name for r in parsed(tmp_path, text).repositories] == ["a", "b"]


def test_settings_tell_what_has_to_be_done_again(tmp_path: Path) -> None:
    (first,) = parsed(tmp_path, 'repositories = ["a"]').repositories
    (longer,) = parsed(tmp_path, 'repositories = ["a"]\ntimeout = 5').repositories
    (other,) = parsed(tmp_path, 'repositories = ["a"]\nverify = true').repositories
    assert first.settings == longer.settings != other.settings


def test_names_tell_repositories_apart() -> None:
    assert named(["/x/one", "/x/two.git", "../three/"]) == ["one", "two", "three"]
    assert named(["/m/a+b/repo", "/m/c+d/repo", "/m/e"]) == ["a+b-repo", "c+d-repo", "e"]
    assert named(["https://h.org/a/n.git", "git@h.org:b/n.git"]) == ["a-n", "b-n"]
    assert named(["/x/a b/.git", "/"]) == ["a-b", "repository"]
    assert named(["/x/a", "/x/a"]) == ["x-a", "x-a"]  # for the reader to complain about
    assert all(not wrong_name(name) for name in named(["/x/.hidden", "/x/-f", "/x/ü"]))


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("https://example.org/x", True), ("ssh://git@h/x", True), ("file:///x", True),
        ("git@h.org:x/y", True), ("h.org:x", True), ("/a/b", False), ("a/b:c", False),
        ("../x", False), ("C:\\x", False), ("~/x", False),
    ],
)  # fmt: skip
def test_urls(source: str, url: bool) -> None:
    assert is_url(source) is url


@pytest.mark.parametrize(
    "name",
    ["", "a b", "a..b", "-a", "/a", "a/", "a.lock", "a/.b", "@", "a~1", "a:b", "HEAD", "a//b", "a.",
     "a@{b", "a\\b", "a*"],
)  # fmt: skip
def test_names_that_git_does_not_take(name: str) -> None:
    assert wrong_branch(name)


@pytest.mark.parametrize("name", ["main", "fix/grad-1", "ä", "a.b", "gradfix/migrate"])
def test_names_that_git_takes(name: str) -> None:
    assert not wrong_branch(name)
