"""The vocabulary of `gradfix.model` as plain JSON values and back.

Not pickle: what lies in a project's folder may come from anybody, and reading it must not run code.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Sequence
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def plain(value: object) -> Any:
    """A frozen dataclass, and what it holds, as lists, strings and numbers, in order of fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [plain(getattr(value, name)) for name, _ in _fields(type(value))]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value
    raise TypeError(f"no plain form for {type(value).__name__}")


def restored(kind: type[T], value: object) -> T:
    """What `plain` was given. Raises ValueError for values that are not of that shape."""
    result: T = _restored(kind, value)
    return result


def _restored(kind: Any, value: object) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        inner = [part for part in typing.get_args(kind) if part is not type(None)]
        return None if value is None else _restored(inner[0], value)
    if origin is tuple:
        return tuple(_restored(typing.get_args(kind)[0], item) for item in _items(value))
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        fields, items = _fields(kind), _items(value)
        if len(items) != len(fields):
            raise ValueError("wrong number of fields")
        return kind(
            *[_restored(inner, item) for (_, inner), item in zip(fields, items, strict=True)]
        )
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(value)
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} expected, not {type(value).__name__}")
    return value


def _items(value: object) -> Sequence[object]:
    if not isinstance(value, list):
        raise ValueError("a list expected")
    return value


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(kind)
    return tuple((field.name, hints[field.name]) for field in dataclasses.fields(kind))
