"""What the other files of a project do with an attribute of a class, found by its name.

NOTE: who is looked at. A class does not say who uses it, so every file of the project is read, and
those count that name the class or an attribute like it. Where a project is too large to be read as
a whole, the answer is that the attribute may be used.
"""

from __future__ import annotations

import ast
import enum
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gradfix.flow import classes
from gradfix.flow.around import files_below, top_of
from gradfix.flow.nodes import walk

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.project import Project

#: What a statement mentions that registers or trains what it takes from an attribute.
_TRAINS = frozenset(
    """parameters named_parameters state_dict requires_grad requires_grad_ add_param_group params
    add_module register_module register_parameter _modules _parameters setattr __setattr__ optim
    ModuleList ModuleDict ParameterList ParameterDict Sequential SGD Adam AdamW RMSprop Adagrad
    LBFGS""".split()
)
_TRAINS_TEXT = re.compile(r"\b(?:" + "|".join(sorted(_TRAINS)) + r")\b")
#: Goes through all parts of a Module, and meets more of them once they are registered.
_WALKS_TEXT = re.compile(r"\.(?:apply|(?:named_)?(?:children|modules))\(")
_LOOKS = frozenset("len enumerate zip reversed range print isinstance type".split())


class Use(enum.IntEnum):
    """What other files do with an attribute: nothing that matters, something, or they train it."""

    NONE = 0
    UNCLEAR = 1
    TRAINED = 2


def use_of(flow: ModuleFlow, facts: classes.ClassFacts, name: str) -> tuple[Use, str]:
    """What other files do with ``.name`` of a class of this file, and which file does it."""
    if flow.others is None:
        return Use.NONE, ""
    project, path = flow.others.session.project, flow.others.path
    family = _family(flow, facts)
    mentioning = _mentioning(project, path, name, family)
    if mentioning is None:
        return Use.UNCLEAR, ""
    found = Use.NONE, ""
    bound = re.compile(rf"\bself\.{name}\s*(?::[^=\n]+)?=(?!=)")
    # Where no other class has such an attribute, it is this one's that is meant.
    alone = not any(bound.search(project.text(other) or "") for other in mentioning)
    for other in mentioning:
        use = _use_in(project, other, name, family, alone=alone)
        if use > found[0]:
            found = use, project.shown(other)
    return found


def _family(flow: ModuleFlow, facts: classes.ClassFacts) -> frozenset[str]:
    """The names of a class and of those that this file derives from it."""
    entries = (flow.class_facts(n) for n in walk(flow.tree) if isinstance(n, ast.ClassDef))
    return frozenset(
        entry.node.name
        for entry in entries
        if entry is not None and (entry is facts or facts in classes.lineage(flow, entry))
    )


# -- one other file -----------------------------------------------------------------------------


def _use_in(project: Project, path: str, name: str, family: frozenset[str], *, alone: bool) -> Use:
    text = project.text(path) or ""
    names = any(re.search(rf"\b{word}\b", text) for word in family)
    knows = alone or names
    if path.endswith(".ipynb"):
        if names and _WALKS_TEXT.search(text):
            return Use.UNCLEAR
        lines = [line for line in text.splitlines() if re.search(rf"(?<!\bself)\.{name}\b", line)]
        trained = knows and any(_TRAINS_TEXT.search(line) for line in lines)
        return Use.TRAINED if trained else Use.UNCLEAR if lines else Use.NONE
    if not names and re.search(rf"(?<!\bself)\.{name}\b", text) is None:
        return Use.NONE  # all such attributes are those of its own classes
    opened = project.opened(path)
    if opened is None:
        return Use.UNCLEAR
    found = Use.UNCLEAR if names and _WALKS_TEXT.search(text) else Use.NONE
    for use in _uses(opened.tree, name, family):
        trained = any(_trains(node) for node in use[0])
        found = max(found, use[1] if not trained else Use.TRAINED if knows else Use.UNCLEAR)
    return found


def _uses(
    tree: ast.AST, name: str, family: frozenset[str]
) -> Iterator[tuple[tuple[ast.AST, ...], Use]]:
    """Every use of an attribute of that name on what may be an object of the class.

    Each comes with the syntax around it, innermost first, up to the loop or statement it is in.
    """
    stack: list[tuple[ast.AST, tuple[ast.AST, ...], bool]] = [(tree, (), False)]
    while stack:
        node, around, own = stack.pop()
        if isinstance(node, ast.ClassDef):
            own = any(_last_name(base) in family for base in node.bases)
        if isinstance(node, ast.Attribute) and node.attr == name:
            is_self = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            if own or not is_self:
                yield _statement(around), _kind(node, around)
        inner = (node, *around[:12]) if not isinstance(node, ast.mod) else around
        stack += [(child, inner, own) for child in ast.iter_child_nodes(node)]


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _statement(around: tuple[ast.AST, ...]) -> tuple[ast.AST, ...]:
    """The statement that some syntax stands in; without the bodies of what is no loop over it."""
    for place, node in enumerate(around):
        if isinstance(node, (ast.For, ast.AsyncFor)):
            looped = (place > 0 and around[place - 1] is node.iter) or place == 0
            return (node,) if looped else (node.iter,)
        if isinstance(node, ast.stmt):
            return tuple(around[:place]) if hasattr(node, "body") else (node,)
    return around


def _kind(node: ast.Attribute, around: tuple[ast.AST, ...]) -> Use:
    """Whether a use only looks at the elements, one by one, or may do anything."""
    parent = around[0] if around else None
    if not isinstance(node.ctx, ast.Load):
        return Use.UNCLEAR
    if isinstance(parent, (ast.For, ast.comprehension)) and parent.iter is node:
        return Use.NONE
    if isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Load):
        called = len(around) > 1 and isinstance(around[1], (ast.Call, ast.Attribute))
        return Use.NONE if called and not isinstance(parent.slice, ast.Slice) else Use.UNCLEAR
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name):
        return Use.NONE if parent.func.id in _LOOKS else Use.UNCLEAR
    return Use.UNCLEAR


def _trains(node: ast.AST) -> bool:
    return any(
        (isinstance(part, ast.Attribute) and part.attr in _TRAINS)
        or (isinstance(part, ast.Name) and part.id in _TRAINS)
        or (isinstance(part, ast.Constant) and part.value == "params")
        for part in walk(node)
    )


# -- all files ----------------------------------------------------------------------------------


def _mentioning(project: Project, path: str, name: str, family: frozenset[str]) -> list[str] | None:
    """The other files with ``.name``, or the class, in them; None where they cannot be read."""
    top = top_of(project, path)
    if top is None:
        return []
    files = files_below(project, top)
    project.looked_around[path] = top
    if files is None:
        return None
    words = re.compile(rf"\.{re.escape(name)}\b|\b(?:{'|'.join(family)})\b")
    spelled = (f".{name}", *family)  # looking for text is faster than the pattern
    found = []
    for other in files:
        text = "" if other == path else project.text(other) or ""
        if any(word in text for word in spelled) and words.search(text) is not None:
            found.append(other)
    return found
