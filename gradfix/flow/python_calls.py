"""What Python's own functions do with tensors: ``len``, ``range``, ``sum``, ``float``, ..."""

from __future__ import annotations

import ast
from collections.abc import Callable

from gradfix.flow.constructors import Constructors
from gradfix.flow.methods import size_number
from gradfix.flow.operands import Argument
from gradfix.flow.tensors import may_need_grad
from gradfix.flow.values import (
    Counter,
    Dim,
    Kind,
    Role,
    Value,
    dim_of,
    foreign,
    join_all,
    number,
    reference,
    replace,
    sequence,
    unknown,
)

#: The operation that gives what it is given, and shows how far whoever goes through it is.
SHOWN = "shown"


class PythonCalls(Constructors):
    """The part of the interpreter that evaluates calls of builtin functions."""

    def _len(self, node: ast.Call, arguments: list[Argument]) -> Value:
        value = arguments[0].value if arguments else unknown()
        if value.is_tensor and value.shape:
            dim = value.shape[0]
            if dim is not None:
                return size_number(dim)
        if value.kind is Kind.SEQUENCE and value.length is not None:
            return size_number(value.length)
        if value.symbol is not None and value.kind in (Kind.UNKNOWN, Kind.TENSOR):
            return number(symbol=f"{value.symbol}.shape[0]", node=node)
        return number(symbol=f"len({value.symbol})" if value.symbol else None, node=node)

    def _range(self, node: ast.Call, arguments: list[Argument]) -> Value:
        dims: list[Dim] = [dim_of(argument.value) for argument in arguments]
        start: Dim = 0
        step: Dim = 1
        if any(isinstance(argument.node, ast.Starred) for argument in arguments):
            return sequence(None, element=number(), node=node, name="range")
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

    def _shown(self, node: ast.Call, arguments: list[Argument]) -> Value:
        """``tqdm(items)``: the items one by one, while it shows how far it is."""
        first = arguments[0] if arguments else None
        of = first is not None and first.keyword in (None, "iterable", "sequence")
        if first is None or not of or isinstance(first.node, ast.Starred):
            return unknown(node, (argument.value for argument in arguments))
        given = first.value
        if given.kind is Kind.SEQUENCE:
            return replace(given, node=node, op=SHOWN, inputs=(given,))
        element = self.element(node, given)
        return sequence(None, element=element, length=given.length, node=node, name="tqdm")

    def _shown_range(self, node: ast.Call, arguments: list[Argument]) -> Value:
        """``trange(n, desc="...")``."""
        return self._range(node, [each for each in arguments if each.keyword is None])

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
        if any(isinstance(argument.node, ast.Starred) for argument in arguments):
            group = sequence(None, node=node, name="tuple")  # as many as were spread
            return sequence(None, element=group, node=node, name="zip")
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

    def _looked_up(self, node: ast.Call, arguments: list[Argument]) -> Value:
        """``getattr(module, "name")``; one of the initialisers where the name is not known."""
        inputs = [argument.value for argument in arguments]
        if len(inputs) > 1 and inputs[0].kind is Kind.REFERENCE:
            if isinstance(inputs[1].const, str):
                return self.flow.followed(self.flow.imported(f"{inputs[0].name}.{inputs[1].const}"))
            if inputs[0].name == "torch.nn.init":
                return reference("torch.nn.init.any_")
        return unknown(node, inputs)

    def _partial(self, node: ast.Call, arguments: list[Argument]) -> Value:
        """``functools.partial(f, x, k=v)``: ``f``, with arguments that it is given before others.

        (https://docs.python.org/3/library/functools.html#functools.partial)
        """
        plain = [argument.value for argument in arguments if argument.keyword is None]
        named = {a.keyword: a.value for a in arguments if a.keyword is not None}
        known = bool(plain) and "**" not in named and plain[0].kind in _CALLED
        if not known or any(value.name == "starred" for value in plain):
            return unknown(node, (argument.value for argument in arguments))
        function, *given = plain
        return replace(
            function, node=node, op="partial", inputs=(function, *given, *named.values()),
            items=tuple(given), attributes=named, symbol=None, kind=Kind.FUNCTION, name="",
        )  # fmt: skip

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
            made = number(node=node)
            made.inputs, made.cut = (element,), element.cut
            return made
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

    def _text(self, node: ast.Call, arguments: list[Argument]) -> Value:
        inputs = tuple(argument.value for argument in arguments)
        return Value(Kind.STRING, Role.UNTRACKED, node, "print", inputs)

    def _nothing(self, node: ast.Call, arguments: list[Argument]) -> Value:
        made = foreign(node, "constant")
        made.inputs, made.op = tuple(argument.value for argument in arguments), "print"
        return made


#: What `functools.partial` is followed of.
_CALLED = frozenset({Kind.FUNCTION, Kind.REFERENCE, Kind.CLASS, Kind.MODULE, Kind.INSTANCE})

_Function = Callable[[PythonCalls, ast.Call, list[Argument]], Value]

#: Functions of other libraries that show how far a loop is, by qualified name.
_TQDM = [f"tqdm{part}" for part in ("", ".std", ".auto", ".autonotebook", ".notebook", ".rich")]
PROGRESS: dict[str, _Function] = {
    **dict.fromkeys((f"{part}.tqdm" for part in _TQDM), PythonCalls._shown),
    **dict.fromkeys((f"{part}.trange" for part in _TQDM), PythonCalls._shown_range),
    "tqdm.tqdm_notebook": PythonCalls._shown,
    "tqdm.tnrange": PythonCalls._shown_range,
    "rich.progress.track": PythonCalls._shown,
}
#: Builtin functions by name.
BUILTINS: dict[str, _Function] = {
    "len": PythonCalls._len,
    "range": PythonCalls._range,
    "dict": PythonCalls._to_dict,
    "enumerate": PythonCalls._enumerate,
    "zip": PythonCalls._zip,
    "list": PythonCalls._to_list,
    "tuple": PythonCalls._to_list,
    "sorted": PythonCalls._filtered,
    "reversed": PythonCalls._filtered,
    "filter": PythonCalls._filtered,
    "iter": PythonCalls._filtered,
    "sum": PythonCalls._sum,
    "float": PythonCalls._escape,
    "int": PythonCalls._escape,
    "bool": PythonCalls._escape,
    "max": PythonCalls._extreme,
    "min": PythonCalls._extreme,
    "isinstance": PythonCalls._number,
    "hasattr": PythonCalls._number,
    "getattr": PythonCalls._looked_up,
    "print": PythonCalls._nothing,
    "str": PythonCalls._text,
    "repr": PythonCalls._text,
}
