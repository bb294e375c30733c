"""The places of constructor arguments, and which of them the code that failed names."""

from __future__ import annotations

import ast
import traceback
from pathlib import Path
from typing import Any

import torch

from gradfix.verify.construct import MadeUp
from gradfix.verify.source import statement_at

Arguments = dict[str, Any]
Slot = tuple[str, ...]

_TORCH = str(Path(torch.__file__).parent)


def names_at_fault(error: Exception) -> list[str]:
    """The names in the statements that an error passed through, the innermost ones first."""
    found: list[str] = []
    for frame, row in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = frame.f_code.co_filename
        if file.startswith(_TORCH) or not file.endswith(".py"):
            continue
        statement = statement_at(file, row)
        for node in ast.walk(statement) if statement is not None else ():
            for kind in ("id", "attr", "arg", "value"):
                name = getattr(node, kind, None)
                if isinstance(name, str) and name.isidentifier():
                    found.append(name)
    return list(dict.fromkeys(found))


def nearness(names: list[str], slot: str) -> int:
    """Where a value is named on the lines that failed; also as ``dilation`` of ``dilations_in``."""
    if slot in names:
        return names.index(slot)
    words = [n for n in names if len(n) > 4 and (n in slot or slot in n)]
    return len(names) - 1 if words else len(names)


def slots_of(kwargs: Arguments) -> list[Slot]:
    """The places of values: arguments, and what configurations among them were asked for."""
    found: list[Slot] = []
    for name, value in kwargs.items():
        found.append((name,))
        if isinstance(value, MadeUp):
            found += [(name, *slot) for slot in slots_of(value.made())]
    return found


def value_at(kwargs: Arguments, slot: Slot) -> Any:
    """What stands at a place."""
    value = kwargs[slot[0]]
    for name in slot[1:]:
        value = value.made()[name]
    return value


def with_value(kwargs: Arguments, slot: Slot, value: Any) -> Arguments:
    """The same arguments with another value at one place."""
    if len(slot) > 1:
        inner = kwargs[slot[0]]
        assert isinstance(inner, MadeUp)
        value = inner.with_value(slot[1], with_value(inner.made(), slot[1:], value)[slot[1]])
    return {**kwargs, slot[0]: value}
