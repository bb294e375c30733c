"""Reports for CI systems: what GitHub, GitLab, JUnit readers and SARIF readers are promised."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
from sarif_pydantic import Sarif

from gradfix.model import Edit, EditKind, Failure, Finding, Fix, Note, Outcome, Safety, Source, Span
from gradfix.report import Run, formats
from gradfix.report.replacements import replacements

from .conftest import FAULTY, MENDED, PYTHON_2, UNFIXABLE, Result, put

Gradfix = Callable[..., Result]
CI = ("github", "gitlab", "junit", "sarif")


def closed(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    """The schema of an object with these properties and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": {**required, **optional},
        "additionalProperties": False,
    }


#: The part of the standard's schema that gradfix uses; nothing outside it may be written.
TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
MESSAGE = closed({"text": TEXT})
NUMBER = {"type": "integer", "minimum": 1}
REGION = closed(
    {"startLine": NUMBER, "startColumn": NUMBER, "endLine": NUMBER, "endColumn": NUMBER}
)
ARTIFACT = closed(
    {"uri": {"type": "string", "pattern": "^[A-Za-z0-9._~/%:-]+$"}},
    uriBaseId={"const": "%SRCROOT%"},
)
PHYSICAL = closed({"artifactLocation": ARTIFACT, "region": REGION})
LOCATION = closed({"physicalLocation": PHYSICAL}, id=NUMBER, message=MESSAGE)
REPLACEMENT = closed(
    {"deletedRegion": REGION, "insertedContent": closed({"text": {"type": "string"}})}
)
CHANGE = closed(
    {
        "artifactLocation": ARTIFACT,
        "replacements": {"type": "array", "minItems": 1, "items": REPLACEMENT},
    }
)
LEVEL = {"enum": ["warning", "error"]}
RULE = closed(
    {
        "id": {"pattern": "^GF[0-9]{3}$"},
        "name": TEXT,
        "shortDescription": MESSAGE,
        "fullDescription": MESSAGE,
        "help": closed({"text": TEXT, "markdown": TEXT}),
        "defaultConfiguration": closed({"level": LEVEL}),
        "properties": {"type": "object"},
    }
)
RESULT = closed(
    {
        "ruleId": {"pattern": "^GF[0-9]{3}$"},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": LEVEL,
        "message": MESSAGE,
        "locations": {"type": "array", "minItems": 1, "items": LOCATION},
        "partialFingerprints": {"type": "object", "additionalProperties": TEXT},
    },
    relatedLocations={"type": "array", "uniqueItems": True, "items": LOCATION},
    fixes={
        "type": "array",
        "items": closed(
            {
                "description": MESSAGE,
                "artifactChanges": {"type": "array", "minItems": 1, "items": CHANGE},
            }
        ),
    },
)
NOTIFICATION = closed(
    {"level": LEVEL, "message": MESSAGE, "locations": {"type": "array", "items": LOCATION}}
)
DRIVER = closed({"name": TEXT, "version": TEXT, "rules": {"type": "array", "items": RULE}})
INVOCATION = closed(
    {
        "executionSuccessful": {"type": "boolean"},
        "toolExecutionNotifications": {"type": "array", "items": NOTIFICATION},
    }
)
RUN = closed(
    {
        "tool": closed({"driver": DRIVER}),
        "columnKind": {"const": "unicodeCodePoints"},
        "originalUriBaseIds": closed({"%SRCROOT%": closed({"description": MESSAGE})}),
        "invocations": {"type": "array", "items": INVOCATION},
        "results": {"type": "array", "items": RESULT},
    }
)
SARIF = closed(
    {
        "$schema": {"const": "https://json.schemastore.org/sarif-2.1.0.json"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "minItems": 1, "items": RUN},
    }
)


def sarif_of(text: str) -> dict[str, Any]:
    """The one run of a valid SARIF log."""
    document = json.loads(text)
    jsonschema.validate(document, SARIF)
    Sarif.model_validate(document)
    run: dict[str, Any] = document["runs"][0]
    return run


def finding(**changes: Any) -> Finding:
    given: dict[str, Any] = {
        "code": "GF301",
        "name": "tensor-rewrap",
        "span": Span(2, 3, 2, 9),
        "message": "cut here",
        "not_fixed_reason": "no idea",
        "filename": "m.py",
        "fingerprint": "f" * 16,
    }
    return Finding(**{**given, **changes})


def run_of(*findings: Finding, failures: tuple[Failure, ...] = (), text: str = "") -> Run:
    run = Run(files=1)
    name = findings[0].filename if findings else "m.py"
    run.outcomes.append(Outcome(Source(name, text), text, findings, failures=failures))
    return run


# -- all of them ----------------------------------------------------------------------------------


def names_in(kind: str, text: str) -> set[str]:
    """The files that a report names."""
    if kind == "github":
        lines = [line.partition("::")[2].partition("::")[0] for line in text.splitlines()]
        return {line.partition("file=")[2].partition(",")[0] for line in lines}
    if kind == "gitlab":
        return {issue["location"]["path"] for issue in json.loads(text)}
    if kind == "junit":
        root = ElementTree.fromstring(text.encode())
        return {case.attrib["file"] for case in root.iter("testcase")}
    run = sarif_of(text)
    told = [*run["results"], *run["invocations"][0]["toolExecutionNotifications"]]
    return {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in told}


@pytest.mark.parametrize("kind", CI)
def test_files_are_named_from_the_repositorys_root(
    kind: str, project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".git").mkdir()
    (project / "src" / "pkg").mkdir(parents=True)
    (project / "lib").mkdir()
    put(project / "src" / "pkg", m=FAULTY, bad=PYTHON_2)
    put(project / "lib", n=FAULTY)
    from_root = gradfix("check", "--output-format", kind)
    monkeypatch.chdir(project / "src")
    from_below = gradfix("check", "--output-format", kind, "pkg", "../lib")
    wanted = {"src/pkg/m.py", "src/pkg/bad.py", "lib/n.py"}
    assert names_in(kind, from_below.out) == names_in(kind, from_root.out) == wanted
    assert (from_root.code, from_below.code) == (2, 2)


@pytest.mark.parametrize("kind", CI)
def test_without_a_repository_files_are_named_from_the_working_folder(
    kind: str, project: Path, gradfix: Gradfix
) -> None:
    put(project, m=FAULTY)
    assert names_in(kind, gradfix("check", "--output-format", kind).out) == {"m.py"}


@pytest.mark.parametrize("kind", CI)
def test_the_same_twice_gives_the_same_bytes(kind: str, project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, bad=PYTHON_2)
    first = gradfix("check", "--output-format", kind).out
    assert gradfix("check", "--output-format", kind).out == first
    assert "missing parentheses" in first.lower()


@pytest.mark.parametrize("kind", CI)
def test_apply_reports_what_is_left(kind: str, project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY + UNFIXABLE)
    out = gradfix("apply", "--output-format", kind).out
    assert "GF900" in out
    assert "torch.tensor" not in out


@pytest.mark.parametrize("kind", CI)
def test_a_notebooks_cell_is_told_in_the_message(kind: str) -> None:
    """No line of the file is the cell's line, so the place is the top, and no fix is offered."""
    edit = Edit(EditKind.REPLACE, Span(1, 1, 1, 2), "y")
    fix = Fix(Safety.SAFE, "call it y", (edit,))
    cell = finding(cell=4, fix=fix, not_fixed_reason=None, filename="n.ipynb")
    text = formats.MACHINE[kind](run_of(cell, text="x = 1\n"))
    assert "cell 4:2:3: cut here" in text.replace("%3A", ":")
    assert '"fixes"' not in text
    assert '"startLine": 2' not in text


# -- GitHub ---------------------------------------------------------------------------------------


def test_github_commands_cannot_be_broken_out_of() -> None:
    bad = finding(filename="a,b:c%.py", message="100%\r\n::set-output name=x::y")
    assert formats.MACHINE["github"](run_of(bad)) == (
        "::error title=gradfix (GF301),file=a%2Cb%3Ac%25.py,line=2,col=3,endLine=2,endColumn=9::"
        "GF301 100%25%0D%0A::set-output name=x::y\n"
    )


def test_github_ranges_over_lines_have_no_columns() -> None:
    text = formats.MACHINE["github"](run_of(finding(code="GF900", span=Span(2, 3, 5, 1))))
    assert text.startswith("::warning title=gradfix (GF900),file=m.py,line=2,endLine=5::")


# -- GitLab ---------------------------------------------------------------------------------------

GITLAB = {
    "type": "array",
    "items": closed(
        {
            "description": TEXT,
            "check_name": TEXT,
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": closed({"path": TEXT, "lines": closed({"begin": NUMBER}, end=NUMBER)}),
        }
    ),
}


def test_gitlab_issues(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, bad=PYTHON_2, unused=UNFIXABLE)
    issues = json.loads(gradfix("check", "--output-format", "gitlab").out)
    jsonschema.validate(issues, GITLAB)
    assert [(i["check_name"], i["severity"], i["location"]["lines"]["begin"]) for i in issues] == [
        ("GF301", "major", 12),
        ("GF900", "minor", 1),
        ("error", "blocker", 2),
    ]


def test_gitlab_fingerprints_are_unique() -> None:
    run = run_of(finding(), finding(), finding(fingerprint="a" * 16))
    issues = json.loads(formats.MACHINE["gitlab"](run))
    jsonschema.validate(issues, GITLAB)
    assert len({issue["fingerprint"] for issue in issues}) == 3
    assert formats.MACHINE["gitlab"](run_of()) == "[]\n"


# -- JUnit ----------------------------------------------------------------------------------------


def test_junit_counts_and_escapes() -> None:
    hostile = '<a & "b"> ]]> \x00\x1b[31m\ud800\ufffe \U0001f600'
    run = run_of(
        finding(message=hostile, because=(Note(Span(1, 1, 1, 2), "made <here>"),), help="mend it"),
        failures=(Failure("m.py", "bad \x08 text", 7),),
    )
    text = formats.MACHINE["junit"](run)
    root = ElementTree.fromstring(text.encode("utf-8"))
    suite = root[0]
    for element in (root, suite):
        assert [element.get(key) for key in ("tests", "failures", "errors")] == ["2", "1", "1"]
    found, failed = suite
    assert found.attrib == {
        "name": "GF301 at line 2", "classname": "m", "file": "m.py", "line": "2",
    }  # fmt: skip
    message = '<a & "b"> ]]> \\x00\\x1b[31m\\ud800\\ufffe \U0001f600'
    assert found[0].attrib == {"type": "GF301", "message": f"GF301 {message}"}
    assert found[0].text == (
        f"m.py:2:3: GF301 {message}\nbecause: line 1: made <here>\nhelp: mend it"
    )
    assert (failed[0].tag, failed[0].get("message")) == ("error", "bad \\x08 text")


def test_junit_has_a_passed_case_where_nothing_is_found(project: Path, gradfix: Gradfix) -> None:
    put(project, m=MENDED)
    root = ElementTree.fromstring(gradfix("check", "--output-format", "junit").out)
    assert root.attrib == {"name": "gradfix", "tests": "1", "failures": "0", "errors": "0"}
    assert [list(case) for case in root.iter("testcase")] == [[]]


# -- SARIF ----------------------------------------------------------------------------------------


def test_sarif_tells_rules_places_and_story(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, unused=UNFIXABLE)
    run = sarif_of(gradfix("check", "--output-format", "sarif").out)
    assert run["invocations"] == [{"executionSuccessful": True, "toolExecutionNotifications": []}]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["GF301", "GF900"]
    assert "Use instead" in rules[0]["help"]["markdown"]
    first, second = run["results"]
    assert [rules[r["ruleIndex"]]["id"] for r in (first, second)] == ["GF301", "GF900"]
    assert [r["level"] for r in (first, second)] == ["error", "warning"]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": "m.py", "uriBaseId": "%SRCROOT%"}
    assert place["region"] == {"startLine": 12, "startColumn": 13, "endLine": 12, "endColumn": 43}
    assert [note["id"] for note in first["relatedLocations"]] == [1, 2, 3]
    assert all(note["message"]["text"] for note in first["relatedLocations"])
    assert set(first["partialFingerprints"]) == {"primaryLocationLineHash", "gradfix/v1"}


def test_sarif_says_that_a_file_could_not_be_read(project: Path, gradfix: Gradfix) -> None:
    put(project, bad=PYTHON_2)
    run = sarif_of(gradfix("check", "--output-format", "sarif").out)
    (invocation,) = run["invocations"]
    assert invocation["executionSuccessful"] is False
    (told,) = invocation["toolExecutionNotifications"]
    region = told["locations"][0]["physicalLocation"]["region"]
    assert (told["level"], region["startLine"]) == ("error", 2)
    assert run["results"] == []


def test_sarif_uris_are_quoted_and_files_outside_are_absolute(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "in" / ".git").mkdir(parents=True)
    (project / "in" / "a b ü#?.py").write_text(FAULTY)
    put(project, out=FAULTY)
    monkeypatch.chdir(project / "in")
    run = sarif_of(gradfix("check", "--output-format", "sarif", ".", "../out.py").out)
    places = [r["locations"][0]["physicalLocation"]["artifactLocation"] for r in run["results"]]
    assert places == [
        {"uri": (project / "out.py").as_uri()},
        {"uri": "a%20b%20%C3%BC%23%3F.py", "uriBaseId": "%SRCROOT%"},
    ]


def test_sarif_fixes_are_what_apply_does(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    (result,) = sarif_of(gradfix("check", "--output-format", "sarif").out)["results"]
    (fix,) = result["fixes"]
    (change,) = fix["artifactChanges"]
    (replacement,) = change["replacements"]
    region = replacement["deletedRegion"]
    lines = FAULTY.splitlines(keepends=True)
    row = region["startLine"]
    assert (region["endLine"], region["startColumn"]) == (row, 1)
    lines[row - 1] = (
        replacement["insertedContent"]["text"] + lines[row - 1][region["endColumn"] - 1 :]
    )
    gradfix("apply")
    assert "".join(lines) == (project / "m.py").read_text() == MENDED


def test_sarif_offers_no_fix_for_a_text_that_was_not_written(
    project: Path, gradfix: Gradfix
) -> None:
    put(project, m=FAULTY)
    run = sarif_of(gradfix("apply", "--dry-run", "--output-format", "sarif").out)
    assert [("fixes" in result, result["ruleId"]) for result in run["results"]] == [
        (False, "GF301")
    ]


def test_the_schema_would_notice() -> None:
    """The check of the checks: one wrong key, one wrong type."""
    document = json.loads(formats.MACHINE["sarif"](run_of(finding())))
    jsonschema.validate(document, SARIF)
    broken = copy.deepcopy(document)
    broken["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, SARIF)
    document["runs"][0]["results"][0]["fix"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SARIF)


# -- fixes as replacements of text ----------------------------------------------------------------


def replaced(text: str, fix: Fix) -> str:
    """The text with all replacements of a fix made, as an editor makes them."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for change in reversed(replacements(text, fix)):
        span = change.span
        begin = starts[span.row - 1] + span.column - 1
        end = starts[span.end_row - 1] + span.end_column - 1
        text = text[:begin] + change.text + text[end:]
    return text


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize(
    ("before", "edits", "after"),
    [
        (
            "def f():\n    x = old(1)\n    return x\n",
            [Edit(EditKind.REPLACE, Span(2, 9, 2, 15), "new(\n1)")],
            "def f():\n    x = new(\n    1)\n    return x\n",
        ),
        (
            "def f():\n    x = 1\n    return x\n",
            [Edit(EditKind.BEFORE, Span(3, 5, 3, 13), "y = 2")],
            "def f():\n    x = 1\n    y = 2\n    return x\n",
        ),
        (
            "a = 1\nb = 2\nc = 3\n",
            [Edit(EditKind.STATEMENT, Span(3, 1, 3, 6), "")],
            "a = 1\nb = 2\n",
        ),
        (
            "a = 1\nb = 2\nc = 3\nd = 4\n",
            [
                Edit(EditKind.STATEMENT, Span(1, 1, 1, 6), ""),
                Edit(EditKind.REPLACE, Span(4, 5, 4, 6), "5"),
            ],
            "b = 2\nc = 3\nd = 5\n",
        ),
    ],
)
def test_replacements_are_the_rewriters_work(
    before: str, edits: list[Edit], after: str, newline: str, final: bool
) -> None:
    def spelled(text: str) -> str:
        text = text if final else text.removesuffix("\n")
        return text.replace("\n", newline)

    fix = Fix(Safety.SAFE, "mend", tuple(edits))
    result = replaced(spelled(before), fix)
    assert result.split() == spelled(after).split()
    if final:
        assert result == spelled(after)


def test_a_fix_that_cannot_be_made_is_not_offered() -> None:
    fix = Fix(Safety.SAFE, "mend", (Edit(EditKind.REPLACE, Span(1, 2, 1, 4), "x"),))
    assert replacements("value = 1\n", fix) == ()


def test_output_goes_to_a_file_whatever_the_format(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    for kind in CI:
        printed = gradfix("check", "--output-format", kind).out
        assert gradfix("check", "--output-format", kind, "-o", f"report.{kind}").out == ""
        assert (project / f"report.{kind}").read_text(encoding="utf-8") == printed


def test_an_output_file_that_cannot_be_written_is_said(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    result = gradfix("check", "-o", os.path.join("nowhere", "report.txt"))
    assert (result.code, result.out) == (2, "")
    assert "nowhere" in result.err
