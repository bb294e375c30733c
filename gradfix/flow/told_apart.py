"""What a ``Variable`` of PyTorch 0.3 is to those who hold its tensor: can they tell the two apart?

They share memory but are two objects: flags, hooks, and what is written into only one of them when
that has a history, would show in the other if the wrapper goes.
"""

from __future__ import annotations

import ast
import re

from gradfix.flow.dtypes import LEGACY_TYPES
from gradfix.flow.iterators import may_follow
from gradfix.flow.loaders import BATCH, BATCHES
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import bound_to, captured, places_of, reaching, uses_of
from gradfix.flow.nodes import walk
from gradfix.flow.queries import CASTS
from gradfix.flow.state import Scope, Write
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import SOMEWHERE, Certainty, Kind, Value
from gradfix.flow.versions import Definition

#: Always another object over the same memory; what is done to it alone does not show elsewhere.
_NEW_OBJECTS = frozenset({"data", "detach", "from_numpy", "Variable", *LEGACY_TYPES})
_REPEATED = (
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)
_MOVES = CASTS | frozenset("long int short char byte bool".split())
#: Gives a tensor object another shape, or may do so.
_RESHAPES = re.compile(
    r"\.(?:(?:un)?squeeze|resize|resize_as|t|transpose|swapaxes|swapdims|set|as_strided)_\("
    r"|\.data\s*=(?!=)|setattr|__setattr__"
)
_PLAIN_ATTRIBUTES = frozenset({"shape", "dtype", "device", "ndim"})


def is_new(flow: ModuleFlow, node: ast.expr) -> bool:
    """Whether an expression certainly gives a tensor object without history nobody else holds."""
    value = flow.value(node)
    if not value.is_tensor or value.needs_grad is not Certainty.NO or value.parameter:
        return False
    if value.node is not node or _returns_itself(node):
        return False
    if value.op in _NEW_OBJECTS:
        return True
    inside = set(walk(node))
    if all(storage.node in inside for storage in value.storages):
        moved = [storage.node for storage in value.storages if _is_move(storage.node)]
        return all(isinstance(call, ast.Call) and is_new(flow, _owner(call)) for call in moved)
    if value.view or value.op in _MOVES:
        return isinstance(node, (ast.Call, ast.Subscript)) and is_new(flow, _owner(node))
    return False


def _returns_itself(node: ast.expr) -> bool:
    """Whether this is an in-place method of something that somebody may hold."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    return node.func.attr.endswith("_") and isinstance(node.func.value, (ast.Name, ast.Attribute))


def _is_move(node: ast.AST | None) -> bool:
    """Whether the node is a move to a device, where the tensor may be already."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _MOVES
    )


def _owner(node: ast.Call | ast.Subscript) -> ast.expr:
    if isinstance(node, ast.Subscript):
        return node.value
    if isinstance(node.func, ast.Attribute) and node.func.attr:
        return node.func.value
    return node.func


def is_indistinguishable(flow: ModuleFlow, scope: Scope, data: ast.expr, wrapper: ast.Call) -> bool:
    """Whether nobody can tell a tensor without history from the wrapper around it."""
    if is_new(flow, data):
        return True
    if isinstance(scope.node, ast.ClassDef):
        return False  # the names of a class are attributes
    if _is_handed_over(flow, scope, data):
        return True
    value = flow.value(data)
    if value.parameter or SOMEWHERE in value.storages:
        return False
    if any(write.target.storages & value.storages for write in flow.all(Write)):
        return False
    places = places_of(flow, scope, wrapper)
    return places is not None and all(_is_only_read(flow, place) for place in places)


def _is_handed_over(flow: ModuleFlow, scope: Scope, data: ast.expr) -> bool:
    """Whether the data are a new tensor whose names are used for nothing but the wrapper.

    Before that it may be made in one of several branches, filled, moved to a device, or viewed.
    """
    root = _root(flow, data)
    if root is None or scope.escapes is not None:
        return False
    around = _repeated_around(flow, root)
    reads, definitions = [root], list(reaching(scope, root))
    for definition in definitions:  # which grows
        name = definition.name
        if name in flow.shared_names or captured(flow, scope, name) is not None:
            return False
        if _repeated_around(flow, definition.node) != around:
            return False
        if _is_fresh_batch(flow, scope, definition):
            continue
        made = bound_to(definition)
        if made is None or len(definition.statement.targets) > 1:  # type: ignore[union-attr]
            return False  # ``x = kept = torch.zeros(3)``
        if not is_new(flow, made):
            further = _root(flow, made)
            if further is None:
                return False
            reads.append(further)
            definitions += [d for d in reaching(scope, further) if d not in definitions]
    return bool(definitions) and all(
        use in reads or _is_harmless(flow, definition.node, use, root)
        for definition in definitions
        for use in uses_of(scope, definition)
    )


def _root(flow: ModuleFlow, node: ast.expr) -> ast.Name | None:
    """The name of the tensor that is moved to a device or another type, or viewed."""
    while not isinstance(node, ast.Name):
        viewed = isinstance(node, (ast.Call, ast.Subscript)) and flow.value(node).view
        if not viewed and not _is_move(node):
            return None
        node = _owner(node)  # type: ignore[arg-type]
    return node


def _is_harmless(flow: ModuleFlow, made: ast.AST, use: ast.AST, wrapped: ast.AST) -> bool:
    """Whether a use of what is made, and wrapped later, is none that could tell the two apart."""
    if _is_alternative(flow, use, wrapped):
        return True
    before = flow.span(made) < flow.span(use) < flow.span(wrapped)
    if asks_size(flow, use):
        return before or not flow.is_so(_reshapes)
    return before and _fills(flow, use)


def _reshapes(text: str) -> bool:
    """Whether code may give a tensor object another shape."""
    return _RESHAPES.search(text) is not None


def _fills(flow: ModuleFlow, use: ast.AST) -> bool:
    """Whether a use writes numbers into a tensor, and nothing else: ``x[0] = 1``, ``x.zero_()``."""
    parent = flow.parents.get(use)
    if isinstance(parent, ast.Subscript) and parent.value is use:
        return isinstance(parent.ctx, ast.Store)
    while isinstance(parent, ast.Attribute) and parent.attr.endswith("_"):
        call = flow.parents.get(parent)
        if not isinstance(call, ast.Call) or call.func is not parent:
            return False
        parent = flow.parents.get(call)
        if isinstance(parent, ast.Expr):
            return True
    return False


def _is_fresh_batch(flow: ModuleFlow, scope: Scope, definition: Definition) -> bool:
    """Whether a name gets a tensor of a loader that nothing else holds.

    That is so for the names of a loop, and where the one name of a loop is unpacked and then
    forgotten.
    """
    value = definition.value
    if not value.is_tensor or value.op != BATCH:
        return False
    if definition.how == "for":
        return _runs_through_loaders(flow, definition)
    statement = definition.statement
    if definition.how != "assign" or not isinstance(statement, ast.Assign):
        return False
    whole = statement.value
    if not isinstance(whole, ast.Name) or len(statement.targets) > 1:
        return False
    batches = reaching(scope, whole)
    return all(
        one.how == "for" and uses_of(scope, one) == [whole] and _runs_through_loaders(flow, one)
        for one in batches
    )


def _runs_through_loaders(flow: ModuleFlow, definition: Definition) -> bool:
    """Whether the loop goes through loaders themselves, not through a list that keeps batches."""
    loop = definition.statement
    if not isinstance(loop, (ast.For, ast.AsyncFor)):
        return False
    given = [loop.iter]
    if isinstance(loop.iter, ast.Call):
        called = flow.value(loop.iter.func).name
        if called in ("builtins.enumerate", "builtins.zip"):
            given = loop.iter.args[: 1 if called.endswith("enumerate") else None]
    return all(flow.value(one).name == BATCHES for one in given)


def _is_alternative(flow: ModuleFlow, use: ast.AST, other: ast.AST) -> bool:
    """Whether a use and another, of what is made anew for them, never both run."""
    first, second = sorted((use, other), key=flow.span)
    return not may_follow(flow, first, second)


def asks_size(flow: ModuleFlow, use: ast.AST) -> bool:
    """Whether a use only asks how large a tensor is, of what type, or where; or for None."""
    parent = flow.parents.get(use)
    if isinstance(parent, ast.Compare):
        others = [side for side in (parent.left, *parent.comparators) if side is not use]
        return all(isinstance(side, ast.Constant) and side.value is None for side in others)
    if isinstance(parent, ast.Call):
        return flow.value(parent.func).name == "builtins.len"
    if not isinstance(parent, ast.Attribute):
        return False
    call = flow.parents.get(parent)
    if isinstance(call, ast.Call) and call.func is parent:
        return parent.attr in ("size", "dim", "numel")
    return parent.attr in _PLAIN_ATTRIBUTES


def _repeated_around(flow: ModuleFlow, node: ast.AST) -> list[ast.AST]:
    """The loops, comprehensions and lambdas around a node, within its function."""
    found: list[ast.AST] = []
    at: ast.AST | None = node
    while at is not None and not isinstance(at, (ast.FunctionDef, ast.AsyncFunctionDef)):
        if isinstance(at, _REPEATED):
            found.append(at)
        at = flow.parents.get(at)
    return found


def _is_only_read(flow: ModuleFlow, place: ast.AST) -> bool:
    """Whether a use computes something new from a tensor, and keeps neither it nor a view of it."""
    parent = flow.parents.get(place)
    if isinstance(parent, (ast.BinOp, ast.UnaryOp, ast.Compare)):
        return flow.value(parent).is_tensor
    if isinstance(parent, ast.Attribute):
        call = flow.parents.get(parent)
        if not isinstance(call, ast.Call) or call.func is not parent:
            return parent.attr in _PLAIN_ATTRIBUTES
        return _is_plain_op(parent.attr, "method", flow.value(call))
    if isinstance(parent, ast.Call) and place in parent.args:
        function = flow.value(parent.func)
        if function.kind is Kind.MODULE:
            return flow.value(parent).is_tensor and SOMEWHERE not in flow.value(parent).storages
        if function.kind is Kind.REFERENCE and function.name.startswith("torch."):
            name = function.name.rpartition(".")[2]
            kind = "functional" if ".functional." in function.name else "function"
            return _is_plain_op(name, kind, flow.value(parent))
    return False


def _is_plain_op(name: str, kind: str, result: Value) -> bool:
    if name in CASTS or name in ("reshape", "flatten", "requires_grad_", "detach"):
        return False
    op = op_facts(name, kind)  # type: ignore[arg-type]
    if result.kind is Kind.NUMBER or result.name == "shape":
        return True
    return op is not None and not op.inplace and result.is_tensor and not result.view
