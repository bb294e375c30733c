"""[tool.gradfix] and gradfix.toml: strict, nearest wins, flags over files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pathspec
import pytest

from gradfix import rules
from gradfix.config import DEFAULT_EXCLUDE, Finder, Settings
from gradfix.config_types import BlackSettings, Case, Overrides, PathPatterns
from gradfix.errors import ConfigError

from .conftest import FAULTY, Renames, Result

Gradfix = Callable[..., Result]


class Other(Renames):
    """Another rule."""

    code = "GF881"

    @classmethod
    def name(cls) -> str:
        return "other-rule"


class Named(Renames):
    """A rule."""

    @classmethod
    def name(cls) -> str:
        return "some-rule"


@pytest.fixture(autouse=True)
def _rules(request: pytest.FixtureRequest, only_codemods: Callable[..., None]) -> None:
    if "gradfix" not in request.fixturenames:
        only_codemods(Other, Named)


def load(project: Path, text: str, **overrides: object) -> Settings:
    (project / "gradfix.toml").write_text(text)
    return Finder(Overrides(**overrides)).settings(project)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "GF881 GF900 GF991"),
        ('select = ["GF8"]', "GF881"),
        ('select = ["GF8", "some-rule"]', "GF881 GF991"),
        ('ignore = ["GF9"]', "GF881"),
        ('select = ["GF9"]\nignore = ["GF991"]', "GF900"),
        ('select = ["GF991"]\nignore = ["GF9"]', "GF991"),
        ('select = ["ALL"]\nignore = ["ALL"]', ""),
        ('select = ["GF881"]\nextend-select = ["unused-suppression"]', "GF881 GF900"),
        ('select = ["gf881"]', "GF881"),
    ],
)
def test_selection(text: str, expected: str, project: Path) -> None:
    assert sorted(load(project, text).codes) == expected.split()


def test_flags_are_over_files(project: Path) -> None:
    text = 'select = ["GF9"]\nignore = ["GF900"]\nunsafe-fixes = true'
    assert load(project, text).unsafe_fixes
    assert not load(project, text, unsafe_fixes=False).unsafe_fixes
    assert load(project, text, select=("GF900", "GF8")).codes == {"GF900", "GF881"}
    assert load(project, text, ignore=("GF991",)).codes == frozenset()
    assert load(project, text, extend_select=("GF881",)).codes == {"GF881", "GF991"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("selct = []", "gradfix.toml: unknown key 'selct'; did you mean 'select'?"),
        ("zzz = 1", "gradfix.toml: unknown key 'zzz'$"),
        ('select = "GF1"', "gradfix.toml: 'select' must be a list of strings"),
        ("ignore = [1]", "'ignore' must be a list of strings"),
        ('unsafe-fixes = "yes"', "'unsafe-fixes' must be true or false"),
        ('select = ["GF777"]', "gradfix.toml: unknown code 'GF777'"),
        ('ignore = ["other-rul"]', "unknown code 'other-rul'; did you mean 'other-rule'"),
        ('extend-safe-fixes = ["GF8", "GF7"]', "unknown code 'GF7'"),
        ('per-file-ignores = ["a"]', "'per-file-ignores' must be a table"),
        ('[per-file-ignores]\n"a.py" = ["GF7"]', r"\[per-file-ignores\]: unknown code 'GF7'"),
        ('target-torch = "new"', "'target-torch' must be a version"),
        ("baseline = 3", "'baseline' must be a string"),
        ("[verify]\ntimeot = 1", r"\[verify\]: unknown key 'timeot'; did you mean 'timeout'"),
        ("[verify]\ntimeout = -1", "'timeout' must be positive"),
        ("[verify]\nmemory = 1.5", "'memory' must be a positive whole number"),
        ('[verify]\nseeds = ["a"]', "'seeds' must be a list of whole numbers"),
        ("[verify.cases]\nNet = 1", "case 'Net' must be a table"),
        ('[verify.cases.Net]\ninput = ["x"]', "unknown key 'input'; did you mean 'inputs'"),
        ("[verify.cases.Net.kwargs]\na = 1", "'kwargs' must be a table of strings"),
        ("select = [", "gradfix.toml: not valid TOML"),
    ],
)
def test_what_is_wrong_is_an_error(text: str, message: str, project: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load(project, text)


def test_the_verify_section_is_typed(project: Path) -> None:
    verify = load(
        project,
        '[verify]\nseeds = [0, 1]\ntimeout = 2.5\nmemory = 512\n[verify.cases."m.py:Net"]\n'
        'init = "Net(3)"\ninputs = ["torch.rand(3)"]\nkwargs = { mask = "None" }',
    ).verify
    assert (verify.seeds, verify.timeout, verify.memory) == ((0, 1), 2.5, 512)
    assert verify.cases == {"m.py:Net": Case("Net(3)", ("torch.rand(3)",), {"mask": "None"})}


def test_the_nearest_configuration_governs(project: Path) -> None:
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    (project / "pyproject.toml").write_text('[tool.gradfix]\nselect = ["GF8"]')
    (project / "a" / "pyproject.toml").write_text("[tool.other]\nx = 1")
    finder = Finder(Overrides())
    assert finder.settings(inner).codes == {"GF881"}
    (inner / "gradfix.toml").write_text('select = ["GF900"]')
    assert Finder(Overrides()).settings(inner).codes == {"GF900"}
    assert Finder(Overrides()).settings(project / "a").codes == {"GF881"}
    every = {rule.code for rule in rules.rules()}
    assert Finder(Overrides(), isolated=True).settings(inner).codes == every
    config = str(project / "pyproject.toml")
    assert Finder(Overrides(), config=config).settings(inner).codes == {"GF881"}


def test_per_file_ignores(project: Path) -> None:
    settings = load(
        project,
        '[per-file-ignores]\n"tests/**" = ["GF8"]\n"!src/**" = ["unused-suppression"]',
    )
    assert settings.for_file("src/tests/m.py").codes == {"GF881", "GF900", "GF991"}
    assert settings.for_file("tests/m.py").codes == {"GF991"}
    assert settings.for_file(str(project / "other.py")).codes == {"GF881", "GF991"}


def test_black_is_asked_how_the_project_formats(project: Path) -> None:
    (project / "pyproject.toml").write_text(
        '[tool.black]\nline-length = 100\ntarget-version = ["py310"]\nskip-string-normalization = 1'
    )
    (project / "sub").mkdir()
    black = Finder(Overrides(), isolated=True).settings(project / "sub").black
    assert black == BlackSettings(100, ("py310",), string_normalization=False)


@pytest.mark.parametrize("text", ["tool = 1", "tool.black = 1", "[tool.black\n"])
def test_isolated_is_not_stopped_by_a_broken_pyproject(text: str, project: Path) -> None:
    (project / "pyproject.toml").write_text(text)
    assert Finder(Overrides(), isolated=True).settings(project).black == BlackSettings()


def test_errors_of_the_command_line_name_the_file_and_change_nothing(
    project: Path, gradfix: Gradfix
) -> None:
    (project / "m.py").write_text(FAULTY)
    (project / "sub").mkdir()
    (project / "sub" / "n.py").write_text(FAULTY)
    (project / "sub" / "pyproject.toml").write_text("[tool.gradfix]\nextend-selct = []")
    result = gradfix("apply", ".")
    assert result == Result(
        2,
        "",
        "error: sub/pyproject.toml: unknown key 'extend-selct'; did you mean 'extend-select'?\n",
    )
    assert (project / "m.py").read_text() == FAULTY


@pytest.mark.parametrize("flag", ["--select", "--ignore", "--extend-select"])
def test_unknown_codes_of_the_command_line(flag: str, gradfix: Gradfix) -> None:
    result = gradfix("check", flag, "GF301,tensor-rewrp")
    assert result.code == 2
    assert "unknown code 'tensor-rewrp'; did you mean 'tensor-rewrap'?" in result.err


def test_a_missing_configuration_is_an_error(gradfix: Gradfix) -> None:
    assert gradfix("check", "--config", "no.toml") == Result(
        2, "", "error: no.toml: no such file\n"
    )


PLAIN = ("build", ".git", "a-b.c", "x_1")


@pytest.mark.parametrize(
    "patterns",
    [DEFAULT_EXCLUDE, PLAIN, (*PLAIN, "!build"), (*PLAIN, "*.py"), (*PLAIN, "#a"), ("a b", "b/")],
)
def test_plain_names_mean_what_they_mean_as_patterns(patterns: tuple[str, ...]) -> None:
    spec = pathspec.GitIgnoreSpec.from_lines(patterns)
    for name in (*DEFAULT_EXCLUDE, *PLAIN, "Build", "builds", "rebuild", "#a", "a b", "b", "m.py"):
        for folder in (False, True):
            pruned = PathPatterns("/x", patterns).prunes(f"/x/y/{name}", folder=folder)
            assert pruned == spec.match_file(name + "/" if folder else name)
