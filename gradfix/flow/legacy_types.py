"""Tensors that the constructors of PyTorch 0.3 make: ``torch.FloatTensor(2, 3)``, ``x.new(2, 3)``.

Those types, and the method ``new``, which makes a tensor of the type that ``x`` has, take sizes or
data. A tensor comes out as another name for its memory, with its history; an array of the same
element type shares its memory; lists are copied.
(https://docs.pytorch.org/docs/stable/tensors.html#torch.Tensor; torch/csrc/utils/tensor_new.cpp)
"""

from __future__ import annotations

import ast

from gradfix.flow import dtypes, shapes
from gradfix.flow.grown import united
from gradfix.flow.operands import Argument
from gradfix.flow.tensors import TensorOps
from gradfix.flow.values import (
    UNKNOWN_MEMORY,
    Certainty,
    Kind,
    Role,
    Shape,
    Value,
    replace,
    unknown,
)
from gradfix.words import mentions


class LegacyTypes(TensorOps):
    """The part of the interpreter that knows what such a constructor makes."""

    def legacy_tensor(
        self, node: ast.Call, op: str, dtype: str | None, arguments: list[Argument]
    ) -> Value:
        """A tensor of the sizes, or of the data, that a legacy constructor is given."""
        inputs = tuple(argument.value for argument in arguments)
        data = arguments[0].value if arguments and arguments[0].keyword in (None, "data") else None
        if data is None or self._are_sizes(arguments):
            sizes = [argument.value for argument in arguments if argument.keyword is None]
            shape = shapes.sizes(sizes) if sizes else (0,)
            return self.new_tensor(node, op, inputs, arguments, shape, dtype)
        if data.is_tensor:
            # With its history and its memory, or an error if it is of another type.
            return unknown(node, inputs)
        shape, _, cut = literal_tensor(data)
        made = self.new_tensor(node, op, inputs, arguments, shape, dtype)
        made.cut = op if cut else ""
        if data.kind is Kind.UNKNOWN:
            role = Role.UNTRACKED if dtypes.is_integer(dtype) else Role.UNKNOWN
            return replace(made, role=role, storages=UNKNOWN_MEMORY)
        if data.kind is Kind.FOREIGN:
            made.storages = united(made.storages, UNKNOWN_MEMORY)
        return made

    def of_legacy_type(
        self, node: ast.Call, function: Value, arguments: list[Argument]
    ) -> Value | None:
        """What ``Tensor = cuda.FloatTensor if use_cuda else torch.FloatTensor`` makes.

        None where it is no such type, and where what it is given may be a tensor or hold one.
        """
        dtype = dtypes.of_legacy_types(function)
        if dtype is None or any(argument.keyword is not None for argument in arguments):
            return None
        if not arguments or self._are_sizes(arguments) or _is_array(arguments):
            return self.legacy_tensor(node, "torch.Tensor", dtype or None, arguments)
        return None

    def new_of_data(
        self, node: ast.Call, receiver: Value, arguments: list[Argument]
    ) -> Value | None:
        """What ``x.data.new(2, 3)`` makes where nothing is known of ``x``.

        That it has ``data`` which make something of a size tells that it is a tensor.
        """
        is_data = isinstance(receiver.node, ast.Attribute) and receiver.node.attr == "data"
        if receiver.kind is not Kind.UNKNOWN or not is_data or len(arguments) < 2:
            return None
        if any(a.keyword is not None for a in arguments) or not self._are_sizes(arguments):
            return None
        return self.legacy_tensor(node, "new", None, arguments)

    def _are_sizes(self, arguments: list[Argument]) -> bool:
        """Whether a legacy type is given how large the tensor is to be, not what it is to hold.

        Data stand alone; two arguments are two sizes, be they numbers or tensors with one number
        each. ``x.size()`` of anything is a size, where the project has no method of that name.
        """
        plain = [argument for argument in arguments if argument.keyword is None]
        if any(isinstance(argument.node, ast.Starred) for argument in plain):
            return False
        if len(plain) != 1 or plain[0].value.kind is Kind.NUMBER:
            return bool(plain)
        return _asks_for_size(plain[0]) and not self.flow.is_so(_has_own_size)


def _has_own_size(text: str) -> bool:
    return mentions(text, "def size(")


def _asks_for_size(argument: Argument) -> bool:
    """Whether this is ``x.size()`` of what is not known."""
    node = argument.node
    return (
        argument.value.kind is Kind.UNKNOWN
        and isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "size"
        and not (node.args or node.keywords)
    )


def _is_array(arguments: list[Argument]) -> bool:
    """Whether the data are certainly no tensor, and hold none: an array of NumPy."""
    return len(arguments) == 1 and arguments[0].value.kind is Kind.FOREIGN


def literal_tensor(data: Value | None) -> tuple[Shape | None, str | None, bool]:
    """Shape and dtype of ``torch.tensor(data)``, and whether history is cut.

    One-element tensors in a list count as numbers, whatever their own shape.
    """
    if data is None:
        return None, None, False
    if data.is_tensor:
        return data.shape, data.dtype, data.needs_grad is Certainty.YES
    if data.kind is Kind.NUMBER:
        if isinstance(data.const, bool):
            return (), "bool", False
        known = {float: "default", int: "int64"}.get(type(data.const))
        return (), known, bool(data.cut)
    if data.kind is not Kind.SEQUENCE:
        return None, None, False
    if data.items is None:
        inner = None if data.element is None else literal_tensor(data.element)
        return (
            ((data.length,) if inner and inner[0] == () else None),
            inner[1] if inner else None,
            bool(inner and inner[2]),
        )
    parts = [literal_tensor(item) for item in data.items]
    cut = any(part[2] for part in parts)
    if all(item.kind in (Kind.NUMBER, Kind.TENSOR) for item in data.items):
        kinds = {part[1] for part in parts}
        dtype = (
            "default"
            if "default" in kinds and None not in kinds
            else (kinds.pop() if len(kinds) == 1 else None)
        )
        return (len(parts),), dtype, cut
    first = parts[0][0]
    shape = (
        (len(parts), *first) if first is not None and all(p[0] == first for p in parts) else None
    )
    return shape, parts[0][1] if len({p[1] for p in parts}) == 1 else None, cut
