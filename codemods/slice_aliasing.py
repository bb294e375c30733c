"""GF201: a view of a leaf is kept under a name and then written in place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.classes import is_initialiser
from gradfix.flow.queries import bracketed, captured, reaching, uses_of
from gradfix.flow.state import AttributeStore, Definition, GradMode, Scope, Write
from gradfix.flow.values import Certainty, Role, Value
from gradfix.model import Edit, EditKind, Finding, Fix, Safety


class SliceAliasing(Codemod):
    """A slice of a leaf is kept as if it were a copy, and then written in place.

    What it does
    ------------
    Finds ``head = v[:4]`` (also ``v.data``, ``v.detach()``, views) where ``v`` is a leaf and
    ``head`` is later written in place (``head[...] = ``, ``head += ``, ``head.fill_()``,
    ``head.data.copy_()``) and then read.

    Why is this bad?
    ----------------
    A slice shares the memory of the tensor it was taken from: the write changes the leaf, silently
    through ``.data`` and ``.detach()``, with an error otherwise.

    Example
    -------
    ```python
    import torch
    from torch.nn import Parameter

    v1 = Parameter(torch.ones(10))
    head = v1[:4]
    head.data.copy_(torch.zeros(4))
    loss = v1.sum() + head.sum()
    loss.backward()
    grad = v1.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch.nn import Parameter

    v1 = Parameter(torch.ones(10))
    head = v1[:4].clone()
    head.data.copy_(torch.zeros(4))
    loss = v1.sum() + head.sum()
    loss.backward()
    grad = v1.grad
    ```

    Fix safety
    ----------
    Safe for a slice of the leaf itself: writing to it either raises or goes behind autograd's back.
    Unsafe for ``.data`` and ``.detach()`` kept under a name, because writing through them can be
    meant. Deliberate write-through (under ``no_grad``, in initialisers, or where the slice is only
    written and never read) is left alone.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/tensor_view.html
    """

    code = "GF201"
    trigger = re.compile(r"Parameter|requires_grad|\.weight|\.bias|\.parameters\(\)")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every alias of a leaf's memory that is written in place and then read."""
        for scope in flow.scopes:
            for definition in list(scope.definitions):
                source = _aliases_leaf(flow, definition)
                if source is None:
                    continue
                writes = [
                    w
                    for w in flow.all(Write)
                    if w.scope is scope and _is_write_through(scope, definition, w)
                ]
                if not writes or _deliberate(flow, scope, definition, writes):
                    continue
                yield self._report(flow, scope, definition, source, writes)
        yield from self._shared(flow)

    def _shared(self, flow: ModuleFlow) -> Iterator[Finding]:
        """``target.data = source.data``: two Parameters in one memory from now on."""
        for store in flow.all(AttributeStore):
            value, statement = store.value, store.statement
            if store.name != "data" or value.op != "data" or not isinstance(statement, ast.Assign):
                continue
            if value.owner is None or not value.owner.parameter or not store.owner.parameter:
                continue
            if len(statement.targets) != 1 or value.owner is store.owner:
                continue
            left, right = flow.source_of(statement.targets[0]), flow.source_of(statement.value)
            edit = Edit(EditKind.STATEMENT, flow.span(statement), f"{left}.copy_({right})")
            yield self.finding(
                flow.span(statement),
                "this makes two Parameters share one memory; updating one updates the other",
                because=(flow.note(statement.value, "`.data` is no copy"),),
                help="copy the values with .copy_()",
                fix=self.fix(Safety.UNSAFE, "copy the values", edit),
            )

    def _report(
        self,
        flow: ModuleFlow,
        scope: Scope,
        definition: Definition,
        source: Value,
        writes: list[Write],
    ) -> Finding:
        assert isinstance(definition.statement, ast.Assign)
        alias = definition.statement.value
        because = [flow.note(alias, f"`{definition.name}` shares the memory of a leaf")]
        because += [flow.note(writes[0].node, "so this in-place write changes the leaf, too")]
        fix, why_not = None, None
        try:
            fix = self._clone(flow, scope, definition, alias)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(alias),
            f"`{definition.name}` is no copy: writing to it writes to the leaf",
            because=tuple(because),
            help="take a copy with .clone()",
            fix=fix,
            why_not=why_not,
        )

    def _clone(
        self, flow: ModuleFlow, scope: Scope, definition: Definition, alias: ast.expr
    ) -> Fix:
        value = definition.value
        hidden = value.op in ("data", "detach") or bool(value.cut)
        safety = Safety.UNSAFE if hidden else Safety.SAFE
        if scope.escapes is not None:
            raise NotFixable(f"`{definition.name}` can be looked up by its name")
        text = f"{bracketed(flow.source_of(alias), alias)}.clone()"
        return self.fix(safety, "take a copy", Edit(EditKind.REPLACE, flow.span(alias), text))


def _aliases_leaf(flow: ModuleFlow, definition: Definition) -> Value | None:
    """The leaf whose memory the definition's value shares, if it certainly does."""
    statement, value = definition.statement, definition.value
    if definition.how != "assign" or not isinstance(statement, ast.Assign) or not value.is_tensor:
        return None
    if statement.targets != [definition.node] or not isinstance(definition.node, ast.Name):
        return None
    value = flow.value(statement.value)
    if (
        not value.view
        or value.storage is None
        or value.op in ("join", "write")
        or value.role & Role.LEAF
    ):
        return None
    source = value
    while source.view and source.inputs:
        source = source.inputs[0]
    if source.storages != value.storages:
        return None
    return source if source.is_leaf or _is_attribute_of_argument(flow, source, value) else None


def _is_attribute_of_argument(flow: ModuleFlow, source: Value, alias: Value) -> bool:
    """``layer.weight.detach()``: the memory belongs to an object that outlives the function."""
    return (
        alias.op in ("data", "detach")
        and isinstance(source.node, ast.Attribute)
        and source.needs_grad is Certainty.MAYBE
        and source.node.attr != "grad"
    )


def _is_write_through(scope: Scope, definition: Definition, write: Write) -> bool:
    base: ast.AST = write.base
    while isinstance(base, (ast.Attribute, ast.Subscript)):
        base = base.value
    return (
        isinstance(base, ast.Name)
        and reaching(scope, base) == {definition}
        and (
            write.target.storages == definition.value.storages
            or write.target.needs_grad is Certainty.NO
        )
    )


def _deliberate(
    flow: ModuleFlow, scope: Scope, definition: Definition, writes: list[Write]
) -> bool:
    """Whether the write is meant to reach the leaf."""
    if any(write.mode is not GradMode.ON for write in writes) or is_initialiser(scope.name):
        return True
    if (
        isinstance(definition.statement, ast.Assign)
        and flow.value(definition.statement.value).op == "data"
    ):
        if any(w.value is not None and _comes_from_grad(w.value) for w in writes):
            return True  # a hand-written update
    if definition.value.op in ("data", "detach") and not _goes_on(flow, scope, definition, writes):
        return True  # the alias serves only to write through it
    return not _is_read(flow, scope, definition, writes)


def _goes_on(flow: ModuleFlow, scope: Scope, definition: Definition, writes: list[Write]) -> bool:
    """Whether what was written is also the result: it is computed with or returned afterwards."""
    first = min(flow.span(write.node) for write in writes)
    written = {base for write in writes for base in ast.walk(write.statement)}
    for node in uses_of(scope, definition):
        around = flow.enclosing(node, ast.Return)
        handed_out = around is not None or not scope.is_function
        if node not in written and handed_out and flow.span(node) > first:
            return True
    return False


def _comes_from_grad(value: Value) -> bool:
    stack, seen = [value], set()
    while stack:
        at = stack.pop()
        if at.op == "grad":
            return True
        if id(at) not in seen:
            seen.add(id(at))
            stack += at.inputs
    return False


def _is_read(flow: ModuleFlow, scope: Scope, definition: Definition, writes: list[Write]) -> bool:
    """Whether the alias is used for its value after the first write, not only written to."""
    written = {base for write in writes for base in ast.walk(write.statement)}
    first = min(flow.span(write.node) for write in writes)
    for node in uses_of(scope, definition):
        if node not in written and flow.span(node) > first:
            return True
    if not scope.is_function and definition.value.is_tracked:
        return True  # a module-level name is there for others to read
    return captured(flow, scope, definition.name) is not None
