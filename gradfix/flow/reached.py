"""Which methods of an ``nn.Module`` its ``forward``, or another method, reaches."""

from __future__ import annotations

import ast

from gradfix.flow.classes import ClassFacts, Method, is_initialiser, is_module, lineage
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import captured, own_nodes
from gradfix.flow.nodes import walk
from gradfix.flow.state import AttributeStore, Call, Scope
from gradfix.flow.values import Kind, Value


def run_by_forward(flow: ModuleFlow, node: ast.ClassDef | None) -> frozenset[str]:
    """The methods that ``forward`` of a class that certainly is an ``nn.Module`` reaches."""
    return run_by(flow, node, "forward")


def run_by(flow: ModuleFlow, node: ast.ClassDef | None, start: str) -> frozenset[str]:
    """The methods that one method of a class that certainly is an ``nn.Module`` reaches."""
    known: dict[tuple[ast.AST | None, str], frozenset[str]] = flow.__dict__.setdefault("_runs", {})
    if (node, start) not in known:
        known[node, start] = _run_by(flow, node, start)
    return known[node, start]


def sets_up(flow: ModuleFlow, facts: ClassFacts | None, name: str) -> bool:
    """Whether a method, or function, only makes a Module: a constructor, or what it alone runs."""
    if is_initialiser(name):
        return True
    node = None if facts is None else facts.node
    return name in run_by(flow, node, "__init__") and name not in run_by_forward(flow, node)


def bodies_of_forward(flow: ModuleFlow, facts: ClassFacts) -> list[Method]:
    """What ``forward`` of a class runs of it, or that of a class that this file derives from it."""
    own = (flow.class_facts(node) for node in flow.own_classes())
    derived = [one for one in own if one is not None and facts in lineage(flow, one)[1:]]
    found: dict[Method, None] = {}
    for entry in (facts, *derived):
        for name in sorted(run_by_forward(flow, entry.node)):
            found.update((one.methods[name], None) for one in (entry, facts) if name in one.methods)
    return list(found)


def returned_by_forward(flow: ModuleFlow, scope: Scope) -> bool:
    """Whether ``forward`` of the same class returns what this method gives it, and nothing else."""
    forwards = [s for s in flow.scopes if s.name == "forward" and s.class_node is scope.class_node]
    if scope.class_node is None or len(forwards) != 1 or not forwards[0].returns:
        return False
    called = {call.node for call in flow.all(Call) if call.callee is scope.node}
    return all(
        isinstance(place, ast.Return) and place.value in called for place, _ in forwards[0].returns
    )


def is_read_behind(flow: ModuleFlow, store: AttributeStore) -> bool:
    """Whether other code may read an attribute through its owner, once a method has bound it.

    The method hands the owner on, uses it in a function inside, or calls a method that reads it.
    """
    assert isinstance(store.node, ast.Attribute)
    owner, last = store.node.value, store.statement.end_lineno or 0
    if not isinstance(owner, ast.Name) or captured(flow, store.scope, owner.id) is not None:
        return True
    readers = {
        function.name
        for node in flow.attributes(store.name)
        if (function := flow.enclosing(node, ast.FunctionDef)) is not None
        and function is not store.scope.node
    }
    for node in own_nodes(store.scope):
        if not isinstance(node, ast.Name) or node.id != owner.id:
            continue
        if node.lineno <= last and not _in_one_loop(flow, node, store.statement):
            continue
        around = flow.parents.get(node)
        if not isinstance(around, ast.Attribute):
            return True
        if readers & run_by(flow, store.scope.class_node, around.attr):
            return True
    return False


def _in_one_loop(flow: ModuleFlow, node: ast.AST, statement: ast.stmt) -> bool:
    loops = [flow.enclosing(statement, kind) for kind in (ast.For, ast.While)]
    return any(
        loop is not None and loop.lineno <= getattr(node, "lineno", 0) <= (loop.end_lineno or 0)
        for loop in loops
    )


def _run_by(flow: ModuleFlow, node: ast.ClassDef | None, start: str) -> frozenset[str]:
    facts = flow.class_facts(node)
    if facts is None or not is_module(flow, Value(Kind.CLASS, definition=node)):
        return frozenset()
    methods: dict[str, Method] = {}
    for entry in lineage(flow, facts):
        methods = {**entry.methods, **methods}
    found: set[str] = set()
    queue = [start]
    while queue:
        name = queue.pop()
        if name in found or name not in methods:
            continue
        found.add(name)
        queue += [
            child.attr
            for child in walk(methods[name])
            if isinstance(child, ast.Attribute)
            and isinstance(child.value, ast.Name)
            and child.value.id == "self"
        ]
    return frozenset(found)
