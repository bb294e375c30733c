"""Classes and functions that build the parts of a module, where an argument is one of them."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Hashable, Mapping
from typing import Any, cast

from torch import nn

from gradfix.verify.names import Wanted


def factories(w: Wanted) -> list[Any]:
    """Classes and functions that build a part."""
    name = w.name.lower()
    if usual := [value for value in _defaults(w) if callable(value)]:
        return usual
    if w.use.called and not w.use.given:
        return [nn.ReLU if "act" in name else nn.Identity, *_blocks(w)]
    if "norm" in name:
        return [nn.BatchNorm2d, nn.LayerNorm, nn.Identity]
    if name.startswith(("act", "nonlin")) or "activation" in name:
        return [nn.ReLU]
    if "conv" in name:
        return [nn.Conv2d]
    if "init" in name and "initial" not in name:
        return [nn.init.normal_]
    return [*_blocks(w), nn.Identity, nn.Linear]


def _blocks(w: Wanted) -> list[type]:
    """Modules of the file that a name such as ``block`` may stand for."""
    stem = re.sub(r"(_?(cls|class|type|fn|layer|func))+$|s$", "", w.name.lower()).split("_")[-1]
    named: list[type] = []
    others: list[type] = []
    for key, value in w.space.items():
        if not inspect.isclass(value) or not issubclass(value, nn.Module) or value is w.owner:
            continue
        if value.__module__.startswith("torch."):
            continue
        fits = "expansion" in w.use.attributes & set(vars(value))
        if fits or (stem and stem in key.lower()):
            named.append(value)
        elif w.owner is not None and value.__module__ == w.owner.__module__:
            others.append(value)
    return [*named[:2], *others[:1]]


def elsewhere(w: Wanted) -> list[Any]:
    """What other code of the file gives a parameter of this name by default, where it is a word,
    a flag or a list: numbers have to fit each other."""
    plain = (bool, float, str, tuple, list)
    return [v for v in _defaults(w) if isinstance(v, plain) and v not in ("", (), [])]


def _defaults(w: Wanted) -> list[Any]:
    """The default values of parameters of the same name in the functions and classes around."""
    found: list[Any] = []
    for value in list(w.space.values()):
        if inspect.isclass(value) or inspect.isfunction(value):
            if value.__module__ == w.space.get("__name__") and value is not w.owner:
                given = _parameters(cast("Hashable", value)).get(w.name)
                found += [] if given is None or given.default is given.empty else [given.default]
    return [value for value in found if value is not None][:2]


@functools.lru_cache(maxsize=1024)
def _parameters(value: Hashable) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(cast("Any", value)).parameters
    except (TypeError, ValueError):  # no signature to read
        return {}
