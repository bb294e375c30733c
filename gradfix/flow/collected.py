"""Tensors that a loop collects in a list while it writes to them in place.

All entries are the same tensor then, and hold what the last turn left in it.
(https://docs.pytorch.org/docs/stable/tensor_view.html)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import captured, reaching, uses_of
from gradfix.flow.queries import calls_of
from gradfix.flow.state import Call, Scope, Write
from gradfix.flow.values import Kind, Storage

_Loop = ast.For | ast.While
#: Functions that say nothing about the entries of a list.
_PLAIN = frozenset({"len", "print", "bool", "range"})


@dataclass(frozen=True, slots=True)
class Collected:
    """One ``entries.append(x)``, the write that changes all entries, and where they are read."""

    name: ast.Name
    write: Write
    read: ast.AST


def collected_in_place(flow: ModuleFlow) -> Iterator[Collected]:
    """Every tensor that is appended turn by turn without a copy, and written in the same loop."""
    for call in calls_of(flow, ".append"):
        node = call.node
        if not isinstance(node, ast.Call) or len(node.args) != 1 or call.receiver is None:
            continue
        if call.receiver.kind is not Kind.SEQUENCE or not isinstance(node.func, ast.Attribute):
            continue
        name, entries = node.args[0], node.func.value
        if not isinstance(name, ast.Name) or not isinstance(entries, ast.Name):
            continue
        storage = call.arguments[0].storage if call.arguments[0].is_tensor else None
        loop = _loop_around(flow, call) if storage is not None else None
        if storage is None or loop is None:
            continue
        if _is_in(storage.node, loop) or _ends_the_loop(flow, call):
            continue
        if not all(_is_bound_before(call.scope, one, loop) for one in (name, entries)):
            continue
        write = _written_in(flow, call.scope, loop, storage)
        read = _read_behind(flow, call.scope, entries, loop)
        if write is not None and read is not None:
            yield Collected(name, write, read)


def _loop_around(flow: ModuleFlow, call: Call) -> _Loop | None:
    """The innermost loop around a call, in the same function."""
    at = flow.parents.get(call.node)
    while at is not None and at is not call.scope.node:
        if isinstance(at, (ast.For, ast.While)):
            return at
        at = flow.parents.get(at)
    return None


def _is_in(node: ast.AST | None, loop: _Loop) -> bool:
    line: int = getattr(node, "lineno", loop.lineno)  # memory without a place may be new each time
    return loop.lineno <= line <= (loop.end_lineno or loop.lineno)


def _is_bound_before(scope: Scope, name: ast.Name, loop: _Loop) -> bool:
    """Whether a name is certainly bound, and not in the loop."""
    definitions = reaching(scope, name)
    return bool(definitions) and not any(_is_in(one.node, loop) for one in definitions)


def _ends_the_loop(flow: ModuleFlow, call: Call) -> bool:
    """Whether the loop is left behind the call, so that there is one entry."""
    ends = (ast.Break, ast.Return, ast.Raise)
    return any(isinstance(statement, ends) for statement in flow.block_of(call.statement))


def _written_in(flow: ModuleFlow, scope: Scope, loop: _Loop, storage: Storage) -> Write | None:
    return next(
        (
            write
            for write in flow.all(Write)
            if write.scope is scope and write.target.storage is storage and _is_in(write.node, loop)
        ),
        None,
    )


def _read_behind(flow: ModuleFlow, scope: Scope, entries: ast.Name, loop: _Loop) -> ast.AST | None:
    """Where all entries are used behind the loop."""
    if captured(flow, scope, entries.id) is not None:
        return None
    last = loop.end_lineno or loop.lineno
    uses = {use for one in reaching(scope, entries) for use in uses_of(scope, one)}
    for use in sorted(uses, key=lambda use: flow.span(use)):
        around = flow.parents.get(use)
        if flow.span(use).row <= last:
            continue
        if isinstance(around, ast.Call) and use in around.args:
            if not (isinstance(around.func, ast.Name) and around.func.id in _PLAIN):
                return use
        elif isinstance(around, (ast.Return, ast.For, ast.comprehension, ast.keyword)):
            return use
    return None
