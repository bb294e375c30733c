"""GF304: a detached value takes the place of one that the loss needs with its history."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.adversarial import Unjudged, unjudged
from gradfix.flow.loss_terms import IdleTerm, idle_terms
from gradfix.flow.severed import Severed, severed
from gradfix.flow.state import GradMode, Write
from gradfix.flow.values import Value
from gradfix.flow.walk import Walk
from gradfix.model import Edit, EditKind, Finding

_STOPS = frozenset({"detach", "data", "no_grad", "Variable", "autograd.grad"})


class DetachedBranch(Codemod):
    """A detached value takes the place of one that the loss needs with its history.

    What it does
    ------------
    Finds ``p[2] = (p[0] / p[1]).detach()``: an element computed from the tensor itself is cut off
    from its history and written back. Finds a Parameter of a Module that is used only through
    ``.data``, ``.detach()`` or under ``no_grad``, so that no gradient ever reaches it. Finds terms
    of a differentiated loss that were computed from detached values alone: they train nothing.
    Finds a generator's loss whose discriminator is given the detached sample.

    Why is this bad?
    ----------------
    Everything runs and every Parameter gets a gradient, but a wrong one: the share that flows
    through the detached element is missing. The usual origin is an attempt to silence "modified by
    an inplace operation".

    Example
    -------
    ```python
    import torch
    from torch.nn import Parameter

    raw = Parameter(torch.tensor([0.5, 0.8]))
    p = torch.stack([raw[0], raw[1], raw[0]]) * 2
    p[2] = (p[0] / p[1]).detach()
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
    Manual: a gradient can be stopped on purpose, and removing ``.detach()`` changes every gradient.
    Unsafe for ``.data`` on a Parameter that gets no gradient anywhere else.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.Tensor.detach.html
    """

    code = "GF304"
    trigger = Words(
        ".detach(", ".detach_(", ".data", "no_grad", "inference_mode", "grad_enabled", "Variable(",
        "autograd.grad",
    )  # fmt: skip

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every detached value that is written back, and every cut that severs a Parameter."""
        yield from self._written_back(flow)
        for cut in severed(flow):
            if cut.value.cut in _STOPS and not cut.leaves_torch:
                yield self._severs(flow, cut)
        for idle in idle_terms(flow):
            if idle.ops & _STOPS and not idle.leaves_torch:
                yield self._idle(flow, idle)
        for sample in unjudged(flow):
            yield self._unjudged(flow, sample)

    def _written_back(self, flow: ModuleFlow) -> Iterator[Finding]:
        for write in flow.all(Write):
            if write.mode is not GradMode.ON or write.how != "setitem" or write.value is None:
                continue
            cut = write.value
            if cut.op not in ("detach", "data") or not cut.cut or not write.target.is_tracked:
                continue
            if not _computed_from(cut, write.target):
                continue
            yield self.finding(
                flow.span(write.node),
                "a detached value replaces an element that the loss differentiates; "
                "the gradient will be wrong",
                because=(
                    *((flow.note(cut.node, "the history ends here"),) if cut.node else ()),
                    flow.note(write.node, "and the value is written back without it"),
                ),
                help="build the tensor out of place and drop the .detach()",
                why_not="whether the gradient is stopped on purpose is not known",
            )

    def _idle(self, flow: ModuleFlow, idle: IdleTerm) -> Finding:
        return self.finding(
            flow.span(idle.term),
            "this term of the loss trains nothing: it is computed from detached values alone",
            because=(
                *(flow.note(node, "the history ends here") for node in idle.cut_nodes),
                flow.note(idle.place, "the loss is differentiated here"),
            ),
            help="let the values keep their history",
            why_not="whether the gradient is stopped on purpose is not known",
        )

    def _unjudged(self, flow: ModuleFlow, sample: Unjudged) -> Finding:
        return self.finding(
            flow.span(sample.detach),
            "the generator's loss is given a detached sample: it trains the other network only",
            because=(
                flow.note(sample.attached, "the same loss trains what made the sample here"),
                flow.note(sample.judged, "the other network has a loss of its own"),
            ),
            help="detach the sample in the other network's loss only",
            why_not="whether the gradient is stopped on purpose is not known",
        )

    def _severs(self, flow: ModuleFlow, cut: Severed) -> Finding:
        node = cut.node
        fix, why_not = None, "whether the gradient is stopped on purpose is not known"
        if cut.value.cut == "data" and cut.inside is None and isinstance(node, ast.Attribute):
            edit = Edit(EditKind.REPLACE, flow.span(node), flow.source_of(node.value))
            doubt = "the gradient may be stopped on purpose"
            fix = self.fix("use the Parameter itself", edit, doubt=doubt)
        how = {"no_grad": "computed with grad mode off", "data": "taken through `.data`"}
        return self.finding(
            flow.span(node),
            "no gradient reaches a Parameter: its value is "
            f"{how.get(cut.value.cut, 'detached')} on the only way to the loss",
            because=(
                *(flow.note(node, "this leaf gets no gradient") for node in cut.leaf_nodes),
                *((flow.note(cut.node, "it is passed in here"),) if cut.inside else ()),
                flow.note(cut.inside or cut.node, "its history ends here"),
                flow.note(cut.place, "and the value goes on from here"),
            ),
            help="let the value keep its history",
            fix=fix,
            why_not=None if fix is not None else why_not,
        )


def _computed_from(value: Value, target: Value) -> bool:
    """Whether ``value`` was computed from the memory of ``target``."""
    walk = Walk(value.inputs)
    for at in walk:
        if at.is_tensor and at.storages == target.storages:
            return True
        walk.further(at.inputs)
    return False
