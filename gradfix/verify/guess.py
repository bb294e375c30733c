"""Inputs made up from names, annotations and first layers.

A guess is only a start: `repair` mends it from the error text when the call does not run.
"""

from __future__ import annotations

import inspect
import itertools
import re
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from gradfix.verify.drive import is_lazy
from gradfix.verify.sides import sides_stated

BATCH, LENGTH, SIDE, WIDTH = 2, 5, 16, 4
#: How much of a term counts, or of a gradient.
_WEIGHTS = frozenset({"alpha", "lambda_", "lambd", "lamda", "lam"})
#: The side of images of handwritten digits, for which many small networks are made.
_OF_DIGITS = 28


@dataclass(frozen=True, slots=True)
class Spec:
    """One input: its shape, what it holds, and the exclusive upper bound of integers.

    Most are tensors; "pair" and "list" are two of that shape, "int" is ``high``, "ints" ``shape``.
    A "complex" one holds complex numbers, a "mask" is one of floats, a "graph" a ring of ``high``
    nodes as two rows of indices, a "function" one of a tensor. A "unit" one lies between 0 and 1.
    """

    shape: tuple[int, ...]
    kind: str = "float"
    high: int = 2

    @property
    def low(self) -> int:
        """The smallest integer: 0 is left out where it can be, it often stands for padding."""
        return int(self.high > 2)

    def make(self) -> Any:
        """The value, from torch's global generator: a tensor, or what ``kind`` says of tensors."""
        if self.kind == "long":
            return torch.randint(self.low, self.high, self.shape)
        if self.kind in ("bool", "mask"):
            mask = half_true(self.shape)
            return mask if self.kind == "bool" else mask.float()
        if self.kind == "graph":
            return torch.arange(2 * self.high).remainder(self.high).reshape(2, self.high)
        if self.kind == "positive":
            return torch.rand(self.shape) + 0.1
        if self.kind == "unit":
            return torch.rand(self.shape)
        if self.kind == "complex":
            return torch.randn(self.shape, dtype=torch.complex64)
        if self.kind == "lengths":
            return torch.full(self.shape, LENGTH)
        if self.kind in ("pair", "list"):
            both = torch.randn(self.shape), torch.randn(self.shape)
            return both if self.kind == "pair" else list(both)
        if self.kind == "ints":
            return self.shape
        if self.kind == "function":
            return bounded
        if self.kind in ("int", "none"):
            return self.high if self.kind == "int" else None
        return torch.randn(self.shape)

    def text(self) -> str:
        """The expression that makes it."""
        dims = ", ".join(map(str, self.shape)) or "()"
        one = f"torch.randn({dims})"
        return {
            "long": f"torch.randint({self.low}, {self.high}, {self.shape})",
            "bool": _half_true_text(self.shape),
            "mask": f"{_half_true_text(self.shape)}.float()",
            "graph": f"torch.arange({2 * self.high}).remainder({self.high}).reshape(2, -1)",
            "positive": f"torch.rand({dims}) + 0.1",
            "unit": f"torch.rand({dims})",
            "complex": f"torch.randn({dims}, dtype=torch.complex64)",
            "lengths": f"torch.full({self.shape}, {LENGTH})",
            "pair": f"({one}, {one})",
            "list": f"[{one}, {one}]",
            "ints": str(self.shape),
            "int": str(self.high),
            "none": "None",
            "function": "torch.tanh",
        }.get(self.kind, one)


def bounded(x: torch.Tensor, *others: Any, **named: Any) -> torch.Tensor:
    """A function that code may be given to call."""
    return torch.tanh(x)


def half_true(shape: tuple[int, ...]) -> torch.Tensor:
    """A mask whose every row holds both values, true ones first, as that of padded sequences.

    All ones hide what is masked, all zeros what is not, and blank rows give NaN.
    """
    if not shape:
        return torch.tensor(True)
    return (torch.arange(shape[-1]) < (shape[-1] + 1) // 2).expand(shape).clone()


def _half_true_text(shape: tuple[int, ...]) -> str:
    if not shape:
        return "torch.tensor(True)"
    return f"(torch.arange({shape[-1]}) < {(shape[-1] + 1) // 2}).expand({shape}).clone()"


def with_shape(specs: list[Spec], index: int, shape: tuple[int, ...]) -> list[Spec]:
    """The inputs, one of them with another shape."""
    return [replace(s, shape=shape) if i == index else s for i, s in enumerate(specs)]


def with_rank(shape: tuple[int, ...], rank: int) -> tuple[int, ...] | None:
    """A shape brought to a number of dimensions; None where it has that already."""
    if rank == len(shape) or not 1 <= rank <= 5:
        return None
    last = shape[-1] if shape else 4
    if rank < len(shape):
        return (*shape[: rank - 1], last)
    return {
        1: (last,),
        2: (BATCH, last),
        3: (BATCH, LENGTH, last),
        4: (BATCH, shape[1] if len(shape) == 3 else last, SIDE, SIDE),
        5: (BATCH, last, 8, SIDE, SIDE),
    }[rank]


def annotation(note: Any) -> str:
    """The innermost kind an annotation names first: ``int`` for ``Optional[int]``; else empty.

    ``list``, ``tuple`` and ``callable`` stand for themselves, whatever they hold.
    """
    if note is inspect.Parameter.empty:
        return ""
    text = note if isinstance(note, str) else getattr(note, "__name__", None) or str(note)
    if not isinstance(note, str) and typing.get_args(note):
        text = str(note)
    for word in re.findall(r"[A-Za-z_]\w*", re.sub(r"\b\w+\.", "", text)):
        if word.lower() in _KINDS:
            return str(word.lower())
    return ""


_KINDS = frozenset(
    "int bool float str list tuple sequence iterable type callable module tensor dict".split()
)


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


def shapes_for(module: nn.Module) -> list[Spec]:
    """Inputs the first layers of a module suggest, then inputs its Parameters suggest."""
    found: list[Spec] = []
    for layer in module.modules():
        found += for_layer(layer)
    for parameter in module.parameters():
        shape = () if torch.nn.parameter.is_lazy(parameter) else tuple(parameter.shape)
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


def for_layer(layer: nn.Module) -> list[Spec]:
    """Inputs that a layer of torch accepts; none for what is not known, or takes any size."""
    if is_lazy(layer):
        return []
    if isinstance(layer, nn.Linear):
        width = layer.in_features
        return [Spec((BATCH, width)), Spec((BATCH, LENGTH, width)), *_images_of(width)]
    if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.ConvTranspose2d):
        channels = _channels(layer)
        sides = (SIDE, *([_OF_DIGITS] if channels == 1 else []), 2 * SIDE, 4 * SIDE)
        return [Spec((BATCH, channels, side, side)) for side in sides]
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


def for_state(layer: nn.Module) -> list[Spec]:
    """States that a recurrent layer of torch accepts beside its input; none for any other."""
    if isinstance(layer, nn.RNNBase):
        batch = BATCH if layer.batch_first else LENGTH
        count = layer.num_layers * (2 if layer.bidirectional else 1)
        kind = "pair" if isinstance(layer, nn.LSTM) else "float"
        shapes = [(count, size, layer.hidden_size) for size in (batch, BATCH)]
        return [Spec(shape, kind) for shape in shapes]
    if isinstance(layer, nn.RNNCellBase):
        kind = "pair" if isinstance(layer, nn.LSTMCell) else "float"
        return [Spec((BATCH, layer.hidden_size), kind)]
    return []


def _images_of(width: int) -> list[Spec]:
    """A Linear at the front of a network that flattens may be fed a square image."""
    side = int(width**0.5)
    return [Spec((BATCH, 1, side, side))] if side * side == width and side > 3 else []


def _channels(layer: Any) -> int:
    return int(getattr(layer, "in_channels", getattr(layer, "num_features", 3)))


_HEIGHT_AND_WIDTH = (frozenset({"h", "w"}), frozenset({"height", "width"}))


def starts(
    module: nn.Module,
    needed: list[Input],
    known: Mapping[str, list[Spec]],
    documented: Mapping[str, tuple[int, ...]] | None = None,
) -> Iterator[list[Spec]]:
    """First guesses for all inputs of a call, most likely first.

    ``known`` are inputs that the layers accept which get them, by name; ``documented`` are shapes
    that the code states.
    """
    shapes = shapes_for(module)
    names = {each.name.lower() for each in needed}
    # The height and width of an image whose places stand in a row.
    sides = next((pair for pair in _HEIGHT_AND_WIDTH if pair <= names), frozenset())
    needed = [replace(i, note=int) if i.name.lower() in sides else i for i in needed]
    if not needed:
        yield []
        return
    main = next((known[i.name][0] for i in needed if i.name in known), None)
    if documented and any(i.name in documented for i in needed):
        start = main or Spec(next(iter(documented.values())))
        guessed = [_flowing(i, 0, start, shapes, known) for i in needed]
        yield [_as_stated(i, s, documented) for i, s in zip(needed, guessed, strict=True)]
    image = main or next(s for s in shapes if len(s.shape) == 4)
    for side in sides_stated(module):
        guessed = [_flowing(i, 0, image, shapes, known) for i in needed]
        yield [_with_sides(s, side) for s in guessed]
    if main is not None:
        for rank in range(3):
            yield [_flowing(i, rank, main, shapes, known) for i in needed]
    for spec in shapes[:24]:
        yield [_named(i, spec, shapes) for i in needed]
    if len(needed) == 2:
        for first, second in itertools.islice(itertools.product(shapes[:5], repeat=2), 25):
            yield [first, second]


def _with_sides(spec: Spec, side: tuple[int, int]) -> Spec:
    return replace(spec, shape=(*spec.shape[:2], *side)) if len(spec.shape) == 4 else spec


def beside(each: Input, main: Spec) -> Spec:
    """An input by its name, beside one that is known."""
    return _named(each, main, [])


def _as_stated(each: Input, guess: Spec, documented: Mapping[str, tuple[int, ...]]) -> Spec:
    """A guess with the shape that the code states for this input."""
    shape = documented.get(each.name)
    if shape is None or guess.kind in ("int", "ints", "none", "graph"):
        return guess
    return replace(guess, shape=shape)


def _flowing(
    each: Input, rank: int, main: Spec, shapes: list[Spec], known: Mapping[str, list[Spec]]
) -> Spec:
    """An input as the layer wants it that gets it; else by its name, beside the main one."""
    options = known.get(each.name, [])
    named = _named(each, options[0] if options else main, shapes)
    if not options or named.kind not in ("float", "long"):
        return named
    return options[min(rank, len(options) - 1)]


def _named(each: Input, main: Spec, shapes: list[Spec]) -> Spec:
    """What an input's name says against the shape the module's layers suggest."""
    name = each.name.lower().rpartition(".")[2]
    if "[int" in str(each.note).lower():  # of an image of eight places, most often
        return Spec((2, 4), "ints")
    if each.note is int and any(name in pair for pair in _HEIGHT_AND_WIDTH):
        return Spec((), "int", 4)
    if (kind := annotation(each.note)) in ("int", "bool", "list", "tuple"):
        return replace(main, kind={"list": "list", "tuple": "pair"}.get(kind, "int"))
    if kind in ("str", "callable"):
        return Spec((), "none" if kind == "str" else "function")
    nodes = main.shape[0] if main.shape else BATCH
    if name in ("edge_index", "edges", "edge_idx"):
        return Spec((2, nodes), "graph", nodes)
    if name in ("edge_weight", "edge_weights"):
        return Spec((nodes,), "positive")
    if name in ("adj", "a", "adjacency", "adj_matrix") and len(main.shape) == 2:
        return Spec((nodes, nodes), "positive")
    if "mask" in name.split("_") or name.endswith("mask"):
        return Spec(main.shape[:2] if main.kind == "long" else main.shape, "bool")
    if "length" in name or name.endswith(("_lens", "lens")):
        return Spec(main.shape[:1], "lengths")
    if name in ("label", "labels", "target", "targets", "y") and main.kind == "float":
        return Spec(main.shape[:1], "long", 2)
    if name in _WEIGHTS:
        return Spec(())
    if name in ("t", "time", "timestep", "timesteps"):
        return Spec(main.shape[:1])
    if any(w in name for w in ("idx", "index", "indices", "token", "_ids")) and (
        main.kind == "float"
    ):
        longs = [s for s in shapes if s.kind == "long"]
        return longs[0] if longs else replace(main, kind="long")
    return main


@dataclass(frozen=True, slots=True)
class Input:
    """One value of a call: a parameter, or a part of one.

    ``name`` is what it is called; ``owner`` is the parameter that it is a part of, which is then
    ``way``: a "record", a "list", a "tuple", or a "star" for ``*names``. ``keyword`` says that the
    parameter is given by its name.
    """

    name: str
    note: Any = inspect.Parameter.empty
    keyword: bool = False
    owner: str = ""
    way: str = ""
