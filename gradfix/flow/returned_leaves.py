"""Tensors that a function of the file makes for the attributes of Modules."""

from __future__ import annotations

import ast

from gradfix.flow import classes
from gradfix.flow.arguments import calls_to
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import AttributeStore, Scope


def kept_by_callers(flow: ModuleFlow, scope: Scope, node: ast.expr) -> list[ast.AST]:
    """The calls of a function that returns ``node``, where every one becomes such an attribute.

    Nothing where the function returns something else, or one of its calls does something else.
    """
    if not scope.is_function or not isinstance(flow.parents.get(node), ast.Return):
        return []
    if len(scope.returns) != 1:
        return []
    flow.complete(frozenset({f"{scope.name}("}))
    kept = {
        store.statement.value
        for store in flow.all(AttributeStore)
        if isinstance(store.statement, (ast.Assign, ast.AnnAssign))
        and store.value.node is store.statement.value
        and store.owner is flow.self_of(store.scope)
        and classes.is_module(flow, store.owner)
    }
    calls = [call.node for call in calls_to(flow, scope.node)]
    return calls if all(call in kept for call in calls) else []
