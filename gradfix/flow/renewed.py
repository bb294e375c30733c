"""Containers of leaves whose elements an update replaces by new tensors, turn by turn.

NOTE: what makes it certain
    ``.grad`` of an element is read, so the elements are leaves at first. With grad mode on the sum
    or difference is a new tensor with a history, and the next turn of the loop reads ``.grad`` of
    that one: it is None. Code that makes its elements leaves again, keeps their gradients or
    differentiates its updates is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow import classes
from gradfix.flow.arguments import calls_to, expressions_given
from gradfix.flow.memories import added_to, assigned_value, loops_around, within
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import reaching, uses_of
from gradfix.flow.nodes import children
from gradfix.flow.state import AttributeStore, Backward, Call, GradMode, GradRead, Scope
from gradfix.flow.values import Certainty, Kind
from gradfix.flow.versions import Definition

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
_ARITHMETIC = (ast.Add, ast.Sub, ast.Mult, ast.Div)
_AGAIN = frozenset({".requires_grad_", ".retain_grad", ".detach_", "torch.autograd.grad"})


def renewed_elements(flow: ModuleFlow) -> Iterator[tuple[ast.stmt, str, ast.AST]]:
    """Statements that replace leaves by new tensors in every turn, a name, a read of ``.grad``."""
    for scope in flow.scopes:
        if not any(read.scope is scope for read in flow.all(GradRead)) and not _helpers(flow):
            continue
        for definition in list(scope.definitions):
            found = _rebound(flow, scope, definition)
            if found is not None and definition.statement is not None:
                yield definition.statement, definition.name, found
        yield from _stored(flow, scope)


def _helpers(flow: ModuleFlow) -> bool:
    return any(read.scope.is_function for read in flow.all(GradRead))


def _rebound(flow: ModuleFlow, scope: Scope, definition: Definition) -> ast.AST | None:
    """``params = [p - lr * p.grad for p in params]`` in a loop, or by a function that does so."""
    value = assigned_value(definition)
    if value is None or definition.how != "assign" or not definition.loops:
        return None
    source, read = updated_from(flow, scope, value), None
    if source is None and isinstance(value, ast.Call):
        source = _passed_on(flow, scope, value)
    elif isinstance(value, ast.BinOp):
        return None  # one tensor, whose role is known better elsewhere
    if source is None or flow.source_of(source) != definition.name:
        return None
    if definition not in reaching(scope, source):
        return None
    loop = definition.loops[0]
    if _makes_leaves(flow, loop):
        return None
    read = next((r.node for r in flow.all(GradRead) if within(flow, r.node, value)), None)
    return read or value


def updated_from(flow: ModuleFlow, scope: Scope, node: ast.expr) -> ast.expr | None:
    """The container that an expression updates element by element, or the one tensor; else None."""
    if isinstance(node, _COMPREHENSIONS):
        element = node.value if isinstance(node, ast.DictComp) else node.elt
        if isinstance(element, ast.Tuple) and len(element.elts) == 2:
            element = element.elts[1]
        variable = _updated(flow, scope, element)
        return None if variable is None else _walked(flow, scope, variable)
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        function = flow.value(node.func)
        if function.name in ("builtins.list", "builtins.tuple", "builtins.dict"):
            return updated_from(flow, scope, node.args[0])
    if isinstance(node, ast.Name):
        return _collected(flow, scope, node)
    variable = _updated(flow, scope, node)
    return variable if variable is not None and _how(scope, variable) == "argument" else None


def _collected(flow: ModuleFlow, scope: Scope, node: ast.Name) -> ast.expr | None:
    """``new = []`` that a loop over the container fills with updated elements, or these at once."""
    definitions = reaching(scope, node)
    if len(definitions) != 1:
        return None
    (definition,) = definitions
    value = assigned_value(definition)
    if isinstance(value, (*_COMPREHENSIONS, ast.BinOp)):
        return updated_from(flow, scope, value)
    if not isinstance(value, (ast.List, ast.Dict)) or children(value):
        return None
    added = [added_to(flow, use) for use in uses_of(scope, definition)]
    parts = [_updated(flow, scope, part) for part in added if part is not None]
    if len(parts) != 1 or parts[0] is None:
        return None
    return _walked(flow, scope, parts[0])


def _updated(flow: ModuleFlow, scope: Scope, node: ast.expr) -> ast.expr | None:
    """``p`` of ``p - lr * p.grad``, recorded and out of place; None for anything else."""
    if isinstance(node, ast.IfExp):
        return _updated(flow, scope, node.body) or _updated(flow, scope, node.orelse)
    if not isinstance(node, ast.BinOp) or not isinstance(node.op, _ARITHMETIC):
        return None
    value = flow.value(node)
    if value.needs_grad is Certainty.NO or value.kind not in (Kind.TENSOR, Kind.UNKNOWN):
        return None
    for read in flow.all(GradRead):
        if read.mode is GradMode.ON and not read.store and within(flow, read.node, node):
            text = flow.source_of(read.base)
            for operand in _operands(node):
                if flow.source_of(operand) == text:
                    return operand
    return None


def _operands(node: ast.expr) -> Iterator[ast.expr]:
    """The names and items that arithmetic is done with, not what is read off them."""
    if isinstance(node, ast.BinOp):
        yield from _operands(node.left)
        yield from _operands(node.right)
    elif isinstance(node, (ast.Name, ast.Attribute, ast.Subscript)):
        yield node


def _walked(flow: ModuleFlow, scope: Scope, variable: ast.expr) -> ast.expr | None:
    """The container whose element a loop variable, or an item, is."""
    if isinstance(variable, ast.Subscript):
        return variable.value
    definitions = reaching(scope, variable)
    if len(definitions) != 1 or _how(scope, variable) != "for":
        return None
    (definition,) = definitions
    at: ast.AST | None = definition.node
    while at is not None and not isinstance(at, (ast.For, ast.comprehension)):
        at = flow.parents.get(at)
    return _container(at.iter) if isinstance(at, (ast.For, ast.comprehension)) else None


def _container(iterable: ast.expr) -> ast.expr | None:
    """``params`` of ``params``, ``params.items()``, ``enumerate(params)``, ``zip(params, ...)``."""
    if isinstance(iterable, ast.Call):
        if isinstance(iterable.func, ast.Attribute) and not iterable.args:
            return iterable.func.value if iterable.func.attr in ("items", "values") else None
        return _container(iterable.args[0]) if iterable.args else None
    return iterable if isinstance(iterable, (ast.Name, ast.Attribute)) else None


def _how(scope: Scope, node: ast.expr) -> str:
    found = {definition.how for definition in reaching(scope, node)}
    return found.pop() if len(found) == 1 else ""


def _passed_on(flow: ModuleFlow, scope: Scope, value: ast.Call) -> ast.expr | None:
    """What a call passes to a function of this file that returns it updated; else None."""
    event = next((call for call in flow.all(Call) if call.node is value), None)
    if event is None or event.mode is not GradMode.ON:
        return None
    function = next((s for s in flow.scopes if s.node is event.callee), None)
    if function is None or not function.returns or not function.is_function:
        return None
    names = set()
    for place, _ in function.returns:
        result = place.value if isinstance(place, ast.Return) else None
        source = updated_from(flow, function, result) if result is not None else None
        if not isinstance(source, ast.Name) or _how(function, source) != "argument":
            return None
        names.add(source.id)
    (name,) = names if len(names) == 1 else ("",)
    return next((at for given, at in expressions_given(event, value) if given.arg == name), None)


def _stored(flow: ModuleFlow, scope: Scope) -> Iterator[tuple[ast.stmt, str, ast.AST]]:
    """``params[k] = params[k] - lr * params[k].grad`` in a loop that differentiates again."""
    for read in flow.all(GradRead):
        statement = read.statement
        if read.scope is not scope or not isinstance(statement, ast.Assign):
            continue
        target = statement.targets[0]
        if not isinstance(target, ast.Subscript) or len(statement.targets) != 1:
            continue
        variable = _updated(flow, scope, statement.value)
        if variable is None or not within(flow, read.node, statement.value):
            continue
        source = _walked(flow, scope, variable)
        if source is None or flow.source_of(source) != flow.source_of(target.value):
            continue
        if isinstance(variable, ast.Subscript):
            if flow.source_of(variable) != flow.source_of(target):
                continue
        for loop in loops_around(flow, statement):
            outside = not any(
                within(flow, d.node, loop)
                for d in reaching(scope, target.value)
                if d.statement is not None
            )
            again = any(within(flow, b.node, loop) for b in flow.all(Backward))
            if again and outside and reaching(scope, target.value):
                if not _makes_leaves(flow, loop):
                    yield statement, flow.source_of(target.value), read.node
                break


def renewed_attributes(flow: ModuleFlow) -> Iterator[tuple[Scope, Definition, ast.AST]]:
    """``self.w = self.w - lr * self.w.grad`` of a leaf that the constructor makes, run repeatedly.

    With the update, and a read of ``.grad`` that finds None the next time.
    """
    for read in flow.all(GradRead):
        scope, statement = read.scope, read.statement
        node = scope.class_node
        if node is None or scope.name == "__init__" or read.store or read.mode is not GradMode.ON:
            continue
        if not isinstance(statement, ast.Assign) or not isinstance(read.base, ast.Attribute):
            continue
        text = flow.source_of(read.base)
        if not isinstance(statement.value, ast.BinOp) or text != f"self.{read.base.attr}":
            continue
        definition = next((d for d in scope.definitions if d.node is statement.targets[0]), None)
        if definition is None or definition.name != text or len(statement.targets) != 1:
            continue
        facts, own = flow.class_facts(node), flow.self_of(scope)
        if facts is None or classes.is_module(flow, own):
            continue  # which raises where a Parameter is bound to a tensor
        made = classes.constructed(flow, own, read.base.attr)
        if made and all(value.is_leaf for value in made) and not _makes_leaves(flow, node):
            if _is_repeated(flow, scope, read, text):
                yield scope, definition, read.node


def untracked_updates(flow: ModuleFlow) -> Iterator[tuple[Scope, Definition, ast.AST]]:
    """``w = w - lr * w.grad`` under ``no_grad`` in a loop that differentiates again.

    From the second turn on, ``w`` is a tensor without gradient. With the read of ``.grad``.
    """
    for read in flow.all(GradRead):
        scope, statement, base = read.scope, read.statement, read.base
        if read.store or read.mode is not GradMode.OFF or not isinstance(statement, ast.Assign):
            continue
        target, value = statement.targets[0], statement.value
        if not isinstance(target, ast.Name) or len(statement.targets) != 1:
            continue
        if not isinstance(value, ast.BinOp) or not isinstance(value.left, ast.Name):
            continue
        if not isinstance(base, ast.Name) or not base.id == value.left.id == target.id:
            continue
        definition = next((d for d in scope.definitions if d.node is target), None)
        before = reaching(scope, base) - {definition}
        if definition is None or definition not in reaching(scope, base) or len(before) != 1:
            continue
        loops = loops_around(flow, statement)
        again = any(within(flow, b.node, loop) for b in flow.all(Backward) for loop in loops)
        if again and all(d.value.is_leaf for d in before):
            if not any(_makes_leaves(flow, loop) for loop in loops):
                yield scope, definition, read.node


def _is_repeated(flow: ModuleFlow, scope: Scope, read: GradRead, text: str) -> bool:
    """Whether the update certainly runs again, or the same turn reads the gradient once more."""
    assert read.statement is not None
    if loops_around(flow, read.statement):
        return True
    if any(
        other.scope is scope
        and not other.store
        and flow.source_of(other.base) == text
        and flow.span(other.node) > flow.span(read.statement)
        and not within(flow, other.node, read.statement)
        for other in flow.all(GradRead)
    ):
        return True
    flow.complete()
    return any(
        flow.enclosing(call.node, kind) is not None
        for call in calls_to(flow, scope.node)
        for kind in (ast.For, ast.While, ast.ListComp)
    )


def _makes_leaves(flow: ModuleFlow, loop: ast.AST) -> bool:
    """Whether a loop makes its tensors leaves again, keeps gradients, or differentiates updates."""
    for call in flow.all(Call):
        if call.name in _AGAIN or call.keyword("create_graph") is not None:
            if within(flow, call.node, loop):
                return True
    for store in flow.all(AttributeStore):
        if store.name in ("requires_grad", "data") and within(flow, store.node, loop):
            return True
    for read in flow.all(GradRead):
        if read.store and within(flow, read.node, loop):
            statement = read.statement
            value = statement.value if isinstance(statement, ast.Assign) else None
            if not isinstance(value, ast.Constant):
                return True  # ``p.grad = g``: gradients of its own
    return False
