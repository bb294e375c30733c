"""Functions of the file that return what depends on an argument, but not its history.

A Module that computes its result from its argument under ``no_grad`` cuts off what the caller
passes in. The call is then a cut like ``.detach()`` is, made at a place inside the function.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gradfix.flow.state import GradMode
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Role, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gradfix.flow.module import ModuleFlow


@dataclass(frozen=True, slots=True)
class CutInside:
    """A call whose result has lost the history of an argument, and where that happens."""

    function: ast.FunctionDef
    place: ast.AST


def with_cuts(
    flow: ModuleFlow, node: ast.AST, function: ast.AST | None, called: Value, given: Sequence[Value]
) -> Value:
    """The result of a call, with a cut where the history of what is ``given`` ends inside."""
    if not isinstance(function, ast.FunctionDef):
        return called
    if not any(value.is_tensor and value.needs_grad is Certainty.YES for value in given):
        return called
    if called.kind is Kind.SEQUENCE:
        items = called.items
        known = None if items is None else tuple(_cut(flow, node, function, i) for i in items)
        inner = called.element
        each = None if inner is None else _cut(flow, node, function, inner)
        return replace(called, items=known, element=each)
    return _cut(flow, node, function, called)


def _cut(flow: ModuleFlow, node: ast.AST, function: ast.FunctionDef, called: Value) -> Value:
    if not called.is_tensor or called.role != Role.UNTRACKED or called.cut or not called.inputs:
        return called
    place = _where_cut(called.inputs[0], function)
    if place is None or place.node is None:
        return called
    flow.cut_calls[node] = CutInside(function, place.node)
    return replace(called, cut=place.op if place.op in ("detach", "data") else "no_grad")


def some_function_cuts(flow: ModuleFlow) -> bool:
    """Whether any function of the file returns its argument's value without the history."""
    for scope in flow.scopes:
        result = scope.result if scope.returns else None
        if result is None or not isinstance(scope.node, ast.FunctionDef):
            continue
        inner = [result.element] if result.element is not None else []
        for part in (result, *(result.items or ()), *inner):
            if part.is_tensor and part.role == Role.UNTRACKED and _where_cut(part, scope.node):
                return True
    return False


def _where_cut(result: Value, function: ast.FunctionDef) -> Value | None:
    """The operation that keeps the value of an argument and drops its history, next to the result.

    Only differentiable operations and ``detach`` count: what has no gradient anyway is not cut here.
    """
    arguments = {*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs}
    queue, seen = [result], set()
    while queue:
        value = queue.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if value.is_tensor and value.role != Role.UNTRACKED:
            continue
        for source in value.inputs:
            untracked = source.is_tensor and source.role == Role.UNTRACKED
            if untracked or source.kind is Kind.SEQUENCE:
                queue.append(source)
            elif _comes_from(source, arguments):
                return value if _is_smooth(value) else None
    return None


def _comes_from(value: Value, arguments: set[ast.arg]) -> bool:
    queue, seen = [value], set()
    while queue:
        at = queue.pop()
        if id(at) in seen or at.kind not in (Kind.TENSOR, Kind.UNKNOWN, Kind.SEQUENCE):
            continue
        seen.add(id(at))
        if at.node in arguments:
            return True
        queue += at.inputs
    return False


def _is_smooth(value: Value) -> bool:
    if value.op in ("detach", "data"):
        return True
    op = op_facts(value.op, "function") or op_facts(value.op, "method")
    if op is None or op.zero_grad or op.factory or op.like:
        return value.op == "select"
    return all(any(signature.differentiable_results) for signature in op.signatures)


def hands_on_nothing(flow: ModuleFlow, function: ast.FunctionDef) -> bool:
    """Whether what a function is given certainly reaches nothing but its result."""
    for node in ast.walk(function):
        if isinstance(node, (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Lambda)):
            return False
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            return False
        if isinstance(node, ast.Call) and not _is_known(flow, node):
            return False
    return True


def _is_known(flow: ModuleFlow, call: ast.Call) -> bool:
    """Whether a call neither keeps nor differentiates what it is given."""
    statement = flow.enclosing(call, ast.stmt)
    if statement is not None and flow.modes.get(statement) is GradMode.OFF:
        return True
    function = flow.value(call.func)
    if function.kind is Kind.REFERENCE:
        return function.name.startswith(("torch.", "builtins.", "math."))
    return isinstance(call.func, ast.Attribute) and op_facts(call.func.attr, "method") is not None
