"""GF102: a leaf is wrapped first and transformed afterwards, so what is kept is not the leaf."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow, classes
from gradfix.flow.beside import operands_beside
from gradfix.flow.constructors import data_of
from gradfix.flow.names import captured, is_made_for, reaching, read_alone, uses_of
from gradfix.flow.nodes import walk
from gradfix.flow.queries import CASTS, VIEWS, LeafUse, is_written_while_recorded, leaf_use_of
from gradfix.flow.returned_leaves import is_kept, kept_by_callers
from gradfix.flow.source_text import bracketed, replaced
from gradfix.flow.state import AttributeStore, Call, Scope
from gradfix.flow.told_apart import asks_size
from gradfix.flow.values import Certainty, Kind, Role, Value
from gradfix.flow.versions import Definition
from gradfix.flow.walk import Walk
from gradfix.model import Edit, EditKind, Finding, Fix
from gradfix.recipes.new_parameter import doubt_of


class TransformAfterWrap(Codemod):
    """A Parameter is reshaped, cast, moved or scaled after it was wrapped.

    What it does
    ------------
    Finds ``Parameter(x).view(...)``, ``Parameter(x).cuda()``, ``Parameter(x) * 0.1``, the same on
    ``requires_grad=True`` factories, and ``t = Parameter(x)`` followed by ``t = t.view(...)``,
    where the result is what is kept and treated as the leaf.

    Why is this bad?
    ----------------
    The result is a non-leaf: a Module does not register it, an optimizer refuses it (or never
    updates it), its ``.grad`` stays None. On a CPU ``.to(device)`` may return the Parameter itself,
    and the fault only shows on the GPU machine.

    Example
    -------
    ```python
    import torch
    from torch.nn import Parameter

    t = Parameter(torch.ones(12, 1))
    T = t.view(3, 4)
    T.sum().backward()
    grad = T.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch.nn import Parameter

    t = torch.ones(12, 1)
    T = Parameter(t.view(3, 4))
    T.sum().backward()
    grad = T.grad
    ```

    Fix safety
    ----------
    Safe: the values are the same, and the tensor that is kept becomes the leaf. Unsafe in a
    function whose calls in the file all give a Module what it keeps, where others may change the
    attribute as no Parameter can be, where what is loaded was saved without it, where the class
    fills or freezes all of its Parameters, where somebody numbers or unpacks them, where what a
    constructor is given may be a tensor, and where the code itself asks whether it is a leaf. Not
    fixed where others certainly do, where the leaf is used, or where what it is transformed with
    may need a gradient. Parameters that a function only computes with are left alone.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html
    - https://docs.pytorch.org/docs/stable/generated/torch.Tensor.is_leaf.html
    """

    code = "GF102"
    trigger = Words("Parameter", "requires_grad")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every wrapped tensor whose transformation is kept in its place."""
        for call in flow.all(Call):
            plain = getattr(call.statement, "value", None) is call.node  # bound as it is
            if plain or not isinstance(call.node, ast.Call) or not call.result.is_leaf:
                continue
            top = _outermost(flow, call.node)
            if top is not call.node:
                yield from self._chained(flow, call, top)
        marks = _marks(flow)
        for scope in flow.scopes:
            leaves = [d for d in scope.definitions if d.value.is_leaf or d in marks]
            transforms = _transforms(flow, scope) if leaves else {}
            for leaf in leaves:
                for transform in transforms.get(leaf, ()):
                    yield from self._named(flow, scope, leaf, transform, marks.get(leaf))

    # -- Parameter(x).view(...) ---------------------------------------------------------------

    def _chained(self, flow: ModuleFlow, call: Call, top: ast.expr) -> Iterator[Finding]:
        value = flow.value(top)
        use = leaf_use_of(flow, value)
        parameter = call.result.parameter
        if value.needs_grad is Certainty.NO or value.is_leaf or (use is None and not parameter):
            return
        keepers: list[ast.AST] = []
        if parameter and use is None and not is_kept(flow, call.scope, top):
            keepers = kept_by_callers(flow, call.scope, top)
            if not keepers:
                return
        assert isinstance(call.node, ast.Call)
        because = [flow.note(call.node, "the leaf is made here, and nothing else holds it")]
        if use is not None:
            because.append(flow.note(use.node, f"{use.why}, but this is not the leaf"))
        if keepers:
            because.append(flow.note(keepers[0], "a Module keeps what the function returns here"))
        fix, why_not = None, None
        try:
            _must_not_be_written(flow, value)
            text = _wrap_last(flow, call.node, top, call.result)
            doubt = "other callers may need the result as it is"
            doubt = doubt if keepers else doubt_of(flow, top, call.result)
            edit = Edit(EditKind.REPLACE, flow.span(top), text)
            fix = self.fix("transform first, wrap last", edit, doubt=doubt)
        except NotFixable as reason:
            why_not = str(reason)
        yield self.finding(
            flow.span(top),
            "what is kept is computed from the leaf; it is not the leaf itself",
            because=tuple(because),
            help="apply the transformation to the data and wrap the result last",
            fix=fix,
            why_not=why_not,
        )

    # -- t = Parameter(x); t = t.view(...) ----------------------------------------------------

    def _named(
        self,
        flow: ModuleFlow,
        scope: Scope,
        leaf: Definition,
        transform: Definition,
        mark: ast.stmt | None,
    ) -> Iterator[Finding]:
        made = leaf.statement.value if isinstance(leaf.statement, ast.Assign) else None
        if leaf.how != "assign" or made is None or not isinstance(leaf.node, ast.Name):
            return
        statement = transform.statement
        assert isinstance(statement, ast.Assign)
        use = leaf_use_of(flow, transform.value) or _kept_alone(flow, scope, leaf, transform)
        if use is None:
            return
        fix, why_not = None, None
        try:
            fix = self._rewrap(flow, scope, leaf, transform, mark)
        except NotFixable as reason:
            why_not = str(reason)
        yield self.finding(
            flow.span(statement.value),
            f"`{flow.source_of(transform.node)}` is computed from a leaf and used as the leaf",
            because=(
                flow.note(mark or leaf.node, f"`{leaf.name}` is the leaf"),
                flow.note(use.node, f"{use.why}, but only the leaf has a gradient"),
            ),
            help="apply the transformation to the data and wrap the result last",
            fix=fix,
            why_not=why_not,
        )

    def _rewrap(
        self,
        flow: ModuleFlow,
        scope: Scope,
        leaf: Definition,
        transform: Definition,
        mark: ast.stmt | None,
    ) -> Fix:
        assert isinstance(leaf.statement, ast.Assign) and isinstance(
            transform.statement, ast.Assign
        )
        right = transform.statement.value
        doubt = doubt_of(flow, right, leaf.value)
        reads = {n for n in walk(right) if isinstance(n, ast.Name) and leaf in reaching(scope, n)}
        marks = set() if mark is None else {n for n in walk(mark) if isinstance(n, ast.Name)}
        others = [n for n in uses_of(scope, leaf) if not (n in reads | marks or asks_size(flow, n))]
        if others:
            row = min(flow.span(n).row for n in others)
            raise NotFixable(f"the leaf `{leaf.name}` is also used on line {row}")
        if flow.block_of(leaf.statement) is not flow.block_of(transform.statement):
            raise NotFixable("leaf and transformation stand in different blocks")
        # Nested code sees the last binding: under the same name that is the transformed tensor.
        nested = transform.name != leaf.name and captured(flow, scope, leaf.name) is not None
        if nested or scope.escapes is not None:
            raise NotFixable(f"the leaf `{leaf.name}` is also used by nested code")
        _must_not_be_written(flow, flow.value(right))
        _must_not_need_grad(flow, right, reads)
        text = flow.source_of(right)
        if mark is not None:
            return self.fix(
                "transform first, make it a leaf last",
                Edit(EditKind.STATEMENT, flow.span(mark), ""),
                Edit(
                    EditKind.REPLACE, flow.span(right), f"{bracketed(text, right)}.requires_grad_()"
                ),
                doubt=doubt,
            )
        made = leaf.statement.value
        if not isinstance(made, ast.Call):
            raise NotFixable("the leaf has another name, too")
        if _wraps_data(leaf.value):
            data = _data(made)
            wrapped = replaced(flow, made, {data: text})
            raw = flow.source_of(data)
        else:
            wrapped = f"{bracketed(text, right)}.requires_grad_()"
            raw = _without_requires_grad(flow, made)
        return self.fix(
            "transform first, wrap last",
            Edit(EditKind.REPLACE, flow.span(made), raw),
            Edit(EditKind.REPLACE, flow.span(right), wrapped),
            doubt=doubt,
        )


def _outermost(flow: ModuleFlow, node: ast.expr) -> ast.expr:
    """The end of the chain of operations that starts at a leaf nobody else holds."""
    top = node
    while True:
        parent = flow.parents.get(top)
        step: ast.expr | None = None
        if isinstance(parent, ast.Attribute) and parent.value is top:
            grand = flow.parents.get(parent)
            step = grand if isinstance(grand, ast.Call) and grand.func is parent else None
        elif isinstance(parent, (ast.BinOp, ast.UnaryOp)):
            step = parent
        elif isinstance(parent, ast.Call) and parent.args and parent.args[0] is top:
            step = parent if flow.value(parent).op == flow.value(parent).name else None
        if step is None or not _transforms_value(flow.value(step), flow.value(top)):
            return top
        top = step


def _transforms_value(result: Value, source: Value) -> bool:
    """Whether ``result`` is ``source`` after a differentiable operation or a cast."""
    return (
        result.is_tensor
        and result is not source
        and any(source is value for value in result.inputs)
        and (bool(result.role & Role.TRACKED) or result.op in VIEWS | CASTS)
        and not result.cut
        and not result.op.endswith("_")
    )


def _wraps_data(value: Value) -> bool:
    return value.op in ("Parameter", "Variable")


def _data(call: ast.Call) -> ast.expr:
    """The data argument of ``Parameter`` or ``Variable``."""
    data = data_of(call)
    if data is None:
        raise NotFixable("the arguments of the call are not understood")
    return data


def _must_not_need_grad(flow: ModuleFlow, top: ast.expr, leaves: Iterable[ast.expr]) -> None:
    """The transformation runs before the leaf exists: it must not need its own gradients."""
    function = flow.enclosing(top, ast.FunctionDef)
    # Of what a constructor is given `doubt_of` says more: as a rule these are sizes and factors.
    constructs = function is not None and classes.is_initialiser(function.name)
    for operand in operands_beside(flow, top, leaves):
        value = flow.value(operand)
        if value.is_tensor and value.needs_grad is not Certainty.NO:
            raise NotFixable("the transformation uses another tensor that may need a gradient")
        if value.kind is Kind.UNKNOWN and not constructs:
            raise NotFixable("the transformation uses what may need a gradient")


#: What shows one element in several places: in-place operations raise on it.
_REPEATS = frozenset({"expand", "expand_as", "broadcast_to"})
#: How many transformations back one of these is looked for.
_STEPS = 20


def _must_not_be_written(flow: ModuleFlow, value: Value) -> None:
    """A write that is legal on the non-leaf, and an optimizer's, would raise on the new leaf."""
    write = is_written_while_recorded(flow, value)
    if write is not None:
        row = flow.span(write.node).row
        raise NotFixable(f"it is written in place on line {row}, which would raise on a leaf")
    found = Walk([value], _STEPS)
    for at in found:
        if at.op in _REPEATS:
            raise NotFixable("the rows of an expanded tensor share memory: no optimizer can write")
        found.further(() if at.is_leaf else at.inputs)


def _wrap_last(flow: ModuleFlow, leaf: ast.Call, top: ast.expr, value: Value) -> str:
    """The source of ``top`` with the wrapping moved from the inside to the outside."""
    _must_not_need_grad(flow, top, {leaf})
    if not _wraps_data(value):
        inner = _without_requires_grad(flow, leaf)
        if isinstance(leaf.func, ast.Attribute) and leaf.func.attr == "requires_grad_":
            _must_have_no_name(flow, leaf.func.value)
            inner = bracketed(inner, leaf.func.value)
        raw = replaced(flow, top, {leaf: inner})
        return f"{bracketed(raw, top)}.requires_grad_()"
    data = _data(leaf)
    inner = flow.source_of(data)
    if not isinstance(flow.parents.get(leaf), ast.Call) or leaf is not top:
        inner = bracketed(inner, data)
    moved = replaced(flow, top, {leaf: inner})
    return replaced(flow, leaf, {data: moved})


def _must_have_no_name(flow: ModuleFlow, held: ast.expr) -> None:
    """``base.requires_grad_()`` makes ``base`` the leaf; whoever holds it finds its gradient."""
    named = isinstance(held, (ast.Name, ast.Attribute, ast.Subscript))
    if named and not is_made_for(flow, held):
        raise NotFixable(f"`{flow.source_of(held)}` is the leaf, and has a name of its own")


def _without_requires_grad(flow: ModuleFlow, call: ast.Call) -> str:
    """The source of a factory call without its ``requires_grad=`` or ``.requires_grad_()``."""
    if isinstance(call.func, ast.Attribute) and call.func.attr == "requires_grad_":
        return flow.source_of(call.func.value)
    if any(keyword.arg is None for keyword in call.keywords):
        raise NotFixable("the keyword arguments of the factory are not visible")
    arguments = [flow.source_of(argument) for argument in call.args]
    arguments += [flow.source_of(k) for k in call.keywords if k.arg != "requires_grad"]
    return f"{flow.source_of(call.func)}({', '.join(arguments)})"


def _marks(flow: ModuleFlow) -> dict[Definition, ast.stmt]:
    """The statement ``x.requires_grad_()`` or ``x.requires_grad = True`` behind each definition."""
    found: dict[Definition, ast.stmt] = {}
    for call in flow.all(Call):
        node, statement = call.node, call.statement
        if call.name == ".requires_grad_" and isinstance(node, ast.Call) and not node.args:
            if isinstance(node.func, ast.Attribute) and isinstance(statement, ast.Expr):
                for definition in reaching(call.scope, node.func.value):
                    found.setdefault(definition, statement)
    for store in flow.all(AttributeStore):
        if store.name == "requires_grad" and store.value.const is True:
            assert isinstance(store.node, ast.Attribute)
            for definition in reaching(store.scope, store.node.value):
                found.setdefault(definition, store.statement)
    return found


def _transforms(flow: ModuleFlow, scope: Scope) -> dict[Definition, list[Definition]]:
    """By what it is made from, the definitions ``T = f(t)`` whose value is one operation on it."""
    found: dict[Definition, list[Definition]] = {}
    for other in scope.definitions:
        statement = other.statement
        if other.how != "assign" or not isinstance(statement, ast.Assign):
            continue
        if len(statement.targets) != 1 or statement.targets[0] is not other.node:
            continue
        value = flow.value(statement.value)
        if not value.is_tensor or value.needs_grad is not Certainty.YES or not value.inputs:
            continue
        if value.role & Role.LEAF and value.op not in CASTS:
            continue
        for leaf, source in read_alone(scope, statement.value).items():
            if leaf is other or any(
                flow.value(source) is not v and v.kind is Kind.TENSOR for v in value.inputs
            ):
                continue
            same_name = other.name == leaf.name
            if same_name and value.op not in VIEWS | CASTS:
                continue  # self-reassignment
            found.setdefault(leaf, []).append(other)
    return found


def _kept_alone(
    flow: ModuleFlow, scope: Scope, leaf: Definition, transform: Definition
) -> LeafUse | None:
    """An attribute of a Module that is made of a Parameter which nobody else holds."""
    target = transform.node
    if not leaf.value.parameter or not isinstance(target, ast.Attribute):
        return None
    if not classes.is_initialiser(scope.name) or len(uses_of(scope, leaf)) != 1:
        return None
    if not classes.is_module(flow, flow.value(target.value)):
        return None
    return LeafUse(target, target, "it is kept for the leaf here")
