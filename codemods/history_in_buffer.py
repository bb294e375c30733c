"""GF312: a running statistic takes on the history of every batch."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import AllOf, Codemod, NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.running_statistics import Kept, kept_histories
from gradfix.model import Finding, Fix
from gradfix.recipes.no_grad import under_no_grad


class HistoryInBuffer(Codemod):
    """A running statistic is updated with values that have a history.

    What it does
    ------------
    Finds buffers that a Module updates in training, with grad mode on, with values computed from
    its input, where the same input also goes into the result.

    Why is this bad?
    ----------------
    The buffer takes on the history of the batch, and the next update adds to it: the graphs of all
    batches stay in memory. Copies of the Module fail, and what uses the buffer later is
    differentiated through batches that are long gone.

    Example
    -------
    ```python
    import torch
    from torch import nn


    class Centre(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.register_buffer("mean", torch.zeros(n))

        def forward(self, x):
            if self.training:
                mean = x.mean(0)
                self.mean.mul_(0.9).add_(0.1 * mean)
            else:
                mean = self.mean
            return x - mean


    layer, centre = nn.Linear(2, 2), Centre(2)
    centre(layer(torch.rand(4, 2))).square().sum().backward()
    grows = centre.mean.grad_fn is not None
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn


    class Centre(nn.Module):
        def __init__(self, n):
            super().__init__()
            self.register_buffer("mean", torch.zeros(n))

        def forward(self, x):
            if self.training:
                mean = x.mean(0)
                with torch.no_grad():
                    self.mean.mul_(0.9).add_(0.1 * mean)
            else:
                mean = self.mean
            return x - mean


    layer, centre = nn.Linear(2, 2), Centre(2)
    centre(layer(torch.rand(4, 2))).square().sum().backward()
    grows = centre.mean.grad_fn is not None
    ```

    Fix safety
    ----------
    Unsafe: values stay what they are, but what reads the buffer afterwards no longer passes a
    gradient to the batch. Manual where the update is part of a larger statement. Buffers that the
    file detaches anywhere are left alone.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/notes/faq.html
    - https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.register_buffer
    """

    code = "GF312"
    trigger = AllOf("register_buffer", ".training")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every update that a buffer takes a history from."""
        for kept in kept_histories(flow):
            fix, why_not = None, None
            try:
                fix = self._no_grad(flow, kept)
            except NotFixable as reason:
                why_not = str(reason)
            yield self.finding(
                flow.span(kept.statement),
                f"the buffer `{kept.name}` takes on the history of every batch",
                because=(
                    flow.note(kept.argument, "computed from this input"),
                    flow.note(kept.statement, "and kept here, with grad mode on"),
                    flow.note(kept.returned, "the result needs the history; the buffer does not"),
                ),
                help="update it under torch.no_grad(), or with detached values",
                fix=fix,
                why_not=why_not,
            )

    def _no_grad(self, flow: ModuleFlow, kept: Kept) -> Fix:
        if not isinstance(kept.statement, (ast.Expr, ast.Assign, ast.AugAssign)):
            raise NotFixable("the update is part of a larger statement")
        if isinstance(kept.statement, ast.Assign) and any(
            not isinstance(target, (ast.Attribute, ast.Subscript))
            for target in kept.statement.targets
        ):
            raise NotFixable("the statement binds other names, too")
        edit = under_no_grad(flow, kept.scope, kept.statement)
        doubt = "the gradient may be meant to reach earlier steps through the buffer"
        return self.fix("update under no_grad", edit, doubt=doubt)
