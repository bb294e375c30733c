"""From what the user typed to files: which file, which project, which names in it."""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gradfix.config import Settings
from gradfix.errors import ConfigError
from gradfix.files import discover
from gradfix.model import Failure

_MARKERS = ("pyproject.toml", "setup.py", "setup.cfg", "gradfix.toml", ".git")
CASES_NAME = "gradfix_cases.py"
SettingsOf = Callable[[Path], Settings]


@dataclass(slots=True)
class Target:
    """One file to load and the names asked for in it (none: every module class)."""

    path: Path
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Location:
    """How Python finds a file: ``entry`` goes on ``sys.path``, ``root`` is the user's project."""

    path: Path
    root: Path
    entry: Path
    module: str


def resolve(texts: tuple[str, ...], settings_of: SettingsOf) -> tuple[list[Target], list[Failure]]:
    """The files named by the targets, each once, in the order given, and what could not be reached.

    Raises ConfigError for a target that names nothing that exists.
    """
    found: dict[Path, Target] = {}
    failures: list[Failure] = []
    for text in texts:
        for item in _resolve_one(text, settings_of):
            if isinstance(item, Failure):
                failures.append(item)
                continue
            path, name = item
            target = found.get(path)
            if target is None:
                found[path] = Target(path, [name] if name else [])
            elif not name:
                target.names = []
            elif target.names and name not in target.names:
                target.names.append(name)
    return list(found.values()), failures


def _resolve_one(text: str, settings_of: SettingsOf) -> Iterator[tuple[Path, str | None] | Failure]:
    path, name = Path.cwd() / text, ""
    if not path.exists() and ":" in text:
        head, _, name = text.rpartition(":")
        path = Path.cwd() / head
        if not all(part.isidentifier() for part in name.split(".")):
            raise ConfigError(f"{text}: {name!r} is not the name of a class or function")
    else:
        head = text
    if not path.exists():
        path = _file_of_module(head, Path.cwd())
    if path.is_dir():
        if name:
            raise ConfigError(f"{text}: a folder has no class {name!r}")
        for item in discover([str(path)], settings_of):
            if isinstance(item, Failure):
                yield item
            elif not item.path.endswith(CASES_NAME):
                yield Path(os.path.abspath(item.path)), None
    elif path.suffix == ".py":
        yield Path(os.path.abspath(path)), name or None
    else:
        raise ConfigError(f"{text}: not a Python file")


def _file_of_module(dotted: str, base: Path) -> Path:
    if all(part.isidentifier() for part in dotted.split(".")):
        relative = Path(*dotted.split("."))
        for entry in [base, base / "src", *(Path(p) for p in sys.path if p)]:
            for candidate in (entry / relative.with_suffix(".py"), entry / relative):
                if candidate.is_file() or (candidate / "__init__.py").is_file():
                    return candidate
    raise ConfigError(f"{dotted}: no such file, folder or module")


def locate(path: Path, tree: ast.Module) -> Location:
    """Where the file is importable from, the way running its project from its root would."""
    entry = path.parent
    # A checkout's own ``__init__.py`` makes no package of a folder with a name like ``my-project``.
    while (entry / "__init__.py").is_file() and entry.name.isidentifier():
        entry = entry.parent
    root = _project_root(entry)
    if entry == path.parent and _is_relative_importer(tree):
        # A namespace package: nothing marks its top, so the project root decides.
        entry = root if root != entry and root in entry.parents else entry.parent
        root = root if root in (entry, *entry.parents) else entry
    top = _imported_parent(entry, tree)
    if top is not None:
        entry = top
        root = root if root in (entry, *entry.parents) else entry
    parts = list(path.relative_to(entry).with_suffix("").parts)
    if parts[-1] == "__init__" and len(parts) > 1:
        parts.pop()
    return Location(path, root, entry, ".".join(parts))


def cases_file(path: Path, root: Path, given: str | None) -> Path | None:
    """The cases for a file: those given, else the nearest ``gradfix_cases.py`` up to the root."""
    if given is not None:
        return Path(given).resolve()
    for folder in (path.parent, *path.parent.parents):
        if (folder / CASES_NAME).is_file():
            return folder / CASES_NAME
        if folder == root:
            break
    return None


def _project_root(entry: Path) -> Path:
    for folder in (entry, *entry.parents):
        if folder in (Path.home(), Path(folder.anchor)):
            break
        if any((folder / marker).exists() for marker in _MARKERS):
            return folder
    return entry


def _imported_parent(entry: Path, tree: ast.Module) -> Path | None:
    """The folder above a package that the file imports by name from inside of it.

    Without an ``__init__.py`` nothing else marks ``pkg`` in ``from pkg import part``.
    """
    names = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    names |= {
        n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and not n.level
    }
    tops = {name.partition(".")[0] for name in names}
    for folder in (entry, *entry.parents[:2]):
        unclear = (entry / folder.name).exists() or (entry / f"{folder.name}.py").exists()
        if folder.name in tops and not unclear:
            return folder.parent
    return None


def _is_relative_importer(tree: ast.Module) -> bool:
    return any(isinstance(node, ast.ImportFrom) and node.level > 0 for node in ast.walk(tree))
