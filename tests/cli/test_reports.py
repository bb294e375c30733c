"""What the commands print: text for people, and formats for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

import gradfix as package

from .conftest import FAULT_ROW, FAULTY, PYTHON_2, UNFIXABLE, Renames, Result, put

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
        "doubt": {"type": ["string", "null"], "minLength": 1},
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


def document(result: Result) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(result.out)
    jsonschema.validate(parsed, DOCUMENT)
    return parsed


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


DOUBTED = """import torch

layer = torch.nn.Linear(2, 2)
kernels = layer.weight.data
kernels -= kernels.min()
print(kernels)
"""
DOUBT = "the write may be meant to reach the leaf, as it does today"


def test_an_unsafe_fix_says_what_is_not_proven(project: Path, gradfix: Gradfix) -> None:
    put(project, m=DOUBTED)
    said = f"not fixed: {DOUBT}; `--unsafe-fixes` applies the fix all the same"
    assert f"  = {said}" in gradfix("check").out.splitlines()
    (finding,) = document(gradfix("check", "--output-format", "json"))["findings"]  # type: ignore[misc]
    assert (finding["fix"]["doubt"], finding["not_fixed_reason"]) == (DOUBT, None)  # type: ignore[has-type]
    sarif = json.loads(gradfix("check", "--output-format", "sarif").out)
    (fix,) = sarif["runs"][0]["results"][0]["fixes"]
    assert fix["description"]["text"] == f"take a copy (not proven right: {DOUBT})"


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


def test_output_file_holds_what_standard_output_would(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    expected = gradfix("check", "--output-format", "json").out
    result = gradfix("check", "--output-format", "json", "--output-file", "report.json")
    assert result.out == ""
    assert (project / "report.json").read_text() == expected
