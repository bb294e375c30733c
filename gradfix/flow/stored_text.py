"""Which attributes a text may give another value, as far as words tell: too many, never too few.

What is written in strings and comments counts as well: ``exec`` and ``eval`` run it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_INDEX = r"(?:\[[^\]\n]*\])*"
_CHANGES = """append extend insert pop popitem remove clear update setdefault sort reverse add
    discard __setitem__ __delitem__ __iadd__""".split()
#: ``net.size = 3``, ``net.sizes[0] += 1``, ``net.w.data = x``: all begin with what is fast to find.
#: What a ``self`` gets itself is asked about after the dot, since there are so many words.
_ASSIGNED = re.compile(
    rf"\.(?<!\bself\.)(\w+)(?:\.data\b|\.__dict__)?{_INDEX}\s*(?:[-+*/@%&|^<>]{{1,2}})?=(?!=)"
)
_DATA = re.compile(r"\.data[ \t]*=(?!=)[ \t]*([^\n]*)")
_NAME_BEFORE = re.compile(r"(?<![\w.])\w+\Z")
_OWN = re.compile(r"\bself\.\w+\Z")
_COMPARED = re.compile(r"[^<>](?:[<>])=\Z")
_ANNOTATED = re.compile(r"\.(\w+)[ \t]*:(?!=)[^=\n]*=(?!=)")
_BEGUN = re.compile(r"[ \t]*(?!self\Z)[\w.]+\Z")
_CHANGED = re.compile(rf"\.(?:{'|'.join(_CHANGES)}|[a-z_]*[a-z]_)\(")
_BEFORE = re.compile(rf"([\w.)\]]*)\.(\w+){_INDEX}\Z")
#: Targets in a row, and those of statements that are no assignments; all names in them count.
_ROW = re.compile(r"\n([^\n=,]*,[^\n=]*)=(?!=)")
_ROWS = re.compile(r"\n[ \t]*[\[(]([\w.*,\s()\[\]]*)[\])]\s*=(?!=)")
_INDICES = re.compile(r"\[[^\[\]\n]*\]")
_LOOPED = re.compile(r"for\s+([\w.,*()\[\] ]*\.[\w.,*()\[\] ]*)\sin\b")
_NAMED = re.compile(r" as\s+\(?(\w+\.[\w., ]+)")
_DELETED = re.compile(r"del\s+([^\n]*\.[^\n]*)")
_PARAMETER = re.compile(r"(?:^|[(,])\s*(\w+)\s*:\s*(?:[\w.\[\], ]+\|\s*)?[\w.]*\Z")
_WORD = re.compile(r"\.(\w+)")

#: Calls that bind an attribute by its name.
_SETS = (
    re.compile(r"attr(?:__)?\("),
    re.compile(r"patch(?:\.object|\.multiple|\.setitem)?\("),
    re.compile(r"register_\w+\("),
    re.compile(r"add_module\("),
    re.compile(r"_norm\("),
    re.compile(r"orthogonal\("),
)
_CALLED = re.compile(r"[\w.()]*\Z")
_LIBRARY = ("torch", "nn", "F", "functional")
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
    their shapes and types.
    """

    words: frozenset[str] = frozenset()
    anything: bool = False
    modules: bool = False
    patched: frozenset[str] = frozenset()
    data: bool = False


def stored_in(text: str) -> Stored:
    """What a text may store to, of what is not its own ``self``."""
    words: set[str] = set()
    patched: set[str] = set()
    for found in _ASSIGNED.finditer(text):
        if not _is_harmless(text, found):
            words.add(found[1])
            if _is_of_library(_CALLED.search(text, max(found.start() - 80, 0), found.start())):
                patched.add(found[1])
    for found in _CHANGED.finditer(text):
        before = _BEFORE.search(text, max(found.start() - 120, 0), found.start())
        if before is not None and before[1] != "self":
            words.add(before[2])
    words.update(_annotated(text))
    lines = f"\n{text}"  # a break is much faster to find than the beginning of a line
    for row in _ROW.findall(lines):
        several = "." in row and "," in _INDICES.sub("", row)  # not one target with several indices
        if several and _is_whole(row):
            words.update(_not_of_self(row))
    for rows in _ROWS.findall(lines):
        words.update(_not_of_self(rows))
    for pattern in (_LOOPED, _NAMED, _DELETED):
        for targets in pattern.findall(text):
            words.update(_not_of_self(targets))
    anything = False
    for strings, computed, library in (*_by_setters(text), *_by_dicts(text)):
        words.update(strings)
        anything = anything or computed
        patched.update(strings if library else ())
    anything = anything or ("exec(" in text and _INTO_NAMES.search(text) is not None)
    modules = "sys.modules" in text
    return Stored(
        frozenset(words),
        anything or not words.isdisjoint(_UNSEEN),
        modules and _MODULES.search(text) is not None,
        frozenset(patched),
        ".data" in text and _gives_other_data(text),
    )


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


def _annotated(text: str) -> Iterator[str]:
    """The attributes that are bound with an annotation, as in ``config.size: int = 3``."""
    for found in _ANNOTATED.finditer(text):
        begin = text.rfind("\n", 0, found.start()) + 1
        if _BEGUN.match(text, begin, found.start()):
            yield found[1]


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


def _not_of_self(targets: str) -> Iterator[str]:
    for chain in targets.split(","):
        found = _WORD.findall(chain)
        plain = chain.strip(" \t()[]*")
        if found and not (plain.startswith("self.") and len(found) == 1):
            yield from found


def _is_of_library(chain: re.Match[str] | None) -> bool:
    names = chain[0].split(".") if chain is not None else []
    return bool(names) and names[0] in _LIBRARY and "backends" not in names


_ByName = Iterator[tuple[list[str], bool, bool]]  # names, whether some are worked out, of PyTorch


def _by_setters(text: str) -> _ByName:
    """What calls such as ``setattr(config, "size", 4)`` name; whether the name is worked out."""
    for pattern in _SETS:
        for call in pattern.finditer(text):
            before = _CALLED.search(text, max(call.start() - 60, 0), call.start())
            name = (before[0] if before is not None else "") + call[0]
            yield from _by_setter(name, text[call.end() : _end(text, call.end())])


def _by_setter(name: str, given: str) -> _ByName:
    first, _, rest = given.partition(",")
    mine = name.startswith(("self.", "super().")) and name.count(".") == 1
    if name.endswith(("attr(", "attr__(")):
        if ("set" not in name and "del" not in name) or mine or first.strip() == "self":
            return  # a look, or an object's own way to bind its attributes; see `Doubts`
        names = _STRING.findall(rest.split(",")[0]) or _STRING.findall(first)
        of = first.strip().strip("\"'").partition(".")[0] in _LIBRARY
        yield _last(names), not names, of
    elif not mine and (names := _STRING.findall(given)):
        of = names[0].startswith("torch.") or first.strip().partition(".")[0] in _LIBRARY
        yield [*_last(names), *_KEYWORD.findall(given)], False, of and "patch" in name
    elif "multiple" in name:
        yield _KEYWORD.findall(given), False, False
    elif name.endswith(("_norm(", "orthogonal(", "parametrization(")):
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
