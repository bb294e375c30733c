"""The inputs of a call as single values, also where a call gets them in a dict, object or list."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from gradfix.verify.drive import Record
from gradfix.verify.guess import Input, Spec, annotation
from gradfix.verify.uses import Use

_OF_TENSORS = frozenset(dir(torch.Tensor))
_MAX_PARTS = 8


def inputs_for(parameters: list[inspect.Parameter], uses: Mapping[str, Use]) -> list[Input]:
    """The single values for parameters, by what a method does with them."""
    found: list[Input] = []
    for parameter in parameters:
        keyword = (
            parameter.kind is parameter.KEYWORD_ONLY or parameter.default is not parameter.empty
        )
        parts, way = parts_of(parameter, uses.get(parameter.name, Use()))
        if way:
            owner = parameter.name
            found += [Input(part, keyword=keyword, owner=owner, way=way) for part in parts]
        else:
            called = uses.get(parameter.name, Use()).called
            found.append(
                Input(parameter.name, Callable if called else parameter.annotation, keyword)
            )
    return found


def parts_of(parameter: inspect.Parameter, use: Use) -> tuple[list[str], str]:
    """Names of the parts of one parameter, and how it holds them; no way for a plain value."""
    kind = annotation(parameter.annotation)
    if parameter.kind is parameter.VAR_POSITIONAL:
        return [parameter.name] * max(1, min(use.highest or use.unpacked, _MAX_PARTS)), "star"
    if kind in ("int", "bool", "float", "str", "tensor"):
        return [], ""
    others = sorted(use.attributes - _OF_TENSORS - set(dir(dict)))
    if use.keys:
        return sorted({*use.keys, *others})[:_MAX_PARTS], "record"
    if others and not use.called:
        return others[:_MAX_PARTS], "record"
    size = max(use.highest, use.unpacked)
    tensor = use.attributes & _OF_TENSORS - {"index", "count", "copy"}
    held = "tuple" if "tuple" in use.types or kind == "tuple" else "list"
    if size > 1 and not tensor and (kind in ("list", "tuple", "sequence") or use.unpacked):
        return [parameter.name] * min(size, _MAX_PARTS), held
    if size and not use.whole:  # nothing is done with it as such
        return [parameter.name] * min(size, _MAX_PARTS), held
    return [], ""


def assembled(inputs: list[Input], values: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The values as the call takes them: positional ones and those given by name."""
    args: list[Any] = []
    named: dict[str, Any] = {}
    for members in _grouped(inputs):
        first = inputs[members[0]]
        given: Any = values[members[0]]
        if first.way == "record":
            given = Record({inputs[i].name: values[i] for i in members})
        elif first.way in ("list", "tuple"):
            given = [values[i] for i in members]
            given = tuple(given) if first.way == "tuple" else given
        if first.way == "star":
            args += [values[i] for i in members]
        elif first.keyword:
            named[first.owner or first.name] = given
        else:
            args.append(given)
    return tuple(args), named


def shown(inputs: list[Input], specs: list[Spec]) -> str:
    """The call's arguments as a user would write them."""
    texts: list[str] = []
    for members in _grouped(inputs):
        first = inputs[members[0]]
        text = specs[members[0]].text()
        if first.way == "record":
            parts = ", ".join(f"{inputs[i].name!r}: {specs[i].text()}" for i in members)
            text = f"{{{parts}}}"
        elif first.way == "star":
            text = ", ".join(specs[i].text() for i in members)
        elif first.way == "list":
            text = f"[{', '.join(specs[i].text() for i in members)}]"
        elif first.way == "tuple":
            text = f"({', '.join(specs[i].text() for i in members)},)"
        texts.append(f"{first.owner or first.name}={text}" if first.keyword else text)
    return ", ".join(texts)


def _grouped(inputs: list[Input]) -> list[list[int]]:
    """The indices of the inputs, those of one parameter together."""
    groups: list[list[int]] = []
    for index, each in enumerate(inputs):
        if each.way and groups and inputs[groups[-1][0]].owner == each.owner:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups
