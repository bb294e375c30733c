"""Objects of the project's own classes, for arguments that are no numbers, tensors or layers.

``vocab.get_smiles(i)``, ``conv.dim`` or ``isinstance(net, Encoder)`` say which class is meant. What
stands in for an object is one that the project's own constructor made, never a made-up one.
"""

from __future__ import annotations

import inspect
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gradfix.verify.source import attributes_of

_MOST_CLASSES = 400
_MOST_BUILDS = 12
_MOST = 2
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")

Repair = Callable[[type, dict[str, Any], Exception], list[dict[str, Any]]]


def classes_of_project(space: Mapping[str, Any]) -> list[type]:
    """The classes of a file and of the project's other files that are loaded; its own first."""
    root = _root()
    spaces = [
        vars(module)
        for module in list(sys.modules.values())
        if str(getattr(module, "__file__", None) or "").startswith(root)
    ]
    found: dict[type, None] = {}
    for value in itertools.chain(space.values(), *(each.values() for each in spaces)):
        if inspect.isclass(value) and value not in found and _is_own(value, root):
            found[value] = None
    return list(found)[:_MOST_CLASSES]


def is_of_project(cls: type) -> bool:
    """Whether a file of the project defines the class."""
    return _is_own(cls, _root())


def _root() -> str:
    """What the paths of the project's files begin with."""
    return str(Path.cwd() / "_").removesuffix("_")


def _is_own(cls: type, root: str) -> bool:
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    return file.startswith(root) and not issubclass(cls, BaseException)


def text_of(value: Any) -> str:
    """A value as text; objects of the project by their class, as their own texts hold addresses."""
    if is_of_project(type(value)):
        return f"{type(value).__name__}(...)"
    try:
        return repr(value)
    except Exception:  # objects inside of it have code of the user's for that, which may raise
        return f"{type(value).__name__}(...)"


def classes_with(wanted: set[str], name: str, classes: list[type]) -> list[type]:
    """Those that have all of the attributes, the best named first."""
    fitting = [each for each in classes if wanted <= attributes_of(each)]
    return sorted(fitting, key=lambda each: -likeness(name, each))[:_MOST]


def likeness(name: str, cls: type) -> int:
    """How many words the name of an argument has in common with that of a class."""
    return len({*name.lower().split("_")} & {w.lower() for w in _WORDS.findall(cls.__name__)})


def built(
    cls: type, first: Iterator[dict[str, Any]], fresh: Callable[[Any], Any], repair: Repair
) -> Any:
    """An object of a class, with arguments that its constructor accepts; None without."""
    todo, tried = list(itertools.islice(first, 3)), set[str]()
    while todo and len(tried) < _MOST_BUILDS:
        kwargs = todo.pop(0)
        text = text_of(kwargs)
        if text in tried:
            continue
        tried.add(text)
        try:
            return cls(**{name: fresh(value) for name, value in kwargs.items()})
        except Exception as error:  # the user's constructor; its error says what it wants instead
            todo = [*repair(cls, kwargs, error)[:4], *todo]
    return None
