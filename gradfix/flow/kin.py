"""Which classes of a project are related, by the names in the heads of their definitions.

NOTE: who is related. An object of a class is also one of its bases, and of what is derived from it;
``self.x`` in any of these may be the same attribute. Classes of one name in two files count as one:
the answer may name too many classes, and never too few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from gradfix.flow.around import files_below

if TYPE_CHECKING:
    from gradfix.flow.project import Project

_HEAD = re.compile(r"class[ \t]+(\w+)[ \t]*(?:\[[^\]]*\])?[ \t]*\(([^:]*?)\)[ \t]*:")
_ARGUMENTS = re.compile(r"\[[^\[\]]*\]|#[^\n]*")
#: What derives from these is not related: everything does.
_EVERYBODYS = frozenset({"object", "Module", "ABC", "Generic", "Protocol"})


def related(project: Project, top: str, names: Iterable[str]) -> frozenset[str]:
    """The names of some classes, of their bases, of what is derived from them, and its bases."""
    bases = _bases(project, top)
    derived = _reach(names, _turned(bases))
    return frozenset(_reach(derived, bases))


def _bases(project: Project, top: str) -> Mapping[str, set[str]]:
    """By the name of each class below a folder, the names of its bases that are classes there."""
    known = project.kin.get(top)
    if known is not None:
        return known
    found: dict[str, set[str]] = {}
    for path in files_below(project, top) or ():
        for name, given in _heads(project.text(path) or ""):
            plain = _ARGUMENTS.sub("", given)
            bases = {
                part.strip().rpartition(".")[2] for part in plain.split(",") if "=" not in part
            }
            found.setdefault(name, set()).update(bases - _EVERYBODYS - {""})
    project.kin[top] = found
    return found


def _heads(text: str) -> Iterator[tuple[str, str]]:
    """The names and the arguments of the classes of a text that have some.

    The word is looked for, not the beginnings of lines: those are many.
    """
    at = text.find("class")
    while at >= 0:
        end = at + 1
        if not text[text.rfind("\n", 0, at) + 1 : at].strip(" \t"):
            head = _HEAD.match(text, at)
            if head is not None:
                yield head[1], head[2]
                end = head.end()
        at = text.find("class", end)


def _turned(bases: Mapping[str, set[str]]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, above in bases.items():
        for base in above:
            found.setdefault(base, set()).add(name)
    return found


def _reach(names: Iterable[str], to: Mapping[str, set[str]]) -> set[str]:
    found, queue = set(names), list(names)
    while queue:
        for name in to.get(queue.pop(), ()):
            if name not in found:
                found.add(name)
                queue.append(name)
    return found
