"""JUnit XML: a suite per file, a failed case per finding, an error per file that cannot be read.

The format, which has no owner: https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from xml.etree import ElementTree

from gradfix.model import Failure, Finding
from gradfix.report import Run
from gradfix.report.places import from_root, message, row_of, shown, span, text_of

#: What no XML 1.0 document may hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(run: Run) -> str:
    """A whole document. Without anything to say it holds one passed case: readers want one."""
    suites: dict[str, tuple[list[Finding], list[Failure]]] = {}
    for finding in shown(run):
        suites.setdefault(from_root(finding.filename), ([], []))[0].append(finding)
    for failure in run.failures:
        suites.setdefault(from_root(failure.filename), ([], []))[1].append(failure)
    top = ElementTree.Element("testsuites", {"name": "gradfix"})
    for name in sorted(suites):
        _suite(top, name, *suites[name])
    if not suites:
        suite = _element(top, "testsuite", {"name": "gradfix", **_counts(1, 0, 0)})
        _element(suite, "testcase", {"name": "no findings", "classname": "gradfix"})
    found = [len(findings) for findings, _ in suites.values()]
    wrong = [len(failures) for _, failures in suites.values()]
    for key, count in _counts(sum(found) + sum(wrong) or 1, sum(found), sum(wrong)).items():
        top.set(key, count)
    ElementTree.indent(top)
    body = ElementTree.tostring(top, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _suite(
    top: ElementTree.Element, name: str, findings: Iterable[Finding], failures: Iterable[Failure]
) -> None:
    findings, failures = list(findings), list(failures)
    counts = _counts(len(findings) + len(failures), len(findings), len(failures))
    suite = _element(top, "testsuite", {"name": name, **counts})
    for finding in findings:
        at, text = span(finding), f"{finding.code} {message(finding)}"
        case = _case(suite, finding.code, name, at.row)
        story = [f"{name}:{at.row}:{at.column}: {text}"]
        story += [f"because: line {note.span.row}: {note.message}" for note in finding.because]
        story += [f"help: {finding.help}"] if finding.help else []
        _element(case, "failure", {"type": finding.code, "message": text}, "\n".join(story))
    for failure in failures:
        case = _case(suite, "error", name, row_of(failure))
        text = f"{name}:{row_of(failure)}: {text_of(failure)}"
        _element(case, "error", {"type": "error", "message": text_of(failure)}, text)


def _case(suite: ElementTree.Element, name: str, filename: str, row: int) -> ElementTree.Element:
    return _element(
        suite,
        "testcase",
        {
            "name": f"{name} at line {row}",
            "classname": str(PurePosixPath(filename).with_suffix("")).replace("/", "."),
            "file": filename,
            "line": str(row),
        },
    )


def _counts(tests: int, failures: int, errors: int) -> dict[str, str]:
    return {"tests": str(tests), "failures": str(failures), "errors": str(errors)}


def _element(
    parent: ElementTree.Element, tag: str, attributes: dict[str, str], text: str | None = None
) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, tag, {k: _legal(v) for k, v in attributes.items()})
    element.text = _legal(text) if text is not None else None
    return element


def _legal(text: str) -> str:
    """The text with what XML cannot hold written as Python would escape it."""
    return _FORBIDDEN.sub(lambda found: ascii(found[0])[1:-1], text)
