"""Which attributes a text may give another value, as far as words tell: too many, never too few.

What is written in strings and comments counts as well: ``exec`` and ``eval`` run it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradfix.flow.stored_lines import LIBRARY, SETS, Lines, not_of_self

_DATA = re.compile(r"\.data[ \t]*=(?!=)[ \t]*([^\n]*)")
_NAME_BEFORE = re.compile(r"(?<![\w.])\w+\Z")
_ROWS = re.compile(r"\n[ \t]*[\[(]([\w.*,\s()\[\]]*)[\])]\s*=(?!=)")

_CALLED = re.compile(r"[\w.()]*\Z")
_DICTS = (
    re.compile(r"vars(\([^()\n]*\))([^\n]*)"),
    re.compile(r"__dict__(\b)([^\n]*)"),
    re.compile(r"globals(\(\))([^\n]*)"),
)
_KEY = re.compile(r"\s*(?:\[\s*|\.(?:get|pop|setdefault|__setitem__)\(\s*)[\"'](\w+)[\"']")
_ANY_KEY = re.compile(r"\s*(?:\[[^\]\n]*\]\s*[^\s=\w]*=(?!=)|\.(?:update|__setitem__)\(|\s*\|=)")
_STRING = re.compile(r"[\"']([\w.]+)[\"']")
_KEYWORD = re.compile(r"\b(\w+)\s*=(?!=)")
_BOUND_TO = re.compile(r"(\w+)\s*=\s*(?:[\w.]+\.)?\Z")
_INTO_NAMES = re.compile(r"\bexec\([^\n]*,")
_MODULES = re.compile(
    r"\bsys\.modules(?:\[(?!__name__\])[^\]\n]*\]\s*=(?!=)|\.(?:update|setdefault)\(|,)"
)
_UNSEEN = frozenset("__class__ __bases__ __dict__ __code__ __defaults__ __kwdefaults__".split())


@dataclass(frozen=True, slots=True)
class Stored:
    """The attributes that a text may give another value, on whatever object.

    ``anything``: also those whose names are not written there. ``modules``: whole modules.
    ``patched``: names of PyTorch. ``data``: what Parameters that a loop goes through hold, and so
    their shapes and types. ``makes_classes``: by a call, perhaps.
    """

    words: frozenset[str] = frozenset()
    anything: bool = False
    modules: bool = False
    patched: frozenset[str] = frozenset()
    data: bool = False
    makes_classes: bool = False


def stored_in(text: str, lines: Lines | None = None) -> Stored:
    """What a text may store to, of what is not its own ``self``.

    ``lines`` know those of other texts; where there are many, that saves more than half.
    """
    storing = (Lines() if lines is None else lines).of(text)
    words = {word for line in storing for word in line.words}
    patched = {word for line in storing for word in line.patched}
    if any(line.rows for line in storing):
        # A break is much faster to find than the beginning of a line.
        for rows in _ROWS.findall(f"\n{text}"):
            words.update(not_of_self(rows))
    anything = modules = data = False
    if any(line.by_name for line in storing):
        for strings, computed, library in (*_by_setters(text), *_by_dicts(text)):
            words.update(strings)
            anything = anything or computed
            patched.update(strings if library else ())
        anything = anything or ("exec(" in text and _INTO_NAMES.search(text) is not None)
        modules = "sys.modules" in text and _MODULES.search(text) is not None
        data = ".data" in text and _gives_other_data(text)
    anything = anything or not words.isdisjoint(_UNSEEN)
    makes = any(line.makes for line in storing)
    return Stored(frozenset(words), anything, modules, frozenset(patched), data, makes)


def _gives_other_data(text: str) -> bool:
    """Whether a loop's Parameters may get other shapes: ``p.data = resized(p)``.

    What is computed with the old value, one by one, or kept under a name has the same shape.
    """
    for found in _DATA.finditer(text):
        name = _NAME_BEFORE.search(text, max(found.start() - 80, 0), found.start())
        if name is not None and not re.match(
            rf"{name[0]}(?:\.data)?\s*[-+*/]|{name[0]}\.data\.\w+\(|[\w.]+\[\w+\]", found[1]
        ):
            return True
    return False


_ByName = Iterator[tuple[list[str], bool, bool]]  # names, whether some are worked out, of PyTorch


def _by_setters(text: str) -> _ByName:
    """What calls such as ``setattr(config, "size", 4)`` name; whether the name is worked out."""
    for pattern in SETS:
        for call in pattern.finditer(text):
            before = _CALLED.search(text, max(call.start() - 60, 0), call.start())
            name = (before[0] if before is not None else "") + call[0]
            yield from _by_setter(name, text[call.end() : _end(text, call.end())])


def _by_setter(name: str, given: str) -> _ByName:
    first, _, rest = given.partition(",")
    mine = name.startswith(("self.", "super().")) and name.count(".") == 1
    if name.endswith(("attr(", "attr__(")):
        called = name.rpartition(".")[2]
        if ("set" not in called and "del" not in called) or mine or first.strip() == "self":
            return  # a look, or an object's own way to bind its attributes; see `Doubts`
        names = _STRING.findall(rest.split(",")[0]) or _STRING.findall(first)
        of = first.strip().strip("\"'").partition(".")[0] in LIBRARY
        yield _last(names), not names, of
    elif not mine and (names := _STRING.findall(given)):
        of = names[0].startswith("torch.") or first.strip().partition(".")[0] in LIBRARY
        yield [*_last(names), *_KEYWORD.findall(given)], False, of and "patch" in name
    elif "multiple" in name:
        yield _KEYWORD.findall(given), False, False
    elif name.endswith(("orthogonal(", "parametrization(")):
        yield ["weight"], False, False


def _end(text: str, begin: int) -> int:
    """Where the arguments of a call end that begin here."""
    depth, at = 1, begin
    while depth and at < min(len(text), begin + 2_000):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        at += 1
    return at - 1


def _last(names: Iterable[str]) -> list[str]:
    return [name.rpartition(".")[2] for name in names]


def _by_dicts(text: str) -> _ByName:
    """What is stored through ``vars(config)``, ``config.__dict__`` and ``globals()``."""
    if "vars(" not in text and "__dict__" not in text and "globals()" not in text:
        return
    named: set[str] = set()
    for found in (each for pattern in _DICTS for each in pattern.finditer(text)):
        rest, begin = found[2], found.start()
        if not rest.partition("#")[0].strip():
            bound = _BOUND_TO.search(text, max(begin - 120, 0), begin)
            named.update((bound[1],) if bound is not None else ())
        mine = text.endswith("self.", max(begin - 5, 0), begin)
        if mine and not rest.lstrip().startswith("."):
            continue  # an object's own attributes; see `Doubts`
        key = _KEY.match(rest)
        if key is not None:
            yield [key[1]], False, False
        elif _ANY_KEY.match(rest):
            yield [*_STRING.findall(rest), *_KEYWORD.findall(rest)], True, False
    for name in named:
        if re.search(rf"\b{name}(?:\[[^\n=]*\]\s*[^\s=\w]*=(?!=)|\.(?:update|setdefault)\()", text):
            yield [], True, False
