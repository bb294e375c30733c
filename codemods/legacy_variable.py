"""GF401: code written for PyTorch 0.3: ``Variable``, ``volatile``, ``.data[0]``."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow, legacy
from gradfix.flow.made_leaves import loss_made_leaf
from gradfix.flow.queries import differentiated_at, gradient_asked_at, leaf_use_of
from gradfix.flow.source_text import bracketed
from gradfix.flow.state import Call
from gradfix.model import Edit, EditKind, Finding, Note
from gradfix.recipes.unwrapping import unwrap


class LegacyVariable(Codemod):
    """Code for PyTorch 0.3 that is out of date, or does something else today.

    What it does
    ------------
    Replaces ``Variable(x)`` by ``x``, ``Variable(x, requires_grad=True)`` by a tensor that requires
    grad, ``Variable(x, requires_grad=False)`` by ``x.detach()`` unless ``x`` certainly has no
    history, ``volatile=True`` by ``torch.no_grad()``, ``loss.data[0]`` by ``loss.item()`` and
    ``type(x) == Variable`` by ``isinstance(x, Variable)``. Imports of ``Variable`` stay: other
    modules may take the name from there.

    Why is this bad?
    ----------------
    Tensors are Variables since PyTorch 0.4. ``Variable(x)`` of a tensor with a history cuts it,
    ``volatile`` is ignored, so that evaluation builds graphs, ``loss.data[0]`` raises, and no
    object is of type ``Variable`` any more.

    Example
    -------
    ```python
    import torch
    from torch.autograd import Variable

    w = Variable(torch.ones(3), requires_grad=True)
    loss = (w * Variable(torch.ones(3))).sum()
    loss.backward()
    grad = w.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch.autograd import Variable

    w = torch.ones(3, requires_grad=True)
    loss = (w * torch.ones(3)).sum()
    loss.backward()
    grad = w.grad
    ```

    Fix safety
    ----------
    Safe where the wrapped tensor certainly has no history and nobody can tell it from the wrapper,
    for ``x.detach()`` of a tensor, which is what the wrapper does today, and for ``.data[0]`` of a
    tensor without dimensions, which raises today. Unsafe where the
    history of what is wrapped is not known, for ``volatile`` and for ``type(x) == Variable``.
    Manual where ``Variable`` cuts a history (whether that is meant is not known), and where the
    wrapper gets a shape, a flag or a mark of its own.

    References
    ----------
    - https://pytorch.org/blog/pytorch-0_4_0-migration-guide/
    - https://docs.pytorch.org/docs/stable/autograd.html#variable-deprecated
    """

    code = "GF401"
    modernises = True
    trigger = Words("Variable", ".data[", ".numpy()[", ".cpu()[", ".detach()[")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Everything that is out of date."""
        for call in flow.all(Call):
            if call.name == "torch.autograd.Variable" and isinstance(call.node, ast.Call):
                if not _is_another_fault(flow, call):
                    yield self._variable(flow, call)
        yield from self._first_elements(flow)
        for node, tensor, kind in legacy.never_variables(flow):
            text = f"isinstance({flow.source_of(tensor)}, {flow.source_of(kind)})"
            if isinstance(node.ops[0], (ast.NotEq, ast.IsNot)):
                text = f"not {text}"
            yield self.finding(
                flow.span(node),
                "no object is of type `Variable`: tensors are of type torch.Tensor",
                because=(flow.note(kind, "since PyTorch 0.4 this makes and matches tensors"),),
                help="ask with isinstance",
                fix=self.fix(
                    "ask with isinstance",
                    Edit(EditKind.REPLACE, flow.span(node), text),
                    doubt="the branch that is never taken today is taken then",
                ),
            )

    def _variable(self, flow: ModuleFlow, call: Call) -> Finding:
        fix, why_not = None, None
        try:
            fix = unwrap(flow, call)
        except NotFixable as reason:
            why_not = str(reason)
        cuts = call.result.cut == "Variable"
        return self.finding(
            flow.span(call.node),
            (
                "`Variable` cuts the history of what it is given"
                if cuts
                else "`Variable` is a legacy wrapper: tensors are Variables"
            ),
            because=(_story(flow, call),),
            help="use the tensor itself",
            fix=fix,
            why_not=why_not,
        )

    def _first_elements(self, flow: ModuleFlow) -> Iterator[Finding]:
        for node, owner in legacy.first_elements(flow):
            value = flow.value(owner)
            certain = value.is_tensor and value.shape == ()
            if not certain and (value.shape or differentiated_at(flow, value) is None):
                continue
            text = f"{bracketed(flow.source_of(owner), owner)}.item()"
            yield self.finding(
                flow.span(node),
                f"`{flow.source_of(node)}`: a tensor without dimensions has no elements",
                because=(flow.note(owner, "a loss has no dimensions since PyTorch 0.4"),),
                help="use .item()",
                fix=self.fix(
                    "use .item()",
                    Edit(EditKind.REPLACE, flow.span(node), text),
                    doubt="" if certain else "whether the tensor has dimensions is not known",
                ),
            )


def _is_another_fault(flow: ModuleFlow, call: Call) -> bool:
    """Whether this makes a new leaf of a computed tensor: rewrap-in-forward and loss-rewrap."""
    if not call.result.is_leaf:
        return False
    if loss_made_leaf(flow, call) is not None:
        return True
    wanted = leaf_use_of(flow, call.result) or gradient_asked_at(flow, call.result)
    return call.result.cut == "Variable" and wanted is None


def _story(flow: ModuleFlow, call: Call) -> Note:
    assert isinstance(call.node, ast.Call)
    if call.result.cut == "Variable":
        return flow.note(call.node, "what goes in has a history, what comes out has none")
    volatile = next((k for k in call.node.keywords if k.arg == "volatile"), None)
    if volatile is not None:
        return flow.note(volatile.value, "`volatile` is ignored since PyTorch 0.4")
    return flow.note(call.node, "since PyTorch 0.4 this returns a tensor like the one it is given")
