"""A copy of graph tensors becomes a ``stack``, ``cat`` or ``clone`` that keeps their history."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.assembly import tensor_root
from gradfix.flow.dtypes import LEGACY_TYPES, is_integer
from gradfix.flow.names import own_nodes, spelling
from gradfix.flow.needs_none import needed_without_history
from gradfix.flow.outlived import outlived
from gradfix.flow.plain_only import plain_only
from gradfix.flow.shapes import numel
from gradfix.flow.source_text import bracketed, replaced
from gradfix.flow.stacked import input_of_forward
from gradfix.flow.state import Call, Scope
from gradfix.flow.values import Certainty, Kind, Value, element_of, parts_of
from gradfix.model import Edit, EditKind, Fix
from gradfix.recipes.layer_input import copied_with_history

_SHAPES = "whether each part is one number is not known"


def keep_graph(flow: ModuleFlow, call: Call, data: ast.expr) -> Fix:
    """The edits that keep the graph at ``torch.tensor(data)`` and its kin.

    Raises NotFixable, with the reason, where nothing certainly gives the same numbers.
    """
    assert isinstance(call.node, ast.Call)
    known = {"dtype", "device", "requires_grad", "data"}
    if any(k.arg not in known for k in call.node.keywords):
        raise NotFixable("the arguments of the call are not understood")
    plain = plain_only(flow, call)
    if plain is not None:
        raise NotFixable(plain)
    value = flow.value(data)
    if input_of_forward(flow, call.scope, value):
        text, doubt = copied_with_history(flow, call, data), ""
    elif value.is_tensor:
        text, doubt = _single(flow, call, data, value)
    elif isinstance(data, (ast.List, ast.Tuple)):
        text, doubt = _literal(flow, call, data)
    else:
        text, doubt = _container(flow, call, data, value)
    longer = outlived(flow, call)
    if longer is not None:
        raise NotFixable(longer)
    needed = needed_without_history(flow, call)
    if needed is not None and needed.sure:
        raise NotFixable(needed.how)
    doubt = doubt if needed is None else needed.how
    flags = flags_set_later(flow, call)
    if any(isinstance(flag, ast.Assign) and len(flag.targets) > 1 for flag in flags):
        raise NotFixable("`requires_grad` is set in one statement with other names")
    later = [Edit(EditKind.STATEMENT, flow.span(flag), "") for flag in flags]
    edits = (Edit(EditKind.REPLACE, flow.span(call.node), text), *later)
    return Fix.of("keep the graph", edits, doubt)


def flags_set_later(flow: ModuleFlow, call: Call) -> list[ast.stmt]:
    """Statements that set ``requires_grad`` on the copy; with a history they would raise."""
    setting = flow.worked_out("_flags", len(flow.scopes), lambda: _flags_set(flow))
    flags = setting.get(call.scope, [])
    if not flags:
        return []
    reached = {call.node} | {
        v.node for v in flow.consumers(call.node, lambda v: v.is_tensor) if v.node is not None
    }
    return [node for node, target in flags if flow.value(target).node in reached]


def _flags_set(flow: ModuleFlow) -> dict[Scope, list[tuple[ast.stmt, ast.expr]]]:
    """By scope the statements that set ``requires_grad``, and of what."""
    return {scope: list(_flags_set_in(scope)) for scope in flow.scopes}


def _flags_set_in(scope: Scope) -> Iterator[tuple[ast.stmt, ast.expr]]:
    for node in own_nodes(scope):
        target: ast.expr | None = None
        if isinstance(node, ast.Assign):
            for one in node.targets:
                if isinstance(one, ast.Attribute) and one.attr == "requires_grad":
                    target = one.value
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            func = node.value.func
            if isinstance(func, ast.Attribute) and func.attr == "requires_grad_":
                target = func.value
        if target is not None and isinstance(node, ast.stmt):
            yield node, target


def _single(flow: ModuleFlow, call: Call, data: ast.expr, value: Value) -> tuple[str, str]:
    """``torch.tensor(x)`` of one tensor, and what is not proven of it."""
    assert isinstance(call.node, ast.Call)
    options = [flow.source_of(k) for k in call.node.keywords if k.arg in ("dtype", "device")]
    if any(k.arg == "requires_grad" for k in call.node.keywords):
        raise NotFixable("a tensor is wrapped again as a leaf (see loss-rewrap)")
    text = bracketed(flow.source_of(data), data)
    if options:
        text = f"{text}.to({', '.join(options)})"
    else:
        text = f"{text}.clone()"
    return text, (
        "" if value.needs_grad is Certainty.YES else "whether it has a history is not known"
    )


def _literal(flow: ModuleFlow, call: Call, data: ast.List | ast.Tuple) -> tuple[str, str]:
    """A list or tuple written out."""
    stack = spelling(flow, call.scope, "torch.stack")
    if stack is None:
        raise NotFixable("the file has no name for torch.stack")
    items = [flow.value(item) for item in data.elts]
    if any(isinstance(item, ast.Starred) for item in data.elts):
        raise NotFixable("the list unpacks another one")
    if all(isinstance(item, (ast.List, ast.Tuple)) for item in data.elts):
        rows = []
        doubt = ""
        for item in data.elts:
            row = _joined(flow, item, stack, call)
            rows.append((item, row[0]))
            doubt = doubt or row[1]
        inner = replaced(flow, data, dict(rows))
        return _with_options(flow, call, f"{stack}({inner})", doubt, items)
    row = _joined(flow, data, stack, call)
    return _with_options(flow, call, row[0], row[1], items)


def _joined(flow: ModuleFlow, data: ast.expr, stack: str, call: Call) -> tuple[str, str]:
    """``stack([...])`` of one row whose elements are one number each."""
    if not isinstance(data, (ast.List, ast.Tuple)):
        raise NotFixable("the rows are of different kinds")
    items = [flow.value(item) for item in data.elts]
    tensors = [item for item in items if item.is_tensor]
    if not tensors or any(item.kind not in (Kind.TENSOR, Kind.NUMBER) for item in items):
        raise NotFixable("it is not known what some of the elements are")
    if any(item.cut for item in items if item.kind is Kind.NUMBER):
        raise NotFixable("one element was taken out of the graph before")
    if any((numel(item.shape) or 1) != 1 for item in tensors):
        raise NotFixable("an element holds more than one number, so the call raises")
    numbers = {
        node: _number(flow, call, data, node)
        for node, item in zip(data.elts, items, strict=True)
        if item.kind is Kind.NUMBER
    }
    shapes = {item.shape for item in tensors}
    if shapes == {(1,)} and not numbers:
        cat = spelling(flow, call.scope, "torch.cat")
        if cat is not None:
            return f"{cat}({flow.source_of(data)})", ""
    if shapes == {()}:
        return f"{stack}({replaced(flow, data, numbers)})", ""
    if None in shapes and not numbers:
        # One-element tensors of any shape count as numbers in torch.tensor.
        return f"{stack}({flow.source_of(data)}).reshape({len(items)})", _SHAPES
    scalars = {
        node: f"{bracketed(flow.source_of(node), node)}.reshape(())"
        for node, item in zip(data.elts, items, strict=True)
        if item.is_tensor and item.shape != ()
    }
    text = f"{stack}({replaced(flow, data, {**numbers, **scalars})})"
    return text, _SHAPES if None in shapes else ""


def _number(flow: ModuleFlow, call: Call, data: ast.List | ast.Tuple, node: ast.expr) -> str:
    """A Python number as a tensor on the device of its neighbours.

    ``torch.stack`` promotes element types as ``torch.tensor`` does, so its type needs no care.
    """
    for other in data.elts:
        root = tensor_root(flow, other, flow.value(other).dtype)
        if root is not None:
            return f"{flow.source_of(root)}.new_tensor({flow.source_of(node)})"
    raise NotFixable("on which device its numbers are to be made is not known")


def _with_options(
    flow: ModuleFlow, call: Call, text: str, doubt: str, items: list[Value]
) -> tuple[str, str]:
    """Add a conversion where element type or device would differ without it."""
    assert isinstance(call.node, ast.Call)
    if is_integer(call.result.dtype):
        raise NotFixable("a tensor of an integer type cannot carry a gradient")
    legacy = LEGACY_TYPES.get(call.name)
    same = {"default", legacy} if legacy in ("default", "float32") else {legacy}
    if legacy is not None and _dtypes_of(items) - same:
        convert = {"float32": "float", "float64": "double", "float16": "half"}.get(legacy)
        if convert is None:
            raise NotFixable("the element type of the parts is not known")
        return f"{text}.{convert}()", doubt
    options = [flow.source_of(k) for k in call.node.keywords if k.arg in ("dtype", "device")]
    return (f"{text}.to({', '.join(options)})" if options else text), doubt


def _dtypes_of(items: list[Value]) -> set[str | None]:
    found: set[str | None] = set()
    for item in items:
        if item.is_tensor:
            found.add(item.dtype)
        elif item.kind is Kind.SEQUENCE:
            found |= _dtypes_of(list(parts_of(item)))
    return found


def _container(flow: ModuleFlow, call: Call, data: ast.expr, value: Value) -> tuple[str, str]:
    """A named list or a comprehension: its length and elements are known only as a whole."""
    element = element_of(value)
    if element is None or not (element.is_tensor or element.kind is Kind.UNKNOWN):
        raise NotFixable("it is not known what the list holds")
    if value.name == "filtered":
        raise NotFixable("the list may be empty, and nothing cannot be stacked")
    stack = spelling(flow, call.scope, "torch.stack")
    if stack is None:
        raise NotFixable("the file has no name for torch.stack")
    if isinstance(data, ast.GeneratorExp):
        raise NotFixable("the data is a generator")
    text = f"{stack}({flow.source_of(data)})"
    filled = isinstance(value.length, int) and value.length > 0
    doubt = "" if filled else "the list may be empty, and nothing cannot be stacked"
    if not element.is_tensor:
        text, doubt = f"{text}.reshape(-1)", "it is not known what the list holds"
    elif element.shape != ():
        text, doubt = f"{text}.reshape(-1)", doubt or _SHAPES
    return _with_options(flow, call, text, doubt, [element])
