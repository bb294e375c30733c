"""Functions whose errors are taken by whoever runs them: a demonstration, or a test of PyTorch.

``assertRaises(RuntimeError, bad)`` runs ``bad`` and needs its error, and so do a decorator or a
helper of the file that calls what it is given inside of ``try``, and a context manager of the file
that goes on after an error. What raises today is then what it is there for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import FUNCTIONS, last_name, walk

_DEFINED = (*FUNCTIONS, ast.ClassDef)
#: What a file has that expects an error of a call.
_EXPECTS = re.compile(
    r"raises\b|assertRaises|suppress\(|contextmanager|__exit__|except[^\n]*:\s*pass\b"
)
#: Functions that are given a function and need its error.
_CHECKS = frozenset({"raises", "assertRaises", "assertRaisesRegex"})


def takes_errors(flow: ModuleFlow, manager: ast.expr) -> bool:
    """Whether a ``with`` goes on after an error: a context manager of this file that takes it."""
    if not isinstance(manager, ast.Call):
        return False
    name = last_name(manager.func)
    return any(
        _yields_inside_try(made) if isinstance(made, FUNCTIONS) else _exit_is_true(made)
        for made in definitions(flow, name)
    )


def runner_takes_errors(
    flow: ModuleFlow, node: ast.AST, expected: Callable[[ast.AST], bool]
) -> bool:
    """Whether a function around a place is run by somebody who takes its errors.

    ``expected`` says whether the code around a direct call expects one.
    """
    around: ast.AST | None = node
    while around is not None:
        if isinstance(around, FUNCTIONS) and _is_run_for_errors(flow, around, expected):
            return True
        around = flow.parents.get(around)
    return False


def _is_run_for_errors(
    flow: ModuleFlow,
    function: ast.FunctionDef | ast.AsyncFunctionDef,
    expected: Callable[[ast.AST], bool],
) -> bool:
    names = [last_name(one.func if isinstance(one, ast.Call) else one)
             for one in function.decorator_list]  # fmt: skip
    if any(_runs_in_try(made) for name in names for made in definitions(flow, name)):
        return True
    for use in _uses(flow, function.name):
        parent = flow.parents.get(use)
        if isinstance(parent, ast.Call) and parent.func is use:
            found = expected(parent)
        elif isinstance(parent, ast.Call):
            called = last_name(parent.func)
            made = definitions(flow, called)
            found = called in _CHECKS or any(map(_runs_in_try, made))
        else:
            found = isinstance(parent, (ast.Tuple, ast.List, ast.Dict)) and _any_runner(flow)
        if found:
            return True
    return False


def definitions(flow: ModuleFlow, name: str) -> list[ast.AST]:
    """The functions and classes of the file that have a name; only where it stands is looked."""
    known: dict[str, list[ast.AST]] = flow.__dict__.setdefault("_definitions_by_name", {})
    if name in known:
        return known[name]
    found = known[name] = []
    if not name or (f"def {name}" not in flow.text and f"class {name}" not in flow.text):
        return found
    queue: list[ast.stmt] = list(flow.tree.body)
    while queue:
        statement = queue.pop()
        if name not in flow.text_of(statement):
            continue
        within = [statement] if isinstance(statement, ast.ClassDef) else walk(statement)
        found += [n for n in within if isinstance(n, _DEFINED) and n.name == name]
        queue += statement.body if isinstance(statement, ast.ClassDef) else []
    return found


def _uses(flow: ModuleFlow, name: str) -> list[ast.AST]:
    """Where a function of the file is named, if an error of it may be taken there."""
    known: dict[str, list[ast.AST]] = flow.__dict__.setdefault("_named_for_errors", {})
    if name not in known:
        known[name] = [
            node
            for node in (flow.nodes_with(name) if _may_be_run_for_errors(flow, name) else ())
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load)
            if last_name(node) == name
        ]
    return known[name]


def _may_be_run_for_errors(flow: ModuleFlow, name: str) -> bool:
    """What the text alone says; to walk over all statements that name a function costs more."""
    text, called, handed = flow.text, False, False
    for place in re.finditer(name, text):  # without anchors, which are slow
        if text[max(0, place.start() - 4) : place.start()] != "def ":
            is_call = text[place.end() : place.end() + 2].lstrip()[:1] == "("
            called, handed = called or is_call, handed or not is_call
    if handed and re.search(rf"aises\w*\([^()]*\b{name}\b", text):
        return True
    return (called and _takes_errors_of_calls(flow)) or (handed and _any_runner(flow))


def _takes_errors_of_calls(flow: ModuleFlow) -> bool:
    return flow.worked_out("_takes_errors", 0, lambda: _EXPECTS.search(flow.text) is not None)


def _any_runner(flow: ModuleFlow) -> bool:
    """Whether the file calls, inside of ``try``, what it was given or takes from a list."""
    return flow.worked_out("_any_runner", 0, lambda: _run_in_try(list(flow.nodes_with("try:"))))


def _runs_in_try(node: ast.AST) -> bool:
    """Whether code calls an argument, or a loop's variable, inside of a ``try`` with handlers."""
    return _run_in_try(list(walk(node)))


def _run_in_try(nodes: list[ast.AST]) -> bool:
    given: set[str] = set()
    for inner in nodes:
        if isinstance(inner, ast.arg):
            given.add(inner.arg)
        elif isinstance(inner, (ast.For, ast.comprehension)):
            given |= {name.id for name in walk(inner.target) if isinstance(name, ast.Name)}
    return bool(given) and any(
        isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in given
        for tried in _tries(nodes)
        for statement in tried.body
        for call in walk(statement)
    )


def _tries(nodes: Iterable[ast.AST]) -> Iterator[ast.Try]:
    for inner in nodes:
        if isinstance(inner, ast.Try) and any(not _raises_again(h) for h in inner.handlers):
            yield inner


def _raises_again(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise)


def _yields_inside_try(function: ast.AST) -> bool:
    return any(
        isinstance(inner, ast.Yield)
        for tried in _tries(walk(function))
        for statement in tried.body
        for inner in walk(statement)
    )


def _exit_is_true(made: ast.AST) -> bool:
    """Whether ``__exit__`` of a class may return something true, which ends the error."""
    return any(
        isinstance(inner, ast.Return)
        and inner.value is not None
        and not (isinstance(inner.value, ast.Constant) and not inner.value.value)
        for method in walk(made)
        if isinstance(method, ast.FunctionDef) and method.name == "__exit__"
        for inner in walk(method)
    )
