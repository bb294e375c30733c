"""GF310: a gradient is used before it exists, or zeroed before the step that needs it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradfix.codemod import Codemod, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.grad_switches import unrecorded
from gradfix.flow.training_steps import lost_gradients, unfilled, zeroed_collections
from gradfix.model import Finding


class LostGradient(Codemod):
    """A gradient is not there where it is needed: not computed yet, or zeroed before the step.

    What it does
    ------------
    Finds ``w.grad.zero_()`` on a leaf that no backward can have reached, ``zero_grad()`` between
    ``backward()`` and ``step()``, ``zero_grad()`` before the last of several backwards that one
    step is to use, and ``backward()`` on what was computed with grad mode off.

    Why is this bad?
    ----------------
    ``.grad`` is None until the first backward, so using it raises. Gradients that are zeroed before
    ``step()`` train nothing: everything runs, and no Parameter ever moves. A loss that was computed
    with grad mode off has no history, and ``backward()`` raises.

    Example
    -------
    ```python
    import torch

    w = torch.ones(3, requires_grad=True)
    for _ in range(3):
        w.grad.zero_()
        (w * w).sum().backward()
        w.data -= 0.1 * w.grad
    grad = w.grad
    ```

    Use instead
    -----------
    ```python
    import torch

    w = torch.ones(3, requires_grad=True)
    for _ in range(3):
        w.grad = None
        (w * w).sum().backward()
        w.data -= 0.1 * w.grad
    grad = w.grad
    ```

    Fix safety
    ----------
    Manual: where the line belongs in the training loop depends on what else the loop does.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.Tensor.grad.html
    - https://docs.pytorch.org/docs/stable/optim.html#taking-an-optimization-step
    """

    code = "GF310"
    trigger = Words(
        "zero_grad",
        "no_grad",
        "inference_mode",
        "set_grad_enabled",
        pattern=re.compile(r"\.grad\b"),
    )

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every gradient that is missing where it is used."""
        for use in unfilled(flow):
            yield self.finding(
                flow.span(use.read),
                "`.grad` is None here: no backward comes before",
                because=(
                    flow.note(use.leaf, "the leaf is made here, without a gradient"),
                    flow.note(use.read, "nothing has filled it by now"),
                ),
                help="zero gradients after the update, or where `.grad` is not None",
                why_not="where the line belongs depends on what else the loop does",
            )
        for lost in lost_gradients(flow):
            yield self.finding(
                flow.span(lost.zeroed),
                "gradients are zeroed before the step that needs them; nothing is trained",
                because=(
                    flow.note(lost.backward, "gradients are computed here"),
                    flow.note(lost.zeroed, "and zeroed here"),
                    flow.note(lost.step, "so that this step finds none"),
                ),
                help="call `zero_grad()` before `backward()`, and `step()` right after it",
                why_not="which of the lines is out of place depends on what else the loop does",
            )
        for lost in zeroed_collections(flow):
            yield self.finding(
                flow.span(lost.zeroed),
                "what earlier turns have added to the gradients is zeroed before the step",
                because=(
                    flow.note(lost.zeroed, "zeroed in the turn of the step"),
                    flow.note(lost.backward, "before its backward, the only one that is left"),
                    flow.note(lost.step, "for this step"),
                ),
                help="call `zero_grad()` behind the step, under the same condition",
                why_not="what is to become of gradients that are left at the end is not known",
            )
        for backward, computed in unrecorded(flow):
            yield self.finding(
                flow.span(backward),
                "backward is called on a value that was computed with grad mode off",
                because=(
                    flow.note(computed, "computed with grad mode off: it has no history"),
                    flow.note(backward, "and nothing can be differentiated here"),
                ),
                help="compute the loss with grad mode on",
                why_not="what is to run without grad mode is not known",
            )
