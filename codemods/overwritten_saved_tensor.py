"""GF202: an in-place write destroys a value that the backward pass needs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import replace

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.aliases import is_refused_view, multi_view
from gradfix.flow.chains import Clash, clashes
from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.handed_writes import handed_writes, place_of, story
from gradfix.flow.leaf_aliases import leaf_written
from gradfix.flow.queries import is_differentiated, is_trained_here
from gradfix.flow.state import Backward, GradMode, Saved, Scope, Write
from gradfix.flow.values import Role
from gradfix.model import Edit, EditKind, Finding
from gradfix.recipes.out_of_place import out_of_place, without_flag, without_overwriting


class OverwrittenSavedTensor(Codemod):
    """A tensor that an operation saved for backward is overwritten in place.

    What it does
    ------------
    Finds in-place writes (``p[2] = p[0] / p[1]``, ``h /= h.std()``, ``gate[0] = 1``) to memory that
    an earlier operation keeps for its backward pass, also by a function that the memory is handed
    to. Which operation keeps what comes from
    PyTorch's own derivative table. In a function, what the calls of the file give counts, too, if
    all of them give what requires grad.

    Why is this bad?
    ----------------
    ``backward()`` raises "one of the variables needed for gradient computation has been modified by
    an inplace operation". Detaching the value makes the error go away and the gradient wrong.

    Example
    -------
    ```python
    import torch
    from torch.nn import Parameter

    raw = Parameter(torch.tensor([0.5, 0.8]))
    p = torch.stack([raw[0], raw[1], raw[0]]) * 2
    p[2] = p[0] / p[1]
    p.sum().backward()
    grad = raw.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch.nn import Parameter

    raw = Parameter(torch.tensor([0.5, 0.8]))
    p = torch.stack([raw[0], raw[1], raw[0]]) * 2
    p = torch.stack([p[0], p[1], p[0] / p[1]])
    p.sum().backward()
    grad = raw.grad
    ```

    Fix safety
    ----------
    Safe: forward values do not change, and backward raises today. The write becomes an
    out-of-place operation where nothing else holds the memory; otherwise the saved value is cloned
    before it is overwritten. Unsafe where only the calls of the file show that there is a gradient.
    Writes through ``.data`` are reported only: they raise nothing and
    make gradients wrong, and what was meant is not known.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-correctness-checks
    """

    code = "GF202"
    asks_callers = True
    trigger = Words(
        "inplace",
        "True)",
        "_(",
        ".data",
        "operator",
        pattern=re.compile(r"\]\s*(?:[-+*/@%&|^]|//|\*\*)?=(?!=)|[-+*/]="),
    )

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every in-place write that destroys a saved tensor or is refused outright."""
        for write in flow.all(Write):
            if write.mode is not GradMode.ON and not write.overwritten:
                continue
            if not (write.overwritten or _through_data(write) or is_refused_view(write)):
                continue
            if leaf_written(write) is not None:
                continue  # this raises before any backward
            if is_meant_to_raise(flow, write.node) or _backward_is_meant_to_raise(flow, write):
                continue
            certain = [
                saved
                for saved in write.overwritten
                if saved.certain and is_differentiated(flow, saved.node) and not _is_update(write)
            ]
            if certain and not _through_data(write):
                yield self._overwrites(flow, write, certain)
            elif not certain and (likely := _if_needed(flow, write)):
                yield self._may_overwrite(flow, write, likely)
            elif _through_data(write) and (
                (certain and not _owner_is_leaf(write)) or _changes_graph_values(flow, write)
            ):
                yield self._hidden(flow, write)
            elif is_refused_view(write):
                yield self._refused(flow, write)

        yield from self._handed(flow)
        for clash in clashes(flow):
            yield self._clashes(flow, clash)

    def _handed(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Tensors that are handed to a function which writes to them in place."""
        done: set[ast.AST] = set()
        for handed in handed_writes(flow):
            place = place_of(handed)
            saved = [
                saved
                for saved in handed.overwritten
                if saved.certain and is_differentiated(flow, saved.node)
            ]
            if not saved or place in done or leaf_written(handed) is not None:
                continue
            if handed.target.op == "data" or is_meant_to_raise(flow, place):
                continue
            done.add(place)
            first = saved[0]
            kept = "its result" if first.operand is None else f"`{flow.source_of(first.operand)}`"
            yield self.finding(
                flow.span(place),
                f"in-place write to a value that `{first.op}` saved for backward; backward raises",
                because=(
                    flow.note(first.node, f"`{first.op}` keeps {kept} for its backward pass"),
                    *story(flow, handed),
                ),
                help="return a new tensor instead of writing to the argument",
                why_not="who else relies on the argument being changed is not known",
            )

    def _clashes(self, flow: ModuleFlow, clash: Clash) -> Finding:
        fix, why_not = None, None
        try:
            edit = Edit(EditKind.REPLACE, flow.span(clash.writer), without_flag(flow, clash.writer))
            fix = self.fix("work out of place", edit)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(clash.writer),
            f"this layer overwrites the result that `{clash.op}` before it saved for backward; "
            "backward raises",
            because=(
                flow.note(clash.keeper, "this layer keeps its result for its backward pass"),
                flow.note(clash.writer, "and the next one writes into that memory"),
            ),
            help="leave `inplace` out",
            fix=fix,
            why_not=why_not,
        )

    def _overwrites(self, flow: ModuleFlow, write: Write, saved: list[Saved]) -> Finding:
        first = saved[0]
        kept = "its result" if first.operand is None else f"`{flow.source_of(first.operand)}`"
        fix, why_not = None, None
        try:
            fix = without_overwriting(flow, write, saved)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(write.node),
            f"in-place write to a value that `{first.op}` saved for backward; backward raises",
            because=(
                flow.note(first.node, f"`{first.op}` keeps {kept} for its backward pass"),
                flow.note(write.node, "and that memory is overwritten here"),
            ),
            help="write out of place",
            fix=fix,
            why_not=why_not,
        )

    def _may_overwrite(self, flow: ModuleFlow, write: Write, saved: list[Saved]) -> Finding:
        """As above, where it is not known whether what goes in requires grad."""
        certainly = self._overwrites(flow, write, saved)
        reason = is_trained_here(flow, write.scope, saved[0])
        doubt = "whether a gradient is needed here is not known"
        fix = certainly.fix and certainly.fix.doubted(doubt)
        return replace(
            certainly,
            message=certainly.message.replace("backward raises", "backward will raise")
            + f" if a gradient is needed here: {reason}",
            fix=fix,
        )

    def _hidden(self, flow: ModuleFlow, write: Write) -> Finding:
        return self.finding(
            flow.span(write.node),
            "write through `.data` to a value with a gradient history; the gradient will be wrong",
            because=(flow.note(write.base, "autograd cannot see this write"),),
            help="compute the new value out of place",
            why_not="what the gradient is meant to be is not known",
        )

    def _refused(self, flow: ModuleFlow, write: Write) -> Finding:
        fix, why_not = None, None
        try:
            fix = out_of_place(flow, write)
        except NotFixable as reason:
            why_not = str(reason)
        origin = multi_view(write.target)
        assert origin is not None
        because = (
            ()
            if origin.node is None or not hasattr(origin.node, "lineno")
            else (flow.note(origin.node, f"`{origin.op}` returns several views at once"),)
        )
        return self.finding(
            flow.span(write.node),
            "a view that was returned together with others is written in place; this raises",
            because=because,
            help="write out of place",
            fix=fix,
            why_not=why_not,
        )


def _if_needed(flow: ModuleFlow, write: Write) -> list[Saved]:
    """The values this overwrites that are kept if what went in requires grad, as in training."""
    if write.mode is not GradMode.ON or _through_data(write) or write.target.is_leaf:
        return []
    return [
        saved
        for saved in write.overwritten
        if saved.if_needed
        and is_trained_here(flow, write.scope, saved)
        and is_differentiated(flow, saved.node)
    ]


def _backward_is_meant_to_raise(flow: ModuleFlow, write: Write) -> bool:
    """Whether the function of the write expects its backward to raise."""
    events = flow.all(Backward)

    def find() -> set[Scope]:
        return {event.scope for event in events if is_meant_to_raise(flow, event.node)}

    return write.scope in flow.worked_out("_raising_scopes", len(events), find)


def _is_update(write: Write) -> bool:
    """A leaf written with grad mode off: an update, which comes after a backward somewhere."""
    return write.mode is not GradMode.ON and bool(write.target.role & Role.LEAF)


def _through_data(write: Write) -> bool:
    return write.target.op == "data"


def _owner_is_leaf(write: Write) -> bool:
    return write.target.owner is not None and bool(write.target.owner.role & Role.LEAF)


def _changes_graph_values(flow: ModuleFlow, write: Write) -> bool:
    """A change through ``.data`` of a tracked tensor that goes on to the loss.

    Leaves are updated that way, and a tensor that gets entirely new values (``copy_``, ``fill_``)
    was not meant to keep its history.
    """
    owner = write.target.owner
    return (
        owner is not None
        and owner.is_tracked
        and owner.node is not None
        and write.mode is GradMode.ON
        and write.op in _CHANGES
        and is_differentiated(flow, owner.node)
    )


_CHANGES = frozenset({"mul_", "div_"})  # ``+`` leaves the gradient as it is
