"""The table: faulty programs with the line to blame, right programs with nothing to say."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from verify_helpers import PROGRAMS, results_of

from gradfix.verify.results import FAILING, TargetResult

_MARK = re.compile(r"# ! (.+)$")


def classes(path: Path) -> dict[str, ast.ClassDef]:
    """The module classes of a program file: those with a base."""
    tree = ast.parse(path.read_text())
    return {n.name: n for n in tree.body if isinstance(n, ast.ClassDef) and n.bases}


def expected(path: Path, node: ast.ClassDef) -> dict[str, tuple[str, set[tuple[int, str]]]]:
    """Per Parameter: the verdict, and the rows with codes that must be blamed."""
    lines = path.read_text().splitlines()
    found: dict[str, tuple[str, set[tuple[int, str]]]] = {}
    for row in range(node.lineno, (node.end_lineno or node.lineno) + 1):
        match = _MARK.search(lines[row - 1])
        for mark in match[1].split(";") if match else []:
            name, verdict, *code = mark.split()
            verdict, rows = found.setdefault(name, (verdict, set()))
            if row != node.lineno:
                rows.add((row, code[0] if code else ""))
    return found


FAULTY, RIGHT = PROGRAMS / "faulty.py", PROGRAMS / "right.py"
MARKED = {name: expected(FAULTY, node) for name, node in classes(FAULTY).items()}


@pytest.fixture(scope="module")
def faulty() -> dict[str, TargetResult]:
    return results_of(FAULTY)


@pytest.fixture(scope="module")
def right() -> dict[str, TargetResult]:
    return results_of(RIGHT)


def test_the_tables_are_large() -> None:
    assert sum(bool(marks) for marks in MARKED.values()) >= 60
    verdicts = {verdict for marks in MARKED.values() for verdict, _ in marks.values()}
    assert verdicts == FAILING
    assert len(classes(RIGHT)) >= 30


@pytest.mark.parametrize("name", [name for name, marks in MARKED.items() if marks])
def test_faulty_program(name: str, faulty: dict[str, TargetResult]) -> None:
    result = faulty[name]
    assert result.status == "failed", result
    bad = {p.name: p for p in result.parameters if p.verdict != "ok"}
    got = {key: (p.verdict, {(b.row, b.code or "") for b in p.blame}) for key, p in bad.items()}
    assert got == MARKED[name]
    assert all(b.filename.endswith("programs/faulty.py") for p in bad.values() for b in p.blame)


@pytest.mark.parametrize("name", [n for n in classes(RIGHT) if n != "Square"])
def test_right_program(name: str, right: dict[str, TargetResult]) -> None:
    result = right[name]
    assert result.status == "passed", result
    assert {p.verdict for p in result.parameters} == {"ok"}
    assert [p.blame for p in result.parameters if p.blame] == []


def test_a_fault_is_blamed_where_it_happens(faulty: dict[str, TargetResult]) -> None:
    [bad] = [p for p in faulty["WithFaultInside"].parameters if p.verdict != "ok"]
    assert (bad.name, bad.verdict) == ("part.w", "severed")
    assert [b.function for b in bad.blame] == ["DataUsed.forward"]
    [hidden] = [p for p in faulty["HiddenInObject"].parameters if p.verdict != "ok"]
    assert (hidden.name, hidden.verdict) == ("helper.gain", "unregistered")
    assert [b.function for b in hidden.blame] == ["PlainHelper.__init__"]


def test_a_class_that_is_no_module_is_no_target(right: dict[str, TargetResult]) -> None:
    assert "Square" not in right


def test_frozen_parameters_are_not_missing(right: dict[str, TargetResult]) -> None:
    [fixed] = [p for p in right["Frozen"].parameters if p.name == "fixed"]
    assert (fixed.trainable, fixed.verdict) == (False, "ok")


def test_in_place_names_both_lines(faulty: dict[str, TargetResult]) -> None:
    [w] = faulty["SigmoidOverwritten"].parameters
    assert [b.kind for b in w.blame] == ["overwritten", "saved"]
    assert w.blame[0].row == w.blame[1].row + 1


def test_straight_through_is_said_not_blamed(right: dict[str, TargetResult]) -> None:
    weight = right["StraightThrough"].parameters[0]
    assert weight.confidence == "likely"
    assert "straight-through" in weight.message
