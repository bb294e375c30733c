"""Names that share the memory of a leaf, and what writing to them is meant to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.argument_writes import HandedWrite
from gradfix.flow.classes import is_initialiser
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import captured, reaching, uses_of
from gradfix.flow.nodes import walk
from gradfix.flow.queries import is_differentiated
from gradfix.flow.state import GradMode, Scope, Write
from gradfix.flow.values import Certainty, Role, Value
from gradfix.flow.versions import Definition


def leaf_written(write: Write | HandedWrite) -> Value | None:
    """The leaf in whose memory a recorded write certainly lands: the write raises."""
    if write.mode is not GradMode.ON or not write.target.is_tensor:
        return None
    target = write.target
    if target.is_leaf:
        return target
    while target.view and target.inputs and target.op not in ("data", "detach", "write", "join"):
        target = target.inputs[0]
    certainly = target.is_leaf and write.target.is_tracked and write.target.storage is not None
    return target if certainly and write.target.storages == target.storages else None


def mistaken_copies(
    flow: ModuleFlow,
) -> Iterator[tuple[Scope, Definition, Value, list[Write]]]:
    """Aliases of a leaf that are written in place as if they were copies, with those writes."""
    for scope in flow.scopes:
        for definition in list(scope.definitions):
            source = aliased_leaf(flow, definition)
            if source is None:
                continue
            writes = [
                write
                for write in flow.all(Write)
                if write.scope is scope and is_write_through(scope, definition, write)
            ]
            if writes and not is_deliberate(flow, scope, definition, writes):
                yield scope, definition, source, writes


def aliased_leaf(flow: ModuleFlow, definition: Definition) -> Value | None:
    """The leaf whose memory the definition's value shares, if it certainly does."""
    statement, value = definition.statement, definition.value
    if not value.is_tensor or definition.how != "assign" or not isinstance(statement, ast.Assign):
        return None
    if statement.targets != [definition.node] or not isinstance(definition.node, ast.Name):
        return None
    value = flow.value(statement.value)
    if (
        not value.view
        or value.storage is None
        or value.op in ("join", "write")
        or value.role & Role.LEAF
    ):
        return None
    source = value
    while source.view and source.inputs:
        source = source.inputs[0]
    if source.storages != value.storages:
        return None
    return source if source.is_leaf or _is_attribute_of_argument(flow, source, value) else None


def _is_attribute_of_argument(flow: ModuleFlow, source: Value, alias: Value) -> bool:
    """``layer.weight.detach()``: the memory belongs to an object that outlives the function."""
    return (
        alias.op in ("data", "detach")
        and isinstance(source.node, ast.Attribute)
        and source.needs_grad is Certainty.MAYBE
        and source.node.attr != "grad"
    )


def is_write_through(scope: Scope, definition: Definition, write: Write) -> bool:
    base: ast.AST = write.base
    while isinstance(base, (ast.Attribute, ast.Subscript)):
        base = base.value
    return (
        isinstance(base, ast.Name)
        and reaching(scope, base) == {definition}
        and (
            write.target.storages == definition.value.storages
            or write.target.needs_grad is Certainty.NO
        )
    )


def is_hidden(flow: ModuleFlow, definition: Definition) -> bool:
    """Whether writes through an alias are no error: autograd does not see what it was taken from.

    That is so for ``w.data`` and ``w.detach()``, and for every view that is taken of them.
    """
    assert isinstance(definition.statement, ast.Assign)
    return not flow.value(definition.statement.value).is_tracked


def may_be_meant(
    flow: ModuleFlow, definition: Definition, source: Value, writes: list[Write]
) -> bool:
    """Whether writes through ``.data`` of a slice, which raise nothing, may be for the leaf.

    So it is for the weights of a layer, for a leaf that is only used slice by slice, and where the
    leaf goes on to the loss and what was written does not: it is filled by its slices. A method
    that makes something of a slice of its own Parameter means the copy.
    """
    if all(write.target.is_tracked and write.target.op != "data" for write in writes):
        return False  # this raises
    assert isinstance(definition.statement, ast.Assign)
    alias, leaf = definition.statement.value, source.node
    held = _held_by(alias)
    if isinstance(held, ast.Attribute) and getattr(held.value, "id", "") == "self":
        return not any(
            isinstance(node.ctx, ast.Load)
            and node is not held
            and _is_whole(flow.parents.get(node))
            for node in flow.attributes(held.attr)
        )
    if not isinstance(held, ast.Name) or leaf is None:
        return True
    whole = (
        isinstance(node, ast.Name)
        and node.id == held.id
        and isinstance(node.ctx, ast.Load)
        and node is not held
        and _is_whole(flow.parents.get(node))
        for node in walk(flow.tree)
    )
    if not any(whole):
        return True
    return is_differentiated(flow, leaf) and not is_differentiated(flow, alias)


def _held_by(view: ast.AST) -> ast.AST:
    """What a view is taken of: ``v`` of ``v[:4].view(2, 2)``, ``lin.weight`` of its rows."""
    while True:
        if isinstance(view, ast.Subscript):
            view = view.value
        elif isinstance(view, ast.Call) and isinstance(view.func, ast.Attribute):
            view = view.func.value
        else:
            return view


def _is_whole(around: ast.AST | None) -> bool:
    """Whether a leaf is read there as a whole: no slice of it, nor its values or gradient alone."""
    if isinstance(around, ast.Subscript):
        return False
    return not (isinstance(around, ast.Attribute) and around.attr in ("data", "grad", "shape"))


def is_deliberate(
    flow: ModuleFlow, scope: Scope, definition: Definition, writes: list[Write]
) -> bool:
    """Whether the write is meant to reach the leaf."""
    if any(write.mode is not GradMode.ON for write in writes) or is_initialiser(scope.name):
        return True
    if is_hidden(flow, definition):
        if any(w.value is not None and _comes_from_grad(w.value) for w in writes):
            return True  # a hand-written update
    if definition.value.op in ("data", "detach") and not _goes_on(flow, scope, definition, writes):
        return True  # the alias serves only to write through it
    return not _is_read(flow, scope, definition, writes)


def _goes_on(flow: ModuleFlow, scope: Scope, definition: Definition, writes: list[Write]) -> bool:
    """Whether what was written is also the result: it is computed with or returned afterwards."""
    first = min(flow.span(write.node) for write in writes)
    written = {base for write in writes for base in walk(write.statement)}
    for node in uses_of(scope, definition):
        handed_out = not scope.is_function or _is_returned(flow, scope, node)
        if node not in written and handed_out and flow.span(node) > first:
            return True
    return False


def _is_returned(flow: ModuleFlow, scope: Scope, node: ast.AST) -> bool:
    """Whether a use stands in a ``return``, or in what a name is bound to that only goes there."""
    if flow.enclosing(node, ast.Return) is not None:
        return True
    statement = flow.enclosing(node, ast.stmt)
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    if not isinstance(target, ast.Name):
        return False
    bound = [d for d in scope.by_name.get(target.id, ()) if d.node is target]
    uses = uses_of(scope, bound[0]) if len(bound) == 1 else []
    return len(uses) == 1 and flow.enclosing(uses[0], ast.Return) is not None


def _comes_from_grad(value: Value) -> bool:
    stack, seen = [value], set()
    while stack:
        at = stack.pop()
        if at.op == "grad":
            return True
        if id(at) not in seen:
            seen.add(id(at))
            stack += at.inputs
    return False


def _is_read(flow: ModuleFlow, scope: Scope, definition: Definition, writes: list[Write]) -> bool:
    """Whether the alias is used for its value after the first write, not only written to."""
    written = {base for write in writes for base in walk(write.statement)}
    first = min(flow.span(write.node) for write in writes)
    for node in uses_of(scope, definition):
        if node not in written and flow.span(node) > first:
            return True
    return captured(flow, scope, definition.name) is not None
