"""What the calls in this file pass for the arguments of a function, and in which grad mode."""

from __future__ import annotations

import ast

from gradfix.flow import classes
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import Call, GradMode, Scope
from gradfix.flow.values import Kind, Value


def calls_to(flow: ModuleFlow, function: ast.AST | None) -> list[Call]:
    """Every call of a function, or class, that is visible in this file."""
    calls = flow.all(Call)

    def find() -> dict[ast.AST | None, list[Call]]:
        found: dict[ast.AST | None, list[Call]] = {}
        for call in calls:
            if call.callee is not None:
                found.setdefault(call.callee, []).append(call)
        return found

    return flow.worked_out("_calls_by_callee", len(calls), find).get(function, [])


def only_called_without_grad(flow: ModuleFlow, scope: Scope) -> bool:
    """Whether a function is called in this file, and nowhere certainly with grad mode on."""
    calls = calls_to(flow, scope.node) if scope.is_function else []
    return bool(calls) and all(call.mode is not GradMode.ON for call in calls)


def passed_for(flow: ModuleFlow, scope: Scope, node: ast.expr) -> list[tuple[Call, Value]]:
    """What ``argument.attribute...`` is in a function, for each of its calls in this file."""
    names: list[str] = []
    root = node
    while isinstance(root, ast.Attribute):
        names.insert(0, root.attr)
        root = root.value
    if not isinstance(root, ast.Name) or root.id not in scope.arguments:
        return []
    if any(d.how != "argument" for d in scope.by_name.get(root.id, ())):
        return []
    found = []
    for call in calls_to(flow, scope.node):
        value = given_for(call, scope, root.id)
        for name in names:
            if value.kind not in (Kind.INSTANCE, Kind.MODULE):
                value = Value()
                break
            value = classes.attribute(flow, value, name, node)
        found.append((call, value))
    return found


def given_for(call: Call, scope: Scope, name: str) -> Value:
    """What one call passes for an argument; unknown where that is not plain to see."""
    assert isinstance(scope.node, (ast.FunctionDef, ast.AsyncFunctionDef))
    arguments = scope.node.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args)]
    bound = call.receiver is not None and call.receiver.kind is Kind.INSTANCE
    if scope.class_node is not None and not bound:
        return Value()
    if bound and scope.class_node is not None:
        names = names[1:]
    if any(value.name == "starred" for value in call.arguments) or call.keyword("**"):
        return Value()
    at = names.index(name) if name in names else len(names)
    given = call.arguments[at] if at < len(call.arguments) else call.keyword(name)
    return given if given is not None else Value()
