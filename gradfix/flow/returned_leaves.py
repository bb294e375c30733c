"""Tensors that a function of the file makes for the attributes of Modules."""

from __future__ import annotations

import ast

from gradfix.flow import classes
from gradfix.flow.arguments import calls_to
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import is_returned, uses_of
from gradfix.flow.state import AttributeStore, Scope

_CONTAINERS = (ast.List, ast.Tuple, ast.Dict, ast.ListComp, ast.DictComp)


def kept_by_callers(flow: ModuleFlow, scope: Scope, node: ast.expr) -> list[ast.AST]:
    """The calls of a function that returns ``node``, where every one becomes such an attribute.

    Nothing where the function returns something else, or one of its calls does something else.
    """
    if not scope.is_function or not is_returned(flow, node):
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


def is_kept(flow: ModuleFlow, scope: Scope, node: ast.expr) -> bool:
    """Whether a value gets an attribute, a place in a container, or a name.

    The names of a function are gone with it: what they hold is kept only where it is put elsewhere.
    """
    parent = flow.parents.get(node)
    if isinstance(parent, _CONTAINERS):
        return True
    if not isinstance(parent, (ast.Assign, ast.AnnAssign)):
        return False
    targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
    if not scope.is_function or not all(isinstance(target, ast.Name) for target in targets):
        return True
    return any(_is_put_elsewhere(flow, use) for use in _uses_of_names(scope, parent))


def _is_put_elsewhere(flow: ModuleFlow, use: ast.AST) -> bool:
    parent = flow.parents.get(use)
    if isinstance(parent, ast.Call) and use is not parent.func:
        return not flow.value(parent).is_tensor
    return isinstance(parent, (*_CONTAINERS, ast.Assign, ast.AnnAssign, ast.keyword, ast.Yield))


def _uses_of_names(scope: Scope, statement: ast.AST | None) -> list[ast.AST]:
    named = [one for one in scope.definitions if one.statement is statement]
    return [use for definition in named for use in uses_of(scope, definition)]
