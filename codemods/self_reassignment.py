"""GF101: a leaf's name is rebound to a value computed from the leaf."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.classes import constructed, is_module
from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.exported import taken_by
from gradfix.flow.names import (
    captured,
    fresh_name,
    occurrences,
    reaching,
    reads_behind,
    shown_with_its_value,
    uses_of,
    uses_of_name,
)
from gradfix.flow.queries import CASTS, VIEWS, leaf_uses
from gradfix.flow.reached import is_read_behind, run_by_forward
from gradfix.flow.replaced_leaves import Replaced, is_another_case, replaced_leaves
from gradfix.flow.said_plain import is_used_by_another_name
from gradfix.flow.state import AttributeStore, Scope
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.updates import reads_gradient
from gradfix.flow.values import Certainty, Elsewhere, Role, Value
from gradfix.flow.versions import Definition
from gradfix.model import Edit, EditKind, Finding, Fix
from gradfix.recipes.no_grad import under_no_grad


class SelfReassignment(Codemod):
    """The name of a leaf is given to a value computed from it.

    What it does
    ------------
    Finds ``w = f(w)`` where ``w`` was a leaf, and the name is later used as if it still were: its
    ``.grad`` is read, or it is handed to an optimizer. Finds ``self.w = self.w.clamp(...)`` behind
    the step of an optimizer that was given ``self.w``, too.

    Why is this bad?
    ----------------
    The new value is not a leaf. ``backward()`` puts the gradient into the leaf, which no name holds
    any more; ``w.grad`` of the new value is None.

    Example
    -------
    ```python
    import torch
    from torch.nn import Parameter

    etal = Parameter(torch.ones(3))
    etal = etal * 2
    etal.sum().backward()
    grad = etal.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch.nn import Parameter

    etal = Parameter(torch.ones(3))
    etal_scaled = etal * 2
    etal_scaled.sum().backward()
    grad = etal.grad
    ```

    Fix safety
    ----------
    Safe: only names change. Unsafe where another name is used as the leaf, for an attribute that an
    optimizer holds, or that a method other than ``forward`` binds: the leaf is changed in place,
    and trained from then on. Not fixed where other methods may read the attribute, where the name
    is visible to other functions or taken by other files (``__all__``), where it can be looked up
    (``locals()``), or where branches merge leaf and value in a way that one copy cannot express.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.Tensor.is_leaf.html
    - https://docs.pytorch.org/docs/stable/notes/autograd.html
    """

    code = "GF101"
    trigger = Words(
        "Parameter",
        "requires_grad",
        pattern=re.compile(r"self\.(\w+)\s*=(?!=)[^\n]*\bself\.\1\b"),
    )

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every rebinding of a leaf whose name is later used as the leaf."""
        yield from self._attributes(flow)
        for replaced in replaced_leaves(flow):
            yield self._replaced(flow, replaced)
        meant = {use.base: use for _, use in leaf_uses(flow)}
        done: set[Definition] = set()
        for scope in flow.scopes:
            for definition in list(scope.definitions):
                if definition not in done and _is_rebinding(flow, scope, definition):
                    web = _Web(flow, scope, definition, set(meant))
                    done |= web.derived
                    if web.meant:
                        use = meant[min(web.meant, key=flow.span)]
                        yield self._report(flow, web, use.node, use.why)

    def _attributes(self, flow: ModuleFlow) -> Iterator[Finding]:
        """``self.w = self.w.clamp()`` in a Module: the attribute takes only Parameters."""
        for store in flow.all(AttributeStore):
            if store.value.parameter or not store.value.is_tracked:
                continue
            facts = flow.class_facts(store.scope.class_node)
            if facts is None or store.scope.name == "__init__" or not is_module(flow, store.owner):
                continue
            bound = constructed(flow, store.owner, store.name)
            if not bound or not all(made.is_leaf and made.parameter for made in bound):
                continue
            if is_meant_to_raise(flow, store.node):
                continue
            if not is_another_case(flow, store, bound):
                yield self._attribute(flow, store, bound[0])

    def _replaced(self, flow: ModuleFlow, found: Replaced) -> Finding:
        name = flow.source_of(found.store.node)
        fix, why_not = None, None
        try:
            line = _in_place(flow, found.value, name)
            edit = under_no_grad(flow, found.store.scope, found.store.statement, line)
            doubt = "the optimizer trains the old leaf today, and this one then"
            fix = self.fix("change the leaf itself", edit, doubt=doubt)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(found.store.statement),
            f"`{name}` is bound to another tensor; the optimizer goes on with the old leaf",
            because=(
                flow.note(found.leaf, "the leaf is made here"),
                flow.note(found.optimizer, "the optimizer is given it here"),
                flow.note(found.step, "from the next step on it updates what nobody uses"),
            ),
            help="change the leaf in place under torch.no_grad()",
            fix=fix,
            why_not=why_not,
        )

    def _attribute(self, flow: ModuleFlow, store: AttributeStore, leaf: Value) -> Finding:
        fix, why_not = None, None
        try:
            fix = self._local(flow, store)
        except NotFixable as reason:
            why_not = str(reason)
        because = [flow.note(store.node, "a plain tensor is assigned here; this raises TypeError")]
        if isinstance(leaf.node, (ast.expr, Elsewhere)):
            because.insert(0, flow.note(leaf.node, "the attribute is registered as a Parameter"))
        return self.finding(
            flow.span(store.statement),
            f"`{flow.source_of(store.node)}` is a Parameter; no other tensor can take its place",
            because=tuple(because),
            help="give the computed value a name of its own",
            fix=fix,
            why_not=why_not,
        )

    def _local(self, flow: ModuleFlow, store: AttributeStore) -> Fix:
        scope, statement = store.scope, store.statement
        if not isinstance(statement, ast.Assign) or statement.targets != [store.node]:
            raise NotFixable("the assignment has several targets")
        (definition,) = [d for d in scope.definitions if d.node is store.node]
        uses = uses_of(scope, definition)
        if is_read_behind(flow, store):
            raise NotFixable(f"other code may read `{flow.source_of(store.node)}` behind it")
        forward = run_by_forward(flow, scope.class_node)
        if not uses or (forward and scope.name not in forward):  # it was to be changed for good
            name = flow.source_of(store.node)
            edit = under_no_grad(flow, scope, statement, _in_place(flow, statement.value, name))
            doubt = "whether the leaf is to change for good is not known"
            return self.fix("change the leaf itself", edit, doubt=doubt)
        if any(reaching(scope, use) != {definition} for use in uses) or definition.loops:
            raise NotFixable("the Parameter and the value meet after a branch or in a loop")
        new = fresh_name(flow, f"{store.name}_{_SUFFIX.get(store.value.op, store.value.op)}")
        edits = [Edit(EditKind.REPLACE, flow.span(node), new) for node in (store.node, *uses)]
        return self.fix(f"name the value {new}", *edits)

    def _report(self, flow: ModuleFlow, web: _Web, used: ast.AST, why: str) -> Finding:
        name = web.name
        assert web.first.statement is not None
        leaf = min((d.node for d in web.leaves), key=flow.span)
        because = (
            flow.note(leaf, f"{name} is a leaf here"),
            flow.note(web.first.statement, f"{name} is rebound here to a value computed from it"),
            flow.note(used, f"{why}, but only the leaf has a gradient"),
        )
        other = is_used_by_another_name(flow, name, [leaf.value for leaf in web.leaves])
        doubt = "the value is also used by another name" if other else ""
        fix = web.refusal() or self.fix(f"name the value {web.new_name}", *web.edits(), doubt=doubt)
        return self.finding(
            flow.span(web.first.statement),
            f"`{name}` is a leaf, and this gives its name to a value computed from it",
            because=because,
            help=f"give the computed value a name of its own; `{name}` stays the leaf",
            fix=fix if isinstance(fix, Fix) else None,
            why_not=None if isinstance(fix, Fix) else fix,
        )


def _in_place(flow: ModuleFlow, call: ast.expr, name: str) -> str:
    """``self.w.clamp_(...)`` for ``self.w.clamp(...)``. Raises NotFixable for any other form."""
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        method = f"{call.func.attr}_"
        plain = flow.source_of(call.func.value) == name and "\n" not in flow.source_of(call)
        if plain and op_facts(method, "method"):
            given = ", ".join(flow.source_of(a) for a in (*call.args, *call.keywords))
            return f"{name}.{method}({given})"
    raise NotFixable("how the leaf is to be changed in place is not plain to see")


def _is_rebinding(flow: ModuleFlow, scope: Scope, definition: Definition) -> bool:
    """``w = f(w)`` with a tracked result, where the ``w`` that is read may be the leaf."""
    statement = definition.statement
    value = definition.value
    if definition.how != "assign" or not isinstance(statement, ast.Assign):
        return False
    if value.needs_grad is not Certainty.YES or not value.role & Role.TRACKED:
        return False
    if statement.targets != [definition.node] or not isinstance(definition.node, ast.Name):
        return False
    reads = reads_behind(scope, statement.value, definition.name)
    # The caller of a function holds what it passes, which is bound first: it is not wrapped last.
    first = scope.by_name[definition.name][0]
    passed = first.how == "argument" and any(first in reaching(scope, read) for read in reads)
    if value.role & Role.LEAF and not (passed and value.op in CASTS):
        return False
    if value.op in VIEWS | CASTS and isinstance(statement.value, ast.Call) and not passed:
        return False  # transform-after-wrap
    by_hand = reads_gradient(flow, value, definition.name) is not None  # manual-update
    return not by_hand and any(_may_be_leaf(flow, scope, read) for read in reads)


def _may_be_leaf(flow: ModuleFlow, scope: Scope, read: ast.Name) -> bool:
    value = flow.value(read)
    return (
        value.is_tensor
        and value.needs_grad is Certainty.YES
        and bool(value.role & Role.LEAF)
        and any(_binds_leaf(d) for d in reaching(scope, read))
    )


def _binds_leaf(definition: Definition) -> bool:
    """Whether this definition binds what becomes the leaf (``requires_grad_()`` may follow it)."""
    value = definition.value
    return not (value.is_tensor and value.role == Role.TRACKED)


class _Web:
    """All definitions and uses of one name that belong to the computed value, not to the leaf."""

    def __init__(
        self, flow: ModuleFlow, scope: Scope, first: Definition, meant: set[ast.AST]
    ) -> None:
        self.flow, self.scope, self.first, self.name = flow, scope, first, first.name
        self.derived: set[Definition] = {first}
        self.leaves: set[Definition] = set()
        self.uses: set[ast.AST] = set()
        self.meant: set[ast.AST] = set()
        self.merges = False
        self._close(meant)

    def _close(self, meant: set[ast.AST]) -> None:
        """Grow the web until every use belongs to it or to the leaf."""
        assert isinstance(self.first.statement, ast.Assign)
        for read in reads_behind(self.scope, self.first.statement.value, self.name):
            self.leaves |= {d for d in reaching(self.scope, read) if _binds_leaf(d)}
        grown = True
        seen: set[ast.AST] = set()
        while grown:
            grown = False
            for node, definitions in uses_of_name(self.flow, self.scope, self.name):
                if not definitions & self.derived or node in seen:
                    continue
                seen.add(node)
                grown = True
                if node in meant:
                    if not self.flow.value(node).is_leaf:  # made a leaf again meanwhile
                        self.meant.add(node)
                    continue
                self.uses.add(node)
                self.derived |= self._bound_from(node)
                for other in definitions - self.derived:
                    if _binds_leaf(other):
                        self.leaves.add(other)
                        self.merges = True
                    else:
                        self.derived.add(other)

    def _bound_from(self, use: ast.AST) -> set[Definition]:
        """``w = w + 1`` with a ``w`` of the web binds another value of the web."""
        around: ast.AST | None = use
        while around is not None and not isinstance(around, ast.stmt):
            around = self.flow.parents.get(around)
        bound = self._by_statement.get(around, ()) if around is not None else ()
        return {definition for definition in bound if not _binds_leaf(definition)}

    @cached_property
    def _by_statement(self) -> dict[ast.AST, list[Definition]]:
        """The definitions of the name, by the statement that binds it."""
        found: dict[ast.AST, list[Definition]] = {}
        for definition in self.scope.by_name.get(self.name, ()):
            if definition.statement is not None:
                found.setdefault(definition.statement, []).append(definition)
        return found

    @property
    def new_name(self) -> str:
        """A readable unused name for the computed value."""
        return fresh_name(
            self.flow, f"{self.name}_{_SUFFIX.get(self.first.value.op, self.first.value.op)}"
        )

    def refusal(self) -> str | None:
        """Why the web cannot be renamed, or None."""
        flow, scope, name = self.flow, self.scope, self.name
        if scope.escapes is not None:
            return f"line {flow.span(scope.escapes).row} can look up `{name}` by its name"
        if name in flow.shared_names:
            return f"`{name}` is declared global or nonlocal somewhere in the file"
        if isinstance(scope.node, ast.Module) and (other := taken_by(flow, name)):
            return f"{other} takes `{name}` from here, as what it is bound to last"
        nested = captured(flow, scope, name)
        if nested is not None:
            return f"`{name}` is also used by the nested code on line {flow.span(nested).row}"
        if len(self.leaves) != 1:
            return f"more than one leaf is called `{name}` here"
        known = {*scope.uses, *(d.node for d in scope.definitions)}
        for node in occurrences(scope, name):
            if node not in known:
                return f"the use of `{name}` on line {flow.span(node).row} could not be followed"
        for definition in self.derived:
            if not isinstance(definition.statement, ast.Assign) or definition.how != "assign":
                return f"`{name}` is also bound on line {flow.span(definition.node).row}"
        if any(isinstance(node, ast.Name) and isinstance(node.ctx, ast.Del) for node in self.uses):
            return f"`{name}` is deleted"
        for use in self.uses:
            if isinstance(use, ast.Name) and shown_with_its_value(flow, use):
                return f"the f-string on line {flow.span(use).row} shows the name `{name}`"
        if self.merges and self._merge_point() is None:
            return f"the leaf and the value meet under the name `{name}` after a branch"
        return None

    def _merge_point(self) -> ast.stmt | None:
        """The outermost branch or loop around the rebinding that the leaf is defined before."""
        (leaf,) = self.leaves
        inside = set(self._around(leaf.statement or leaf.node))
        outermost: ast.stmt | None = None
        for parent in self._around(self.first.node):
            if isinstance(parent, _COMPOUND) and parent not in inside:
                outermost = parent
        return outermost

    def _around(self, node: ast.AST) -> Iterator[ast.AST]:
        at: ast.AST | None = self.flow.parents.get(node)
        while at is not None and at is not self.scope.node:
            yield at
            at = self.flow.parents.get(at)

    def edits(self) -> list[Edit]:
        """Rename the web; where it merges with the leaf, start it as a copy of the name before."""
        flow, new = self.flow, self.new_name
        nodes = {definition.node for definition in self.derived} | self.uses
        edits = [
            Edit(EditKind.REPLACE, flow.span(node), new) for node in sorted(nodes, key=flow.span)
        ]
        if self.merges:
            point = self._merge_point()
            assert point is not None
            edits.append(Edit(EditKind.BEFORE, flow.span(point), f"{new} = {self.name}"))
        return edits


_COMPOUND = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)
_SUFFIX = {
    "mul": "scaled",
    "div": "scaled",
    "add": "shifted",
    "sub": "shifted",
    "pow": "power",
    "matmul": "product",
    "softmax": "probs",
    "clamp": "clamped",
    "normalize": "normalised",
    "write": "value",
    "join": "value",
    "layer": "value",
}
