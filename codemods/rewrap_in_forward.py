"""GF103: a computed tensor is wrapped in a new Parameter on every call."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow, classes
from gradfix.flow.constructors import data_of
from gradfix.flow.names import places_of, written_out
from gradfix.flow.nodes import walk
from gradfix.flow.queries import (
    gradient_asked_at,
    is_differentiated,
    leaf_use_of,
    origins,
    writes_to,
)
from gradfix.flow.reached import bodies_of_forward, run_by_forward, sets_up
from gradfix.flow.said_plain import expects_no_gradient
from gradfix.flow.state import AttributeStore, Call, GradMode
from gradfix.flow.values import Certainty, Kind, Role, Value
from gradfix.flow.walk import Walk
from gradfix.model import Edit, EditKind, Finding, Fix, Note

_WRAPS = {"torch.nn.Parameter": "Parameter", "torch.autograd.Variable": "Variable"}
#: Operations after which a tensor has the elements of the old one in another order of dimensions.
_TRANSPOSES = frozenset({"t", "transpose", "permute", "adjoint", "swapaxes", "swapdims", "numpy_T"})


class RewrapInForward(Codemod):
    """A tensor computed from Parameters is wrapped in a new Parameter.

    What it does
    ------------
    Finds ``Parameter(f(self.w))`` and ``Variable(f(self.w), requires_grad=True)`` in ``forward``,
    in methods that ``forward`` calls, and in training code. Reports
    ``self.decoder.weight = Parameter(self.encoder.weight.t())`` in a constructor.

    Why is this bad?
    ----------------
    The wrapper makes a new leaf on every call. The gradient ends there: ``w`` gets none, and the
    new leaf is thrown away. In a constructor the two Parameters share memory, but each is trained
    with its own half of the gradient.

    Example
    -------
    ```python
    import torch
    import torch.nn as nn
    import torch.nn.functional as F


    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.v = nn.Parameter(torch.ones(2, 3))
            self.g = nn.Parameter(torch.ones(2, 1))

        def forward(self, x):
            weight = nn.Parameter(self.g * self.v)
            return F.linear(x, weight)
    ```

    Use instead
    -----------
    ```python
    import torch
    import torch.nn as nn
    import torch.nn.functional as F


    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.v = nn.Parameter(torch.ones(2, 3))
            self.g = nn.Parameter(torch.ones(2, 1))

        def forward(self, x):
            weight = self.g * self.v
            return F.linear(x, weight)
    ```

    Fix safety
    ----------
    Safe where the wrapped tensor is used as a value only: the forward values do not change. Unsafe
    where the file says that something has no gradient (``assert p.grad is None``). Manual where it
    is stored as an attribute or handed to code that may want a Parameter. Left alone where the new
    leaf's own gradient is asked for (``.grad``, ``autograd.grad``, an optimizer) and under
    ``no_grad``.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html
    - https://github.com/chr5tphr/zennit/pull/185
    """

    code = "GF103"
    asks_callers = True
    trigger = Words("Parameter", "Variable")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every computed tensor that is made a leaf again while its history is needed."""
        for call in flow.all(Call):
            if call.name not in _WRAPS or not isinstance(call.node, ast.Call):
                continue
            value = call.result
            if call.mode is not GradMode.ON or value.cut != _WRAPS[call.name] or not value.is_leaf:
                continue
            if sets_up(flow, flow.class_facts(call.scope.class_node), call.scope.name):
                yield from self._tied(flow, call)
            elif _leaf_is_wanted(flow, value):
                continue
            elif call.scope.name in run_by_forward(flow, call.scope.class_node):
                if not _is_lazy_initialisation(flow, call):
                    yield self._report(flow, call, "on every call of `forward`")
            elif _is_trained_code(flow, call):
                yield self._report(flow, call, "here")

    def _report(self, flow: ModuleFlow, call: Call, when: str) -> Finding:
        assert isinstance(call.node, ast.Call)
        fix, why_not = None, None
        try:
            fix = self._drop(flow, call, call.node)
        except NotFixable as reason:
            why_not = str(reason)
        wrapper = flow.source_of(call.node.func)
        return self.finding(
            flow.span(call.node),
            f"`{wrapper}` makes a new leaf of a computed tensor {when}; the gradient ends there",
            because=(
                *_leaf_notes(flow, call.data or call.result),
                flow.note(call.node, "and only its values are wrapped here, without their history"),
            ),
            help="use the computed tensor itself",
            fix=fix,
            why_not=why_not,
        )

    def _drop(self, flow: ModuleFlow, call: Call, node: ast.Call) -> Fix:
        data = _data(node)
        places = places_of(flow, call.scope, node)
        if places is None:
            raise NotFixable("the wrapped tensor is kept under more than a local name")
        if writes_to(flow, call.result):
            raise NotFixable("the wrapped tensor is written in place")
        for place in places:
            _must_be_value(flow, call, place)
        told = expects_no_gradient(flow, call)
        return self.fix(
            "use the computed tensor itself",
            Edit(EditKind.REPLACE, flow.span(node), flow.source_of(data)),
            doubt=f"line {flow.span(told).row} expects no gradient" if told else "",
        )

    def _tied(self, flow: ModuleFlow, call: Call) -> Iterator[Finding]:
        """``self.a.weight = Parameter(self.b.weight.t())``: tied at first, trained apart."""
        assert isinstance(call.node, ast.Call)
        if call.name != "torch.nn.Parameter" or not isinstance(call.scope.class_node, ast.ClassDef):
            return
        owner = flow.self_of(call.scope)
        if not classes.is_module(flow, owner) or call.data is None:
            return
        data = written_out(call.scope, _data(call.node))
        source, target = _layer_of(_source_leaf(data)), _target(flow, call.node)
        if source is None or target is None or source == target.partition(".")[0]:
            return
        if not _shares_leaf(call.data):
            return
        facts = flow.class_facts(call.scope.class_node)
        if facts is None or facts.written.get(source, 0) > 1:
            return
        if not _used_outside(flow, facts, source):
            return
        yield self.finding(
            flow.span(call.node),
            f"`self.{target}` shares memory with `self.{source}`, but is a Parameter of its own",
            because=(*_leaf_notes(flow, call.data), flow.note(call.node, "a second leaf")),
            help="compute the tied weight in forward: F.linear(x, self.encoder.weight.t())",
            why_not="a tied weight is computed in forward, and the second layer goes away",
        )


def _data(node: ast.Call) -> ast.expr:
    """The wrapped expression. Raises NotFixable where the call is not understood."""
    if any(k.arg not in ("data", "requires_grad") for k in node.keywords):
        raise NotFixable("the arguments of the call are not understood")
    data = data_of(node)
    if data is None:
        raise NotFixable("the arguments of the call are not understood")
    return data


def _leaf_is_wanted(flow: ModuleFlow, value: Value) -> bool:
    """Whether anything asks for the gradient of the new leaf itself."""
    return leaf_use_of(flow, value) is not None or gradient_asked_at(flow, value) is not None


def _is_lazy_initialisation(flow: ModuleFlow, call: Call) -> bool:
    """``if self.w is None: self.w = Parameter(f(x))``: values taken once, on purpose."""
    if flow.enclosing(call.node, ast.If) is None:
        return False
    mine = origins(flow, call.result)
    stored = any(mine & origins(flow, store.value) for store in flow.all(AttributeStore))
    return stored or any(
        registering.name == ".register_parameter" or registering.name == "builtins.setattr"
        for registering in flow.all(Call)
        if any(mine & origins(flow, value) for value in registering.arguments)
    )


def _is_trained_code(flow: ModuleFlow, call: Call) -> bool:
    """Outside of Modules: the wrapped value goes into the loss, and its sources are trained."""
    if call.name != "torch.nn.Parameter" or call.scope.class_node is not None:
        return False
    parent = flow.parents.get(call.node)
    targets = parent.targets if isinstance(parent, ast.Assign) else []
    names = {target.id for target in targets if isinstance(target, ast.Name)}
    if any(isinstance(n, ast.Name) and n.id in names for n in walk(call.node)):
        return False  # ``w = Parameter(w - lr * w.grad)`` is a new start
    if any(isinstance(store, ast.Attribute) for store in targets):
        return False
    trained = [
        leaf for leaf in _leaves(call.data or call.result) if leaf_use_of(flow, leaf) is not None
    ]
    return bool(trained) and _reaches_backward(flow, call)


def _reaches_backward(flow: ModuleFlow, call: Call) -> bool:
    returned = {id(value) for scope in flow.scopes for _, value in scope.returns}
    if id(call.result) in returned:
        return False
    return is_differentiated(flow, call.node)


def _leaves(value: Value) -> list[Value]:
    """The leaf tensors that a value was computed from."""
    found: list[Value] = []
    walk = Walk([value])
    for at in walk:
        if at.needs_grad is Certainty.NO:
            continue
        if at.is_leaf:
            found.append(at)
        else:
            walk.further(at.inputs)
    return found


def _leaf_notes(flow: ModuleFlow, value: Value) -> tuple[Note, ...]:
    for leaf in _leaves(value):
        if leaf.node is not None and hasattr(leaf.node, "lineno"):
            return (flow.note(leaf.node, "the leaf that should get the gradient"),)
    return ()


def _must_be_value(flow: ModuleFlow, call: Call, node: ast.AST) -> None:
    """Raise NotFixable unless ``node`` stands where any tensor can stand."""
    parent = flow.parents.get(node)
    if isinstance(parent, (ast.BinOp, ast.UnaryOp, ast.Compare, ast.FormattedValue)):
        return
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return
    if isinstance(parent, ast.Attribute) and isinstance(parent.ctx, ast.Load):
        if parent.attr in ("data", "requires_grad", "is_leaf", "grad"):
            raise NotFixable(f"`.{parent.attr}` of the wrapped tensor is used")
        return
    if isinstance(parent, ast.Return) and call.scope.name == "forward":
        return
    if isinstance(parent, ast.keyword):
        parent = flow.parents.get(parent)
    if isinstance(parent, (ast.List, ast.Tuple)) and isinstance(flow.parents.get(parent), ast.Call):
        parent = flow.parents.get(parent)
    if isinstance(parent, ast.Call) and _takes_any_tensor(flow, parent):
        return
    raise NotFixable("the wrapped tensor may have to be a Parameter where it goes")


def _takes_any_tensor(flow: ModuleFlow, node: ast.Call) -> bool:
    """Whether the called function is PyTorch's own, or a layer."""
    event = next((call for call in flow.all(Call) if call.node is node), None)
    if event is None:
        return False
    if event.name.startswith("torch.") and not event.name.startswith(
        ("torch.optim.", "torch.nn.P")
    ):
        return event.result.is_tensor or event.result.kind is Kind.SEQUENCE
    if event.receiver is not None and event.receiver.is_tensor:
        return True
    called = flow.value(node.func)
    if isinstance(node.func, ast.Attribute) and event.receiver is not None:
        called = classes.attribute(flow, event.receiver, node.func.attr, node.func, called=True)
    return called.kind is Kind.MODULE or classes.is_module(flow, called)


# -- tied weights -------------------------------------------------------------------------------


def _source_leaf(node: ast.expr) -> ast.expr:
    """``self.encoder.weight`` of ``self.encoder.weight.t()``."""
    while True:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func.value
        elif isinstance(node, ast.Attribute) and node.attr in ("T", "mT", "H", "mH"):
            node = node.value
        else:
            return node


def _layer_of(node: ast.expr) -> str | None:
    """``encoder`` of ``self.encoder.weight``."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
        inner = node.value
        if isinstance(inner.value, ast.Name) and inner.value.id == "self":
            return inner.attr
    return None


def _target(flow: ModuleFlow, node: ast.Call) -> str | None:
    """``decoder.weight`` of the statement ``self.decoder.weight = <node>``."""
    parent = flow.parents.get(node)
    if not isinstance(parent, ast.Assign) or len(parent.targets) != 1:
        return None
    target = parent.targets[0]
    if not isinstance(target, ast.Attribute):
        return None
    path = flow.source_of(target)
    return path.removeprefix("self.") if path.startswith("self.") else None


def _shares_leaf(value: Value) -> bool:
    """Whether the value is a leaf Parameter or a transposed view of one."""
    while value.view and value.op in _TRANSPOSES and value.inputs:
        value = value.inputs[0]
    return value.is_tensor and value.parameter and value.role == Role.LEAF


def _used_outside(flow: ModuleFlow, facts: classes.ClassFacts, name: str) -> bool:
    """Whether a method that does not set up the Module uses ``self.<name>``."""
    own = [method for method in facts.methods.values() if not sets_up(flow, facts, method.name)]
    return any(
        isinstance(node, ast.Attribute)
        and node.attr == name
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        for method in dict.fromkeys((*own, *bodies_of_forward(flow, facts)))
        for node in walk(method)
    )
