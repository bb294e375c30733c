"""In which line of a campaign file something stands, so that errors can name it."""

from __future__ import annotations

import re

_LISTED = re.compile(r"\s*\[\[\s*['\"]?repository['\"]?\s*\]\]")
_HEADER = re.compile(r"\s*\[")
_KEY = re.compile(r"\s*(?:\"([^\"]*)\"|'([^']*)'|([\w-]+))\s*(?:=|\.)")

TOP = -1  # the keys above the first header; repositories are numbered from 0


class Places:
    """The rows (from 1) of keys, headers and strings of a TOML document that is valid."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._rows: dict[tuple[int, str], int] = {}
        table: int | None = TOP
        count = 0
        for row, line in enumerate(self._lines, start=1):
            if _LISTED.match(line):
                table, count = count, count + 1
                self._rows[table, ""] = row
            elif _HEADER.match(line) and not self._in_list(line):
                table = None  # a table that a campaign has no use for
                name = line.strip().strip("[] ")
                self._rows.setdefault((TOP, name), row)
            elif table is not None and (key := _KEY.match(line)):
                self._rows.setdefault((table, next(filter(None, key.groups()), "")), row)

    def row(self, table: int, key: str = "") -> int | None:
        """Where a key stands; without one, where the table begins."""
        return self._rows.get((table, key))

    def item(self, key: str, text: str) -> int | None:
        """Where a string stands in the list under a key of the top."""
        start = self._rows.get((TOP, key), 1)
        for row in range(start, len(self._lines) + 1):
            if text in self._lines[row - 1]:
                return row
        return self._rows.get((TOP, key))

    @staticmethod
    def _in_list(line: str) -> bool:
        """Whether a line that begins with a bracket is part of a list's value, not a header."""
        return not re.fullmatch(r"\s*\[{1,2}[^\[\],]+\]{1,2}\s*(#.*)?", line)
