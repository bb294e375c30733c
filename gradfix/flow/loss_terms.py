"""The terms of a differentiated loss, and those that train nothing.

Terms: the *terms* of a loss are what is added up to it, through names, branches and the functions
of the file. A term is *idle* when it certainly has no history although it was computed from a
value that had one: it changes the loss and no gradient. The *cut* is the operation that took the
history away.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.module import ModuleFlow
from gradfix.flow.queries import CASTS, VIEWS
from gradfix.flow.received import is_recorded, mode_at
from gradfix.flow.severed import severed
from gradfix.flow.state import Backward, Call, GradMode
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Role, Value, element_of
from gradfix.flow.walk import Walk

#: How many values back the cut of one term is looked for.
_REACH = 400
_ADDS = frozenset({"add", "sub", "add_", "sub_", "neg", "positive", "write", "join", "rsub"})
_SCALES = frozenset({"mul", "div", "mul_", "div_"})
#: Operations after which a copy still is one.
_COPIES = CASTS | VIEWS | {"sum", "mean"}
_NUMBERS = frozenset({Kind.NUMBER, Kind.FOREIGN})


@dataclass(frozen=True, slots=True)
class IdleTerm:
    """A term without history, what cut it off, and where the loss is differentiated."""

    term: ast.expr
    cuts: tuple[Value, ...]
    leaves_torch: bool  # through a number or an array
    place: ast.AST

    @property
    def cut_nodes(self) -> list[ast.expr]:
        """Where the history ends, the first three places."""
        nodes = [cut.node for cut in self.cuts if isinstance(cut.node, ast.expr)]
        return sorted(nodes, key=lambda node: (node.lineno, node.col_offset))[:3]

    @property
    def ops(self) -> set[str]:
        """The operations that cut."""
        return {cut.cut or cut.op for cut in self.cuts}


def idle_terms(flow: ModuleFlow) -> tuple[IdleTerm, ...]:
    """Every term of a differentiated loss in the file that trains nothing."""
    known: tuple[IdleTerm, ...] | None = flow.__dict__.get("_idle_terms")
    if known is None:
        known = flow.__dict__["_idle_terms"] = tuple(_idle_terms(flow))
    return known


def _idle_terms(flow: ModuleFlow) -> Iterator[IdleTerm]:
    if flow.freezes_parameters:
        return  # which values are meant to have a history is not certain in such a file
    losses = list(differentiated(flow))
    if not losses:
        return
    flow.complete()
    reported = {cut.value.node for cut in severed(flow)}
    seen: set[ast.AST] = set()
    for place, loss in losses:
        if is_meant_to_raise(flow, place):
            continue
        parts = terms(loss)
        if any(map(_is_copy, parts)):
            continue  # ``hard + soft - soft.detach()``: the terms shape the value on purpose
        for term in parts:
            node = term.node
            if node in seen or not isinstance(node, ast.expr) or not _is_idle(term):
                continue
            if is_meant_to_raise(flow, node):
                continue  # the value is that of the handler, where this has raised
            found = _cuts(flow, term)
            if found is None or any(cut.node in reported for cut in found[0]):
                continue
            if _shapes_others(found[0], [one for one in parts if not _is_idle(one)]):
                continue
            seen.add(node)
            yield IdleTerm(node, *found, place)


def differentiated(flow: ModuleFlow) -> Iterator[tuple[ast.AST, Value]]:
    """Everything that ``backward`` is called on, also what raises then."""
    for backward in flow.all(Backward):
        yield backward.node, backward.loss
    for call in flow.all(Call):
        if call.name == ".backward" and call.receiver is not None:
            if call.receiver.kind in _NUMBERS:
                yield call.node, call.receiver


def terms(loss: Value) -> list[Value]:
    """What is added up to a loss; a factor that is a plain number is left out."""
    found: list[Value] = []
    walk = Walk([loss], _REACH)
    for at in walk:
        if (result := returned(at)) is not None:
            walk.further([result])
        elif at.op in _ADDS:
            walk.further(at.inputs)
        elif at.op in _SCALES or _is_binary(at, (ast.Mult, ast.Div)):
            scaled = [one for one in at.inputs if not _is_plain(one)]
            walk.further(scaled if len(scaled) == 1 else ())
            found += [] if len(scaled) == 1 else [at]
        elif _is_binary(at, (ast.Add, ast.Sub)):
            walk.further(at.inputs)
        else:
            found.append(at)
    return found


def returned(value: Value) -> Value | None:
    """What the function of the file returns whose call this is; None for any other value."""
    if value.op != "call" or not value.inputs:
        return None
    result = value.inputs[0]
    return result if (result.kind, result.name) == (value.kind, value.name) else None


def _is_binary(value: Value, kinds: tuple[type[ast.operator], ...]) -> bool:
    """Whether a value that is no tensor for certain was made by one of these operators."""
    return isinstance(value.node, (ast.BinOp, ast.AugAssign)) and (
        isinstance(value.node.op, kinds) and not value.is_tensor and len(value.inputs) == 2
    )


def _is_plain(value: Value) -> bool:
    """Whether this is a number that no tensor went into."""
    return value.kind is Kind.NUMBER and not value.inputs


def _is_idle(term: Value) -> bool:
    """Whether a term certainly has no history."""
    if term.kind is Kind.TENSOR:
        return term.role == Role.UNTRACKED
    return term.kind in _NUMBERS


def _is_copy(term: Value) -> bool:
    """Whether a term is a copy that was made without its history, and nothing but that."""
    while term.op in _COPIES and term.inputs and term.inputs[0].is_tensor:
        term = term.inputs[0]
    return term.is_tensor and term.op in ("detach", "data")


def _cuts(flow: ModuleFlow, term: Value) -> tuple[tuple[Value, ...], bool] | None:
    """The operations that took the history of a term, and whether it left PyTorch on the way.

    None where there is nothing to lose, or grad mode is off: nobody expects a history there.
    """
    found: dict[ast.AST, Value] = {}
    goes_to: dict[Value, Value] = {}
    away = False
    walk = Walk([term], _REACH)
    for at in walk:
        sources = _sources(at)
        for source in sources:
            goes_to.setdefault(source, at)
        recorded = at.op != "join" and any(is_recorded(flow, one) for one in sources)
        if at.node is not None and recorded:
            if at.cut == "no_grad" or mode_at(flow, at.node) is not GradMode.ON:
                return None
            found.setdefault(at.node, at)
            away = away or _leaves_torch(at, goes_to)
        else:
            walk.further(sources)
    return (tuple(found.values()), away) if found else None


def _shapes_others(cuts: tuple[Value, ...], live: list[Value]) -> bool:
    """Whether a number goes into the terms that train, too.

    ``(x - m).logsumexp(0) + m``: it is put in and taken out again, and the gradient is right.
    """
    nodes = {cut.node for cut in cuts}
    walk = Walk(live, _REACH)
    for at in walk:
        if at.node in nodes:
            return True
        result = returned(at)
        walk.further([result] if result is not None else at.inputs)
    return False


def _leaves_torch(cut: Value, goes_to: dict[Value, Value]) -> bool:
    """Whether there is a number or an array on the way from a cut to its term."""
    at: Value | None = cut
    seen: set[Value] = set()
    while at is not None and at not in seen:
        if at.kind in _NUMBERS:
            return True
        seen.add(at)
        at = goes_to.get(at)
    return False


def _sources(value: Value) -> tuple[Value, ...]:
    """What the numbers in a value were computed from."""
    if (result := returned(value)) is not None:
        return (result,)  # which knows its own sources
    if value.kind is Kind.SEQUENCE:
        element = element_of(value)
        return () if element is None else (element,)
    if value.kind is Kind.TENSOR:
        op = op_facts(value.op, "function") or op_facts(value.op, "method")
        if value.op == "grad" or (op is not None and (op.like or op.factory)):
            return ()
        return value.inputs
    return value.inputs if value.kind in _NUMBERS else ()


def is_only_added(flow: ModuleFlow, node: ast.expr) -> bool:
    """Whether this is ``x.item()`` and nothing happens to the number but sums and scaling."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    if node.func.attr != "item" or node.args or node.keywords:
        return False
    parent = flow.parents.get(node)
    while isinstance(parent, (ast.BinOp, ast.UnaryOp)):
        parent = flow.parents.get(parent)
    return isinstance(parent, (ast.Assign, ast.AugAssign, ast.Return))
