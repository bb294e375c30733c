"""Lists that a function of the file makes, fills and returns, and that become an attribute."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow import classes
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import own_nodes, reaching, written_out
from gradfix.flow.registered import is_weighted
from gradfix.flow.state import AttributeStore, Call, Scope
from gradfix.flow.values import Kind, element_of

_LISTS = (ast.List, ast.ListComp)
#: A class is called, or what ``nn`` has.
_MAKES = re.compile(r"\b[A-Z]\w*\(|\bnn\.")
#: The functions whose results become attributes.
_STORED = re.compile(r"self\.\w+\b[^=\n(]*=\s*(?:\w+\.)?(\w+)\(")


@dataclass(frozen=True, slots=True)
class Returned:
    """One such list: where it is made, or kept, how it is returned, who asks for it."""

    node: ast.expr
    returned: ast.expr
    scope: Scope
    call: ast.Call


def returned_list(flow: ModuleFlow, store: AttributeStore) -> Returned | None:
    """The list that ``self.name = helper()`` stores, or ``self.name, self.other = helper()``."""
    call, at = _called(store)
    if call is None or store.value.kind is not Kind.SEQUENCE or store.value.name != "list":
        return None
    element = element_of(store.value)
    if element is None or not is_weighted(flow, element):
        return None
    flow.complete()
    callee = next((event.callee for event in flow.all(Call) if event.node is call), None)
    scope = next((s for s in flow.scopes if s.node is callee), None)
    if scope is None or not scope.is_function:
        return None
    returns = [node for node in own_nodes(scope) if isinstance(node, ast.Return)]
    if len(returns) != 1:
        return None
    given = returns[0].value
    if at is not None:
        given = None if given is None else written_out(scope, given)
        given = given.elts[at] if isinstance(given, ast.Tuple) and at < len(given.elts) else None
    if isinstance(given, _LISTS):
        # Without a name it is nobody else's: who keeps it may wrap it, whatever others do.
        return Returned(call if at is None else given, given, scope, call)
    if not isinstance(given, ast.Name):
        return None
    definitions = reaching(scope, given)
    statement = next(iter(definitions)).statement if len(definitions) == 1 else None
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None
    made = isinstance(statement.value, _LISTS)
    return Returned(statement.value, given, scope, call) if made else None


def _called(store: AttributeStore) -> tuple[ast.Call | None, int | None]:
    """The call whose result is stored, and which part of it."""
    statement = store.statement
    if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
        return None, None
    target, call = statement.targets[0], statement.value
    if not isinstance(call, ast.Call):
        return None, None
    if target is store.node:
        return call, None
    if isinstance(target, ast.Tuple) and store.node in target.elts:
        return call, target.elts.index(store.node)
    return None, None


def hands_out_lists(flow: ModuleFlow) -> bool:
    """Whether a function of the file may return a list that some attribute then holds.

    A cheap look at the text, for whoever would have to interpret all functions to know.
    """
    bodies = [flow.tree.body, *(c.body for c in flow.tree.body if isinstance(c, ast.ClassDef))]
    names = {
        node.name
        for body in bodies
        for node in body
        if isinstance(node, ast.FunctionDef)
        and _returns_list(node)
        and _MAKES.search(flow.source_of(node)) is not None
    }
    return bool(names) and not names.isdisjoint(_STORED.findall(flow.text))


def _returns_list(function: ast.FunctionDef) -> bool:
    last = function.body[-1]
    given = last.value if isinstance(last, ast.Return) else None
    tuples = _bound_to(function, {given.id} if isinstance(given, ast.Name) else set(), (ast.Tuple,))
    given = next(tuples, given)
    parts = given.elts if isinstance(given, ast.Tuple) else [given]
    if any(isinstance(part, _LISTS) for part in parts):
        return True
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    return any(True for _ in _bound_to(function, names, _LISTS))


def _bound_to(
    function: ast.FunctionDef, names: set[str], kinds: tuple[type[ast.expr], ...]
) -> Iterator[ast.expr]:
    """The displays of some kinds that one of some names is bound to anywhere in a function."""
    for statement in classes.statements(function.body) if names else ():
        if isinstance(statement, ast.Assign) and isinstance(statement.value, kinds):
            if any(isinstance(to, ast.Name) and to.id in names for to in statement.targets):
                yield statement.value
