"""The heights and widths of images that a module states by the names of its attributes."""

from __future__ import annotations

import re
from typing import Any

from torch import nn

_OF_BOTH = re.compile(
    r"^_?(?:im|img|image|input|in|frame)_?(?:size|sz|res|resolution|shape|dims?)$"
)
_OF_HEIGHT = re.compile(r"^_?(?:(?:im|img|image|input|in|frame)_?)?(?:height|h)$")
_SMALLEST, _LARGEST = 4, 320
_MOST = 2


def sides_stated(module: nn.Module) -> list[tuple[int, int]]:
    """Height and width, in pixels, as ``image_size`` or ``image_height`` of any part says."""
    found: list[tuple[int, int]] = []
    for part in module.modules():
        held = dict(vars(part))
        for name, value in held.items():
            both: Any = None
            if _OF_BOTH.match(name):
                both = (value, value) if type(value) is int else value
            elif _OF_HEIGHT.match(name):
                both = (value, held.get(_name_of_width(name)))
            if isinstance(both, (tuple, list)) and len(both) in (2, 3):
                height, width = both[-2:]
                if all(type(n) is int and _SMALLEST <= n <= _LARGEST for n in (height, width)):
                    found.append((height, width))
    return list(dict.fromkeys(found))[:_MOST]


def _name_of_width(name: str) -> str:
    return name.replace("height", "width") if name.endswith("height") else f"{name[:-1]}w"
