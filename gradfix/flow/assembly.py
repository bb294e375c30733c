"""Buffers that are allocated and then filled by index: which slots, with what, read by whom.

Terms: the *allocation* makes the buffer; a *fill* writes one *slot* (an element, row, column or
range); the *region* runs from the allocation to the last fill, and nothing may look at the buffer
there. A *part* is the value that goes into one slot.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from gradfix.flow.devices import moves_to_device
from gradfix.flow.dtypes import is_integer
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.op_shapes import ELEMENTWISE, SAME_SHAPE
from gradfix.flow.state import GradMode, Scope, Write
from gradfix.flow.values import Certainty, Counter, Dim, Kind, Role, Shape, Value
from gradfix.flow.versions import Definition

#: Allocating operations and the value they fill the memory with (None: nothing certain).
FILL_VALUES: dict[str, str | None] = {
    "zeros": "zeros",
    "ones": "ones",
    "empty": None,
    "full": "full",
    "zeros_like": "zeros",
    "ones_like": "ones",
    "empty_like": None,
    "full_like": "full",
    "new_zeros": "zeros",
    "new_ones": "ones",
    "new_empty": None,
    "new_full": "full",
}


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a fill writes: ``axis`` and, along it, one position, a range, or a loop counter.

    ``inner`` is the second position of ``buffer[i, j]``.
    """

    axis: int
    start: int | None
    stop: int | None = None
    counter: Counter | None = None
    inner: int | None = None
    from_end: bool = False  # ``buffer[..., k]``: the axis is the last one


@dataclass(frozen=True, slots=True)
class Fill:
    """One write ``buffer[slot] = part``; ``loop`` is the loop it stands in, if any."""

    write: Write
    statement: ast.Assign
    slot: Slot | None
    loop: ast.For | None

    @property
    def part(self) -> ast.expr:
        """The expression that is written."""
        return self.statement.value

    @property
    def slot_inner(self) -> int | None:
        """The second position of ``buffer[i, j]``."""
        return self.slot.inner if self.slot is not None else None

    @property
    def slot_stop(self) -> int | None:
        """The end of a range; None for a single position."""
        return self.slot.stop if self.slot is not None else None

    @property
    def slot_key(self) -> tuple[int, int]:
        """What fills are ordered by."""
        slot = self.slot
        return (-1, -1) if slot is None else (slot.start or 0, slot.inner or 0)


@dataclass(eq=False)
class Assembly:
    """One buffer with its fills."""

    flow: ModuleFlow
    scope: Scope
    definition: Definition
    fills: list[Fill]
    others: list[ast.AST] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The buffer's name."""
        return self.definition.name

    @property
    def buffer(self) -> Value:
        """The buffer as it is allocated."""
        return self.flow.value(self.allocation)

    @property
    def allocation(self) -> ast.expr:
        """The allocating call."""
        assert isinstance(self.definition.statement, ast.Assign)
        return _moved_to_devices(self.flow, self.definition.statement.value)

    @property
    def moves(self) -> str:
        """What moves the allocated buffer to a device, as it is written: ``.to(device)``."""
        assert isinstance(self.definition.statement, ast.Assign)
        value = self.definition.statement.value
        made, whole = self.flow.source_of(self.allocation), self.flow.source_of(value)
        return whole.removeprefix(made) if whole.startswith(made) else ""

    @cached_property
    def block(self) -> list[ast.stmt]:
        """The statements among which the buffer is allocated."""
        assert self.definition.statement is not None
        return self.flow.block_of(self.definition.statement)

    @property
    def shape(self) -> Shape | None:
        """The buffer's shape."""
        return self.buffer.shape


def assemblies(flow: ModuleFlow) -> Iterator[Assembly]:
    """Every buffer of the file that is filled with values that may have a gradient history."""
    for assembly in filled_buffers(flow):
        if has_history(flow, assembly) is not Certainty.NO:
            yield assembly


def assemblies_of_numbers(flow: ModuleFlow) -> Iterator[Assembly]:
    """Every buffer that is filled only with ``tensor.item()`` of graph tensors and goes on."""
    for assembly in filled_buffers(flow):
        values = [flow.value(fill.part) for fill in assembly.fills]
        if all(
            value.op == "item" and value.cut and fill.write.mode is GradMode.ON
            for value, fill in zip(values, assembly.fills, strict=True)
        ) and any(value.owner is not None and value.owner.is_tracked for value in values):
            scope = assembly.scope
            if scope.name == "forward" and scope.class_node is not None:
                yield assembly


def filled_buffers(flow: ModuleFlow) -> Iterator[Assembly]:
    """Every buffer of the file that is filled by index."""
    by_buffer: dict[Definition, list[Write]] = {}
    scopes: dict[Definition, Scope] = {}
    for write in flow.all(Write):
        if write.how != "setitem" or not isinstance(write.base, ast.Name):
            continue
        definitions = write.scope.uses.get(write.base, frozenset())
        for definition in definitions:
            if len(definitions) == 1 and _allocates(flow, definition):
                by_buffer.setdefault(definition, []).append(write)
                scopes[definition] = write.scope
    for definition, writes in by_buffer.items():
        assembly = _assembly(flow, scopes[definition], definition, writes)
        if assembly is not None:
            yield assembly


def _allocates(flow: ModuleFlow, definition: Definition) -> bool:
    statement = definition.statement
    if definition.how != "assign" or not isinstance(statement, ast.Assign):
        return False
    if len(statement.targets) != 1 or not isinstance(statement.targets[0], ast.Name):
        return False
    made = _moved_to_devices(flow, statement.value)
    value = flow.value(made)
    return (
        isinstance(made, ast.Call)
        and value.is_tensor
        and value.op in FILL_VALUES
        and value.role == Role.UNTRACKED
        and value.node is made
        and not is_integer(value.dtype)
    )


def _moved_to_devices(flow: ModuleFlow, node: ast.expr) -> ast.expr:
    """What is moved to a device, and nothing else, before it has a name; else the node itself."""
    at = node
    while isinstance(at, ast.Call) and moves_to_device(flow, at):
        assert isinstance(at.func, ast.Attribute)
        at = at.func.value
    # In brackets, or over several lines, what is written behind it is not so easy to tell.
    return at if flow.source_of(node).startswith(flow.source_of(at)) else node


def _assembly(
    flow: ModuleFlow, scope: Scope, definition: Definition, writes: list[Write]
) -> Assembly | None:
    fills = []
    for write in writes:
        statement = write.statement
        if not isinstance(statement, ast.Assign) or statement.targets != [write.node]:
            return None
        assert isinstance(write.index, ast.expr)
        loop = flow.parents.get(statement)
        inside = loop if isinstance(loop, ast.For) and statement in loop.body else None
        fills.append(Fill(write, statement, slot_of(flow, write.index), inside))
    fills.sort(key=lambda fill: flow.span(fill.statement))
    bases = {fill.write.base for fill in fills}
    others = [n for n, ds in scope.uses.items() if definition in ds and n not in bases]
    return Assembly(flow, scope, definition, fills, others)


def has_history(flow: ModuleFlow, assembly: Assembly) -> Certainty:
    """Whether some part has a gradient history."""
    answers = {Certainty.NO}
    for fill in assembly.fills:
        value = flow.value(fill.part)
        if fill.write.mode is not GradMode.ON or is_integer(value.dtype) or value.cut:
            continue
        if value.is_tensor:
            answers.add(value.needs_grad)
    return next(c for c in (Certainty.YES, Certainty.MAYBE, Certainty.NO) if c in answers)


def slot_of(flow: ModuleFlow, index: ast.expr) -> Slot | None:
    """The slot that ``[index]`` names, or None when it is not understood."""
    parts = list(index.elts) if isinstance(index, ast.Tuple) else [index]
    from_end = bool(parts) and _is_ellipsis(parts[0])
    if from_end:
        parts = parts[1:]
    axis = 0
    while parts and _is_full(parts[0]) and len(parts) > 1:
        parts, axis = parts[1:], axis + 1
    while len(parts) > 1 and (_is_full(parts[-1]) or _is_ellipsis(parts[-1])):
        parts = parts[:-1]
    if not parts or len(parts) > 2 or (from_end and (axis or len(parts) > 1)):
        return None
    if len(parts) == 2:
        one, two = (_constant(flow, part) for part in parts)
        if axis or one is None or two is None:
            return None
        return Slot(0, one, inner=two)
    (part,) = parts
    if isinstance(part, ast.Slice):
        if part.step is not None:
            return None
        start = 0 if part.lower is None else _constant(flow, part.lower)
        stop = _END if part.upper is None else _constant(flow, part.upper)
        return None if start is None or stop is None else Slot(axis, start, stop, from_end=from_end)
    value = flow.value(part)
    if value.counter is not None and isinstance(part, ast.Name):
        return Slot(axis, None, counter=value.counter, from_end=from_end)
    at = _constant(flow, part)
    return None if at is None else Slot(axis, at, from_end=from_end)


_END = 1 << 62


def _constant(flow: ModuleFlow, node: ast.expr) -> int | None:
    const = flow.value(node).const
    return const if isinstance(const, int) and not isinstance(const, bool) else None


def _is_full(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Slice)
        and node.lower is None
        and node.upper is None
        and node.step is None
    )


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis


def axis_of(slot: Slot, rank: int) -> int:
    """The number of the axis a slot lies on."""
    return rank - 1 if slot.from_end else slot.axis


def resolve(slot: Slot, size: Dim) -> tuple[int, int] | None:
    """The half-open range of positions a constant slot covers on an axis of a known size."""
    if not isinstance(size, int) or slot.start is None:
        return None
    if slot.stop is None:
        start = slot.start + size if slot.start < 0 else slot.start
        return (start, start + 1) if 0 <= start < size else None
    start, stop, _ = slice(slot.start, None if slot.stop == _END else slot.stop).indices(size)
    return (start, stop) if start <= stop else None


def tensor_root(flow: ModuleFlow, node: ast.AST, dtype: str | None) -> ast.expr | None:
    """A name or attribute inside ``node`` that holds a float tensor of the given type."""
    for child in walk(node):
        if isinstance(child, (ast.Name, ast.Attribute)) and isinstance(child.ctx, ast.Load):
            value = flow.values.get(child)
            if value is not None and value.kind is Kind.TENSOR and value.dtype == dtype is not None:
                return child
    return None


# -- strides ------------------------------------------------------------------------------------

#: Constructors whose results lie in memory row by row.
_DENSE = frozenset(
    """zeros ones empty full rand randn randint arange linspace logspace eye tensor stack normal
    new_zeros new_ones new_empty new_full new_tensor contiguous""".split()
)


def may_be_strided(assembly: Assembly) -> bool:
    """Whether the buffer may lie in memory in another order than a new tensor does.

    ``zeros_like`` of a transposed tensor is transposed, too, and ``view`` notices.
    (https://docs.pytorch.org/docs/stable/generated/torch.empty_like.html)
    """
    call, buffer = assembly.allocation, assembly.buffer
    if not buffer.op.endswith("_like") or not isinstance(call, ast.Call) or not call.args:
        return False
    if buffer.shape is not None and len(buffer.shape) < 2:
        return False
    return not _lies_in_rows(assembly.flow.value(call.args[0]), set())


def _lies_in_rows(value: Value, seen: set[int]) -> bool:
    if id(value) in seen:
        return True
    seen.add(id(value))
    if value.op in _DENSE:
        return True
    if not value.is_tensor or value.view:
        return False
    if value.op == "Parameter":  # of a layer, or of what it is given
        return all(_lies_in_rows(one, seen) for one in value.inputs)
    tensors = [one for one in value.inputs if one.is_tensor]
    known = value.op in SAME_SHAPE or value.op in ELEMENTWISE
    return known and bool(tensors) and all(_lies_in_rows(one, seen) for one in tensors)
