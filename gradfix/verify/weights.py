"""Saved weights that are not there: the module keeps the random ones that it was built with.

A network that loads its weights when it is built has the same graph without them. Only loading is
left out: what takes a value out of the missing file to compute with it fails as before.
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import _IncompatibleKeys

_LOAD, _DOWNLOAD = torch.load, torch.hub.download_url_to_file
_INTO_MODULE = nn.Module.load_state_dict


class Absent(OrderedDict[str, Any]):
    """What a file of weights would hold: sections are found in it, weights are not."""

    def __missing__(self, name: str) -> Absent:
        if not isinstance(name, str):
            raise KeyError(name)
        return self

    def __setitem__(self, name: str, value: Any) -> None:
        """Nothing: what is changed about weights that are not there is no matter."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Absent:
        return self

    def copy(self) -> Absent:
        """Itself."""
        return self

    def get(self, name: str, default: Any = None) -> Any:
        """A section that is asked for without a default."""
        return self if default is None else default

    def pop(self, name: str, default: Any = None) -> Any:
        """The same."""
        return self.get(name, default)


class _Left:
    """The names of the files that were left out since `leave_out`."""

    names: list[str] = []


def leave_out(wanted: bool) -> None:
    """From now on do without weights that cannot be read or fetched; or raise again, as torch does."""
    _Left.names = []
    if wanted:
        torch.load = _load
        torch.hub.download_url_to_file = _download
        nn.Module.load_state_dict = _into_module  # type: ignore[method-assign]
    else:
        torch.load, torch.hub.download_url_to_file = _LOAD, _DOWNLOAD
        nn.Module.load_state_dict = _INTO_MODULE  # type: ignore[method-assign]


def left_out() -> list[str]:
    """The files whose weights are not in the modules that were built since `leave_out`."""
    return list(dict.fromkeys(_Left.names))


@functools.wraps(_LOAD)
def _load(f: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return _LOAD(f, *args, **kwargs)
    except FileNotFoundError:
        _Left.names.append(Path(f).name)
        return Absent()


@functools.wraps(_DOWNLOAD)
def _download(*args: Any, **kwargs: Any) -> None:
    try:
        _DOWNLOAD(*args, **kwargs)
    except OSError:  # no network; the file is then missed where it is read
        return


@functools.wraps(_INTO_MODULE)
def _into_module(self: nn.Module, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
    # What was picked from weights that are not there is a plain dict, as empty as they are.
    if isinstance(state_dict, Absent) or (_Left.names and not state_dict):
        return _IncompatibleKeys([], [])
    return _INTO_MODULE(self, state_dict, *args, **kwargs)
