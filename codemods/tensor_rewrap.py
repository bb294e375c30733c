"""GF301: ``torch.tensor([a, b])`` of graph tensors copies their values and cuts the graph."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.classes import is_module
from gradfix.flow.constructors import REWRAPS
from gradfix.flow.dtypes import is_integer
from gradfix.flow.loss_terms import idle_terms
from gradfix.flow.made_leaves import loss_made_leaf
from gradfix.flow.meant_numbers import are_numbers_meant, has_another_way
from gradfix.flow.names import places_of
from gradfix.flow.put_away import is_only_reported, is_put_away
from gradfix.flow.queries import (
    is_backward_from,
    is_gradient_read,
    leaf_use_of,
    reaches_graph,
)
from gradfix.flow.said_plain import expects_no_gradient
from gradfix.flow.severed import severed
from gradfix.flow.stacked import gets_history, input_of_forward
from gradfix.flow.state import Call, GradMode
from gradfix.flow.teachers import taught_by
from gradfix.flow.torch_ops import OpKind, op_facts
from gradfix.flow.values import Certainty, Kind, Value, parts_of
from gradfix.model import Finding
from gradfix.recipes.stacking import flags_set_later, keep_graph


class TensorRewrap(Codemod):
    """Graph tensors are copied into a new tensor by torch.tensor and its kin.

    What it does
    ------------
    Finds ``torch.tensor([a, b])`` (also nested lists, tuples, comprehensions, appended lists,
    ``torch.FloatTensor``, ``torch.as_tensor``) where the elements require grad and the result goes
    on towards the loss. Finds ``torch.tensor(x)`` of a layer's input in ``forward`` where the file
    gives the layer what other layers computed.

    Why is this bad?
    ----------------
    The constructor reads plain numbers out of the tensors. The result has no history, so nothing
    that the elements were computed from gets a gradient; no error is raised.

    Example
    -------
    ```python
    import torch
    from torch import nn


    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.tensor(0.5))
            self.b = nn.Parameter(torch.tensor(-1.0))

        def forward(self, x):
            gates = torch.tensor([torch.sigmoid(self.a), torch.sigmoid(self.b)])
            return x * gates
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn


    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.tensor(0.5))
            self.b = nn.Parameter(torch.tensor(-1.0))

        def forward(self, x):
            gates = torch.stack([torch.sigmoid(self.a), torch.sigmoid(self.b)])
            return x * gates
    ```

    Fix safety
    ----------
    Safe where the elements are written out and their shapes and element types are known. Unsafe
    where the length or the shapes are not known: ``torch.stack`` of an empty list raises, and
    elements of different shapes do not stack. Unsafe where the copy is only stored, or where only
    the calls of the file show that the elements require grad. Unsafe where others may only learn
    from the copy: it weighs the logarithm of a probability, another model's result is compared with
    it, or the optimizer that steps does not hold its models, and where the file says so:
    ``requires_grad=False``, ``assert p.grad is None``. Manual for the target of a loss whose input
    is trained. A copy that is stored or returned beside values that keep their history, and that
    only its numbers are read of, is a log and is left alone. Safe for a layer's input, which
    becomes ``torch.as_tensor(x).clone()``: a copy, as before, and arrays are taken, too. Manual
    where numbers may have been taken out on purpose (all that the elements depend on has another
    way to the same result), in lambdas, where the copy serves several backwards (it is cached, made
    in a constructor, kept for a later turn, or what it is made of has a backward of its own), and
    where it has to be without history: for NumPy, ``deepcopy``, ``out=``, writes to its parts, or
    another file. Left alone are copies that are made once for a loop that calls ``backward`` in
    every turn, and reports of losses whose ``backward`` has been called.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.tensor.html
    - https://docs.pytorch.org/docs/stable/generated/torch.stack.html
    """

    code = "GF301"
    asks_callers = True
    trigger = Words("tensor(", "tensor (", "Tensor(", "Tensor (", "asarray(", "asarray (")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every copy of graph tensors that goes on towards the loss."""
        for call in flow.all(Call):
            if call.name not in REWRAPS or not isinstance(call.node, ast.Call):
                continue
            data = _data_node(call.node)
            if data is None or call.mode is not GradMode.ON or not _cuts(flow, call, data):
                continue
            if loss_made_leaf(flow, call) is not None:
                continue  # loss-rewrap
            if leaf_use_of(flow, call.result) is not None:
                continue  # a copy that is meant to be a leaf of its own
            place = reaches_graph(flow, call.node)
            if place is None or is_only_reported(flow, call):
                continue
            flow.complete()  # what callers do with the copy says what it is for
            if not are_numbers_meant(flow, call, flow.value(data)):
                yield self._report(flow, call, data, place)

        if flow.makes_functions:
            yield from self._inside(flow)

    def _inside(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Copies that a lambda, or a `functools.partial` of the constructor, makes."""
        named = {call.node for call in flow.all(Call) if call.name in REWRAPS}
        for cut in severed(flow):
            inside = flow.cut_calls.get(cut.node)
            written = inside is not None and not isinstance(inside.function, ast.Lambda)
            if cut.value.cut not in REWRAPS or cut.node in named or written:
                continue
            yield self.finding(
                flow.span(cut.inside or cut.node),
                f"`{cut.value.cut}` copies graph tensors and cuts the graph",
                because=(
                    *(flow.note(node, "this leaf gets no gradient") for node in cut.leaf_nodes),
                    flow.note(cut.node, "only numbers of it are copied by this call"),
                    flow.note(cut.place, "and the copy goes on from here, without history"),
                ),
                help="join graph tensors with torch.stack or torch.cat",
                why_not="what other calls of the function are given is not known",
            )

    def _report(self, flow: ModuleFlow, call: Call, data: ast.expr, place: ast.AST) -> Finding:
        assert isinstance(call.node, ast.Call)
        source = _inside(flow.value(data))
        because = []
        if source is not None and source.node is not None and hasattr(source.node, "lineno"):
            because.append(flow.note(source.node, "this value is a graph tensor"))
        elif (
            part := _computed_on_one_path(flow.value(data))
        ) is not None and part.node is not None:
            because.append(flow.note(part.node, "on this path it is a graph tensor"))
        elif input_of_forward(flow, call.scope, flow.value(data)):
            given = gets_history(flow, call.scope)
            if given is not None:
                because.append(flow.note(given, "the layer is given a graph tensor here"))
        because.append(flow.note(call.node, "only its numbers are copied here"))
        if place is not call.node:
            because.append(flow.note(place, "and the copy goes on from here, without history"))
        fix, why_not = None, None
        try:
            if has_another_way(flow, call, flow.value(data)):
                raise NotFixable("the elements have another way, so the numbers may be weights")
            taught = taught_by(flow, call)
            if taught is not None and taught.sure:
                raise NotFixable(taught.how)
            fix = keep_graph(flow, call, data)
            if taught is not None:
                fix = fix.doubted(taught.how)
            told = expects_no_gradient(flow, call)
            if told is not None:
                fix = fix.doubted(f"line {flow.span(told).row} expects no gradient")
            flag = call.keyword("requires_grad")
            if flag is not None and flag.const is False:
                fix = fix.doubted("`requires_grad=False` is written out, and may be meant")
            if is_put_away(flow, call):
                fix = fix.doubted("it is put away, and what is made of it then is not seen")
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(call.node),
            f"`{flow.source_of(call.node.func)}` copies graph tensors and cuts the graph",
            because=tuple(because),
            help="join graph tensors with torch.stack or torch.cat",
            fix=fix,
            why_not=why_not,
        )


def _cuts(flow: ModuleFlow, call: Call, data: ast.expr) -> bool:
    """Whether history is certainly lost, or what is done with the copy shows that it was wanted."""
    value = flow.value(data)
    if call.name != "torch.tensor" and value.is_tensor:
        return False  # the others keep the history of a whole tensor
    content = history_in(value)
    if content is Certainty.YES:
        return True
    if content is Certainty.NO or is_integer(call.result.dtype):
        return False
    if _computed_on_one_path(value) is not None:
        return True
    if input_of_forward(flow, call.scope, value):
        return _cuts_input(flow, call)
    if any(call.node in idle.cut_nodes for idle in idle_terms(flow)):
        return True
    if is_unreachable_leaf(flow, call):
        return True  # nobody can train this leaf: the gradient was meant for the elements
    if _inside(value) is None:
        return False
    if flags_set_later(flow, call):
        return not is_gradient_read(flow, call.node) and is_backward_from(flow, call.node)
    return _is_forward(flow, call) and not isinstance(value.node, ast.arg)


def _cuts_input(flow: ModuleFlow, call: Call) -> bool:
    """Whether a layer makes a new tensor of what other layers computed."""
    if call.keyword("requires_grad") is not None:
        return False
    return call.name == "torch.tensor" and gets_history(flow, call.scope) is not None


def _computed_on_one_path(value: Value) -> Value | None:
    """What a branch before computes from Parameters, for some of the data; None for nothing."""
    parts = parts_of(value) if value.kind is Kind.SEQUENCE else [value]
    sources = (source for part in parts if part.op == "join" for source in part.inputs)
    return next(
        (s for s in sources if s.is_tracked and any(leaf.parameter for leaf in s.leaves)), None
    )


def _is_forward(flow: ModuleFlow, call: Call) -> bool:
    """Whether the copy is made in the ``forward`` of an ``nn.Module``."""
    scope = call.scope
    return (
        scope.name == "forward"
        and scope.class_node is not None
        and is_module(flow, flow.self_of(scope))
    )


def is_unreachable_leaf(flow: ModuleFlow, call: Call) -> bool:
    """``torch.tensor(..., requires_grad=True).sum()``: a leaf that nothing ever holds."""
    flag = call.keyword("requires_grad")
    if flag is None or flag.const is not True:
        return False
    assert isinstance(call.node, ast.Call)
    places = places_of(flow, call.scope, call.node)
    if places is None or len(places) != 1 or (places != [call.node] and not call.scope.is_function):
        return False
    parent = flow.parents.get(places[0])
    if isinstance(parent, ast.Call) and places[0] in parent.args:
        return _is_operation(flow.value(parent.func))
    return isinstance(parent, (ast.Attribute, ast.BinOp))


def _is_operation(function: Value) -> bool:
    """Whether a function certainly computes with a tensor, and makes no Parameter of it."""
    if function.kind is not Kind.REFERENCE or function.name in REWRAPS:
        return False
    kind: OpKind = "functional" if ".functional." in function.name else "function"
    op = op_facts(function.name.rpartition(".")[2], kind)
    return function.name.startswith("torch.") and op is not None and not op.factory and not op.like


def _data_node(call: ast.Call) -> ast.expr | None:
    if call.args:
        return call.args[0]
    return next((k.value for k in call.keywords if k.arg == "data"), None)


def history_in(value: Value) -> Certainty:
    """Whether a tensor, or anything in a container, requires grad."""
    if value.kind is not Kind.SEQUENCE:
        return value.needs_grad
    found = {history_in(part) for part in parts_of(value)}
    if Certainty.YES in found:
        return Certainty.YES
    return Certainty.NO if found == {Certainty.NO} else Certainty.MAYBE


def _inside(value: Value) -> Value | None:
    """A tensor inside the data that may require grad."""
    if value.is_tensor:
        return value if value.needs_grad is not Certainty.NO else None
    for part in parts_of(value):
        found = _inside(part)
        if found is not None:
            return found
    return None
