"""Updates of what a loop runs through that only rebind the loop's variable: nothing is updated.

``for p in model.parameters(): p = p - lr * p.grad`` makes a new tensor and forgets it. This holds
whatever grad mode is on, as long as nobody reads the new tensor: at most its ``.grad``, to clear
it, which is meant for the old one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.memories import within
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import captured, reaching, uses_of
from gradfix.flow.state import GradRead, Scope
from gradfix.flow.versions import Definition

#: ``p.sub(...)`` is as good as ``p - ...``.
_METHODS = frozenset({"add", "sub", "addcdiv", "addcmul"})


@dataclass(frozen=True, slots=True)
class Dropped:
    """An update that is forgotten: the assignment, and the loop whose variable it rebinds.

    ``over_parameters`` says that the loop certainly runs through the Parameters of a Module.
    """

    scope: Scope
    definition: Definition
    statement: ast.Assign
    loop: ast.For
    over_parameters: bool


def dropped_updates(flow: ModuleFlow) -> Iterator[Dropped]:
    """Every ``p = p - lr * p.grad`` of a loop variable that nobody reads afterwards."""
    seen: set[ast.AST] = set()
    for read in flow.all(GradRead):
        statement, scope = read.statement, read.scope
        if read.store or not isinstance(statement, ast.Assign) or statement in seen:
            continue
        target, base = statement.targets[0], read.base
        if len(statement.targets) != 1 or not isinstance(target, ast.Name):
            continue
        if not (isinstance(base, ast.Name) and base.id == target.id and _starts_from(statement)):
            continue
        loop = _loop_of(flow, scope, base)
        definition = next((d for d in scope.definitions if d.node is target), None)
        if loop is None or definition is None or not within(flow, statement, loop):
            continue
        if captured(flow, scope, target.id) is not None or target.id in flow.shared_names:
            continue
        if all(_only_clears(flow, use) for use in uses_of(scope, definition)):
            seen.add(statement)
            yield Dropped(scope, definition, statement, loop, _over_parameters(loop.iter))


def _starts_from(statement: ast.Assign) -> bool:
    """Whether the new value is the old one plus or minus something."""
    target, value = statement.targets[0], statement.value
    assert isinstance(target, ast.Name)
    start: ast.expr | None = None
    if isinstance(value, ast.BinOp) and isinstance(value.op, (ast.Add, ast.Sub)):
        start = value.left
        while isinstance(start, ast.BinOp) and isinstance(start.op, (ast.Add, ast.Sub)):
            start = start.left
    elif isinstance(value, ast.Call) and isinstance(value.func, ast.Attribute):
        start = value.func.value if value.func.attr in _METHODS else None
    if isinstance(start, ast.Attribute) and start.attr == "data":
        start = start.value
    return isinstance(start, ast.Name) and start.id == target.id


def _loop_of(flow: ModuleFlow, scope: Scope, base: ast.Name) -> ast.For | None:
    """The loop whose variable a name certainly is."""
    definitions = reaching(scope, base)
    if len(definitions) != 1:
        return None
    (definition,) = definitions
    at: ast.AST | None = definition.node
    while at is not None and not isinstance(at, ast.stmt):
        at = flow.parents.get(at)
    return at if definition.how == "for" and isinstance(at, ast.For) else None


def _only_clears(flow: ModuleFlow, use: ast.AST) -> bool:
    parent = flow.parents.get(use)
    return isinstance(parent, ast.Attribute) and parent.attr == "grad"


def _over_parameters(iterable: ast.expr) -> bool:
    call = iterable
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("parameters", "named_parameters")
    )
