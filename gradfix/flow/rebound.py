"""Who gives an attribute of a Module another value, or writes to it, as no Parameter can be.

A Module refuses a plain tensor under the name of a Parameter (TypeError), and autograd a write to a
leaf while grad mode is on (RuntimeError). Where an attribute is to become a Parameter, all code
that may mean it is read: this file, and those of the project that use an attribute of that name.
(https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradfix.flow.around import files_below, top_of
from gradfix.flow.by_string import Spoken, spoken_of
from gradfix.flow.kin import related
from gradfix.flow.neighbours import Kin, family_of
from gradfix.flow.nodes import children, last_name, walk

if TYPE_CHECKING:
    from gradfix.flow.classes import ClassFacts
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.project import Project

_PARAMETERS = frozenset({"Parameter", "UninitializedParameter"})
_CHANGES_TEXT = r"\.{name}(?:\[[^\]\n]*\])?\s*[-+*/]?=(?!=)|\.{name}\.\w+_\("
_OFF = frozenset({"no_grad", "inference_mode"})


@dataclass(frozen=True, slots=True)
class Changed:
    """A change of an attribute; ``sure`` where it certainly is an attribute of that class."""

    how: str
    sure: bool


def rebound(flow: ModuleFlow, kept: ast.expr) -> Changed | None:
    """Who else changes the attribute that gets ``kept`` here, None for nobody or no attribute."""
    statement = flow.parents.get(kept)
    owner = flow.class_facts(flow.enclosing(kept, ast.ClassDef))
    targets = statement.targets if isinstance(statement, ast.Assign) else ()
    stores = [target for target in targets if isinstance(target, ast.Attribute)]
    if owner is None or not stores:
        return None
    found = [change for store in stores for change in _rebound(flow, owner, store)]
    return max(found, key=lambda change: change.sure, default=None)


def _rebound(flow: ModuleFlow, facts: ClassFacts, store: ast.Attribute) -> Iterator[Changed]:
    own = family_of(flow, facts)
    project, path = (
        (None, "") if flow.others is None else (flow.others.session.project, flow.others.path)
    )
    top = None if project is None else top_of(project, path)
    names = own if project is None or top is None else related(project, top, own)
    yield from _in_tree(flow.tree, store.attr, Kin(names, frozenset()), "", store=store)
    if spoken_of(flow.text, store.attr) is Spoken.LOOKED_UP:
        yield Changed(f"this file looks `.{store.attr}` up where no Parameter is", True)
    if project is not None and top is not None:
        project.looked_around[path] = top
        others = [other for other in files_below(project, top) or () if other != path]
        bound = re.compile(rf"\bself\.{store.attr}\s*(?::[^=\n]+)?=(?!=)")
        # Where no other file binds such an attribute, it is this one's that is meant.
        alone = not any(bound.search(project.text(other) or "") for other in others)
        for other in others:
            yield from _in_file(project, other, store.attr, Kin(names, own), alone=alone)


def _in_file(project: Project, path: str, name: str, kin: Kin, *, alone: bool) -> Iterator[Changed]:
    text = project.text(path) or ""
    if f".{name}" not in text and f'"{name}"' not in text and f"'{name}'" not in text:
        return
    sure = alone or any(re.search(rf"\b{word}\b", text) for word in kin.names)
    if spoken_of(text, name) is Spoken.LOOKED_UP:
        yield Changed(f"{project.shown(path)} looks `.{name}` up where no Parameter is", sure)
    opened = None if path.endswith(".ipynb") else project.opened(path)
    if opened is not None:
        yield from _in_tree(opened.tree, name, kin, f" of {project.shown(path)}", sure=sure)
    elif re.search(_CHANGES_TEXT.format(name=name), text) is not None:
        yield Changed(f"{project.shown(path)} changes `.{name}`", sure)


def _in_tree(
    tree: ast.AST,
    name: str,
    kin: Kin,
    file: str,
    *,
    sure: bool = True,
    store: ast.Attribute | None = None,
) -> Iterator[Changed]:
    for node, own in _changes(tree, name, kin):
        if node is not store:
            row = getattr(node, "lineno", 0)
            yield Changed(f"line {row}{file} changes `.{name}` as no Parameter can be", own or sure)


def _changes(tree: ast.AST, name: str, kin: Kin) -> Iterator[tuple[ast.AST, bool]]:
    """Every change of an attribute that may be this one; whether the class says that it is."""
    stack: list[tuple[ast.AST, tuple[ast.AST, ...], bool, bool]] = [(tree, (), False, False)]
    called = _called(tree, name)
    while stack:
        node, around, own, quiet = stack.pop()
        if isinstance(node, ast.ClassDef):
            own = kin.includes(node)
        quiet = quiet or switches_off(node)
        if isinstance(node, ast.Attribute) and node.attr == name:
            is_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if (own or not is_self) and _is_changed(node, around, quiet=quiet):
                yield node, own and is_self
        elif isinstance(node, ast.Name) and node.id in called:
            bound = isinstance(node.ctx, ast.Store) and not isinstance(around[0], ast.AugAssign)
            if not bound and _is_changed(node, around, quiet=quiet):
                yield node, False
        elif isinstance(node, ast.Call) and _sets_by_string(node, name):
            yield node, False
        inner = (node, *around[:3])
        stack += [(child, inner, own, quiet) for child in reversed(children(node))]


def _called(tree: ast.AST, name: str) -> frozenset[str]:
    """What an attribute is called where it is changed: ``s = net.scale``, and then ``s *= 2``."""
    return frozenset(
        target.id
        for node in walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Attribute)
        if node.value.attr == name
        for target in node.targets
        if isinstance(target, ast.Name)
    )


def switches_off(node: ast.AST) -> bool:
    """``with torch.no_grad():``, or a function that is decorated so: writes are not recorded."""
    if isinstance(node, (ast.With, ast.AsyncWith)):
        given = [item.context_expr for item in node.items]
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        given = node.decorator_list
    else:
        return False
    return any(isinstance(n, ast.Attribute) and n.attr in _OFF for one in given for n in walk(one))


def _is_changed(
    node: ast.Attribute | ast.Name, around: tuple[ast.AST, ...], *, quiet: bool
) -> bool:
    parent = around[0]
    if isinstance(node.ctx, ast.Store):
        if isinstance(parent, ast.AugAssign):
            return not quiet
        if isinstance(parent, (ast.Assign, ast.AnnAssign)):
            return parent.value is not None and not _is_parameter(parent.value, last_name(node))
        return True
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return isinstance(parent.ctx, ast.Store) and not quiet
    if isinstance(parent, ast.Attribute) and parent.attr.endswith("_"):
        called = len(around) > 1 and isinstance(around[1], ast.Call) and around[1].func is parent
        return called and not parent.attr.startswith(("_", "requires_grad")) and not quiet
    return isinstance(parent, ast.keyword) and parent.arg == "out" and not quiet


def _is_parameter(value: ast.expr, name: str) -> bool:
    """What a Module takes under the name of a Parameter, or what will be one, too."""
    if isinstance(value, ast.Constant):
        return value.value is None
    names = {last_name(n.func) for n in walk(value) if isinstance(n, ast.Call)}
    reads = any(isinstance(n, ast.Attribute) and n.attr == name for n in walk(value))
    direct = isinstance(value, ast.Call) and last_name(value.func) in _PARAMETERS
    return direct or (bool(names & _PARAMETERS) and not reads)


def _sets_by_string(call: ast.Call, name: str) -> bool:
    """``setattr(net, "name", value)`` of what is no Parameter."""
    if last_name(call.func) not in ("setattr", "__setattr__") or len(call.args) < 2:
        return False
    key, value = call.args[-2], call.args[-1]
    spoken = isinstance(key, ast.Constant) and key.value == name
    return spoken and not _is_parameter(value, name)
