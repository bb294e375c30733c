"""Writes down what the project's functions are given while a recipe runs. Runs in the child."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
from types import FrameType
from typing import Any

import torch

from gradfix.verify.drive import Drive, reseed

_MAX_CALLS = 2_000
_PLAIN = (torch.Tensor, torch.nn.Parameter)
#: Recipes whose inputs somebody wrote; what gradfix made up says nothing about the real calls.
WRITTEN = frozenset({"case", "call-site", "script"})


def recorded_calls(drive: Drive, seed: int, project: str) -> dict[str, list[dict[str, Any]]]:
    """Every call of a function of the project, by its file, at most some thousands.

    Whatever the user's code raises ends the recording; what was called before has been called.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    left = _MAX_CALLS

    def called(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        filename = frame.f_code.co_filename
        if event == "call" and left > 0 and filename.startswith(project + os.sep):
            if frame.f_code.co_flags & inspect.CO_NEWLOCALS and frame.f_code.co_name[0] != "<":
                left -= 1
                found.setdefault(filename, []).append(_call(frame))

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        with contextlib.suppress(Exception):  # the user's code; its verdict is found elsewhere
            reseed(seed)
            prepared = drive.prepare()
            reseed(seed)
            prepared.run()
    finally:
        sys.setprofile(before)
    return found


def _call(frame: FrameType) -> dict[str, Any]:
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    values = frame.f_locals
    arguments = {name: _described(values[name]) for name in names if name in values}
    return {"name": code.co_name, "row": code.co_firstlineno, "arguments": arguments}


def _described(value: Any) -> dict[str, Any]:
    if type(value) in _PLAIN and not torch.nn.parameter.is_lazy(value):
        return {
            "kind": "tensor",
            "shape": list(value.shape),
            "dtype": str(value.dtype).removeprefix("torch."),
            "roles": [_role(value)],
        }
    if type(value) in (int, float, bool):
        finite = value if abs(value) < 2**53 and value == value else None
        return {"kind": type(value).__name__, "value": finite}
    return {"kind": "other"}


def _role(tensor: torch.Tensor) -> str:
    if not tensor.requires_grad:
        return "untracked"
    return "leaf" if tensor.is_leaf else "tracked"
