"""What a call does and returns: PyTorch's constructors, methods, modules and optimizers."""

from __future__ import annotations

import ast
from abc import abstractmethod

from gradfix.flow import classes, layers
from gradfix.flow.constructors import FUNCTIONS, REWRAPS
from gradfix.flow.cut_inside import may_cut, where_cut, with_cuts
from gradfix.flow.doubts import hooks
from gradfix.flow.kept_results import kept_at_call
from gradfix.flow.loaders import of_torchvision
from gradfix.flow.made_layers import build, is_layer
from gradfix.flow.methods import revealed
from gradfix.flow.operands import Argument
from gradfix.flow.parameters import Defined, is_bound, matched
from gradfix.flow.python_calls import BUILTINS, PROGRESS, PythonCalls
from gradfix.flow.state import Call as CallEvent
from gradfix.flow.state import GradMode, Saved
from gradfix.flow.tensors import may_need_grad
from gradfix.flow.values import (
    Elsewhere,
    Kind,
    Role,
    Value,
    foreign,
    number,
    replace,
    unknown,
)

_SWITCHES = frozenset(
    "torch.no_grad torch.enable_grad torch.inference_mode torch.set_grad_enabled".split()
)
#: Calls that can read or change any local name.
_ESCAPING = frozenset({"locals", "eval", "exec", "vars", "globals", "setattr", "delattr"})

#: The functions of ``operator``, and what those that write in place are called as methods.
_OPERATORS: dict[str, ast.operator] = {
    "add": ast.Add(),
    "sub": ast.Sub(),
    "mul": ast.Mult(),
    "truediv": ast.Div(),
    "floordiv": ast.FloorDiv(),
    "mod": ast.Mod(),
    "pow": ast.Pow(),
    "matmul": ast.MatMult(),
}
_IN_PLACE = {
    "iadd": "add_",
    "isub": "sub_",
    "imul": "mul_",
    "itruediv": "div_",
    "ifloordiv": "floor_divide_",
    "imod": "remainder_",
    "ipow": "pow_",
    "imatmul": "matmul",
}


class Calls(PythonCalls):
    """The part of the interpreter that evaluates calls."""

    def call(self, node: ast.Call) -> Value:
        """The value of a call expression."""
        receiver: Value | None = None
        func = node.func
        if isinstance(func, ast.Attribute):
            receiver = self.eval(func.value)
            if receiver.kind is Kind.REFERENCE:
                receiver = None
        if receiver is None:
            function: Value | None = self.eval(func)
        else:
            assert isinstance(func, ast.Attribute)
            function = self._attribute_called(func, receiver)
        arguments = self._arguments(node)
        mode = self.state.mode
        if function is not None and function.op == "partial":
            name, called = "", None if function.items else function.inputs[0]
            named = {argument.keyword for argument in arguments} - {None}
            before = _given_before(func, function)
            whole = [*(a for a in before if a.keyword not in named), *arguments]
            result = self._call_known(node, function.inputs[0], whole)
            function, arguments = called, whole
        elif function is not None and function.kind is Kind.REFERENCE:
            name = function.name
            made = None if name in REWRAPS else self.of_legacy_type(node, function, arguments)
            result = made or self._call_reference(node, name, arguments)
        elif receiver is not None and isinstance(func, ast.Attribute) and function is None:
            name = "." + func.attr
            result = self._call_method(node, receiver, func.attr, arguments)
            if self.flow.doubts is not None and not receiver.is_tensor:
                self.flow.doubts.after_call(self.state, self.scope)
        else:
            name = func.id if isinstance(func, ast.Name) else ""
            result = self._call_value(node, function, arguments)
        if self.loud and self.statement is not None:
            plain: list[Value] = []
            named_values: list[tuple[str, Value]] = []
            for argument in arguments:
                if argument.keyword is None:
                    plain.append(argument.value)
                else:
                    named_values.append((argument.keyword, argument.value))
            event = CallEvent(
                node, self.statement, self.scope, mode, name, receiver, tuple(plain),
                tuple(named_values), result,
                function.definition if function is not None else None, function,
            )  # fmt: skip
            self.flow.events.setdefault(CallEvent, []).append(event)
        return result

    def _call_known(self, node: ast.Call, function: Value, arguments: list[Argument]) -> Value:
        if function.kind is Kind.REFERENCE:
            return self._call_reference(node, function.name, arguments)
        return self._call_value(node, function, arguments)

    def _attribute_called(self, node: ast.Attribute, receiver: Value) -> Value | None:
        """The called object, unless it is a method known by its name alone."""
        if receiver.kind is Kind.MODULE and node.attr in ("forward", "__call__"):
            return receiver  # ``layer.forward(x)`` is ``layer(x)`` but for hooks
        if receiver.kind in (Kind.INSTANCE, Kind.CLASS, Kind.MODULE):
            found = classes.attribute(self.flow, receiver, node.attr, node, called=True)
            return found if found.kind is not Kind.UNKNOWN or found.definition else None
        return None

    def _arguments(self, node: ast.Call) -> list[Argument]:
        arguments = []
        for item in node.args:
            value = self.eval(item)
            if item.__class__ is ast.Starred:
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
        special = FUNCTIONS.get(name) or PROGRESS.get(name)
        if special is not None:
            return special(self, node, arguments)
        if name.startswith("torch."):
            result = self._call_torch(node, name, arguments)
            if result is not None:
                return result
        inputs = tuple([argument.value for argument in arguments])
        if name.startswith("builtins."):
            plain = name.removeprefix("builtins.")
            builtin = BUILTINS.get(plain)
            if builtin is not None:
                return builtin(self, node, arguments)
            name = plain
        if name == "functools.partial":
            return self._partial(node, arguments)
        if name.startswith(("numpy.", "math.")):
            cut = name if may_need_grad(inputs) else ""
            kind = Kind.NUMBER if name.startswith("math.") else Kind.FOREIGN
            return Value(kind, Role.UNTRACKED, node, "call", inputs, cut=cut, name=name)
        if name.startswith("operator.") and len(node.args) == len(arguments) == 2:
            done = self._operation(node, name.removeprefix("operator."), arguments)
            if done is not None:
                return done
        if name in _ESCAPING:
            self.scope.escapes = node
        if name.startswith(("torchvision.datasets.", "torchvision.transforms.")):
            return of_torchvision(node, name, inputs)
        self._invalidate(arguments)
        return unknown(node, inputs)

    def _call_torch(self, node: ast.Call, name: str, arguments: list[Argument]) -> Value | None:
        """What a function or class of PyTorch gives; None for those nothing is known about."""
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
        if is_layer(name):
            return build(node, name, arguments, self.flow)
        if name.count(".") <= 2:
            plain = name.removeprefix("torch.").replace(".", "_")
            if plain in ("is_tensor", "is_grad_enabled", "allclose", "equal"):
                return number(node=node)
            if plain == "detach" and arguments and arguments[0].value.kind is Kind.UNKNOWN:
                given = arguments[0]  # only tensors are detached
                tensor = revealed(given.value, given.node)
                self.replace_everywhere(given.value, tensor)
                arguments = [Argument(given.keyword, given.node, tensor), *arguments[1:]]
            if plain in ("device", "Size", "Generator", "manual_seed", "finfo", "iinfo"):
                return foreign(node, plain)
            return self.tensor_op(node, plain, "function", arguments)
        if name.startswith("torch.nn.init.") and name.endswith("_") and arguments:
            if arguments[0].value.is_tensor:
                return arguments[0].value  # filled without grad mode, and given back
        return None

    def _operation(self, node: ast.Call, name: str, arguments: list[Argument]) -> Value | None:
        """``operator.mul(a, b)``, and ``operator.imul(a, b)``, which writes into a tensor."""
        first, second = ((argument.node, argument.value) for argument in arguments)
        plain = _OPERATORS.get(name)
        if plain is not None:
            return self.binary(node, plain, first, second)
        operator = _OPERATORS.get(name[1:]) if name.startswith("i") else None
        if operator is None:
            return None
        if not first[1].is_tensor:
            return unknown(node, (first[1], second[1]))
        return self.tensor_op(node, _IN_PLACE[name], "method", arguments)

    @abstractmethod
    def binary(
        self,
        node: ast.AST,
        operator: ast.operator,
        left: tuple[ast.expr, Value],
        right: tuple[ast.expr, Value],
    ) -> Value:
        """The value of ``left <operator> right``."""

    def _call_value(
        self, node: ast.Call, function: Value | None, arguments: list[Argument]
    ) -> Value:
        inputs = tuple([argument.value for argument in arguments])
        doubts = self.flow.doubts
        if doubts is not None and (function is None or function.kind is not Kind.MODULE):
            doubts.after_call(self.state, self.scope)
        if function is None:
            return unknown(node, inputs)
        if function.kind is Kind.MODULE:
            made = layers.apply(self, node, function, arguments)
            if doubts is not None and doubts.any(hooks) and made.is_tensor:
                return replace(made, shape=None, dtype=None)
            return made
        if function.kind is Kind.CLASS:
            if not self.flow.is_own(function.definition):
                self._invalidate(arguments)
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
            result: Value | None = self.flow.summary(function)
            definition = function.definition
            if isinstance(definition, Elsewhere):
                # What another file does with what it is given is not looked at.
                self.flow.made.append(unknown(node, inputs))
            if self.loud and isinstance(definition, ast.FunctionDef):
                self.flow.functions_called[node] = definition
            if doubts is not None and result is not None and doubts.any(hooks):
                result = replace(result, shape=None) if result.is_tensor else result
            self._invalidate(arguments, changed=True)
            if definition in self.flow.argument_writes or isinstance(definition, Elsewhere):
                self._written_inside(node, function, arguments)
            if result is not None and result.kind is Kind.UNKNOWN:
                result = self._cut_off(function, arguments) or result
            if result is not None:
                self.flow.from_arguments.returned(node, definition, result)
            if result is None or result.kind is Kind.UNKNOWN:
                return unknown(node, (*inputs, *(() if result is None else (result,))))
            # The same function may return another tensor on every call, perhaps one it was given.
            called = detach_identity(result, node, inputs)
            if self.state.mode is not GradMode.ON:
                return _perhaps_unrecorded(called)
            called = with_cuts(self.flow, node, definition, called, inputs)
            return self._kept_result(node, definition, called)
        self._invalidate(arguments)
        return unknown(node, (function, *inputs))

    def _written_inside(self, node: ast.Call, function: Value, arguments: list[Argument]) -> None:
        """What a function writes in place to what it is given."""
        writes = self.flow.writes_to_arguments(function)
        definition = function.definition
        definition = definition.origin if isinstance(definition, Elsewhere) else definition
        if not writes or not isinstance(definition, (ast.FunctionDef, ast.Lambda)):
            return
        given = self._given(definition, function, arguments)
        for write in writes:
            handed = given.get(write.argument)
            if handed is None:
                continue
            values = tuple(
                v if not isinstance(v.node, ast.arg) else given[v.node].value
                if v.node in given else unknown() for v in write.values
            )  # fmt: skip
            self.write_inside(node, handed.value, handed.node, write, function, values)

    def _cut_off(self, function: Value, arguments: list[Argument]) -> Value | None:
        """What a function returns of the tensors it is given, where that loses their history."""
        definition = function.definition
        if self.state.mode is not GradMode.ON or not may_cut(self.flow, definition):
            return None
        if not may_need_grad(argument.value for argument in arguments):
            return None
        assert isinstance(definition, (ast.FunctionDef, ast.Lambda))
        given = self._given(definition, function, arguments)
        tensors = frozenset(p for p, argument in given.items() if argument.value.is_tensor)
        result = self.flow.summary_for(function, tensors)
        if result is None or where_cut(self.flow.from_arguments, result, definition) is None:
            return None
        return result

    def _given(
        self, definition: Defined, function: Value, arguments: list[Argument]
    ) -> dict[ast.arg, Argument]:
        """The arguments of a call by the parameters that they are for."""
        if any(argument.keyword == "**" for argument in arguments):
            return {}
        plain = [None if a.value.name == "starred" else a for a in arguments if a.keyword is None]
        named = [(a.keyword, a) for a in arguments if a.keyword is not None]
        return dict(matched(definition, is_bound(definition, function.owner), plain, named))

    def forward_of(self, module: Value) -> tuple[Value | None, Saved | None]:
        """What ``forward`` of an object returns, and the operation in it that keeps just that."""
        known = module.kind is Kind.INSTANCE and classes.is_module(self.flow, module)
        function = classes.method(self.flow, module, "forward") if known else None
        if function is None or function.definition is None:
            return None, None
        result = self.flow.summary(function)
        return result, self.flow.kept_results.get(function.definition)

    def _kept_result(self, node: ast.Call, function: ast.AST | None, called: Value) -> Value:
        """The result of a function of this file; perhaps an operation in it keeps just that."""
        kept = self.flow.kept_results.get(function) if function is not None else None
        if kept is None or not called.is_tensor or called.cut:
            return called
        fresh, saved = kept_at_call(node, kept, called)
        self.remember(saved)
        return fresh


def _given_before(node: ast.expr, function: Value) -> list[Argument]:
    """The arguments that a `functools.partial` holds, in front of those of its call."""
    named = (function.attributes or {}).items()
    return [
        *(Argument(None, node, value) for value in function.items or ()),
        *(Argument(name, node, value) for name, value in named),
    ]


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
