"""What the methods of tensors, lists, dicts and distributions do and return."""

from __future__ import annotations

import ast
from abc import abstractmethod

from gradfix.flow import classes, dtypes, layers, shapes
from gradfix.flow.grown import united
from gradfix.flow.legacy_types import LegacyTypes
from gradfix.flow.operands import Argument, requires_grad_role
from gradfix.flow.state import Backward, GradMode, result_role
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import (
    NEEDS_GRAD,
    Certainty,
    Dim,
    Kind,
    Role,
    Storage,
    Value,
    element_of,
    foreign,
    grow,
    join_all,
    number,
    replace,
    sequence,
    unknown,
)

#: Tensor methods that leave PyTorch: their results are Python or NumPy objects without history.
ESCAPES = frozenset({"item", "tolist", "numpy", "__array__", "__float__", "__int__", "__bool__"})
_NUMBER_METHODS = frozenset(
    """size dim numel nelement ndimension element_size data_ptr storage_offset stride
    get_device""".split()
)
_FLAG_METHODS = frozenset(
    "is_floating_point is_contiguous is_complex is_signed equal allclose".split()
)
#: Methods that tensors have and arrays, numbers and tables have not.
_OF_TENSORS_ALONE = frozenset(
    "relu sigmoid softmax log_softmax logsumexp unsqueeze exp tanh sqrt".split()
)
#: Python-side conversions (torch/csrc/autograd/python_variable_methods.cpp), not in the tables.
CONVERSIONS = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "bfloat16": "bfloat16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
    "bool": "bool",
}


class Methods(LegacyTypes):
    """The part of the interpreter that evaluates method calls."""

    @abstractmethod
    def eval(self, node: ast.expr) -> Value:
        """The value of an expression."""

    @abstractmethod
    def element(self, node: ast.AST, iterable: Value) -> Value:
        """What iterating over a value yields."""

    def _call_method(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument]
    ) -> Value:
        assert isinstance(node.func, ast.Attribute)
        if name == "backward" and receiver.kind in (Kind.TENSOR, Kind.UNKNOWN):
            self.event(Backward, node, receiver)
            self.forget_saved(retains_graph(arguments))
            return foreign(node)
        if receiver.is_tensor:
            return self._tensor_method(node, receiver, name, arguments)
        inputs = (receiver, *[argument.value for argument in arguments])
        if receiver.kind is Kind.DISTRIBUTION:
            return self._distribution_method(node, receiver, name, inputs)
        if receiver.kind is Kind.SEQUENCE:
            return self._list_method(node, receiver, name, arguments)
        if receiver.kind is Kind.MODULE:
            return layers.method(node, receiver, name, arguments)
        if receiver.kind is Kind.INSTANCE and name in ("register_buffer", "register_parameter"):
            return self._register(node, receiver, arguments)
        if receiver.kind is Kind.DICT and name in ("values", "items", "get", "pop", "setdefault"):
            return _dict_method(node, receiver, name, inputs)
        if receiver.kind is Kind.FOREIGN:
            return foreign(node, receiver.name, inputs)
        if receiver.kind is Kind.UNKNOWN and name in ("detach", "requires_grad_"):
            return self._reveal(node, receiver, name, arguments)
        if receiver.kind is Kind.UNKNOWN and name in _OF_TENSORS_ALONE and _are_plain(arguments):
            return self._reveal(node, receiver, name, arguments)
        if name == "clone" and not arguments and self._is_input_of_forward(receiver):
            return self._reveal(node, receiver, name, arguments)
        if name == "new" and (made := self.new_of_data(node, receiver, arguments)) is not None:
            return made
        if name == "item" and receiver.kind is Kind.UNKNOWN and not arguments:
            # A number, whether of a tensor or of an array.
            return Value(Kind.NUMBER, Role.UNTRACKED, node, name, inputs)
        op = op_facts(name, "method") if name.endswith("_") else None
        if op is not None and op.inplace and op.writes and receiver.kind is Kind.UNKNOWN:
            self.write(
                node,
                receiver,
                node.func.value,
                "method",
                name,
                None,
                tuple(argument.value for argument in arguments),
            )
        self._invalidate(arguments)
        return unknown(node, inputs)

    def _register(self, node: ast.Call, receiver: Value, arguments: list[Argument]) -> Value:
        """``self.register_buffer("name", tensor)`` binds an attribute."""
        key = next((a.value.const for a in arguments if a.keyword in (None, "name")), None)
        facts = classes.facts_of(self.flow, receiver)
        if facts is not None and isinstance(key, str) and len(arguments) > 1 and self.loud:
            classes.bind_attribute(facts, self.scope.name, key, arguments[1].value)
            self.state.drop(f"self.{key}")
        return foreign(node, "constant")

    def _distribution_method(
        self, node: ast.Call, receiver: Value, name: str, inputs: tuple[Value, ...]
    ) -> Value:
        """``log_prob``, ``rsample`` and ``entropy`` are differentiable; ``sample`` is not.

        (https://docs.pytorch.org/docs/stable/distributions.html)
        """
        fresh = frozenset({Storage(node)})
        if name in ("log_prob", "entropy", "rsample", "cdf", "icdf"):
            role = result_role((*receiver.inputs, *inputs[1:]), self.state.mode)
            return Value(Kind.TENSOR, role, node, name, inputs, fresh)
        if name in ("sample", "sample_n", "enumerate_support"):
            return Value(Kind.TENSOR, Role.UNTRACKED, node, name, inputs, fresh)
        return unknown(node, inputs)

    def _is_input_of_forward(self, value: Value) -> bool:
        """Whether nothing is known of a value but that a ``forward`` is given it.

        What has ``clone`` there is a tensor, or as good as one.
        """
        scope = self.scope
        given = value.kind is Kind.UNKNOWN and isinstance(value.node, ast.arg) and value.op == ""
        return given and scope.name == "forward" and scope.class_node is not None

    def _reveal(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument]
    ) -> Value:
        """A method that only tensors have tells what an unknown receiver is."""
        flag = arguments[0].value if arguments else None
        if name == "requires_grad_" and flag is not None and flag.const is not True:
            return unknown(node, (receiver,))
        statement = self.statement
        if name == "detach" and isinstance(statement, ast.Expr) and statement.value is node:
            return unknown(node, (receiver,))  # streams are detached for the effect it has on them
        assert isinstance(node.func, ast.Attribute)
        tensor = self.note(node.func.value, revealed(receiver, node.func.value))
        self.replace_everywhere(receiver, tensor)
        return self._tensor_method(node, tensor, name, arguments)

    def _tensor_method(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument]
    ) -> Value:
        assert isinstance(node.func, ast.Attribute)
        inputs = (receiver, *[argument.value for argument in arguments])
        if name in ESCAPES:
            cut = name if receiver.needs_grad is Certainty.YES or receiver.cut else ""
            kind = Kind.NUMBER if name == "item" else Kind.FOREIGN
            made = Value(
                kind, Role.UNTRACKED, node, name, inputs, cut=cut, name="numpy", owner=receiver
            )
            made.storages = receiver.storages if name == "numpy" else made.storages
            return made
        if name in _NUMBER_METHODS:
            return self._size_method(node, receiver, name, arguments)
        if name in _FLAG_METHODS:
            return number(node=node)
        if name == "requires_grad_":
            flag = arguments[0].value if arguments else None
            role = Role.LEAF if flag is None else requires_grad_role(flag)
            return self.make_leaf(node, receiver, role)
        if name == "retain_grad":
            self.replace_everywhere(receiver, replace(receiver, retains_grad=True))
            return foreign(node)
        if name == "register_hook":
            return foreign(node, "hook", inputs)
        if name in ("detach", "detach_"):
            cut = "detach" if receiver.needs_grad is Certainty.YES else receiver.cut
            detached = replace(
                receiver, role=Role.UNTRACKED, node=node, op="detach", inputs=(receiver,),
                view=True, leaves=frozenset(), cut=cut, parameter=False, owner=receiver,
            )  # fmt: skip
            if name == "detach_":
                self.replace_everywhere(receiver, detached)
            return detached
        if name == "type" and not arguments:
            return Value(Kind.STRING, Role.UNTRACKED, node)
        if name in CONVERSIONS or name in ("to", "cuda", "cpu", "type"):
            return self._convert(node, receiver, name, arguments, inputs)
        if name == "new":
            return self.legacy_tensor(node, name, receiver.dtype, arguments)
        me = Argument(None, node.func.value, receiver)
        return self.tensor_op(node, name, "method", [me, *arguments])

    def _convert(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument],
        inputs: tuple[Value, ...],
    ) -> Value:  # fmt: skip
        """Casts and moves: recorded, but they return the tensor itself when nothing changes."""
        dtype = CONVERSIONS.get(name, receiver.dtype)
        for argument in arguments:
            if name == "type":
                dtype = dtypes.of_type(argument.value)
            elif argument.value.kind is Kind.REFERENCE:
                dtype = dtypes.of_argument(argument.value) or dtype
            elif argument.value.kind is Kind.UNKNOWN or argument.value.is_tensor:
                dtype = None
        changes = (
            dtype == "float64" and receiver.dtype in ("default", "float32")
        ) or name == "cuda"
        role, cut, leaves = receiver.role, receiver.cut, receiver.leaves
        if dtypes.is_integer(dtype):
            cut = name if receiver.needs_grad is Certainty.YES else ""
            role, leaves = Role.UNTRACKED, frozenset()
        elif role & NEEDS_GRAD and self.state.mode is GradMode.OFF and changes:
            role, cut, leaves = Role.UNTRACKED, "no_grad", frozenset()
        elif role & Role.LEAF:
            role = (role & ~Role.LEAF) | Role.TRACKED if changes else role | Role.TRACKED
        fresh = frozenset({Storage(node)})
        storages = fresh if changes else united(receiver.storages, fresh)
        if not changes and _is_made_here(receiver, node):
            storages = receiver.storages  # copied or not, nobody else will have it
        return replace(
            receiver,
            role=role,
            node=node,
            op=name,
            inputs=inputs,
            storages=storages,
            dtype=dtype,
            leaves=leaves,
            cut=cut,
            parameter=False,
            symbol=None,
        )

    def _size_method(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument]
    ) -> Value:
        symbol = f"{receiver.symbol}.shape" if receiver.symbol else None
        if name == "size" and not arguments:
            if receiver.shape is not None and None not in receiver.shape:
                return sequence([size_number(d) for d in receiver.shape], node=node, name="shape")
            return Value(
                Kind.SEQUENCE, Role.UNTRACKED, node, symbol=symbol, name="shape", element=number()
            )
        if name == "size":
            at = arguments[0].value.const
            if (
                isinstance(at, int)
                and receiver.shape is not None
                and -len(receiver.shape) <= at < len(receiver.shape)
            ):
                dim = receiver.shape[at]
                if dim is not None:
                    return size_number(dim)
            return number(
                symbol=f"{symbol}[{at}]" if symbol and isinstance(at, int) else None, node=node
            )
        if name in ("dim", "ndimension") and receiver.shape is not None:
            return number(len(receiver.shape), node=node)
        if name in ("numel", "nelement"):
            return number(shapes.numel(receiver.shape), node=node)
        return number(node=node)

    def _list_method(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument]
    ) -> Value:
        inputs = (receiver, *(argument.value for argument in arguments))
        values = [argument.value for argument in arguments]
        if name == "append" and receiver.path == self.place and receiver.items is not None:
            # Straight-line code since the list was made: its items stay known one by one.
            same = receiver.inputs is receiver.items
            receiver.items += tuple(values)
            receiver.inputs = receiver.items if same else receiver.inputs + tuple(values)
            receiver.length = len(receiver.items)
            return foreign(node, "constant")
        if name in ("append", "add", "appendleft") and values:
            grow(receiver, values[-1])
            return foreign(node, "constant")
        if name == "insert" and len(values) == 2:
            grow(receiver, values[1])
            return foreign(node, "constant")
        if name == "extend" and values:
            grow(receiver, self.element(node, values[0]))
            return foreign(node, "constant")
        if name in ("pop", "popleft"):
            grow(receiver, None)
            found = element_of(receiver)
            return found if found is not None else unknown(node, inputs)
        if name in ("clear", "sort", "reverse", "remove"):
            grow(receiver, None)
            return foreign(node, "constant")
        if name == "copy":
            return sequence(
                receiver.items, element=receiver.element, length=receiver.length, node=node
            )
        return number(node=node) if name in ("index", "count") else unknown(node, inputs)

    def _invalidate(self, arguments: list[Argument], *, changed: bool = False) -> None:
        """A called function may change the containers it is given; tensors keep role and memory.

        Only functions of the file (``changed``) are supposed to put other things into a list.
        """
        for argument in arguments:
            value = argument.value
            if value.kind is Kind.SEQUENCE and value.items is not None and value.name == "list":
                value.element = element_of(value)
                value.items = None
                value.length = None
            if changed and value.kind is Kind.SEQUENCE and value.name == "list":
                value.element = join_all([unknown(), *filter(None, [value.element])])


def _is_made_here(receiver: Value, node: ast.Call) -> bool:
    """Whether a new tensor has no name, and nobody else, that could share its memory."""
    assert isinstance(node.func, ast.Attribute)
    op, here = op_facts(receiver.op, "function"), node.func.value
    own = all(storage.node is here for storage in receiver.storages)
    return receiver.node is here and own and op is not None and op.factory


def _are_plain(arguments: list[Argument]) -> bool:
    """Whether arguments are numbers: no tensor that a module of functions might be given."""
    return all(argument.value.kind is Kind.NUMBER for argument in arguments)


def revealed(value: Value, node: ast.expr) -> Value:
    """An unknown value that turns out to be a tensor; as an attribute it has memory of its own."""
    if isinstance(node, ast.Attribute):
        return replace(value, kind=Kind.TENSOR, node=node, storages=frozenset({Storage(node)}))
    return replace(value, kind=Kind.TENSOR)


def retains_graph(arguments: list[Argument]) -> bool:
    """Whether backward may keep the graph (``retain_graph`` or ``create_graph``)."""
    flags = [a.value.const for a in arguments if a.keyword in ("retain_graph", "create_graph")]
    return any(flag is not False for flag in flags)


def size_number(dim: Dim) -> Value:
    """The Python number that a dimension is."""
    return number(dim) if isinstance(dim, int) else number(symbol=dim)


def _dict_method(node: ast.AST, receiver: Value, name: str, inputs: tuple[Value, ...]) -> Value:
    element = receiver.element
    if element is None:
        return unknown(node, inputs)
    if name == "values":
        return sequence(None, element=element, node=node, name="values")
    if name == "items":
        pair = sequence([unknown(), element], node=node, name="tuple")
        return sequence(None, element=pair, node=node, name="items")
    return element if name in ("pop", "setdefault") else unknown(node, inputs)
