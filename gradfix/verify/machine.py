"""What a machine lacks for code that was written on another: saved weights, and a GPU.

A network that loads its weights when it is built has the same graph without them: the module keeps
the random ones. Only loading is left out; what takes a value out of the missing file to compute
with it fails as before. Without a GPU, what goes there stays where it is.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import _IncompatibleKeys
from torch.overrides import TorchFunctionMode

from gradfix.verify.pretrained import without_weights

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


class _OnCpu(TorchFunctionMode):
    """Makes on the CPU what is to be made on a GPU, and leaves there what is to go to one."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        asked = [*args[:4], kwargs.get("device")]
        if not any(map(_is_gpu, asked)):
            return func(*args, **kwargs)
        args = tuple("cpu" if _is_gpu(arg) else arg for arg in args)
        kwargs = {name: "cpu" if _is_gpu(value) else value for name, value in kwargs.items()}
        result = func(*args, **kwargs)
        return _copied(result) if args and result is args[0] else result


def _is_gpu(value: Any) -> bool:
    if isinstance(value, torch.device):
        return value.type == "cuda"
    return isinstance(value, str) and value.partition(":")[0] == "cuda"


#: The files that were left out since `make_do`, and what keeps everything on the CPU since then.
_left: list[str] = []
_kept = contextlib.ExitStack()


def make_do(wanted: bool, *, names_gpu: bool = False) -> None:
    """From now on do without what is not there; or raise again, as torch does.

    With ``names_gpu`` also devices that the code names are replaced, which costs time.
    """
    _left.clear()
    _kept.close()
    without_weights(wanted, _left.append)
    if wanted and names_gpu and not torch.cuda.is_available():
        _kept.enter_context(_OnCpu())
    torch.load = _load if wanted else _LOAD
    torch.hub.download_url_to_file = _download if wanted else _DOWNLOAD
    modules: Any = nn.Module
    modules.load_state_dict = _into_module if wanted else _INTO_MODULE
    if not torch.cuda.is_available():
        tensors: Any = torch.Tensor
        tensors.cuda = _copied if wanted else _TO_GPU
        modules.cuda = _stay if wanted else _MODULE_TO_GPU


def names_gpu(path: str) -> bool:
    """Whether a file names a GPU as the place of something."""
    return re.search(r"""["']cuda\b""", Path(path).read_text("utf-8", "replace")) is not None


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
