"""All source files of a project, found by what its folders hold.

NOTE: what a project is. The nearest folder around a file that looks like the top of one, within
what the run was given; the whole of what it was given where none does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradfix.flow.project import Project

#: More than that is not read for the sake of one question.
_FOLDERS, _FILES, _CHARACTERS = 2_000, 4_000, 60_000_000
_TOPS = frozenset({".git", "pyproject.toml", "setup.py"})
_SKIPPED = frozenset("node_modules site-packages build dist venv env __pycache__".split())


def top_of(project: Project, path: str) -> str | None:
    """The folder that holds the project of a file; None where no folder was given around it."""
    folder = os.path.dirname(path)
    around = [root for root in project.roots if f"{folder}{os.sep}".startswith(_slashed(root))]
    if not around:
        return None
    outermost = min(around, key=len)
    at = max(around, key=len)
    while at != outermost:
        if _TOPS & (project.listing(at) or frozenset()):
            return at
        at = os.path.dirname(at)
    return outermost


def _slashed(folder: str) -> str:
    return folder.rstrip(os.sep) + os.sep


def files_below(project: Project, top: str) -> list[str] | None:
    """The source files below a folder; None where they are too many."""
    if top not in project.around:
        project.around[top] = _files_below(project, top)
    return project.around[top]


def _files_below(project: Project, top: str) -> list[str] | None:
    found: list[str] = []
    folders, queue, size = 0, [top], 0
    while queue:
        folder = queue.pop()
        folders += 1
        for name in sorted(project.listing(folder) or ()):
            path = os.path.join(folder, name)
            if name.endswith((".py", ".ipynb")):
                found.append(path)
                size += len(project.text(path) or "")
            elif name not in _SKIPPED and not name.startswith(".") and "." not in name:
                queue.append(path)
        if folders > _FOLDERS or len(found) > _FILES or size > _CHARACTERS:
            return None
    return found
