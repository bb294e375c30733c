"""``from module import *``: names that are bound already, and may mean something else from now on.

What another library brings is not known, and is taken to leave the names of this file alone.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING

from gradfix.flow.places import File, Folder, Outside
from gradfix.flow.project import Project
from gradfix.flow.values import Value, reference, unknown

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow


def brought(
    flow: ModuleFlow, node: ast.ImportFrom, bound: Iterable[str], *, loud: bool
) -> list[tuple[str, Value]]:
    """Those of the ``bound`` names that a star binds once more, and what they hold then."""
    others, module = flow.others, "." * node.level + (node.module or "")
    if others is None:
        return []
    if loud:
        others.stars.append(module)
    found = []
    project = others.session.project
    for name in bound:
        if "." in name or not project.starred(module, name, others.path):
            continue
        if _brings(project, module, name, others.path, frozenset()):
            asked = reference(f"{module}{'' if module.endswith('.') else '.'}{name}")
            value = others.follow(asked)
            found.append((name, unknown() if value is asked else value))
    return found


def _brings(project: Project, module: str, name: str, importer: str, seen: frozenset[str]) -> bool:
    """Whether a module of the project may bind a name that its star brings."""
    place = project.resolve(module, importer)
    if place is None or isinstance(place, Outside) or importer in seen:
        return False
    path = f"{place.path}/__init__.py" if isinstance(place, Folder) else place.path
    opened = project.opened(path) if isinstance(place, (File, Folder)) else None
    if opened is None:
        return False
    return opened.mentions(name) or any(
        _brings(project, star, name, path, seen | {importer}) for star in opened.stars_after("")
    )
