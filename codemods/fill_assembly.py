"""GF302: a buffer is allocated and filled slot by slot with graph tensors."""

from __future__ import annotations

from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Unsuitable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.assembly import Assembly, assemblies, has_history, may_be_strided
from gradfix.flow.expected import is_only_expected
from gradfix.flow.reached import run_by_forward
from gradfix.flow.registered import is_weighted
from gradfix.flow.said_plain import asks_how_made
from gradfix.flow.values import Certainty
from gradfix.model import Finding
from gradfix.recipes.joining import join_parts, may_be_changed


class FillAssembly(Codemod):
    """A tensor is allocated and then filled by index with graph tensors.

    What it does
    ------------
    Finds ``zeros/empty/ones/full`` (also ``*_like``, ``new_*``) followed by writes to single slots,
    rows, columns or ranges whose values have a gradient history, also in a counted loop.

    Why is this bad?
    ----------------
    Gradients do arrive, but every write adds a node that copies the whole buffer in backward, and
    the form is one step from losing them: an integer buffer truncates and detaches, reading a slot
    and writing another invalidates saved tensors, ``requires_grad=True`` on the buffer raises.

    Example
    -------
    ```python
    import torch
    from torch import nn


    class Circuit(nn.Module):
        def __init__(self):
            super().__init__()
            self.raw = nn.Parameter(torch.tensor([0.1, -0.3]))

        def forward(self):
            value = torch.sigmoid(self.raw)
            full = torch.zeros([3])
            full[0] = value[0]
            full[1] = value[1]
            full[2] = value[0] + value[1]
            return full
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn


    class Circuit(nn.Module):
        def __init__(self):
            super().__init__()
            self.raw = nn.Parameter(torch.tensor([0.1, -0.3]))

        def forward(self):
            value = torch.sigmoid(self.raw)
            full = torch.stack(
                [
                    value[0],
                    value[1],
                    value[0] + value[1],
                ]
            )
            return full
    ```

    Fix safety
    ----------
    Safe where every slot is written once (or keeps the fill value), nothing reads the buffer in
    between, and shapes and element types are known. Unsafe where an element's shape or the number
    of passes of a loop is not known, and for ``zeros_like`` of what may be transposed: it is
    transposed, too; and where the code looks at its ``grad_fn`` or ``_version``. The result lives
    on the device of its elements.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.stack.html
    - https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd
    """

    code = "GF302"
    modernises = True
    trigger = Words("zeros", "ones", "empty", "full")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every buffer that is assembled from graph tensors."""
        for assembly in assemblies(flow):
            if is_only_expected(flow, assembly.scope):
                continue
            history = has_history(flow, assembly)
            looped = any(fill.loop is not None for fill in assembly.fills)
            if history is not Certainty.YES and looped and not _is_trained(flow, assembly):
                continue  # loops that fill buffers are everywhere; perhaps no gradient is needed
            fix, why_not = None, None
            try:
                fix = join_parts(flow, assembly)
                if may_be_strided(assembly):
                    fix = fix.doubted("the buffer may lie in memory in another order")
                if asks_how_made(flow, assembly.allocation):
                    fix = fix.doubted("the code asks how the tensor was made")
                if may_be_changed(flow, assembly):
                    fix = fix.doubted("a part may be changed before all are joined")
            except Unsuitable:
                continue
            except NotFixable as reason:
                why_not = str(reason)
                if history is not Certainty.YES:
                    continue  # working code that perhaps needs no gradient: nothing to say
            because = (
                flow.note(assembly.definition.node, f"`{assembly.name}` is allocated here"),
                flow.note(assembly.fills[0].statement, "and filled by index with graph tensors"),
            )
            yield self.finding(
                flow.span(assembly.allocation),
                f"`{assembly.name}` is filled slot by slot with graph tensors",
                because=because,
                help="collect the parts and join them with torch.stack or torch.cat",
                fix=fix,
                why_not=why_not,
            )


def _is_trained(flow: ModuleFlow, assembly: Assembly) -> bool:
    """Whether the buffer is filled in what ``forward`` of a Module with weights computes."""
    scope = assembly.scope
    if scope.name not in run_by_forward(flow, scope.class_node):
        return False
    return is_weighted(flow, flow.self_of(scope))
