"""GF104: a hand-written update rebinds the leaf to a non-leaf."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.aliases import holds
from gradfix.flow.dropped_updates import Dropped, dropped_updates
from gradfix.flow.expected import OF_NON_LEAVES, is_meant_to_raise
from gradfix.flow.names import bound_to, captured, reaching
from gradfix.flow.nodes import walk
from gradfix.flow.queries import leaf_uses
from gradfix.flow.renewed import renewed_attributes, renewed_elements, untracked_updates
from gradfix.flow.said_plain import asks_for_leaf
from gradfix.flow.state import AttributeStore, Backward, Call, GradRead, OptimizerMade, Scope
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.updates import reads_gradient
from gradfix.flow.values import SOMEWHERE, Certainty, Kind, Role
from gradfix.flow.versions import Definition
from gradfix.model import Edit, EditKind, Finding, Fix, Values
from gradfix.recipes.no_grad import no_grad_in, under_no_grad


class ManualUpdate(Codemod):
    """A gradient step rebinds the parameter's name instead of updating the parameter.

    What it does
    ------------
    Finds ``w = w - lr * w.grad`` where ``w`` goes on being used as the leaf, and
    the same for every element of a list or dict (``ws = [w - lr * w.grad for w in ws]``) and for
    an attribute of an object that is trained in several turns. Also finds
    ``for p in model.parameters(): p = p - lr * p.grad``, which updates nothing.

    Why is this bad?
    ----------------
    The difference is a new tensor with a history, no leaf. After the next ``backward()`` its
    ``.grad`` is None: the second step fails, and an optimizer or module keeps the old tensor.

    Example
    -------
    ```python
    import torch

    w = torch.ones(2, requires_grad=True)
    for _ in range(3):
        loss = (w * w).sum()
        loss.backward()
        w = w - 0.1 * w.grad
    ```

    Use instead
    -----------
    ```python
    import torch

    w = torch.ones(2, requires_grad=True)
    for _ in range(3):
        loss = (w * w).sum()
        loss.backward()
        with torch.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
    ```

    Fix safety
    ----------
    Safe in a loop that differentiates again: the code raises on its second pass. Unsafe where the
    old tensor is kept somewhere, because an update in place changes that one, too, where the code
    asks whether the new one is a leaf, and where the update went to a loop variable, because now
    there is training. Manual for the elements of a list or dict, and for ``w = w.clamp(...)``
    before the loss of the same pass. Updates that are differentiated themselves (MAML) use
    ``torch.autograd.grad`` and are left alone.

    References
    ----------
    - https://docs.pytorch.org/tutorials/beginner/pytorch_with_examples.html
    """

    code = "GF104"
    trigger = Words("optim", pattern=re.compile(r"\.grad\b"))

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every update that rebinds the leaf it updates."""
        meant = {use.base: use for _, use in leaf_uses(flow)}
        done: set[Definition] = set()
        for scope in flow.scopes:
            for definition in list(scope.definitions):
                if _is_projection(flow, scope, definition):
                    yield self._projected(flow, scope, definition)
                if not _is_update(flow, scope, definition):
                    continue
                later = [
                    node
                    for node, definitions in scope.uses.items()
                    if definition in definitions
                    and node in meant
                    and not flow.value(node).is_leaf  # made a leaf again meanwhile
                ]
                if later and not is_meant_to_raise(flow, definition.node, OF_NON_LEAVES):
                    done.add(definition)
                    yield self._report(
                        flow, scope, definition, meant[min(later, key=flow.span)].node
                    )

        for dropped in dropped_updates(flow):
            if dropped.definition not in done:
                done.add(dropped.definition)
                yield self._dropped(flow, dropped)
        for scope, definition, read in untracked_updates(flow):
            if definition not in done:
                done.add(definition)
                yield self._report(flow, scope, definition, read, recorded=False)
        for scope, definition, read in renewed_attributes(flow):
            if definition not in done:
                yield self._report(flow, scope, definition, read, attribute=True)
        for renewed, name, read in renewed_elements(flow):
            yield self.finding(
                flow.span(renewed),
                f"the update fills `{name}` with non-leaves; their next .grad is None",
                because=(
                    flow.note(read, "the gradient of each leaf is read here"),
                    flow.note(renewed, "and a new tensor with a history takes the leaf's place"),
                ),
                help="update each leaf in place under torch.no_grad()",
                why_not="an update that is differentiated itself (MAML) is written the same way",
            )

    def _report(
        self,
        flow: ModuleFlow,
        scope: Scope,
        definition: Definition,
        later: ast.AST,
        *,
        attribute: bool = False,
        recorded: bool = True,
    ) -> Finding:
        statement = definition.statement
        assert isinstance(statement, ast.Assign)
        fix, why_not = None, None
        try:
            fix = self._in_place(flow, scope, definition, statement, attribute, recorded)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(statement),
            f"the update makes `{definition.name}` a non-leaf; its next .grad is None",
            because=(
                flow.note(statement, "the leaf's name is given to a new tensor here"),
                flow.note(later, "and its .grad is read as if it were the leaf"),
            ),
            help="update the leaf in place under torch.no_grad()",
            fix=fix,
            why_not=why_not,
        )

    def _dropped(self, flow: ModuleFlow, dropped: Dropped) -> Finding:
        """``for p in model.parameters(): p = p - lr * p.grad``: no Parameter changes."""
        name, value = dropped.definition.name, dropped.statement.value
        fix, why_not = None, None
        try:
            if not isinstance(value, ast.BinOp) or flow.source_of(value.left) != name:
                raise NotFixable("the update is no plain sum or difference")
            if not dropped.over_parameters:
                raise NotFixable("whether the loop runs through leaves is not known")
            if "\n" in flow.source_of(value):
                raise NotFixable("the update spans several lines")
            sign = "-=" if isinstance(value.op, ast.Sub) else "+="
            body = f"{name} {sign} {flow.source_of(value.right)}"
            edit = under_no_grad(flow, dropped.scope, dropped.statement, body)
            doubt = "the Parameters do not change today, and do then"
            fix = self.fix(
                "update in place under no_grad", edit, doubt=doubt, values=Values.CHANGED
            )
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(dropped.statement),
            f"the update only rebinds the loop's `{name}`: nothing is updated",
            because=(flow.note(dropped.loop.target, "the loop binds the name anew in each turn"),),
            help="update the Parameter in place under torch.no_grad()",
            fix=fix,
            why_not=why_not,
        )

    def _projected(self, flow: ModuleFlow, scope: Scope, definition: Definition) -> Finding:
        """``w = w.clamp(...)`` after the optimizer's step: the optimizer keeps the old tensor."""
        statement = definition.statement
        assert isinstance(statement, ast.Assign)
        call = statement.value
        assert isinstance(call, ast.Call)
        _, name, given = _projection(flow, call)
        arguments = ", ".join(flow.source_of(a) for a in [*given, *call.keywords])
        body = f"{definition.name}.{name}_({arguments})"
        fix, why_not = None, None
        try:
            if _is_before_backward(flow, definition):
                raise NotFixable("it may be meant for the loss of this pass, and not for the leaf")
            edit = under_no_grad(flow, scope, statement, body)
            fix = self.fix("change the leaf in place under no_grad", edit)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(statement),
            f"`{definition.name}` is a new tensor from here on; the optimizer keeps the old one",
            because=(
                flow.note(statement, "the leaf's name is given to a new tensor in every pass"),
            ),
            help="change the leaf in place under torch.no_grad()",
            fix=fix,
            why_not=why_not,
        )

    def _in_place(
        self,
        flow: ModuleFlow,
        scope: Scope,
        definition: Definition,
        statement: ast.Assign,
        attribute: bool,
        recorded: bool,
    ) -> Fix:
        name = definition.name
        if "." not in name and (captured(flow, scope, name) or name in flow.shared_names):
            raise NotFixable(f"`{name}` is shared with another function")
        right = statement.value
        if statement.targets != [definition.node]:
            raise NotFixable("the statement binds several names")
        if not isinstance(right, ast.BinOp) or not isinstance(right.op, (ast.Sub, ast.Add)):
            raise NotFixable("the update is no plain sum or difference")
        if flow.source_of(right.left) != name:
            raise NotFixable("the update does not start from the parameter itself")
        if "\n" in flow.source_of(statement):
            raise NotFixable("the update spans several lines")
        shapes = flow.value(right.left).shape, flow.value(right).shape
        if None not in shapes and shapes[0] != shapes[1]:
            raise NotFixable("the update changes the shape")
        if _is_differentiated_later(flow, scope, definition):
            raise NotFixable("a value computed before the update is differentiated after it")
        sign = "-=" if isinstance(right.op, ast.Sub) else "+="
        text = flow.source_of(right.right)
        content = f"{name} {sign} {text}"
        if recorded:  # else grad mode is off already
            content = f"with {no_grad_in(flow, scope)}():\n    {content}"
        if not _is_zeroed(flow, scope, definition):
            content += f"\n{name}.grad = None"
        doubt = ""
        if attribute or _kept_elsewhere(flow, scope, name):
            doubt = "what else holds the leaf would change with it"
        elif asks_for_leaf(flow, flow.value(right)) is not None:
            doubt = "the code asks whether it is a leaf"
        elif not definition.loops:
            doubt = "the update is in no loop, so the leaf may be meant to be left behind"
        return self.fix(
            "update in place under no_grad",
            Edit(EditKind.STATEMENT, flow.span(statement), content),
            doubt=doubt,
        )


def _is_update(flow: ModuleFlow, scope: Scope, definition: Definition) -> bool:
    """``w = <something with w and w.grad>`` that gives a tracked tensor."""
    bound = bound_to(definition)
    if bound is None:
        return False
    value = flow.value(bound)
    if not value.is_tensor or value.needs_grad is not Certainty.YES or value.role & Role.LEAF:
        return False
    read = reads_gradient(flow, value, definition.name)
    return read is not None and any(
        not (d.value.is_tensor and d.value.role == Role.TRACKED) for d in reaching(scope, read.base)
    )


def _is_differentiated_later(flow: ModuleFlow, scope: Scope, definition: Definition) -> bool:
    """Whether a graph that may hold the old value is used after the update, in the same turn."""
    assert definition.statement is not None
    at = flow.span(definition.statement)
    inside = set(walk(definition.loops[-1])) if definition.loops else None
    return any(
        event.scope is scope
        and flow.span(event.node) > at
        and (inside is None or event.node in inside)
        and (event.loss.node is None or flow.span(event.loss.node) < at)
        for event in flow.all(Backward)
    )


def _is_projection(flow: ModuleFlow, scope: Scope, definition: Definition) -> bool:
    """``w = w.clamp(...)`` in a loop that steps an optimizer built over the leaf before it."""
    statement = definition.statement
    if definition.how != "assign" or not isinstance(statement, ast.Assign) or not definition.loops:
        return False
    call = statement.value
    if statement.targets != [definition.node] or not isinstance(call, ast.Call):
        return False
    read, name, _ = _projection(flow, call)
    if not isinstance(read, ast.Name) or read.id != definition.name:
        return False
    if op_facts(f"{name}_", "method") is None:
        return False
    value = flow.value(call)
    leaves = {d for d in reaching(scope, read) if d.value.is_leaf}
    if value.needs_grad is not Certainty.YES or not leaves:
        return False
    if not any(leaves & reaching(scope, node) for made in flow.all(OptimizerMade)
               for node, _ in made.parameters):  # fmt: skip
        return False
    loop = definition.loops[-1]
    inside = set(walk(loop))
    return any(
        event.name == ".step" and event.node in inside and event.receiver is not None
        and event.receiver.kind is Kind.OPTIMIZER
        for event in flow.all(Call)
    )  # fmt: skip


def _is_before_backward(flow: ModuleFlow, definition: Definition) -> bool:
    """Whether a backward comes behind the rebinding, in the same pass: ``z = z.tanh()``."""
    at, inside = flow.span(definition.node), set(walk(definition.loops[-1]))
    return any(event.node in inside and flow.span(event.node) > at for event in flow.all(Backward))


def _projection(flow: ModuleFlow, call: ast.Call) -> tuple[ast.expr | None, str, list[ast.expr]]:
    """The tensor, the method and its arguments, of ``w.clamp(...)`` and ``torch.clamp(w, ...)``."""
    function = flow.value(call.func)
    if function.kind is Kind.REFERENCE and function.name.count(".") == 1 and call.args:
        return call.args[0], function.name.removeprefix("torch."), call.args[1:]
    if isinstance(call.func, ast.Attribute):
        return call.func.value, call.func.attr, call.args
    return None, "", []


def _is_zeroed(flow: ModuleFlow, scope: Scope, definition: Definition) -> bool:
    """Whether the code clears the leaf's gradient itself, before the next backward."""
    inside = set(walk(definition.loops[-1])) if definition.loops else None
    clears = [
        read.node
        for read in flow.all(GradRead)
        if read.scope is scope
        and flow.source_of(read.base) == definition.name
        and (read.store or _is_cleared(flow, read.node))
    ]
    backwards = [event.node for event in flow.all(Backward) if event.scope is scope]
    assert definition.statement is not None
    at = flow.span(definition.statement)
    # What comes after the update comes first; after the end of the loop comes its beginning.
    order = sorted(
        (flow.span(node) < at, flow.span(node), node in clears)
        for node in [*clears, *backwards]
        if inside is None or node in inside
    )
    return order[0][2] if order else bool(clears)


def _is_cleared(flow: ModuleFlow, node: ast.AST) -> bool:
    around = flow.parents.get(node)
    while isinstance(around, ast.Attribute):
        if around.attr in ("zero_", "detach_"):
            return True
        around = flow.parents.get(around)
    return False


def _kept_elsewhere(flow: ModuleFlow, scope: Scope, name: str) -> bool:
    """Whether something besides the name holds the tensor's memory and would change with it."""
    values = [flow.value(node) for node in scope.uses if flow.source_of(node) == name]
    storages = frozenset().union(*(v.storages for v in values if v.is_tensor)) - {SOMEWHERE}
    others = [d.value for d in scope.definitions if d.name != name]
    others += [store.value for store in flow.all(AttributeStore) if f"self.{store.name}" != name]
    others += [value for value in flow.made if value.kind in (Kind.SEQUENCE, Kind.DICT)]
    return any(holds(value, storages) for value in others)
