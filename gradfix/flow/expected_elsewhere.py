"""Errors that other files expect of this one: a test of a refusal, or a way around it.

``with pytest.raises(RuntimeError): net(x).sum().backward()`` passes because the code is as it is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from gradfix.flow.nodes import FUNCTIONS, last_name, walk
from gradfix.flow.strangers import read, strangers

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.project import Project

_EXPECTS = re.compile(r"\b(?:raises|assertRaises\w*|suppress)\(|\bexcept\s*\(?[^:\n]*RuntimeError")
_WORDS = ("raises(", "assertRaises", "suppress(", "RuntimeError")
_REFUSALS = frozenset({"RuntimeError", "ValueError", "TypeError", "Exception", "BaseException"})
_WORD = re.compile(r"\w+")


class Expected:
    """The errors that files which may be loaded with one expect of it; none without doubts."""

    def __init__(self, flow: ModuleFlow) -> None:
        self._flow = flow

    def at(self, row: int) -> bool:
        """Whether one expects an error of the function or class that a row is in."""
        if not self._texts:
            return False
        names = {name for name, first, last in self._places if first <= row <= last}
        return any(
            not names.isdisjoint(words)
            for path, text in self._texts.items()
            if any(name in text for name in names)
            for words in self._expecting(path, text)
        )

    @cached_property
    def _texts(self) -> dict[str, str]:
        """The texts that may expect an error at all."""
        if self._flow.doubts is None:
            return {}
        some = self._flow.doubts.mentioning(_WORDS)
        return {path: text for path, text in strangers(self._flow).items() if path in some}

    def _expecting(self, path: str, text: str) -> tuple[frozenset[str], ...]:
        """The words of each place of one file that expects PyTorch to refuse something."""
        flow = self._flow
        assert flow.doubts is not None
        assert flow.others is not None
        known = flow.doubts.expecting
        if path not in known:
            known[path] = tuple(_expecting(flow.others.session.project, path, text))
        return known[path]

    @cached_property
    def _places(self) -> list[tuple[str, int, int]]:
        """The classes and functions of the file, but for what every Module has, and their rows."""
        return [
            (node.name, node.lineno, node.end_lineno or node.lineno)
            for node in walk(self._flow.tree)
            if isinstance(node, (*FUNCTIONS, ast.ClassDef))
            and node.name != "forward"
            and not node.name.startswith("__")
        ]


def _expecting(project: Project, path: str, text: str) -> Iterator[frozenset[str]]:
    """The words of each place of one file that expects PyTorch to refuse something."""
    if _EXPECTS.search(text) is None:
        return
    other = read(project, path)
    for node in walk(other.tree) if other is not None else ():
        inside: list[ast.AST] = []
        named: set[str] = set()
        if isinstance(node, ast.Try):
            caught = [handler.type for handler in node.handlers if handler.type is not None]
            if "RuntimeError" in {last_name(n) for one in caught for n in walk(one)}:
                inside = list(node.body)
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            named = {name for item in node.items for name in _refused(item.context_expr)}
            inside = list(node.body) if named else []
        elif isinstance(node, ast.Expr):
            named = set(_refused(node.value))
            inside = [node.value] if named else []
        if "RuntimeError" in named:
            # What is made in front of the block counts as well.
            yield frozenset(_WORD.findall(text))
        elif inside:
            yield frozenset(last_name(part) for one in inside for part in walk(one))


def _refused(call: ast.expr) -> Iterator[str]:
    """The errors that ``raises(ValueError)`` and its kin expect."""
    if isinstance(call, ast.Call):
        asked = last_name(call.func)
        if asked in ("raises", "suppress") or asked.startswith("assertRaises"):
            named = {last_name(n) for given in call.args[:1] for n in walk(given)}
            yield from named & _REFUSALS
