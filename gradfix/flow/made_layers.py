"""New layers of PyTorch: the weights and sizes that their constructors give them."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradfix.flow.op_shapes import is_reduced
from gradfix.flow.values import (
    Dim,
    Kind,
    Leaf,
    Role,
    Shape,
    Storage,
    Value,
    dim_of,
    element_of,
    replace,
    unknown,
)

if TYPE_CHECKING:
    from gradfix.flow.operands import Argument
    from gradfix.flow.text_facts import TextFacts

#: Layers with trainable weights that map one tensor to one tensor.
WEIGHTED = frozenset(
    """Linear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
    Embedding EmbeddingBag PReLU GRUCell RNNCell LazyLinear LazyConv1d LazyConv2d LazyConv3d
    TransformerEncoderLayer TransformerDecoderLayer TransformerEncoder TransformerDecoder
    Transformer""".split()
)
#: Where the flag ``inplace`` stands among the arguments of these layers' constructors.
_INPLACE = {
    "ReLU": 0,
    "ReLU6": 0,
    "SELU": 0,
    "SiLU": 0,
    "Mish": 0,
    "Hardswish": 0,
    "Hardsigmoid": 0,
    "LeakyReLU": 1,
    "ELU": 1,
    "CELU": 1,
    "Dropout": 1,
    "Dropout1d": 1,
    "Dropout2d": 1,
    "Dropout3d": 1,
    "AlphaDropout": 1,
    "Hardtanh": 2,
}


def is_layer(name: str) -> bool:
    """Whether ``name`` is a class of ``torch.nn`` (but not ``Parameter`` or a function)."""
    prefix, _, last = name.rpartition(".")
    return (
        prefix == "torch.nn"
        and last[:1].isupper()
        and last not in ("Parameter", "Module", "Buffer")
    )


def build(node: ast.AST, name: str, arguments: Sequence[Argument], file: TextFacts) -> Value:
    """A new layer; whether and in which type it is trained the rest of the file may change."""
    layer = name.rpartition(".")[2]
    inputs = tuple(argument.value for argument in arguments)
    made = Value(Kind.MODULE, Role.UNTRACKED, node, "layer", inputs, name=name, attributes={})
    assert made.attributes is not None
    if layer in ("Sequential", "ModuleList", "ParameterList"):
        items: list[Value] | None = []
        for argument in arguments:
            value = argument.value
            if value.kind is Kind.SEQUENCE:
                items = list(value.items) if value.items is not None and items is not None else None
                if items is None:
                    made.element = element_of(value)
            elif items is not None:
                items.append(value)
        made.items = tuple(items) if items is not None else None
        return _of_parameters(made) if layer == "ParameterList" else made
    if layer in ("ModuleDict", "ParameterDict"):
        given = inputs[0] if len(inputs) == 1 and inputs[0].kind is Kind.DICT else None
        made.element = given.element if given is not None else None
        return _of_parameters(made) if layer == "ParameterDict" else made
    role = Role.LEAF | Role.UNTRACKED if file.may_freeze(node) else Role.LEAF
    dtype = None if file.changes_dtypes else "default"
    for attribute, shape in _weights(layer, arguments).items():
        made.attributes[attribute] = Value(
            Kind.TENSOR, role, node, "Parameter", (), frozenset({Storage(node)}), False, shape,
            dtype, frozenset({Leaf(node, True)}), parameter=True, owner=made,
        )  # fmt: skip
    at_flag = _INPLACE.get(layer)
    flag = _argument(arguments, "inplace", at_flag) if at_flag is not None else None
    if flag is not None:
        made.attributes["inplace"] = flag
    if layer.endswith("Loss") and not is_reduced(arguments, 1):
        made.attributes["reduction"] = unknown(node)
    for attribute, at in _SIZES.get(layer, {}).items():
        size = _argument(arguments, attribute, at)
        if size is not None:
            made.attributes[attribute] = size
    return made


def _of_parameters(container: Value) -> Value:
    """A container of Parameters makes a Parameter of each tensor that it is given."""

    def parameter(value: Value) -> Value:
        if not value.is_tensor or value.parameter:
            return value
        leaves = frozenset({Leaf(value.node, True)})
        return replace(value, role=Role.LEAF, leaves=leaves, parameter=True, view=False)

    if container.items is not None:
        container.items = tuple(map(parameter, container.items))
    if container.element is not None:
        container.element = parameter(container.element)
    return container


_SIZES = {
    "Linear": {"in_features": 0, "out_features": 1},
    "Embedding": {"num_embeddings": 0, "embedding_dim": 1},
    "GRUCell": {"input_size": 0, "hidden_size": 1},
    "RNNCell": {"input_size": 0, "hidden_size": 1},
}


def _argument(arguments: Sequence[Argument], name: str, at: int) -> Value | None:
    for argument in arguments:
        if argument.keyword == name:
            return argument.value
    plain = [argument.value for argument in arguments if argument.keyword is None]
    return plain[at] if at < len(plain) else None


def _weights(layer: str, arguments: Sequence[Argument]) -> dict[str, Shape | None]:
    if layer == "Linear":
        inner, outer = _argument(arguments, "in_features", 0), _argument(
            arguments, "out_features", 1
        )
        rows: Dim = dim_of(outer) if outer is not None else None
        columns: Dim = dim_of(inner) if inner is not None else None
        return {"weight": (rows, columns), "bias": (rows,)}
    if layer == "Embedding":
        count, size = _argument(arguments, "num_embeddings", 0), _argument(
            arguments, "embedding_dim", 1
        )
        return {"weight": (dim_of(count) if count else None, dim_of(size) if size else None)}
    if layer in WEIGHTED and layer.startswith("Conv"):
        return {"weight": None, "bias": None}
    return {"weight": None} if layer == "PReLU" else {}
