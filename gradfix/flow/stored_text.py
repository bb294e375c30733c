"""Which attributes a text may give another value, as far as words tell: too many, never too few.

What is written in strings and comments counts as well: ``exec`` and ``eval`` run it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_INDEX = r"(?:\s*\[[^\]\n]*\])*"
_OPERATOR = r"(?:\*\*|//|<<|>>|[-+*/@%&|^])?=(?!=)"
_CHANGES = """append extend insert pop popitem remove clear update setdefault sort reverse add
    discard __setitem__ __delitem__ __iadd__""".split()
#: ``net.size = 3``, ``net.sizes[0] += 1``, ``net.w.data = x``; not what is bound to ``self``.
_ASSIGNED = re.compile(rf"(?<!\bself)\.(\w+)(?:\.(?:data|__dict__))?{_INDEX}\s*{_OPERATOR}")
_ANNOTATED = re.compile(r"^[ \t]*(?!self\.\w+[ \t]*:)[\w.]+\.(\w+)[ \t]*:[^=\n]*=(?!=)", re.M)
_CHANGED = re.compile(rf"(?<!\bself)\.(\w+){_INDEX}\.(?:{'|'.join(_CHANGES)}|\w*[a-z]_)\(")
#: Targets in a row, and those of statements that are no assignments; all names in them count.
_ROW = re.compile(r"^([^\n=,]*,[^\n=]*)=(?!=)|^[ \t]*[\[(]([\w.*,\s()\[\]]*)[\])]\s*=(?!=)", re.M)
_OTHER_TARGETS = re.compile(
    r"\bfor\s+([\w.,*()\[\] ]*)\sin\b|\bas\s+\(?(\w+\.[\w., ]+)|^[ \t]*del\s+([^\n]+)", re.M
)
_WORD = re.compile(r"\.(\w+)")

#: Calls that bind an attribute by its name.
_SETTERS = """setattr delattr __setattr__ __delattr__ patch object multiple setitem register_buffer
    register_parameter register_module add_module register_parametrization weight_norm spectral_norm
    orthogonal register_parametrizations""".split()
_SETS = re.compile(rf"\b({'|'.join(_SETTERS)})\(")
_DICTS = re.compile(r"(\bself\.)?(\bvars\([^()\n]*\)|\b__dict__\b|\bglobals\(\))([^\n]*)")
_KEY = re.compile(r"\s*(?:\[\s*|\.(?:get|pop|setdefault|__setitem__)\(\s*)[\"'](\w+)[\"']")
_ANY_KEY = re.compile(r"\s*(?:\[[^\]\n]*\]\s*[^\s=\w]*=(?!=)|\.(?:update|__setitem__)\(|\s*\|=)")
_STRING = re.compile(r"[\"']([\w.]+)[\"']")
_KEYWORD = re.compile(r"\b(\w+)\s*=(?!=)")
_NAMED_DICT = re.compile(r"(\w+)\s*=\s*(?:[\w.]+\.__dict__|vars\([^()\n]+\)|globals\(\))\s*(?:#|\n)")
_INTO_NAMES = re.compile(r"\bexec\([^\n]*,")
_MODULES = re.compile(r"\bsys\.modules\b|\breload\(")
_UNSEEN = frozenset("__class__ __bases__ __dict__ __code__ __defaults__ __kwdefaults__".split())


@dataclass(frozen=True, slots=True)
class Stored:
    """The attributes that a text may give another value, on whatever object.

    ``anything``: also those whose names are not written there. ``modules``: whole modules.
    """

    words: frozenset[str] = frozenset()
    anything: bool = False
    modules: bool = False


def stored_in(text: str) -> Stored:
    """What a text may store to, of what is not its own ``self``."""
    words = set(_ASSIGNED.findall(text))
    if "." in text:
        words.update(_ANNOTATED.findall(text))
        words.update(_CHANGED.findall(text))
        for row, rows in _ROW.findall(text):
            words.update(_not_of_self(rows or row) if _is_whole(row) else ())
        for targets in _OTHER_TARGETS.findall(text):
            words.update(*map(_not_of_self, targets))
    anything = False
    for strings, computed in (*_by_setters(text), *_by_dicts(text)):
        words.update(strings)
        anything = anything or computed
    anything = anything or ("exec(" in text and _INTO_NAMES.search(text) is not None)
    modules = "modules" in text or "reload" in text
    return Stored(
        frozenset(words),
        anything or not words.isdisjoint(_UNSEEN),
        modules and _MODULES.search(text) is not None,
    )


def joined(parts: Iterable[Stored]) -> Stored:
    """What any of several texts may store to."""
    words: set[str] = set()
    anything = modules = False
    for part in parts:
        words |= part.words
        anything, modules = anything or part.anything, modules or part.modules
    return Stored(frozenset(words), anything, modules)


def _is_whole(row: str) -> bool:
    """Whether no bracket is left open, as in front of the keyword of a call."""
    return row.count("(") == row.count(")") and row.count("[") == row.count("]")


def _not_of_self(targets: str) -> Iterator[str]:
    for chain in targets.split(","):
        found = _WORD.findall(chain)
        plain = chain.strip(" \t()[]*")
        if found and not (plain.startswith("self.") and len(found) == 1):
            yield from found


def _by_setters(text: str) -> Iterator[tuple[list[str], bool]]:
    """What calls such as ``setattr(config, "size", 4)`` name; whether the name is worked out."""
    if not any(word in text for word in ("attr", "patch", "register_", "add_module", "_norm")):
        return
    for call in _SETS.finditer(text):
        given = text[call.end() : _end(text, call.end())]
        first, _, rest = given.partition(",")
        before = text[max(call.start() - 8, 0) : call.start()]
        mine = before.endswith(("super().", "self."))
        if "setattr" in call[1] or "delattr" in call[1]:
            if mine or first.strip() == "self":
                continue  # an object's own way to bind its attributes; see `Doubts`
            names = _STRING.findall(rest.split(",")[0]) or _STRING.findall(first)
            yield _last(names), not names
        elif not mine and _STRING.search(given):
            yield [*_last(_STRING.findall(given)), *_KEYWORD.findall(given), "weight"], False
        elif call[1] == "multiple":
            yield _KEYWORD.findall(given), False


def _end(text: str, begin: int) -> int:
    """Where the arguments of a call end that begin here."""
    depth, at = 1, begin
    while depth and at < min(len(text), begin + 2_000):
        depth += (text[at] in "([{") - (text[at] in ")]}")
        at += 1
    return at - 1


def _last(names: Iterable[str]) -> list[str]:
    return [name.rpartition(".")[2] for name in names]


def _by_dicts(text: str) -> Iterator[tuple[list[str], bool]]:
    """What is stored through ``vars(config)``, ``config.__dict__`` and ``globals()``."""
    if "vars(" not in text and "__dict__" not in text and "globals()" not in text:
        return
    for mine, _, rest in _DICTS.findall(text):
        if mine and not rest.lstrip().startswith("."):
            continue  # an object's own attributes; see `Doubts`
        key = _KEY.match(rest)
        if key is not None:
            yield [key[1]], False
        elif _ANY_KEY.match(rest):
            yield [*_STRING.findall(rest), *_KEYWORD.findall(rest)], True
    for name in set(_NAMED_DICT.findall(text)):
        if re.search(rf"\b{name}(?:\[[^\n=]*\]\s*[^\s=\w]*=(?!=)|\.(?:update|setdefault)\()", text):
            yield [], True
