"""Facts about code written for PyTorch 0.3: ``.data[0]``, ``type(x) == Variable``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.values import Value

_VARIABLE = "torch.autograd.Variable"
_LEAVES_PYTORCH = frozenset({"numpy", "cpu", "detach", "data"})


def went_through_numpy(value: Value) -> bool:
    """Whether the value was a tensor, then an array, and is a tensor again."""
    queue, seen = [value], set()
    while queue:
        at = queue.pop()
        if at.op == "numpy" and any(source.is_tensor for source in at.inputs):
            return True
        if id(at) not in seen:
            seen.add(id(at))
            queue += at.inputs
    return False


def is_never_none(flow: ModuleFlow, node: ast.expr) -> bool:
    """Whether an expression is certainly not None: a tensor, or computed by an operator."""
    return flow.value(node).is_tensor or isinstance(node, (ast.BinOp, ast.UnaryOp))


# -- .data[0], type(x) == Variable -----------------------------------------------------------------


def first_elements(flow: ModuleFlow) -> Iterator[tuple[ast.Subscript, ast.expr]]:
    """Every read of ``x.data[0]``, ``x.data.cpu().numpy()[0]`` and the like, with ``x``."""
    for node in walk(flow.tree):
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        if not isinstance(node.slice, ast.Constant) or type(node.slice.value) is not int:
            continue
        if node.slice.value not in (0, -1):
            continue
        owner = _unmoved(node.value)
        if owner is not node.value and not _is_guarded(flow, node):
            yield node, owner


def _unmoved(node: ast.expr) -> ast.expr:
    """The tensor itself, without ``.data``, ``.detach()``, ``.cpu()`` and ``.numpy()``."""
    while True:
        if isinstance(node, ast.Attribute) and node.attr == "data":
            node = node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _LEAVES_PYTORCH
            and not node.args
            and not node.keywords
        ):
            node = node.func.value
        else:
            return node


def _is_guarded(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether the code knows both versions: an error is caught, or ``.item()`` is the other way."""
    at: ast.AST = node
    while (around := flow.parents.get(at)) is not None:
        if isinstance(around, ast.Try) and at in around.body and around.handlers:
            return True
        if isinstance(around, (ast.If, ast.IfExp)) and at is not around.test:
            other = around.orelse if at in _listed(around.body) else around.body
            for part in (n for top in (around.test, *_listed(other)) for n in walk(top)):
                if isinstance(part, ast.Attribute) and part.attr in ("item", "__version__"):
                    return True
                if isinstance(part, ast.Constant) and part.value == "item":
                    return True
        if isinstance(around, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            return False
        at = around
    return False


def _listed(part: ast.expr | list[ast.stmt]) -> list[ast.expr] | list[ast.stmt]:
    return part if isinstance(part, list) else [part]


def never_variables(flow: ModuleFlow) -> Iterator[tuple[ast.Compare, ast.expr, ast.expr]]:
    """Every ``type(x) == Variable``, with ``x`` and ``Variable``: no object is of that type."""
    for node in walk(flow.tree):
        if not isinstance(node, ast.Compare) or len(node.ops) != 1:
            continue
        if not isinstance(node.ops[0], (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)):
            continue
        call, kind = node.left, node.comparators[0]
        if not isinstance(call, ast.Call) or len(call.args) != 1 or call.keywords:
            continue
        if flow.value(call.func).name == "builtins.type" and flow.value(kind).name == _VARIABLE:
            yield node, call.args[0], kind
