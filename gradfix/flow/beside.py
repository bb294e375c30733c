"""What an expression is computed with beside a leaf, and which of it may be a tensor."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import children, walk
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind


def operands_beside(
    flow: ModuleFlow, top: ast.expr, leaves: Iterable[ast.expr]
) -> Iterator[ast.AST]:
    """The parts of an expression that no leaf goes into, and what those of unknown kind are of."""
    leaves = set(leaves)
    around = set()
    for leaf in leaves:
        at: ast.AST = leaf
        while at is not top:
            at = flow.parents[at]
            around.add(at)
    queue: list[ast.AST] = [top]
    for node in queue:  # which grows
        if node in leaves:
            continue
        value = flow.values.get(node)
        if value is None or node in around:
            queue += children(node)
            continue
        yield node
        if value.kind is Kind.UNKNOWN:
            queue += children(node)


def possible_tensors(flow: ModuleFlow, top: ast.expr) -> Iterator[ast.expr]:
    """The names and attributes in an expression that may be tensors, as far as is known."""
    function = flow.enclosing(top, ast.FunctionDef)
    numbers = frozenset() if function is None else number_arguments(flow, function)
    for node in walk(top):
        parent = flow.parents.get(node)
        if not isinstance(node, (ast.Name, ast.Attribute)) or isinstance(parent, ast.Attribute):
            continue
        if isinstance(parent, ast.Call) and parent.func is node:
            continue
        number = isinstance(node, ast.Name) and node.id in numbers
        if node in flow.values and flow.value(node).kind is Kind.UNKNOWN and not number:
            yield node


def number_arguments(flow: ModuleFlow, function: ast.FunctionDef) -> frozenset[str]:
    """The names in a function that are numbers: by default, or as the size of a tensor or layer."""
    found = set(_numbers_by_default(function.args))
    for call in walk(function):
        value = flow.value(call)
        if not isinstance(call, ast.Call) or value.node is not call:
            continue
        op = op_facts(value.op, "function") if value.is_tensor else None
        if value.kind is Kind.MODULE or (op is not None and op.factory and value.op != "tensor"):
            found |= {given.id for given in call.args if isinstance(given, ast.Name)}
    return frozenset(found)


def _numbers_by_default(arguments: ast.arguments) -> Iterator[str]:
    plain = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(plain), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for argument, default in pairs:
        if isinstance(default, ast.Constant) and isinstance(default.value, (int, float)):
            yield argument.arg
