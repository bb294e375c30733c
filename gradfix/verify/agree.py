"""Do the values written down by two runs agree? Plain data in, a reason out. No torch here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradfix.model import Values

_RELATIVE = 1e-4
_ABSOLUTE = 1e-6


def disagreement(
    before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]], promise: Values
) -> str | None:
    """The first difference that a promise does not allow; None where the values agree.

    ``SAME`` allows none: names, shapes, dtypes and every bit must be equal (all NaNs are one, and
    so are both zeros). ``CLOSE`` allows rounding, and a number where there was a tensor of one
    element or the other way round. Whatever was read from an object too large to be written down in
    full is compared by random sums.
    """
    if promise is Values.CHANGED:
        return None
    if len(before) != len(after):
        return f"gives {len(after)} values instead of {len(before)}"
    for old, new in zip(before, after, strict=True):
        reason = _same(old, new) if promise is Values.SAME else _close(old, new)
        if reason:
            return f"{old['name']} {reason}"
    return None


def _same(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    if (old["dtype"], old["shape"], old["number"]) != (new["dtype"], new["shape"], new["number"]):
        return f"is {_kind(new)}, not {_kind(old)}"
    if old["digest"] != new["digest"]:
        return f"differs: {_difference(old, new)}"
    return None


def _close(old: dict[str, Any], new: dict[str, Any]) -> str | None:
    if math.prod(old["shape"]) != math.prod(new["shape"]) or (
        old["shape"] != new["shape"] and not (old["number"] or new["number"])
    ):
        return f"is {_kind(new)}, not {_kind(old)}"
    if old["digest"] == new["digest"]:
        return None
    scale = _ABSOLUTE + _RELATIVE * max(abs(old["norm"]), abs(new["norm"]))
    # A random sum of a difference is as large as its norm, give or take.
    near = all(abs(a - b) <= scale for a, b in zip(old["sums"], new["sums"], strict=True))
    odd = [a for a, b in _pairs(old, new) if (isinstance(a, str) or isinstance(b, str)) and a != b]
    return None if near and not odd else f"differs: {_difference(old, new)}"


def _pairs(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[Any, Any]]:
    return list(zip(old["sample"], new["sample"], strict=False))


def _kind(entry: dict[str, Any]) -> str:
    if entry["number"]:
        return "a number"
    return f"{entry['dtype']} of shape {tuple(entry['shape'])}"


def _difference(old: dict[str, Any], new: dict[str, Any]) -> str:
    """The largest difference among what was written down in full, for people."""
    differing = [(a, b) for a, b in _pairs(old, new) if a != b]
    if not differing:
        return "in elements that are not shown"
    numbers = [(a, b) for a, b in differing if not isinstance(a, str) and not isinstance(b, str)]
    a, b = max(numbers, key=lambda pair: abs(pair[0] - pair[1])) if numbers else differing[0]
    return f"{_shown(a)} became {_shown(b)}"


def _shown(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
