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
            names = _nested(parts, uses) if way == "record" else parts
            found += [Input(part, keyword=keyword, owner=owner, way=way) for part in names]
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


def _nested(parts: list[str], uses: Mapping[str, Use]) -> list[str]:
    """The parts of an object, with those of the objects in it as ``boxes.sizes``."""
    found: list[str] = []
    for part in parts:
        use = uses.get(part, Use())
        read = {*use.keys, *(use.attributes - _OF_TENSORS - set(dir(dict)))}
        read = {each for each in read if each.isidentifier() and each not in parts}
        # What is done with a tensor as well is one.
        inner = sorted(read) if read and not use.attributes & _OF_TENSORS and not use.called else []
        found += [f"{part}.{each}" for each in inner] or [part]
    return found[:_MAX_PARTS]


def _record(values: Mapping[str, Any]) -> Record:
    """Values under names, those with a dot in objects of their own."""
    made = Record()
    for name, value in values.items():
        outer, dot, inner = name.partition(".")
        if dot and inner.isidentifier():
            made.setdefault(outer, Record())[inner] = value
        else:
            made[name] = value
    return made


def _record_text(texts: Mapping[str, str]) -> str:
    sections: dict[str, dict[str, str]] = {}
    for name, text in texts.items():
        outer, dot, inner = name.partition(".")
        if dot and inner.isidentifier():
            sections.setdefault(outer, {})[inner] = text
        else:
            sections[name] = {"": text}
    parts = [
        f"{name!r}: {held['']}" if "" in held else f"{name!r}: {_record_text(held)}"
        for name, held in sections.items()
    ]
    return f"{{{', '.join(parts)}}}"


def assembled(inputs: list[Input], values: list[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The values as the call takes them: positional ones and those given by name."""
    args: list[Any] = []
    named: dict[str, Any] = {}
    for members in _grouped(inputs):
        first = inputs[members[0]]
        given: Any = values[members[0]]
        if first.way == "record":
            given = _record({inputs[i].name: values[i] for i in members})
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
            text = _record_text({inputs[i].name: specs[i].text() for i in members})
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
