"""GF308: grad mode is switched off by a plain call and never on again, and training goes on."""

from __future__ import annotations

from collections.abc import Iterator

from gradfix.codemod import Codemod, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.grad_switches import leaks
from gradfix.model import Finding


class GradModeLeak(Codemod):
    """Grad mode is switched off by a plain call, and is still off when training goes on.

    What it does
    ------------
    Finds ``torch.set_grad_enabled(False)`` as a statement of its own, on a path that does not
    switch grad mode on again, where the same program calls ``backward`` afterwards.

    Why is this bad?
    ----------------
    As a statement, ``set_grad_enabled`` is a switch for the whole thread: it outlives the function
    that calls it. An evaluation after the first epoch leaves everything after it unrecorded, and
    the next ``backward`` raises "element 0 of tensors does not require grad".

    Example
    -------
    ```python
    import torch
    import torch.nn as nn


    def evaluate(model, x):
        torch.set_grad_enabled(False)
        return model(x).abs().sum().item()


    model = nn.Linear(2, 1)
    for epoch in range(2):
        model(torch.ones(3, 2)).sum().backward()
        score = evaluate(model, torch.ones(1, 2))
    grad = model.weight.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    import torch.nn as nn


    def evaluate(model, x):
        with torch.no_grad():
            return model(x).abs().sum().item()


    model = nn.Linear(2, 1)
    for epoch in range(2):
        model(torch.ones(3, 2)).sum().backward()
        score = evaluate(model, torch.ones(1, 2))
    grad = model.weight.grad
    ```

    Fix safety
    ----------
    Manual: how much of the function is to run without grad mode is for its author to say.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.autograd.grad_mode.set_grad_enabled.html
    """

    code = "GF308"
    trigger = Words("set_grad_enabled(")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every switch that is still off when training goes on."""
        for leak in leaks(flow):
            story = [flow.note(leak.switch, "grad mode is switched off here, for the whole thread")]
            if leak.left is not None:
                story.append(flow.note(leak.left, "it is still off when the function is left here"))
            if leak.called is not None:
                story.append(flow.note(leak.called, "called here"))
            story.append(flow.note(leak.training, "this comes afterwards and needs grad mode"))
            yield self.finding(
                flow.span(leak.switch),
                "grad mode is switched off and never on again, and training goes on",
                because=tuple(story),
                help="use `with torch.no_grad():` around what is not to be recorded",
                why_not="how much is to run without grad mode is not known",
            )
