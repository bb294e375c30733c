"""Questions several codemods ask: is this used as the leaf, does it reach the loss?

Each answer is derived from recorded facts; none looks at how names are spelled.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow import layers
from gradfix.flow.dtypes import INTEGER, is_integer
from gradfix.flow.expected import OF_NON_LEAVES, is_absence_expected, is_meant_to_raise
from gradfix.flow.module import ModuleFlow
from gradfix.flow.reached import run_by_forward
from gradfix.flow.state import (
    AttributeStore,
    Backward,
    Call,
    GradMode,
    GradRead,
    OptimizerMade,
    Saved,
    Scope,
    Write,
)
from gradfix.flow.values import Certainty, Kind, Value, parts_of
from gradfix.flow.walk import united

#: Operations that only change shape, place or element type of what they get.
VIEWS = frozenset(
    """view reshape t transpose permute squeeze unsqueeze flatten expand view_as reshape_as narrow
    swapaxes movedim unflatten""".split()
)
CASTS = frozenset("to float double half bfloat16 cuda cpu type type_as contiguous".split())


def origins(flow: ModuleFlow, value: Value) -> frozenset[ast.AST]:
    """The nodes that may have made this very tensor, through joins and in-place writes."""
    known: dict[int, tuple[Value, frozenset[ast.AST]]] = flow.__dict__.setdefault("_origins", {})
    stack, opened = [value] if id(value) not in known else [], set()
    while stack:
        at = stack[-1]
        if id(at) in known:
            stack.pop()
        elif id(at) in opened:
            stack.pop()
            known[id(at)] = at, _origins(at, known)
        else:
            opened.add(id(at))
            stack += [v for v in _same(at) if id(v) not in opened]
    return known[id(value)][1]


def _same(value: Value) -> tuple[Value, ...]:
    """The values that may be the tensor that this is."""
    if value.op == "join":
        return value.inputs
    return value.inputs[:1] if value.op in ("write", "requires_grad_") else ()


def _origins(
    value: Value, known: dict[int, tuple[Value, frozenset[ast.AST]]]
) -> frozenset[ast.AST]:
    before = _same(value)
    found: frozenset[ast.AST] = frozenset()
    for same in before:
        if id(same) in known:  # not what is made from itself
            found = united(found, known[id(same)][1])
    itself = value.op == "requires_grad_" or (value.op != "join" and not before)
    if itself and value.node is not None:
        found = united(found, frozenset((value.node,)))
    return found


def stores_of(flow: ModuleFlow, name: str) -> list[AttributeStore]:
    """Every store of an attribute of this name."""

    def find() -> dict[str, list[AttributeStore]]:
        found: dict[str, list[AttributeStore]] = {}
        for store in flow.all(AttributeStore):
            found.setdefault(store.name, []).append(store)
        return found

    return flow.worked_out("_stores", len(flow.all(AttributeStore)), find).get(name, [])


@dataclass(frozen=True, slots=True)
class LeafUse:
    """One place where a tensor is treated as the leaf: its ``.grad``, an optimizer, an update."""

    node: ast.AST
    base: ast.AST
    why: str


def leaf_uses(flow: ModuleFlow) -> Iterator[tuple[Value, LeafUse]]:
    """Every place that only makes sense for a leaf, with the tensor it is done to."""
    for read in flow.all(GradRead):
        if not read.tensor.retains_grad and not is_absence_expected(flow, read.node):
            yield read.tensor, LeafUse(read.node, read.base, "its .grad is used here")
    for made in flow.all(OptimizerMade):
        if is_meant_to_raise(flow, made.node, OF_NON_LEAVES):
            continue  # a test that it refuses what is no leaf
        for node, value in made.parameters:
            yield value, LeafUse(node, node, "an optimizer is built over it here")


def leaf_use_of(flow: ModuleFlow, value: Value) -> LeafUse | None:
    """The first place that treats ``value`` as a leaf, or None."""

    def find() -> dict[ast.AST, LeafUse]:
        found: dict[ast.AST, LeafUse] = {}
        for tensor, use in sorted(leaf_uses(flow), key=lambda pair: flow.span(pair[1].node)):
            for origin in origins(flow, tensor):
                found.setdefault(origin, use)
        return found

    size = len(flow.all(GradRead)) + len(flow.all(OptimizerMade))
    known = flow.worked_out("_leaf_uses", size, find)
    uses = [known[node] for node in origins(flow, value) if node in known]
    return min(uses, key=lambda use: flow.span(use.node)) if uses else None


def is_gradient_read(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether code reads the gradient of a tensor, or of a moved or reshaped copy of it."""
    mine = {node} | {v.node for v in flow.consumers(node, lambda v: v.op in VIEWS | CASTS)}

    def find() -> set[ast.AST]:
        reads = [read for read in flow.all(GradRead) if not read.store]
        return {origin for read in reads for origin in origins(flow, read.tensor)}

    return not mine.isdisjoint(flow.worked_out("_read", len(flow.all(GradRead)), find))


def is_backward_from(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether ``backward`` is called on something that is computed from a value."""

    def find() -> set[ast.AST]:
        return {origin for event in flow.all(Backward) for origin in origins(flow, event.loss)}

    losses = flow.worked_out("_backward_from", len(flow.all(Backward)), find)
    return node in losses or any(
        v.node in losses for v in flow.consumers(node, lambda v: v.kind in _CARRIERS)
    )


def reaches_graph(flow: ModuleFlow, node: ast.AST) -> ast.AST | None:
    """Where the value of ``node`` is returned, stored or differentiated; None for nowhere.

    Values that only end in numbers, strings or printed output reach nothing.
    """
    sinks = flow_sinks(flow)
    if node in sinks:
        return sinks[node]
    # One walk back from all sinks answers for most nodes: to walk from each would be quadratic.
    known: frozenset[ast.AST] | None = flow.__dict__.get("_reaching_graph")
    if known is None:
        known = flow.__dict__["_reaching_graph"] = flow.sources(sinks, _carries)
    if node not in known:
        return None
    if len(places := set(sinks.values())) == 1:
        return places.pop()
    for value in flow.consumers(node, _carries):
        if value.node is not None and value.node in sinks:
            return sinks[value.node]
    return None


def _carries(value: Value) -> bool:
    return value.kind in _CARRIERS


def is_differentiated(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether the value of ``node`` goes on with its history to where the loss can be."""
    if node in flow_sinks(flow):
        return True
    known: frozenset[ast.AST] | None = flow.__dict__.get("_differentiated")
    if known is None:
        known = flow.sources(flow_sinks(flow), _carries_history)
        flow.__dict__["_differentiated"] = known
    return node in known


def _carries_history(value: Value) -> bool:
    if value.kind is Kind.TENSOR:
        return value.needs_grad is not Certainty.NO
    return value.kind in _CARRIERS


_CARRIERS = frozenset({Kind.TENSOR, Kind.SEQUENCE, Kind.DICT, Kind.UNKNOWN})


def flow_sinks(flow: ModuleFlow) -> dict[ast.AST, ast.AST]:
    """For each returned, stored or differentiated value: its node and the place where it is."""
    known: dict[ast.AST, ast.AST] | None = flow.__dict__.get("_sinks")
    if known is not None:
        return known
    found: dict[ast.AST, ast.AST] = {}
    for scope in flow.scopes:
        for node, value in scope.returns:
            for part in (value, *(value.items or ())):
                _add(flow, found, part, node)
    for store in flow.all(AttributeStore):
        if store.name != "data":
            _add(flow, found, store.value, store.node)
    for backward in flow.all(Backward):
        _add(flow, found, backward.loss, backward.node)
    flow.__dict__["_sinks"] = found
    return found


def _add(flow: ModuleFlow, found: dict[ast.AST, ast.AST], value: Value, place: ast.AST) -> None:
    for origin in origins(flow, value) | _writers(value):
        found.setdefault(origin, place)


def _writers(value: Value) -> frozenset[ast.AST]:
    """The in-place writes that a tensor has behind it: what was written goes on with it."""
    found: set[ast.AST] = set()
    queue, seen = [value], set()
    while queue:
        at = queue.pop()
        if id(at) in seen or at.op not in ("join", "write"):
            continue
        seen.add(id(at))
        if at.op == "write" and at.node is not None:
            found.add(at.node)
        queue += at.inputs if at.op == "join" else at.inputs[:1]
    return frozenset(found)


def is_written_while_recorded(flow: ModuleFlow, value: Value) -> Write | None:
    """An in-place write to this tensor with grad mode on: it would raise if this were a leaf."""
    for write in writes_to(flow, value):
        if write.mode is not GradMode.OFF and write.target.op not in ("data", "detach"):
            return write
    return None


def keeps_dtype(target: Value, value: Value) -> bool:
    """Whether ``target <op> value`` certainly has the element type of ``target``.

    An in-place operation keeps its target's type; out of place the types are promoted.
    """
    if value.kind is Kind.NUMBER:
        return not is_integer(target.dtype) and not isinstance(value.const, complex)
    return value.is_tensor and value.dtype not in (None, INTEGER) and value.dtype == target.dtype


def writes_to(flow: ModuleFlow, value: Value) -> list[Write]:
    """Every in-place write to exactly this tensor."""
    mine = origins(flow, value)
    unwritten: dict[int, Value] = {}
    return [w for w in flow.all(Write) if mine & origins(flow, _before_writes(w.target, unwritten))]


def _before_writes(value: Value, known: dict[int, Value]) -> Value:
    """The tensor as it was before it was written to, again and again; its origins are the same."""
    passed = []
    while value.op == "write" and value.inputs and id(value) not in known:
        known[id(value)] = value
        passed.append(value)
        value = value.inputs[0]
    value = known.get(id(value), value)
    known.update((id(later), value) for later in passed)
    return value


#: Constructors that make a new leaf of what they are given.
WRAPPERS = frozenset({"torch.tensor", "torch.nn.Parameter", "torch.autograd.Variable"})


def is_trained_here(flow: ModuleFlow, scope: Scope, saved: Saved) -> str:
    """Why what was saved needs a gradient when it can have one; empty where nobody says so.

    Either ``backward`` is called on what it becomes, or it is an activation in the ``forward`` of a
    Module: other operations in there may prepare targets, which need none.
    """
    node = saved.node
    if node in _asked_for(flow).get(scope, ()):
        return "`backward` is called on what it becomes"
    forward = "forward" in run_by_forward(flow, scope.class_node)
    if forward and scope.name == "forward" and layers.is_activation(saved.op):
        return "it is an activation in the `forward` of a Module"
    return ""


def _asked_for(flow: ModuleFlow) -> dict[Scope, frozenset[ast.AST]]:
    """The nodes whose values become what ``backward`` is called on, by the scope of the call."""
    events = flow.all(Backward)

    def find() -> dict[Scope, frozenset[ast.AST]]:
        ending: dict[ast.AST, list[ast.AST]] = {}
        for node, place in flow_sinks(flow).items():
            ending.setdefault(place, []).append(node)
        ends: dict[Scope, set[ast.AST]] = {}
        for event in events:
            ends.setdefault(event.scope, set()).update(ending.get(event.node, ()))
        return {
            scope: flow.sources(nodes, _carries_history) | nodes for scope, nodes in ends.items()
        }

    return flow.worked_out("_asked_for", len(events), find)


# -- leaves made of computed values -------------------------------------------------------------


def differentiated_at(flow: ModuleFlow, value: Value) -> ast.AST | None:
    """Where ``backward`` is called on this very tensor, or None."""

    def find() -> dict[ast.AST, tuple[int, ast.AST]]:
        found: dict[ast.AST, tuple[int, ast.AST]] = {}
        for at, backward in enumerate(flow.all(Backward)):
            loss = backward.loss
            while loss.op == "call" and loss.inputs:
                loss = loss.inputs[0]  # what a function of this file returned
            for origin in origins(flow, loss):
                found.setdefault(origin, (at, backward.node))
        return found

    losses = flow.worked_out("_losses", len(flow.all(Backward)), find)
    return min(
        (losses[node] for node in origins(flow, value) if node in losses),
        key=lambda found: found[0],
        default=(0, None),
    )[1]


def gradient_asked_at(flow: ModuleFlow, value: Value) -> ast.AST | None:
    """Where ``torch.autograd.grad`` is given this very tensor, or it gets a hook; else None."""
    mine = origins(flow, value)
    for call in calls_of(flow, *_ASKING, *_HOOKS):
        given = (*call.arguments, *(v for _, v in call.keywords))
        if call.name in _ASKING:
            parts = [part for v in given for part in (v, *parts_of(v))]
            if any(mine & origins(flow, part) for part in parts):
                return call.node
        elif call.receiver is not None and mine & origins(flow, call.receiver):
            return call.node
    return None


_ASKING = ("torch.autograd.grad", "torch.autograd.backward")
_HOOKS = (".register_hook", ".retain_grad")


# -- calls by name and by scope -----------------------------------------------------------------


def calls_of(flow: ModuleFlow, *names: str) -> list[Call]:
    """The calls of functions and methods of some names, in the order of interpretation."""
    calls = flow.all(Call)

    def find() -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for at, call in enumerate(calls):
            found.setdefault(call.name, []).append(at)
        return found

    known = flow.worked_out("_calls_of", len(calls), find)
    return [calls[at] for at in sorted(at for name in names for at in known.get(name, ()))]


def calls_in(flow: ModuleFlow, scope: Scope) -> list[Call]:
    """The calls that are made in one scope."""
    calls = flow.all(Call)

    def find() -> dict[Scope, list[Call]]:
        found: dict[Scope, list[Call]] = {}
        for call in calls:
            found.setdefault(call.scope, []).append(call)
        return found

    return flow.worked_out("_calls_in", len(calls), find).get(scope, [])


def scopes_of(flow: ModuleFlow, function: ast.AST | None) -> list[Scope]:
    """The scopes in which the body of a function has been interpreted."""
    if function is None:
        return []

    def find() -> dict[ast.AST, list[Scope]]:
        found: dict[ast.AST, list[Scope]] = {}
        for scope in flow.scopes:
            if scope.is_function:
                found.setdefault(scope.node, []).append(scope)
        return found

    return flow.worked_out("_scopes_of", len(flow.scopes), find).get(function, [])
