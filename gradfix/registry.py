"""Where codemods come from: every module of `gradfix.codemods`, found by scanning, never listed.

This module holds the one dynamic import of the project. A static ``import gradfix.codemods`` would
make type checkers fail in editable installs, where the package is mapped to ``codemods/``.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from gradfix.codemod import Codemod


@cache
def codemods() -> tuple[type[Codemod], ...]:
    """All codemods, ordered by code."""
    package = importlib.import_module("gradfix.codemods")
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


def codemod_for(code_or_name: str) -> type[Codemod] | None:
    """The codemod with this exact code (any case) or name, or None."""
    for codemod in codemods():
        if code_or_name.upper() == codemod.code or code_or_name.lower() == codemod.name():
            return codemod
    return None
