"""A notebook's file: where its cells' sources stand, and how one is replaced and nothing else.

Writing JSON anew would change indentation, escapes and the order of what a file says. Here the text
of the file stays as it is; only the lines of code that are new are spelled anew.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from gradfix.errors import SourceError

_SPACE = re.compile(r"[ \t\r\n]*")
_DECODE = json.JSONDecoder().raw_decode
#: One line of code as a JSON string spells it: up to its newline, or to the end.
_SPELLED_LINE = re.compile(
    r"(?:[^\\]|\\[^nu]|\\u(?!000[aA])[0-9a-fA-F]{4})*(?:\\n|\\u000[aA])"
    r"|(?:[^\\]|\\[^nu]|\\u(?!000[aA])[0-9a-fA-F]{4})+\Z"
)
_CODE_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")
_ESCAPED = re.compile(r"\\u[0-9a-fA-F]{4}")


@dataclass(frozen=True, slots=True)
class StoredCell:
    """One code cell as the file holds it; ``number`` counts all cells of the notebook, from 1."""

    number: int
    source: str
    start: int
    end: int
    has_outputs: bool


@dataclass(frozen=True, slots=True)
class StoredNotebook:
    """The text of a notebook's file and its Python cells."""

    raw: bytes
    text: str
    cells: tuple[StoredCell, ...]

    def with_sources(self, sources: Mapping[int, str]) -> bytes:
        """The file with other source text in some cells, given by number.

        Lines of code that stay are not spelled anew, and nothing outside these sources changes.
        """
        parts, at = [], 0
        for cell in self.cells:
            new = sources.get(cell.number, cell.source)
            if new == cell.source:
                continue
            spelled = self.text[cell.start : cell.end]
            parts += [self.text[at : cell.start], _respelled(spelled, cell.source, new)]
            at = cell.end
        data = "".join([*parts, self.text[at:]]).encode("utf-8")
        return codecs.BOM_UTF8 + data if self.raw.startswith(codecs.BOM_UTF8) else data


def read_stored(raw: bytes) -> StoredNotebook:
    """Find the Python cells of a notebook; none if its kernel runs another language.

    Raises SourceError, with the row in the file where there is one, for what is no notebook of
    format 4.
    """
    try:
        text = raw.decode("utf-8-sig")
        top = json.loads(text)
    except UnicodeDecodeError as error:
        raise SourceError(f"cannot be decoded as utf-8: {error.reason}") from error
    except json.JSONDecodeError as error:
        raise SourceError(f"not a notebook: {error.msg}", error.lineno) from error
    except RecursionError:
        raise SourceError("not a notebook: the JSON is nested too deeply") from None
    if not isinstance(top, dict) or not isinstance(top.get("nbformat"), int):
        raise SourceError("not a notebook: it does not say its format")
    if top["nbformat"] != 4:
        raise SourceError(
            f"a notebook of format {top['nbformat']}, only 4 is read; "
            "`jupyter nbconvert --to notebook` converts it"
        )
    if not isinstance(top.get("cells"), list):
        raise SourceError("not a notebook: it has no list of cells")
    if not _is_python(top.get("metadata")):
        return StoredNotebook(raw, text, ())
    start, _ = _members(text, _skip(text, 0))["cells"]
    found = (
        _code_cell(text, at, value, number)
        for number, (value, (at, _)) in enumerate(
            zip(top["cells"], _items(text, start), strict=True), 1
        )
    )
    return StoredNotebook(raw, text, tuple(cell for cell in found if cell is not None))


def _code_cell(text: str, at: int, cell: Any, number: int) -> StoredCell | None:
    if not isinstance(cell, dict):
        raise SourceError(f"not a notebook: cell {number} is no object")
    if cell.get("cell_type") != "code" or not _cell_is_python(cell.get("metadata")):
        return None
    source = cell.get("source")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise SourceError(f"not a notebook: cell {number} has no source")
    start, end = _members(text, at)["source"]
    return StoredCell(number, source, start, end, bool(cell.get("outputs")))


def _is_python(metadata: Any) -> bool:
    """As Jupyter does: what nobody says a language about is Python."""
    if not isinstance(metadata, dict):
        return True
    for key, name in (("language_info", "name"), ("kernelspec", "language")):
        about = metadata.get(key)
        language = about.get(name) if isinstance(about, dict) else None
        if isinstance(language, str):
            return language.lower() in ("python", "ipython", "python3")
    return True


def _cell_is_python(metadata: Any) -> bool:
    """Editors let single cells have a language of their own."""
    editor = metadata.get("vscode") if isinstance(metadata, dict) else None
    language = editor.get("languageId") if isinstance(editor, dict) else None
    return language is None or language == "python"


# -- where things stand ----------------------------------------------------------------------
# The text is known to be valid JSON here.


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _members(text: str, at: int) -> dict[str, tuple[int, int]]:
    """Start and end of every value of the object at ``at``, by key; the last of equal keys counts,
    as it does for every reader of JSON."""
    places: dict[str, tuple[int, int]] = {}
    at = _skip(text, at + 1)
    while text[at] != "}":
        key, at = _DECODE(text, at)
        start = _skip(text, _skip(text, at) + 1)
        end = _DECODE(text, start)[1]
        places[key] = (start, end)
        at = _after(text, end)
    return places


def _items(text: str, at: int) -> list[tuple[int, int]]:
    """Start and end of every value of the array at ``at``."""
    places = []
    at = _skip(text, at + 1)
    while text[at] != "]":
        end = _DECODE(text, at)[1]
        places.append((at, end))
        at = _after(text, end)
    return places


def _after(text: str, end: int) -> int:
    """The start of the next key or value, or of the closing bracket."""
    at = _skip(text, end)
    return _skip(text, at + 1) if text[at] == "," else at


# -- spelling --------------------------------------------------------------------------------


def _respelled(spelled: str, old: str, new: str) -> str:
    """The JSON value ``spelled``, which means ``old``, changed so that it means ``new``."""
    old_lines, new_lines = _CODE_LINE.findall(old), _CODE_LINE.findall(new)
    if spelled.startswith('"'):
        known = _SPELLED_LINE.findall(spelled[1:-1])
        return '"' + "".join(_lines(known, old_lines, new_lines, spelled)) + '"'
    places = _items(spelled, 0)
    if not places:
        return json.dumps(new_lines)
    known = [spelled[start + 1 : end - 1] for start, end in places]
    first, last = places[0][0], places[-1][1]
    opening, closing = spelled[:first], spelled[last:]
    between = spelled[places[0][1] : places[1][0]] if len(places) > 1 else "," + opening[1:]
    lines = [f'"{line}"' for line in _lines(known, old_lines, new_lines, spelled)]
    return opening + between.join(lines) + closing if lines else "[]"


def _lines(known: list[str], old: list[str], new: list[str], spelled: str) -> list[str]:
    """How each new line is spelled: as before where it was there before."""
    if [json.loads(f'"{line}"') for line in known] != old:
        known, old = [], []  # the items of the list are no lines
    ascii_only = spelled.isascii() and _ESCAPED.search(spelled) is not None
    result: list[str] = []
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    for kind, begin, stop, first, last in matcher.get_opcodes():
        if kind == "equal":
            result += known[begin:stop]
        else:
            result += [json.dumps(x, ensure_ascii=ascii_only)[1:-1] for x in new[first:last]]
    return result
