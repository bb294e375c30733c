"""The base class of every codemod: one pattern, found by asking facts and mended by edits.

A codemod detects and never mutates: `find` yields findings whose fixes are lists of
`gradfix.model.Edit`; `gradfix.rewrite` applies them with LibCST. The same class runs under
LibCST's own runner (``python -m libcst.tool codemod -x gradfix.codemods.<module>.<Class>``), which
only needs ``DESCRIPTION``, ``add_args`` and ``transform_module``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Protocol

from gradfix.model import Edit, Finding, Fix, Note, Span, Values
from gradfix.words import mentions

if TYPE_CHECKING:
    import argparse
    import re

    import libcst
    from libcst.codemod import CodemodContext

    from gradfix.flow import ModuleFlow


class Trigger(Protocol):
    """Says whether a text can have a fault at all; compiled patterns can, and `Words`."""

    def search(self, text: str, /) -> object:
        """Something true where it can."""


class Words:
    """A trigger for texts with one of some literal words, or with a match of ``pattern``.

    Looking for a word is many times faster than looking for a pattern with alternatives.
    """

    def __init__(self, *words: str, pattern: re.Pattern[str] | None = None) -> None:
        self._words = words
        self._pattern = pattern

    def search(self, text: str, /) -> bool:
        """Whether one of them is in the text."""
        if any(mentions(text, word) for word in self._words):
            return True
        return self._pattern is not None and self._pattern.search(text) is not None


class AllOf:
    """A trigger for texts with all of some literal words."""

    def __init__(self, *words: str) -> None:
        self._words = words

    def search(self, text: str, /) -> bool:
        """Whether all of them are in the text."""
        return all(mentions(text, word) for word in self._words)


class NotFixable(Exception):
    """Raised while a fix is put together: the reason, in one sentence, why there is none."""


class Unsuitable(NotFixable):
    """Raised where the code only looks like the pattern: there is nothing to fix or to report."""


class Codemod(ABC):
    """One autograd fault: its code, its name, its manual (the docstring) and how to find it."""

    code: ClassVar[str]
    #: Only files whose text matches can have this fault; a speed filter, never a rule.
    trigger: ClassVar[Trigger]
    #: A word without which no file can have this fault; checked before the trigger.
    mentions: ClassVar[str] = "torch"
    #: Whether it rewrites code that works; held back where a real fault nearby is not fixed.
    modernises: ClassVar[bool] = False
    #: Whether its faults are also looked for in functions as the calls of the file show them.
    asks_callers: ClassVar[bool] = False
    DESCRIPTION: ClassVar[str] = ""

    def __init__(
        self, context: CodemodContext | None = None, *, unsafe_fixes: bool = False
    ) -> None:
        self.context = context
        self.unsafe_fixes = unsafe_fixes

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.DESCRIPTION = f"{cls.__dict__.get('code', '')} {cls.name()}: {cls.summary()}"

    @classmethod
    def name(cls) -> str:
        """The codemod's name: its module's file name with dashes."""
        return cls.__module__.rpartition(".")[2].replace("_", "-")

    @classmethod
    def manual(cls) -> str:
        """The manual page: the class docstring, dedented."""
        return inspect.cleandoc(cls.__doc__ or "")

    @classmethod
    def summary(cls) -> str:
        """The first line of the manual."""
        return cls.manual().partition("\n")[0]

    @abstractmethod
    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Yield every finding in one module, in any order."""

    # -- building findings ------------------------------------------------------------------

    def finding(
        self,
        span: Span,
        message: str,
        *,
        because: tuple[Note, ...] = (),
        help: str = "",
        fix: Fix | None = None,
        why_not: str | None = None,
    ) -> Finding:
        """A finding of this codemod; exactly one of ``fix`` and ``why_not`` must be given."""
        if (fix is None) == (why_not is None):
            raise ValueError("a finding has either a fix or a reason why there is none")
        return Finding(
            self.code, self.name(), span, message, because, help, fix, not_fixed_reason=why_not
        )

    @staticmethod
    def fix(title: str, *edits: Edit, doubt: str = "", values: Values = Values.SAME) -> Fix:
        """A fix made of edits that only make sense together, and what it promises about values.

        It is safe, unless ``doubt`` says in a clause what is not proven of it.
        """
        return Fix.of(title, edits, doubt, values)

    # -- LibCST's runner --------------------------------------------------------------------

    @staticmethod
    def add_args(parser: argparse.ArgumentParser) -> None:
        """Add this codemod's options to LibCST's command line."""
        parser.add_argument(
            "--unsafe-fixes", action="store_true", help="also apply fixes that are not proven"
        )

    @staticmethod
    def get_inherited_dependencies() -> frozenset[object]:
        """The LibCST metadata this codemod needs from the whole repository: none."""
        return frozenset()

    def transform_module(self, tree: libcst.Module) -> libcst.Module:
        """Rewrite one module with this codemod alone (entry point of LibCST's runner)."""
        from gradfix.engine import rewrite_tree

        return rewrite_tree(tree, [self], unsafe_fixes=self.unsafe_fixes)
