"""Where codemods come from: every module of `gradfix.codemods`, found by scanning, never listed.

This module holds the one dynamic import of the project. A static ``import gradfix.codemods`` would
make type checkers fail in editable installs, where the package is mapped to ``codemods/``.

NOTE: codes without codemods. What a run needs that analyses nothing (which codes there are, what
they are called, which words make a file worth reading) is read off the codemods' texts: importing
them, and the analysis with them, takes longer than finding everything in the cache. What a text
does not say as plainly as expected is asked of the classes, all of them.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from gradfix.codemod import Codemod

_PACKAGE = "gradfix.codemods"
#: A line that binds a name in the body of a class, and what it is bound to.
_BINDING = re.compile(r'    (\w+)(?: *:[^=]*)? *= *"([^"\\]*)" *')
_SAID = ("    code", "    mentions")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of a codemod without importing it, and the file that it was read from."""

    code: str
    name: str
    mentions: str
    path: str


@cache
def codemods() -> tuple[type[Codemod], ...]:
    """All codemods, ordered by code."""
    package = importlib.import_module(_PACKAGE)
    found: list[type[Codemod]] = []
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        found += [
            value
            for value in vars(module).values()
            if inspect.isclass(value)
            and issubclass(value, Codemod)
            and value.__module__ == module.__name__
        ]
    return tuple(sorted(found, key=lambda codemod: codemod.code))


@cache
def entries() -> tuple[Entry, ...]:
    """What there is to know of all codemods without importing them, ordered by code."""
    package = importlib.import_module(_PACKAGE)
    found = []
    for info in pkgutil.iter_modules(package.__path__):
        entry = _read(os.path.join(getattr(info.module_finder, "path", ""), f"{info.name}.py"))
        if entry is None:
            return entries_of(codemods())
        found.append(entry)
    return tuple(sorted(found, key=lambda entry: entry.code))


def entries_of(kinds: Iterable[type[Codemod]]) -> tuple[Entry, ...]:
    """What the classes themselves say."""
    return tuple(
        Entry(
            kind.code,
            kind.name(),
            kind.mentions,
            getattr(sys.modules.get(kind.__module__), "__file__", None) or "",
        )
        for kind in kinds
    )


def codemod_for(code_or_name: str) -> type[Codemod] | None:
    """The codemod with this exact code (any case) or name, or None."""
    for codemod in codemods():
        if code_or_name.upper() == codemod.code or code_or_name.lower() == codemod.name():
            return codemod
    return None


def _read(path: str) -> Entry | None:
    """The entry of the one codemod in a file; None where its text does not say it plainly."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError):  # no file of its own, or none that can be read
        return None
    said: dict[str, str] = {}
    # Every other part stands between quotes, where a manual may show anything.
    lines = "".join(text.split('"""')[::2]).split("\n")
    for line in lines:
        if line.startswith(_SAID):
            binding = _BINDING.fullmatch(line)
            if binding is None or binding[1] in said:
                return None
            said[binding[1]] = binding[2]
    if "code" not in said or "'''" in text:
        return None
    stem = os.path.basename(path).removesuffix(".py")
    return Entry(said["code"], stem.replace("_", "-"), said.get("mentions", Codemod.mentions), path)
