"""What one turn, or one call of a function, hands on to the next.

Backward frees the graph of its turn. A copy without history can be kept for the next turn; the same
value with a history would lead back into a graph that is gone, and backward would raise.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import reaching, uses_of
from gradfix.flow.nodes import FUNCTIONS, LOOPS, walk
from gradfix.flow.state import AttributeStore, Backward, Call, Scope
from gradfix.flow.values import Value

#: After these a value has no history, whatever it is made from.
_DETACHED = frozenset({"detach", "data", "item", "tolist", "format"})
#: Put something into a container that they are asked of.
_FILLS = frozenset("append appendleft add extend extendleft insert put push store update".split())


def stays_attached(value: Value) -> bool:
    """Whether a value would have the history that a rewrite gives to what it is made from."""
    return value.op not in _DETACHED


def kept_for_later(flow: ModuleFlow, call: Call) -> ast.AST | None:
    """Where what ``call`` makes goes on into the next turn of training, or the next call."""
    made: set[ast.AST | None] = {call.node}
    made |= {value.node for value in flow.consumers(call.node, stays_attached)}
    kept = next(_shared(flow, call, made), None)
    loop = _training_loop(flow, call.node)
    if kept is None and loop is not None:
        kept = next(_carried(flow, call.scope, loop, made), None)
        kept = kept or next(_collected(flow, loop, made), None)
    return kept


def is_shared(flow: ModuleFlow, statement: ast.stmt, name: str) -> bool:
    """Whether a function binds a name of outside."""
    function = flow.enclosing(statement, FUNCTIONS)
    return function is not None and any(
        isinstance(node, (ast.Global, ast.Nonlocal)) and name in node.names
        for node in walk(function)
    )


def _training_loop(flow: ModuleFlow, node: ast.AST) -> ast.AST | None:
    """The innermost loop around a place whose turns go backward."""
    loop = flow.enclosing(node, (*LOOPS, *FUNCTIONS))
    while isinstance(loop, LOOPS):
        inside = set(walk(loop))
        if any(event.node in inside for event in flow.all(Backward)):
            return loop
        loop = flow.enclosing(loop, (*LOOPS, *FUNCTIONS))
    return None


def _carried(
    flow: ModuleFlow, scope: Scope, loop: ast.AST, made: set[ast.AST | None]
) -> Iterator[ast.AST]:
    """Reads in a loop that find what an earlier turn has made, or what was there before the loop.

    Where only a turn of its own reaches a read, nothing is carried.
    """
    inside = set(walk(loop))
    for definition in scope.definitions:
        if definition.value.node not in made or definition.node not in inside:
            continue
        for use in uses_of(scope, definition):
            if use in inside and any(d.node not in inside for d in reaching(scope, use)):
                yield use


def _collected(flow: ModuleFlow, loop: ast.AST, made: set[ast.AST | None]) -> Iterator[ast.AST]:
    """``replay.append(copy)`` in a loop, of a container that is older than the turn."""
    bound = {n.id for n in walk(loop) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for node in walk(loop):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        holder = node.func.value
        if node.func.attr in _FILLS and isinstance(holder, ast.Name) and holder.id not in bound:
            if any(flow.value(given).node in made for given in node.args):
                yield node


def _shared(flow: ModuleFlow, call: Call, made: set[ast.AST | None]) -> Iterator[ast.AST]:
    """``global last; last = copy``, an attribute the function has read before, a yield again."""
    function = flow.enclosing(call.node, FUNCTIONS)
    if function is None:
        return
    for node in walk(function):
        if isinstance(node, ast.Yield) and node.value is not None:
            loop = flow.enclosing(node, (*LOOPS, *FUNCTIONS))
            again = isinstance(loop, LOOPS) and call.node not in set(walk(loop))
            if again and flow.value(node.value).node in made:
                yield node
        if isinstance(node, ast.Assign) and flow.value(node.value).node in made:
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if any(is_shared(flow, node, name) for name in names):
                yield node
        elif isinstance(node, ast.Call) and _fills_attribute(function, node):
            if any(flow.value(given).node in made for given in node.args):
                yield node
    for store in flow.all(AttributeStore):
        inside = flow.enclosing(store.node, FUNCTIONS) is function
        if inside and store.value.node in made and _is_read_before(flow, function, store):
            yield store.statement


def _fills_attribute(function: ast.AST, node: ast.Call) -> bool:
    """``self.memory.append(x)`` in a function that uses all of the memory, and never empties it."""
    filled = node.func
    if not isinstance(filled, ast.Attribute) or filled.attr not in _FILLS:
        return False
    if not isinstance(filled.value, ast.Attribute):
        return False
    uses = [n for n in walk(function) if isinstance(n, ast.Attribute)]
    same = [n for n in uses if n.attr == filled.value.attr and n is not filled.value]
    emptied = any(n.attr == "clear" and n.value in same for n in uses)
    kept = all(isinstance(n.ctx, ast.Load) for n in same)
    return bool(same) and kept and not emptied


def _is_read_before(flow: ModuleFlow, function: ast.AST, store: AttributeStore) -> bool:
    """Whether a function reads an attribute before, or to compute, what it stores there."""
    computing = set(walk(store.statement))
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == store.name
        and isinstance(node.ctx, ast.Load)
        and (node in computing or flow.span(node) < flow.span(store.node))
        for node in walk(function)
    )
