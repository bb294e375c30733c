"""What a value may be by its name, and by the words and tables that it is looked up in."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from gradfix.verify.guess import SIDE, WIDTH, annotation
from gradfix.verify.parts import part_for
from gradfix.verify.uses import Use

NUMBER = 8
DEEP = 3

NAMED_INTS: tuple[tuple[tuple[str, ...], int], ...] = (
    (("pad_idx", "padding_idx", "pad_index", "padding_index", "pad_id", "pad_token"), 0),
    (("null_idx", "start_idx", "end_idx", "bos_idx", "eos_idx", "unk_idx", "mask_idx"), 1),
    (("vocab", "num_embeddings", "n_token", "ntoken", "num_tokens", "n_items", "n_users"), 16),
    (("head", "nhead"), 2),
    (("kernel", "ksize", "window", "patch"), 3),
    (("embd", "embed", "hidden", "dim", "model"), 8),
    (("stride", "dilation", "groups", "ratio", "expansion", "depth", "scale", "reps"), 1),
    (("padding",), 0),
    (("sample_rate", "sampling_rate"), 16_000),
    (("layer", "n_block", "num_block", "blocks", "stage"), 2),
    (("class", "n_out", "num_out", "output", "out_"), 3),
    (("max_len", "seq", "length", "maxlen", "timesteps", "steps", "context"), 16),
    (("img", "image", "resolution", "height", "width"), 16),
)
#: What a layer that wraps others calls them.
MODULES = frozenset(
    "module layer block fn model net network backbone encoder decoder attention self_attention "
    "self_attn cross_attention cross_attn transformer feed_forward mlp sublayer".split()
)
CONFIGS = frozenset("config cfg args opt hparams params opts conf options configs".split())
OF_TENSORS = frozenset("shape size dim ndim device dtype clone detach numel t view".split())
OF_WORDS = frozenset("lower upper startswith endswith split format strip replace".split())
OF_LISTS = frozenset("append copy index extend insert pop".split())
OF_DICTS = frozenset("items keys values get update".split())
OF_MODULES = frozenset(
    "in_features out_features in_channels out_channels parameters weight bias state_dict "
    "modules children named_parameters forward eval train apply".split()
)
NO_OBJECTS = frozenset({"builtins", "typing", "collections.abc", "inspect", "types"})
OF_LOSSES = frozenset({"reduction"})
OF_TORCH: Mapping[str, list[Any]] = {"int": [8], "float": [0.0], "bool": [False, True]}
FLOATS = ("drop", "rate", "eps", "alpha", "beta", "gamma", "temp", "sigma", "margin", "prob")
#: Whole numbers, whatever else is in the name: ``temp_epochs``, ``alphabet``.
_WHOLE = ("epoch", "dilation", "sample_rate", "sampling_rate", "alphabet")
WIDTHS = ("dim", "size", "width", "channel", "hidden", "unit", "feat", "filter", "plane")
COUNTS = ("block", "layer", "depth", "repeat", "stride", "dilation", "num_")


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """One value to make up: what it is called, what its annotation says, how it is used.

    ``space`` are the names that the code around it sees.
    """

    name: str
    note: Any = inspect.Parameter.empty
    use: Use = dataclasses.field(default_factory=Use)
    space: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    owner: type | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    depth: int = 0


def worded(w: Wanted) -> list[Any]:
    """Words that the code compares it with, or keys of the table it is looked up in."""
    if annotation(w.note) in ("int", "bool"):
        return []
    found: list[Any] = [*w.use.words, *([] if w.use.keys else w.use.sought)]
    for table in w.use.tables:
        value = w.space.get(table)
        if isinstance(value, dict):
            found += [key for key in value if isinstance(key, str | int)][:4]
    for owner in w.use.owners:
        if owner in ("nn", "torch.nn"):
            found.append("ReLU")
        elif owner in ("F", "torch", "nn.functional", "torch.nn.functional"):
            found.append("relu")
    return list(dict.fromkeys(found))[:4]


def resolve(function: str, w: Wanted) -> Any:
    """The object behind a dotted name, looked up and never called."""
    if function == "super().__init__":
        return w.owner.__mro__[1] if w.owner is not None and len(w.owner.__mro__) > 1 else None
    if function.startswith("self.") and w.owner is not None:
        return inspect.getattr_static(w.owner, function[5:], None)
    head, *rest = function.split(".")
    value = w.space.get(head)
    for part in rest:
        # A stand-in for a missing package raises; so may a property.
        with contextlib.suppress(Exception):
            value = getattr(value, part, None) if part.isidentifier() else None
    return value if callable(value) else None


def parameter_at(target: Callable[..., Any], place: int | str) -> inspect.Parameter | None:
    """The parameter of a callable that an argument goes to; None where it cannot be told."""
    try:
        function = target.__init__ if inspect.isclass(target) else target
        parameters = [*inspect.signature(function).parameters.values()]
    except Exception:  # no signature, or a stand-in for a missing package, which raises
        return None
    if parameters and parameters[0].name == "self":
        parameters = parameters[1:]
    if isinstance(place, str):
        return next((p for p in parameters if p.name == place), None)
    fixed = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    return fixed[place] if place < len(fixed) else None


def goes_into_a_layer(w: Wanted) -> bool:
    """Whether a layer of torch is made with it: what is called later is that layer, not this."""
    for function, place in w.use.passed[:6] if w.use.called_on_self else ():
        target = resolve(function, w)
        if inspect.isclass(target) and target.__module__.startswith("torch.nn."):
            parameter = parameter_at(target, place)
            if parameter is not None and annotation(parameter.annotation) in OF_TORCH:
                return True
    return False


def of_torch(kind: str, parameter: inspect.Parameter) -> list[Any]:
    """Values for a parameter of torch: what it is by default, but that nothing is dropped."""
    usual = parameter.default
    if type(usual) in (int, float, bool) and parameter.name not in ("p", "dropout"):
        return list(dict.fromkeys([usual, *OF_TORCH[kind]]))
    return [*OF_TORCH[kind]]


def named(w: Wanted) -> list[Any]:
    """What its name alone says."""
    name, kind = w.name.lower(), annotation(w.note)
    if name.endswith(("_type", "mode", "name", "activation")) and kind != "int":
        return ["relu", "mean", "sum", "x"]
    counts = name.endswith(("size", "dim", "dims", "num")) or any(w in name for w in _WHOLE)
    if kind == "float" or (kind != "int" and not counts and any(w in name for w in FLOATS)):
        return [0.0 if "drop" in name else 0.5]
    if "device" in name:
        return ["cpu"]
    if name.endswith("kwargs"):
        return [{}]
    if kind in ("list", "tuple", "sequence", "iterable") or (
        kind != "int"
        and name.endswith(
            ("sizes", "dims", "layers_dims", "units", "features_list", "shape", "strides")
        )
    ):
        pair = [(SIDE, SIDE)] if "tuple[int, int]" in str(w.note).lower() else []
        if "kernel" in name or "window" in name:
            return [*pair, [3, 3, 3], [3, 3]]
        if any(word in name for word in ("stride", "dilation")):
            return [*pair, [1, 1, 1], [1, 1]]
        return [*pair, [8, 8, 8], [WIDTH, WIDTH], (1, SIDE, SIDE)]
    is_class = kind == "type" or name.endswith(("_cls", "_class")) or name.startswith("cls_")
    if (
        is_class
        and not name.startswith(("n_", "nb_", "num_"))
        and "num" not in name
        and kind not in ("int", "str")
    ):
        return [nn.Identity, 8]
    if kind in ("module", "callable") or (name in MODULES and kind != "int"):
        return [part_for(w.name, w.owner), nn.Identity()]
    if w.use.tested and not w.use.counted and not w.use.passed and kind != "int":
        return [False, True]
    for words, value in NAMED_INTS:
        if any(word in name for word in words):
            return [value, 8]
    return [NUMBER]


_MAKES_TENSORS = frozenset(
    "torch.tensor torch.as_tensor torch.Tensor torch.FloatTensor torch.from_numpy".split()
)
_HOLDS_ROWS = ("embed", "weight", "matrix", "vectors", "pretrained", "glove", "word2vec")


def tables(w: Wanted) -> list[Any]:
    """A table of numbers for what becomes a tensor, or the rows of an embedding, as such."""
    functions = [function for function, _ in w.use.passed]
    if any(f.endswith("Embedding.from_pretrained") for f in functions):
        return [torch.eye(NUMBER)]
    if not any(word in w.name.lower() for word in _HOLDS_ROWS):
        return []
    made = [f for f in functions if f in _MAKES_TENSORS]
    if not made or annotation(w.note) in ("int", "bool", "str"):
        return []
    table = torch.eye(NUMBER)
    return [table.numpy() if "torch.from_numpy" in made else table]


def is_loss(name: str) -> bool:
    """Whether an argument of this name is a loss, not a number about one."""
    return name.endswith(("criterion", "loss", "loss_fn", "loss_fcn", "loss_func", "loss_function"))


def losses() -> list[Any]:
    """Losses that take two inputs of one shape, then that of classes."""
    return [nn.MSELoss(), nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()]
