"""Functions that switch grad mode off for good, and the training that comes after them.

Terms: a *switch* is a plain call ``torch.set_grad_enabled(False)``; it holds until somebody calls
the function again. It *leaks* where a body is left while it is in force. What makes grad mode
another anywhere else in the file may mend that, so that then nothing is certain.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.iterators import may_follow
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import FUNCTIONS, LOOPS, straight, walk
from gradfix.flow.state import Backward, Call, GradMode, Scope
from gradfix.flow.values import Kind, Role, Value
from gradfix.words import mentions

_BRANCHES = (ast.If, ast.IfExp, ast.BoolOp, ast.Match, ast.ExceptHandler, ast.comprehension)


@dataclass(frozen=True, slots=True)
class Leak:
    """One switch that leaks: where its function is left, where that is called, what then fails."""

    switch: ast.AST
    left: ast.AST | None
    called: ast.AST | None
    training: ast.AST


def leaks(flow: ModuleFlow) -> Iterator[Leak]:
    """Every switch that is still off when a backward comes that needs grad mode."""
    if mentions(flow.text, "enable_grad") or mentions(flow.text, "_set_grad_enabled"):
        return
    flow.complete()
    calls = flow.all(Call)
    switches = [call for call in calls if call.name == "torch.set_grad_enabled"]
    off = [call for call in switches if _is_plain_off(flow, call)]
    training = trainers(flow)
    for switch in off:
        others = [
            call
            for call in switches
            if call.scope is not switch.scope
            or flow.span(call.node) < flow.span(switch.node)
            or not switch.scope.is_function
        ]
        if all(call in off for call in others):
            yield from _leaks_of(flow, switch, training)


def _is_plain_off(flow: ModuleFlow, call: Call) -> bool:
    """Whether a call of ``set_grad_enabled`` is a statement of its own and switches off."""
    parent = flow.parents.get(call.node)
    return (
        bool(call.arguments) and call.arguments[0].const is False and isinstance(parent, ast.Expr)
    )


def trainers(flow: ModuleFlow) -> frozenset[ast.AST]:
    """The functions of the file that call ``backward``, themselves or through others."""
    found = {event.scope.node for event in flow.all(Backward) if event.mode is GradMode.ON}
    called: dict[ast.AST, list[ast.AST]] = {}
    for call in flow.all(Call):
        if call.callee is not None:
            called.setdefault(call.callee, []).append(call.scope.node)
    queue = list(found)
    while queue:
        for caller in called.get(queue.pop(), ()):
            if caller not in found:
                found.add(caller)
                queue.append(caller)
    return frozenset(found)


def _leaks_of(flow: ModuleFlow, switch: Call, training: frozenset[ast.AST]) -> Iterator[Leak]:
    """The first training after a switch, in its own function or in those that call it."""
    left: ast.AST | None = None
    queue: list[tuple[Scope, ast.AST]] = [(switch.scope, switch.node)]
    done: set[ast.AST] = set()
    while queue:
        scope, place = queue.pop(0)
        if scope.node in done or (
            scope is switch.scope and is_conditional(flow, place, scope.node)
        ):
            continue
        done.add(scope.node)
        after = _training_after(flow, scope, place, training)
        if after is not None:
            yield Leak(switch.node, left, None if place is switch.node else place, after)
            return
        if scope is switch.scope:
            exits = [node for node, off in scope.exits if switch.node in off]
            if not exits or not _is_ordinary(scope):
                return
            left = exits[0]
        elif is_conditional(flow, place, scope.node):
            continue
        queue += [
            (call.scope, call.node)
            for call in flow.all(Call)
            if scope.is_function and call.callee is scope.node
        ]


def _is_ordinary(scope: Scope) -> bool:
    """Whether a function does something, and does not exist in order to switch."""
    node = scope.node
    if not isinstance(node, FUNCTIONS) or node.name in ("__enter__", "__exit__"):
        return False
    if any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in walk(node)):
        return False
    plain = [
        statement
        for statement in straight(node.body)
        if not isinstance(getattr(statement, "value", None), ast.Constant)
        and not isinstance(statement, (ast.With, ast.AsyncWith, ast.Try, ast.Match, ast.Pass))
    ]
    return len(plain) > 1


def is_conditional(flow: ModuleFlow, node: ast.AST, around: ast.AST) -> bool:
    """Whether a place inside ``around`` is reached on some paths only; loops count as run."""
    inner, at = node, flow.parents.get(node)
    while at is not None and inner is not around:
        if isinstance(at, _BRANCHES) and inner is not getattr(at, "test", None):
            return True
        inner, at = at, flow.parents.get(at)
    return False


def _training_after(
    flow: ModuleFlow, scope: Scope, place: ast.AST, training: frozenset[ast.AST]
) -> ast.AST | None:
    """The first place of a scope that trains and can run after another place of it."""
    places = [event.node for event in flow.all(Backward) if event.scope is scope]
    places += [
        call.node for call in flow.all(Call) if call.scope is scope and call.callee in training
    ]
    straight = not is_conditional(flow, place, scope.node)
    found = [
        at
        for at in places
        if (straight and may_follow(flow, place, at)) or comes_round(flow, place, at)
    ]
    return min(found, key=flow.span) if found else None


def comes_round(flow: ModuleFlow, first: ast.AST, second: ast.AST) -> bool:
    """Whether ``second`` runs in the next turn of a loop that both stand in.

    A condition that is the same in every turn may keep the two apart.
    """
    loop = innermost_common_loop(flow, first, second)
    if loop is None or any(isinstance(s, (ast.Return, ast.Break)) for s in loop.body):
        return False
    changing = {n.id for n in walk(loop) if isinstance(n, ast.Name) and _binds(n)}
    tests = _tests_above(flow, first, loop)
    return not is_conditional(flow, second, loop) and all(
        any(isinstance(n, ast.Name) and n.id in changing for n in walk(test)) for test in tests
    )


def _binds(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _tests_above(flow: ModuleFlow, node: ast.AST, around: ast.AST) -> list[ast.AST]:
    """What decides whether a place inside ``around`` is reached."""
    found: list[ast.AST] = []
    at = flow.parents.get(node)
    while at is not None and at is not around:
        if isinstance(at, _BRANCHES):
            found.append(getattr(at, "test", at))
        at = flow.parents.get(at)
    return found


def innermost_common_loop(
    flow: ModuleFlow, first: ast.AST, second: ast.AST
) -> ast.For | ast.AsyncFor | ast.While | None:
    """The innermost loop of one function whose body holds both places."""
    mine = enclosing_loops(flow, first)
    return next((loop for loop in enclosing_loops(flow, second) if loop in mine), None)


def enclosing_loops(flow: ModuleFlow, node: ast.AST) -> list[ast.For | ast.AsyncFor | ast.While]:
    """The loops whose body a place stands in, innermost first, within its function."""
    found: list[ast.For | ast.AsyncFor | ast.While] = []
    inner, at = node, flow.parents.get(node)
    while at is not None and not isinstance(at, (*FUNCTIONS, ast.Lambda, ast.ClassDef)):
        if isinstance(at, LOOPS) and inner in at.body:
            found.append(at)
        inner, at = at, flow.parents.get(at)
    return found


# -- nothing to differentiate -------------------------------------------------------------------


def unrecorded(flow: ModuleFlow) -> Iterator[tuple[ast.AST, ast.AST]]:
    """Every backward of a loss that was computed with grad mode off, and where it was computed."""
    if "enable_grad" in flow.text:
        return
    for event in flow.all(Backward):
        loss = event.loss
        if loss.node is None or loss.op == "join" or is_meant_to_raise(flow, event.node):
            continue
        while loss.op == "call" and loss.inputs and loss.kind is loss.inputs[0].kind:
            loss = loss.inputs[0]  # what a function of this file has computed
        if isinstance(loss.node, (ast.Call, ast.BinOp)) and _computed_off(flow, loss):
            yield event.node, loss.node


def _computed_off(flow: ModuleFlow, loss: Value) -> bool:
    """Whether an operation that makes a new tensor was run with grad mode off."""
    assert loss.node is not None
    statement = flow.enclosing(loss.node, ast.stmt)
    if statement is None or flow.modes.get(statement) is not GradMode.OFF:
        return False
    if loss.is_tensor:
        return loss.role == Role.UNTRACKED
    return loss.kind is Kind.UNKNOWN
