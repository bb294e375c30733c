"""Which names of a module other files may take: it lists them in ``__all__``, or they import them.

A name that is taken means the object that it is bound to last, so it cannot be given to another.
"""

from __future__ import annotations

import ast
import os
import re

from gradfix.flow.around import files_below, top_of
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk


def taken_by(flow: ModuleFlow, name: str) -> str:
    """Who takes a name of the module's top level, in words; empty where nobody is known to."""
    if "__all__" in flow.text and _is_listed(flow.tree, name):
        return "`__all__`"
    if flow.others is None:
        return ""
    project, path = flow.others.session.project, flow.others.path
    top = top_of(project, path)
    if top is None:
        return ""
    project.looked_around[path] = top
    files = files_below(project, top)
    if files is None:
        return "a project that is too large to be read"
    stem = _module_name(path)
    word, takes = re.compile(rf"\b{name}\b"), _taking(stem, name)
    run, listed = _running(stem), _listing(stem)
    spelled = [re.compile(rf"[\"'](?:\w+\.)*{re.escape(one)}[\"']") for one in (stem, name)]
    for other in files:
        text = "" if other == path else project.text(other) or ""
        if stem not in text:
            continue
        if name in text and word.search(text) and (takes.search(text) or run.search(text)):
            return f"`{project.shown(other)}`"
        if all(one.search(text) for one in spelled):  # ``get("stem", "name")``
            return f"`{project.shown(other)}`"
        called = [stem, *re.findall(rf"\b{re.escape(stem)}\s+as\s+(\w+)", text)]
        if any(re.search(rf"\b{one}\.{name}\b", text) for one in called[1:]) or any(
            listed.search(text) if one == stem else _listing(one).search(text) for one in called
        ):
            return f"`{project.shown(other)}`"
    return ""


def _is_listed(tree: ast.Module, name: str) -> bool:
    """Whether a statement about ``__all__`` mentions the name as a string."""
    return any(
        isinstance(part, ast.Constant) and part.value == name
        for statement in tree.body
        if any(isinstance(part, ast.Name) and part.id == "__all__" for part in walk(statement))
        for part in walk(statement)
    )


def _module_name(path: str) -> str:
    folder, file = os.path.split(path)
    stem = file.partition(".")[0]
    return os.path.basename(folder) if stem == "__init__" else stem


def _taking(stem: str, name: str) -> re.Pattern[str]:
    """``from stem import name`` (in parentheses, too), ``from stem import *``, ``stem.name``."""
    module, name = re.escape(stem), re.escape(name)
    listed = rf"(?:\([^)]*\b{name}\b|[^\n(]*\b{name}\b|\s*\*)"
    return re.compile(rf"\bfrom\s+[\w.]*\b{module}\s+import\s*{listed}|\b{module}\.{name}\b")


def _running(stem: str) -> re.Pattern[str]:
    """What loads a module by its name or its file: ``run_path("stem.py")``, ``%run stem.py``."""
    loads = r"import_module|__import__|run_path|run_module|spec_from_file_location|exec"
    module = re.escape(stem)
    return re.compile(rf"\b(?:{loads})\([^\n]*\b{module}\b|%run\b[^\n]*\b{module}\b")


def _listing(name: str) -> re.Pattern[str]:
    """What may take any name: ``vars(stem)``, ``stem.__dict__``, ``getattr(stem, key)``."""
    module = re.escape(name)
    return re.compile(rf"\b(?:vars|dir|getattr)\(\s*[\w.]*\b{module}\s*[,)]|\b{module}\.__dict__")
