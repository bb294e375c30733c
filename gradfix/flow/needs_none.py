"""Code of other files that takes what a function returns, and needs it to have no history.

``gates(net).numpy()`` works because the function cuts the graph, and raises when it does not any
more; so does a loop of backwards over what was taken once. (Files are read by the names of
functions and classes, as `neighbours` does.)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradfix.flow.around import files_below, top_of
from gradfix.flow.kin import related
from gradfix.flow.neighbours import family_of, last_name
from gradfix.flow.nodes import children, walk
from gradfix.flow.outlived import stays_attached
from gradfix.flow.rebound import switches_off
from gradfix.flow.values import Certainty, Kind, Value, parts_of

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.project import Project
    from gradfix.flow.state import Call, Scope

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_NUMPY = frozenset({"np", "numpy", "onp"})
_TEXT = re.compile(r"\.numpy\(|\bnp\.|\bnumpy\.|deepcopy|\.backward\(")


@dataclass(frozen=True, slots=True)
class Needed:
    """Where a result is needed without history, and whether it certainly is this function's."""

    how: str
    sure: bool


def needed_without_history(flow: ModuleFlow, call: Call) -> Needed | None:
    """Who outside this file needs what is returned of ``call`` to have no history."""
    if flow.others is None:
        return None
    project, path = flow.others.session.project, flow.others.path
    top = top_of(project, path)
    if top is None:
        return None
    flow.complete()
    found: list[Needed] = []
    for scope in _handed_out_by(flow, call):
        project.looked_around[path] = top
        facts = flow.class_facts(scope.class_node)
        kin = frozenset() if facts is None else related(project, top, family_of(flow, facts))
        for other in files_below(project, top) or ():
            if other != path:
                found += _needs(project, other, scope.name, kin)
    return max(found, key=lambda one: one.sure, default=None)


def _handed_out_by(flow: ModuleFlow, call: Call) -> Iterator[Scope]:
    """The functions that return what is computed from a copy, and nothing with a history today."""
    nodes = {value.node for value in flow.consumers(call.node, stays_attached)} | {call.node}
    for scope in flow.scopes:
        for _, returned in scope.returns:
            given = list(_tensors_in(returned))
            if any(
                value.node in nodes and value.needs_grad is not Certainty.YES for value in given
            ):
                yield scope
                break


def _tensors_in(value: Value) -> Iterator[Value]:
    if value.kind in (Kind.SEQUENCE, Kind.DICT):
        for part in parts_of(value):
            yield from _tensors_in(part)
    else:
        yield value


# -- one other file -----------------------------------------------------------------------------


def _needs(project: Project, path: str, name: str, kin: frozenset[str]) -> Iterator[Needed]:
    text = project.text(path) or ""
    called = name if name not in ("forward", "__call__") else ""
    if path.endswith(".ipynb") or called not in text or _TEXT.search(text) is None:
        return
    opened = project.opened(path)
    if opened is None:
        return
    if kin:
        sure = any(re.search(rf"\b{word}\b", text) for word in kin)
    else:
        sure = re.search(rf"import [^#]*\b{name}\b|\.{name}\(", text) is not None
    for node in _needing(opened.tree, called):
        yield Needed(f"line {node.lineno} of {project.shown(path)} needs it without history", sure)


def _needing(tree: ast.Module, called: str) -> Iterator[ast.expr]:
    """Every place that needs a result of a call, or of the names it is put under, without history.

    Functions are looked at one by one; ``called`` is empty for objects that are called.
    """
    defined = {n.name for n in walk(tree) if isinstance(n, (*_FUNCTIONS, ast.ClassDef))}
    for body in (tree, *(n for n in walk(tree) if isinstance(n, _FUNCTIONS))):
        nodes = list(_recorded(body))
        taken = {node for node in nodes if _takes(node, called, defined)}
        names: dict[str, ast.stmt] = {}
        for node in nodes:
            if isinstance(node, ast.Assign) and node.value in taken:
                names |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
        for node in nodes:
            if any(
                part in taken or getattr(part, "id", None) in names for part in _made_array(node)
            ):
                assert isinstance(node, ast.expr)
                yield node
        yield from _gone_back_through(nodes, names)


def _recorded(body: ast.AST) -> Iterator[ast.AST]:
    """The nodes of one function or file, without nested functions and what records nothing."""
    if switches_off(body):
        return
    queue = children(body)
    for node in queue:  # which grows
        yield node
        if not isinstance(node, _FUNCTIONS) and not switches_off(node):
            queue += children(node)


def _takes(node: ast.AST, called: str, defined: set[str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    if called:
        return last_name(node.func) == called
    own = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "self"
    plain = isinstance(node.func, ast.Name) and node.func.id.islower()
    return (own or plain) and last_name(node.func) not in defined


def _made_array(node: ast.AST) -> list[ast.expr]:
    """What a call makes an array of, or copies: either raises where there is a history."""
    if not isinstance(node, ast.Call):
        return []
    if isinstance(node.func, ast.Attribute):
        if node.func.attr == "numpy":
            given = node.func.value
            if isinstance(given, ast.Call) and last_name(given.func) == "cpu":
                given = given.func.value if isinstance(given.func, ast.Attribute) else given
            return [given]
        if getattr(node.func.value, "id", "") in _NUMPY:
            return list(node.args)
    return list(node.args) if last_name(node.func) == "deepcopy" else []


def _gone_back_through(nodes: list[ast.AST], names: dict[str, ast.stmt]) -> Iterator[ast.expr]:
    """Reads in a loop that goes backward, of what was taken before it."""
    for loop in nodes:
        if not isinstance(loop, (ast.For, ast.AsyncFor, ast.While)):
            continue
        inside = list(walk(loop))
        if any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in inside):
            for node in inside:
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    if node.id in names and names[node.id] not in inside:
                        yield node
