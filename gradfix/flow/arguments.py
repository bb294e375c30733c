"""What the calls in this file pass for the arguments of a function, and in which grad mode."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow import classes
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import last_name
from gradfix.flow.parameters import is_bound, matched
from gradfix.flow.state import Call, GradMode, Scope
from gradfix.flow.taken_errors import definitions
from gradfix.flow.text_facts import SWITCHES
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
    """Whether a function is called in this file, and nowhere certainly with grad mode on.

    A decorator of the file that switches grad mode stands for its callers.
    """
    for decorator in getattr(scope.node, "decorator_list", ()):
        named = decorator.func if isinstance(decorator, ast.Call) else decorator
        made = definitions(flow, last_name(named))
        if any(SWITCHES.search(flow.text_of(one)) for one in made):
            return True
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
    return next((v for p, v in given_by(call, scope.node) if p.arg == name), Value())


def given_by(call: Call, function: ast.AST | None) -> Iterator[tuple[ast.arg, Value]]:
    """What a call of a function passes for its parameters, as far as that is plain to see."""
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
        return
    if call.keyword("**") is not None or call.called is None:
        return
    made = isinstance(call.callee, ast.ClassDef)  # an object, or a class that makes one
    bound = made or is_bound(function, call.called.owner)
    values = [None if value.name == "starred" else value for value in call.arguments]
    yield from matched(function, bound, values, call.keywords)


def expressions_given(call: Call, node: ast.Call) -> Iterator[tuple[ast.arg, ast.expr]]:
    """The expressions that a call of a function, at ``node``, gives for its parameters."""
    function, called = call.callee, call.called
    if called is None or not isinstance(function, (ast.FunctionDef, ast.Lambda)):
        return
    values = [None if isinstance(argument, ast.Starred) else argument for argument in node.args]
    keywords = [(keyword.arg, keyword.value) for keyword in node.keywords]
    yield from matched(function, is_bound(function, called.owner), values, keywords)
