"""Who else holds a piece of memory, and would notice a rebinding instead of a write."""

from __future__ import annotations

import ast
from collections.abc import Set

from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import captured, is_in, own_nodes, reaching, uses_of
from gradfix.flow.nodes import walk
from gradfix.flow.state import AttributeStore, Call, GradMode, Scope, Write
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import SOMEWHERE, Kind, Storage, Value, element_of, parts_of
from gradfix.flow.versions import Definition
from gradfix.flow.walk import Walk


def other_holders(flow: ModuleFlow, write: Write) -> str | None:
    """Something besides the written name that may hold the same memory, described; else None.

    Rebinding the name is the same as writing in place only when nobody else can see the memory:
    no other name or attribute, no container, no caller, no closure.
    """
    assert isinstance(write.base, ast.Name)
    scope, name = write.scope, write.base.id
    storages = write.target.storages
    if SOMEWHERE in storages:
        return "memory from outside the function"
    for definition in reaching(scope, write.base):
        if definition.how in ("argument", "for", "with", "import", "except"):
            return f"whoever passed `{name}`"
    if captured(flow, scope, name) is not None or name in flow.shared_names:
        return "another function"
    if not scope.is_function and _read_elsewhere(flow, scope, name):
        return "another function"
    leaf = next((v for v in _ancestry(write.target) if v.is_leaf and v.storages & storages), None)
    if leaf is not None:
        return "a leaf"
    holders = _holders(flow)
    for definition in holders.definitions_of(scope, storages):
        if definition.name != name and not _is_other_piece(definition.value, write.target):
            shared = definition.name in flow.shared_names
            if shared or not _only_read_before(flow, scope, definition, write):
                return f"`{definition.name}`"
    attributes = [holders.attributes[storage] for storage in storages & holders.attributes.keys()]
    if attributes:
        return f"the attribute `{min(attributes)[1]}`"
    if not storages.isdisjoint(holders.in_containers):
        return "a container"
    if not storages.isdisjoint(_put_away(flow).get(scope, ())):
        return "what it is put into"
    return "what it is given to" if _is_given_away(flow, write) else None


_DISPLAYS = (ast.Tuple, ast.List, ast.Set, ast.Dict, ast.Starred, ast.IfExp, ast.BoolOp)


def _put_away(flow: ModuleFlow) -> dict[Scope, set[Storage]]:
    """By scope the memory that is stored, yielded or bound inside of an expression there."""

    def find() -> dict[Scope, set[Storage]]:
        found: dict[Scope, set[Storage]] = {}
        for scope in flow.scopes:
            for node in own_nodes(scope):
                read = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
                if read and _is_put_away(flow, node):
                    found.setdefault(scope, set()).update(memory_of(flow.value(node)))
        return found

    return flow.worked_out("_put_away", len(flow.scopes) + len(flow.made), find)


def _is_put_away(flow: ModuleFlow, node: ast.AST) -> bool:
    at: ast.AST = node
    around = flow.parents.get(node)
    while isinstance(around, _DISPLAYS):
        at, around = around, flow.parents.get(around)
    if isinstance(around, (ast.Yield, ast.NamedExpr)):
        return True
    if not isinstance(around, ast.Assign) or around.value is not at:
        return False
    targets = [n for target in around.targets for n in walk(target)]
    stored = any(isinstance(n, (ast.Subscript, ast.Attribute)) for n in targets)
    return stored or (at is not node and not isinstance(at, ast.Tuple))


#: Functions of Python that keep nothing of what they are given.
_FORGETS = frozenset(
    f"builtins.{name}"
    for name in """print len isinstance float int bool str repr range type id hash round abs sum min
    max format hasattr callable""".split()
)


def _is_given_away(flow: ModuleFlow, write: Write) -> bool:
    """Whether a call before the write may have kept the memory, or returned it unseen."""
    place = flow.span(write.statement)
    return any(
        flow.span(call.node) < place or _comes_again(flow, write, call)
        for storage in write.target.storages
        for call in _keepers(flow).get((write.scope, storage), ())
    )


def _keepers(flow: ModuleFlow) -> dict[tuple[Scope, Storage], list[Call]]:
    """The calls that may keep a piece of memory they are given, by scope and memory."""
    calls = flow.all(Call)

    def find() -> dict[tuple[Scope, Storage], list[Call]]:
        found: dict[tuple[Scope, Storage], list[Call]] = {}
        for call in calls:
            if _is_followed(call):
                continue
            given = [*call.arguments, *(value for _, value in call.keywords)]
            if call.receiver is not None and call.receiver.kind is Kind.TENSOR:
                given.append(call.receiver)
            for storage in frozenset().union(*map(_memory_given, given)):
                found.setdefault((call.scope, storage), []).append(call)
        return found

    return flow.worked_out("_keepers", len(calls), find)


def _comes_again(flow: ModuleFlow, write: Write, call: Call) -> bool:
    """Whether a call behind the write comes before it in the next turn of a loop around both."""
    loop = flow.enclosing(write.statement, ast.For) or flow.enclosing(write.statement, ast.While)
    if loop is None or write.target.storage is None or write.target.storage.node is None:
        return loop is not None
    made: int = getattr(write.target.storage.node, "lineno", 0)
    last = loop.end_lineno or loop.lineno
    return not loop.lineno <= made <= last and flow.span(call.node).row <= last


def _is_followed(call: Call) -> bool:
    """Whether all that a call does with the memory it is given is known."""
    result = call.result
    if call.name in _FORGETS or result.kind in (Kind.NUMBER, Kind.STRING):
        return True
    if call.name in (".append", ".extend", ".insert"):
        # Then the container holds it; one that was handed in is held by somebody else.
        return call.receiver is not None and call.receiver.kind is Kind.SEQUENCE
    if call.name in ("builtins.list", "builtins.dict"):
        return True
    if result.kind is Kind.SEQUENCE:
        return call.name.startswith((".", "torch.", "builtins."))
    return result.is_tensor and SOMEWHERE not in result.storages and call.callee is None


class _Holders:
    """What holds which piece of memory, in the order of the analysis."""

    def __init__(self, flow: ModuleFlow) -> None:
        self.attributes: dict[Storage, tuple[int, str]] = {}
        self.in_containers: set[Storage] = set()
        self._definitions: dict[tuple[Scope, Storage], list[tuple[int, Definition]]] = {}
        for scope in flow.scopes:
            for at, definition in enumerate(scope.definitions):
                for storage in memory_of(definition.value):
                    self._definitions.setdefault((scope, storage), []).append((at, definition))
        for at, store in enumerate(flow.all(AttributeStore)):
            for storage in memory_of(store.value):
                self.attributes.setdefault(storage, (at, store.name))
        for value in flow.made:
            if value.kind in (Kind.SEQUENCE, Kind.DICT) and value.name not in ("zip", "values"):
                self.in_containers |= memory_of(value)

    def definitions_of(self, scope: Scope, storages: Set[Storage]) -> list[Definition]:
        """The definitions in a scope of what may live in one of these storages."""
        found = dict(
            pair for storage in storages for pair in self._definitions.get((scope, storage), ())
        )
        return [found[at] for at in sorted(found)]


def _holders(flow: ModuleFlow) -> _Holders:
    size = len(flow.scopes) + len(flow.made) + len(flow.all(AttributeStore))
    return flow.worked_out("_holders", size, lambda: _Holders(flow))


def _is_other_piece(value: Value, target: Value) -> bool:
    """Another result of the same ``chunk``/``split``/``unbind``: the pieces do not overlap."""
    op = op_facts(target.op, "method")
    return op is not None and op.multi_view and value.node is target.node


def holds(value: Value, storages: Set[Storage]) -> bool:
    """Whether a tensor, or what a container holds, may live in one of these storages."""
    return not memory_of(value).isdisjoint(storages)


def memory_of(value: Value) -> Set[Storage]:
    """The memory that a tensor, or what a container holds, may live in; none of other values."""
    if value.kind is Kind.TENSOR:
        return value.storages
    if value.kind is Kind.UNKNOWN and value.op == "join":
        return value.storages - {SOMEWHERE}
    if value.kind in (Kind.SEQUENCE, Kind.DICT):
        if value.op in ("chunk", "split", "unbind", "tensor_split"):
            return frozenset()
        inner = element_of(value)
        if inner is not None and inner.kind is Kind.TENSOR:
            return inner.storages
    return frozenset()


def _memory_given(value: Value, depth: int = 2) -> Set[Storage]:
    """The same for what a call is given: part by part, also where the parts are of all kinds."""
    if depth and value.kind in (Kind.SEQUENCE, Kind.DICT):
        parts = (_memory_given(part, depth - 1) for part in parts_of(value))
        return frozenset(memory_of(value)).union(*parts)
    return memory_of(value)


def _only_read_before(flow: ModuleFlow, scope: Scope, definition: Definition, write: Write) -> bool:
    """Whether every use of another name for the memory comes before the write, outside of loops."""
    if definition.loops or write.scope is not scope:
        return False
    place = flow.span(write.statement)
    return all(flow.span(node) < place for node in uses_of(scope, definition))


def _ancestry(value: Value) -> list[Value]:
    found: list[Value] = []
    walk = Walk([value])
    for at in walk:
        found.append(at)
        if at.view or at.op in ("join", "write"):
            walk.further(at.inputs)
    return found


def _read_elsewhere(flow: ModuleFlow, scope: Scope, name: str) -> bool:
    def find() -> frozenset[str]:
        names = (node for node in walk(flow.tree) if isinstance(node, ast.Name))
        return frozenset(node.id for node in names if not is_in(scope, node))

    if scope is not flow.scopes[0]:
        return name in find()
    return name in flow.worked_out("_read_inside", len(flow.scopes), find)


def multi_view(value: Value) -> Value | None:
    """The ``chunk``/``split``/``unbind`` result that a value is one of, if it is.

    A write to one of several views is refused, and so is the use of one after a write.
    """
    op = op_facts(value.op, "method")
    return value if op is not None and op.multi_view else None


def is_refused_view(write: Write) -> bool:
    """Whether the write itself raises: what it writes to came together with other views."""
    return (
        write.mode is GradMode.ON
        and write.target.is_tracked
        and write.how in ("augment", "method")
        and multi_view(write.target) is not None
    )


def siblings(scope: Scope, name: ast.Name) -> set[Definition]:
    """The definitions of all names that one assignment binds together with this one."""
    statements = {definition.statement for definition in reaching(scope, name)}
    return {one for one in scope.definitions if one.statement in statements}
