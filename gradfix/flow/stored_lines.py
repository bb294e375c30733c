"""Which attributes the lines of some texts may give another value; lines that are copies once.

What is written in strings and comments counts as well: ``exec`` and ``eval`` run it. No pattern
here matches more than a line, so that what a line stores to does not depend on those around it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

_INDEX = r"(?:\[[^\]\n]*\])*"
_CHANGES = """append extend insert pop popitem remove clear update setdefault sort reverse add
    discard __setitem__ __delitem__ __iadd__""".split()
#: ``net.size = 3``, ``net.sizes[0] += 1``, ``net.w.data = x``: all begin with what is fast to find.
#: What a ``self`` gets itself is asked about after the dot, since there are so many words.
_ASSIGNED = re.compile(
    rf"\.(?<!\bself\.)(\w+)(?:\.data\b|\.__dict__)?{_INDEX}[ \t]*(?:[-+*/@%&|^<>]{{1,2}})?=(?!=)"
)
_OWN = re.compile(r"\bself\.\w+\Z")
_COMPARED = re.compile(r"[^<>](?:[<>])=\Z")
_ANNOTATED = re.compile(r"\.(\w+)[ \t]*:(?!=)[^=\n]*=(?!=)")
_BEGUN = re.compile(r"[ \t]*(?!self\Z)[\w.]+\Z")
_CHANGED = re.compile(rf"\.(?:{'|'.join(_CHANGES)}|[a-z_]*[a-z]_)\(")
_BEFORE = re.compile(rf"([\w.)\]]*)\.(\w+){_INDEX}\Z")
#: Targets in a row, and those of statements that are no assignments; all names in them count.
_ROW = re.compile(r"\n([^\n=,]*,[^\n=]*)=(?!=)")
_INDICES = re.compile(r"\[[^\[\]\n]*\]")
_LOOPED = re.compile(r"for[ \t]+([\w.,*()\[\] ]*\.[\w.,*()\[\] ]*)[ \t]in\b")
_NAMED = re.compile(r" as[ \t]+\(?(\w+\.[\w., ]+)")
_DELETED = re.compile(r"del(?<!\wdel)[ \t]+([^\n]*\.[^\n]*)")
_PARAMETER = re.compile(r"(?:^|[(,])\s*(\w+)\s*:\s*(?:[\w.\[\], ]+\|\s*)?[\w.]*\Z")
_WORD = re.compile(r"\.(\w+)")
_CHAIN = re.compile(r"[\w.()]*\Z")
LIBRARY = ("torch", "nn", "F", "functional")
#: These make ``weight`` of a layer a value that is computed, under whatever name they are imported.
_COMPUTES_WEIGHT = (re.compile(r"weight_norm\b"), re.compile(r"spectral_norm\b"))
#: Calls that bind an attribute by its name. All begin with what is fast to find.
SETS = (
    re.compile(r"attr(?<!getattr)(?<!hasattr)(?:__)?\("),
    re.compile(r"patch(?:\.object|\.multiple|\.setitem)?\("),
    re.compile(r"register_\w+\("),
    re.compile(r"add_module\("),
    re.compile(r"weight_norm\("),
    re.compile(r"spectral_norm\("),
    re.compile(r"orthogonal\("),
)
#: What can be understood in the whole text alone: these calls, and dictionaries of names.
_BY_NAME = (
    *SETS,
    re.compile(r"vars\("),
    re.compile(r"__dict__"),
    re.compile(r"globals\(\)"),
    re.compile(r"exec\("),
    re.compile(r"sys\.modules"),
    re.compile(r"\.data[ \t]*="),
)
#: And classes that are made by a call, which may be over several lines.
_MAKES_CLASS = tuple(
    re.compile(rf"{name}\((?<!\w{name}\()[^()\n]*[,\n]")
    for name in ("type", "new_class", "make_dataclass")
)
#: And targets over several lines, or in one: how the last of these lines begins.
_ENDS = (re.compile(r"\)[ \t]*=(?!=)"), re.compile(r"\][ \t]*=(?!=)"))
_TARGETS = re.compile(r"[\w.*, \t()\[\]]*")


@dataclass(slots=True)
class Line:
    """The attributes that a line stores to, and the names of PyTorch among them.

    The text around it has to be read for what it stores to ``by_name`` or in ``rows`` of targets,
    and for a class that it ``makes``.
    """

    words: set[str] = field(default_factory=set)
    patched: set[str] = field(default_factory=set)
    by_name: bool = False
    rows: bool = False
    makes: bool = False


class Lines:
    """The lines of some texts. In a large project two thirds of them are copies of others."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._storing: dict[str, Line] = {}

    def of(self, text: str) -> list[Line]:
        """The lines of a text that may store to something."""
        lines = set(text.split("\n"))
        new = lines - self._seen
        if new:
            self._seen |= new
            self._read("\n".join(("", *new, "")))
        return [self._storing[line] for line in self._storing.keys() & lines]

    def _read(self, text: str) -> None:
        for found in _ASSIGNED.finditer(text):
            if not _is_harmless(text, found):
                line = self._line(text, found.start())
                line.words.add(found[1])
                if _is_of_library(text, found.start()):
                    line.patched.add(found[1])
        for at, word in (*_changed(text), *_annotated(text), *_several(text)):
            self._line(text, at).words.add(word)
        for found in _matches(_COMPUTES_WEIGHT, text):
            self._line(text, found.start()).words.add("weight")
        for found in _matches(_BY_NAME, text):
            self._line(text, found.start()).by_name = True
        for found in _matches(_MAKES_CLASS, text):
            self._line(text, found.start()).makes = True
        for found in _matches(_ENDS, text):
            row = text[text.rfind("\n", 0, found.start()) + 1 : found.start() + 1]
            several = row.lstrip().startswith(("(", "[")) or not _is_whole(row)
            if several and _TARGETS.fullmatch(row):
                self._line(text, found.start()).rows = True

    def _line(self, text: str, at: int) -> Line:
        line = text[text.rfind("\n", 0, at) + 1 : text.find("\n", at)]
        return self._storing.setdefault(line, Line())


_Words = Iterator[tuple[int, str]]  # each with its place


def _matches(patterns: Iterable[re.Pattern[str]], text: str) -> Iterator[re.Match[str]]:
    return (found for pattern in patterns for found in pattern.finditer(text))


def _changed(text: str) -> _Words:
    for found in _CHANGED.finditer(text):
        begin = max(text.rfind("\n", 0, found.start()), found.start() - 120)
        before = _BEFORE.search(text, begin, found.start())
        if before is not None and before[1] != "self":
            yield found.start(), before[2]


def _annotated(text: str) -> _Words:
    """The attributes that are bound with an annotation, as in ``config.size: int = 3``."""
    for found in _ANNOTATED.finditer(text):
        begin = text.rfind("\n", 0, found.start()) + 1
        if _BEGUN.match(text, begin, found.start()):
            yield found.start(), found[1]


def _several(text: str) -> _Words:
    for found in _ROW.finditer(text):
        row = found[1]
        # Not one target with several indices.
        if "." in row and "," in _INDICES.sub("", row) and _is_whole(row):
            yield from ((found.start(1), word) for word in not_of_self(row))
    for pattern in (_LOOPED, _NAMED, _DELETED):
        for found in pattern.finditer(text):
            yield from ((found.start(), word) for word in not_of_self(found[1]))


def _is_harmless(text: str, found: re.Match[str]) -> bool:
    """Whether this is ``self.w.data =``, a comparison, or the annotation of a parameter."""
    if found[1] in ("data", "__dict__") and _OWN.search(
        text, max(found.start() - 80, 0), found.start()
    ):
        return True
    if _COMPARED.search(found[0]):
        return True
    begin = max(text.rfind("\n", 0, found.start()) + 1, found.start() - 200)
    before = text[begin : found.start()]
    if ":" not in before:
        return False
    annotated = _PARAMETER.search(before)
    return annotated is not None and annotated[1] not in ("else", "try", "finally")


def _is_whole(row: str) -> bool:
    """Whether no bracket is left open, as in front of the keyword of a call."""
    return row.count("(") == row.count(")") and row.count("[") == row.count("]")


def not_of_self(targets: str) -> Iterator[str]:
    """The attributes among some targets, but for those of ``self`` alone."""
    for chain in targets.split(","):
        found = _WORD.findall(chain)
        plain = chain.strip(" \t()[]*")
        if found and not (plain.startswith("self.") and len(found) == 1):
            yield from found


def _is_of_library(text: str, end: int) -> bool:
    """Whether the chain of names that ends at a place begins with a module of PyTorch."""
    chain = _CHAIN.search(text, max(end - 80, 0), end)
    names = chain[0].split(".") if chain is not None else []
    return bool(names) and names[0] in LIBRARY and "backends" not in names
