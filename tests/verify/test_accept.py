"""The rules of acceptance, on results written by hand: no child, no torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gradfix import fix_source
from gradfix.model import Edit, EditKind, Finding, Fix, Outcome, Safety, Source, Span, Values
from gradfix.verify.accept import Judgement, judge
from gradfix.verify.agree import disagreement
from gradfix.verify.changes import Change, Lines, Place, changes_of
from gradfix.verify.results import Blame, ParameterResult, TargetResult, status_of
from gradfix.verify.session import Observed

FINDING = Finding("GF301", "tensor-rewrap", Span(5, 1, 5, 9), "cut")


def change(row: int = 5, values: Values = Values.SAME, owner: str | None = "Net") -> Change:
    return Change(FINDING, values, True, owner, (Place(frozenset({row}), frozenset({row})),))


def value(name: str = "output 0", digest: str = "a", **more: Any) -> dict[str, Any]:
    entry = {
        "name": name,
        "number": False,
        "shape": [2],
        "dtype": "float32",
        "digest": digest,
        "norm": 1.0,
        "sums": [1.0, 2.0],
        "sample": [1.0, 2.0],
    }
    return {**entry, **more}


def said(**more: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "driven_by": "inferred",
        "call": "Net()()",
        "error": None,
        "why": None,
        "values": [value()],
        "gradients": {"w": value("w")},
        "rows": [4, 5],
    }
    return {**entry, **more}


def parameter(verdict: str = "ok", name: str = "w", row: int | None = None) -> ParameterResult:
    blame = (Blame("m.py", row, "f", "cut", "cut here", "GF301"),) if row else ()
    return ParameterResult(name, (2,), True, verdict, message=f"says {verdict}", blame=blame)


def version(*parameters: ParameterResult, witness: Any = (), **more: Any) -> Observed:
    result = TargetResult("m.py:Net", status_of(parameters), parameters=parameters)
    witnessed = {"Net": list(witness or [said()])}
    return Observed(results=[result], witnessed=witnessed, **{"imported": "import", **more})


def undriven(reason: str = "no way") -> Observed:
    result = TargetResult("m.py:Net", "not_verified", reason)
    return Observed(results=[result], witnessed={}, imported="import")


BROKEN = said(error="RuntimeError: in-place", values=None, gradients={})
FROZEN = replace(parameter(), trainable=False)
OTHER = said(values=[value(digest="b")])
CUT, OK = parameter("severed", row=5), parameter()


@pytest.mark.parametrize(
    ("before", "after", "values", "said_of_it"),
    [
        # what may be kept and is proven
        (version(CUT), version(OK), Values.SAME, ""),
        (version(OK), version(OK), Values.SAME, ""),
        (version(parameter("inplace", row=5), witness=[BROKEN]), version(OK), Values.SAME, ""),
        (version(parameter("inconclusive")), version(OK), Values.SAME, ""),
        (version(OK), version(OK, witness=[OTHER]), Values.CHANGED, ""),
        (version(parameter("unused")), version(parameter("unused")), Values.SAME, ""),
        (version(OK), version(FROZEN), Values.CHANGED, ""),
        # what may not
        (version(OK), version(FROZEN), Values.SAME, "w is frozen now"),
        (version(OK), version(CUT), Values.SAME, "was ok and is severed"),
        (version(CUT), version(CUT), Values.SAME, "is not mended"),
        (version(OK), version(parameter("inconclusive")), Values.SAME, "cannot be verified now"),
        (
            version(CUT),
            version(OK, witness=[OTHER]),
            Values.SAME,
            "diff",
        ),
        (version(OK), version(), Values.SAME, "w is no Parameter any more"),
        (version(OK), version(OK, parameter("unused", "v")), Values.SAME, "was no Parameter and"),
        (version(OK), undriven("it raises"), Values.SAME, "cannot be run any more: it raises"),
        (
            version(OK, witness=[said(), said(call="Net(2)()")]),
            version(OK),
            Values.SAME,
            "Net(2)() cannot be run any more",
        ),
        (
            version(OK),
            version(OK, witness=[said(gradients={"w": value("w", "b", sums=[9.0, 9.0])})]),
            Values.SAME,
            "w has another gradient now",
        ),
        (
            version(OK),
            version(OK, imported="definitions", why_not_imported="NameError: x"),
            Values.SAME,
            "the file cannot be imported any more: NameError: x",
        ),
        # what may be kept and is not proven
        (undriven("no way"), undriven("no way"), Values.SAME, "unverified: Net: no way"),
        (undriven("no way"), version(OK), Values.SAME, "unverified: Net: no way"),
        (
            version(OK, witness=[said(rows=[4])]),
            version(OK, witness=[said(rows=[4])]),
            Values.SAME,
            "unverified: line 5 was not run",
        ),
        (
            version(CUT, witness=[said(values=None, why="two runs differ")]),
            version(OK, witness=[said(values=None, why="two runs differ")]),
            Values.SAME,
            "unverified: Net: two runs differ",
        ),
    ],
)
def test_one_class(before: Observed, after: Observed, values: Values, said_of_it: str) -> None:
    found = judge(before, after, [change(values=values)], frozenset())
    if not said_of_it:
        assert found == Judgement()
    elif said_of_it.startswith("unverified: "):
        assert not found.refused
        assert said_of_it.removeprefix("unverified: ") in found.unverified[0]
    else:
        assert said_of_it in "; ".join(found.refused)


def test_a_fault_that_nothing_mends_is_no_reason_to_refuse_the_others() -> None:
    before, after = version(CUT), version(parameter("severed", row=9))
    assert judge(before, after, [change()], frozenset()).refused
    assert judge(before, after, [change()], frozenset({9})) == Judgement()
    # but it excuses nothing that was right
    assert judge(version(OK), after, [change()], frozenset({9})).refused


def test_a_hidden_layer_keeps_its_name_when_it_is_registered() -> None:
    before = version(parameter("unregistered", "layers[0].w", 5), parameter("ok", "v"))
    after = version(parameter("ok", "layers.0.w"), parameter("ok", "v"))
    assert judge(before, after, [change()], frozenset()) == Judgement()
    still = version(parameter("unregistered", "layers['0'].w", 5), parameter("ok", "v"))
    assert "is not mended" in judge(before, still, [change()], frozenset()).refused[0]


def test_a_bug_of_ours_proves_nothing() -> None:
    from gradfix.model import Failure

    broken = version(OK)
    broken.failures.append(Failure("m.py", "internal error while verifying Net"))
    found = judge(version(OK), broken, [change()], frozenset())
    assert found.unverified == {0: "internal error while verifying Net"}


# -- values ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "promise", "reason"),
    [
        (value(), value(), Values.SAME, None),
        (value(), value(digest="b", sample=[1.0, 2.5]), Values.SAME, "2 became 2.5"),
        (value(), value(digest="b"), Values.SAME, "in elements that are not shown"),
        (value(), value(dtype="float64"), Values.SAME, "is float64 of shape (2,), not float32"),
        (value(), value(shape=[2, 1]), Values.CLOSE, "is float32 of shape (2, 1)"),
        (value(), value(digest="b", sums=[1.0 + 1e-6, 2.0]), Values.CLOSE, None),
        (value(), value(digest="b", sums=[1.1, 2.0]), Values.CLOSE, "differs"),
        (value(), value(digest="b", sample=[1.0, "nan"]), Values.CLOSE, "2 became nan"),
        (value(shape=[], number=True), value(shape=[], digest="b"), Values.CLOSE, None),
        (value(shape=[], number=True), value(shape=[]), Values.SAME, "of shape ()"),
        (value(), value(digest="b", shape=[7]), Values.CHANGED, None),
    ],
)
def test_values(
    old: dict[str, Any], new: dict[str, Any], promise: Values, reason: str | None
) -> None:
    found = disagreement([old], [new], promise)
    assert found is None if reason is None else found is not None and reason in found


def test_a_missing_value_is_a_difference() -> None:
    assert disagreement([value()], [], Values.SAME) == "gives 0 values instead of 1"


# -- places ------------------------------------------------------------------------------------

TEXT = """\
import torch


class Net(torch.nn.Module):
    def forward(self, x):
        if x:
            y = f(
                x,
            )
        else:
            y = x
        return y
"""


def outcome(*spans: Span, after: str = TEXT) -> Outcome:
    edits = tuple(Edit(EditKind.REPLACE, span, "z") for span in spans)
    finding = replace(FINDING, fix=Fix(Safety.SAFE, "t", edits, Values.CLOSE))
    source = Source("m.py", TEXT)
    return Outcome(source, after, fixed=(finding,), found_in=(TEXT,))


def test_an_edit_stands_for_its_statement() -> None:
    [found] = changes_of(outcome(Span(8, 17, 8, 18)))
    assert (found.owner, found.values, found.safe, found.row) == ("Net", Values.CLOSE, True, 7)
    assert found.places == (Place(frozenset({7, 8, 9}), frozenset({7, 8, 9})),)
    assert found.ran(frozenset({8}), frozenset())
    assert not found.ran(frozenset({6, 11}), frozenset({6, 11}))


def test_a_condition_is_not_its_branches() -> None:
    [found] = changes_of(outcome(Span(6, 12, 6, 13)))
    assert found.places == (Place(frozenset({6}), frozenset({6})),)


def test_code_outside_of_functions_is_not_run_by_a_call() -> None:
    [found] = changes_of(outcome(Span(1, 8, 1, 13)))
    assert found.places == ()
    assert not found.ran(frozenset({1}), frozenset({1}))


def test_lines_move() -> None:
    after = TEXT.replace("import torch\n", "import torch\n# one\n# two\n").replace(
        "            y = x\n", "            y = g(\n                x)\n"
    )
    lines = Lines(TEXT, after)
    assert lines.rows({6, 12}) == {8, 15}
    assert lines.rows({11}) == {13, 14}
    assert Lines(after, TEXT).rows({2, 14}) == {11}


def test_fixes_of_later_rounds_are_placed_in_the_first_text() -> None:
    faulty = (
        "import torch\nfrom torch import nn\n\nclass N(nn.Module):\n    def __init__(self):\n"
        "        super().__init__()\n        self.a = nn.Parameter(torch.rand(()))\n"
        "        self.b = nn.Parameter(torch.rand(()))\n"
        "        self.c = nn.Parameter(torch.rand(()))\n\n    def forward(self, x):\n"
        "        w = torch.zeros(2)\n        w[0] = self.a\n        w[1] = self.b\n"
        "        v = torch.tensor([self.c, self.c * 2])\n        return (w * v * x).sum()\n"
    )
    done = fix_source(faulty)
    assert len(done.fixed) == len(done.found_in) == 2
    rows = {c.finding.code: set().union(*(p.before for p in c.places)) for c in changes_of(done)}
    assert rows == {"GF302": {12, 13, 14}, "GF301": {15}}
