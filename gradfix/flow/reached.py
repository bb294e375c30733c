"""Which methods of an ``nn.Module`` its ``forward``, or another method, reaches."""

from __future__ import annotations

import ast

from gradfix.flow.classes import Method, is_module, lineage
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
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
