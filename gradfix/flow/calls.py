"""What a call does and returns: PyTorch's constructors, methods, modules and optimizers."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

from gradfix.flow import classes, dtypes, layers, shapes
from gradfix.flow.state import Backward, GradMode, OptimizerMade, result_role
from gradfix.flow.state import Call as CallEvent
from gradfix.flow.tensors import Argument, TensorOps, may_need_grad, requires_grad_role
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import (
    NEEDS_GRAD,
    Certainty,
    Counter,
    Dim,
    Kind,
    Leaf,
    Role,
    Shape,
    Storage,
    Value,
    dim_of,
    element_of,
    foreign,
    join,
    join_all,
    number,
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
_MOVES = frozenset({"to", "cuda", "cpu", "type", "contiguous", "type_as", "requires_grad_"})
#: Constructors that copy data out of tensors and so cut their history.
REWRAPS = frozenset({"torch.tensor", "torch.as_tensor", "torch.asarray", *dtypes.LEGACY_TYPES})
_SWITCHES = frozenset(
    "torch.no_grad torch.enable_grad torch.inference_mode torch.set_grad_enabled".split()
)
#: Calls that can read or change any local name.
_ESCAPING = frozenset({"locals", "eval", "exec", "vars", "globals", "setattr", "delattr"})


class Calls(TensorOps):
    """The part of the interpreter that evaluates calls."""

    @abstractmethod
    def eval(self, node: ast.expr) -> Value:
        """The value of an expression."""

    @abstractmethod
    def element(self, node: ast.AST, iterable: Value) -> Value:
        """What iterating over a value yields."""

    def call(self, node: ast.Call) -> Value:
        """The value of a call expression."""
        receiver: Value | None = None
        if isinstance(node.func, ast.Attribute):
            receiver = self.eval(node.func.value)
            if receiver.kind is Kind.REFERENCE:
                receiver = None
        function = self._callee(node.func, receiver)
        arguments = self._arguments(node)
        mode = self.state.mode
        if function is not None and function.kind is Kind.REFERENCE:
            name = function.name
            result = self._call_reference(node, name, arguments)
        elif receiver is not None and isinstance(node.func, ast.Attribute) and function is None:
            name = "." + node.func.attr
            result = self._call_method(node, receiver, node.func.attr, arguments)
        else:
            name = ast.unparse(node.func) if isinstance(node.func, ast.Name) else ""
            result = self._call_value(node, function, arguments)
        if self.loud and self.statement is not None:
            event = CallEvent(
                node, self.statement, self.scope, mode, name, receiver,
                tuple(a.value for a in arguments if a.keyword is None),
                tuple((a.keyword, a.value) for a in arguments if a.keyword is not None),
                result, function.definition if function is not None else None,
            )  # fmt: skip
            self.flow.events.setdefault(CallEvent, []).append(event)
        return result

    def _callee(self, node: ast.expr, receiver: Value | None) -> Value | None:
        """The called object, unless it is a method known by its name alone."""
        if receiver is None:
            return self.eval(node)
        assert isinstance(node, ast.Attribute)
        if receiver.kind in (Kind.INSTANCE, Kind.CLASS, Kind.MODULE):
            found = classes.attribute(self.flow, receiver, node.attr, node, called=True)
            return found if found.kind is not Kind.UNKNOWN or found.definition else None
        return None

    def _arguments(self, node: ast.Call) -> list[Argument]:
        arguments = []
        for item in node.args:
            value = self.eval(item)
            if isinstance(item, ast.Starred):
                value = (
                    replace(value, name="starred") if value.kind is Kind.SEQUENCE else unknown(item)
                )
            arguments.append(Argument(None, item, value))
        for keyword in node.keywords:
            value = self.eval(keyword.value)
            arguments.append(Argument(keyword.arg or "**", keyword.value, value))
        return arguments

    # -- functions ----------------------------------------------------------------------------

    def _call_reference(self, node: ast.Call, name: str, arguments: list[Argument]) -> Value:
        special = _FUNCTIONS.get(name)
        if special is not None:
            return special(self, node, arguments)
        if name in REWRAPS:
            return self._rewrap(node, name, arguments)
        if name in ("torch.no_grad", "torch.inference_mode", "torch.enable_grad"):
            on = name == "torch.enable_grad"
            return Value(Kind.CONTEXT, node=node, name=name, const=on)
        if name.startswith("torch.optim.") and name.rpartition(".")[2][:1].isupper():
            return self._optimizer(node, name, arguments)
        if name.startswith("torch.distributions.") and name.rpartition(".")[2][:1].isupper():
            inputs = tuple(argument.value for argument in arguments)
            return Value(Kind.DISTRIBUTION, Role.UNTRACKED, node, "distribution", inputs, name=name)
        if name.startswith("torch.nn.functional."):
            return self.tensor_op(node, name.rpartition(".")[2], "functional", arguments)
        if layers.is_layer(name):
            return layers.build(node, name, arguments, frozen=self.flow.freezes_parameters)
        if name.startswith("torch.") and name.count(".") <= 2:
            plain = name.removeprefix("torch.").replace(".", "_")
            if plain in ("is_tensor", "is_grad_enabled", "allclose", "equal"):
                return number(node=node)
            if plain in ("device", "Size", "Generator", "manual_seed", "finfo", "iinfo"):
                return foreign(node, plain)
            return self.tensor_op(node, plain, "function", arguments)
        inputs = tuple(argument.value for argument in arguments)
        if name.startswith(("numpy.", "math.")):
            cut = name if may_need_grad(inputs) else ""
            kind = Kind.NUMBER if name.startswith("math.") else Kind.FOREIGN
            return Value(kind, Role.UNTRACKED, node, "call", inputs, cut=cut, name=name)
        builtin = (
            _BUILTINS.get(name.removeprefix("builtins.")) if name.startswith("builtins.") else None
        )
        if builtin is not None:
            return builtin(self, node, arguments)
        if name.removeprefix("builtins.") in _ESCAPING:
            self.scope.escapes = node
        self._invalidate(arguments)
        return unknown(node, inputs)

    def _call_value(
        self, node: ast.Call, function: Value | None, arguments: list[Argument]
    ) -> Value:
        inputs = tuple(argument.value for argument in arguments)
        if function is None:
            return unknown(node, inputs)
        if function.kind is Kind.MODULE:
            return layers.apply(self, node, function, arguments)
        if function.kind is Kind.CLASS:
            return classes.instantiate(self.flow, function, node, inputs)
        if function.kind is Kind.INSTANCE:
            method = classes.method(
                self.flow,
                function,
                "forward" if classes.is_module(self.flow, function) else "__call__",
            )
            if method is not None:
                function = method
        if function.kind is Kind.FUNCTION:
            result = self.flow.summary(function)
            self._invalidate(arguments, changed=True)
            if result is None or result.kind is Kind.UNKNOWN:
                return unknown(node, (*inputs, *(() if result is None else (result,))))
            # The same function may return another tensor on every call, perhaps one it was given.
            called = detach_identity(result, node, inputs)
            return called if self.state.mode is GradMode.ON else _perhaps_unrecorded(called)
        self._invalidate(arguments)
        return unknown(node, (function, *inputs))

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
                storages=data.storages | {Storage(node)},
            )
        if legacy is not None and (data is None or data.kind is Kind.NUMBER):
            shape = shapes.sizes(
                [argument.value for argument in arguments if argument.keyword is None]
            )
            return self.new_tensor(node, name, inputs, arguments, shape, legacy)
        shape, dtype, cut = literal_tensor(data)
        if legacy is not None:
            dtype = legacy
        elif given is not None:
            dtype = dtypes.of_argument(given)
        made = self.new_tensor(node, name, inputs, arguments, shape, dtype)
        made.cut = name if cut else ""
        return made

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
        data = arguments[0].value if arguments else None
        made = self.new_tensor(node, "Variable", inputs, arguments, None, None)
        if data is not None and data.is_tensor:
            cut = "Variable" if data.needs_grad is Certainty.YES else ""
            return replace(
                made, storages=data.storages, shape=data.shape, dtype=data.dtype, cut=cut
            )
        made.storages = frozenset({Storage(node)})
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
        self.forget_saved(_retains(arguments))
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

    # -- methods ------------------------------------------------------------------------------

    def _call_method(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument]
    ) -> Value:
        assert isinstance(node.func, ast.Attribute)
        if name == "backward" and receiver.kind in (Kind.TENSOR, Kind.UNKNOWN):
            self.event(Backward, node, receiver)
            self.forget_saved(_retains(arguments))
            return foreign(node)
        inputs = (receiver, *(argument.value for argument in arguments))
        if receiver.is_tensor:
            return self._tensor_method(node, receiver, name, arguments)
        if receiver.kind is Kind.DISTRIBUTION:
            return self._distribution_method(node, receiver, name, inputs)
        if receiver.kind is Kind.SEQUENCE:
            return self._list_method(node, receiver, name, arguments)
        if receiver.kind is Kind.MODULE:
            return layers.method(node, receiver, name)
        if receiver.kind is Kind.INSTANCE and name in ("register_buffer", "register_parameter"):
            return self._register(node, receiver, arguments)
        if receiver.kind is Kind.DICT and name in ("values", "items", "get", "pop", "setdefault"):
            return _dict_method(node, receiver, name, inputs)
        if receiver.kind is Kind.FOREIGN:
            return foreign(node, receiver.name, inputs)
        if receiver.kind is Kind.UNKNOWN and name in ("detach", "requires_grad_"):
            return self._reveal(node, receiver, name, arguments)
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
            self.state.env.pop(f"self.{key}", None)
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

    def _reveal(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument]
    ) -> Value:
        """A method that only tensors have tells what an unknown receiver is."""
        flag = arguments[0].value if arguments else None
        if name == "requires_grad_" and flag is not None and flag.const is not True:
            return unknown(node, (receiver,))
        assert isinstance(node.func, ast.Attribute)
        tensor = revealed(receiver, node.func.value)
        self.replace_everywhere(receiver, tensor)
        return self._tensor_method(node, tensor, name, arguments)

    def _tensor_method(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument]
    ) -> Value:
        assert isinstance(node.func, ast.Attribute)
        inputs = (receiver, *(argument.value for argument in arguments))
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
        if name in CONVERSIONS or name in ("to", "cuda", "cpu", "type"):
            return self._convert(node, receiver, name, arguments, inputs)
        me = Argument(None, node.func.value, receiver)
        return self.tensor_op(node, name, "method", [me, *arguments])

    def _convert(
        self, node: ast.Call, receiver: Value, name: str, arguments: list[Argument],
        inputs: tuple[Value, ...],
    ) -> Value:  # fmt: skip
        """Casts and moves: recorded, but they return the tensor itself when nothing changes."""
        dtype = CONVERSIONS.get(name, receiver.dtype)
        for argument in arguments:
            if argument.value.kind is Kind.REFERENCE:
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
        storages = frozenset({Storage(node)}) | (frozenset() if changes else receiver.storages)
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
                return sequence([_size(d) for d in receiver.shape], node=node, name="shape")
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
                    return _size(dim)
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
        if name == "append" and receiver.path == self.path and receiver.items is not None:
            # Straight-line code since the list was made: its items stay known one by one.
            receiver.items = (*receiver.items, *values)
            receiver.inputs = (*receiver.inputs, *values)
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

    # -- builtins -----------------------------------------------------------------------------

    def _len(self, node: ast.Call, arguments: list[Argument]) -> Value:
        value = arguments[0].value if arguments else unknown()
        if value.is_tensor and value.shape:
            dim = value.shape[0]
            if dim is not None:
                return _size(dim)
        if value.kind is Kind.SEQUENCE and value.length is not None:
            return _size(value.length)
        if value.symbol is not None and value.kind in (Kind.UNKNOWN, Kind.TENSOR):
            return number(symbol=f"{value.symbol}.shape[0]", node=node)
        return number(symbol=f"len({value.symbol})" if value.symbol else None, node=node)

    def _range(self, node: ast.Call, arguments: list[Argument]) -> Value:
        dims: list[Dim] = [dim_of(argument.value) for argument in arguments]
        start: Dim = 0
        step: Dim = 1
        if len(dims) == 1:
            (stop,) = dims
        elif len(dims) in (2, 3):
            start, stop, *rest = dims
            step = rest[0] if rest else 1
        else:
            return unknown(node)
        length: Dim = None
        if isinstance(start, int) and isinstance(stop, int) and isinstance(step, int) and step:
            length = len(range(start, stop, step))
        elif start == 0 and step == 1:
            length = stop
        counter = Counter(start, stop, step, node)
        return Value(
            Kind.SEQUENCE,
            Role.UNTRACKED,
            node,
            element=number(),
            length=length,
            name="range",
            counter=counter,
        )

    def _enumerate(self, node: ast.Call, arguments: list[Argument]) -> Value:
        if not arguments:
            return unknown(node)
        iterable = arguments[0].value
        start = dim_of(arguments[1].value) if len(arguments) > 1 else 0
        length = self._len(node, arguments[:1])
        counter = Counter(start, dim_of(length), 1, node)
        at = replace(number(node=node), counter=counter if start == 0 else None)
        pair = sequence([at, self.element(node, iterable)], node=node, name="tuple")
        return sequence(None, element=pair, length=dim_of(length), node=node, name="enumerate")

    def _zip(self, node: ast.Call, arguments: list[Argument]) -> Value:
        items = [self.element(argument.node, argument.value) for argument in arguments]
        return sequence(
            None, element=sequence(items, node=node, name="tuple"), node=node, name="zip"
        )

    def _to_list(self, node: ast.Call, arguments: list[Argument]) -> Value:
        if not arguments:
            return sequence([], node=node)
        value = arguments[0].value
        if value.kind is Kind.SEQUENCE and value.items is not None:
            return sequence(value.items, node=node)
        return sequence(None, element=self.element(node, value), length=value.length, node=node)

    def _to_dict(self, node: ast.Call, arguments: list[Argument]) -> Value:
        """``dict()`` and ``dict(a=x)``; what is made from other containers is not followed."""
        if any(argument.keyword in (None, "**") for argument in arguments):
            return unknown(node, (argument.value for argument in arguments))
        known = {a.keyword: a.value for a in arguments if a.keyword is not None}
        values = tuple(known.values())
        element = join_all(values) if values else None
        return Value(
            Kind.DICT,
            Role.UNTRACKED,
            node,
            inputs=values,
            element=element,
            attributes=known,
            name="dict",
        )

    def _filtered(self, node: ast.Call, arguments: list[Argument]) -> Value:
        if not arguments:
            return unknown(node)
        value = arguments[-1].value
        return sequence(None, element=self.element(node, value), node=node, name="generator")

    def _sum(self, node: ast.Call, arguments: list[Argument]) -> Value:
        element = self.element(node, arguments[0].value) if arguments else unknown()
        if element.is_tensor:
            pair = [Argument(None, node, element), Argument(None, node, element)]
            return self.tensor_op(node, "add", "function", pair)
        if element.kind in (Kind.NUMBER, Kind.FOREIGN):
            return number(node=node)
        return unknown(node, (element,))

    def _escape(self, node: ast.Call, arguments: list[Argument]) -> Value:
        """``float(x)`` and the like: a Python number."""
        inputs = tuple(argument.value for argument in arguments)
        made = number(node=node)
        made.inputs, made.op = inputs, "escape"
        if inputs and (may_need_grad(inputs) or inputs[0].cut):
            made.cut = node.func.id if isinstance(node.func, ast.Name) else "float"
        return made

    def _extreme(self, node: ast.Call, arguments: list[Argument]) -> Value:
        values = [argument.value for argument in arguments if argument.keyword is None]
        if len(values) > 1:
            return join_all(values)
        return self.element(node, values[0]) if values else unknown(node)

    def _number(self, node: ast.Call, arguments: list[Argument]) -> Value:
        made = number(node=node)
        made.inputs = tuple(argument.value for argument in arguments)
        return made

    def _nothing(self, node: ast.Call, arguments: list[Argument]) -> Value:
        made = foreign(node, "constant")
        made.inputs, made.op = tuple(argument.value for argument in arguments), "print"
        return made


def revealed(value: Value, node: ast.expr) -> Value:
    """An unknown value that turns out to be a tensor; as an attribute it has memory of its own."""
    if isinstance(node, ast.Attribute):
        return replace(value, kind=Kind.TENSOR, node=node, storages=frozenset({Storage(node)}))
    return replace(value, kind=Kind.TENSOR)


def _retains(arguments: list[Argument]) -> bool:
    """Whether backward may keep the graph (``retain_graph`` or ``create_graph``)."""
    flags = [a.value.const for a in arguments if a.keyword in ("retain_graph", "create_graph")]
    return any(flag is not False for flag in flags)


def grow(container: Value, added: Value | None) -> None:
    """A list gains an element (or loses one): from now on only the join of its items is known."""
    element = element_of(container)
    if added is not None:
        element = added if element is None else join(element, added)
        container.inputs = (*container.inputs, added)
    container.element, container.items, container.length = element, None, None


def mode_of(context: Value) -> GradMode:
    """The grad mode inside ``with context:``."""
    if context.const is True:
        return GradMode.ON
    return GradMode.OFF if context.const is False else GradMode.UNKNOWN


def detach_identity(value: Value, node: ast.AST, inputs: tuple[Value, ...]) -> Value:
    """A value of the same description as ``value`` in memory nothing is known about."""
    items = None
    if value.items is not None:
        items = tuple(detach_identity(item, node, inputs) for item in value.items)
    storages = value.storages if value.is_leaf else Value().storages
    element = value.element
    return replace(
        value,
        node=node,
        op="call",
        inputs=(value, *inputs),
        storages=storages,
        items=items,
        element=None if element is None else detach_identity(element, node, inputs),
        symbol=None,
    )


def _perhaps_unrecorded(value: Value) -> Value:
    """What a function returns when it is called without grad mode, which its body is not told."""
    return replace(
        value,
        role=value.role | Role.UNTRACKED if value.role & Role.TRACKED else value.role,
        items=None if value.items is None else tuple(map(_perhaps_unrecorded, value.items)),
        element=None if value.element is None else _perhaps_unrecorded(value.element),
    )


def may_switch(context: Value) -> bool:
    """Whether something that may be a grad-mode context went into ``with context:``."""
    queue, left = [context], 20
    while queue and left:
        value, left = queue.pop(), left - 1
        if value.kind is Kind.CONTEXT or value.name in _SWITCHES:
            return True
        queue += value.inputs
    return False


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


def _size(dim: Dim) -> Value:
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


_Function = Callable[[Calls, ast.Call, list[Argument]], Value]

_FUNCTIONS: dict[str, _Function] = {
    "torch.nn.Parameter": Calls._parameter,
    "torch.autograd.Variable": Calls._variable,
    "torch.autograd.backward": Calls._autograd_backward,
    "torch.autograd.grad": Calls._autograd_grad,
    "torch.set_grad_enabled": Calls._set_grad_enabled,
    "torch.from_numpy": Calls._from_numpy,
}
_BUILTINS: dict[str, _Function] = {
    "len": Calls._len,
    "range": Calls._range,
    "dict": Calls._to_dict,
    "enumerate": Calls._enumerate,
    "zip": Calls._zip,
    "list": Calls._to_list,
    "tuple": Calls._to_list,
    "sorted": Calls._filtered,
    "reversed": Calls._filtered,
    "filter": Calls._filtered,
    "iter": Calls._filtered,
    "sum": Calls._sum,
    "float": Calls._escape,
    "int": Calls._escape,
    "bool": Calls._escape,
    "max": Calls._extreme,
    "min": Calls._extreme,
    "isinstance": Calls._number,
    "hasattr": Calls._number,
    "print": Calls._nothing,
    "str": Calls._nothing,
    "repr": Calls._nothing,
}
