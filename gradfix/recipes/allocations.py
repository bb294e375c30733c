"""A buffer's allocation and the comments at its fills, as text for what replaces them."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.apart import together
from gradfix.flow.assembly import Assembly, tensor_root
from gradfix.flow.names import spelling
from gradfix.flow.source_text import bracketed
from gradfix.flow.values import Kind, Shape


def tuple_text(shape: Shape) -> str:
    """A shape as Python spells the tuple."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def fill_value(flow: ModuleFlow, assembly: Assembly) -> str:
    """The number that ``full`` and its kin are given."""
    call = assembly.allocation
    assert isinstance(call, ast.Call)
    for keyword in call.keywords:
        if keyword.arg == "fill_value":
            return flow.source_of(keyword.value)
    return flow.source_of(call.args[-1])


def comment_after(flow: ModuleFlow, statement: ast.stmt) -> str:
    """The comment after a statement on its last line."""
    span = flow.span(statement)
    rest = flow.lines[span.end_row - 1][span.end_column - 1 :].strip()
    return rest if rest.startswith("#") else ""


def comments_above(flow: ModuleFlow, statement: ast.stmt) -> list[str]:
    """The comment lines directly above a statement."""
    found: list[str] = []
    if together(statement) and statement is not together(statement)[0]:
        return found  # those are above the first part
    for line in reversed(flow.lines[: statement.lineno - 1]):
        if not line.strip().startswith("#"):
            break
        found.append(line.strip())
    return found[::-1]


def options_text(flow: ModuleFlow, assembly: Assembly, parts: list[ast.expr]) -> str:
    """``.to(...)`` where the buffer's element type or device would otherwise change."""
    call, buffer = assembly.allocation, assembly.buffer
    assert isinstance(call, ast.Call)
    given = {keyword.arg: flow.source_of(keyword.value) for keyword in call.keywords}
    words = []
    if "device" in given:
        words.append(f"device={given['device']}")
    dtypes = {flow.value(part).dtype for part in parts if flow.value(part).kind is not Kind.NUMBER}
    if dtypes != {buffer.dtype} or buffer.dtype is None:
        words.append(f"dtype={given.get('dtype') or _buffer_dtype(flow, assembly)}")
    options = f".to({', '.join(words)})" if words else ""
    return options + assembly.moves


def root_text(flow: ModuleFlow, assembly: Assembly) -> str | None:
    """A tensor in scope of the parts' type and device, to make constants like.

    Raises NotFixable where there is none, and the buffer is put on a device of its own.
    """
    for fill in assembly.fills:
        root = tensor_root(flow, fill.part, assembly.buffer.dtype)
        if root is not None:
            return flow.source_of(root)
    call = assembly.allocation
    assert isinstance(call, ast.Call)
    if assembly.moves or any(keyword.arg == "device" for keyword in call.keywords):
        raise NotFixable("on which device its constants are to be made is not known")
    return None


def _buffer_dtype(flow: ModuleFlow, assembly: Assembly) -> str:
    call, buffer = assembly.allocation, assembly.buffer
    assert isinstance(call, ast.Call)
    if buffer.op.endswith("_like"):
        return f"{bracketed(flow.source_of(call.args[0]), call.args[0])}.dtype"
    if buffer.op.startswith("new_"):
        assert isinstance(call.func, ast.Attribute)
        return f"{flow.source_of(call.func.value)}.dtype"
    spelled = spelling(flow, assembly.scope, "torch.get_default_dtype")
    if spelled is None:
        raise NotFixable("the file has no name for torch.get_default_dtype")
    return f"{spelled}()"


def size_text(flow: ModuleFlow, assembly: Assembly) -> str | None:
    """The sizes as the allocation spells them."""
    call, buffer = assembly.allocation, assembly.buffer
    assert isinstance(call, ast.Call)
    if buffer.op.endswith("_like"):
        return f"{bracketed(flow.source_of(call.args[0]), call.args[0])}.shape"
    if any(isinstance(arg, ast.Starred) for arg in call.args) or not call.args:
        return None
    nodes = call.args[:1] if buffer.op.endswith("full") else call.args
    return ", ".join(flow.source_of(arg) for arg in nodes)
