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

_EXPECTS = re.compile(r"\b(?:raises|assertRaises\w*|suppress)\(|\bexcept\s*\(?[^:\n]*RuntimeError")
_REFUSALS = frozenset({"RuntimeError", "ValueError", "TypeError", "Exception", "BaseException"})
_WORD = re.compile(r"\w+")


class Expected:
    """The errors that files which may be loaded with one expect of it; none without doubts."""

    def __init__(self, flow: ModuleFlow) -> None:
        self._flow = flow
        self._texts = {
            path: text for path, text in strangers(flow).items() if _EXPECTS.search(text)
        }

    def at(self, row: int) -> bool:
        """Whether one expects an error of the function or class that a row is in."""
        if not self._texts:
            return False
        names = {name for name, first, last in self._places if first <= row <= last}
        return any(not names.isdisjoint(words) for words in self._words)

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

    @cached_property
    def _words(self) -> list[set[str]]:
        """The words of each place that expects PyTorch to refuse something."""
        known = {name for name, _, _ in self._places}
        return [
            words
            for path, text in self._texts.items()
            if any(name in text for name in known)
            for words in _expecting(self._flow, path, text)
        ]


def _expecting(flow: ModuleFlow, path: str, text: str) -> Iterator[set[str]]:
    """The words of each place of a file that expects PyTorch to refuse something."""
    assert flow.others is not None
    other = read(flow.others.session.project, path)
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
        elif isinstance(node, ast.Expr) and len(given := list(_refused(node.value))) > 0:
            named, inside = set(given), [node.value]
        if "RuntimeError" in named:
            yield set(_WORD.findall(text))  # what is made in front of the block counts as well
        elif inside:
            yield {last_name(part) for one in inside for part in walk(one)}


def _refused(call: ast.expr) -> Iterator[str]:
    """The errors that ``raises(ValueError)`` and its kin expect."""
    if isinstance(call, ast.Call):
        asked = last_name(call.func)
        if asked in ("raises", "suppress") or asked.startswith("assertRaises"):
            named = {last_name(n) for given in call.args[:1] for n in walk(given)}
            yield from named & _REFUSALS
