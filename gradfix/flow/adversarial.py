"""A generator that is to fool a network, and is detached before that network judges it.

A network that judges (the *judge*) is trained on detached samples, right: its own loss must not
reach the generator. In the generator's loss the same detach leaves a term that trains the judge
only. What tells the two losses apart is what else is in them: the generator's has another term in
which the sample keeps its history, and the judge's judges something else as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradfix.flow.loss_terms import differentiated, returned, terms
from gradfix.flow.module import ModuleFlow
from gradfix.flow.values import Certainty, Kind, Value
from gradfix.flow.walk import Walk

#: How many values back the calls in a loss are looked for.
_REACH = 600
_COPIES = frozenset({"detach", "data"})


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A detach in a generator's loss, the term that keeps the history, and the other loss."""

    detach: ast.expr
    term: ast.AST
    attached: ast.AST
    judged: ast.AST


@dataclass(frozen=True, slots=True)
class _Verdict:
    """One call of a judge: by which name, where, and the samples it is given without history."""

    judge: str
    node: ast.Call
    detached: tuple[Value, ...]


def unjudged(flow: ModuleFlow) -> Iterator[Unjudged]:
    """Every generator's loss in the file whose judge is given the detached sample."""
    losses = _alternatives(flow)
    if len(losses) < 2:
        return
    seen: set[ast.AST] = set()
    for loss in losses:
        parts = terms(loss)
        for part in parts:
            for verdict in _verdicts(flow, part):
                for copy in verdict.detached:
                    found = _unjudged(flow, losses, loss, parts, part, verdict, copy)
                    if found is not None and found.detach not in seen:
                        seen.add(found.detach)
                        yield found


def _unjudged(
    flow: ModuleFlow,
    losses: list[Value],
    loss: Value,
    parts: list[Value],
    part: Value,
    verdict: _Verdict,
    copy: Value,
) -> Unjudged | None:
    sample = copy.inputs[0].node
    if sample is None or not isinstance(copy.node, ast.expr) or part.node is None:
        return None
    attached = next((one.node for one in parts if sample in _nodes(one)), None)
    mine = [one for one in _verdicts(flow, loss) if one.judge == verdict.judge]
    if attached is None or sample in _nodes(part) or not all(one.detached for one in mine):
        return None
    for other in losses:
        theirs = [one for one in _verdicts(flow, other) if one.judge == verdict.judge]
        alone = sample not in _nodes(other)
        if alone and any(v.detached for v in theirs) and any(not v.detached for v in theirs):
            return Unjudged(copy.node, part.node, attached, theirs[0].node)
    return None


def _alternatives(flow: ModuleFlow) -> list[Value]:
    """The losses of the file, each branch and each ``return`` on its own."""
    found: list[Value] = []
    walk = Walk([loss for _, loss in differentiated(flow)], _REACH)
    for at in walk:
        if (result := returned(at)) is not None:
            walk.further([result])
        elif at.op == "join":
            walk.further(at.inputs)
        else:
            found.append(at)
    return found


def _history(value: Value) -> Iterator[Value]:
    """The values a history may go through, this one included."""
    walk = Walk(_carriers((value,)), _REACH)
    for at in walk:
        if at.kind is Kind.SEQUENCE or at.needs_grad is not Certainty.NO:
            yield at
            walk.further(_carriers(at.inputs))


def _carriers(values: Iterable[Value]) -> Iterator[Value]:
    """Those of the values that may carry a history."""
    return (one for one in values if one.kind in (Kind.TENSOR, Kind.UNKNOWN, Kind.SEQUENCE))


def _nodes(value: Value) -> set[ast.AST]:
    return {at.node for at in _history(value) if at.node is not None}


def _verdicts(flow: ModuleFlow, value: Value) -> list[_Verdict]:
    """The calls of networks that a value was computed by."""
    found: dict[ast.AST, _Verdict] = {}
    for at in _history(value):
        node = at.node
        if not isinstance(node, ast.Call) or node in found or at.op not in ("layer", "call", ""):
            continue
        if flow.value(node.func).kind not in (Kind.MODULE, Kind.INSTANCE, Kind.UNKNOWN):
            continue
        copies = tuple(one for one in at.inputs if one.op in _COPIES and one.inputs)
        found[node] = _Verdict(ast.unparse(node.func), node, copies)
    return list(found.values())
