"""``from module import *``: names that are bound already, and may mean something else from now on.

What another library brings is not known, and is taken to leave the names of this file alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gradfix.flow.nodes import last_name
from gradfix.flow.places import Folder, Outside
from gradfix.flow.project import Project
from gradfix.flow.values import Value, reference, unknown

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow

_STAR = re.compile(r"import\s*\(?\s*\*")
_ALL = re.compile(r"^__all__\s*=\s*(?:\[([^\]]*)\]|\(([^)]*)\))\s*$", re.M)
_LISTED = re.compile(r"[\"'](\w+)[\"']")


def brought(
    flow: ModuleFlow, node: ast.ImportFrom, bound: Iterable[str], *, loud: bool
) -> list[tuple[str, Value]]:
    """Those of the ``bound`` names that a star binds once more, and what they hold then."""
    others, module = flow.others, "." * node.level + (node.module or "")
    if others is None:
        return []
    if loud:
        others.stars.append(module)
    project = others.session.project
    names = [name for name in bound if "." not in name]
    files = _files(project, module, others.path) if names else []
    bindable = _may_bind(project, files, frozenset(names))
    found = []
    for name in names:
        if name in bindable and project.starred(module, name, others.path):
            asked = reference(f"{module}{'' if module.endswith('.') else '.'}{name}")
            value = others.follow(asked)
            found.append((name, unknown() if value is asked else value))
    return found


def never_runs(node: ast.ImportFrom, path: Sequence[ast.AST]) -> bool:
    """Whether an import stands in ``if TYPE_CHECKING:``; ``path`` leads to it, as in `Recorder`."""
    around = path[-1] if path else None
    if not isinstance(around, ast.If) or last_name(around.test) != "TYPE_CHECKING":
        return False
    return node in around.body


def _files(project: Project, module: str, importer: str) -> list[str]:
    """The file of a module of the project, and those of all the stars that lead there."""
    found: dict[str, None] = {}
    queue = [(module, importer)]
    for asked, by in queue:  # which grows
        place = project.resolve(asked, by)
        if place is None or isinstance(place, Outside):
            continue
        path = f"{place.path}/__init__.py" if isinstance(place, Folder) else place.path
        if path in found:
            continue
        found[path] = None
        if _STAR.search(project.text(path) or "") is not None:  # most have none: nothing is parsed
            opened = project.opened(path)
            queue += [(star, path) for star in (opened.stars_after("") if opened else ())]
    return list(found)


def _may_bind(project: Project, files: Iterable[str], names: frozenset[str]) -> set[str]:
    """Those of some names that one of some files may bind, and give to who asks for a star."""
    found: set[str] = set()
    for path in files:
        text = project.text(path) or ""
        listed = _ALL.search(text) if text.count("__all__") == 1 else None
        if listed is not None:  # nearly none of these has to be parsed
            asked = names.intersection(_LISTED.findall(listed[1] or listed[2] or ""))
        else:
            asked = frozenset(name for name in names if name in text)
        opened = project.opened(path) if not found.issuperset(asked) else None
        if opened is not None:
            found.update(filter(opened.mentions, asked))
    return found
