"""GF303: the loss is copied into a new leaf, and backward stops there."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.constructors import REWRAPS, data_of
from gradfix.flow.log_probabilities import made_leaf
from gradfix.flow.made_leaves import loss_made_leaf
from gradfix.flow.nodes import walk
from gradfix.flow.queries import differentiated_at
from gradfix.flow.source_text import bracketed
from gradfix.flow.state import AttributeStore, Call
from gradfix.flow.values import Certainty, Kind, Value, element_of
from gradfix.flow.walk import Walk
from gradfix.model import Edit, EditKind, Finding, Fix, Note


class LossRewrap(Codemod):
    """The loss is made a leaf before ``backward()``.

    What it does
    ------------
    Finds ``torch.tensor(loss, requires_grad=True)``, ``Variable(loss, requires_grad=True)``,
    ``Parameter(loss)``, ``loss.requires_grad = True`` and ``loss.detach().requires_grad_()`` where
    the result is what ``backward()`` is called on.

    Why is this bad?
    ----------------
    "element 0 of tensors does not require grad" goes away, and so does the gradient: a leaf has no
    history, ``backward()`` fills its own ``.grad`` and reaches no Parameter. On a tensor that has a
    history, ``loss.requires_grad = True`` raises.

    Example
    -------
    ```python
    import torch
    from torch.nn import Parameter

    w = Parameter(torch.ones(3))
    loss = (w * 2).sum()
    loss = torch.tensor(loss, requires_grad=True)
    loss.backward()
    grad = w.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch.nn import Parameter

    w = Parameter(torch.ones(3))
    loss = (w * 2).sum()
    loss.backward()
    grad = w.grad
    ```

    Fix safety
    ----------
    Safe where the loss certainly has a history: its value does not change. Unsafe where that is not
    known, since ``backward()`` raises on a loss without one, as for log probabilities that are made
    a leaf and returned. Manual where only a number is left.
    ``torch.tensor(0.0, requires_grad=True)`` as the start of a sum is right and left alone.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.tensor.html
    - https://github.com/MC-E/Deep-Generalized-Unfolding-Networks-for-Image-Restoration/issues/6
    """

    code = "GF303"
    trigger = Words("requires_grad", "Parameter")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every loss that is made a leaf."""
        for call in flow.all(Call):
            if not isinstance(call.node, ast.Call):
                continue
            place = loss_made_leaf(flow, call) or made_leaf(flow, call)
            if place is not None and call.data is not None and _is_no_constant(call.data):
                yield self._wrapped(flow, call, place)
            elif call.name == ".requires_grad_" and call.receiver is not None:
                yield from self._marked(flow, call, call.receiver)
        for store in flow.all(AttributeStore):
            node = store.statement
            if store.name == "requires_grad" and isinstance(node, ast.Assign) and _sets_flag(node):
                yield from self._flagged(flow, node)

    # -- torch.tensor(loss, requires_grad=True) -----------------------------------------------

    def _wrapped(self, flow: ModuleFlow, call: Call, place: ast.AST) -> Finding:
        assert isinstance(call.node, ast.Call)
        fix, why_not = None, None
        try:
            fix = self._unwrap(flow, call, call.node)
        except NotFixable as reason:
            why_not = str(reason)
        because = [flow.note(call.node, "a new leaf without history")]
        if place is not call.node:
            because.append(flow.note(place, "the gradient goes no further than to that leaf"))
        return self.finding(
            flow.span(call.node),
            f"`{flow.source_of(call.node.func)}` makes the loss a leaf; no gradient gets past it",
            because=tuple(because),
            help="use the loss itself",
            fix=fix,
            why_not=why_not,
        )

    def _unwrap(self, flow: ModuleFlow, call: Call, node: ast.Call) -> Fix:
        data, value = data_of(node), call.data
        known = ("data", "requires_grad", "dtype", "device")
        if data is None or value is None or any(k.arg not in known for k in node.keywords):
            raise NotFixable("the arguments of the call are not understood")
        if value.kind in (Kind.NUMBER, Kind.FOREIGN):
            raise NotFixable("only a number is left; compute the loss with tensors up to here")
        if value.needs_grad is Certainty.NO or _is_data(value):
            raise NotFixable("the loss has no history any more; find where it is lost")
        if value.kind is not Kind.TENSOR and call.name == "torch.tensor":
            raise NotFixable("it is not known whether this is a tensor with a history")
        sure = value.needs_grad is Certainty.YES
        doubt = "" if sure else "whether the loss has a history is not known"
        options = [flow.source_of(k) for k in node.keywords if k.arg in ("dtype", "device")]
        text = flow.source_of(data)
        statement = flow.parents.get(node)
        if options:
            text = f"{bracketed(text, data)}.to({', '.join(options)})"
        elif isinstance(statement, ast.Assign) and _rebinds(statement, data):
            return self.fix("use the loss itself", _removed(flow, statement), doubt=doubt)
        edit = Edit(EditKind.REPLACE, flow.span(node), text)
        return self.fix("use the loss itself", edit, doubt=doubt)

    # -- loss.requires_grad = True ------------------------------------------------------------

    def _flagged(self, flow: ModuleFlow, node: ast.Assign) -> Iterator[Finding]:
        target = node.targets[0]
        assert isinstance(target, ast.Attribute)
        value = flow.value(target.value)
        if _is_guarded(flow, node):
            return
        if value.is_tracked and not value.retains_grad:
            yield self.finding(
                flow.span(node),
                f"`{flow.source_of(target.value)}` has a history; setting its flag raises",
                because=_origin(flow, value),
                help="remove the assignment",
                fix=self.fix("remove the assignment", _removed(flow, node)),
            )
            return
        place = _backward_on(flow, target, value)
        if place is None or value.is_leaf or not _is_computed(value) or _is_copy(value):
            return
        yield self._lost(flow, node, value, place)

    def _marked(self, flow: ModuleFlow, call: Call, value: Value) -> Iterator[Finding]:
        """``loss.detach().requires_grad_()``; on a tensor with a history the call does nothing."""
        if value.needs_grad is not Certainty.NO or _is_guarded(flow, call.node):
            return
        place = differentiated_at(flow, call.result)
        if place is not None and _is_computed(value) and not _is_copy(value):
            yield self._lost(flow, call.node, value, place)

    def _lost(self, flow: ModuleFlow, node: ast.AST, value: Value, place: ast.AST) -> Finding:
        return self.finding(
            flow.span(node),
            "the loss is made a leaf; no gradient gets past it",
            because=(
                *_origin(flow, value),
                flow.note(node, "and is made a leaf here"),
                flow.note(place, "the gradient goes no further than to that leaf"),
            ),
            help="find where the loss loses its history",
            why_not="the loss has no history any more; find where it is lost",
        )


def _is_data(value: Value) -> bool:
    """Whether this is ``x.data``, of whatever has such an attribute."""
    return isinstance(value.node, ast.Attribute) and value.node.attr == "data"


def _is_no_constant(value: Value) -> bool:
    """Whether the data was computed: demos make a leaf of a literal and differentiate it."""
    if value.kind is Kind.TENSOR:
        return value.needs_grad is not Certainty.NO or _is_computed(value)
    if value.kind is Kind.NUMBER:
        return value.const is None and bool(value.inputs or value.cut)
    if value.kind is Kind.FOREIGN:
        return bool(value.inputs)
    return value.kind is Kind.UNKNOWN and bool(value.inputs or value.node)


def _is_computed(value: Value) -> bool:
    """Whether something with a history, or unknown, went into the value."""
    return any(
        at.cut or at.needs_grad is not Certainty.NO or at.name == "numpy" for at in _history(value)
    )


def _is_copy(value: Value) -> bool:
    """Whether the history ends at a copy of graph tensors, which is a finding of its own."""
    return any(
        at.cut in REWRAPS or (at.op in REWRAPS and any(map(_may_hold_history, at.inputs)))
        for at in _history(value)
    )


def _may_hold_history(value: Value) -> bool:
    held = element_of(value) if value.kind is Kind.SEQUENCE else value
    return held is not None and held.needs_grad is not Certainty.NO


def _history(value: Value) -> list[Value]:
    found: list[Value] = []
    walk = Walk([value])
    for at in walk:
        found.append(at)
        walk.further(at.inputs)
    return found


def _sets_flag(node: ast.Assign) -> bool:
    target = node.targets[0]
    return (
        len(node.targets) == 1
        and isinstance(target, ast.Attribute)
        and target.attr == "requires_grad"
        and isinstance(node.value, ast.Constant)
        and node.value.value is True
    )


def _backward_on(flow: ModuleFlow, target: ast.Attribute, value: Value) -> ast.AST | None:
    """Where ``backward`` is called on the tensor whose flag this target sets."""
    marked = Value(Kind.TENSOR, node=target, op="requires_grad_", inputs=(value,))
    return differentiated_at(flow, marked)


def _is_guarded(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether the code asks first whether the loss has a history."""
    around = flow.enclosing(node, ast.If)
    while around is not None:
        for part in walk(around.test):
            if isinstance(part, ast.Attribute) and part.attr in ("requires_grad", "grad_fn"):
                return True
        around = flow.enclosing(around, ast.If)
    return False


def _origin(flow: ModuleFlow, value: Value) -> tuple[Note, ...]:
    """Where the history comes from, or where it ends."""
    for at in _history(value):
        if at.cut and at.node is not None and hasattr(at.node, "lineno"):
            return (flow.note(at.node, f"the history ends here ({at.cut})"),)
    if value.node is not None and hasattr(value.node, "lineno") and not value.cut:
        return (flow.note(value.node, "computed here"),)
    return ()


def _rebinds(statement: ast.Assign, data: ast.expr) -> bool:
    """``loss = wrap(loss)``."""
    return len(statement.targets) == 1 and ast.unparse(statement.targets[0]) == ast.unparse(data)


def _removed(flow: ModuleFlow, statement: ast.stmt) -> Edit:
    alone = len(flow.block_of(statement)) == 1
    return Edit(EditKind.STATEMENT, flow.span(statement), "pass" if alone else "")
