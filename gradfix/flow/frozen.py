"""Which layers of a file another one may freeze, where it switches ``requires_grad`` off.

``for p in net.body.parameters(): p.requires_grad = False`` freezes what is called ``body``, and all
that is in it. What is a layer of PyTorch there, or a Module that holds nothing of other files,
is none of this file's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from gradfix.flow.nodes import LOOPS, last_name, walk
from gradfix.flow.strangers import HOLDS, Stranger, read

if TYPE_CHECKING:
    from gradfix.flow.project import Project

#: Sets the flag to what is not ``True``, or may do so.
_FREEZES = re.compile(
    r"requires_grad\s*=(?!=)(?!\s*True\b)|requires_grad_\((?!\s*\)|\s*True\b)|[\"']requires_grad\b"
)
_LISTS = frozenset("parameters named_parameters modules named_modules children buffers".split())
_OF_A_LAYER = re.compile(r"weight|bias")
_PYTORCH = frozenset("nn torch F math len range int".split())
_EVERYBODYS = frozenset({"Module", "object", "ABC", "Generic", "Protocol"})
_NAMES_PARTS = frozenset({"dict", "ModuleDict", "OrderedDict", "update"})


def frozen_by(
    project: Project | None, texts: Mapping[str, str], path: str
) -> frozenset[str] | None:
    """The attributes whose layers, made in other files, one of them may freeze; None for any."""
    if "requires_grad" not in texts[path] or _FREEZES.search(texts[path]) is None:
        return frozenset()
    stranger = None if project is None else read(project, path)
    if project is None or stranger is None:
        return None
    return _names(project, texts, path, stranger)


def _names(
    project: Project, texts: Mapping[str, str], path: str, stranger: Stranger
) -> frozenset[str] | None:
    found: set[str] = set()
    for frozen in _frozen(stranger.tree):
        if _may_be(stranger, frozen, texts, path):
            name = _attribute(frozen)
            if name and name in found:
                continue
            if not name or any(_holds(project, f, t, name) for f, t in texts.items() if name in t):
                return None
            found.add(name)
    return frozenset(found)


def _frozen(tree: ast.Module) -> Iterator[ast.expr]:
    """What a file freezes: a Module, a tensor, or what a loop goes through."""
    looped: dict[str, list[ast.expr]] = {}
    for node in walk(tree):
        if isinstance(node, (*LOOPS, ast.comprehension)) and not isinstance(node, ast.While):
            for target in walk(node.target):
                if isinstance(target, ast.Name):
                    looped.setdefault(target.id, []).append(node.iter)
    for node in walk(tree):
        for target in _switched(node):
            iterated = looped.get(target.id) if isinstance(target, ast.Name) else None
            for one in iterated or ():
                asked = [n for n in walk(one) if isinstance(n, ast.Attribute) and n.attr in _LISTS]
                yield from (n.value for n in asked) if asked else (one,)
            if iterated is None:
                yield target


def _switched(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions whose flag some syntax sets to what is not certainly True."""
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in (t for one in targets for t in walk(one)):
            if isinstance(target, ast.Attribute) and target.attr == "requires_grad":
                if not (isinstance(node.value, ast.Constant) and node.value.value is True):
                    yield target.value
        made = node.value
        if isinstance(made, ast.Call) and any(k.arg == "requires_grad" for k in made.keywords):
            yield from (t for t in targets if isinstance(t, ast.Attribute))
    elif isinstance(node, ast.Call):
        asked = last_name(node.func)
        if asked == "requires_grad_" and isinstance(node.func, ast.Attribute):
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            if any(not (isinstance(g, ast.Constant) and g.value is True) for g in given):
                yield node.func.value
        elif asked in ("setattr", "__setattr__", "register_parameter") and node.args:
            if any(isinstance(n, ast.Constant) and n.value == "requires_grad" for n in node.args):
                yield node.args[0]
            elif any(isinstance(n, ast.keyword) and n.arg == "requires_grad" for n in walk(node)):
                yield node


def _may_be(stranger: Stranger, node: ast.expr, texts: Mapping[str, str], path: str) -> bool:
    """Whether what is frozen may be, or hold, a Module of another file."""
    if isinstance(node, ast.Name) and node.id == "self":
        return stranger.may_be(node) or any(
            any(last_name(base) not in _EVERYBODYS for base in one.bases)
            or any(
                re.search(rf"class[ \t]+\w+[^:\n]*\b{one.name}\b", text)
                for file, text in texts.items()
                if file != path and one.name in text
            )
            for one in stranger.classes.values()
        )
    return stranger.may_be(node)


def _attribute(node: ast.expr) -> str:
    """What the Module is called whose Parameters are frozen; empty where that does not show."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Attribute) and _OF_A_LAYER.search(node.attr) is None:
            return node.attr
        node = node.value
    return ""


def _holds(project: Project, path: str, text: str, name: str) -> bool:
    """Whether a file may give an attribute of this name what is no layer of PyTorch's own."""
    if re.search(rf"[\"']{name}\b", text) is not None:
        return True
    if f".{name}" not in text and re.search(rf"\b{name}\s*=", text) is None:
        return False  # no attribute, and no keyword
    file = read(project, path)
    if file is None:
        return True
    for target, values in file.bound.items():
        if target.endswith(f".{name}") and not all(map(_is_layer, values)):
            return True
    return any(
        isinstance(node, ast.Call)
        and last_name(node.func) in _NAMES_PARTS
        and any(keyword.arg == name for keyword in node.keywords)
        for node in walk(file.tree)
    )


def _is_layer(value: ast.expr) -> bool:
    """Whether an expression makes layers of PyTorch's own, and puts nothing else in them."""
    if not isinstance(value, ast.Call):
        return isinstance(value, ast.Constant)
    for call in (node for node in walk(value) if isinstance(node, ast.Call)):
        root: ast.expr = call.func
        while isinstance(root, ast.Attribute):
            root = root.value
        if getattr(root, "id", "") not in _PYTORCH:
            return False
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        if HOLDS.search(last_name(call.func)) and not all(map(_is_layer, given)):
            return False
    return True
