"""Where a file has words that tell: those of leaves, of ways out of the graph, of writes in place.

All functions of a file are asked about, and most files have few of these words: so each word is
looked for in the whole text once, instead of in each of the functions.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import accumulate

from gradfix.words import mentioned, mentions

#: What has to be in the text of a function that makes or uses a leaf, or registers one late.
_WORDS = tuple(
    """requires_grad optim backward zero_grad Variable setattr add_module register_ detach no_grad
    inference_mode set_grad_enabled state_dict( parameters( .cpu()[ .numpy()[""".split()
)
#: The same for ways out of the graph; they matter where leaves are known.
_LEAVING = tuple(
    """ensor( asarray( .item( .numpy( .tolist( argmax argmin argsort round( .long( .int( .floor(
    .ceil( .trunc( .sign( one_hot( heaviside( numpy np. math. ).float() .gt( .ge( .lt( .le(
    """.split()
)
_METHOD_WORDS = (
    "yield", "Parameter(", "ModuleList", "ModuleDict", "Sequential(",
    "iadd(", "isub(", "imul(", "itruediv(", "ipow(",
)  # fmt: skip
#: Constructors fill containers step by step, and make random constants.
_CONSTRUCTOR_WORDS = (".append(", ".extend(", ".insert(", ".rand")
#: Without one of these a file knows of no leaf, and of nothing that is computed from one.
_LEAVES = (
    "Module", "Parameter", "requires_grad", "nn.", "torch.nn", "import nn", "optim", "Variable",
    "backward(",
)  # fmt: skip
_SHORT = re.compile(r"\.(?:grad|data)\b")
_PYTHON_NUMBER = re.compile(r"(?<![.\w])float\(")
_ONE_SIDED = re.compile(r"\bwhere\([^,]*?\)")
_OF_SELF = re.compile(r"\s*self\.")
_OWN = re.compile(r"\bself")  # with the attributes that follow it
_FILLING = (".append(", ".extend(", ".insert(")


class TellingWords:
    """The places of such words in one file, for methods and functions, and for constructors."""

    def __init__(self, text: str, lines: Sequence[str]) -> None:
        self._text = "\n".join(lines) if "\r" in text else text
        self._starts = [0, *accumulate(len(line) + 1 for line in lines)]  # of the lines
        self._leaves = may_know_leaves(text)

    def text_of(self, row: int, end_row: int) -> str:
        """The text of some lines; rows count from 1."""
        return self._text[self._starts[row - 1] : self._starts[end_row] - 1]

    def are_in(self, row: int, end_row: int, constructor: bool) -> bool:
        """Whether some lines have a telling word."""
        places = self._in_constructors if constructor else self._in_methods
        at = bisect_left(places, self._starts[row - 1])
        return at < len(places) and places[at] < self._starts[end_row]

    def has_layers_in_place(self, row: int, end_row: int) -> bool:
        """Whether some lines of a constructor may make a `Sequential` with layers in place."""
        if not mentions(self._text, "Sequential("):
            return False
        text = self.text_of(row, end_row)
        return "Sequential(" in text and ("inplace" in text or "True)" in text)

    @cached_property
    def _in_methods(self) -> list[int]:
        text = self._text
        words = [*_WORDS, *(_LEAVING if self._leaves else ()), *_METHOD_WORDS]
        found = [*self._places(words), *self._in_both, *_calls_in_place(text, constructor=False)]
        found += self._filling
        if self._leaves:
            found += _places_of("float(", _PYTHON_NUMBER, text)
            found += _places_of("where(", _ONE_SIDED, text)
        return sorted(found)

    @cached_property
    def _in_constructors(self) -> list[int]:
        text = self._text
        leaving = ("ensor(", ".item(") if self._leaves else ()
        found = [*self._places([*_WORDS, *leaving, *_CONSTRUCTOR_WORDS]), *self._in_both]
        found += _calls_in_place(text, constructor=True)
        return sorted(found)

    @property
    def _filling(self) -> Iterator[int]:
        """Where a container that is an attribute may be filled."""
        for word in _FILLING:
            for at in _places_of(word, None, self._text):
                if _OWN.search(self._text, _chain_before(self._text, at), at) is not None:
                    yield at

    @cached_property
    def _in_both(self) -> list[int]:
        text = self._text
        return [*_places_of(".grad", _SHORT, text), *_places_of(".data", _SHORT, text)]

    def _places(self, words: Sequence[str]) -> Iterator[int]:
        for word in mentioned(self._text, tuple(words)):
            yield from _places_of(word, None, self._text)


def may_know_leaves(text: str) -> bool:
    """Whether a file may know of a leaf, or of something that is computed from one."""
    return any(mentions(text, word) for word in _LEAVES)


def _places_of(word: str, pattern: re.Pattern[str] | None, text: str) -> Iterator[int]:
    """Where a word is, with what is around it."""
    if not mentions(text, word):
        return
    at = text.find(word)
    while at >= 0:
        if pattern is None or pattern.match(text, at) is not None:
            yield at
        at = text.find(word, at + 1)


def _calls_in_place(text: str, *, constructor: bool) -> Iterator[int]:
    """Where a method that writes in place is called.

    Those of ``torch.nn.init`` switch grad mode off, which matters in constructors alone.
    """
    for at in _places_of("_(", None, text):
        begin = _word_before(text, at)
        if begin < at and text[at - 1] != "_" and text[begin - 1 : begin] == ".":
            module = text[_word_before(text, begin - 1) : begin - 1] == "init"
            if constructor or not module or _OF_SELF.match(text, at + 2):
                yield at


def _word_before(text: str, end: int) -> int:
    """Where the word that ends at a place begins."""
    while end and (text[end - 1].isalnum() or text[end - 1] == "_"):
        end -= 1
    return end


def _chain_before(text: str, end: int) -> int:
    """Where the names, attributes and items that end at a place begin."""
    while end and (text[end - 1].isalnum() or text[end - 1] in "_.[]'\""):
        end -= 1
    return end
