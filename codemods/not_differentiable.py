"""GF306: an operation without a useful gradient stands between a Parameter and the loss."""

from __future__ import annotations

from collections.abc import Iterator

from gradfix.codemod import Codemod, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.constructors import REWRAPS
from gradfix.flow.loss_terms import idle_terms
from gradfix.flow.methods import ESCAPES
from gradfix.flow.severed import severed
from gradfix.model import Finding

_OTHER_CODES = frozenset(
    """detach data no_grad Parameter Variable float int bool autograd.grad""".split()
)
_WHY_NOT = "which differentiable form is meant is a question of modelling"


class NotDifferentiable(Codemod):
    """The only way from a Parameter to the loss goes through argmax, round, a comparison or a cast.

    What it does
    ------------
    Finds operations whose result has no gradient (``argmax``, comparisons, ``.long()``) or a zero
    one (``round``, ``sign``, a write into a buffer of integers) where a Parameter of a Module
    reaches the output in no other way, and terms of a loss that were computed from such results
    alone.

    Why is this bad?
    ----------------
    The Parameter's gradient is None or zero everywhere, and it never changes in training.

    Example
    -------
    ```python
    import torch
    from torch import nn


    class Quantiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return torch.round(x * self.scale) / 8
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn


    class Quantiser(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))

        def forward(self, x):
            scaled = x * self.scale
            return (scaled + (torch.round(scaled) - scaled).detach()) / 8
    ```

    Fix safety
    ----------
    Manual: whether to use a straight-through estimator, a relaxation or another operation is a
    question of modelling.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.round.html
    - Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons, 2013,
      https://arxiv.org/abs/1308.3432
    """

    code = "GF306"
    trigger = Words("Parameter", "nn.", "torch.nn", "import nn", "optim")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every such operation that severs a Parameter."""
        for cut in severed(flow):
            name = cut.value.cut
            if name in _OTHER_CODES or name in ESCAPES or "." in name:
                continue
            written = cut.value.op == "write"
            yield self.finding(
                flow.span(cut.node),
                f"{f'a {name} truncates and' if written else f'`{name}`'} has no useful gradient, "
                "and is a Parameter's only way to the output",
                because=(
                    *(flow.note(node, "this leaf gets no gradient") for node in cut.leaf_nodes),
                    *((flow.note(cut.inside, "its history ends here"),) if cut.inside else ()),
                    flow.note(cut.place, "the value goes on from here"),
                ),
                help=(
                    "make the buffer of a floating-point type"
                    if written
                    else "use a differentiable form, or a straight-through estimator"
                ),
                why_not=_WHY_NOT,
            )
        for idle in idle_terms(flow):
            if idle.leaves_torch or idle.ops & _OTHER_CODES or idle.ops <= REWRAPS:
                continue
            yield self.finding(
                flow.span(idle.term),
                "this term of the loss trains nothing: it has no gradient",
                because=(
                    *(flow.note(node, "the gradient ends here") for node in idle.cut_nodes),
                    flow.note(idle.place, "the loss is differentiated here"),
                ),
                help="use a differentiable form of the term",
                why_not=_WHY_NOT,
            )
