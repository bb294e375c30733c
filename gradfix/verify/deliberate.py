"""Tells a gradient lost by accident from one stopped on purpose.

NOTE the rules. The gradient of a Parameter differs from the derivative, and dead edges lie between
it and the result. The cut is *straight-through* when the same value enters one sum live with one
sign and cut with the other: ``x + (q - x).detach()``. It is *deliberate or not, ask* when the value
that was cut also goes on live (SimSiam, a codebook loss), when it depends on the inputs (a target),
when values are masked with one number, or when the user wrote the backward. It is *wrong* when
copying values made the cut, when an in-place write hid from autograd, or when a value made of
Parameters alone has no other way.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gradfix.verify import blame as lines
from gradfix.verify.blame import Places
from gradfix.verify.examine import Run
from gradfix.verify.graph import Call, Edge, Graph
from gradfix.verify.results import Blame

_DEPTH = 12
_OVERWRITES = "overwrites the Parameter, unseen by autograd"
#: ``scores.data.masked_fill_(mask, -99)`` before a softmax: what is masked has no weight there.
_MASKS = "masked_fill"
_DRAWS = ("normal", "bernoulli", "multinomial", "binomial", "poisson", "_standard_gamma")
_RANDOM = ("rand", "normal", "bernoulli", "multinomial", "dropout", "uniform", "exponential")


@dataclass(frozen=True, slots=True)
class Question:
    """``kind`` is wrong, straight-through, or question."""

    kind: str
    text: str
    blame: tuple[Blame, ...] = ()


def wrong_or_question(run: Run, parameter: torch.Tensor, places: Places) -> Question:
    """What to make of a gradient that is not the derivative."""
    graph, nodes = run.tracer.graph, run.nodes(parameter)
    if own := _overwritten(graph, nodes):
        written = tuple(b for c in own if (b := places.blame(c.site, "in-place", _OVERWRITES)))
        rows = ", ".join(str(b.row) for b in written)
        text = f"the call itself writes to it at line {rows or '?'}: an initialization?"
        return Question("question", text, written)
    cuts = [e for e in graph.cuts(nodes, run.roots) if lines.is_smooth_cut(e.call)]
    cuts = _outermost(graph, cuts, run.roots)
    if not cuts:
        return _without_cut(run, nodes, places)
    twins = [e for e in cuts if _is_straight_through(graph, e, run.roots)]
    rest = [e for e in cuts if e not in twins]
    if not rest:
        where = lines.describe_cut(cuts[0].call, places)
        return Question(
            "straight-through",
            f"straight-through estimator at line {where.row if where else '?'}",
        )
    hidden = _hidden_writes(graph, rest, run.roots)
    masks = bool(hidden) and all(e.call.name.startswith(_MASKS) for e in hidden)
    if not hidden or masks:
        accidents = [e for e in rest if e not in hidden and _is_accident(run, e)]
    else:
        accidents = hidden
    blames = tuple(lines.cut_blames(graph, accidents or hidden or rest, places))
    if accidents:
        return Question("wrong", "", blames)
    rows = ", ".join(str(row) for row in sorted({b.row for b in blames})) or "?"
    masked = f"values are masked at line {rows}, unseen by autograd"
    return Question(
        "question", f"{masked if masks else f'stop-gradient at line {rows}'}: intended?", blames
    )


def _overwritten(graph: Graph, nodes: set[int]) -> list[Call]:
    """Writes of the run to the Parameter itself, as those of a first batch that initializes it.

    What it held before then does not show in the result, so no difference can tell its gradient.
    """
    edges = (e for node in nodes for e in graph.incoming[node] if e.source in nodes)
    calls = {e.call.index: e.call for e in edges if e.call.phase == "run" and e.call.leaf_write}
    return [calls[index] for index in sorted(calls)]


def is_sampled(graph: Graph, edge: Edge, roots: set[int]) -> bool:
    """Whether what was cut only reaches the result as the parameters of a random draw.

    ``Distribution.sample`` draws without a gradient by design: a policy that returns actions is
    trained through another method, by the probability of what was drawn.
    """
    drawn = {
        node
        for call in graph.calls
        if call.phase == "run" and call.name.startswith(_DRAWS)
        for node in call.outputs
    }
    todo, seen = [edge.target], {edge.target}
    while todo:
        node = todo.pop()
        if node in drawn:
            continue
        if node in roots:
            return False
        for following in graph.outgoing[node]:
            if following.target not in seen:
                seen.add(following.target)
                todo.append(following.target)
    return True


def _without_cut(run: Run, nodes: set[int], places: Places) -> Question:
    for call in run.tracer.graph.on_path(nodes, run.roots):
        if call.custom:
            where = places.blame(call.site, call.name, "defines its own backward")
            text = f"{call.name} at line {where.row if where else '?'} defines its own backward"
            return Question("question", f"{text}: intended?", (where,) if where else ())
    return Question("question", "no line was found that explains it")


def _outermost(graph: Graph, cuts: list[Edge], roots: set[int]) -> list[Edge]:
    """Cuts whose value goes on without passing another cut: inner ones change nothing."""
    live_to_root = graph.sources_of(roots, live_only=True)
    outer = []
    for edge in cuts:
        todo, seen = [edge.target], {edge.target}
        while todo:
            node = todo.pop()
            if node in live_to_root:
                outer.append(edge)
                break
            for following in graph.outgoing[node]:
                if following.target not in seen and following not in cuts:
                    seen.add(following.target)
                    todo.append(following.target)
    return outer or cuts


def _hidden_writes(graph: Graph, cuts: list[Edge], roots: set[int]) -> list[Edge]:
    """Writes autograd cannot see, into values it has recorded, fed by what was cut."""
    needed = graph.sources_of(roots)
    todo, seen = [edge.target for edge in cuts], {edge.target for edge in cuts}
    found = [edge for edge in cuts if _hides(edge.call)]
    while todo:
        for edge in graph.outgoing[todo.pop()]:
            if edge.target in needed and edge.target not in seen:
                seen.add(edge.target)
                todo.append(edge.target)
                found += [edge] if _hides(edge.call) else []
    return found


def _hides(call: Call) -> bool:
    """Whether a write falsifies what was recorded. One that sets a Parameter is asked about."""
    return call.hidden_write and not call.leaf_write


def _is_accident(run: Run, edge: Edge) -> bool:
    graph, call = run.tracer.graph, edge.call
    if lines.is_conversion(call):
        return True
    if call.leaf_write or call.inference or not call.grad_mode:
        return False
    others = [e for e in graph.outgoing[edge.source] if e.call is not call]
    needed = graph.sources_of(run.roots)
    if any(e.target in needed for e in others):
        return False
    return not _depends_on_inputs(run, edge.source)


def _depends_on_inputs(run: Run, node: int) -> bool:
    """Whether an input or something random went into a value."""
    graph = run.tracer.graph
    drawn = {
        n
        for call in graph.calls
        if call.phase == "run" and call.name.startswith(_RANDOM)
        for n in call.outputs
    }
    return bool(graph.sources_of({node}) & (run.inputs | drawn))


def _is_straight_through(graph: Graph, edge: Edge, roots: set[int]) -> bool:
    """Whether some sum takes one value live with one sign and cut with the other."""
    todo, seen = [edge.target], {edge.target}
    while todo:
        node = todo.pop()
        live, cut = _terms(graph, node)
        if any((value, -sign) in live for value, sign in cut):
            return True
        for following in graph.outgoing[node]:
            linear = following.call.signs or len(following.call.inputs) == 1
            if linear and following.target not in seen:
                seen.add(following.target)
                todo.append(following.target)
    return False


def _terms(graph: Graph, node: int) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
    """A sum written out: its terms with their signs, those reached live and those behind a cut."""
    live: set[tuple[int, int]] = set()
    cut: set[tuple[int, int]] = set()
    todo = [(node, 1, True, 0)]
    while todo:
        at, sign, alive, depth = todo.pop()
        (live if alive else cut).add((at, sign))
        edges = graph.incoming[at]
        if not edges or depth > _DEPTH:
            continue
        call = edges[0].call
        if call.name in ("detach", "data", "clone", "contiguous", "to") and len(edges) == 1:
            todo.append((edges[0].source, sign, alive and edges[0].live, depth + 1))
        elif call.signs and len(call.signs) == len(call.inputs):
            by_source = {e.source: e.live for e in edges}
            for source, factor in zip(call.inputs, call.signs, strict=True):
                # A dead operand of a live sum is a constant to it: everything below is cut.
                step = alive and by_source.get(source, False)
                todo.append((source, sign * factor, step, depth + 1))
    return live, cut
