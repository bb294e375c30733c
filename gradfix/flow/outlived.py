"""Values that live longer than one backward: with a history, the second backward would raise.

What is made once and used for every step must not keep a history: backward frees what it needs
("Trying to backward through the graph a second time",
https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html). So a copy without
history that is cached, or made in a constructor, or before a loop with a backward in it, works
today, and would not with the gradient that it seems to lack.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow import classes
from gradfix.flow.later import is_shared, kept_for_later, stays_attached
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import FUNCTIONS, LOOPS, last_name, walk
from gradfix.flow.state import Backward, Call
from gradfix.flow.values import Certainty, Value
from gradfix.flow.walk import Walk

_CACHES = frozenset({"lru_cache", "cache", "cached_property"})
#: How many operations back what data is computed from is followed.
_STEPS = 200


def outlived(flow: ModuleFlow, call: Call) -> str | None:
    """Why what a call makes is used for more than one backward; None where nothing shows that."""
    if _is_cached(flow, call.node):
        return "the result is cached, and its history would end with the first backward"
    if _is_kept_if_missing(flow, call.node):
        return "it is made once and kept, and its history would end with the first backward"
    if classes.is_initialiser(call.scope.name):
        return "it is made in the constructor, and its history would end with the first backward"
    flow.complete()  # whoever uses it is interesting, too
    if _gone_back_twice(flow, call):
        return "two backwards go through it, and its history would end with the first"
    later = kept_for_later(flow, call)
    if later is not None:
        row = flow.span(later).row
        return f"line {row} hands it on to a later turn, and its history ends with this one"
    loop = _loop_after(flow, call)
    if loop is not None:
        row = flow.span(loop).row
        return f"it is made once for the loop on line {row}, where every turn goes backward"
    return None


def _is_cached(flow: ModuleFlow, node: ast.AST) -> bool:
    function = flow.enclosing(node, FUNCTIONS)
    while isinstance(function, FUNCTIONS):
        for decorator in function.decorator_list:
            names = (n.attr if isinstance(n, ast.Attribute) else n.id for n in _names(decorator))
            if not _CACHES.isdisjoint(names):
                return True
        function = flow.enclosing(function, FUNCTIONS)
    return False


def _names(node: ast.AST) -> Iterator[ast.Attribute | ast.Name]:
    return (n for n in walk(node) if isinstance(n, (ast.Attribute, ast.Name)))


def _is_kept_if_missing(flow: ModuleFlow, node: ast.AST) -> bool:
    """``if self.table is None: self.table = ...``, and the same of names and entries."""
    statement = flow.enclosing(node, ast.stmt)
    if not isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return False
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    kept = {_root(target) for target in targets if not isinstance(target, ast.Name)}
    kept |= {t.id for t in targets if isinstance(t, ast.Name) and is_shared(flow, statement, t.id)}
    around = flow.enclosing(statement, ast.If)
    while around is not None:
        asked = {_root(n) for n in walk(around.test) if isinstance(n, (ast.Attribute, ast.Name))}
        asked |= {str(n.value) for n in walk(around.test) if isinstance(n, ast.Constant)}
        if not kept.isdisjoint(asked):
            return True
        around = flow.enclosing(around, ast.If)
    return False


def _root(node: ast.AST) -> str:
    """The attribute or name that an expression is an entry of."""
    while isinstance(node, ast.Subscript):
        node = node.value
    return last_name(node)


def _loop_after(flow: ModuleFlow, call: Call) -> ast.AST | None:
    """A loop with a backward in it that uses what is made before it."""
    loops = list(_training_loops(flow))
    if not loops:
        return None
    reached = list(flow.consumers(call.node, stays_attached))
    made = {call.node} | {value.node for value in reached if value.node is not None}
    for loop in loops:
        inside = set(walk(loop))
        function = flow.enclosing(loop, FUNCTIONS)
        before = {n for n in made - inside if flow.enclosing(n, FUNCTIONS) is function}
        for value in reached:
            if value.node in inside and any(source.node in before for source in value.inputs):
                return loop
    return None


def _gone_back_twice(flow: ModuleFlow, call: Call) -> bool:
    """Whether several backwards of one function go back through what is made once there."""
    backwards = [b for b in flow.all(Backward) if b.loss.node is not None and not _retains(b)]
    if len(backwards) < 2:
        return False
    reached = [value.node for value in flow.consumers(call.node, stays_attached)]
    for node in dict.fromkeys((call.node, *reached)):
        function = None if node is None else flow.enclosing(node, FUNCTIONS)
        here = [b for b in backwards if flow.enclosing(b.node, FUNCTIONS) is function]
        if node is None or len(here) < 2:
            continue
        behind = {value.node for value in flow.consumers(node, stays_attached)} | {node}
        if len({b.node for b in here if b.loss.node in behind}) > 1:
            return True
    return _joins_another(flow, call, backwards)


def _joins_another(flow: ModuleFlow, call: Call, backwards: list[Backward]) -> bool:
    """Whether what the data is computed from has a backward already, that of another loss."""
    after = {value.node for value in flow.consumers(call.node, stays_attached)} | {call.node}
    own = {b.node for b in backwards if b.loss.node in after}
    if not own:
        return False
    sources = Walk(call.arguments, _STEPS)
    for source in sources:
        sources.further(source.inputs if stays_attached(source) else ())
        if not source.is_tracked or source.node is None:
            continue
        behind = {v.node for v in flow.consumers(source.node, _has_history)} | {source.node}
        if any(b.node not in own and b.loss.node in behind for b in backwards):
            return True
    return False


def _has_history(value: Value) -> bool:
    return value.needs_grad is not Certainty.NO and stays_attached(value)


def _retains(backward: Backward) -> bool:
    keywords = backward.node.keywords if isinstance(backward.node, ast.Call) else ()
    return any(keyword.arg == "retain_graph" for keyword in keywords)


def _training_loops(flow: ModuleFlow) -> Iterator[ast.AST]:
    """The loops whose turns go backward, each in the function of that backward."""
    for backward in flow.all(Backward):
        loop = flow.enclosing(backward.node, (*LOOPS, *FUNCTIONS))
        if isinstance(loop, LOOPS):
            yield loop
