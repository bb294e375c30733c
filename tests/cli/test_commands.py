"""The commands as users meet them: exit codes, bad input, the manual."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import gradfix as package
from gradfix import batch, engine, files

from .conftest import ALONE, FAULTY, MENDED, PYTHON_2, UNFIXABLE, Renames, Result, put

Gradfix = Callable[..., Result]


# -- exit codes ---------------------------------------------------------------------------------

EXIT_CODES = [
    # what lies there, command line, exit code
    ("", "check", 0),
    ("clean", "check", 0),
    ("faulty", "check", 1),
    ("faulty", "check --exit-zero", 0),
    ("faulty", "check --ignore GF3", 0),
    ("unfixable", "check", 1),
    ("bad", "check", 2),
    ("bad", "check --exit-zero", 2),
    ("bad faulty", "check", 2),
    ("clean", "apply", 0),
    ("faulty", "apply", 0),
    ("faulty", "apply --exit-non-zero-on-fix", 1),
    ("faulty", "apply --exit-non-zero-on-fix --exit-zero", 1),
    ("faulty", "apply --dry-run", 1),
    ("faulty", "apply --diff --exit-zero", 0),
    ("clean", "apply --dry-run", 0),
    ("unfixable", "apply", 1),
    ("unfixable", "apply --dry-run", 1),
    ("unfixable", "apply --exit-zero", 0),
    ("bad faulty", "apply", 2),
    ("faulty", "check nowhere.py", 2),
    ("faulty", "check --no-such-flag", 2),
    ("faulty", "check --output-format sarif", 1),
    ("faulty", "check --output-format yaml", 2),
    ("faulty", "check - faulty.py", 2),
    ("faulty", "check --output-file no/such/folder", 2),
    ("", "explain GF301", 0),
    ("", "explain GF777", 2),
    ("", "rules", 0),
    ("", "--version", 0),
    ("", "--help", 0),
    ("", "chek", 2),
]


@pytest.mark.parametrize(("there", "line", "code"), EXIT_CODES)
def test_exit_codes(there: str, line: str, code: int, project: Path, gradfix: Gradfix) -> None:
    texts = {"clean": "x = 1\n", "faulty": FAULTY, "unfixable": UNFIXABLE, "bad": PYTHON_2}
    put(project, **{name: texts[name] for name in there.split()})
    result = gradfix(*line.split())
    assert result.code == code, result
    assert "Traceback" not in result.err


# -- bad input ----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["check", "apply"])
@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (PYTHON_2.encode(), r"bad.py:2: error: invalid syntax"),
        (b"\x7fELF\0\0 torch\n", r"bad.py:1: error: not Python source: it contains a NUL byte"),
        (b"torch = '\xff\xfe'\n", r"bad.py: error: cannot be decoded"),
        (b"# coding: latin-1\ndef torch(:\n", r"bad.py:2: error: invalid syntax"),
        (b"torch = " + b"(" * 300 + b")" * 300, r"bad.py:1: error: .*too many nested parentheses"),
    ],
)
def test_a_bad_file_is_reported_and_the_rest_goes_on(
    command: str, raw: bytes, message: str, project: Path, gradfix: Gradfix
) -> None:
    (project / "bad.py").write_bytes(raw)
    put(project, good=FAULTY)
    result = gradfix(command, ".")
    assert result.code == 2
    assert re.search(f"^{message}", result.err, re.MULTILINE), result.err
    assert (project / "bad.py").read_bytes() == raw
    assert (project / "good.py").read_text() == (MENDED if command == "apply" else FAULTY)


NOT_PYTHON = [b"print 'hello'\n", b"\x7fELF\0\0\n", b"x = '\xff\xfe'\n"]


@pytest.mark.parametrize("raw", NOT_PYTHON)
@pytest.mark.parametrize("command", ["check", "apply"])
def test_a_file_of_a_folder_that_never_mentions_torch_is_not_parsed(
    command: str, raw: bytes, project: Path, gradfix: Gradfix
) -> None:
    (project / "bad.py").write_bytes(raw)
    assert gradfix(command, ".") == Result(0, "", "Nothing found in 1 file.\n")
    assert (project / "bad.py").read_bytes() == raw


@pytest.mark.parametrize("raw", NOT_PYTHON)
@pytest.mark.parametrize("command", ["check", "apply"])
def test_a_file_named_itself_is_always_parsed(
    command: str, raw: bytes, project: Path, gradfix: Gradfix
) -> None:
    (project / "bad.py").write_bytes(raw)
    result = gradfix(command, "bad.py")
    assert result.code == 2
    assert "bad.py" in result.err and "error: " in result.err


@pytest.mark.parametrize("comment", ["# gradfix: ignore[GF301]", "# noqa: GF301"])
def test_a_suppression_counts_where_torch_is_not_mentioned(
    comment: str, project: Path, gradfix: Gradfix
) -> None:
    put(project, m=f"x = 1  {comment}\n")
    result = gradfix("check", ".")
    assert result.code == 1
    assert "GF900" in result.out


@pytest.mark.parametrize("raw", [b"", b"\n", b"\xef\xbb\xbf", b"# only a comment", b"\r", b"\f"])
def test_empty_files_are_fine(raw: bytes, project: Path, gradfix: Gradfix) -> None:
    (project / "m.py").write_bytes(raw)
    assert gradfix("apply", ".") == Result(0, "", "Nothing found in 1 file.\n")
    assert (project / "m.py").read_bytes() == raw


def test_a_missing_path_is_reported_and_the_rest_goes_on(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    result = gradfix("apply", "nowhere", "m.py")
    assert result.code == 2
    assert "nowhere: error: no such file or folder" in result.err
    assert (project / "m.py").read_text() == MENDED


def test_an_unreadable_file_is_reported(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, m=FAULTY, n=FAULTY)

    def locked(path: str, *rest: object, **more: object) -> io.BufferedReader:
        if str(path).endswith("m.py"):
            raise PermissionError(13, "Permission denied")
        return open(path, *rest, **more)  # type: ignore[call-overload,no-any-return]

    monkeypatch.setattr(files, "open", locked, raising=False)
    result = gradfix("check", ".")
    assert result.code == 2
    assert "m.py: error: cannot be read: Permission denied" in result.err
    assert "n.py:12:13: GF301" in result.out


def test_lone_carriage_returns_are_found_but_not_rewritten(project: Path, gradfix: Gradfix) -> None:
    raw = FAULTY.replace("\n", "\r").encode()
    (project / "m.py").write_bytes(raw)
    result = gradfix("apply", ".")
    assert result.code == 1
    assert "m.py:12:13: GF301 `" in result.out
    assert "not fixed: the file has lines that end with a lone carriage return" in result.out
    assert (project / "m.py").read_bytes() == raw


def test_our_own_crash_names_the_file_and_the_others_go_on(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, a=FAULTY, b=FAULTY)
    fix = engine.fix

    def crash(source: package.Source, *rest: object) -> package.Outcome:
        if source.filename == "a.py":
            raise KeyError("boom")
        return fix(source, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(engine, "fix", crash)
    result = gradfix("apply", ".")
    assert result.code == 2
    assert "a.py: error: internal error: KeyError: 'boom'" in result.err
    assert "Traceback" not in result.err
    assert (project / "a.py").read_text() == FAULTY
    assert (project / "b.py").read_text() == MENDED
    assert "Traceback" in gradfix("apply", "-v", ".").err


def test_codemods_that_undo_each_other_write_nothing(
    project: Path, gradfix: Gradfix, only_codemods: Callable[..., None]
) -> None:
    class Back(Renames):
        """The opposite."""

        code = "GF992"
        old, new = "new", "old"

    only_codemods(Renames, Back)
    put(project, m="old(1)\n")
    before = (project / "m.py").stat()
    result = gradfix("apply", ".")
    assert result.code == 2
    assert "m.py: error: nothing was rewritten: the rewrites undo each other" in result.err
    after = (project / "m.py").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def test_deep_trees_are_no_trouble(project: Path, gradfix: Gradfix) -> None:
    deep = FAULTY + "total = " + " + ".join(["1"] * 900) + "\n"
    deep += "if x: pass\n" + "elif x: pass\n" * 1000
    put(project, m=deep)
    result = gradfix("apply", "m.py")
    assert result.code == 0, result.err
    assert (project / "m.py").read_text() == deep.replace("torch.tensor([", "torch.stack([")


@pytest.mark.parametrize("command", ["check", "apply"])
def test_an_interrupt_is_130_and_what_was_written_is_whole(
    command: str, project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, a=ALONE, b=ALONE)
    read = files.read_bytes

    def interrupted(path: str) -> bytes:
        # Before a file is rewritten, all others are read to find out what they change of it.
        if path.endswith("b.py") and (command == "check" or read("a.py").decode() != ALONE):
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(files, "read_bytes", interrupted)
    result = gradfix(command, ".")
    assert result.code == 130
    assert ("what was rewritten (at least 1 file) is whole" in result.err) == (command == "apply")
    assert (project / "b.py").read_text() == ALONE


# -- manual -------------------------------------------------------------------------------------


def test_explain_and_rules_tell_the_same(gradfix: Gradfix) -> None:
    rules = json.loads(gradfix("rules", "--output-format", "json").out)
    assert [rule["code"] for rule in rules] == sorted(rule["code"] for rule in rules)
    assert "GF900" in {rule["code"] for rule in rules}
    table = gradfix("rules").out
    for rule in rules:
        assert rule["name"] in table
        page = gradfix("explain", rule["name"]).out
        assert page.startswith(f"{rule['code']} {rule['name']}\n\n{rule['summary']}")
        assert page == gradfix("explain", rule["code"].lower()).out


def test_explain_names_the_page_of_the_rule(gradfix: Gradfix) -> None:
    for rule in json.loads(gradfix("explain", "ALL", "--output-format", "json").out):
        assert gradfix("explain", rule["code"]).out.endswith(f"\n\nPage: {rule['page']}\n")
        text = (Path(__file__).parents[2] / rule["page"]).read_text(encoding="utf-8")
        assert text.startswith(f"# {rule['code']} {rule['name']}\n")


def test_the_version_is_the_packages(gradfix: Gradfix) -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert f'\nversion = "{package.__version__}"\n' in text
    assert gradfix("--version").out == f"gradfix {package.__version__}\n"


def test_the_library_is_functions_of_a_string() -> None:
    assert [f.code for f in package.check_source(FAULTY).findings] == ["GF301"]
    assert package.fix_source(FAULTY).text == MENDED
    assert package.fix_source(FAULTY, select=["GF900"]).text == FAULTY
    with pytest.raises(package.GradfixError, match="unknown code"):
        package.check_source("", select=["GF777"])


def test_a_crash_in_the_deep_thread_is_raised_in_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        batch._with_room(lambda: 1 // 0)
