"""GF201: a view of a leaf is kept under a name and then written in place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.leaf_aliases import is_hidden, may_be_meant, mistaken_copies
from gradfix.flow.source_text import bracketed
from gradfix.flow.state import AttributeStore, Scope, Write
from gradfix.flow.values import Value
from gradfix.flow.versions import Definition
from gradfix.model import Edit, EditKind, Finding, Fix, Values


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
    Unsafe for writes through ``.data`` to the weights of a layer, to a leaf that is only used slice
    by slice, or whose slice does not go on to the loss with it, and for ``.data`` and ``.detach()``
    kept under a name, because writing through them can be meant. Deliberate write-through (under
    ``no_grad``, in initialisers, or where the slice is only written and never read) is left alone.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/tensor_view.html
    """

    code = "GF201"
    trigger = Words(
        "Parameter",
        "requires_grad",
        ".weight",
        ".bias",
        ".parameters()",
        pattern=re.compile(r"=\s*self\.\w+[\[.]"),
    )

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every alias of a leaf's memory that is written in place and then read."""
        for scope, definition, source, writes in mistaken_copies(flow):
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
            if value.owner.leaves & store.owner.leaves:
                continue  # it may be the same one, which gets back what it had
            if isinstance(store.owner.node, ast.arg):
                continue  # a layer of the caller's takes over other weights, say of another size
            left, right = flow.source_of(statement.targets[0]), flow.source_of(statement.value)
            edit = Edit(EditKind.STATEMENT, flow.span(statement), f"{left}.copy_({right})")
            yield self.finding(
                flow.span(statement),
                "this makes two Parameters share one memory; updating one updates the other",
                because=(flow.note(statement.value, "`.data` is no copy"),),
                help="copy the values with .copy_()",
                fix=self.fix("copy the values", edit, doubt="the memory may be shared on purpose"),
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
            meant = may_be_meant(flow, definition, source, writes)
            fix = self._clone(flow, scope, definition, alias, meant)
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
        self, flow: ModuleFlow, scope: Scope, definition: Definition, alias: ast.expr, meant: bool
    ) -> Fix:
        hidden = is_hidden(flow, definition) or meant
        doubt = "the write may be meant to reach the leaf, as it does today" if hidden else ""
        if scope.escapes is not None:
            raise NotFixable(f"`{definition.name}` can be looked up by its name")
        text = f"{bracketed(flow.source_of(alias), alias)}.clone()"
        edit = Edit(EditKind.REPLACE, flow.span(alias), text)
        values = Values.CHANGED if hidden else Values.SAME  # hidden writes reach the leaf today
        return self.fix("take a copy", edit, doubt=doubt, values=values)
