"""Unified diffs that ``patch -p1`` and ``git apply`` accept; those of notebooks are for people."""

from __future__ import annotations

import difflib

from gradfix.model import Outcome

_NO_NEWLINE = b"\\ No newline at end of file\n"
_QUOTED = {"\\": "\\\\", '"': '\\"', "\t": "\\t", "\n": "\\n", "\r": "\\r"}


def unified(filename: str, before: bytes, after: bytes) -> bytes:
    """The difference between two states of a file, byte for byte; empty if there is none."""
    old, new = _lines(before), _lines(after)
    lines = difflib.diff_bytes(
        difflib.unified_diff, old, new, _header("a/", filename), _header("b/", filename)
    )
    return b"".join(line if line.endswith(b"\n") else line + b"\n" + _NO_NEWLINE for line in lines)


def of_outcome(outcome: Outcome, before: bytes, after: bytes) -> bytes:
    """What a rewrite changes: in the file, or for a notebook in its cells, one diff for each."""
    if not outcome.cells:
        return unified(outcome.source.filename, before, after)
    return b"".join(
        unified(
            f"{outcome.source.filename}:cell {cell.number}", _code(cell.before), _code(cell.text)
        )
        for cell in outcome.cells
        if cell.before != cell.text
    )


def _code(source: str) -> bytes:
    # That the last line of a cell has no newline is how cells are.
    data = source.encode("utf-8", "surrogatepass")
    return data if data.endswith(b"\n") or not data else data + b"\n"


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
