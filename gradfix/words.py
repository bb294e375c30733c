"""Words in whole texts: many filters look for the same ones, and each is looked for once."""

from __future__ import annotations

from functools import lru_cache

#: Answers that are kept: those about the last few texts.
_KEPT = 1_000
#: Whoever asks so often about one text goes on to ask more than a hundred times.
_OFTEN = 8


class _Asked:
    """How often a text was asked about, and what it is made up of, each part once: half as long."""

    __slots__ = ("parts", "times")

    def __init__(self) -> None:
        self.times = 0
        self.parts = ""


@lru_cache(maxsize=8)
def _asked(text: str) -> _Asked:
    return _Asked()


@lru_cache(maxsize=_KEPT)
def _is_whole(word: str) -> bool:
    return word.split() == [word]


@lru_cache(maxsize=_KEPT)
def mentions(text: str, word: str) -> bool:
    """Whether a word is anywhere in a text."""
    asked = _asked(text)
    asked.times += 1
    if asked.times <= _OFTEN or not _is_whole(word):
        return word in text
    if not asked.parts:
        asked.parts = "\n".join(set(text.split()))
    return word in asked.parts


def mentioned(text: str, words: tuple[str, ...]) -> list[str]:
    """Those of some words that are in a text."""
    return [word for word in words if mentions(text, word)]
