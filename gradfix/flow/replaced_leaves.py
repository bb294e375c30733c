"""Leaves in attributes that an optimizer was given, and that are bound again behind its step.

An optimizer holds tensors, not names: whatever the attribute is bound to afterwards, it goes on to
update the old leaf. (https://docs.pytorch.org/docs/stable/optim.html#constructing-it)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow import classes
from gradfix.flow.containers import stored
from gradfix.flow.grad_switches import is_conditional
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.queries import VIEWS
from gradfix.flow.state import AttributeStore
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Value
from gradfix.words import mentions

_SAME_MEMORY = VIEWS | {"detach", "data"}


@dataclass(frozen=True, slots=True)
class Replaced:
    """One such binding: the leaf, the optimizer that was given it, and the step before."""

    store: AttributeStore
    value: ast.expr
    leaf: ast.AST
    optimizer: ast.AST
    step: ast.AST


def replaced_leaves(flow: ModuleFlow) -> Iterator[Replaced]:
    """Every leaf in an attribute that gives way to a value computed from it."""
    if not mentions(flow.text, ".step(") or mentions(flow.text, "param_groups"):
        return
    for store in flow.all(AttributeStore):
        value = stored(store)
        if value is None or store.owner is not flow.self_of(store.scope):
            continue
        if not _computes_with(value, store.name):
            continue
        others = [s for s in _stores(flow, store) if s.name == store.name and s is not store]
        nodes = {other.node for other in others}
        if len(nodes) != 1 or not all(other.value.is_leaf for other in others):
            continue
        if others[0].value.parameter and classes.is_module(flow, store.owner):
            continue  # a Module takes nothing else in the place of a Parameter
        for made in _stores(flow, store):
            step = _step(flow, store, made.name)
            if step is not None and _is_given(made, store.name) and _is_final(flow, made, store):
                leaf = others[0].value.node
                yield Replaced(store, value, leaf or others[0].node, made.node, step)
                break


def _stores(flow: ModuleFlow, store: AttributeStore) -> list[AttributeStore]:
    """What the methods of the same class bind to their attributes."""
    return [s for s in flow.all(AttributeStore) if s.owner is store.owner]


def _computes_with(value: ast.expr, name: str) -> bool:
    """Whether operators or methods compute an expression, a new tensor, from ``self.name``."""
    if isinstance(value, ast.BinOp):
        return any(_is_own(n, name) or _computes_with(n, name) for n in (value.left, value.right))
    if not isinstance(value, ast.Call) or not isinstance(value.func, ast.Attribute):
        return False
    inner, method = value.func.value, value.func.attr
    if _computes_with(inner, name):
        return True
    op = op_facts(method, "method")
    plain = op is not None and not op.inplace and op.returns_tensor and method not in _SAME_MEMORY
    return plain and _is_own(inner, name)


def _is_own(node: ast.AST, name: str) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == name
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def _is_given(made: AttributeStore, name: str) -> bool:
    """Whether a store binds the result of a call that is given ``self.name``, or a list with it."""
    call = stored(made)
    if not isinstance(call, ast.Call):
        return False
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    given += [part for g in given if isinstance(g, (ast.List, ast.Tuple)) for part in g.elts]
    return any(_is_own(part, name) for part in given)


def _is_final(flow: ModuleFlow, made: AttributeStore, store: AttributeStore) -> bool:
    """Whether the optimizer is made in one place only, which is not where the leaf is replaced."""
    places = {s.node for s in _stores(flow, store) if s.name == made.name}
    return places == {made.node} and made.scope is not store.scope


def _step(flow: ModuleFlow, store: AttributeStore, name: str) -> ast.AST | None:
    """The ``self.name.step()`` before a binding in the same method, of what has ``zero_grad``."""
    uses = [use for use in flow.attributes("step") if _is_own(use.value, name)]
    zeroed = any(_is_own(use.value, name) for use in flow.attributes("zero_grad"))
    inside = set(walk(store.scope.node)) if uses and zeroed else set()
    before = [use for use in uses if use in inside and flow.span(use) < flow.span(store.node)]
    return before[0] if before else None


def is_another_case(flow: ModuleFlow, store: AttributeStore, bound: list[Value]) -> bool:
    """Whether an attribute may be a Parameter in some Modules, and be given a tensor in others.

    ``bound`` is what constructors bind to it. Where they do so in a branch, and another branch
    stores a tensor, the same choice may stand behind both.
    """
    made = [value.node for value in bound if value.node is not None]
    return is_conditional(flow, store.node, store.scope.node) and all(
        is_conditional(flow, node, flow.enclosing(node, ast.FunctionDef) or flow.tree)
        for node in made
    )
