"""Flags of tensors that are set on Modules, where nothing reads them.

``module.requires_grad = False`` binds a new attribute: a Module has a method ``requires_grad_`` and
no such flag. (https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html)
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow import classes
from gradfix.flow.layers import has_weights
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.state import AttributeStore, Call
from gradfix.flow.values import Certainty, Kind, Value

#: Methods that a Module has and a tensor has not.
_ASKED = frozenset("parameters named_parameters modules children eval train".split())
_PASSES_ON = frozenset(f"builtins.{name}" for name in "list tuple reversed enumerate".split())
#: Methods of a Module that yield Modules, and at which place of a pair they stand.
_YIELDS = {"modules": 0, "children": 0, "named_modules": 1, "named_children": 1}


def ignored_flags(flow: ModuleFlow) -> Iterator[tuple[AttributeStore, ast.AST]]:
    """Every ``module.requires_grad = False`` without effect, and what says that it is a Module."""
    yielded: dict[ast.AST, ast.AST] | None = None
    seen: set[ast.AST] = set()
    for store in list(flow.all(AttributeStore)):
        if store.name != "requires_grad" or store.node in seen:
            continue
        if store.value.const is not False and not (
            store.value.const is True and flow.freezes_parameters
        ):
            continue  # what nobody has frozen is trained with or without the flag
        seen.add(store.node)
        assert isinstance(store.node, ast.Attribute)
        if _is_read(flow, store.node) or _is_told_apart(flow, store.node):
            continue
        if _is_plain_module(flow, store.owner):
            yield store, store.owner.node or store.node
            continue
        if store.owner.kind is not Kind.UNKNOWN:
            continue
        used = _used_as_module(flow, store)
        if used is not None:
            yield store, used
            continue
        yielded = _yielded(flow) if yielded is None else yielded
        if not isinstance(store.node.value, ast.Name):
            continue
        targets = {d.node for d in store.scope.uses.get(store.node.value, ())}
        if targets and targets <= yielded.keys():
            yield store, yielded[next(iter(targets))]


def _is_plain_module(flow: ModuleFlow, owner: Value) -> bool:
    """Whether this is a Module, perhaps with weights, that does not know such a flag itself."""
    if owner.kind is Kind.MODULE:
        if owner.op == "join":  # one after the other of the layers that a loop runs through
            parts = [part for part in owner.inputs if part is not owner]
            return all(part.kind is Kind.MODULE for part in parts) and any(
                _is_plain_module(flow, part) for part in parts
            )
        return bool(owner.name) and has_weights(owner) is not Certainty.NO
    facts = classes.facts_of(flow, owner) if owner.kind is Kind.INSTANCE else None
    if facts is None or not classes.is_module(flow, owner) or not classes.known_bases(flow, facts):
        return False
    return not any(
        entry.dynamic or not {"requires_grad", "__setattr__"}.isdisjoint(entry.methods)
        for entry in classes.lineage(flow, facts)
    )


def _is_read(flow: ModuleFlow, node: ast.Attribute) -> bool:
    """Whether the file reads the flag of something that is spelled the same, or of ``self``."""
    text = flow.source_of(node.value)
    return any(
        isinstance(use.ctx, ast.Load) and flow.source_of(use.value) in (text, "self")
        for use in flow.attributes("requires_grad")
        if flow.value(use.value).kind is not Kind.TENSOR
    )


def _is_told_apart(flow: ModuleFlow, node: ast.Attribute) -> bool:
    """Whether a branch around asks for the class of what has the flag: it may be a Parameter."""
    text = flow.source_of(node.value)
    around: ast.AST | None = flow.enclosing(node, ast.If)
    while isinstance(around, ast.If):
        for call in walk(around.test):
            if isinstance(call, ast.Call) and len(call.args) > 1:
                if flow.source_of(call.args[0]) == text:
                    return True
        around = flow.enclosing(around, ast.If)
    return False


def _used_as_module(flow: ModuleFlow, store: AttributeStore) -> ast.AST | None:
    """Where the same expression is called, or asked for its Parameters: a tensor would not do so.

    Expressions mean the same in one function, and those that begin with ``self`` in one class.
    """
    assert isinstance(store.node, ast.Attribute)
    text = flow.source_of(store.node.value)
    around: ast.AST | None = store.scope.node
    if text.startswith("self.") and store.scope.class_node is not None:
        around = store.scope.class_node
        flow.complete(frozenset({text}))  # what its other methods do with it
    for call in flow.all(Call):
        function = call.node.func if isinstance(call.node, ast.Call) else None
        if isinstance(function, ast.Attribute) and function.attr in _ASKED:
            function = function.value
        if function is not None and flow.source_of(function) == text:
            same = not isinstance(function, ast.Name) or (
                call.scope.uses.get(function) == store.scope.uses.get(store.node.value)
            )
            if same and around in (call.scope.node, call.scope.class_node):
                return call.node
    return None


def _yielded(flow: ModuleFlow) -> dict[ast.AST, ast.AST]:
    """The targets of loops over the parts of a Module, and the calls that give those parts."""
    found: dict[ast.AST, ast.AST] = {}
    for call in flow.all(Call):
        at = _YIELDS.get(call.name[1:]) if call.name.startswith(".") else None
        if at is None:
            continue
        iterated, counted = _handed_on(flow, call.node)
        around = flow.parents.get(iterated)
        if not isinstance(around, ast.For) or around.iter is not iterated:
            continue
        target: ast.expr | None = around.target
        for _ in range(at + int(counted)):
            target = _second(target)
        if target is not None:
            found[target] = call.node
    return found


def _handed_on(flow: ModuleFlow, node: ast.AST) -> tuple[ast.AST, bool]:
    """The whole of ``list(parts)[:3]`` around an iterable, and whether it is counted, too."""
    counted = False
    while True:
        around = flow.parents.get(node)
        if isinstance(around, ast.Call) and node in around.args[:1]:
            name = flow.value(around.func).name
            if name not in _PASSES_ON or (counted and name == "builtins.enumerate"):
                return node, counted
            counted = counted or name == "builtins.enumerate"
        elif not (
            isinstance(around, ast.Subscript)
            and around.value is node
            and isinstance(around.slice, ast.Slice)
            and not counted
        ):
            return node, counted
        node = around


def _second(target: ast.expr | None) -> ast.expr | None:
    """The second of a pair of targets."""
    pair = isinstance(target, ast.Tuple) and len(target.elts) == 2
    return target.elts[1] if pair and isinstance(target, ast.Tuple) else None
