"""Constructor arguments that are objects of the project's own classes, as an error asks for one."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradfix.verify.compared import types_wanted
from gradfix.verify.construct import argument_sets, fresh
from gradfix.verify.objects import Repair, built, classes_of_project, classes_with, likeness
from gradfix.verify.parts import Part
from gradfix.verify.slots import Arguments, names_at_fault, nearness, slots_of, value_at, with_value
from gradfix.verify.source import uses_of_code
from gradfix.verify.uses import Use

_LACKS = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_CLASS_LACKS = re.compile(r"type object '(\w+)' has no attribute '(\w+)'")
_COMMON = frozenset({*dir(nn.Module), *dir(torch.Tensor), *dir(dict), *dir(str), *dir(list)})
_PLACES, _DEEP = 2, 2
_PLAIN: dict[type, Any] = {
    int: 8,
    float: 0.5,
    str: "relu",
    bool: False,
    list: [8, 8, 8],
    tuple: (8, 8, 8),
    dict: {},
    torch.Tensor: torch.eye(8),
    nn.Module: Part(),
}
#: The classes of which objects are being made: one of them may want another, not for ever.
_making: list[type] = []


def of_classes(
    cls: type[nn.Module], kwargs: Arguments, error: Exception, repair: Repair
) -> list[Arguments]:
    """With objects in the places of values that lack an attribute, or are of the wrong type."""
    if len(_making) >= _DEEP:
        return []
    found: list[Arguments] = []
    for slot, kinds in (*_of_wrong_type(kwargs, error), *_lacking(cls, kwargs, error)):
        for kind in kinds:
            made = _object_of(kind, cls, repair)
            if made is not None:
                found.append(with_value(kwargs, slot, made))
    return found


def _object_of(kind: type, owner: type, repair: Repair) -> Any:
    if kind in _PLAIN:
        return _PLAIN[kind]
    if inspect.isabstract(kind) or kind in _making or kind is owner:
        return None
    _making.append(kind)
    try:
        return built(kind, _first_arguments(kind), fresh, repair)
    finally:
        _making.pop()


def _first_arguments(kind: type) -> Iterator[Arguments]:
    """What can be told of the arguments; nothing where the constructor has no signature."""
    try:
        yield from argument_sets(kind)
    except (TypeError, ValueError):
        return


def _of_wrong_type(
    kwargs: Arguments, error: Exception
) -> Iterator[tuple[tuple[str, ...], list[type]]]:
    """The places that a failed ``isinstance`` is about, with the types that it wants."""
    for name, types in types_wanted(error):
        for slot in slots_of(kwargs):
            if slot[-1] == name:
                yield slot, types


def _lacking(
    cls: type, kwargs: Arguments, error: Exception
) -> Iterator[tuple[tuple[str, ...], list[type]]]:
    """The places of what has no such attribute, with the classes of the project that have it."""
    text = str(error)
    match = _LACKS.search(text) or _CLASS_LACKS.search(text)
    if match is None or not isinstance(error, AttributeError):
        return
    kind, attribute = match.groups()
    names, uses = names_at_fault(error), uses_of_code(cls)
    slots = [slot for slot in slots_of(kwargs) if _called(value_at(kwargs, slot), match) == kind]
    slots.sort(key=lambda slot: nearness(names, slot[-1]))
    space = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
    classes = [each for each in classes_of_project(space) if each is not cls]
    for slot in slots[:_PLACES]:
        read = uses.get(slot[-1], Use()).attributes | {attribute}
        found = classes_with(read - _COMMON or {attribute}, slot[-1], classes)
        found = found or classes_with({attribute}, slot[-1], classes)
        if attribute in _COMMON:  # of so much else that only its name may tell
            found = [each for each in found if likeness(slot[-1], each)]
        if found:
            yield slot, found


def _called(value: Any, match: re.Match[str]) -> str:
    of_class = match.re is _CLASS_LACKS and inspect.isclass(value)
    return value.__name__ if of_class else type(value).__name__
