"""What PyTorch's constructors make: tensors, Parameters, optimizers, grad-mode contexts."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from gradfix.flow import dtypes, shapes
from gradfix.flow.grown import united
from gradfix.flow.methods import Methods, retains_graph
from gradfix.flow.operands import Argument, requires_grad_role
from gradfix.flow.state import Backward, GradMode, OptimizerMade
from gradfix.flow.values import (
    UNKNOWN_MEMORY,
    Certainty,
    Kind,
    Leaf,
    Role,
    Shape,
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


def _are_sizes(arguments: list[Argument]) -> bool:
    """Whether a legacy type is given how large the tensor is to be, not what it is to hold.

    Data stand alone; two arguments are two sizes, be they numbers or tensors with one number each.
    (https://docs.pytorch.org/docs/stable/tensors.html#torch.Tensor)
    """
    plain = [argument for argument in arguments if argument.keyword is None]
    if any(isinstance(argument.node, ast.Starred) for argument in plain):
        return False
    return len(plain) > 1 or (len(plain) == 1 and plain[0].value.kind is Kind.NUMBER)


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
        if legacy is not None and data is not None and data.is_tensor:
            # The legacy constructors take a tensor of their own type, and give a view of it.
            return self.tensor_op(node, "alias", "function", arguments[:1])
        if legacy is not None and (data is None or _are_sizes(arguments)):
            sizes = [argument.value for argument in arguments if argument.keyword is None]
            return self.new_tensor(node, name, inputs, arguments, shapes.sizes(sizes), legacy)
        shape, dtype, cut = literal_tensor(data)
        if legacy is not None:
            dtype = legacy
        elif given is not None:
            dtype = dtypes.of_argument(given)
        made = self.new_tensor(node, name, inputs, arguments, shape, dtype)
        made.cut = name if cut else ""
        if name != "torch.tensor" and data is not None and data.kind is Kind.UNKNOWN:
            # Given a tensor, all but ``torch.tensor`` keep its history and its memory.
            return replace(made, role=Role.UNKNOWN, storages=Value().storages)
        if legacy is not None and data is not None and data.kind is Kind.FOREIGN:
            # An array of the same element type shares its memory, and so may whatever it views.
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
        inputs = tuple(argument.value for argument in arguments)
        sizes = not arguments or _are_sizes(arguments)
        if not sizes and (len(inputs) > 1 or inputs[0].kind is not Kind.FOREIGN):
            return None
        shape = shapes.sizes(list(inputs)) if sizes else None
        made = self.new_tensor(node, "torch.Tensor", inputs, arguments, shape, dtype or None)
        return made if sizes else replace(made, storages=united(made.storages, UNKNOWN_MEMORY))

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
}
