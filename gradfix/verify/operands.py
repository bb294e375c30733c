"""Values of another type, where an error says which types do not go together.

``unsupported operand type(s) for +: 'int' and 'list'`` tells both, and the line that failed which
of the arguments are meant.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from gradfix.verify.guess import SIDE
from gradfix.verify.slots import Arguments, names_at_fault, nearness, slots_of, value_at, with_value

_BOTH = (
    re.compile(r"unsupported operand type\(s\) for .+?: '([\w.]+)' and '([\w.]+)'"),
    re.compile(r"not supported between instances of '([\w.]+)' and '([\w.]+)'"),
    re.compile(r"can only concatenate (\w+) \(not \"([\w.]+)\"\) to"),
    re.compile(r"(?:argument|must be) .*?(\w+), not '?([\w.]+)'?"),
)
_ONE = (
    re.compile(r"can't multiply sequence by non-int of type '([\w.]+)'"),
    re.compile(r"bad operand type for .+?: '([\w.]+)'"),
    re.compile(r"'([\w.]+)' object cannot be interpreted as an integer"),
    re.compile(r"argument after \*\*? must be an? \w+, not ([\w.]+)"),
)
_COUNT = re.compile(r"a single integer value or a list of (\d) values")
_MOST = 6


def types_at_odds(text: str) -> list[str]:
    """The names of the types that an error says do not fit what was done with them."""
    found: list[str] = []
    for pattern in (*_BOTH, *_ONE):
        if match := pattern.search(text):
            found += [name.rpartition(".")[2] for name in match.groups()]
    return list(dict.fromkeys(found))


def other_operands(kwargs: Arguments, error: Exception) -> list[Arguments]:
    """Arguments of such a type with values of another one; those on the failing line first."""
    if not isinstance(error, (TypeError, RuntimeError, ValueError)):
        return []
    kinds, counted = types_at_odds(str(error)), _COUNT.search(str(error))
    if not kinds and counted is None:
        return []
    names = names_at_fault(error)
    slots = sorted(slots_of(kwargs), key=lambda slot: nearness(names, slot[-1]))
    found: list[Arguments] = []
    for slot in slots if counted is not None else ():
        value, count = value_at(kwargs, slot), int(counted[1]) if counted else 0
        if isinstance(value, (list, tuple)) and 0 < len(value) != count:
            found.append(with_value(kwargs, slot, type(value)([*value, *value * count][:count])))
    for slot in slots:
        value = value_at(kwargs, slot)
        if any(_is_of(value, kind) for kind in kinds):
            found += [with_value(kwargs, slot, each) for each in _instead(value, kinds)]
    return found[:_MOST]


def _is_of(value: Any, kind: str) -> bool:
    """Whether a value, or what a class makes, is of the type of this name."""
    return type(value).__name__ == kind or (inspect.isclass(value) and value.__name__ == kind)


def _instead(value: Any, kinds: list[str]) -> Iterator[Any]:
    """What may stand there, by the other type that the error names."""
    if inspect.isclass(value):  # a layer is called with a tensor where its class was given
        if issubclass(value, nn.Module):
            yield from _built(value)
        return
    if isinstance(value, str):
        yield int(value) if value.isdigit() else 8
    elif isinstance(value, (list, tuple)):
        if value and type(value[0]) in (int, float):
            yield value[0]
        if "Tensor" in kinds:
            yield torch.eye(8)
    elif isinstance(value, torch.Tensor):
        yield 8
    elif type(value) in (int, float):
        if not {"list", "iterable", "tuple"}.isdisjoint(kinds):
            yield [value] * 3
            yield (SIDE, SIDE)
        if "str" in kinds:
            yield str(value)
        if type(value) is float:
            yield 8


def _built(value: type[nn.Module]) -> Iterator[nn.Module]:
    for inside in ((), (8,)):
        try:
            yield value(*inside)
            return
        except Exception:  # a layer that needs more than its width is no candidate
            continue
