"""What one turn, or one call of a function, hands on to the next.

Backward frees the graph of its turn. A copy without history can be kept for the next turn; the same
value with a history would lead back into a graph that is gone, and backward would raise.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.state import AttributeStore, Backward, Call
from gradfix.flow.values import Value
from gradfix.flow.walk import Walk

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LOOPS = (ast.For, ast.AsyncFor, ast.While)
#: After these a value has no history, whatever it is made from.
_DETACHED = frozenset({"detach", "data", "item", "tolist", "format"})
#: Put something into a container that they are asked of.
_FILLS = frozenset("append appendleft add extend extendleft insert put push store update".split())
#: How many operations back what a call is given is followed.
_STEPS = 200


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
        kept = call.node if _leads_back(call) else next(_collected(flow, loop, made), None)
    return kept


def is_shared(flow: ModuleFlow, statement: ast.stmt, name: str) -> bool:
    """Whether a function binds a name of outside."""
    function = flow.enclosing(statement, _FUNCTIONS)
    return function is not None and any(
        isinstance(node, (ast.Global, ast.Nonlocal)) and name in node.names
        for node in walk(function)
    )


def _training_loop(flow: ModuleFlow, node: ast.AST) -> ast.AST | None:
    """The innermost loop around a place, if its turns go backward."""
    loop = flow.enclosing(node, (*_LOOPS, *_FUNCTIONS))
    if not isinstance(loop, _LOOPS):
        return None
    inside = set(walk(loop))
    return loop if any(event.node in inside for event in flow.all(Backward)) else None


def _leads_back(call: Call) -> bool:
    """``t = torch.tensor([a + t[0], ...])`` in a loop: the data is made from the last turn's."""
    sources = Walk(call.arguments, _STEPS)
    for source in sources:
        if source.node is call.node:
            return True
        sources.further(source.inputs if stays_attached(source) else ())
    return False


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
    """``global last; last = copy``, and an attribute that the same function has read before."""
    function = flow.enclosing(call.node, _FUNCTIONS)
    if function is None:
        return
    for node in walk(function):
        if isinstance(node, ast.Assign) and flow.value(node.value).node in made:
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if any(is_shared(flow, node, name) for name in names):
                yield node
    for store in flow.all(AttributeStore):
        inside = flow.enclosing(store.node, _FUNCTIONS) is function
        if inside and store.value.node in made and _is_read_before(flow, function, store):
            yield store.statement


def _is_read_before(flow: ModuleFlow, function: ast.AST, store: AttributeStore) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == store.name
        and isinstance(node.ctx, ast.Load)
        and flow.span(node) < flow.span(store.node)
        for node in walk(function)
    )
