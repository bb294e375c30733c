"""GF305: a value leaves PyTorch for Python or NumPy on its way to the loss."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.assembly import Assembly, assemblies_of_numbers
from gradfix.flow.constructors import REWRAPS
from gradfix.flow.kept_losses import KeptLoss, kept_losses
from gradfix.flow.loss_terms import IdleTerm, idle_terms, is_only_added
from gradfix.flow.methods import ESCAPES
from gradfix.flow.names import spelling
from gradfix.flow.numpy_calls import NumpyCall, numpy_of_losses
from gradfix.flow.severed import severed
from gradfix.flow.source_text import bracketed
from gradfix.model import Edit, EditKind, Finding, Values


class LeftTheGraph(Codemod):
    """A graph tensor becomes a Python number or a NumPy array, and that goes on to the loss.

    What it does
    ------------
    Finds ``.item()``, ``float()``, ``.tolist()``, ``.numpy()`` and NumPy functions between a
    Parameter of a Module and its output where no other way is left for the gradient, buffers that
    are filled with ``tensor.item()``, terms of a loss that were computed from such numbers and
    arrays alone, and ``np.sum(losses)`` and its kin on graph tensors.

    Why is this bad?
    ----------------
    Numbers carry no history. Whatever is computed from them is a constant to autograd. A loss that
    has another term as well is differentiated without any complaint. NumPy's own functions raise
    where they are given tensors that require grad.

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
    Safe for ``np.sum``, ``np.mean`` and ``np.array`` of a list of tensors that certainly require
    grad: the call raises today. Unsafe where ``backward`` on the result is all that shows it, and
    for losses that are kept for statistics after their own ``backward``: they become numbers.
    Unsafe for ``.item()`` in a fill and in a sum of losses: what is stored becomes part of the
    graph, which is the purpose. Manual elsewhere: the computation has to be written with torch
    operations.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.Tensor.item.html
    """

    code = "GF305"
    trigger = Words(".item(", ".tolist(", ".numpy(", "float(", "numpy", "math")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every escape that severs a Parameter, and every buffer filled with escaped numbers."""
        done: set[ast.AST] = set()
        for assembly in assemblies_of_numbers(flow):
            for finding, node in self._fills(flow, assembly):
                done.add(node)
                yield finding
        for cut in severed(flow):
            name = cut.value.cut
            escapes = name in ESCAPES or name == "float" or "numpy" in name or "math" in name
            if cut.node in done or not (escapes or cut.leaves_torch):
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
        arrays = list(numpy_of_losses(flow))
        raising = {array.call for array in arrays if array.certain}
        for idle in idle_terms(flow):
            if idle.leaves_torch and not idle.ops <= REWRAPS and idle.term not in raising:
                yield self._idle(flow, idle)
        for array in arrays:
            yield self._numpy(flow, array)
        for kept in kept_losses(flow):
            if all(array.call is not kept.read for array in arrays):
                yield self._kept(flow, kept)

    def _idle(self, flow: ModuleFlow, idle: IdleTerm) -> Finding:
        fix, why_not = None, "which torch operations are meant is not known"
        items = [node for node in idle.cut_nodes if is_only_added(flow, node)]
        if items and len(items) == len(idle.cuts):
            edits = [
                Edit(EditKind.REPLACE, flow.span(node), flow.source_of(node.func.value))
                for node in items
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            ]
            doubt = "the number may be taken on purpose"
            fix = self.fix("add the tensor itself", *edits, doubt=doubt, values=Values.CLOSE)
        return self.finding(
            flow.span(idle.term),
            "this term of the loss trains nothing: it is computed from plain numbers",
            because=(
                *(flow.note(node, "the value leaves the graph here") for node in idle.cut_nodes),
                flow.note(idle.place, "the loss is differentiated here"),
            ),
            help="compute with torch operations up to the loss",
            fix=fix,
            why_not=None if fix is not None else why_not,
        )

    def _numpy(self, flow: ModuleFlow, found: NumpyCall) -> Finding:
        call, fix = found.call, None
        stack = spelling(flow, found.scope, "torch.stack")
        if stack is not None and found.method is not None:
            text = f"{stack}({flow.source_of(call.args[0])}){found.method}"
            doubt = "" if found.certain else "whether the call raises today is not known"
            edit = Edit(EditKind.REPLACE, flow.span(call), text)
            fix = self.fix("join the tensors", edit, doubt=doubt, values=Values.CLOSE)
        because = (
            ()
            if found.place is None
            else (flow.note(found.place, "the result is differentiated here"),)
        )
        return self.finding(
            flow.span(call),
            f"`{flow.source_of(call.func)}` is given tensors that require grad; it raises",
            because=because,
            help="join the tensors with torch.stack and compute with torch",
            fix=fix,
            why_not=None if fix is not None else "which torch operations are meant is not known",
        )

    def _kept(self, flow: ModuleFlow, found: KeptLoss) -> Finding:
        text = f"{bracketed(flow.source_of(found.kept), found.kept)}.item()"
        edit = Edit(EditKind.REPLACE, flow.span(found.kept), text)
        return self.finding(
            flow.span(found.kept),
            "a loss is kept with its history, and NumPy refuses it later",
            because=(
                flow.note(found.backward, "it requires grad: backward is called on it"),
                flow.note(found.read, "this raises"),
            ),
            help="keep the number: `.item()`",
            fix=self.fix("keep the number", edit, doubt="it may be used as a tensor, too"),
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
                    fix=self.fix(
                        "write the tensor itself", edit, doubt="the number may be taken on purpose"
                    ),
                ),
                call,
            )
