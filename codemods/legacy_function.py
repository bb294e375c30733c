"""GF402: an ``autograd.Function`` of before PyTorch 0.2, whose objects are called."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gradfix.codemod import Codemod
from gradfix.flow import ModuleFlow
from gradfix.flow.old_functions import old_functions
from gradfix.model import Finding


class LegacyFunction(Codemod):
    """An autograd Function keeps its state in objects, and PyTorch refuses to call them.

    What it does
    ------------
    Finds subclasses of ``torch.autograd.Function`` with a ``forward`` that takes ``self`` and
    whose objects are called, ``Reverse(0.5)(x)``, or whose constructor takes arguments while
    nothing calls ``.apply``.

    Why is this bad?
    ----------------
    It raises: "Legacy autograd function with non-static forward method is deprecated". One object
    was one call; now what backward needs is kept in ``ctx``, and ``.apply`` makes the call.

    Example
    -------
    ```python
    import torch


    class Reverse(torch.autograd.Function):
        def __init__(self, scale):
            self.scale = scale

        def forward(self, x):
            return x.view_as(x)

        def backward(self, gradient):
            return -self.scale * gradient


    w = torch.ones(3, requires_grad=True)
    loss = Reverse(0.5)(w).sum()
    loss.backward()
    grad = w.grad
    ```

    Use instead
    -----------
    ```python
    import torch


    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, scale):
            ctx.scale = scale
            return x.view_as(x)

        @staticmethod
        def backward(ctx, gradient):
            return -ctx.scale * gradient, None


    w = torch.ones(3, requires_grad=True)
    loss = Reverse.apply(w, 0.5).sum()
    loss.backward()
    grad = w.grad
    ```

    Fix safety
    ----------
    Manual: which attributes belong to ``ctx``, and what ``backward`` returns for the arguments of
    the constructor, has to be decided by hand. Methods that only lack ``@staticmethod`` work with
    ``.apply`` and are left alone.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/notes/extending.html
    - https://docs.pytorch.org/docs/stable/autograd.html#torch.autograd.Function
    """

    code = "GF402"
    trigger = re.compile(r"Function\s*\)\s*:")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every Function whose objects are called."""
        for old in old_functions(flow):
            because = [
                flow.note(
                    old.method, "it belongs to an object, and objects are not called any more"
                )
            ]
            if old.call is not None:
                because.append(flow.note(old.call, "this call raises"))
            yield self.finding(
                flow.span(old.node),
                f"`{old.node.name}` is an autograd.Function of old: calling its objects raises",
                because=tuple(because),
                help="make forward and backward static, with ctx, and call .apply",
                why_not="state kept in self has to move to ctx by hand",
            )
