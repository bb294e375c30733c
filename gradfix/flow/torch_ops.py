"""Facts about PyTorch operations, from a table generated out of PyTorch's own.

``torch_ops.json`` is written by ``tools/generate_torch_ops.py``; torch is not needed to read it.

Terms: a *signature* is one overload; it *saves* an input or result when its backward formula needs
that tensor's value. Results are called ``result``, or by their own names (``values``, ``indices``),
or ``result0``, ``result1``, ... where there are several without names.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from types import MappingProxyType
from typing import Any, Literal

ArgKind = Literal["tensor", "number", "sequence", "bool", "string", "none", "unknown"]
OpKind = Literal["function", "method", "functional"]
ParamKind = Literal[
    "tensor", "tensor?", "tensors", "number", "bool", "string", "dtype", "ints", "other"
]

_KINDS: dict[str, ParamKind] = {
    "T": "tensor", "T?": "tensor?", "L": "tensors", "n": "number", "b": "bool", "s": "string",
    "d": "dtype", "i": "ints", "x": "other",
}  # fmt: skip

#: The keywords PyTorch's argument parser takes for a parameter besides its own name.
_KEYWORDS = {"input": "self", "x": "self", "axis": "dim", "keepdims": "keepdim", "x2": "other"}

_EXACT, _FITS, _WEAK = 2, 1, 0
#: How well an argument of a kind suits a parameter of a kind; a pair that is missing does not.
_FIT: dict[tuple[str, str], int] = {
    ("tensor", "tensor"): _EXACT,
    ("tensor", "tensor?"): _EXACT,
    ("tensor", "tensors"): _WEAK,  # one of the tensors of ``einsum(equation, *operands)``
    ("tensor", "number"): _WEAK,  # a one-element tensor converts to a number
    ("tensor", "ints"): _WEAK,
    ("number", "number"): _EXACT,
    ("number", "ints"): _FITS,
    ("number", "tensor"): _WEAK,  # ``add``, ``mul``, ... wrap numbers
    ("number", "tensor?"): _WEAK,
    ("number", "other"): _WEAK,  # a device index
    ("sequence", "ints"): _EXACT,
    ("sequence", "tensors"): _EXACT,
    ("bool", "bool"): _EXACT,
    ("bool", "number"): _FITS,
    ("bool", "tensor"): _WEAK,
    ("string", "string"): _EXACT,
    ("string", "other"): _FITS,  # a device or layout by name
    ("none", "tensor?"): _EXACT,
    ("none", "number"): _FITS,
    ("none", "ints"): _FITS,
    ("none", "bool"): _FITS,
    ("none", "string"): _FITS,
    ("none", "dtype"): _FITS,
    ("none", "other"): _FITS,
}


@dataclass(frozen=True, slots=True)
class Param:
    """One parameter of a signature."""

    name: str
    kind: ParamKind
    required: bool
    keyword_only: bool

    @property
    def tensor(self) -> bool:
        """Whether tensors go in here."""
        return self.kind in ("tensor", "tensor?", "tensors")


@dataclass(frozen=True, slots=True)
class Signature:
    """One overload.

    ``saves`` maps each differentiable input to what backward needs when that input requires grad;
    inputs that are missing get no gradient. None means that it is not known what is saved.
    """

    params: tuple[Param, ...]
    saves: Mapping[str, tuple[str, ...]] | None
    results: tuple[str, ...] = ("result",)
    differentiable_results: tuple[bool, ...] = (True,)

    positional: tuple[Param, ...] = field(init=False)  # the parameters without a keyword
    tensors: tuple[str, ...] = field(init=False)  # the names of those that tensors go in

    def __post_init__(self) -> None:
        plain = tuple(param for param in self.params if not param.keyword_only)
        object.__setattr__(self, "positional", plain)
        tensors = tuple(param.name for param in self.params if param.tensor)
        object.__setattr__(self, "tensors", tensors)

    def param(self, keyword: str) -> Param | None:
        """The parameter that ``keyword`` names, also by the aliases PyTorch takes."""
        alias = _KEYWORDS.get(keyword, keyword)
        for param in self.params:
            if param.name in (keyword, alias):
                return param
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One operation; the overloads of a name are merged, flags hold for any of them."""

    name: str
    view: str | None  # the parameter whose memory the result shares
    multi_view: bool  # the result is a sequence of such views
    maybe_copy: bool  # the view may be a copy instead (``reshape``)
    may_return_self: bool  # the result may be the input itself (``to``, ``contiguous``)
    inplace: bool
    writes: bool  # in place, and autograd's version counter moves (not for ``detach_``)
    factory: bool  # no tensor goes in
    like: bool  # the input gives shape and dtype only
    zero_grad: bool  # differentiable, but the gradient of the old value is always zero
    differentiable: bool  # the first result of some overload has a gradient
    returns_tensor: bool
    signatures: tuple[Signature, ...]

    @property
    def results(self) -> int:
        """The number of results of the first overload; a bound signature knows its own."""
        return len(self.signatures[0].results)

    @property
    def differentiable_results(self) -> tuple[bool, ...]:
        """For each result of the first overload whether it has a gradient."""
        return self.signatures[0].differentiable_results

    def bind(self, positional: Sequence[ArgKind], keywords: Iterable[str]) -> Signature | None:
        """The overload that a call with these arguments runs, or None where none takes them.

        For a method the first positional argument is self. The most exact match wins, the earlier
        overload among equals; "unknown" fits every parameter, and where that leaves open how many
        results there are (``max(x, y)`` or ``max(x, dim)``), no overload is chosen.
        """
        return _best(self, tuple(positional), tuple(keywords))


@functools.lru_cache(maxsize=10_000)
def _best(op: Op, positional: tuple[ArgKind, ...], names: tuple[str, ...]) -> Signature | None:
    """See `Op.bind`; the same few forms of calls come again and again."""
    if len(op.signatures) == 1 and not positional and not names:
        return op.signatures[0]
    best: Signature | None = None
    best_score = -1.0
    results: set[int] = set()
    for signature in op.signatures:
        score = _score(signature, positional, names)
        if score >= 0:
            results.add(len(signature.results))
        if score > best_score:
            best, best_score = signature, score
    return None if len(results) > 1 and "unknown" in positional[1:] else best


def _score(signature: Signature, positional: Sequence[ArgKind], keywords: tuple[str, ...]) -> float:
    """How well a call suits a signature; negative when it does not."""
    params = signature.positional
    filled: set[str] = set()
    total = 0.0
    for at, kind in enumerate(positional):
        if at < len(params):
            param = params[at]
        elif params and params[-1].kind in ("ints", "tensors"):
            param = params[-1]  # sizes or tensors given one by one
        else:
            return -1
        filled.add(param.name)
        if kind == "unknown":
            total += 0.5
            continue
        fit = _FIT.get((kind, param.kind))
        if fit is None:
            return -1
        total += fit
    for keyword in keywords:
        named = signature.param(keyword)
        if keyword == "out":
            continue
        if named is None or named.name in filled:
            return -1
        filled.add(named.name)
        total += 1
    if any(param.required and param.name not in filled for param in signature.params):
        return -1
    return total


def op_facts(name: str, kind: OpKind) -> Op | None:
    """The facts about ``torch.name``, ``Tensor.name`` or ``torch.nn.functional.name``.

    Functions of a submodule are called as in ``linalg_norm``, ``special_expit``, ``fft_rfft``.
    None for names that PyTorch does not have, or has only in another place.
    """
    return _op_facts(name, kind)


op = op_facts


@functools.cache
def _op_facts(name: str, kind: OpKind) -> Op | None:
    table = _table()["functional" if kind == "functional" else "ops"]
    row: dict[str, Any] | None = table.get(name)
    if row is None or (kind != "functional" and kind[0] not in row["as"]):
        return None
    signatures = tuple(_signature(*sig, method=kind == "method") for sig in row["sigs"])
    inplace = row.get("inplace", False)
    return Op(
        name=name,
        view=row.get("view"),
        multi_view=row.get("multi", False),
        maybe_copy=row.get("copy", False),
        may_return_self=row.get("same", False),
        inplace=inplace,
        writes=inplace and row.get("writes", True),
        factory=row.get("factory", False),
        like=row.get("like", False),
        zero_grad=row.get("zero", False),
        differentiable=any(s.differentiable_results[:1] == (True,) for s in signatures),
        returns_tensor=row.get("tensor", True),
        signatures=signatures,
    )


@functools.cache
def torch_version() -> str:
    """The version of PyTorch whose tables these facts come from."""
    return str(_table()["torch"])


@functools.cache
def _table() -> dict[str, Any]:
    text = resources.files("gradfix.flow").joinpath("torch_ops.json").read_text(encoding="utf-8")
    table: dict[str, Any] = json.loads(text)
    return table


def _signature(
    text: str, saves: dict[str, list[str]] | None, results: str = "result", *, method: bool
) -> Signature:
    params: list[Param] = []
    keyword_only = False
    for word in text.split():
        if word == "*":
            keyword_only = True
            continue
        name, _, code = word.partition(":")
        required = not code.endswith("=")
        params.append(Param(name, _KINDS[code.rstrip("=")], required, keyword_only))
    if method:
        # ``x.where(condition, other)``: a method's tensor is always the first argument.
        params.sort(key=lambda param: param.name != "self")
    names = results.split()
    return Signature(
        params=tuple(params),
        saves=None if saves is None else MappingProxyType({k: tuple(v) for k, v in saves.items()}),
        results=tuple(one.rstrip("!") for one in names),
        differentiable_results=tuple(not one.endswith("!") for one in names),
    )
