"""Constructor arguments and inputs made up from names, annotations and first layers.

A guess is only a start: `repair` mends it from the error text when the call does not run.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import inspect
import itertools
import re
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

BATCH, LENGTH, SIDE, WIDTH = 2, 5, 16, 4


@dataclass(frozen=True, slots=True)
class Spec:
    """One input: its shape, what it holds, and the exclusive upper bound of integers.

    Most are tensors; "pair" and "list" are two of that shape, "int" is ``high``, "ints" ``shape``.
    """

    shape: tuple[int, ...]
    kind: str = "float"
    high: int = 2

    def make(self) -> Any:
        """The value, from torch's global generator: a tensor, or what ``kind`` says of tensors."""
        if self.kind == "long":
            return torch.randint(0, self.high, self.shape)
        if self.kind == "bool":
            return torch.ones(self.shape, dtype=torch.bool)
        if self.kind == "positive":
            return torch.rand(self.shape) + 0.1
        if self.kind == "lengths":
            return torch.full(self.shape, LENGTH)
        if self.kind in ("pair", "list"):
            both = torch.randn(self.shape), torch.randn(self.shape)
            return both if self.kind == "pair" else list(both)
        if self.kind == "ints":
            return self.shape
        if self.kind in ("int", "none"):
            return self.high if self.kind == "int" else None
        return torch.randn(self.shape)

    def text(self) -> str:
        """The expression that makes it."""
        dims = ", ".join(map(str, self.shape)) or "()"
        one = f"torch.randn({dims})"
        return {
            "long": f"torch.randint(0, {self.high}, {self.shape})",
            "bool": f"torch.ones({dims}, dtype=torch.bool)",
            "positive": f"torch.rand({dims}) + 0.1",
            "lengths": f"torch.full({self.shape}, {LENGTH})",
            "pair": f"({one}, {one})",
            "list": f"[{one}, {one}]",
            "ints": str(self.shape),
            "int": str(self.high),
            "none": "None",
        }.get(self.kind, one)


_NAMED_INTS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("vocab", "num_embeddings", "n_token", "ntoken", "num_tokens", "n_items", "n_users"), 16),
    (("head", "nhead"), 2),
    (("embd", "embed", "hidden", "dim", "model"), 8),
    (("kernel", "ksize", "window", "patch"), 3),
    (("stride", "dilation", "groups", "ratio", "expansion", "depth", "scale"), 1),
    (("padding",), 0),
    (("layer", "n_block", "num_block", "blocks"), 2),
    (("class", "n_out", "num_out", "output", "out_"), 3),
    (("max_len", "seq", "length", "maxlen", "timesteps", "steps", "context"), 16),
    (("img", "image", "resolution", "height", "width"), 16),
)


#: What a layer that wraps others calls them.
_MODULES = frozenset(
    "module layer block fn model net network backbone encoder decoder attention self_attention "
    "self_attn cross_attention cross_attn transformer feed_forward mlp sublayer".split()
)


def constructor_values(parameter: inspect.Parameter) -> list[Any]:
    """Candidate values for one required constructor argument, most likely first."""
    name, kind = parameter.name.lower(), _annotation(parameter)
    settings: Any = parameter.annotation
    if inspect.isclass(settings) and dataclasses.is_dataclass(settings):
        with contextlib.suppress(TypeError):  # fields without defaults: made up like the rest
            return [settings()]
    if name in ("config", "cfg", "args", "opt", "hparams", "params"):
        return [MadeUp()]
    if kind == "bool" or name.startswith(("use_", "is_", "bidirectional", "bias")):
        return [True, False] if "bias" in name else [False, True]
    if kind == "str" or name.endswith(("_type", "mode", "name", "activation")):
        return ["relu", "mean", "sum", "x"]
    if kind in ("float",) or any(
        word in name for word in ("drop", "rate", "eps", "alpha", "beta", "gamma", "temp", "sigma")
    ):
        return [0.0 if "drop" in name else 0.5]
    if "device" in name:
        return ["cpu"]
    if kind in ("list", "tuple", "sequence", "iterable") or (
        kind != "int"
        and name.endswith(("sizes", "dims", "layers_dims", "units", "features_list", "shape"))
    ):
        return [[8, 8, 8], [WIDTH, WIDTH], (1, SIDE, SIDE)]
    is_class = kind == "type" or name.endswith(("_cls", "_class")) or name.startswith("cls_")
    if is_class and "num" not in name and kind not in ("int", "str"):
        return [nn.Identity, 8]
    is_module = inspect.isclass(settings) and issubclass(settings, nn.Module)
    if is_module or kind in ("module", "callable") or (name in _MODULES and kind != "int"):
        return [nn.Linear(8, 8), nn.Identity()]
    for words, value in _NAMED_INTS:
        if any(word in name for word in words):
            return [value, 8]
    return [8]


class MadeUp:
    """Stands in for a configuration: every attribute read is made up from its name, and kept."""

    _is_mapping = False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        value = constructor_values(made)[0]
        if name.isupper() and (value == 8 or isinstance(value, nn.Module)):
            value = MadeUp()  # a section, as in ``cfg.MODEL.DEPTH``
        self.__dict__[name] = value
        return self.__dict__[name]

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise TypeError("'int' object is not subscriptable")  # as what stood here otherwise
        self._is_mapping = True
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dict: what is made up for a name that has no default."""
        self._is_mapping = True
        return getattr(self, name) if default is None else default

    def __repr__(self) -> str:
        made = {name: value for name, value in vars(self).items() if name != "_is_mapping"}
        if self._is_mapping:
            return repr(made)
        inside = ", ".join(f"{name}={value!r}" for name, value in made.items())
        return f"types.SimpleNamespace({inside})"


def _annotation(parameter: inspect.Parameter) -> str:
    note = parameter.annotation
    text = note if isinstance(note, str) else getattr(note, "__name__", str(note))
    return str(text).rpartition(".")[2].partition("[")[0].lower()


def required(function: Any) -> list[inspect.Parameter]:
    """The parameters of a callable that have no default, without ``self``.

    Raises ValueError or TypeError when there is no signature to read.
    """
    parameters = inspect.signature(function).parameters.values()
    return [
        p
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def compared_words(cls: type) -> dict[str, list[str]]:
    """The strings that a class compares names with, as in ``mode in ("sum", "mean")``."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    except (OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.left, (ast.Name, ast.Attribute)):
            name = node.left.id if isinstance(node.left, ast.Name) else node.left.attr
            parts = [part for each in node.comparators for part in ast.walk(each)]
            words = [p.value for p in parts if isinstance(p, ast.Constant)]
            found.setdefault(name, []).extend(w for w in words if isinstance(w, str) and w)
    return found


def constructors(cls: type[nn.Module]) -> Iterator[dict[str, Any]]:
    """Keyword arguments to try for the constructor."""
    needed = required(cls)
    options = [constructor_values(p) for p in needed]
    compared = compared_words(cls)
    for i, p in enumerate(needed):
        words = [w for w in typing.get_args(p.annotation) if isinstance(w, str)]
        words += compared.get(p.name, [])
        if words and isinstance(options[i][0], str | int) and _annotation(p) not in ("int", "bool"):
            options[i] = list(dict.fromkeys(words))[:3]
    for values in itertools.islice(itertools.product(*options), 8):
        yield {p.name: v for p, v in zip(needed, values, strict=True)}
    # Layers that divide their width by 16 or so need more than our small numbers.
    first = {p.name: o[0] for p, o in zip(needed, options, strict=True)}
    if any(value == 8 for value in first.values() if type(value) is int):
        yield {n: 64 if type(v) is int and v == 8 else v for n, v in first.items()}


_OF_TENSORS = ("shape", "size", "dim", "ndim", "to", "device", "dtype", "clone", "detach", "float")
_QUOTED = re.compile(r"['\"]([A-Za-z]\w*)['\"]")
_WANTS_LIST = ("not iterable", "not subscriptable", "has no len()", "cannot unpack non-iterable")


def repaired_constructor(
    cls: type[nn.Module], kwargs: dict[str, Any], error: Exception
) -> list[dict[str, Any]]:
    """Other arguments that the constructor's error text asks for."""
    text = str(error)
    found = []
    numbers = [name for name, value in kwargs.items() if type(value) is int]
    if "cannot unpack" in text or "(expected 2, got" in text:
        found += [{**kwargs, name: (SIDE, SIDE)} for name in numbers]
    elif any(words in text for words in _WANTS_LIST):
        found += [{**kwargs, name: [8, 8, 8]} for name in numbers]
    if "must be tuple of ints, but found element of type float" in text or "'float'" in text:
        found += [{**kwargs, n: 8} for n, value in kwargs.items() if type(value) is float]
    if any(f"'int' object has no attribute '{name}'" in text for name in _OF_TENSORS):
        found += [{**kwargs, name: torch.eye(8)} for name in numbers]
    if "'int' object has no attribute" in text:
        found += [{**kwargs, name: MadeUp()} for name in numbers]
    if "'int' object is not callable" in text:
        found += [{**kwargs, name: nn.Linear(8, 8)} for name in numbers]
        found += [{**kwargs, name: nn.Identity} for name in numbers]
    if "indices must be integers" in text:
        found += [{**kwargs, n: MadeUp()} for n, v in kwargs.items() if isinstance(v, list)]
    if "index out of range" in text:
        found += [{**kwargs, n: [8] * 6} for n, v in kwargs.items() if isinstance(v, list)]
    if words := [w for w in _QUOTED.findall(text) if w not in kwargs][:6]:
        named = [n for n, v in kwargs.items() if isinstance(v, str) and v not in words]
        found += [{**kwargs, n: word} for n in named for word in words]
    if "must be greater than 0" in text or "by zero" in text:
        found.append({n: 64 if type(v) is int and v in (8, 16) else v for n, v in kwargs.items()})
    if "called with an iterable, but got int" in text:
        found += [{**kwargs, name: [nn.Linear(8, 8)]} for name in numbers]
    if "divisible" in text:
        found.append({n: 64 if type(v) is int and v in (8, 16) else v for n, v in kwargs.items()})
        found += [{**kwargs, name: 4} for name in numbers if kwargs[name] == 3]
        found += [{**kwargs, name: 12} for name in numbers if kwargs[name] == 8]
    return found


# -- inputs ----------------------------------------------------------------------------------


def shapes_for(module: nn.Module) -> list[Spec]:
    """Inputs the first layers of a module suggest, then inputs its Parameters suggest."""
    found: list[Spec] = []
    for layer in module.modules():
        found += _for_layer(layer)
    for parameter in module.parameters():
        shape = tuple(parameter.shape)
        if len(shape) == 2:
            found += [Spec((BATCH, shape[0])), Spec((BATCH, shape[1]))]
        elif len(shape) == 1:
            found.append(Spec((BATCH, shape[0])))
        elif len(shape) == 4:
            found.append(Spec((BATCH, shape[1], SIDE, SIDE)))
    general = [
        Spec((BATCH, WIDTH)),
        Spec((BATCH, LENGTH, 8)),
        Spec((BATCH, 8, SIDE, SIDE)),
        Spec((BATCH, 3, SIDE, SIDE)),
        Spec((BATCH, 1, SIDE, SIDE)),
        Spec((BATCH, LENGTH), "long", 2),
        Spec((LENGTH,)),
        Spec(()),
    ]
    return list(dict.fromkeys([*found, *general]))


def _for_layer(layer: nn.Module) -> list[Spec]:
    if isinstance(layer, nn.Linear):
        width = layer.in_features
        return [Spec((BATCH, width)), Spec((BATCH, LENGTH, width)), *_images_of(width)]
    if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.ConvTranspose2d):
        return [Spec((BATCH, _channels(layer), s, s)) for s in (SIDE, 2 * SIDE, 4 * SIDE)]
    if isinstance(layer, nn.GroupNorm):
        width = layer.num_channels
        return [Spec((BATCH, width, SIDE, SIDE)), Spec((BATCH, width, SIDE))]
    if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d):
        return [Spec((BATCH, _channels(layer), SIDE))]
    if isinstance(layer, nn.Conv3d | nn.BatchNorm3d):
        return [Spec((BATCH, _channels(layer), 8, SIDE, SIDE))]
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        high = layer.num_embeddings
        return [Spec((BATCH, LENGTH), "long", high), Spec((BATCH,), "long", high)]
    if isinstance(layer, nn.RNNBase):
        return [Spec((BATCH, LENGTH, layer.input_size))]
    if isinstance(layer, nn.RNNCellBase):
        return [Spec((BATCH, layer.input_size)), Spec((BATCH, LENGTH, layer.input_size))]
    if isinstance(layer, nn.BatchNorm1d):
        return [Spec((BATCH, layer.num_features)), Spec((BATCH, layer.num_features, LENGTH))]
    if isinstance(layer, nn.LayerNorm):
        return [
            Spec((BATCH, *layer.normalized_shape)),
            Spec((BATCH, LENGTH, *layer.normalized_shape)),
        ]
    if isinstance(layer, nn.MultiheadAttention):
        return [Spec((BATCH, LENGTH, layer.embed_dim))]
    return []


def _images_of(width: int) -> list[Spec]:
    """A Linear at the front of a network that flattens may be fed a square image."""
    side = int(width**0.5)
    return [Spec((BATCH, 1, side, side))] if side * side == width and side > 3 else []


def _channels(layer: Any) -> int:
    return int(getattr(layer, "in_channels", getattr(layer, "num_features", 3)))


def starts(module: nn.Module, needed: list[inspect.Parameter]) -> Iterator[list[Spec]]:
    """First guesses for all inputs of a call, most likely first."""
    shapes = shapes_for(module)
    if not needed:
        yield []
        return
    for spec in shapes[:24]:
        yield [_named(p, spec, shapes) for p in needed]
    if len(needed) == 2:
        for first, second in itertools.islice(itertools.product(shapes[:5], repeat=2), 25):
            yield [first, second]


def _named(parameter: inspect.Parameter, main: Spec, shapes: list[Spec]) -> Spec:
    """What a parameter's name says against the shape the module's layers suggest."""
    name = parameter.name.lower()
    if "[int" in str(parameter.annotation).lower():  # of an image of eight places, most often
        return Spec((2, 4), "ints")
    if (kind := _annotation(parameter)) in ("int", "bool", "list", "tuple"):
        return replace(main, kind={"list": "list", "tuple": "pair"}.get(kind, "int"))
    if name in ("mask", "src_mask", "attn_mask", "padding_mask") or name.endswith("_mask"):
        return Spec(main.shape[:2] if main.kind == "long" else main.shape, "bool")
    if "length" in name or name.endswith("_lens"):
        return Spec(main.shape[:1], "lengths")
    if name in ("label", "labels", "target", "targets", "y") and main.kind == "float":
        return Spec(main.shape[:1], "long", 2)
    if name in ("t", "time", "timestep", "timesteps"):
        return Spec(main.shape[:1])
    if (
        any(w in name for w in ("idx", "index", "indices", "token", "_ids"))
        and main.kind == "float"
    ):
        longs = [s for s in shapes if s.kind == "long"]
        return longs[0] if longs else replace(main, kind="long")
    return main
