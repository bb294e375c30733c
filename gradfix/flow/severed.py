"""Leaves whose gradient can never arrive, and the operations that cut them off.

Terms: a leaf is *delivered* when some value that depends on it, history included, is returned,
stored, differentiated or handed to code the analysis does not know. A *cut* is an operation whose
result depends on the leaf's values only. A leaf is *severed* when it has a cut on the way to the
loss and is delivered nowhere in the file. Everything unknown counts as delivery, so that doubt
keeps silent.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from dataclasses import dataclass

from gradfix.flow import classes
from gradfix.flow.constructors import REWRAPS
from gradfix.flow.cut_inside import callers_of_cuts, hands_on_nothing
from gradfix.flow.grown import Gathered, all_united
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.queries import CASTS, VIEWS, reaches_graph
from gradfix.flow.state import AttributeStore, Backward, Call, OptimizerMade, Write
from gradfix.flow.values import Certainty, Kind, Leaf, Value, element_of
from gradfix.flow.walk import Walk

_NUMBERS = frozenset({Kind.NUMBER, Kind.FOREIGN, Kind.SEQUENCE})
#: How many values back an input is looked for.
_REACH = 20
#: Operations on the way from a tensor to an array.
_MOVES = frozenset({"cpu", "detach", "data", "contiguous", "float", "double", "to"})
#: A lambda, or a function inside another one.
_NESTS = re.compile(r"lambda\b|\n[ \t]+(?:async )?def ")
#: What hands a value out as it is.
_HANDED_OUT = VIEWS | CASTS | REWRAPS | {"detach", "data", "call", "join", "from_numpy"}


@dataclass(frozen=True, slots=True)
class Severed:
    """One cut: the value without history, the leaves it severs, and where the value goes.

    ``inside`` is the operation in a called function that cuts, None where the value itself does.
    """

    value: Value
    leaves: frozenset[Leaf]
    place: ast.AST
    leaves_torch: bool = False  # through a number or an array, before anything else
    inside: ast.AST | None = None

    @property
    def node(self) -> ast.expr:
        """The expression that cuts."""
        assert isinstance(self.value.node, ast.expr)
        return self.value.node

    @property
    def leaf_nodes(self) -> list[ast.AST]:
        """Where the severed leaves are made, the first three."""
        nodes = [leaf.node for leaf in self.leaves if isinstance(leaf.node, ast.expr)]
        return [*sorted(nodes, key=lambda node: (node.lineno, node.col_offset))[:3]]


def severed(flow: ModuleFlow) -> tuple[Severed, ...]:
    """Every cut in the file that leaves some leaf without any gradient."""
    known: tuple[Severed, ...] | None = flow.__dict__.get("_severed")
    if known is None:
        known = flow.__dict__["_severed"] = tuple(_severed(flow))
    return known


def _severed(flow: ModuleFlow) -> Iterator[Severed]:
    if flow.freezes_parameters:
        return  # which leaves are meant to be trained is not certain in such a file
    callers = callers_of_cuts(flow)
    if callers != frozenset():
        flow.complete(callers)  # whoever calls it is interesting, too
    trained = _in_optimizers(flow)
    cuts = [
        (value, leaves)
        for value in flow.made
        if value.cut
        and isinstance(value.node, ast.expr)
        and _is_first_cut(value)
        and (leaves := _cut_off(flow, value, trained))
    ]
    lost_at = {leaf.node for _, leaves in cuts for leaf in leaves}
    if not cuts or lost_at <= _safe(flow):
        return  # more code can only deliver more
    flow.complete(_names_of(flow, lost_at))
    if lost_at <= _safe(flow):
        return  # those who speak of a leaf mostly do
    flow.complete()
    safe = _safe(flow)
    seen: set[ast.AST] = set()
    for value, leaves in cuts:
        lost = frozenset(leaf for leaf in leaves if leaf.node not in safe)
        assert value.node is not None
        if not lost or value.node in seen or _in_initialiser(flow, value.node):
            continue
        returns = set(remade(flow, value.node))
        ways = (value.node, *returns)
        place = next((at for node in ways if (at := reaches_graph(flow, node)) is not None), None)
        if place is not None and _is_computed_with(flow, value.node):
            seen.add(value.node)
            inside = flow.cut_calls.get(value.node) if value.op == "call" else None
            yield Severed(
                value,
                lost,
                place,
                _leaves_torch(flow, value.node),
                None if inside is None else inside.place,
            )


def _names_of(flow: ModuleFlow, leaves: set[ast.AST | None]) -> frozenset[str]:
    """The names of the attributes that hold some leaves."""
    stores = _stores_by_place(flow)
    return frozenset(store.name for leaf in leaves for store in stores.get(leaf, ()))


def _safe(flow: ModuleFlow) -> set[ast.AST | None]:
    """What makes the leaves that get a gradient, or need none.

    By the place that makes them: a function is interpreted again for whoever calls it.
    """
    return {leaf.node for leaf in delivered(flow) | _updated_by_hand(flow)}


def _cut_off(flow: ModuleFlow, value: Value, trained: set[ast.AST]) -> frozenset[Leaf]:
    """The leaves of a model that ``value`` depends on without history."""
    lost = all_united(_leaves_in(source) for source in value.inputs)
    if value.cut == "no_grad" and value.op != "call":
        lost = frozenset(leaf for leaf in lost if leaf.node in trained)
    return frozenset(leaf for leaf in lost if _belongs_to_model(flow, leaf, trained))


def remade(flow: ModuleFlow, node: ast.AST) -> Iterator[ast.AST]:
    """Where a tensor is made again of the numbers and arrays that a value became."""
    for value in flow.consumers(node, lambda value: value.kind in _NUMBERS | {Kind.TENSOR}):
        if value.is_tensor and value.node is not None:
            if any(source.kind in _NUMBERS for source in value.inputs):
                yield value.node


def _leaves_torch(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether all that is made of a value are numbers and arrays."""
    direct = list(flow.consumers(node, lambda v: any(s.node is node for s in v.inputs)))
    return bool(direct) and all(
        value.kind in _NUMBERS
        or (value.op in _MOVES and value.node is not None and _leaves_torch(flow, value.node))
        for value in direct
        if value.node is not node
    )


def _is_computed_with(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether a tensor is computed from the cut value; a value only handed out is a report.

    An array that is filled, or computed with NumPy, and made a tensor again was not for a report.
    """
    computed = False
    for value in flow.consumers(node, lambda value: value.kind is not Kind.STRING):
        if value.is_tensor and value.op not in _HANDED_OUT:
            return True
        if isinstance(value.node, ast.Subscript) and any(s.is_tensor for s in value.inputs[1:]):
            return True  # looked up by it, in whatever it is
        if isinstance(value.node, ast.BinOp) and any(_is_input(flow, one) for one in value.inputs):
            return True
        computed = computed or (value.kind is Kind.FOREIGN and value.op != "numpy")
    return computed and any(True for _ in remade(flow, node))


def _is_input(flow: ModuleFlow, value: Value) -> bool:
    """Whether this is computed from what ``forward`` of a Module is given: a tensor, as a rule."""
    found = Walk([value], _REACH)
    for at in found:
        if isinstance(at.node, ast.arg):
            scope = flow.enclosing(at.node, ast.FunctionDef)
            around = None if scope is None else flow.parents.get(scope)
            if scope is None or scope.name != "forward" or not isinstance(around, ast.ClassDef):
                return False
            return classes.is_module(flow, Value(Kind.INSTANCE, definition=around))
        found.further(at.inputs if at.kind in (Kind.UNKNOWN, Kind.TENSOR) else ())
    return False


def _is_first_cut(value: Value) -> bool:
    """Whether this operation cuts, and not one before it."""
    return any(
        _leaves_in(source) and (source.kind is Kind.MODULE or source.needs_grad is not Certainty.NO)
        for source in value.inputs
    )


def _leaves_in(value: Value) -> Set[Leaf]:
    """The leaves a tensor depends on, or those a layer holds."""
    if value.kind is not Kind.MODULE:
        return value.leaves
    return all_united(v.leaves for v in (value.attributes or {}).values() if v.is_tensor)


def delivered(flow: ModuleFlow) -> frozenset[Leaf]:
    """The leaves that may get a gradient."""
    found: Gathered[Leaf] = Gathered()
    for scope in flow.scopes:
        for _, value in scope.returns:
            _deliver(found, value)
    for store in flow.all(AttributeStore):
        if not store.value.is_leaf:
            _deliver(found, store.value)
    for backward in flow.all(Backward):
        _deliver(found, backward.loss)
    initialising = {call.node for call in flow.all(Call) if call.name.startswith("torch.nn.init.")}
    for value in flow.made:
        if value.kind in (Kind.UNKNOWN, Kind.MODULE, Kind.INSTANCE, Kind.DISTRIBUTION, Kind.STRING):
            if value.node not in initialising and value.op != "layer":
                for source in value.inputs:
                    _deliver(found, source)
        elif (
            value.op == "call"
            and value.kind not in (Kind.NUMBER, Kind.FOREIGN)
            and not _cuts_all(flow, value)
        ):  # what a function does with its arguments is not followed
            for source in value.inputs:
                _deliver(found, source)
    for definition in _captured_definitions(flow):
        _deliver(found, definition)
    return frozenset(found.members)


def _cuts_all(flow: ModuleFlow, value: Value) -> bool:
    """Whether a call certainly leaves nothing of its arguments' history."""
    if value.kind is Kind.SEQUENCE:
        inner = () if value.element is None else (value.element,)
        parts = value.items or inner
    else:
        parts = (value,)
    cut = flow.cut_calls.get(value.node) if value.node is not None else None
    return cut is not None and all(p.cut for p in parts) and hands_on_nothing(flow, cut.function)


def _deliver(found: Gathered[Leaf], value: Value) -> None:
    if value.kind is Kind.TENSOR and value.needs_grad is not Certainty.NO:
        found.add(value.leaves)
    elif value.kind in (Kind.SEQUENCE, Kind.DICT):
        for item in value.items or ():
            _deliver(found, item)
        inner = element_of(value) if value.items is None else None
        if inner is not None:
            _deliver(found, inner)
    elif value.kind in (Kind.UNKNOWN, Kind.DISTRIBUTION):
        found.add(value.leaves)
        if value.op == "join" or value.kind is Kind.DISTRIBUTION:
            for source in value.inputs:
                if source is not value and source.kind is not Kind.UNKNOWN:
                    _deliver(found, source)


def _captured_definitions(flow: ModuleFlow) -> Iterator[Value]:
    """Values of names that nested functions and lambdas may read at any time."""
    for scope in flow.scopes:
        if not scope.is_function or not _NESTS.search(flow.text_of(scope.node)):
            continue
        inner = [
            node
            for node in walk(scope.node)
            if node is not scope.node and isinstance(node, (ast.Lambda, ast.FunctionDef))
        ]
        names = {n.id for node in inner for n in walk(node) if isinstance(n, ast.Name)}
        for name in names:
            for definition in scope.by_name.get(name, ()):
                yield definition.value


def _updated_by_hand(flow: ModuleFlow) -> frozenset[Leaf]:
    """Leaves that the code writes itself (moving averages, codebooks): no gradient is expected."""
    found: Gathered[Leaf] = Gathered()
    for write in flow.all(Write):
        if classes.is_initialiser(write.scope.name):
            continue
        owner = write.target if write.target.owner is None else write.target.owner
        found.add(owner.leaves)
    for store in flow.all(AttributeStore):
        if store.value.parameter and not classes.is_initialiser(store.scope.name):
            # ``self.codes.weight = Parameter(...)``: what was there gives way to what is computed.
            found.add(_leaves_in(store.owner))
            if store.owner.kind is Kind.INSTANCE:
                for value in classes.constructed(flow, store.owner, store.name) or ():
                    found.add(value.leaves)
    return frozenset(found.members)


def _in_optimizers(flow: ModuleFlow) -> set[ast.AST]:
    """The nodes that make the tensors and modules whose parameters an optimizer holds."""
    found: set[ast.AST] = set()
    for made in flow.all(OptimizerMade):
        for _, value in made.parameters:
            for part in (value, value.owner):
                if part is not None and part.node is not None:
                    found.add(part.node)
    return found


def _belongs_to_model(flow: ModuleFlow, leaf: Leaf, trained: set[ast.AST]) -> bool:
    """Whether the leaf is an attribute of an ``nn.Module`` here, or an optimizer holds it."""
    if leaf.node in trained:
        return True
    for store in _stores_by_place(flow).get(leaf.node, ()):
        if classes.is_module(flow, store.owner):
            facts = classes.facts_of(flow, store.owner)
            return facts is None or not classes.used_elsewhere(flow, facts, store.name)
    return False


def _stores_by_place(flow: ModuleFlow) -> dict[ast.AST | None, list[AttributeStore]]:
    """What is bound to attributes, by the place that makes it."""
    stores = flow.all(AttributeStore)

    def work() -> dict[ast.AST | None, list[AttributeStore]]:
        found: dict[ast.AST | None, list[AttributeStore]] = {}
        for store in stores:
            found.setdefault(store.value.node, []).append(store)
        return found

    return flow.worked_out("_stores_by_place", len(stores), work)


def _in_initialiser(flow: ModuleFlow, node: ast.AST) -> bool:
    function = flow.function_at(node.lineno)  # type: ignore[attr-defined]
    return isinstance(function, ast.FunctionDef) and classes.is_initialiser(function.name)
