"""GF309: backward goes through the graph of an earlier turn of the loop."""

from __future__ import annotations

from collections.abc import Iterator

from gradfix.codemod import Codemod, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.carried import Reuse, reuses
from gradfix.model import Finding


class GraphReuse(Codemod):
    """Backward goes through the graph of an earlier turn of the training loop.

    What it does
    ------------
    Finds values that are carried from one turn of a training loop into the next with their history
    (a hidden state, usually), and values with a history that are computed once before the loop,
    where every turn calls ``backward``.

    Why is this bad?
    ----------------
    Backward frees the graph it has gone through. The second turn leads back into it and raises
    "Trying to backward through the graph a second time". ``retain_graph=True`` only changes the
    error: ``optimizer.step()`` has written over the weights that the old graph has saved.

    Example
    -------
    ```python
    import torch
    import torch.nn as nn

    cell = nn.GRUCell(2, 3)
    hidden = torch.zeros(1, 3)
    for x in torch.ones(3, 1, 2):
        hidden = cell(x, hidden)
        hidden.sum().backward()
    grad = cell.weight_ih.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    import torch.nn as nn

    cell = nn.GRUCell(2, 3)
    hidden = torch.zeros(1, 3)
    for x in torch.ones(3, 1, 2):
        hidden = cell(x, hidden.detach())
        hidden.sum().backward()
    grad = cell.weight_ih.grad
    ```

    Fix safety
    ----------
    Manual: where the history is to end (after every batch, or after some) is a choice.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/notes/autograd.html#saved-tensors
    - https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html
    """

    code = "GF309"
    trigger = Words("backward(")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every backward that leads into the graph of an earlier turn."""
        for reuse in reuses(flow):
            yield self._reused(flow, reuse)

    def _reused(self, flow: ModuleFlow, reuse: Reuse) -> Finding:
        name = reuse.name
        where = (
            f"`{name}` is computed here, once, with a history"
            if reuse.before
            else f"`{name}` is carried over from here into the next turn, with its history"
        )
        story = [flow.note(reuse.carried, where)]
        if reuse.step is None:
            message = "backward goes through a graph that an earlier turn has freed"
            story.append(flow.note(reuse.backward, "every turn goes back through it from here"))
        else:
            message = (
                "backward goes through the graph of an earlier turn, whose weights have changed"
            )
            story.append(flow.note(reuse.backward, "its graph is retained here"))
            story.append(
                flow.note(reuse.step, "and the weights it has saved are written over here")
            )
        return self.finding(
            flow.span(reuse.backward),
            message,
            because=tuple(story),
            help=(
                f"compute `{name}` inside the loop, or detach it"
                if reuse.before
                else f"detach `{name}` between two turns"
            ),
            why_not="where the history is to end is a choice",
        )
