"""Unified diffs as git writes them, read into rows, and those as HTML tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gradfix.migrate.markup import Markup, join, tag

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)")
_FILE = re.compile(r"[-+]{3} (?:\"(.*)\"|([^\t]*))\t?")
_MOST_LINES = 3000  # of one repository
_OPEN_LINES = 400  # a diff up to this length is shown unfolded
_LONGEST = 2000  # characters of a line
_KINDS = {"+": ("add", "added"), "-": ("del", "removed")}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a diff: ``+``, ``-``, a blank, or ``@`` for the head of a hunk."""

    sign: str
    text: str
    old: int | None = None
    new: int | None = None


@dataclass(slots=True)
class FileDiff:
    """What changes in one file."""

    name: str
    rows: list[Row] = field(default_factory=list)

    def count(self, sign: str) -> int:
        """How many lines have a sign."""
        return sum(row.sign == sign for row in self.rows)


def parsed(diff: str) -> list[FileDiff]:
    """The files of a diff."""
    files: list[FileDiff] = []
    left_old = left_new = old = new = 0
    for line in diff.split("\n"):
        if left_old > 0 or left_new > 0:
            row, old, new = _row(line, old, new)
            left_old -= row.sign in "- "
            left_new -= row.sign in "+ "
            files[-1].rows.append(row)
        elif line.startswith("diff --git "):
            files.append(FileDiff(""))
        elif files and (hunk := _HUNK.fullmatch(line.rstrip("\r"))):
            old, new = int(hunk[1]), int(hunk[3])
            left_old, left_new = int(hunk[2] or 1), int(hunk[4] or 1)
            files[-1].rows.append(Row("@", hunk[5].strip()))
        elif files and line.startswith(("--- ", "+++ ")) and (named := _FILE.fullmatch(line)):
            name = _unquoted(named[1]) if named[1] is not None else named[2]
            files[-1].name = name[2:] if name[:2] in ("a/", "b/") else name
        elif files and line.startswith("\\") and files[-1].rows:
            files[-1].rows.append(Row("@", line[1:].strip()))
    return files


def _row(line: str, old: int, new: int) -> tuple[Row, int, int]:
    """A line inside a hunk, and the numbers of the next one."""
    sign, text = line[:1], line[1:].removesuffix("\r")
    if sign == "+":
        return Row(sign, text, None, new), old, new + 1
    if sign == "-":
        return Row(sign, text, old), old + 1, new
    if sign == "\\":
        return Row("@", text.strip()), old, new
    return Row(" ", text, old, new), old + 1, new + 1


def _unquoted(name: str) -> str:
    """A name as git quotes it: C's escapes, bytes in octal."""

    def plain(found: re.Match[bytes]) -> bytes:
        if found[1]:
            return bytes([int(found[1], 8)])
        return {b"n": b"\n", b"t": b"\t", b"r": b"\r"}.get(found[2], found[2])

    raw = re.sub(rb"\\(?:([0-7]{3})|(.))", plain, name.encode("utf-8", "surrogateescape"))
    return raw.decode("utf-8", "backslashreplace")


def as_html(diff: str) -> Markup:
    """A diff as one table for each file, folded away where they are long."""
    files = parsed(diff)
    unfolded = sum(len(file.rows) for file in files) <= _OPEN_LINES
    left = _MOST_LINES
    parts = []
    for file in files:
        shown = file.rows[: max(0, left)]
        left -= len(file.rows)
        parts.append(_file(file, shown, unfolded))
    return join(*parts)


def _file(file: FileDiff, shown: list[Row], unfolded: bool) -> Markup:
    added, removed = file.count("+"), file.count("-")
    head = tag(
        "summary",
        tag("code", file.name or "?"),
        " ",
        tag("span", f"+{added} \u2212{removed}", class_="counts"),
    )
    body: list[Markup] = []
    if shown:
        caption = tag("caption", f"Changes in {file.name}", class_="unseen")
        columns = ("line before", "line after", "change", "code")
        heads = tag("thead", tag("tr", *(tag("th", c, scope="col") for c in columns)),
                    class_="unseen")  # fmt: skip
        widths = tag("colgroup", *(tag("col", class_=kind) for kind in ("no", "no", "sign", "")))
        body.append(
            tag("table", caption, widths, heads, tag("tbody", *map(_line, shown)), class_="diff")
        )
    if len(shown) < len(file.rows):
        more = len(file.rows) - len(shown)
        body.append(tag("p", f"{more} more lines are not shown here.", class_="note"))
    return tag("details", head, *body, class_="file", open_=unfolded)


def _line(row: Row) -> Markup:
    if row.sign == "@":
        head = (tag("td", "\u22ef", class_="no"), tag("td", class_="no"), tag("td", class_="sign"))
        return tag("tr", *head, tag("td", row.text or "\u00a0"), class_="hunk")
    text = row.text if len(row.text) <= _LONGEST else row.text[:_LONGEST] + " \u2026"
    kind, spoken = _KINDS.get(row.sign, ("same", ""))
    sign = tag("td", row.sign.strip(), *([tag("span", spoken, class_="unseen")] if spoken else []),
               class_="sign")  # fmt: skip
    numbers = (tag("td", "" if n is None else str(n), class_="no") for n in (row.old, row.new))
    return tag("tr", *numbers, sign, tag("td", text, class_="code"), class_=kind)


def names(diff: str) -> Iterator[str]:
    """The files that a diff changes."""
    return (file.name for file in parsed(diff))
