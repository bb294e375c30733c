"""Unified diffs that ``patch -p1`` and ``git apply`` accept."""

from __future__ import annotations

import difflib

_NO_NEWLINE = b"\\ No newline at end of file\n"
_QUOTED = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def unified(filename: str, before: bytes, after: bytes) -> bytes:
    """The difference between two states of a file, byte for byte; empty if there is none."""
    old, new = _lines(before), _lines(after)
    lines = difflib.diff_bytes(
        difflib.unified_diff, old, new, _header("a/", filename), _header("b/", filename)
    )
    return b"".join(line if line.endswith(b"\n") else line + b"\n" + _NO_NEWLINE for line in lines)


def _lines(data: bytes) -> list[bytes]:
    """Lines as patch counts them: ended by LF only."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    return [line for line in lines if line]


def _header(prefix: str, filename: str) -> bytes:
    name = prefix + filename
    if any(character in _QUOTED for character in name):
        name = '"' + "".join(_QUOTED.get(character, character) for character in name) + '"'
    elif " " in name:
        name += "\t"  # tells patch where the name ends
    return name.encode("utf-8", "surrogateescape")
