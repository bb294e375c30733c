"""Lines as Python counts them: ended by LF, CRLF or CR, and by nothing else.

`str.splitlines` also splits at form feeds and Unicode separators, which shifts every later row.
"""

from __future__ import annotations

import re

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LONE_CR = re.compile(r"\r(?!\n)")


def split_lines(text: str) -> list[str]:
    """The lines of ``text`` with their endings; joined they give ``text`` back."""
    return _LINE.findall(text)


def bare(line: str) -> str:
    """A line without its ending."""
    return line.rstrip("\r\n")


def ending(line: str) -> str:
    """The ending of a line, empty for a last line that has none."""
    return line[len(bare(line)) :]


def has_lone_cr(text: str) -> bool:
    """Whether some line ends with a carriage return alone."""
    return _LONE_CR.search(text) is not None
