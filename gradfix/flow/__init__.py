"""What is this value? Flow-sensitive abstract interpretation of code that uses PyTorch.

`analyse` is the entrance; all a codemod may ask is a method of `ModuleFlow` or an event type.
"""

from __future__ import annotations

import ast
import warnings

from gradfix.errors import SourceError
from gradfix.flow.module import ModuleFlow

__all__ = ["ModuleFlow", "analyse", "parse"]


def parse(text: str) -> ast.Module:
    """The syntax tree of ``text``.

    Raises:
        SourceError: when the text is not valid Python, with the row.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise SourceError(f"invalid syntax: {error.msg}", error.lineno) from None
    except ValueError as error:
        raise SourceError(f"cannot be parsed: {error}") from None
    except (RecursionError, MemoryError):
        raise SourceError("the code is nested too deeply to be parsed") from None


def analyse(text: str) -> ModuleFlow:
    """All facts about one source text.

    Raises:
        SourceError: when the text is not valid Python, or nested too deeply to be analysed.
    """
    tree = parse(text)
    try:
        return ModuleFlow(text, tree)
    except RecursionError:
        raise SourceError("the code is nested too deeply to be analysed") from None
