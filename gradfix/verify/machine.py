"""What a machine lacks for code that was written on another: saved weights, and a GPU.

A network that loads its weights when it is built has the same graph without them: the module keeps
the random ones. Only loading is left out; what takes a value out of the missing file to compute
with it fails as before. Without a GPU, what goes there stays where it is.
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
_TO_GPU, _MODULE_TO_GPU = torch.Tensor.cuda, nn.Module.cuda


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


#: The files that were left out since `make_do`.
_left: list[str] = []


def make_do(wanted: bool) -> None:
    """From now on do without what is not there; or raise again, as torch does."""
    _left.clear()
    torch.load = _load if wanted else _LOAD
    torch.hub.download_url_to_file = _download if wanted else _DOWNLOAD
    modules: Any = nn.Module
    modules.load_state_dict = _into_module if wanted else _INTO_MODULE
    if not torch.cuda.is_available():
        tensors: Any = torch.Tensor
        tensors.cuda = _copied if wanted else _TO_GPU
        modules.cuda = _stay if wanted else _MODULE_TO_GPU


def left_out() -> list[str]:
    """The files whose weights are not in the modules that were built since `make_do`."""
    return list(dict.fromkeys(_left))


@functools.wraps(_LOAD)
def _load(f: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return _LOAD(f, *args, **kwargs)
    except FileNotFoundError:
        _left.append(Path(f).name)
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
    if isinstance(state_dict, Absent) or (_left and not state_dict):
        return _IncompatibleKeys([], [])
    return _INTO_MODULE(self, state_dict, *args, **kwargs)


def _copied(self: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """A leaf that goes to a GPU comes back as a copy that is none, elsewhere a tensor as itself."""
    return self.clone() if self.requires_grad and self.is_leaf else self


def _stay(self: nn.Module, *args: Any, **kwargs: Any) -> nn.Module:
    return self
