"""The files that are interpreted for the sake of others."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from gradfix.flow import classes
from gradfix.flow.nodes import walk
from gradfix.flow.project import Project
from gradfix.flow.top_level import Opened

if TYPE_CHECKING:
    from gradfix.flow.doubts import Doubts, Known
    from gradfix.flow.module import ModuleFlow

#: How many files may be interpreted for the sake of each other.
_DEPTH = 12


class Session:
    """The files that are interpreted for the sake of others, once for all sources of a run.

    What is found out about a file must not depend on which file was looked at before. Where two
    files need each other, one is asked while it is not ready; what the other makes of that is used
    for this question and then forgotten.
    """

    def __init__(
        self,
        project: Project,
        make: Callable[[Opened, Session], ModuleFlow],
        doubts: Doubts | None = None,
    ) -> None:
        self.project = project
        self.doubts = doubts
        self.known_doubts: Known = {}
        self.doubting: dict[Doubts, Session] = {}  # the same, with some doubts
        self._make = make
        self._flows: dict[str, ModuleFlow | None] = {}
        self._for_now: dict[str, ModuleFlow | None] = {}
        self._busy: list[str] = []
        self._looked_up: dict[ast.AST, frozenset[str]] = {}
        self._attributes: dict[ast.AST, frozenset[str]] = {}
        self._lowest = _DEPTH  # the outermost file that was asked while it was not ready

    def release(self, paths: Iterable[str]) -> None:
        """Take the facts about some files apart: they refer to each other in circles."""
        paths = list(paths)
        for path in paths:
            for known in (self._flows, self._for_now):
                flow = known.pop(path, None)
                if flow is not None:
                    flow.release()
        self._looked_up.clear()
        self._attributes.clear()
        for session in self.doubting.values():
            session.release(paths)

    def looked_up(self, method: classes.Method) -> frozenset[str]:
        """The attributes of ``self`` that a method uses."""
        if method not in self._looked_up:
            self._looked_up[method] = frozenset(classes.looked_up(method))
        return self._looked_up[method]

    def attributes_in(self, node: ast.AST) -> frozenset[str]:
        """The names of all attributes that are used inside a class."""
        if node not in self._attributes:
            parts = (part.attr for part in walk(node) if isinstance(part, ast.Attribute))
            self._attributes[node] = frozenset(parts)
        return self._attributes[node]

    def flow(self, path: str) -> ModuleFlow | None:
        """The facts about another file; None for those that cannot be had, or are not ready."""
        for known in (self._flows, self._for_now):
            if path in known:
                self.project.use(path)
                return known[path]
        if path in self._busy or len(self._busy) >= _DEPTH:
            at = self._busy.index(path) if path in self._busy else 0
            self._lowest = min(self._lowest, at)
            return None
        opened = self.project.opened(path)
        outer, self._lowest = self._lowest, _DEPTH
        self._busy.append(path)
        try:
            made = self._make(opened, self) if opened is not None else None
        except RecursionError:
            made = None
        self._busy.pop()
        at = len(self._busy)
        (self._flows if self._lowest >= at else self._for_now)[path] = made
        self._lowest = min(outer, self._lowest if self._lowest < at else _DEPTH)
        if not self._busy:
            self._for_now.clear()
        return made
