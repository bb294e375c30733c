"""Names that NumPy and Python have dropped since the code was written, under which it still asks.

What they stood for is there under another name, so the code means what it meant. Only files of the
project are answered, and what they asked for is said beside the result.
"""

from __future__ import annotations

import collections.abc
import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

#: By module: the name that is gone, and the one that means the same (of the module, or in full).
_NOW: dict[str, dict[str, str]] = {
    "numpy": {
        "product": "prod", "cumproduct": "cumprod", "alltrue": "all", "sometrue": "any",
        "in1d": "isin", "row_stack": "vstack", "trapz": "trapezoid", "round_": "round",
        "float_": "float64", "complex_": "complex128", "mat": "asmatrix", "NaN": "nan",
        "NAN": "nan", "Inf": "inf", "infty": "inf", "Infinity": "inf", "PINF": "inf",
        "float": "builtins.float", "int": "builtins.int", "bool": "builtins.bool",
        "object": "builtins.object", "str": "builtins.str", "complex": "builtins.complex",
    },
    "collections": {name: f"collections.abc.{name}" for name in collections.abc.__all__},
    "inspect": {"getargspec": "inspect.getfullargspec"},
    "fractions": {"gcd": "math.gcd"},
    "time": {"clock": "time.perf_counter"},
}  # fmt: skip
_asked: dict[str, None] = {}


def answer_old_names(project: str) -> None:
    """From now on answer files below ``project`` that ask for a name which is gone."""
    for name, now in _NOW.items():
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        vars(module)["__getattr__"] = _answering(module, now, project)


def old_names() -> list[str]:
    """The names that were asked for, as ``numpy.product``."""
    return list(_asked)


def _answering(module: ModuleType, now: dict[str, str], project: str) -> Callable[[str], Any]:
    before = vars(module).get("__getattr__")

    def answer(name: str) -> Any:
        if name in now and sys._getframe(1).f_code.co_filename.startswith(project):
            home, _, new = now[name].rpartition(".")
            _asked[f"{module.__name__}.{name}"] = None
            return getattr(importlib.import_module(home) if home else module, new)
        if before is not None:
            return before(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    return answer
