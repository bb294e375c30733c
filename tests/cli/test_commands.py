"""The commands as users meet them: exit codes, streams, bad input, formats."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

import gradfix as package
from gradfix import batch, engine, files

from .conftest import FAULT_ROW, FAULTY, MENDED, Renames, Result

Gradfix = Callable[..., Result]

PLACE = {
    "type": "object",
    "required": ["row", "column"],
    "properties": {"row": {"type": "integer", "minimum": 1}, "column": {"type": "integer"}},
}
FIX = {
    "type": "object",
    "required": ["applicability", "applied", "edits"],
    "properties": {
        "applicability": {"enum": ["safe", "unsafe", "manual"]},
        "applied": {"type": "boolean"},
        "edits": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["location", "end_location", "content"],
                "properties": {"location": PLACE, "end_location": PLACE},
            },
        },
    },
}
FINDING = {
    "type": "object",
    "required": [
        "code", "name", "filename", "cell", "location", "end_location", "message", "because",
        "fix", "not_fixed_reason", "fingerprint",
    ],
    "properties": {
        "code": {"pattern": "^GF[0-9]{3}$"},
        "filename": {"type": "string"},
        "cell": {"type": ["integer", "null"]},
        "location": PLACE,
        "end_location": PLACE,
        "because": {
            "type": "array",
            "items": {**PLACE, "required": ["row", "column", "message"]},
        },
        "fix": {"anyOf": [{"type": "null"}, FIX]},
        "not_fixed_reason": {"type": ["string", "null"]},
        "fingerprint": {"type": "string", "minLength": 8},
    },
    # Exactly one of the two is there.
    "oneOf": [
        {"properties": {"fix": {"type": "null"}, "not_fixed_reason": {"type": "string"}}},
        {"properties": {"fix": {"type": "object"}, "not_fixed_reason": {"type": "null"}}},
    ],
}  # fmt: skip
DOCUMENT = {
    "type": "object",
    "required": ["version", "summary", "findings", "errors"],
    "properties": {
        "version": {"type": "string"},
        "summary": {
            "required": ["files", "findings", "fixed", "errors"],
            "additionalProperties": {"type": "integer"},
        },
        "findings": {"type": "array", "items": FINDING},
        "errors": {"type": "array", "items": {"required": ["filename", "row", "message"]}},
    },
}

UNFIXABLE = "x = 1  # noqa: GF301\n"  # a finding without a fix
PYTHON_2 = "import torch\nprint 'torch.tensor'\n"


def document(result: Result) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(result.out)
    jsonschema.validate(parsed, DOCUMENT)
    return parsed


def put(project: Path, **texts: str) -> None:
    for name, text in texts.items():
        (project / f"{name}.py").write_bytes(text.encode())


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
    ("faulty", "check --output-format sarif", 2),
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
        (b"\x7fELF\0\0\n", r"bad.py:1: error: not Python source: it contains a NUL byte"),
        (b"x = '\xff\xfe'\n", r"bad.py: error: cannot be decoded"),
        (b"# coding: latin-1\ndef f(:\n", r"bad.py:2: error: invalid syntax"),
        (b"x = " + b"(" * 300 + b")" * 300, r"bad.py:1: error: .*too many nested parentheses"),
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


def test_notebooks_given_by_name_are_refused(project: Path, gradfix: Gradfix) -> None:
    (project / "n.ipynb").write_text("{}")
    assert gradfix("check", ".").code == 0
    result = gradfix("check", "n.ipynb")
    assert (result.code, "notebooks are not supported yet" in result.err) == (2, True)


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
    put(project, a=FAULTY, b=FAULTY)
    read = files.read

    def interrupted(path: str) -> files.Decoded:
        if path.endswith("b.py"):
            raise KeyboardInterrupt
        return read(path)

    monkeypatch.setattr(files, "read", interrupted)
    result = gradfix(command, ".")
    assert result.code == 130
    assert ("1 file was rewritten and is whole" in result.err) == (command == "apply")
    assert (project / "b.py").read_text() == FAULTY


# -- text ---------------------------------------------------------------------------------------


def test_full_output_tells_the_story(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    result = gradfix("check")
    lines = result.out.splitlines()
    assert lines[0].startswith(f"m.py:{FAULT_ROW}:13: GF301 [*] ")
    assert lines[1:4] == [
        "   |",
        "12 |         w = torch.tensor([self.a, self.b])",
        "   |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^",
    ]
    assert any(re.match(r"   = because: line \d+: ", line) for line in lines)
    assert any(line.startswith("   = help: ") for line in lines)
    assert result.err == "Found 1 finding (1 fixable with `gradfix apply`).\n"


def test_carets_stand_under_wide_characters_and_tabs(
    project: Path, gradfix: Gradfix, only_codemods: Callable[..., None]
) -> None:
    only_codemods(Renames)
    put(project, m="if 1:\n\tx = 1; old(2)\n")
    assert "2 |     x = 1; old(2)\n  |            ^^^\n" in gradfix("check").out


def test_control_characters_do_not_reach_the_terminal(
    project: Path, gradfix: Gradfix, only_codemods: Callable[..., None]
) -> None:
    only_codemods(Renames)
    put(project, m="old('\x1b[31m')\n")
    assert "old('\u241b[31m')" in gradfix("check").out


def test_concise_quiet_and_statistics(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, n=FAULTY + UNFIXABLE)
    concise = gradfix("check", "--output-format", "concise", "-q")
    assert concise.err == ""
    assert [line.split()[:2] for line in concise.out.splitlines()] == [
        ["m.py:12:13:", "GF301"],
        ["n.py:12:13:", "GF301"],
        ["n.py:14:16:", "GF900"],
    ]
    table = gradfix("check", "--statistics").out
    assert table == "2\tGF301\t[*] tensor-rewrap\n1\tGF900\t[ ] unused-suppression\n"
    counted = json.loads(gradfix("check", "--statistics", "--output-format", "json").out)
    assert [(row["code"], row["count"], row["fixable"]) for row in counted] == [
        ("GF301", 2, 2),
        ("GF900", 1, 0),
    ]


def test_show_fixes(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    result = gradfix("apply", "--show-fixes")
    assert result.err.startswith("Fixed in m.py:\n    12: GF301 tensor-rewrap: ")
    assert result.err.endswith("Fixed 1 finding in 1 file.\n")


@pytest.mark.parametrize(
    ("flags", "environment", "coloured"),
    [
        ([], {}, False),
        (["--color", "always"], {"NO_COLOR": "1"}, True),
        (["--color", "never"], {"FORCE_COLOR": "1"}, False),
        ([], {"FORCE_COLOR": "1", "NO_COLOR": "1"}, True),
        ([], {"NO_COLOR": "1"}, False),
    ],
)
def test_colours(
    flags: list[str],
    environment: dict[str, str],
    coloured: bool,
    project: Path,
    gradfix: Gradfix,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    put(project, m=FAULTY)
    assert ("\x1b[" in gradfix("check", *flags).out) == coloured


# -- machine formats ----------------------------------------------------------------------------


def test_json_follows_the_contract(project: Path, gradfix: Gradfix) -> None:
    (project / "src").mkdir()
    put(project, m=FAULTY, bad=PYTHON_2, unused=UNFIXABLE)
    (project / "src" / "n.py").write_text(FAULTY)
    result = gradfix("check", "--output-format", "json")
    parsed = document(result)
    assert parsed["version"] == package.__version__
    assert parsed["summary"] == {"files": 4, "findings": 3, "fixed": 0, "errors": 1}
    assert [finding["filename"] for finding in parsed["findings"]] == [  # type: ignore[attr-defined]
        "m.py",
        "src/n.py",
        "unused.py",
    ]
    (error,) = parsed["errors"]  # type: ignore[misc]
    assert (error["filename"], error["row"]) == ("bad.py", 2)  # type: ignore[has-type]


def test_json_of_apply_says_what_was_applied(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY + UNFIXABLE)
    dry = document(gradfix("apply", "--dry-run", "--output-format", "json"))
    assert dry["summary"] == {"files": 1, "findings": 2, "fixed": 0, "errors": 0}
    assert dry["findings"][0]["fix"]["applied"] is False  # type: ignore[index]
    assert "+        w = torch.stack(" in dry["diffs"][0]["diff"]  # type: ignore[index]
    real = document(gradfix("apply", "--output-format", "json"))
    assert real["summary"] == {"files": 1, "findings": 2, "fixed": 1, "errors": 0}
    assert real["findings"][0]["fix"]["applied"] is True  # type: ignore[index]


def test_json_lines(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, bad=PYTHON_2)
    lines = gradfix("check", "--output-format", "jsonl").out.splitlines()
    finding, error = map(json.loads, lines)
    jsonschema.validate(finding, FINDING)
    assert (finding["kind"], error["kind"], error["row"]) == ("finding", "error", 2)


def test_github_annotations(project: Path, gradfix: Gradfix) -> None:
    (project / "a,b.py").write_text(FAULTY)
    out = gradfix("check", "--output-format", "github").out
    assert out.startswith(
        "::error title=gradfix (GF301),file=a%2Cb.py,line=12,col=13,endLine=12,endColumn=43::GF301 "
    )


def test_planned_formats_are_refused_clearly(gradfix: Gradfix) -> None:
    result = gradfix("check", "--output-format", "sarif")
    assert "the format 'sarif' is not available in this version" in result.err


def test_output_file_holds_what_standard_output_would(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    expected = gradfix("check", "--output-format", "json").out
    result = gradfix("check", "--output-format", "json", "--output-file", "report.json")
    assert result.out == ""
    assert (project / "report.json").read_text() == expected


# -- diffs --------------------------------------------------------------------------------------

SHAPES = {
    "plain": FAULTY,
    "no newline at end": FAULTY + FAULTY[FAULTY.index("class") :].rstrip("\n"),
    "fault in the last line": FAULTY.replace("return (w", "return (1 * w")[: -len("\n")],
    "CRLF": FAULTY.replace("\n", "\r\n"),
    "mixed": FAULTY.replace("\n", "\r\n", 3),
    "separators inside a line": FAULTY.replace("w =", "w =  # \u2028 \x0c\n        w ="),
}
SHAPES["separators inside a line"] = "# \u2028 \x0c \x85\n" + FAULTY


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("shape", SHAPES)
def test_git_apply_takes_the_diff(shape: str, project: Path, gradfix: Gradfix) -> None:
    names = ["m.py", "with space.py", "sub/n.py", "latin.py"]
    (project / "sub").mkdir()
    for name in names[:3]:
        (project / name).write_bytes(SHAPES[shape].encode())
    (project / "latin.py").write_bytes(("# coding: latin-1\n# é\n" + FAULTY).encode("latin-1"))
    before = {name: (project / name).read_bytes() for name in names}
    result = gradfix("apply", "--dry-run", "--output-file", "fix.patch")
    assert result.code == 1
    assert re.match(r"Would fix [48] findings? in 4 files\.|Would fix \d+", result.err)
    assert {name: (project / name).read_bytes() for name in names} == before
    subprocess.run(["git", "apply", "fix.patch"], cwd=project, check=True, capture_output=True)
    patched = {name: (project / name).read_bytes() for name in names}
    for name in names:
        (project / name).write_bytes(before[name])
    assert gradfix("apply").code == 0
    assert {name: (project / name).read_bytes() for name in names} == patched
    assert patched != before


def test_the_diff_is_on_standard_output(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    result = gradfix("apply", "--diff")
    assert result.out.startswith("--- a/m.py\n+++ b/m.py\n@@ ")
    assert "\n+        w = torch.stack([self.a, self.b])\n" in result.out
    assert result.err == "Would fix 1 finding in 1 file.\n"


# -- standard input -----------------------------------------------------------------------------


def piped(project: Path, raw: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gradfix", *arguments]
    return subprocess.run(command, input=raw, cwd=project, capture_output=True)


def test_standard_input_is_checked_and_rewritten(project: Path) -> None:
    raw = ("# coding: latin-1\n# é\n" + FAULTY).replace("\n", "\r\n").encode("latin-1")
    checked = piped(project, raw, "check", "-", "--stdin-filename", "src/m.py")
    assert checked.returncode == 1
    assert checked.stdout.startswith(b"src/m.py:14:13: GF301")
    applied = piped(project, raw, "apply", "-")
    assert applied.returncode == 0
    assert applied.stdout == raw.replace(b"torch.tensor(", b"torch.stack(")
    assert os.listdir(project) == []


@pytest.mark.parametrize("raw", [PYTHON_2.encode(), b"\0\n", b"x = 1\r\n"])
def test_a_filter_never_swallows_its_input(raw: bytes, project: Path) -> None:
    assert piped(project, raw, "apply", "-").stdout == raw


def test_standard_input_is_configured_by_its_name(project: Path) -> None:
    (project / "gradfix.toml").write_text(
        'force-exclude = true\nexclude = ["gen"]\n[per-file-ignores]\n"tests/*" = ["GF3"]\n'
    )
    for name, code in (("m.py", 1), ("tests/m.py", 0), ("gen/m.py", 0)):
        done = piped(project, FAULTY.encode(), "check", "-", "--stdin-filename", name)
        assert done.returncode == code, name
    done = piped(project, FAULTY.encode(), "apply", "-", "--stdin-filename", "gen/m.py")
    assert done.stdout.decode() == FAULTY


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
