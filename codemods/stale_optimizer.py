"""GF307: an optimizer is built over tensors that are not the leaves being trained."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow, classes
from gradfix.flow.expected import OF_NON_LEAVES, is_meant_to_raise
from gradfix.flow.iterators import consumers, is_generator, may_follow, spent_before
from gradfix.flow.misdirected import Misdirected, misdirected, outlived
from gradfix.flow.names import reaching, uses_of
from gradfix.flow.nodes import walk
from gradfix.flow.optimizers import (
    builds_optimizer,
    is_meant_as_leaf,
    is_used_after,
    models_of,
    new_weights,
    optimizers,
    parameters_given,
    rebound_parameters,
    resets,
)
from gradfix.flow.source_text import replaced
from gradfix.flow.state import OptimizerMade, Scope
from gradfix.flow.values import Kind, Role
from gradfix.flow.versions import Definition
from gradfix.model import Edit, EditKind, Finding, Fix, Note

_DATA = "`.data` never has a gradient"
_PARAMS = re.compile(r"""\[["']params["']\]""")


class StaleOptimizer(Codemod):
    """An optimizer does not hold the tensors that are trained.

    What it does
    ------------
    Finds optimizers built over rows of Parameters (``chain(*net.parameters(), W)``), over a
    generator that something else consumes, too, over ``.data`` of a leaf, and over the Parameters
    of a model that gets new ones afterwards.

    Why is this bad?
    ----------------
    Rows are not leaves, and a spent generator is empty: PyTorch raises. What comes second after
    the optimizer finds the generator spent, and clips nothing. ``p.data`` never has a gradient. A
    layer that is replaced after the optimizer was built is never updated, without any error.

    Example
    -------
    ```python
    import torch
    import torch.nn as nn

    model = nn.Linear(3, 2)
    params = model.parameters()
    count = sum(p.numel() for p in params)
    optimizer = torch.optim.SGD(params, lr=0.1)
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    grad = model.weight.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    import torch.nn as nn

    model = nn.Linear(3, 2)
    params = list(model.parameters())
    count = sum(p.numel() for p in params)
    optimizer = torch.optim.SGD(params, lr=0.1)
    model(torch.ones(3)).sum().backward()
    optimizer.step()
    grad = model.weight.grad
    ```

    Fix safety
    ----------
    Safe where PyTorch raises today, and for ``.data`` of a leaf in the optimizer's own argument,
    which nothing else can hold; unsafe where the file takes tensors out of ``["params"]``, and
    where a consumer after the optimizer begins to work. Manual where a Parameter or layer is
    replaced after the optimizer was built.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/optim.html#constructing-it
    - https://github.com/pytorch/pytorch/issues/4957
    """

    code = "GF307"
    trigger = Words("ptim", "OPTIM")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every optimizer over the wrong tensors."""
        for made in optimizers(flow):
            if (
                isinstance(made.node, ast.Call)
                and (given := parameters_given(made.node)) is not None
            ):
                if not is_meant_to_raise(flow, made.node, OF_NON_LEAVES):
                    yield from self._wrong_argument(flow, made, given)
                yield from self._replaced_later(flow, made, given)
        for scope in flow.scopes:
            for definition in list(scope.definitions):
                yield from self._spent(flow, scope, definition)
        yield from self._reset_later(flow)
        for wrong in misdirected(flow):
            yield self._misdirected(flow, wrong)
        for old in outlived(flow):
            yield self._stale(flow, old.rebound, old.made, old.rebound)

    def _misdirected(self, flow: ModuleFlow, wrong: Misdirected) -> Finding:
        edit = Edit(EditKind.REPLACE, flow.span(wrong.given), wrong.wanted)
        return self.finding(
            flow.span(wrong.given),
            f"this optimizer steps for the loss of `{wrong.wanted}`, and does not hold it",
            because=(
                flow.note(wrong.first, "another optimizer holds the same model"),
                flow.note(wrong.backward, f"this loss depends on `{wrong.wanted}` alone"),
                flow.note(wrong.step, "and this step trains nothing of it"),
            ),
            help=f"build it over the Parameters of `{wrong.wanted}`",
            fix=self.fix(f"train {wrong.wanted}", edit, doubt="which model is meant is a guess"),
        )

    # -- what the optimizer is given ----------------------------------------------------------

    def _wrong_argument(
        self, flow: ModuleFlow, made: OptimizerMade, given: ast.expr
    ) -> Iterator[Finding]:
        parts: dict[ast.expr, str] = {}
        why: list[Note] = []
        doubt = ""
        place = given if flow.value(given).is_tensor else _written_out(made.scope, given)
        try:
            for node, text, sure, message in _faults(flow, place, place is given):
                parts[node] = text
                why.append(flow.note(node, message))
                # Who takes the tensors from the optimizer may set their gradients by hand.
                by_hand = message == _DATA and _PARAMS.search(flow.text) is not None
                if by_hand:
                    doubt = "the gradients of what the optimizer holds may be set by hand"
                elif not sure:
                    doubt = "whether all that is given are leaves is not known"
        except NotFixable as reason:
            yield self._bad_argument(flow, place, (), None, str(reason))
            return
        if parts:
            text = parts.get(place) or replaced(flow, place, parts)
            edit = Edit(EditKind.REPLACE, flow.span(place), text)
            fix = self.fix("hand over the leaves themselves", edit, doubt=doubt)
            yield self._bad_argument(flow, place, tuple(why), fix, None)

    def _bad_argument(
        self,
        flow: ModuleFlow,
        node: ast.expr,
        because: tuple[Note, ...],
        fix: Fix | None,
        why_not: str | None,
    ) -> Finding:
        return self.finding(
            flow.span(node),
            "the optimizer is not given the leaves themselves",
            because=because,
            help="hand over the Parameters, one by one or in a list",
            fix=fix,
            why_not=why_not,
        )

    # -- generators ---------------------------------------------------------------------------

    def _spent(self, flow: ModuleFlow, scope: Scope, definition: Definition) -> Iterator[Finding]:
        statement = definition.statement
        if definition.how != "assign" or not isinstance(statement, ast.Assign):
            return
        if statement.targets != [definition.node] or not is_generator(flow, statement.value):
            return
        kept = isinstance(definition.node, ast.Attribute)
        if kept:
            uses = _attribute_uses(flow, scope, definition)
        else:
            uses = uses_of(scope, definition)
        found = consumers(flow, uses)
        pairs = [
            (other, optimizer)
            for optimizer in found
            for other in found
            if other is not optimizer and found[optimizer] == "optimizer"
            if not is_meant_to_raise(flow, optimizer, OF_NON_LEAVES)
        ]
        for pair in pairs:
            if not kept and may_follow(flow, *pair):
                safe = spent_before(flow, *pair)
                yield self._shared(flow, statement, pair, uses, found, safe)
                return
        for other, optimizer in pairs:
            if kept or may_follow(flow, optimizer, other):
                yield self._shared(flow, statement, (other, optimizer), uses, found, False)
                return

    def _shared(
        self,
        flow: ModuleFlow,
        statement: ast.Assign,
        pair: tuple[ast.AST, ast.AST],
        uses: list[ast.AST],
        found: dict[ast.AST, str],
        safe: bool,
    ) -> Finding:
        name = flow.source_of(statement.targets[0])
        fix, why_not = None, None
        if any(use not in found for use in uses):
            why_not = f"it is not known what else is done with `{name}`"
        elif "next" in found.values():
            why_not = f"`next({name})` needs the generator"
        else:
            text = flow.source_of(statement.value)
            bare = isinstance(statement.value, ast.GeneratorExp)
            text = f"list{text}" if bare else f"list({text})"
            edit = Edit(EditKind.REPLACE, flow.span(statement.value), text)
            doubt = "" if safe else "it is not proven that one comes first and uses it up"
            fix = self.fix("keep a list", edit, doubt=doubt)
        return self.finding(
            flow.span(statement),
            f"`{name}` is a generator that is used up by whoever comes first",
            because=tuple(
                flow.note(
                    use, "an optimizer uses it up" if found[use] == "optimizer" else "used up here"
                )
                for use in sorted(pair, key=flow.span)
            ),
            help="keep the Parameters in a list",
            fix=fix,
            why_not=why_not,
        )

    # -- models that change afterwards --------------------------------------------------------

    def _replaced_later(
        self, flow: ModuleFlow, made: OptimizerMade, given: ast.expr
    ) -> Iterator[Finding]:
        names = {flow.source_of(owner) for owner in models_of(given)}
        for statement in flow.following(made.statement):
            if builds_optimizer(flow, statement):
                return
            new = new_weights(flow, statement, names)
            if new is None or any(
                builds_optimizer(flow, later) for later in flow.following(statement)
            ):
                continue
            if is_used_after(flow, made, statement):
                yield self._stale(flow, new, made.node, statement)

    def _reset_later(self, flow: ModuleFlow) -> Iterator[Finding]:
        """``model.reset()`` gives the model a new Parameter after the optimizer was built."""
        done: set[ast.AST] = set()
        for made, model, method in resets(flow):
            for store in rebound_parameters(flow, model, method):
                if store not in done:
                    done.add(store)
                    yield self._stale(flow, store, made.node, store)

    def _stale(self, flow: ModuleFlow, new: ast.AST, optimizer: ast.AST, place: ast.AST) -> Finding:
        return self.finding(
            flow.span(place),
            "the model gets new Parameters after its optimizer was built; they are never updated",
            because=(
                flow.note(optimizer, "the optimizer holds the Parameters of this moment"),
                flow.note(new, "these are not among them"),
            ),
            help="build the optimizer last, or write into the Parameter under torch.no_grad()",
            why_not="where the optimizer belongs, or whether it is to be kept, is not known",
        )


def _written_out(scope: Scope, node: ast.expr) -> ast.expr:
    """The expression that a plain local name stands for, where there is only one."""
    if isinstance(node, ast.Name):
        found = list(reaching(scope, node))
        if len(found) == 1 and isinstance(found[0].statement, ast.Assign):
            statement = found[0].statement
            if statement.targets == [found[0].node] and isinstance(
                statement.value, (ast.Call, ast.BinOp)
            ):
                return statement.value
    return node


#: What ``requires_grad_()`` makes of a tensor that somebody passes in.
_MADE_LEAF = (Role.LEAF, Role.LEAF | Role.TRACKED)
_Fault = tuple[ast.expr, str, bool, str]


def _faults(flow: ModuleFlow, node: ast.expr, inline: bool) -> Iterator[_Fault]:
    """What is wrong with a parameter argument: node, replacement, whether that is certain, why.

    ``inline`` says that nothing but the optimizer holds the value of ``node``.
    """
    value = flow.value(node)
    text = flow.source_of(node)
    if inline and value.is_leaf and isinstance(node, (ast.Name, ast.Attribute)):
        yield node, f"[{text}]", True, "an optimizer takes a list of tensors, not one"
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _faults(flow, node.left, False)
        yield from _faults(flow, node.right, False)
    elif isinstance(node, (ast.List, ast.Tuple)):
        for item in node.elts:
            yield from _element_faults(flow, item, inline)
    elif isinstance(node, (ast.ListComp, ast.GeneratorExp)) and inline:
        yield from _element_faults(flow, node.elt, True)
    elif isinstance(node, ast.Call):
        yield from _call_faults(flow, node, inline)


def _element_faults(flow: ModuleFlow, node: ast.expr, inline: bool) -> Iterator[_Fault]:
    value = flow.value(node)
    if isinstance(node, ast.Starred):
        inner = flow.value(node.value)
        if inner.is_leaf:
            yield node, flow.source_of(node.value), True, "its rows are not leaves"
    elif inline and isinstance(node, ast.Attribute) and node.attr == "data":
        owner = flow.value(node.value)
        sure = owner.is_tensor and (owner.is_leaf or owner.parameter)
        if sure or owner.role in _MADE_LEAF or is_meant_as_leaf(flow, node.value):
            yield node, flow.source_of(node.value), sure, _DATA
    elif value.is_tracked and value.op == "select" and isinstance(node, ast.Subscript):
        if flow.value(node.value).is_leaf:
            raise NotFixable("a part of a leaf cannot be optimised alone")


def _call_faults(flow: ModuleFlow, node: ast.Call, inline: bool) -> Iterator[_Fault]:
    function = flow.value(node.func)
    if function.kind is not Kind.REFERENCE or node.keywords:
        return
    if function.name in ("builtins.list", "builtins.tuple") and len(node.args) == 1:
        if flow.value(node.args[0]).is_leaf:
            text = f"[{flow.source_of(node.args[0])}]"
            yield node, text, True, "the rows of a leaf are not leaves"
        else:
            yield from _faults(flow, node.args[0], inline)
    elif function.name == "itertools.chain":
        for argument in node.args:
            if not isinstance(argument, ast.Starred):
                if flow.value(argument).is_leaf:
                    text = f"[{flow.source_of(argument)}]"
                    yield argument, text, True, "its rows are not leaves"
            elif (sure := _yields_parameters(flow, argument.value)) is not None:
                text = flow.source_of(argument.value)
                yield argument, text, sure, "this chains the rows of each Parameter"


def _yields_parameters(flow: ModuleFlow, node: ast.expr) -> bool | None:
    """Whether ``x.parameters()`` certainly yields tensors; None for anything else."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    if node.func.attr != "parameters" or node.args:
        return None
    owner = flow.value(node.func.value)
    if owner.kind is Kind.MODULE:
        return True
    if owner.kind is Kind.INSTANCE:
        own = classes.method(flow, owner, "parameters")
        return True if own is None and classes.is_module(flow, owner) else None
    return False if owner.kind is Kind.UNKNOWN else None


def _attribute_uses(flow: ModuleFlow, scope: Scope, definition: Definition) -> list[ast.AST]:
    """Every read of ``self.name`` in a class that assigns it once; nothing where others read it."""
    facts = flow.class_facts(scope.class_node)
    target = definition.node
    assert isinstance(target, ast.Attribute)
    if facts is None or facts.written.get(target.attr) != 1 or facts.dynamic:
        return []
    own = set(walk(facts.node))
    reads = [
        node
        for node in walk(flow.tree)
        if isinstance(node, ast.Attribute)
        and node.attr == target.attr
        and isinstance(node.ctx, ast.Load)
    ]
    return list(reads) if all(node in own for node in reads) else []
