"""What PyTorch's constructors make: tensors, Parameters, optimizers, grad-mode contexts."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from gradfix.flow import dtypes
from gradfix.flow.grown import united
from gradfix.flow.legacy_types import literal_tensor
from gradfix.flow.loaders import BATCHES, LOADER, changes_datasets, loader
from gradfix.flow.methods import Methods, retains_graph
from gradfix.flow.operands import Argument, requires_grad_role
from gradfix.flow.state import Backward, GradMode, OptimizerMade
from gradfix.flow.values import (
    UNKNOWN_MEMORY,
    Certainty,
    Kind,
    Leaf,
    Role,
    Storage,
    Value,
    replace,
    sequence,
    unknown,
)

#: Constructors that copy data out of tensors and so cut their history.
REWRAPS = frozenset({"torch.tensor", "torch.as_tensor", "torch.asarray", *dtypes.LEGACY_TYPES})


def data_of(call: ast.Call) -> ast.expr | None:
    """What a tensor is made of: the first argument, by its place or as ``data=``."""
    given = [keyword.value for keyword in call.keywords if keyword.arg == "data"] or call.args[:1]
    return None if not given or isinstance(given[0], ast.Starred) else given[0]


class Constructors(Methods):
    """The part of the interpreter that evaluates calls of PyTorch's constructors."""

    def _rewrap(self, node: ast.Call, name: str, arguments: list[Argument]) -> Value:
        """``torch.tensor(data)`` and its kin: a new tensor of the data, without history."""
        inputs = tuple(argument.value for argument in arguments)
        data = arguments[0].value if arguments and arguments[0].keyword in (None, "data") else None
        given = next((a.value for a in arguments if a.keyword == "dtype"), None)
        legacy = dtypes.LEGACY_TYPES.get(name)
        if data is not None and data.is_tensor and name in ("torch.as_tensor", "torch.asarray"):
            # The same tensor or a recorded conversion of it: nothing is cut.
            # (https://docs.pytorch.org/docs/stable/generated/torch.as_tensor.html)
            dtype = dtypes.of_argument(given) if given is not None else data.dtype
            return replace(
                data,
                node=node,
                op="to",
                inputs=inputs,
                dtype=dtype,
                parameter=False,
                storages=united(data.storages, frozenset({Storage(node)})),
            )
        if legacy is not None:
            return self.legacy_tensor(node, name, legacy, arguments)
        shape, dtype, cut = literal_tensor(data)
        if given is not None:
            dtype = dtypes.of_argument(given)
        made = self.new_tensor(node, name, inputs, arguments, shape, dtype)
        made.cut = name if cut else ""
        if name != "torch.tensor" and data is not None and data.kind is Kind.UNKNOWN:
            # Given a tensor, all but ``torch.tensor`` keep its history and its memory.
            return replace(made, role=Role.UNKNOWN, storages=Value().storages)
        return made

    def _loader(self, node: ast.Call, arguments: list[Argument]) -> Value:
        made = loader(node, arguments)
        changed = made.name == BATCHES and self.flow.is_so(changes_datasets)
        return unknown(node, made.inputs) if changed else made

    def _parameter(self, node: ast.Call, arguments: list[Argument]) -> Value:
        inputs = tuple(argument.value for argument in arguments)
        data = next((a.value for a in arguments if a.keyword in (None, "data")), None)
        flag = next((a.value for a in arguments if a.keyword == "requires_grad"), None)
        positional = [a.value for a in arguments if a.keyword is None]
        if flag is None and len(positional) > 1:
            flag = positional[1]
        role = Role.LEAF if flag is None else requires_grad_role(flag)
        leaves = frozenset({Leaf(node, True)}) if role & Role.LEAF else frozenset()
        dtype = None if self.flow.changes_dtypes or data is None else data.dtype
        # Parameter(data) is a new leaf over the memory of ``data``.
        storages = (
            data.storages if data is not None and data.is_tensor else frozenset({Storage(node)})
        )
        return Value(
            Kind.TENSOR, role, node, "Parameter", inputs, storages, False,
            data.shape if data is not None and data.is_tensor else None, dtype, leaves,
            "Parameter" if data is not None and data.needs_grad is Certainty.YES else "",
            parameter=True,
        )  # fmt: skip

    def _variable(self, node: ast.Call, arguments: list[Argument]) -> Value:
        inputs = tuple(argument.value for argument in arguments)
        data = next((a.value for a in arguments if a.keyword in (None, "data")), None)
        made = self.new_tensor(node, "Variable", inputs, arguments, None, None)
        plain = [argument.value for argument in arguments if argument.keyword is None]
        if len(plain) > 1:  # ``Variable(data, requires_grad)``
            made.role = requires_grad_role(plain[1])
            made.leaves = frozenset({Leaf(node, False)}) if made.role & Role.LEAF else frozenset()
        if data is not None and data.is_tensor:
            cut = "Variable" if data.needs_grad is Certainty.YES else ""
            return replace(
                made, storages=data.storages, shape=data.shape, dtype=data.dtype, cut=cut
            )
        if data is not None and data.kind in (Kind.UNKNOWN, Kind.SEQUENCE):
            made.storages = united(made.storages, UNKNOWN_MEMORY)  # that of what it is given
        return made

    def _optimizer(self, node: ast.Call, name: str, arguments: list[Argument]) -> Value:
        if not arguments:
            return unknown(node)
        first = next((a for a in arguments if a.keyword in (None, "params")), arguments[0])
        found = tuple(_parameters_in(first.node, first.value))
        self.event(OptimizerMade, node, found)
        return Value(Kind.OPTIMIZER, Role.UNTRACKED, node, inputs=(first.value,), name=name)

    def _autograd_backward(self, node: ast.Call, arguments: list[Argument]) -> Value:
        inputs = tuple(argument.value for argument in arguments)
        if len([a for a in arguments if a.keyword in (None, "tensors", "grad_tensors")]) == 1:
            self.event(Backward, node, inputs[0])
        self.forget_saved(retains_graph(arguments))
        # With gradients of its own it fills .grad by hand: what it is given is used, but no loss.
        return unknown(node, inputs)

    def _set_grad_enabled(self, node: ast.Call, arguments: list[Argument]) -> Value:
        const = arguments[0].value.const if arguments else None
        value = Value(
            Kind.CONTEXT,
            node=node,
            name="torch.set_grad_enabled",
            const=const if isinstance(const, bool) else None,
        )
        self.state.mode = mode_of(value)
        self.state.switched = frozenset({node}) if value.const is False else frozenset()
        return value

    def _autograd_grad(self, node: ast.Call, arguments: list[Argument]) -> Value:
        inputs = tuple(argument.value for argument in arguments)
        graph = next((a.value.const for a in arguments if a.keyword == "create_graph"), False)
        role = Role.UNTRACKED if graph is False else Role.UNKNOWN
        one = Value(Kind.TENSOR, role, node, "autograd.grad", inputs, frozenset({Storage(node)}))
        return sequence(None, element=one, node=node, name="tuple")

    def _from_numpy(self, node: ast.Call, arguments: list[Argument]) -> Value:
        inputs = tuple(argument.value for argument in arguments)
        return Value(Kind.TENSOR, Role.UNTRACKED, node, "from_numpy", inputs)


def mode_of(context: Value) -> GradMode:
    """The grad mode inside ``with context:``."""
    if context.const is True:
        return GradMode.ON
    return GradMode.OFF if context.const is False else GradMode.UNKNOWN


def _parameters_in(node: ast.AST, value: Value) -> list[tuple[ast.AST, Value]]:
    """The tensors in the first argument of an optimizer, with the expressions that name them."""
    if value.is_tensor:
        return [(node, value)]
    if value.kind is Kind.DICT and value.attributes and "params" in value.attributes:
        at = node
        if isinstance(node, ast.Dict):
            keys = [key.value if isinstance(key, ast.Constant) else None for key in node.keys]
            at = node.values[keys.index("params")] if "params" in keys else node
        return _parameters_in(at, value.attributes["params"])
    if value.kind is not Kind.SEQUENCE:
        return []
    if value.items is None:
        return _parameters_in(node, value.element) if value.element is not None else []
    nodes = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
    found = []
    for place, item in enumerate(value.items):
        found += _parameters_in(nodes[place] if len(nodes) == len(value.items) else node, item)
    return found


def decorated_mode(decorators: Sequence[tuple[ast.expr, Value]]) -> GradMode | None:
    """The grad mode a function's decorators switch to, or None when they leave it alone."""
    for _, value in decorators:
        if value.kind is Kind.CONTEXT:
            return mode_of(value)
        if value.kind is Kind.REFERENCE and value.name in ("torch.no_grad", "torch.inference_mode"):
            return GradMode.OFF
    return None


_Function = Callable[[Constructors, ast.Call, list[Argument]], Value]

#: Functions of PyTorch that are no plain operations, by qualified name.
FUNCTIONS: dict[str, _Function] = {
    "torch.nn.Parameter": Constructors._parameter,
    "torch.autograd.Variable": Constructors._variable,
    "torch.autograd.backward": Constructors._autograd_backward,
    "torch.autograd.grad": Constructors._autograd_grad,
    "torch.set_grad_enabled": Constructors._set_grad_enabled,
    "torch.from_numpy": Constructors._from_numpy,
    LOADER: Constructors._loader,
}
