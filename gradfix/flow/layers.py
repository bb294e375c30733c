"""PyTorch's layer classes: what they hold, what calling them gives (the tables cannot say this)."""

from __future__ import annotations

import ast
from collections.abc import Sequence, Set
from typing import TYPE_CHECKING

from gradfix.flow.grown import all_united
from gradfix.flow.made_layers import WEIGHTED
from gradfix.flow.state import GradMode, Saved, result_role
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import (
    SOMEWHERE,
    Certainty,
    Kind,
    Leaf,
    Role,
    Shape,
    Storage,
    Value,
    dim_of,
    element_of,
    foreign,
    grow,
    replace,
    sequence,
    unknown,
)

if TYPE_CHECKING:
    from gradfix.flow.calls import Calls
    from gradfix.flow.operands import Argument

#: Layers whose weights can be switched off (``affine=False``).
_MAYBE_WEIGHTED = frozenset(
    """BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm GroupNorm InstanceNorm1d InstanceNorm2d
    InstanceNorm3d SyncBatchNorm RMSNorm""".split()
)
#: Layers that save their input because their weight requires grad.
_SAVES_INPUT = frozenset(
    """Linear Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d BatchNorm1d
    BatchNorm2d BatchNorm3d LayerNorm GroupNorm PReLU RNNCell GRUCell""".split()
)
#: Those of them that need it for the gradient of the input itself, too.
_NEEDS_INPUT = frozenset("BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm GroupNorm PReLU".split())
#: Activation layers and the functional operation each of them is.
_ACTIVATIONS = {
    "ReLU": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softmax": "softmax",
    "LogSoftmax": "log_softmax",
    "GELU": "gelu",
    "SiLU": "silu",
    "ELU": "elu",
    "LeakyReLU": "leaky_relu",
    "Identity": "alias",
    "Dropout": "dropout",
    "Dropout1d": "dropout1d",
    "Dropout2d": "dropout2d",
    "Dropout3d": "dropout3d",
    "AlphaDropout": "alpha_dropout",
    "ReLU6": "relu6",
    "Hardtanh": "hardtanh",
    "SELU": "selu",
    "CELU": "celu",
    "Mish": "mish",
    "Hardswish": "hardswish",
    "Hardsigmoid": "hardsigmoid",
    "LogSigmoid": "logsigmoid",
    "Softmin": "softmin",
    "Softsign": "softsign",
}
_SEVERAL_RESULTS = frozenset({"LSTM", "GRU", "RNN", "LSTMCell", "MultiheadAttention"})
_CONTAINERS = frozenset(
    {"Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
)
#: Methods by which a container gets further layers.
_GROW = frozenset({"append", "extend", "insert", "add_module", "register_module"})
_PARAMETERS_OF = frozenset({"parameters", "buffers"})
_NAMED = frozenset({"named_parameters", "named_buffers"})
_ITSELF = frozenset(
    """to cuda cpu double float half bfloat16 train eval requires_grad_ apply type share_memory
    to_empty compile""".split()
)


def has_weights(module: Value) -> Certainty:
    """Whether calling the module gives a tensor that requires grad for the sake of its weights."""
    layer = module.name.rpartition(".")[2]
    if layer in WEIGHTED or layer in _SEVERAL_RESULTS:
        return Certainty.YES
    if (
        layer in _ACTIVATIONS
        or layer in ("Flatten", "Upsample")
        or "Pool" in layer
        or "Loss" in layer
    ):
        return Certainty.NO
    if layer == "Sequential" and module.items is not None:
        for item in reversed(module.items):  # what comes after the weights may cut
            answer = has_weights(item) if item.kind is Kind.MODULE else Certainty.MAYBE
            if answer is not Certainty.NO:
                return answer
        return Certainty.NO
    return Certainty.MAYBE


def is_activation(op: str) -> bool:
    """Whether an operation is what an activation layer computes."""
    return op.rstrip("_") in _ACTIVATIONS.values() and op != "alias"


def writes_in_place(module: Value) -> bool | None:
    """Whether an activation overwrites what it is given; None where that is not known."""
    flag = (module.attributes or {}).get("inplace")
    if flag is None:
        return False
    return flag.const if isinstance(flag.const, bool) else None


def saves_result(module: Value) -> str:
    """The operation by which a layer that ends here keeps its result for backward, or nothing."""
    name = _ACTIVATIONS.get(module.name.rpartition(".")[2], "")
    changes = writes_in_place(module)
    if not name or changes is None:
        return ""
    name = f"{name}_" if changes else name
    op = op_facts(name, "functional") or op_facts(name, "function")
    kept = op.signatures[0].saves if op is not None else None
    return name if kept and "result" in next(iter(kept.values()), ()) else ""


def _input_keeper(module: Value) -> Value | None:
    """The layer that keeps what a module is given for its weights: itself, or its first one."""
    if module.name.rpartition(".")[2] == "Sequential":
        first = module.items[0] if module.items else None
        return _input_keeper(first) if first is not None and first.kind is Kind.MODULE else None
    return module if module.name.rpartition(".")[2] in _SAVES_INPUT else None


def leaves_of(module: Value) -> Set[Leaf]:
    """The weights of a layer, and of the layers that it holds in order."""
    own = (v.leaves for v in (module.attributes or {}).values() if v.is_tensor)
    inner = (leaves_of(item) for item in module.items or () if item.kind is Kind.MODULE)
    return all_united((*own, *inner))


def apply(run: Calls, node: ast.Call, module: Value, arguments: Sequence[Argument]) -> Value:
    """The result of calling a layer."""
    layer = module.name.rpartition(".")[2]
    inputs = tuple(argument.value for argument in arguments)
    if not layer:  # one of several layers: they need not even give the same kind of thing
        return unknown(node, (module, *inputs))
    functional = _ACTIVATIONS.get(layer)
    if functional is not None and arguments and (changes := writes_in_place(module)) is not None:
        if changes:
            return run.activate_in_place(node, functional, arguments[0])
        return run.tensor_op(node, functional, "functional", list(arguments[:1]))
    trained = has_weights(module)
    if trained is Certainty.YES and run.flow.may_freeze(module.node):
        trained = Certainty.MAYBE
    own = {
        Certainty.YES: Value(Kind.TENSOR, Role.LEAF),
        Certainty.NO: Value(Kind.NUMBER, Role.UNTRACKED),
        Certainty.MAYBE: Value(Kind.TENSOR, Role.UNKNOWN),
    }[trained]
    role = result_role((own, *inputs), run.state.mode)
    leaves = all_united((leaves_of(module), *(v.leaves for v in inputs)))
    if layer in _CONTAINERS and layer != "Sequential":
        return unknown(node, (module, *inputs))
    # Activations at the end of a Sequential, in-place ones and Identity may return what they got.
    new = layer in WEIGHTED or layer in _MAYBE_WEIGHTED  # the others may return what they got
    storages = frozenset({Storage(node)}) if new else Value().storages
    if (
        layer == "Sequential"
        and module.items
        and module.items[-1].name.rpartition(".")[2] in WEIGHTED
    ):
        storages = frozenset({Storage(node)})
    is_number = _is_reduced_loss(layer, module) and not run.flow.changes_reductions
    dtype = "default" if layer in WEIGHTED and not run.flow.changes_dtypes else None
    if run.state.mode is not GradMode.OFF and (keeper := _input_keeper(module)) is not None:
        kept_for = Certainty.MAYBE if run.flow.may_freeze(module.node) else has_weights(keeper)
        if keeper.name.rpartition(".")[2] in _NEEDS_INPUT and inputs and inputs[0].is_tracked:
            kept_for = Certainty.YES
        certain = kept_for is Certainty.YES and run.state.mode is GradMode.ON
        for argument in arguments[: 2 if layer.endswith("Cell") else 1]:  # input and hidden state
            run.remember(Saved(node, layer, argument.node, argument.value, certain))
    cut = "no_grad" if run.state.mode is GradMode.OFF and trained is Certainty.YES else ""
    last = module.items[-1] if layer == "Sequential" and module.items else None
    if last is not None and (op := saves_result(last)):
        if trained is Certainty.YES or not writes_in_place(last):  # else it may be what went in
            storages = frozenset({Storage(node)})
    inner, kept = run.forward_of(last) if last is not None else (None, None)
    if inner is not None and inner.is_tracked and run.state.mode is GradMode.ON:
        role = Role.TRACKED
    if kept is not None:
        storages = frozenset({Storage(node)})
    one = Value(
        Kind.TENSOR,
        role,
        node,
        "layer",
        (module, *inputs),
        storages,
        False,
        () if is_number else _result_shape(layer, module, inputs),
        dtype,
        leaves if role != Role.UNTRACKED else frozenset(),
        cut,
    )
    if last is not None and op and run.state.mode is not GradMode.OFF:
        certain = trained is Certainty.YES and run.state.mode is GradMode.ON
        run.remember(Saved(node, op, None, one, certain))
    if kept is not None and run.state.mode is GradMode.ON:
        run.remember(Saved(node, kept.op, None, one, kept.certain and one.is_tracked))
    if layer in _SEVERAL_RESULTS:
        return sequence(None, element=one, node=node, name="tuple")
    return one


def _is_reduced_loss(layer: str, module: Value) -> bool:
    """Whether this is a loss layer that was made without saying how its result is reduced."""
    if not layer.endswith("Loss") or layer == "AdaptiveLogSoftmaxWithLoss":
        return False
    return module.attributes is not None and "reduction" not in module.attributes


def _result_shape(layer: str, module: Value, inputs: tuple[Value, ...]) -> Shape | None:
    shape = inputs[0].shape if inputs and inputs[0].is_tensor else None
    if shape is None:
        return None
    attribute = {"Linear": "out_features", "Embedding": "embedding_dim"}.get(layer)
    size = (module.attributes or {}).get(attribute) if attribute else None
    if size is None:
        return None
    return (*(shape[:-1] if layer == "Linear" else shape), dim_of(size))


def held(module: Value) -> Value | None:
    """One of what a container of layers or Parameters holds; None where that is not known."""
    if module.name.rpartition(".")[2] not in _CONTAINERS:
        return None
    found = element_of(module)
    return None if found is None else _any_of(found)


def item(module: Value, at: object) -> Value | None:
    """What a container holds at one place."""
    if module.items is not None and isinstance(at, int):
        if -len(module.items) <= at < len(module.items):
            return module.items[at]
    return held(module)


def _any_of(layer: Value) -> Value:
    """One of several layers that the same line makes: each has weights of its own."""
    return replace(layer, attributes={}) if layer.kind is Kind.MODULE else layer


def method(node: ast.Call, module: Value, name: str, arguments: Sequence[Argument]) -> Value:
    """The result of ``layer.name(...)``."""
    if name in _GROW:
        for argument in arguments:
            value = argument.value
            if value.kind in (Kind.NUMBER, Kind.STRING):
                continue  # a place or a name
            if name == "extend":
                each = element_of(value) if value.kind is Kind.SEQUENCE else None
                value = each if each is not None else unknown(node, (value,))
            grow(module, value)
        return foreign(node, "constant") if name.endswith("_module") else module
    if name in ("values", "items") and (one := held(module)) is not None:
        pair = sequence([unknown(), one], node=node, name="tuple")
        return sequence(None, element=one if name == "values" else pair, node=node, name=name)
    if name in _ITSELF:
        return module
    if name in (*_PARAMETERS_OF, *_NAMED):
        element = Value(
            Kind.TENSOR, Role.LEAF | Role.UNTRACKED, node, "Parameter", (module,),
            frozenset({Storage(node), SOMEWHERE}),  # that of an attribute of some layer
            dtype=None, leaves=frozenset({Leaf(node, True)}), parameter=True, owner=module,
        )  # fmt: skip
        if name in _NAMED:
            element = sequence([Value(Kind.STRING, Role.UNTRACKED), element], name="tuple")
        return sequence(None, element=element, node=node, name="generator")
    return unknown(node, (module,))
