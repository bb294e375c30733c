"""Keeping a formatted file formatted: what was black-clean before a rewrite is so after it."""

from __future__ import annotations

import difflib
from collections import Counter

from gradfix.config_types import BlackSettings
from gradfix.lines import bare, ending, split_lines


def as_before(before: str, after: str, settings: BlackSettings) -> str:
    """``after``, formatted with black if ``before`` was; otherwise as it is.

    Formatting the whole of a file that was clean changes no more than what the rewrite touched.
    """
    import black
    from black.mode import TargetVersion
    from black.parsing import InvalidInput

    mode = black.Mode(
        target_versions={version for version in TargetVersion if _named(version.name, settings)},
        line_length=settings.line_length,
        string_normalization=settings.string_normalization,
        magic_trailing_comma=settings.magic_trailing_comma,
        preview=settings.preview,
    )
    plain = _with_lf(before)
    try:
        if black.format_str(plain, mode=mode) != plain:
            return after
        formatted = black.format_str(_with_lf(after), mode=mode)
    except InvalidInput:  # syntax this black does not know: nobody can have formatted it
        return after
    return with_endings_of(after, formatted)


def _named(version: str, settings: BlackSettings) -> bool:
    return version.lower() in settings.target_version


def _with_lf(text: str) -> str:
    return "".join(bare(line) + "\n" if ending(line) else line for line in split_lines(text))


def with_endings_of(original: str, formatted: str) -> str:
    """``formatted``, whose lines all end, with the line endings of ``original``.

    New lines get its usual one.
    """
    lines = split_lines(original)
    endings = Counter(ending(line) for line in lines)
    usual = max(("\n", "\r\n"), key=lambda kind: endings[kind])
    result = [bare(line) + usual for line in split_lines(formatted)]
    if len([kind for kind in endings if kind]) > 1:
        old, new = [bare(line) for line in lines], [bare(line) for line in result]
        for block in difflib.SequenceMatcher(None, old, new, autojunk=False).get_matching_blocks():
            for i in range(block.size):
                kept = ending(lines[block.a + i])
                result[block.b + i] = new[block.b + i] + (kept or usual)
    return "".join(result)
