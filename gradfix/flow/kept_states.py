"""States of a Module that one method keeps in an attribute and another one loads back."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.memories import Memories
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import own_nodes
from gradfix.flow.snapshots import Snapshot, written
from gradfix.flow.state import AttributeStore, Scope
from gradfix.flow.updates import Update, moves, updates


def kept_states(flow: ModuleFlow) -> Iterator[tuple[Scope, Snapshot]]:
    """``self.best = self.net.state_dict()`` that ``self.net.load_state_dict(self.best)`` undoes."""
    if "state_dict" not in flow.text:
        return
    for store in flow.all(AttributeStore):
        node, statement = store.scope.class_node, store.statement
        if node is None or store.owner is not flow.self_of(store.scope):
            continue
        if not isinstance(statement, ast.Assign) or statement.targets != [store.node]:
            continue
        methods = [scope for scope in flow.scopes if scope.class_node is node]
        for memory in Memories(flow, store.scope).of(statement.value):
            if memory.how != "state_dict" or memory.origin or not memory.path.startswith("self."):
                continue
            kept = f"self.{store.name}"
            update = _update(flow, methods, memory.path)
            loads = [
                call for scope in methods if scope is not store.scope
                for call in _loads(scope, memory.path, kept)
            ]  # fmt: skip
            if update is not None and loads and not _changed(methods, memory.path, kept):
                yield store.scope, Snapshot(memory, kept, update, list(loads))


def _update(flow: ModuleFlow, methods: list[Scope], path: str) -> Update | None:
    """An update of the Module in one of the methods."""
    for scope in methods:
        for update in updates(flow, scope):
            if not update.loads and (not update.paths or path in update.paths):
                return update
    return None


def _loads(scope: Scope, path: str, kept: str) -> Iterator[ast.AST]:
    for node in own_nodes(scope):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            if node.func.attr == "load_state_dict" and ast.unparse(node.func.value) == path:
                if ast.unparse(node.args[0]) == kept:
                    yield node


def _changed(methods: list[Scope], path: str, kept: str) -> bool:
    """Whether the Module may be another one, or what is kept is edited."""
    for scope in methods:
        if scope.name != "__init__" and any(moved == path for moved, _ in moves(scope)):
            return True
        for node in own_nodes(scope):
            target = written(node)
            if target is not None and ast.unparse(target) == kept:
                return True
    return False
