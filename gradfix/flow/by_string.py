"""Attributes that code names in a string: ``getattr(net, "heads")``, ``vars(net)["heads"]``."""

from __future__ import annotations

import enum
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from gradfix.flow.around import files_below

if TYPE_CHECKING:
    from gradfix.flow.project import Project

#: Takes an attribute by a name that is worked out, or handed in.
COMPUTED = re.compile(r"\b[gs]etattr\(\s*[\w.]+\s*,\s*(?![\"'\s])|\bvars\(|__dict__")

#: Lists whatever an object keeps in its ``__dict__``, where no Module is; settings are no Modules.
LISTED = re.compile(
    r"\bvars\((?!\s*\)|\w*(?:arg|opt|conf|cfg|param|parse|setting|flag|option)\w*\b)"
    r"|(?<!arg)(?<!args)(?<!opt)(?<!config)(?<!cfg)\.__dict__\b(?!\.update)",
)


class Spoken(enum.IntEnum):
    """How a text names an attribute: not at all, to somebody, or as a key of the object's dict."""

    NO = 0
    NAMED = 1
    LOOKED_UP = 2


@lru_cache(maxsize=256)
def _patterns(name: str) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    spelled = rf"\\?[\"']{re.escape(name)}\\?[\"']"
    return (
        re.compile(rf"(?:\bvars\([^()\n]*\)|__dict__)\s*(?:\[|\.\w+\()\s*{spelled}"),
        re.compile(rf"\b(?:[gsh]etattr|hasattr|delattr|attrgetter)\([^\n]*?{spelled}"),
        re.compile(rf"(?:(?<!\.get)(?<!argument)\(|,)\s*{spelled}"),
    )


def spoken_of(text: str, name: str, *, computed: bool = False) -> Spoken:
    """How a text names an attribute in a string.

    Where some code of the project takes attributes by ``computed`` names, every call that is given
    the name counts.
    """
    if f"{name}'" not in text and f'{name}"' not in text and f'{name}\\"' not in text:
        return Spoken.NO
    key, taken, given = _patterns(name)
    if key.search(text) is not None:
        return Spoken.LOOKED_UP
    named = taken.search(text) or (computed and given.search(text))
    return Spoken.NAMED if named else Spoken.NO


def takes_computed_names(project: Project, top: str) -> bool:
    """Whether any file below a folder takes attributes by names that are not written out there."""
    if top not in project.computed:
        project.computed[top] = any(
            ("attr(" in text or "vars(" in text or "__dict__" in text) and COMPUTED.search(text)
            for path in files_below(project, top) or ()
            if (text := project.text(path) or "")
        )
    return project.computed[top]
