"""A buffer that is filled slot by slot becomes one ``stack`` or ``cat`` of its parts."""

from __future__ import annotations

import ast
from bisect import bisect_left
from collections.abc import Iterator
from textwrap import indent

from gradfix.codemod import NotFixable, Unsuitable
from gradfix.flow import ModuleFlow
from gradfix.flow.assembly import FILL_VALUES, Assembly, Fill, axis_of, resolve
from gradfix.flow.may_write import may_change, writes_what_it_is_given
from gradfix.flow.names import fresh_name, spelling
from gradfix.flow.nodes import walk
from gradfix.flow.queries import calls_in
from gradfix.flow.shapes import equal
from gradfix.flow.source_text import bracketed
from gradfix.flow.state import Call, Write
from gradfix.flow.values import SOMEWHERE, Kind, Shape
from gradfix.model import Edit, EditKind, Fix
from gradfix.recipes.allocations import (
    comment_after,
    comments_above,
    fill_value,
    options_text,
    root_text,
    tuple_text,
)
from gradfix.recipes.collecting import collect_parts


def join_parts(flow: ModuleFlow, assembly: Assembly) -> Fix:
    """The rewrite of one assembly to ``stack`` or ``cat``.

    Raises NotFixable, with the reason, where that would not be the same.
    """
    _must_not_be_observed(flow, assembly)
    block: set[ast.AST] = set(assembly.block)
    for fill in assembly.fills:
        if fill.slot is None:
            raise Unsuitable("an index is not understood")
        if (fill.loop or fill.statement) not in block:
            raise Unsuitable("the buffer is filled in nested or conditional code")
    if all(fill.loop is None for fill in assembly.fills):
        return _Straight(flow, assembly).plan()
    if len(assembly.fills) == 1:
        return collect_parts(flow, assembly, assembly.fills[0])
    raise Unsuitable("the buffer is filled partly in a loop")


def _must_not_be_observed(flow: ModuleFlow, assembly: Assembly) -> None:
    """Nobody may notice that the buffer is not there before the last fill."""
    name = assembly.name
    if assembly.scope.escapes is not None:
        raise NotFixable(f"`{name}` can be looked up by its name")
    region = _region(flow, assembly)
    fills = {fill.write.base for fill in assembly.fills}
    for statement in region:
        for node in walk(statement):
            if isinstance(node, ast.Name) and node.id == name and node not in fills:
                if node is not assembly.definition.node:
                    raise Unsuitable(
                        f"`{name}` is used on line {node.lineno}, before it is complete"
                    )
            if isinstance(node, (ast.Yield, ast.YieldFrom, ast.Await)):
                raise Unsuitable("other code can run between the fills")
    _must_not_change(flow, assembly, region)
    statements = set(region)
    for fill in assembly.fills:
        if _around(flow, fill.statement, statements) is None:
            raise Unsuitable("the buffer is filled in another block than it is allocated in")


def _must_not_change(flow: ModuleFlow, assembly: Assembly, region: list[ast.stmt]) -> None:
    """A part that is kept until the end must not be written in place meanwhile."""
    writes = {fill.write for fill in assembly.fills}
    statements, first, last = set(region), region[0].lineno, region[-1].end_lineno or 0
    others = [
        write
        for write in _writes_between(flow, first, last)
        if write not in writes and _around(flow, write.node, statements) is not None
    ]
    written = frozenset().union(*(write.target.storages for write in others))
    for fill in assembly.fills:
        storages = flow.value(fill.part).storages
        if not storages & written and SOMEWHERE not in written and SOMEWHERE not in storages:
            continue
        for write in others:
            if storages & write.target.storages or SOMEWHERE in storages | write.target.storages:
                row = flow.span(write.node).row
                raise NotFixable(f"a part may be changed in place on line {row}")
    held, calls = _held(flow, assembly), _calls_between(flow, assembly, statements)
    for call in (call for call in calls if writes_what_it_is_given(flow, call, held)):
        row = flow.span(call.node).row
        raise NotFixable(f"a part may be changed in place by the call on line {row}")


def may_be_changed(flow: ModuleFlow, assembly: Assembly) -> bool:
    """Whether a call between the fills might write to a part that something else holds, too."""
    held, statements = _held(flow, assembly), set(_region(flow, assembly))
    between = _calls_between(flow, assembly, statements) if held else ()
    return any(may_change(flow, call, held) for call in between)


def _held(flow: ModuleFlow, assembly: Assembly) -> frozenset[object]:
    """The memories of parts that were there before they were put into the buffer."""
    parts = [(fill.part, flow.value(fill.part)) for fill in assembly.fills]
    held = [value.storages for node, value in parts if value.view or value.node is not node]
    return frozenset().union(*held)


def _calls_between(
    flow: ModuleFlow, assembly: Assembly, statements: set[ast.stmt]
) -> Iterator[Call]:
    for call in calls_in(flow, assembly.scope):
        if _around(flow, call.node, statements) is not None:
            yield call


def _writes_between(flow: ModuleFlow, first: int, last: int) -> list[Write]:
    """The writes in some lines, in the order of the analysis."""
    writes = flow.all(Write)

    def find() -> list[tuple[int, int]]:
        return sorted((write.node.lineno, at) for at, write in enumerate(writes))  # type: ignore[attr-defined]

    rows = flow.worked_out("_writes_by_row", len(writes), find)
    there = rows[bisect_left(rows, (first, 0)) : bisect_left(rows, (last + 1, 0))]
    return [writes[at] for at in sorted(at for _, at in there)]


def _region(flow: ModuleFlow, assembly: Assembly) -> list[ast.stmt]:
    """The statements of the allocation's block, from the allocation to the last fill."""
    block = assembly.block
    assert assembly.definition.statement is not None
    start = block.index(assembly.definition.statement)
    statements = set(block)
    filling = {_around(flow, fill.statement, statements) for fill in assembly.fills}
    end = max((at for at in range(start, len(block)) if block[at] in filling), default=start)
    return block[start : end + 1]


def _around(flow: ModuleFlow, node: ast.AST, statements: set[ast.stmt]) -> ast.AST | None:
    """The innermost of some statements that a node stands in, or is; None for none of them."""
    at: ast.AST | None = node
    while at is not None and at not in statements:
        at = flow.parents.get(at)
    return at


def _spread(given: Shape, slot: Shape) -> str:
    """How a part is given the shape of its slot, as the assignment to the slot does it.

    Raises NotFixable where the assignment raises, too. Leading dimensions of one may be missing.
    (https://docs.pytorch.org/docs/stable/notes/broadcasting.html)
    """
    numbers = [dim for dim in given if isinstance(dim, int)]
    while len(numbers) > len(slot) and numbers[0] == 1:
        numbers = numbers[1:]
    behind = slot[len(slot) - len(numbers) :] if len(numbers) <= len(slot) else ()
    fits = len(behind) == len(numbers) and all(
        one in (1, there) for one, there in zip(numbers, behind, strict=True)
    )
    if not fits:
        raise NotFixable("a part does not have the shape of its slot")
    text = ""
    if len(numbers) < len(given):
        text = f".reshape({', '.join(map(str, numbers)) or '()'})"
    return text if tuple(numbers) == slot else f"{text}.expand({', '.join(map(str, slot))})"


class _Straight:
    """Fills one after the other in the allocation's own block."""

    def __init__(self, flow: ModuleFlow, assembly: Assembly) -> None:
        self.flow, self.assembly = flow, assembly
        self.doubt = ""
        self.reshape = False

    def plan(self) -> Fix:
        """The fix."""
        shape = self.assembly.shape
        if shape is None or not shape:
            raise Unsuitable("the shape of the buffer is not known")
        matrix = self.assembly.fills[0].slot_inner is not None
        text = self._matrix(shape) if matrix else self._line(shape)
        options = options_text(
            self.flow, self.assembly, [fill.part for fill in self.assembly.fills]
        )
        if self.reshape:
            sizes = ", ".join(str(dim) for dim in shape)
            if any(not isinstance(dim, int) for dim in shape):
                raise NotFixable("the shapes of the parts are not known")
            text = f"{text}.reshape({sizes})"
        edits = tuple(self._edits(f"{self.assembly.name} = {text}{options}"))
        return Fix.of("join the parts", edits, self.doubt)

    # -- one axis -----------------------------------------------------------------------------

    def _line(self, shape: Shape) -> str:
        """``stack`` or ``cat`` along the one axis that all fills lie on."""
        slots = [fill.slot for fill in self.assembly.fills]
        axes = {axis_of(slot, len(shape)) for slot in slots if slot is not None}
        if len(axes) != 1 or any(slot is None or slot.inner is not None for slot in slots):
            raise Unsuitable("the fills lie on different axes")
        (axis,) = axes
        if axis >= len(shape):
            raise Unsuitable("an index has more parts than the buffer has dimensions")
        rest = (*shape[:axis], *shape[axis + 1 :])
        ranges: list[tuple[int, int, Fill | None]] = []
        for fill in self.assembly.fills:
            assert fill.slot is not None
            covered = resolve(fill.slot, shape[axis])
            if covered is None:
                raise NotFixable("the length of the buffer is not known")
            ranges.append((*covered, fill))
        whole = self._with_gaps(sorted(ranges, key=lambda r: (r[0], r[1])), shape[axis])
        return self._join(whole, axis, rest)

    def _with_gaps(
        self, ranges: list[tuple[int, int, Fill | None]], size: object
    ) -> list[tuple[int, int, Fill | None]]:
        """The ranges in order, with None for slots that keep the buffer's own value."""
        whole: list[tuple[int, int, Fill | None]] = []
        at = 0
        for start, stop, fill in ranges:
            if start < at:
                raise Unsuitable("a slot is written twice")
            whole += [(gap, gap + 1, None) for gap in range(at, start)]
            whole.append((start, stop, fill))
            at = stop
        assert isinstance(size, int)
        whole += [(gap, gap + 1, None) for gap in range(at, size)]
        if len(whole) > 64:
            raise NotFixable("the buffer has too many slots to write them out")
        if (
            any(fill is None for _, _, fill in whole)
            and FILL_VALUES[self.assembly.buffer.op] is None
        ):
            raise Unsuitable("some slots are never written and hold whatever the memory held")
        return whole

    def _join(self, whole: list[tuple[int, int, Fill | None]], axis: int, rest: Shape) -> str:
        flow = self.flow
        single = all(fill is None or fill.slot_stop is None for _, _, fill in whole)
        function = spelling(flow, self.assembly.scope, "torch.stack" if single else "torch.cat")
        if function is None:
            raise NotFixable("the file has no name for torch.stack")
        items = []
        for start, stop, fill in whole:
            if fill is None:
                text = self._gap(rest)
            else:
                text = self._part(
                    fill,
                    rest if fill.slot_stop is None else (*rest[:axis], stop - start, *rest[axis:]),
                )
            if not single and (fill is None or fill.slot_stop is None):
                text = f"{text}.unsqueeze({axis})"
            items.append((text, fill))
        suffix = "" if axis == 0 else f", dim={axis}"
        return f"{function}({self._list(items)}{suffix})"

    # -- two axes -----------------------------------------------------------------------------

    def _matrix(self, shape: Shape) -> str:
        """Nested stacks for ``buffer[i, j]`` fills."""
        flow = self.flow
        if len(shape) != 2 or not all(isinstance(dim, int) for dim in shape):
            raise Unsuitable("the shape of the buffer is not known")
        rows, columns = shape
        assert isinstance(rows, int) and isinstance(columns, int)
        cells: dict[tuple[int, int], Fill] = {}
        for fill in self.assembly.fills:
            slot = fill.slot
            if slot is None or slot.start is None or slot.inner is None:
                raise Unsuitable("the fills lie on different axes")
            key = (slot.start % rows, slot.inner % columns)
            if (
                key in cells
                or not -rows <= slot.start < rows
                or not -columns <= slot.inner < columns
            ):
                raise Unsuitable("a slot is written twice")
            cells[key] = fill
        if rows * columns > 64:
            raise NotFixable("the buffer has too many slots to write them out")
        if len(cells) < rows * columns and FILL_VALUES[self.assembly.buffer.op] is None:
            raise Unsuitable("some slots are never written and hold whatever the memory held")
        stack = spelling(flow, self.assembly.scope, "torch.stack")
        if stack is None:
            raise NotFixable("the file has no name for torch.stack")
        lines = []
        for row in range(rows):
            items: list[tuple[str, Fill | None]] = []
            for column in range(columns):
                cell = cells.get((row, column))
                items.append((self._part(cell, ()) if cell else self._gap(()), cell))
            lines.append(f"{stack}({self._list(items)})")
        inner = "".join(f"{indent(line, '    ')},\n" for line in lines)
        return f"{stack}([\n{inner}])"

    # -- pieces -------------------------------------------------------------------------------

    def _part(self, fill: Fill, slot_shape: Shape) -> str:
        """The source of one part, as a tensor of the slot's shape."""
        flow = self.flow
        value = flow.value(fill.part)
        text = flow.source_of(fill.part) if self._inline else self._temporary(fill)
        if value.kind is Kind.NUMBER:
            root = root_text(flow, self.assembly)
            if root is None:
                self.doubt = "the device and the element type of the numbers are not known"
                return f"{self._spelled('torch.tensor')}({text})"
            return f"{root}.new_full({tuple_text(slot_shape)}, {text})"
        if value.is_tensor and value.shape is not None and None not in value.shape:
            if None not in slot_shape and equal(value.shape, slot_shape):
                return text
            if all(isinstance(dim, int) for dim in (*value.shape, *slot_shape)):
                whole = bracketed(text, fill.part) if self._inline else text
                return f"{whole}{_spread(value.shape, slot_shape)}"
        self.doubt, self.reshape = "the shape of a part is not known", True
        return text

    def _gap(self, slot_shape: Shape) -> str:
        """The value of a slot that is never written."""
        buffer = self.assembly.buffer
        kind = FILL_VALUES[buffer.op]
        if any(not isinstance(dim, int) for dim in slot_shape):
            self.doubt = "the size of a slot that is never written is not known"
        size = tuple_text(slot_shape)
        root = root_text(self.flow, self.assembly)
        if root is None:
            self.doubt = "the device and the element type of the gaps are not known"
            if kind == "full":
                raise NotFixable("no part is known to be like the value that fills the gaps")
            return f"{self._spelled(f'torch.{kind}')}({size})"
        if kind == "full":
            return f"{root}.new_full({size}, {fill_value(self.flow, self.assembly)})"
        return f"{root}.new_{kind}({size})"

    def _spelled(self, name: str) -> str:
        spelled = spelling(self.flow, self.assembly.scope, name)
        if spelled is None:
            raise NotFixable(f"the file has no name for {name}")
        return spelled

    @property
    def _inline(self) -> bool:
        """Whether the parts can move to the end: nothing happens between the fills."""
        region = _region(self.flow, self.assembly)
        statements = [fill.statement for fill in self.assembly.fills]
        between = region[region.index(statements[0]) :]
        starts = [fill.slot_key for fill in self.assembly.fills]
        return len(between) == len(statements) and starts == sorted(starts)

    def _temporary(self, fill: Fill) -> str:
        at = self.assembly.fills.index(fill)
        return fresh_name(self.flow, f"{self.assembly.name}_{at}")

    def _list(self, items: list[tuple[str, Fill | None]]) -> str:
        """A list display, one part a line, with the comments of the fills it replaces."""
        lines = []
        for text, fill in items:
            comment = (
                comment_after(self.flow, fill.statement)
                if fill is not None and self._inline
                else ""
            )
            above = (
                comments_above(self.flow, fill.statement)
                if fill is not None and self._inline
                else []
            )
            lines += [f"    {line}\n" for line in above]
            lines.append(f"    {text},{'  ' + comment if comment else ''}\n")
        return f"[\n{''.join(lines)}]"

    def _edits(self, joined: str) -> list[Edit]:
        flow, fills = self.flow, self.assembly.fills
        assert self.assembly.definition.statement is not None
        edits = [Edit(EditKind.STATEMENT, flow.span(self.assembly.definition.statement), "")]
        for fill in fills[:-1]:
            content = (
                "" if self._inline else f"{self._temporary(fill)} = {flow.source_of(fill.part)}"
            )
            edits.append(Edit(EditKind.STATEMENT, flow.span(fill.statement), content))
        last = fills[-1]
        before = "" if self._inline else f"{self._temporary(last)} = {flow.source_of(last.part)}\n"
        edits.append(Edit(EditKind.STATEMENT, flow.span(last.statement), before + joined))
        return edits
