"""States of a Module, or a Module itself, that are kept for later without a copy."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.flow.memories import (
    Memories,
    Memory,
    defined_inside,
    loops_around,
    root_of,
    within,
)
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import own_nodes, reaching
from gradfix.flow.nodes import walk
from gradfix.flow.snapshots import Snapshot, written
from gradfix.flow.state import AttributeStore, Scope
from gradfix.flow.updates import Update, moves, updates
from gradfix.flow.values import Kind
from gradfix.words import mentions

#: What decides which of several models is the best one; a look before closer ones.
_CHOICE = re.compile(r"\bif\b[^\n]*[<>]")
_ORDERS = (ast.Lt, ast.Gt, ast.LtE, ast.GtE)


def kept_states(flow: ModuleFlow) -> Iterator[tuple[Scope, Snapshot]]:
    """``self.best = self.net.state_dict()`` that ``self.net.load_state_dict(self.best)`` undoes."""
    if not mentions(flow.text, "state_dict"):
        return
    for store in flow.all(AttributeStore):
        node, statement = store.scope.class_node, store.statement
        if node is None or store.owner is not flow.self_of(store.scope):
            continue
        if not isinstance(statement, ast.Assign) or statement.targets != [store.node]:
            continue
        methods = [scope for scope in flow.scopes if scope.class_node is node]
        found = [
            one
            for memory in Memories(flow, store.scope).of(statement.value)
            if memory.how == "state_dict" and not memory.origin
            if (one := _of_own(flow, store, methods, memory)) is not None
        ]
        passed = _passed_in(store.scope, statement.value)
        if passed is not None and (one := _of_argument(flow, store, methods, passed)) is not None:
            found.append(one)
        for kept in found[:1]:
            if not _changed(methods, kept.memory.path, kept.name):
                yield store.scope, kept


def _passed_in(scope: Scope, node: ast.expr) -> Memory | None:
    """The state of what a method is given: ``model.state_dict()``, or a shallow copy of that."""
    taken = node
    while isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        owner = node.func.value
        if node.func.attr == "state_dict" and isinstance(owner, ast.Name) and not node.args:
            if owner.id in scope.arguments:
                roots = reaching(scope, owner)
                return Memory(owner.id, roots, "dict", taken, "state_dict")
            return None
        if node.func.attr != "copy" or node.args:
            return None
        node = owner
    return None


def kept_models(flow: ModuleFlow) -> Iterator[tuple[Scope, Snapshot]]:
    """``if loss < best: best_model = model`` in a loop that trains the model, used behind it."""
    trains = mentions(flow.text, ".step(") and mentions(flow.text, "parameters()")
    for scope in flow.scopes if trains and _CHOICE.search(flow.text) else ():
        if isinstance(scope.node, ast.ClassDef) or not _CHOICE.search(flow.text_of(scope.node)):
            continue
        made: list[Update] | None = None
        for node in own_nodes(scope):
            if not isinstance(node, ast.Assign) or len(node.targets) != 1:
                continue
            target, root = node.targets[0], root_of(node.value)
            if root is None or not isinstance(target, (ast.Name, ast.Attribute)):
                continue
            loops = loops_around(flow, node)
            if not loops or not _is_chosen(flow, node, loops[0]):
                continue
            made = list(updates(flow, scope)) if made is None else made
            path, roots = ast.unparse(node.value), reaching(scope, root)
            trained = _is_trained_in(loops[-1], path)
            update = next(
                (one for one in made if path in one.paths or (trained and not one.paths)), None
            )
            loop = next((x for x in loops if update and within(flow, update.node, x)), None)
            if update is None or loop is None or defined_inside(flow, roots, loop):
                continue
            reads = _reads_behind(flow, scope, target, loop)
            if reads and not any(
                moved == path and within(flow, at, loop) for moved, at in moves(scope)
            ):
                memory = Memory(path, roots, "one", node.value, "model")
                yield scope, Snapshot(memory, ast.unparse(target), update, reads)


def _is_trained_in(loop: ast.AST, path: str) -> bool:
    """Whether a loop calls something, and zeroes its gradients or puts it in training mode."""
    called = {ast.unparse(node.func) for node in walk(loop) if isinstance(node, ast.Call)}
    return path in called and not called.isdisjoint({f"{path}.zero_grad", f"{path}.train"})


def _reads_behind(flow: ModuleFlow, scope: Scope, target: ast.expr, loop: ast.AST) -> list[ast.AST]:
    """Where what is kept is used behind a loop, unless it is bound anew there."""
    text, kind = ast.unparse(target), type(target)
    places = [n for n in own_nodes(scope) if type(n) is kind and ast.unparse(n) == text]
    behind = [n for n in places if not within(flow, n, loop) and flow.span(n) > flow.span(loop)]
    if any(not isinstance(getattr(n, "ctx", None), ast.Load) for n in behind):
        return []
    return list(behind)


def _of_own(
    flow: ModuleFlow, store: AttributeStore, methods: list[Scope], memory: Memory
) -> Snapshot | None:
    """The state of a Module that the object itself holds."""
    if not memory.path.startswith("self."):
        return None
    kept = f"self.{store.name}"
    update = _update(flow, methods, memory.path)
    around = loops_around(flow, store.node)
    loads = [
        call
        for scope in methods
        for call in _loads(scope, memory.path, kept)
        if scope is not store.scope
        or (update is not None and _is_behind(flow, store, call, update, around))
    ]
    return Snapshot(memory, kept, update, loads) if update is not None and loads else None


def _is_behind(
    flow: ModuleFlow, store: AttributeStore, load: ast.AST, update: Update, around: list[ast.AST]
) -> bool:
    """Whether a load stands behind a loop that updates, and keeps the state in some turns only."""
    return any(
        within(flow, update.node, loop)
        and not within(flow, load, loop)
        and flow.span(loop) < flow.span(load)
        for loop in around
    ) and _is_chosen(flow, store.node)


def _of_argument(
    flow: ModuleFlow, store: AttributeStore, methods: list[Scope], memory: Memory
) -> Snapshot | None:
    """The state of a Module that is passed in, kept whenever it is better than the one before."""
    method = f"self.{store.scope.name}"
    calls = [
        node
        for scope in methods
        for node in own_nodes(scope)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == method
    ]
    if not any(_is_chosen(flow, node) for node in (store.node, *calls)):
        return None
    loads = [
        call
        for scope in flow.scopes
        if scope is not store.scope
        for call in _loads_of(flow, scope, store, methods, memory.path)
    ]
    return Snapshot(memory, f"self.{store.name}", None, loads) if loads else None


def _loads_of(
    flow: ModuleFlow, scope: Scope, store: AttributeStore, methods: list[Scope], path: str
) -> Iterator[ast.AST]:
    """``model.load_state_dict(self.best)`` in the class, and the same of its objects outside."""
    if scope in methods:
        yield from _loads(scope, path, f"self.{store.name}") if path in scope.arguments else ()
        return
    for node in own_nodes(scope):
        given = node.args[0] if isinstance(node, ast.Call) and node.args else None
        if not isinstance(given, ast.Attribute) or given.attr != store.name:
            continue
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = flow.value(given.value)
            own = owner.kind is Kind.INSTANCE and owner.definition is store.scope.class_node
            if own and node.func.attr == "load_state_dict":
                yield node


def _is_chosen(flow: ModuleFlow, node: ast.AST, around: ast.AST | None = None) -> bool:
    """Whether a comparison of two values decides if a place is reached, inside of ``around``."""
    at: ast.AST | None = flow.enclosing(node, ast.If)
    while isinstance(at, ast.If) and (around is None or within(flow, at, around)):
        for part in walk(at.test):
            if isinstance(part, ast.Compare) and isinstance(part.ops[0], _ORDERS):
                return True
        at = flow.enclosing(at, ast.If)
    return False


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
