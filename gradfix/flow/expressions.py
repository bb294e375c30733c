"""What an expression evaluates to."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from gradfix.flow import layers
from gradfix.flow.access import Access
from gradfix.flow.calls import Calls
from gradfix.flow.nodes import children, walk
from gradfix.flow.operands import Argument
from gradfix.flow.values import (
    UNKNOWN,
    Kind,
    Role,
    Value,
    dim_of,
    element_of,
    foreign,
    join,
    join_all,
    number,
    replace,
    sequence,
    unknown,
)
from gradfix.flow.versions import Binding

_BINARY = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.Div: "div",
    ast.FloorDiv: "floor_divide",
    ast.Mod: "remainder",
    ast.Pow: "pow",
    ast.MatMult: "matmul",
    ast.BitAnd: "bitwise_and",
    ast.BitOr: "bitwise_or",
    ast.BitXor: "bitwise_xor",
}
_COMPARE = {ast.Eq: "eq", ast.NotEq: "ne", ast.Lt: "lt", ast.LtE: "le", ast.Gt: "gt", ast.GtE: "ge"}
_ARITHMETIC: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
    ast.FloorDiv: lambda a, b: a // b,
}


def operator_name(node: ast.operator) -> str:
    """The tensor method that implements a Python operator, or the empty string."""
    return _BINARY.get(type(node), "")


class Expressions(Access):
    """The part of the interpreter that evaluates expressions."""

    def eval(self, node: ast.expr) -> Value:
        """The value of an expression; everything inside it is evaluated, in order."""
        value = _EVALUATORS[node.__class__](self, node)
        # As `note` does: this runs for every expression.
        if self.loud:
            self._values[node] = value
        if value.inputs:
            self._made.append(value)
        return value

    def _eval_children(self, node: ast.expr) -> Value:
        for child in children(node):
            if isinstance(child, ast.expr):
                self.eval(child)
        return unknown(node)

    def _constant(self, node: ast.Constant) -> Value:
        const = node.value
        if const.__class__ is str:
            made = Value(Kind.STRING, Role.UNTRACKED, node)
        elif isinstance(const, (int, float)):
            made = Value(Kind.NUMBER, Role.UNTRACKED, node)
        else:
            made = Value(Kind.FOREIGN, Role.UNTRACKED, node)
            made.name = "constant"
        made.const = const
        return made

    def _name(self, node: ast.Name) -> Value:
        value = self._named(node)
        if value.kind is Kind.REFERENCE and (others := self.flow.others) is not None:
            return others.follow(value)
        return value

    def unfollowed(self, node: ast.expr) -> Value:
        """The value of an expression; an imported name stays what it is, until somebody asks."""
        return self.note(node, self._named(node)) if isinstance(node, ast.Name) else self.eval(node)

    def _named(self, node: ast.Name) -> Value:
        binding = self.state.get(node.id)
        if binding is not None:
            if self.loud:
                uses, reaching = self.scope.uses, binding.definitions
                known = uses.get(node)
                uses[node] = reaching if known is None else known | reaching
            rebound = self.flow.rebound_inside
            if rebound and node.id in rebound.get(self.scope.node, ()):
                return unknown(node)  # a function that has run meanwhile may have rebound it
            return binding.value
        return self.flow.outer_name(self.scope, node.id)

    def _binop(self, node: ast.BinOp) -> Value:
        left, right = self.eval(node.left), self.eval(node.right)
        return self.binary(node, node.op, (node.left, left), (node.right, right))

    def binary(
        self,
        node: ast.AST,
        operator: ast.operator,
        left: tuple[ast.expr, Value],
        right: tuple[ast.expr, Value],
    ) -> Value:
        """The value of ``left <operator> right``."""
        a, b = left[1], right[1]
        if a.is_tensor or b.is_tensor:
            name = _BINARY.get(type(operator))
            if name is None:
                return unknown(node, (a, b))
            return self.tensor_op(
                node, name, "function", [Argument(None, *left), Argument(None, *right)]
            )
        if a.kind is Kind.NUMBER and b.kind is Kind.NUMBER:
            return _arithmetic(node, operator, a, b)
        if a.kind is Kind.SEQUENCE and isinstance(operator, ast.Add) and b.kind is Kind.SEQUENCE:
            if a.items is not None and b.items is not None:
                return sequence([*a.items, *b.items], node=node, name=a.name)
            parts = [part for part in (element_of(a), element_of(b)) if part is not None]
            return sequence(
                None, element=join_all(parts) if parts else None, node=node, name=a.name
            )
        if a.kind is Kind.SEQUENCE and isinstance(operator, ast.Mult):
            return sequence(None, element=element_of(a), node=node, name=a.name)
        if a.kind is Kind.FOREIGN and b.kind in (Kind.FOREIGN, Kind.NUMBER):
            return foreign(node, a.name, (a, b))
        if a.kind is Kind.NUMBER and b.kind is Kind.FOREIGN:
            return foreign(node, b.name, (a, b))
        return unknown(node, (a, b))

    def _unary(self, node: ast.UnaryOp) -> Value:
        operand = self.eval(node.operand)
        if isinstance(node.op, ast.Not):
            return number(node=node)
        if operand.is_tensor:
            name = {ast.USub: "neg", ast.UAdd: "positive", ast.Invert: "bitwise_not"}[type(node.op)]
            return self.tensor_op(node, name, "function", [Argument(None, node.operand, operand)])
        if operand.kind is Kind.NUMBER:
            const = operand.const
            if isinstance(node.op, ast.USub) and isinstance(const, (int, float)):
                return number(-const, node=node)
            return number(node=node)
        return operand if operand.kind is Kind.FOREIGN else unknown(node, (operand,))

    def _boolop(self, node: ast.BoolOp) -> Value:
        return join_all([self.eval(value) for value in node.values])

    def _compare(self, node: ast.Compare) -> Value:
        values = [self.eval(node.left), *map(self.eval, node.comparators)]
        name = _COMPARE.get(type(node.ops[0]))
        if name is None:  # ``is``, ``in``, ...
            return number(node=node)
        kinds = [value.kind for value in values]
        if len(values) == 2 and Kind.TENSOR in kinds:
            nodes = (node.left, node.comparators[0])
            arguments = [Argument(None, n, v) for n, v in zip(nodes, values, strict=True)]
            return self.tensor_op(node, name, "function", arguments)
        if Kind.UNKNOWN in kinds:
            return unknown(node, values)
        for value in values:
            if value.kind is Kind.FOREIGN and value.name.startswith("numpy"):
                return foreign(node, value.name, values)
        return number(node=node)

    def _ifexp(self, node: ast.IfExp) -> Value:
        self.eval(node.test)
        return join(self.eval(node.body), self.eval(node.orelse))

    def _sequence(self, node: ast.List | ast.Tuple) -> Value:
        name = "list" if isinstance(node, ast.List) else "tuple"
        elts = node.elts
        if ast.Starred not in [item.__class__ for item in elts]:
            made = sequence([self.eval(item) for item in elts], node=node, name=name)
            made.path = self.place
            return made
        items: list[Value] | None = []
        elements: list[Value] = []
        for item in node.elts:
            value = self.eval(item.value if isinstance(item, ast.Starred) else item)
            if not isinstance(item, ast.Starred):
                spread: tuple[Value, ...] | None = (value,)
            else:
                spread = value.items if value.kind is Kind.SEQUENCE else None
            if spread is None:
                items = None
                inner = element_of(value) if value.kind is Kind.SEQUENCE else UNKNOWN
                elements += [] if inner is None else [inner]
            else:
                elements += spread
                if items is not None:
                    items += spread
        if items is not None:
            return sequence(items, node=node, name=name)
        return sequence(
            None, element=join_all(elements) if elements else None, node=node, name=name
        )

    def _starred(self, node: ast.Starred) -> Value:
        return self.eval(node.value)

    def _dict(self, node: ast.Dict) -> Value:
        known: dict[str, Value] = {}
        values = []
        for key, item in zip(node.keys, node.values, strict=True):
            name = self.eval(key).const if key is not None else None
            value = self.eval(item)
            values.append(value)
            if isinstance(name, str):
                known[name] = value
        element = join_all(values) if values else None
        return Value(
            Kind.DICT,
            Role.UNTRACKED,
            node,
            inputs=tuple(values),
            element=element,
            attributes=known,
            name="dict",
        )

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> Value:
        before = self.state.copy()
        saved = {name: before.get(name) for name in _targets(node)}
        length = None
        loops = self.loops
        for at, generator in enumerate(node.generators):
            iterable = self.eval(generator.iter)
            if at == 0 and len(node.generators) == 1 and not generator.ifs:
                length = iterable.length if iterable.kind is Kind.SEQUENCE else None
            self.loops = (*self.loops, node)
            self.bind_target(generator.target, self.element(generator, iterable), "for")
            for test in generator.ifs:
                self.eval(test)
        if isinstance(node, ast.DictComp):
            self.eval(node.key)
            value = self.eval(node.value)
        else:
            value = self.eval(node.elt)
        self.loops = loops
        # The names of a comprehension are its own; in-place writes to outer names remain.
        for name, known in saved.items():
            self._restore(name, known)
        for name in self.state.env.unlike(before.env):
            self._restore(name, before.get(name))
        if isinstance(node, ast.DictComp):
            return Value(
                Kind.DICT, Role.UNTRACKED, node, inputs=(value,), element=value, name="dict"
            )
        kind = "generator" if isinstance(node, ast.GeneratorExp) else "list"
        if any(generator.ifs for generator in node.generators):
            kind = "filtered"
        return sequence(None, element=value, length=length, node=node, name=kind)

    def _restore(self, name: str, known: Binding | None) -> None:
        if known is None:
            self.state.drop(name)
        else:
            self.state.put(name, known.definitions, known.value)

    def _walrus(self, node: ast.NamedExpr) -> Value:
        value = self.eval(node.value)
        self.bind_target(node.target, value, "walrus")
        return value

    def _lambda(self, node: ast.Lambda) -> Value:
        # The body runs later, when its names may hold something else: nothing in it is evaluated.
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.eval(default)
        if self.statement is not None:
            self.flow.found_lambda(node, self.statement, self.scope)
        return Value(Kind.FUNCTION, Role.UNTRACKED, node, definition=node)

    def _joined_string(self, node: ast.JoinedStr) -> Value:
        values = [
            self.eval(part.value) for part in node.values if isinstance(part, ast.FormattedValue)
        ]
        return Value(Kind.STRING, Role.UNTRACKED, node, inputs=tuple(values), op="format")

    def _await(self, node: ast.Await | ast.Yield | ast.YieldFrom) -> Value:
        inputs = (self.eval(node.value),) if node.value is not None else ()
        if not inputs or isinstance(node, ast.Await) or self.ahead:
            return unknown(node, inputs)
        (given,) = inputs
        each = given if isinstance(node, ast.Yield) else self.element(node, given)
        self.scope.returns.append((node, each))
        return unknown(node, inputs)

    # -- iteration ----------------------------------------------------------------------------

    def element(self, node: ast.AST, iterable: Value) -> Value:
        """What a loop over ``iterable`` binds its target to."""
        if iterable.counter is not None:
            return replace(number(node=node), counter=iterable.counter)
        if iterable.kind is Kind.SEQUENCE:
            found = element_of(iterable)
            return found if found is not None else unknown(node, (iterable,))
        if iterable.is_tensor:
            return self._tensor_item(node, iterable, [number()])
        if iterable.kind is Kind.DICT:
            return Value(Kind.UNKNOWN, node=node)
        if iterable.kind is Kind.MODULE and not iterable.name.endswith("Dict"):
            held = layers.held(iterable)
            return held if held is not None else unknown(node, (iterable,))
        return unknown(node, (iterable,))

    def bind_target(self, target: ast.expr, value: Value, how: str) -> None:
        """Bind an assignment target; implemented by the interpreter."""
        raise NotImplementedError

    def rebind(self, name: str, value: Value) -> None:
        """Let a name hold a refined description of the same object."""
        binding = self.state.get(name)
        if binding is not None:
            self.state.put(name, binding.definitions, value)


def _targets(node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> set[str]:
    return {
        child.id
        for generator in node.generators
        for child in walk(generator.target)
        if isinstance(child, ast.Name)
    }


def _arithmetic(node: ast.AST, operator: ast.operator, a: Value, b: Value) -> Value:
    made = _result_number(node, operator, a, b)
    if a.inputs or b.inputs:  # a number that was taken out of a tensor stays known as one
        made.inputs, made.cut = (a, b), a.cut or b.cut
    return made


def _result_number(node: ast.AST, operator: ast.operator, a: Value, b: Value) -> Value:
    compute = _ARITHMETIC.get(type(operator))
    if isinstance(a.const, (int, float)) and isinstance(b.const, (int, float)) and compute:
        try:
            return number(compute(a.const, b.const), node=node)
        except (ArithmeticError, ValueError):
            return number(node=node)
    one, two = dim_of(a), dim_of(b)
    symbol = (
        f"({one}{type(operator).__name__}{two})" if one is not None and two is not None else None
    )
    return number(symbol=symbol, node=node)


_EVALUATORS: dict[type[ast.expr], Callable[[Any, Any], Value]] = {
    **dict.fromkeys(ast.expr.__subclasses__(), Expressions._eval_children),
    ast.Constant: Expressions._constant,
    ast.Name: Expressions._name,
    ast.Attribute: Expressions._attribute,
    ast.Subscript: Expressions._subscript,
    ast.BinOp: Expressions._binop,
    ast.UnaryOp: Expressions._unary,
    ast.BoolOp: Expressions._boolop,
    ast.Compare: Expressions._compare,
    ast.IfExp: Expressions._ifexp,
    ast.List: Expressions._sequence,
    ast.Tuple: Expressions._sequence,
    ast.Dict: Expressions._dict,
    ast.ListComp: Expressions._comprehension,
    ast.SetComp: Expressions._comprehension,
    ast.GeneratorExp: Expressions._comprehension,
    ast.DictComp: Expressions._comprehension,
    ast.NamedExpr: Expressions._walrus,
    ast.Lambda: Expressions._lambda,
    ast.JoinedStr: Expressions._joined_string,
    ast.Await: Expressions._await,
    ast.Yield: Expressions._await,
    ast.YieldFrom: Expressions._await,
    ast.Starred: Expressions._starred,
    ast.Call: Calls.call,
}
