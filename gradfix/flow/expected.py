"""What code is there for: an error that it expects, a test, a call that is only watched.

The spelling of a name counts here: pytest and unittest find tests by it, and a
counter that starts with an underscore is one that nobody reads. All of it is a reason to be silent.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.cells import cells_of
from gradfix.flow.facts import Facts
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.state import Backward, Scope
from gradfix.flow.taken_errors import runner_takes_errors, takes_errors
from gradfix.words import mentions

#: What using a non-leaf as a leaf raises: an optimizer refuses it, its gradient is None.
OF_NON_LEAVES = ("RuntimeError", "ValueError", "TypeError")
#: What handlers name that take PyTorch's refusals.
_REFUSALS = frozenset({"Exception", "BaseException", "ValueError", "TypeError", "IndexError"})


def is_meant_to_raise(
    flow: ModuleFlow, node: ast.AST, errors: tuple[str, ...] = ("RuntimeError",)
) -> bool:
    """Whether the code around a place expects an error there (a test of PyTorch's own checks).

    ``errors`` are the classes of what PyTorch raises there.
    """
    if not flow.expects_errors:
        return False

    return _is_expected(flow, node, errors) or runner_takes_errors(
        flow, node, lambda call: _is_expected(flow, call, errors, tried=False)
    )


def _is_expected(
    flow: ModuleFlow, node: ast.AST, errors: tuple[str, ...], *, tried: bool = True
) -> bool:
    """Whether a ``with`` or ``try`` around a place, in the same function, expects an error.

    Not ``tried``: a ``try`` whose handlers do anything may be there to report any trouble.
    """
    around: ast.AST | None = node
    while around is not None:
        inner, around = around, flow.parents.get(around)
        if isinstance(around, (ast.With, ast.AsyncWith)):
            for item in around.items:
                call = item.context_expr
                name = _called(call) if isinstance(call, ast.Call) else ""
                if name in ("raises", "assertRaises", "assertRaisesRegex"):
                    return True
                if isinstance(call, ast.Call) and _suppresses(call, errors):
                    return True
                if takes_errors(flow, call):
                    return True
        elif isinstance(around, ast.Try) and inner in around.body:
            caught = [
                handler.type
                for handler in around.handlers
                if handler.type is not None and (tried or isinstance(handler.body[0], ast.Pass))
            ]
            if _names(caught, errors) or (tried and _has_another_way(around)):
                return True
    return False


def _has_another_way(tried: ast.Try) -> bool:
    """Whether a handler makes, in another way, what the body makes: it works where that raises."""
    made = {*_bound(tried.body)}
    return any(
        not made.isdisjoint(_bound(handler.body))
        for handler in tried.handlers
        if handler.type is None
        or not _REFUSALS.isdisjoint(n.id for n in walk(handler.type) if isinstance(n, ast.Name))
    )


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """The names and attributes that statements bind."""
    for statement in body:
        for node in walk(statement):
            if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Store):
                yield node.id if isinstance(node, ast.Name) else node.attr


def _suppresses(call: ast.Call, errors: tuple[str, ...]) -> bool:
    """``contextlib.suppress(RuntimeError)``."""
    return _called(call) == "suppress" and _names(call.args, errors)


def _names(expressions: list[ast.expr], errors: tuple[str, ...]) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id in errors
        for expression in expressions
        for node in walk(expression)
    )


def is_absence_expected(flow: Facts, read: ast.AST) -> bool:
    """Whether a test says that this is None: ``assert w.grad is None``, ``assertIsNone``."""
    around = flow.parents.get(read)
    if _warnings_are_kept(flow, read):
        return True
    if isinstance(around, ast.Assign) and around.value is read:
        return _is_absent_under_its_name(flow, around)
    if isinstance(around, ast.Call):
        return _called(around) == "assertIsNone"
    if not isinstance(around, ast.Compare) or not isinstance(around.ops[0], ast.Is):
        return False
    if not isinstance(around.comparators[0], ast.Constant) or len(around.ops) > 1:
        return False
    outer: ast.AST | None = flow.parents.get(around)
    while isinstance(outer, ast.BoolOp) and isinstance(outer.op, ast.And):
        outer = flow.parents.get(outer)
    if isinstance(outer, ast.Call):
        return _called(outer) in ("assertTrue", "print")
    return isinstance(outer, ast.Assert)


def _is_absent_under_its_name(flow: Facts, bound: ast.Assign) -> bool:
    """``grad = w.grad`` with ``assert grad is None`` in the same block."""
    name = bound.targets[0]
    if not isinstance(name, ast.Name) or not mentions(flow.text, f"{name.id} is None"):
        return False
    block = getattr(flow.parents.get(bound), "body", [])
    return any(
        isinstance(node, ast.Name) and node.id == name.id and is_absence_expected(flow, node)
        for statement in block
        if isinstance(statement, (ast.Assert, ast.Expr))
        for node in walk(statement)
    )


def _warnings_are_kept(flow: Facts, read: ast.AST) -> bool:
    """Whether the warning about ``.grad`` of a non-leaf is what is looked at here."""
    if not mentions(flow.text, "warns") and not mentions(flow.text, "catch_warnings"):
        return False
    around = flow.parents.get(read)
    while around is not None:
        calls = [item.context_expr for item in getattr(around, "items", ())]
        for call in calls if isinstance(around, ast.With) else ():
            if isinstance(call, ast.Call):
                records = any(keyword.arg == "record" for keyword in call.keywords)
                if records or _called(call) in ("warns", "assertWarns", "assertWarnsRegex"):
                    return True
        around = flow.parents.get(around)
    return False


def _called(call: ast.Call) -> str:
    """The last part of the name that is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_watched(flow: ModuleFlow, statement: ast.stmt) -> bool:
    """Whether a statement is there to be timed, profiled or checked, and not for what it gives.

    It stands inside ``with``, ``try``, a loop whose counter nobody uses, or a test; or it is the
    last of a notebook's cell, which shows its value.
    """
    if _is_shown(flow, statement):
        return True
    parent: ast.AST | None = flow.parents.get(statement)
    while parent is not None:
        if isinstance(parent, (ast.With, ast.AsyncWith, ast.Try)):
            return True
        if isinstance(parent, ast.For) and isinstance(parent.target, ast.Name):
            if parent.target.id.startswith("_"):
                return True
        if isinstance(parent, ast.FunctionDef) and _names_a_test(parent.name):
            return True
        parent = flow.parents.get(parent)
    return False


def _is_shown(flow: ModuleFlow, statement: ast.stmt) -> bool:
    """Whether a notebook shows the value of a statement, which a semicolon behind it prevents."""
    marks = cells_of(flow.text)
    body = flow.tree.body
    if not marks or statement not in body:
        return False
    after = body.index(statement) + 1
    if after < len(body) and body[after].lineno not in {row for row, _ in marks}:
        return False
    row, column = statement.end_lineno or 1, statement.end_col_offset or 0
    return not flow.lines[row - 1].encode()[column:].lstrip().startswith(b";")


def is_only_expected(flow: ModuleFlow, scope: Scope) -> bool:
    """Whether a test computes what it expects here, and differentiates nothing."""
    return _names_a_test(scope.name) and all(
        event.scope is not scope for event in flow.all(Backward)
    )


def _names_a_test(name: str) -> bool:
    return name.startswith("test")
