"""Expanded tensors: which of their dimensions are one and the same memory, read several times."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import Write
from gradfix.flow.values import Kind, Shape, Value
from gradfix.flow.walk import Walk

_EXPANDS = frozenset({"expand", "expand_as", "broadcast_to"})


def repeated_writes(flow: ModuleFlow) -> Iterator[tuple[Write, Value, int]]:
    """Writes to one place of a dimension that certainly is expanded, so that they land in all."""
    for write in flow.all(Write):
        target, index = write.target, write.index if write.how == "setitem" else None
        item = target.node
        if target.op == "select" and isinstance(item, ast.Subscript) and target.inputs:
            target, index = target.inputs[0], item.slice  # ``m[i][j] = x``, ``m[i].fill_()``
        if index is None or not target.is_tensor:
            continue
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        made = expansion(target)
        for dim, part in enumerate(parts):
            number = flow.value(part)
            single = number.kind is Kind.NUMBER and not isinstance(number.const, bool)
            if not single and not isinstance(part, ast.Slice):
                break  # an array, a mask, ``None`` or ``...``: the dimensions are not counted on
            if made is not None and single and dim in repeated_dims(made):
                yield write, made, dim
                break


def expansion(value: Value) -> Value | None:
    """The call of ``expand`` that certainly gave this tensor, through writes and joins."""
    found: set[Value] = set()
    walk = Walk([value])
    for at in walk:
        if at.op == "join":
            walk.further(at.inputs)
        elif at.op == "write" and at.inputs:
            walk.further([at.inputs[0]])
        elif at.is_tensor and at.op in _EXPANDS and len(at.inputs) > 1:
            found.add(at)
        else:
            return None
    return found.pop() if len(found) == 1 else None


def repeated_dims(value: Value) -> frozenset[int]:
    """The dimensions of an expanded tensor that had one place, or were not there, before."""
    sizes = _sizes(value)
    if sizes is None:
        return frozenset()
    source, count = value.inputs[0], len(sizes)
    grown = {dim for dim, size in enumerate(sizes) if size not in (1, -1)}
    if source.shape is not None and len(source.shape) <= count:
        before: Shape = (1,) * (count - len(source.shape)) + source.shape
        return frozenset(dim for dim in grown if before[dim] == 1)
    new = _new_dim(source)
    return frozenset({new % count} & grown) if new is not None and count else frozenset()


def _sizes(value: Value) -> list[int | str | None] | None:
    """The sizes asked for, None where one is not known; None for no list of sizes."""
    given = value.inputs[1:]
    if value.op == "expand_as":
        return list(given[0].shape) if given[0].shape is not None else None
    if len(given) == 1 and given[0].kind is Kind.SEQUENCE:
        if given[0].items is None:
            return None
        given = given[0].items
    if any(size.kind not in (Kind.NUMBER, Kind.UNKNOWN) for size in given):
        return None
    return [size.const if isinstance(size.const, int) else None for size in given]


def _new_dim(source: Value) -> int | None:
    """0 or -1 where ``unsqueeze`` or ``[None]`` has just put a dimension in at that end."""
    if source.op == "unsqueeze" and len(source.inputs) == 2:
        at = source.inputs[1].const
        return at if at in (0, -1) and isinstance(at, int) else None
    if source.op == "select" and isinstance(source.node, ast.Subscript):
        index = source.node.slice
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        first, last = parts[0], parts[-1]
        if isinstance(first, ast.Constant) and first.value is None:
            return 0
        dots = len(parts) > 1 and any(isinstance(p, ast.Constant) and p.value is ... for p in parts)
        return -1 if dots and isinstance(last, ast.Constant) and last.value is None else None
    return None
