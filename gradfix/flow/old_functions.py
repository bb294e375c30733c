"""``autograd.Function`` as it was before PyTorch 0.2: objects that keep state and are called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.values import Kind, Value

_FUNCTIONS = frozenset(
    f"torch.autograd.{module}{name}"
    for module in ("", "function.")
    for name in ("Function", "InplaceFunction")
)


@dataclass(frozen=True, slots=True)
class OldFunction:
    """A Function class whose ``method`` takes ``self``; ``call`` is where its object is called."""

    node: ast.ClassDef
    method: ast.FunctionDef
    call: ast.Call | None


def old_functions(flow: ModuleFlow) -> Iterator[OldFunction]:
    """Subclasses of ``autograd.Function`` that keep state in instances, which are called.

    Methods that only lack ``@staticmethod`` work with ``.apply``.
    """
    classes = [node for node in walk(flow.tree) if isinstance(node, ast.ClassDef)]
    for node in classes:
        if _is_function(flow, node, classes):
            method = _instance_method(node)
            call = _call_of_object(flow, node)
            if method is not None and (call is not None or _is_only_for_objects(flow, node)):
                yield OldFunction(node, method, call)


def _is_function(flow: ModuleFlow, node: ast.ClassDef, classes: list[ast.ClassDef]) -> bool:
    for base in node.bases:
        value = flow.value(base)
        if value.name in _FUNCTIONS and value.kind is Kind.REFERENCE:
            return True
        outer = next((c for c in classes if c is value.definition and c is not node), None)
        if outer is not None and outer.lineno < node.lineno:
            return _is_function(flow, outer, classes)
    return False


def _instance_method(node: ast.ClassDef) -> ast.FunctionDef | None:
    """The first of forward and backward that is no static method, and is not made one later."""
    late = {
        target.id
        for statement in node.body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "forward":
            return item if not item.decorator_list and item.name not in late else None
    return None


def _call_of_object(flow: ModuleFlow, node: ast.ClassDef) -> ast.Call | None:
    """A call of an object of the class: ``F()(x)``, ``f(x)`` for ``f = F()``."""
    for part in walk(flow.tree):
        if isinstance(part, ast.Call):
            value: Value = flow.value(part.func)
            if value.kind is Kind.INSTANCE and value.definition is node and _is_made(value, node):
                return part
            if isinstance(part.func, ast.Call):
                if flow.value(part.func.func).definition is node:
                    return part
    return None


def _is_made(value: Value, node: ast.ClassDef) -> bool:
    """Whether this is an object of the class, and not the ``self`` of its methods."""
    return value.symbol != f"self:{node.name}"


def _is_only_for_objects(flow: ModuleFlow, node: ast.ClassDef) -> bool:
    """Whether the class has a constructor with arguments and the file never applies it."""
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            arguments = [*item.args.args[1:], *item.args.kwonlyargs]
            return bool(arguments) and not any(
                isinstance(part, ast.Attribute)
                and part.attr == "apply"
                and flow.value(part.value).definition is node
                for part in walk(flow.tree)
            )
    return False
