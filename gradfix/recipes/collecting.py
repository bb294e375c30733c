"""A counted loop that fills a buffer collects a list instead, which is stacked after it."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable, Unsuitable
from gradfix.flow import ModuleFlow
from gradfix.flow.assembly import Assembly, Fill, axis_of
from gradfix.flow.names import fresh_name, spelling
from gradfix.flow.nodes import walk
from gradfix.flow.python_calls import SHOWN
from gradfix.flow.shapes import equal
from gradfix.model import Edit, EditKind, Fix
from gradfix.recipes.allocations import options_text, size_text


def collect_parts(flow: ModuleFlow, assembly: Assembly, fill: Fill) -> Fix:
    """``for i in range(n): buffer[i] = part`` becomes a list that is stacked after the loop."""
    loop, slot, shape = fill.loop, fill.slot, assembly.shape
    assert loop is not None and slot is not None
    if shape is None or not shape:
        raise Unsuitable("the shape of the buffer is not known")
    axis = axis_of(slot, len(shape))
    if slot.counter is None:
        raise Unsuitable("the loop writes the same slot on every pass")
    counter = slot.counter
    if (
        axis >= len(shape)
        or (counter.start, counter.step) != (0, 1)
        or counter.stop is None
        or (counter.stop != shape[axis])
    ):
        raise NotFixable("it is not proven that the loop fills every slot once")
    if loop.orelse or _jumps(loop):
        raise Unsuitable("the loop can be left early")
    block = assembly.block
    after = block[block.index(loop) + 1 :]
    if not after:
        raise NotFixable("nothing follows the loop")
    if not _counts(flow, loop, counter.loop):
        raise NotFixable("the loop's counter is not understood")
    rest = (*shape[:axis], *shape[axis + 1 :])
    stack = spelling(flow, assembly.scope, "torch.stack")
    if stack is None:
        raise NotFixable("the file has no name for torch.stack")
    value = flow.value(fill.part)
    parts = fresh_name(flow, f"{assembly.name}_parts")
    joined = f"{stack}({parts}{'' if axis == 0 else f', dim={axis}'})"
    sure = isinstance(counter.stop, int) and counter.stop > 0
    doubt = "" if sure else "the loop may not run at all, and nothing cannot be stacked"
    if not value.is_tensor or not equal(value.shape, rest):
        doubt = "the shape of the parts is not known"
        sizes = size_text(flow, assembly)
        if sizes is None:
            raise NotFixable("the shapes of the parts are not known")
        joined = f"{joined}.reshape({sizes})"
    joined += options_text(flow, assembly, [fill.part])
    assert assembly.definition.statement is not None
    part = flow.source_of(fill.part)
    return Fix.of("collect the parts and stack them", (
        Edit(EditKind.STATEMENT, flow.span(assembly.definition.statement), f"{parts} = []"),
        Edit(EditKind.STATEMENT, flow.span(fill.statement), f"{parts}.append({part})"),
        Edit(EditKind.BEFORE, flow.span(after[0]), f"{assembly.name} = {joined}"),
    ), doubt)  # fmt: skip


def _jumps(loop: ast.For) -> bool:
    """Whether a pass of the loop can end before its last statement."""
    return any(
        isinstance(node, (ast.Break, ast.Continue, ast.Return, ast.Raise, ast.Try))
        for statement in loop.body
        for node in walk(statement)
    )


def _counts(flow: ModuleFlow, loop: ast.For, made: ast.AST) -> bool:
    """Whether the loop's own ``range`` or ``enumerate`` is what the counter counts."""
    value = flow.value(loop.iter)
    return made is loop.iter or (value.op == SHOWN and value.inputs[0].node is made)
