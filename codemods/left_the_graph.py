"""GF305: a value leaves PyTorch for Python or NumPy on its way to the loss."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod
from gradfix.flow import ModuleFlow
from gradfix.flow.assembly import Assembly, assemblies_of_numbers
from gradfix.flow.methods import ESCAPES
from gradfix.flow.severed import severed
from gradfix.model import Edit, EditKind, Finding, Safety


class LeftTheGraph(Codemod):
    """A graph tensor becomes a Python number or a NumPy array, and that goes on to the loss.

    What it does
    ------------
    Finds ``.item()``, ``float()``, ``.tolist()``, ``.numpy()`` and NumPy functions between a
    Parameter of a Module and its output where no other way is left for the gradient, and buffers
    that are filled with ``tensor.item()``.

    Why is this bad?
    ----------------
    Numbers carry no history. Whatever is computed from them is a constant to autograd.

    Example
    -------
    ```python
    import torch
    from torch import nn


    class Ranker(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 1)

        def forward(self, docs):
            scores = torch.zeros(len(docs))
            for i, doc in enumerate(docs):
                scores[i] = self.head(doc).item()
            return scores
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn


    class Ranker(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(3, 1)

        def forward(self, docs):
            scores = torch.zeros(len(docs))
            for i, doc in enumerate(docs):
                scores[i] = self.head(doc).squeeze()
            return scores
    ```

    Fix safety
    ----------
    Unsafe for ``.item()`` in a fill: the buffer becomes part of the graph, which is the purpose.
    Manual elsewhere: the computation has to be written with torch operations.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.Tensor.item.html
    """

    code = "GF305"
    trigger = re.compile(r"\.item\(|\.tolist\(|\.numpy\(|float\(|numpy|math")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every escape that severs a Parameter, and every buffer filled with escaped numbers."""
        done: set[ast.AST] = set()
        for assembly in assemblies_of_numbers(flow):
            for finding, node in self._fills(flow, assembly):
                done.add(node)
                yield finding
        for cut in severed(flow):
            name = cut.value.cut
            if cut.node in done or not (
                name in ESCAPES or name == "float" or "numpy" in name or "math" in name
            ):
                continue
            yield self.finding(
                flow.span(cut.node),
                f"`{name}` takes a value out of the graph, and a Parameter reaches the output only "
                "through it",
                because=(
                    *(flow.note(node, "this leaf gets no gradient") for node in cut.leaf_nodes),
                    *((flow.note(cut.inside, "its history ends here"),) if cut.inside else ()),
                    flow.note(cut.place, "the value goes on from here"),
                ),
                help="compute with torch operations up to the loss",
                why_not="which torch operations are meant is not known",
            )

    def _fills(self, flow: ModuleFlow, assembly: Assembly) -> Iterator[tuple[Finding, ast.AST]]:
        for fill in assembly.fills:
            call = fill.part
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            tensor = flow.source_of(call.func.value)
            edit = Edit(EditKind.REPLACE, flow.span(call), f"{tensor}.squeeze()")
            yield (
                self.finding(
                    flow.span(call),
                    f"`{assembly.name}` is filled with plain numbers; their history is lost",
                    because=(
                        flow.note(assembly.allocation, "the buffer is allocated here"),
                        flow.note(call, "and filled with numbers taken out of the graph"),
                    ),
                    help="write the tensor itself",
                    fix=self.fix(Safety.UNSAFE, "write the tensor itself", edit),
                ),
                call,
            )
