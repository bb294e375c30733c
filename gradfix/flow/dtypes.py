"""Element types through operations; ``"default"`` is ``torch.get_default_dtype()``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from gradfix.flow.values import Kind, Value

if TYPE_CHECKING:
    import ast

    from gradfix.flow.torch_ops import Op

#: Some type of integers, or bool; which one is not known.
INTEGER = "integer"
INTEGERS = frozenset({"bool", "uint8", "int8", "int16", "int32", "int64", INTEGER})
_NAMED = INTEGERS - {INTEGER} | {"float16", "bfloat16", "float32", "float64"}

_ALIASES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
}
_COMPARISONS = frozenset(
    "eq ne lt le gt ge isnan isinf isfinite logical_and logical_or logical_not any all".split()
)
_INDEX_RESULTS = frozenset(
    "argmax argmin argsort nonzero bincount searchsorted randperm randint".split()
)
_KEEPS = frozenset("clone stack cat concat where max min clamp abs neg relu flip roll sort".split())
#: Sums of integers of any size are 64 bits wide.
_WIDENS = frozenset("sum cumsum prod cumprod".split())
#: Constructors of the legacy tensor types (``torch.FloatTensor`` and friends).
LEGACY_TYPES = {
    "torch.FloatTensor": "float32",
    "torch.DoubleTensor": "float64",
    "torch.HalfTensor": "float16",
    "torch.LongTensor": "int64",
    "torch.IntTensor": "int32",
    "torch.ByteTensor": "uint8",
    "torch.BoolTensor": "bool",
    "torch.Tensor": "default",
}


def of_legacy_types(value: Value) -> str | None:
    """The dtype that tensors of one or the other legacy type have, of the CPU or of CUDA.

    Empty where it differs; None where ``value`` may be anything else.
    """
    if value.kind is not Kind.REFERENCE:
        return None
    if value.op == "join" and not value.name:
        found = {of_legacy_types(other) for other in value.inputs}
        return None if None in found else found.pop() if len(found) == 1 else ""
    return LEGACY_TYPES.get(value.name.replace("torch.cuda.", "torch.", 1))


def of_type(value: Value) -> str | None:
    """The dtype that ``x.type(...)`` is given: a dtype, a legacy type, or the name of one."""
    if value.kind is Kind.STRING and isinstance(value.const, str):
        return LEGACY_TYPES.get(value.const.replace("torch.cuda.", "torch.", 1))
    return of_argument(value) or of_legacy_types(value) or None


def named(name: str) -> str | None:
    """The dtype called ``torch.<name>``, or None when that is no dtype."""
    name = _ALIASES.get(name, name)
    return name if name in _NAMED else None


def of_argument(value: Value | None) -> str | None:
    """The dtype given by a ``dtype=`` argument."""
    if value is None or value.kind is not Kind.REFERENCE or not value.name.startswith("torch."):
        return None
    return named(value.name.removeprefix("torch."))


def is_integer(dtype: str | None) -> bool:
    """Whether this is certainly a type that cannot require grad."""
    return dtype in INTEGERS


def promote(values: Sequence[Value]) -> str | None:
    """The dtype of an elementwise operation on tensors and Python numbers.

    (https://docs.pytorch.org/docs/stable/tensor_attributes.html#type-promotion-doc)
    """
    found: set[str] = set()
    numbers: set[type] = set()
    for value in values:
        if value.kind is Kind.NUMBER:
            numbers.add(type(value.const))
            continue
        if value.kind is not Kind.TENSOR or value.dtype is None:
            return None
        found.add(value.dtype)
    floats = {dtype for dtype in found if dtype not in INTEGERS}
    if complex in numbers:
        return None
    if floats:
        return floats.pop() if len(floats) == 1 else None
    if float in numbers:
        return "default" if found else None
    if len(found) != 1 or type(None) in numbers:
        return None
    (dtype,) = found
    if dtype == INTEGER:
        return None  # of two types, or widened by a number
    return "int64" if dtype == "bool" and int in numbers else dtype


def result_dtype(
    op: Op, bound: Mapping[str, list[tuple[ast.AST, Value]]], tensors: Sequence[Value]
) -> str | None:
    """The dtype of an operation's result, where it is certain."""
    given = bound.get("dtype")
    if given and not (given[0][1].kind is Kind.FOREIGN and given[0][1].const is None):
        return of_argument(given[0][1])
    if op.like:
        return tensors[0].dtype if tensors else None
    if op.factory:
        return _factory_dtype(op.name, bound)
    if op.name in _COMPARISONS:
        return "bool"
    if op.name in _INDEX_RESULTS:
        return "int64"
    if op.name == "where":
        condition = [value for _, value in bound.get("condition", ())]
        tensors = [value for value in tensors if value not in condition]
    dtype = promote(tensors)
    if dtype is not None and is_integer(dtype) and op.name in _WIDENS:
        return "int64"
    if dtype is not None and is_integer(dtype):
        # Only operations that certainly keep integers do; the others (sqrt, mean, ...) make floats.
        numbers = [v.const for vs in bound.values() for _, v in vs if v.kind is Kind.NUMBER]
        if op.view:
            return dtype
        return dtype if op.name in _KEEPS and all(type(n) in (int, bool) for n in numbers) else None
    return dtype


def _factory_dtype(name: str, bound: Mapping[str, list[tuple[ast.AST, Value]]]) -> str | None:
    if name in _INDEX_RESULTS:
        return "int64"
    if name in ("full", "arange"):
        numbers = [
            v.const for key in ("fill_value", "start", "end", "step") for _, v in bound.get(key, ())
        ]
        if not numbers or any(n is None for n in numbers):
            return None
        return "default" if any(isinstance(n, float) for n in numbers) else "int64"
    return "default"
