"""Words in whole texts: many filters look for the same ones, and each is looked for once."""

from __future__ import annotations

from functools import lru_cache

#: Answers that are kept: those about the last few texts.
_KEPT = 1_000


@lru_cache(maxsize=_KEPT)
def mentions(text: str, word: str) -> bool:
    """Whether a word is anywhere in a text."""
    return word in text


def mentioned(text: str, words: tuple[str, ...]) -> list[str]:
    """Those of some words that are in a text."""
    return [word for word in words if mentions(text, word)]
