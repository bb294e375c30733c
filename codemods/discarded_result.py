"""GF206: a tensor method that returns a new tensor is called, and the new tensor is thrown away."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.expected import is_meant_to_raise, is_watched
from gradfix.flow.state import Call
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Value
from gradfix.model import Edit, EditKind, Finding, Fix, Values

#: Methods that only tensors have: what they are called on is a tensor.
_ONLY_TENSORS = frozenset(
    """masked_fill masked_scatter unsqueeze clamp clamp_min clamp_max index_fill index_add
    index_copy scatter_add""".split()
)


class DiscardedResult(Codemod):
    """The out-of-place form of a tensor method is called where the in-place form was meant.

    What it does
    ------------
    Finds statements that consist of nothing but a call such as ``x.masked_fill(mask, 0)``,
    ``w.clamp(-1, 1)``, ``h.detach()`` or ``total.add(loss)``: methods that have an in-place twin
    (``masked_fill_``) and return a new tensor, which nobody takes.

    Why is this bad?
    ----------------
    Nothing happens. The mask is not applied, the weight is not clipped, the history is not cut and
    the loss is not added; there is no error.

    Example
    -------
    ```python
    import torch
    from torch import nn

    scores = nn.Parameter(torch.ones(3)) * 2
    scores.masked_fill(torch.tensor([True, False, False]), float("-inf"))
    weights = torch.softmax(scores, dim=0)
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn

    scores = nn.Parameter(torch.ones(3)) * 2
    scores = scores.masked_fill(torch.tensor([True, False, False]), float("-inf"))
    weights = torch.softmax(scores, dim=0)
    ```

    Fix safety
    ----------
    Unsafe for plain names: the name is bound to the result, which changes values, as was meant.
    Manual for attributes and items, where the in-place form may be meant.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd
    """

    code = "GF206"
    trigger = Words(
        *(f".{name}" for name in "masked_ clamp clip detach unsqueeze squeeze add sub mul".split()),
        *(f".{name}" for name in "div neg exp log sqrt abs pow relu sigmoid tanh".split()),
        *(f".{name}" for name in "round scatter index_ fill".split()),
    )

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every statement that is such a call."""
        for call in flow.all(Call):
            statement, node = call.statement, call.node
            if not isinstance(statement, ast.Expr) or statement.value is not node:
                continue
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if call.receiver is None or not _is_lost(call.receiver, node.func.attr):
                continue
            if any(keyword.arg == "inplace" for keyword in node.keywords):
                continue  # no method of a tensor
            if not isinstance(node.func.value, (ast.Name, ast.Attribute, ast.Subscript)):
                continue  # on the result of a call: called for another purpose
            if is_meant_to_raise(flow, node) or is_watched(flow, statement):
                continue
            yield self._report(flow, call, node, node.func)

    def _report(
        self, flow: ModuleFlow, call: Call, node: ast.Call, function: ast.Attribute
    ) -> Finding:
        fix, why_not = None, None
        try:
            fix = _bound(flow, call, node, function)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(node),
            f"the result of `{function.attr}` is thrown away; `{flow.source_of(function.value)}` "
            "stays as it is",
            because=(flow.note(node, f"`{function.attr}` returns a new tensor"),),
            help=f"bind the result, or use `{function.attr}_`",
            fix=fix,
            why_not=why_not,
        )


def _is_lost(receiver: Value, name: str) -> bool:
    """Whether calling the method does nothing but make a new tensor."""
    op, twin = op_facts(name, "method"), op_facts(f"{name}_", "method")
    if op is None or op.inplace or twin is None or not twin.inplace:
        return False
    if receiver.kind is Kind.UNKNOWN:
        return name in _ONLY_TENSORS
    return receiver.is_tensor


def _bound(flow: ModuleFlow, call: Call, node: ast.Call, function: ast.Attribute) -> Fix:
    if not isinstance(function.value, ast.Name):
        raise NotFixable("whether the result or the in-place form is meant is not known")
    if call.receiver is None or call.receiver.is_leaf:
        raise NotFixable("a leaf keeps its name; whether it is to be changed in place is not known")
    if call.receiver.kind is Kind.UNKNOWN:
        raise NotFixable("whether others are to see the change is not known")
    source = flow.source_of(node)
    if "\n" in source:
        raise NotFixable("the call spans several lines")
    edit = Edit(EditKind.STATEMENT, flow.span(call.statement), f"{function.value.id} = {source}")
    doubt = "the result may be meant to be thrown away, and other values follow from it"
    return Fix.of("bind the result", (edit,), doubt, Values.CHANGED)
