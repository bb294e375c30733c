"""GF205: one place of an expanded dimension is written, and all of them change."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.expanded import repeated_writes
from gradfix.model import Finding


class ExpandedWrite(Codemod):
    """One row of an expanded tensor is written, and every row changes.

    What it does
    ------------
    Finds ``m[i, j] = x`` where ``m`` comes from ``expand``, ``expand_as`` or ``broadcast_to`` and
    the written dimension is one that was expanded.

    Why is this bad?
    ----------------
    An expanded dimension takes no memory: all its rows are the same one. Writing over the whole
    tensor raises for that reason, but an index write goes through and lands in every row.

    Example
    -------
    ```python
    import torch

    w = torch.ones(3, requires_grad=True)
    mask = torch.zeros(1, 3).expand(2, 3)
    mask[0, 1] = 1.0
    loss = (w * mask).sum()
    loss.backward()
    grad = w.grad
    ```

    Use instead
    -----------
    ```python
    import torch

    w = torch.ones(3, requires_grad=True)
    mask = torch.zeros(1, 3).expand(2, 3).clone()
    mask[0, 1] = 1.0
    loss = (w * mask).sum()
    loss.backward()
    grad = w.grad
    ```

    Fix safety
    ----------
    Manual: ``.clone()`` behind the expansion makes the rows independent, which changes the values
    that the code gives today. Left alone: writes to dimensions that were not expanded, copies
    (``repeat``, ``.clone()``, ``.contiguous()``), and tensors whose shape is not known.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.Tensor.expand.html
    """

    code = "GF205"
    trigger = Words("expand(", "expand_as(", "broadcast_to(")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """The first write to each expanded tensor that lands in more places than it names."""
        seen: set[ast.AST] = set()
        for write, made, dim in repeated_writes(flow):
            if made.node is None or made.node in seen:
                continue
            seen.add(made.node)
            yield self.finding(
                flow.span(write.node),
                f"this writes to every place of dimension {dim}, which is expanded",
                because=(
                    flow.note(made.node, "this repeats the same memory along the dimension"),
                    flow.note(write.node, "so a write to one place is a write to all of them"),
                ),
                help="expand a copy of its own: .expand(...).clone()",
                why_not="independent rows would change the values the code computes today",
            )
