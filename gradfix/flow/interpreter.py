"""Statements, in order: flow-sensitive abstract interpretation of one scope.

NOTE: the algorithm
    1. Statements run in order on an abstract state; every path of a branch runs on a copy and the
       copies are joined where the paths meet.
    2. A loop body runs ahead, quietly, until what it carries on is known; that is joined into the
       state at the loop's head, and then the body runs once more, recording events. Nested loops
       inside a run ahead are run once, so that the cost stays linear in the nesting depth.
    3. A path that returns, raises, breaks or continues is dead; it contributes to no join but the
       one it jumps to.
    4. Whatever can change names behind our back (``locals``, ``exec``, ``global``, a closure's
       ``nonlocal``) makes the names concerned unknown.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from gradfix.flow import classes
from gradfix.flow.calls import may_switch, mode_of
from gradfix.flow.expressions import Expressions, dotted, operator_name
from gradfix.flow.state import (
    AttributeStore,
    Binding,
    Definition,
    GradMode,
    GradRead,
    State,
    join_states,
)
from gradfix.flow.tensors import Argument, requires_grad_role
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Role, Value, element_of, foreign, join, unknown


class Interpreter(Expressions):
    """Runs the statements of one scope."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._breaks: list[list[State]] = []
        self._continues: list[list[State]] = []
        self._serial = 0
        self._owners: set[str] = set()  # names whose attributes are bound somewhere
        self._tried: list[dict[str, Binding]] = []  # what each ``try`` around us has bound so far

    def run(self, body: Sequence[ast.stmt]) -> None:
        """Execute statements until the end or until the path is dead."""
        for statement in body:
            if not self.state.alive:
                return
            self.execute(statement)

    def execute(self, statement: ast.stmt) -> None:
        """Execute one statement."""
        outer, self.statement = self.statement, statement
        if self.loud:
            self.flow.modes[statement] = self.state.mode
        method = _STATEMENTS.get(type(statement))
        if method is not None:
            path = self.path
            if isinstance(statement, _FORKS):
                self.path = (*path, statement)
            method(self, statement)
            self.path = path
        self.statement = outer

    # -- binding ------------------------------------------------------------------------------

    def bind(self, name: str, node: ast.AST, value: Value, how: str) -> None:
        """Bind ``name`` (a plain name or ``self.attr``) to a value."""
        if value.symbol is None and value.kind in (
            Kind.UNKNOWN,
            Kind.TENSOR,
            Kind.NUMBER,
            Kind.SEQUENCE,
        ):
            self._serial += 1
            value.symbol = f"{name}#{self.scope.name}#{self._serial}"
        if (self.scope, name) in self.flow.read_from_inside:
            self.flow.forget_summaries()
        key = (self.scope, node, how)
        definition = self.flow.definitions.get(key)
        if definition is None:
            definition = Definition(name, node, self.statement, value, how, self.loops)
            self.flow.definitions[key] = definition
            self.scope.define(definition)
        definition.value = value
        if "." in name:
            self._owners.add(name.partition(".")[0])
        elif name in self._owners:
            prefix = f"{name}."
            for path in [path for path in self.state.env if path.startswith(prefix)]:
                del self.state.env[path]
        binding = Binding(frozenset({definition}), value)
        self.state.env[name] = binding
        for tried in self._tried:
            tried[name] = _either(tried[name], binding) if name in tried else binding

    def bind_target(self, target: ast.expr, value: Value, how: str) -> None:
        """Bind an assignment target of any form."""
        if isinstance(target, ast.Name):
            self.bind(target.id, target, value, how)
            self.note(target, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target, value, how)
        elif isinstance(target, ast.Starred):
            inner = Value(Kind.SEQUENCE, Role.UNTRACKED, target, element=value, name="list")
            self.bind_target(target.value, inner, how)
        elif isinstance(target, ast.Attribute):
            self._store_attribute(target, value, how)
        elif isinstance(target, ast.Subscript):
            self._store_item(target, value)

    def _unpack(self, target: ast.Tuple | ast.List, value: Value, how: str) -> None:
        count = len(target.elts)
        starred = any(isinstance(item, ast.Starred) for item in target.elts)
        for at, item in enumerate(target.elts):
            if (
                value.kind is Kind.SEQUENCE
                and value.items is not None
                and len(value.items) == count
                and not starred
            ):
                part = value.items[at]
            elif value.kind is Kind.SEQUENCE and not starred:
                part = self.item(item, value, [Value(Kind.NUMBER, const=at)])
                if element_of(value) is part and part.is_tensor:
                    part = replace(part)
            elif value.is_tensor and not starred:
                part = self.item(item, value, [Value(Kind.NUMBER, const=at)])
                part.op = "unbind"
            else:
                part = unknown(item, (value,))
            self.bind_target(item, part, how)

    def _store_attribute(self, target: ast.Attribute, value: Value, how: str) -> None:
        base = self.eval(target.value)
        if target.attr == "grad":
            self.event(GradRead, target, base, target.value, True)
            return
        if target.attr == "requires_grad":
            self.event(AttributeStore, target, base, "requires_grad", value)
        if target.attr == "requires_grad" and base.kind is Kind.UNKNOWN and value.const is True:
            # Only tensors have this flag: now it is known what this is.
            revealed = replace(base, kind=Kind.TENSOR)
            self.replace_everywhere(base, revealed)
            base = revealed
        if target.attr == "requires_grad" and base.is_tensor:
            self.make_leaf(target, base, requires_grad_role(value))
            return
        if target.attr == "data" and base.is_tensor:
            # The leaf gets other memory; what it shares from now on is not followed.
            self.event(AttributeStore, target, base, "data", value)
            return
        self.event(AttributeStore, target, base, target.attr, value)
        path = dotted(target)
        if path is not None:
            self.bind(path, target, value, how)
            if base.kind is Kind.INSTANCE and self.loud and base is self.flow.self_of(self.scope):
                facts = self.flow.class_facts(self.scope.class_node)
                if facts is not None:
                    classes.bind_attribute(facts, self.scope.name, target.attr, value)

    def _store_item(self, target: ast.Subscript, value: Value) -> None:
        base = self.eval(target.value)
        self.index_parts(target.slice)
        if base.kind is Kind.SEQUENCE:
            base.element = join(found, value) if (found := element_of(base)) is not None else value
            base.items = None
            return
        if base.kind is Kind.DICT:
            base.element = value if base.element is None else join(base.element, value)
            base.inputs = (*base.inputs, value)
            base.attributes = None
            return
        if base.kind is Kind.FOREIGN:
            base.inputs = (*base.inputs, value)
            self.flow.made.append(base)
        if base.kind in (Kind.TENSOR, Kind.UNKNOWN):
            self.write(target, base, target.value, "setitem", "copy_", target.slice, (value,))

    # -- simple statements --------------------------------------------------------------------

    def _assign(self, node: ast.Assign) -> None:
        value = self.eval(node.value)
        for target in node.targets:
            self.bind_target(target, value, "assign")

    def _annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.bind_target(node.target, self.eval(node.value), "assign")

    def _augmented(self, node: ast.AugAssign) -> None:
        value = self.eval(node.value)
        target = node.target
        if isinstance(target, ast.Subscript):
            base = self.eval(target.value)
            parts = self.index_parts(target.slice)
            old = self.item(target, base, parts)
            if old.is_tensor:
                self.save_in_place(
                    node, operator_name(node.op) + "_", (target, old), (node.value, value)
                )
            if base.kind in (Kind.TENSOR, Kind.UNKNOWN):
                self.write(
                    node,
                    base,
                    target.value,
                    "setitem",
                    operator_name(node.op) + "_",
                    target.slice,
                    (value,),
                )
            return
        old = self._read_target(target)
        if old.is_tensor:
            name = operator_name(node.op) + "_"
            if op_facts(name, "method") is None:
                self.bind_target(target, unknown(node, (old, value)), "augment")
                return
            arguments = [Argument(None, target, old), Argument(None, node.value, value)]
            result = self.tensor_op(node, name, "method", arguments)
            self._rebind_augmented(target, result)
            return
        if old.kind is Kind.SEQUENCE and value.kind is Kind.SEQUENCE:
            found = element_of(value)
            if found is not None:
                known = element_of(old)
                old.element = found if known is None else join(known, found)
            old.items, old.length = None, None
            return
        result = self.binary(node, node.op, (target, old), (node.value, value))
        if result is old:
            result = replace(old)
        self.bind_target(target, result, "augment")

    def _read_target(self, target: ast.expr) -> Value:
        """The value of an augmented assignment's target before the assignment."""
        if isinstance(target, ast.Name):
            return self._name(target)
        if isinstance(target, ast.Attribute):
            return self.attribute_of(target, self.eval(target.value))
        return unknown(target)

    def _rebind_augmented(self, target: ast.expr, result: Value) -> None:
        """``x += 1`` on a tensor writes into it and binds the same tensor again."""
        if isinstance(target, ast.Name) and target.id in self.state.env:
            binding = self.state.env[target.id]
            self.state.env[target.id] = Binding(binding.definitions, result)
            self.note(target, result)
        elif isinstance(target, ast.Attribute) and (path := dotted(target)) in self.state.env:
            binding = self.state.env[path]
            self.state.env[path] = Binding(binding.definitions, result)
            self.note(target, result)

    def _expression(self, node: ast.Expr) -> None:
        self.eval(node.value)

    def _return(self, node: ast.Return) -> None:
        value = self.eval(node.value) if node.value is not None else foreign(node, "constant")
        if not self.ahead:
            self.scope.returns.append((node, value))
        self.state.alive = False

    def _raise(self, node: ast.Raise) -> None:
        for part in (node.exc, node.cause):
            if part is not None:
                self.eval(part)
        self.state.alive = False

    def _assert(self, node: ast.Assert) -> None:
        self.eval(node.test)

    def _delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            if isinstance(target, ast.Name):
                if self.loud and target.id in self.state.env:
                    self.scope.uses[target] = self.state.env[target.id].definitions
                self.state.env.pop(target.id, None)
            elif isinstance(target, (ast.Attribute, ast.Subscript)):
                self.eval(target.value)

    def _break(self, node: ast.Break) -> None:
        if self._breaks:
            self._breaks[-1].append(self.state.copy())
        self.state.alive = False

    def _continue(self, node: ast.Continue) -> None:
        if self._continues:
            self._continues[-1].append(self.state.copy())
        self.state.alive = False

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            target = alias.name if alias.asname else name
            self.bind(name, alias, self.flow.imported(target), "import")

    def _import_from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                continue
            source = f"{'.' * node.level}{node.module or ''}"
            self.bind(
                alias.asname or alias.name,
                alias,
                self.flow.imported(f"{source}.{alias.name}"),
                "import",
            )

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        for decorator in node.decorator_list:
            self.eval(decorator)
        for default in [*node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]:
            self.eval(default)
        value = Value(Kind.FUNCTION, Role.UNTRACKED, node, definition=node, symbol=node.name)
        self.bind(node.name, node, value, "def")
        if self.loud:
            self.flow.found_function(node, self.scope)

    def _class(self, node: ast.ClassDef) -> None:
        bases = [self.eval(base) for base in node.bases]
        value = Value(
            Kind.CLASS, Role.UNTRACKED, node, definition=node, name=node.name, symbol=node.name
        )
        self.bind(node.name, node, value, "def")
        if self.loud:
            self.flow.found_class(node, self.scope, bases)

    def _global(self, node: ast.Global | ast.Nonlocal) -> None:
        for name in node.names:
            self.flow.shared_names.add(name)

    # -- compound statements ------------------------------------------------------------------

    def _if(self, node: ast.If) -> None:
        self.eval(node.test)
        training = _tests_training(node.test)
        before = self.state
        self.state = before.copy()
        if training is False:
            self.state.mode = self._inference_mode()
        self.run(node.body)
        taken, self.state = self.state, before.copy()
        if training is True:
            self.state.mode = self._inference_mode()
        self.run(node.orelse)
        if training is not None and taken.alive and self.state.alive:
            taken.mode = self.state.mode = before.mode
        self.state = join_states(taken, self.state)

    def _inference_mode(self) -> GradMode:
        """Out of training nobody differentiates, although operations may still be recorded."""
        return GradMode.OFF if self.state.mode is GradMode.OFF else GradMode.UNKNOWN

    def _loop(
        self, node: ast.For | ast.AsyncFor | ast.While, begin: Callable[[], None], certain: bool
    ) -> None:
        entry = self.state.copy()
        loops, self.loops = self.loops, (*self.loops, node)
        if not self.ahead:
            start = self._head(node, entry, begin)
        else:
            start = entry.copy()
        end, exits = self._iteration(node, start, begin)
        self.loops = loops
        if not certain:
            end = join_states(entry, end)
        self.state = end
        if isinstance(node, ast.While) and certain:
            self.state.alive = False  # ``while True`` is left by ``break`` only
        self.run(node.orelse)
        for state in exits:
            self.state = join_states(self.state, state)

    def _head(
        self, node: ast.For | ast.AsyncFor | ast.While, entry: State, begin: Callable[[], None]
    ) -> State:
        """The state at the loop's head: before the first turn, joined with after every other."""
        start = entry.copy()
        for _ in range(_TURNS):
            with self.looking_ahead():
                end, _ = self._iteration(node, start.copy(), begin)
            head = join_states(entry.copy(), end)
            carried = [
                _same_facts(known.value, head.env[name].value)
                for name, known in start.env.items()
                if name in head.env and known is not head.env[name]
            ]
            start = head
            # With one name only, the next turn finds what this one found.
            if len(carried) < 2 or all(carried):
                break
        return start

    def _iteration(
        self, node: ast.For | ast.AsyncFor | ast.While, state: State, begin: Callable[[], None]
    ) -> tuple[State, list[State]]:
        """One run of a loop body: the state at its end, and the states that left by ``break``."""
        self.state = state
        self._breaks.append([])
        self._continues.append([])
        begin()
        self.run(node.body)
        end = self.state
        for other in self._continues.pop():
            end = join_states(end, other)
        return end, self._breaks.pop()

    def _for(self, node: ast.For | ast.AsyncFor) -> None:
        iterable = self.eval(node.iter)
        length = iterable.length if iterable.kind is Kind.SEQUENCE else None

        def begin() -> None:
            self.bind_target(node.target, self.element(node.iter, iterable), "for")

        self._loop(node, begin, isinstance(length, int) and length > 0)

    def _while(self, node: ast.While) -> None:
        always = isinstance(node.test, ast.Constant) and bool(node.test.value)

        def begin() -> None:
            self.eval(node.test)

        self._loop(node, begin, always)

    def _with(self, node: ast.With | ast.AsyncWith) -> None:
        outer = self.state.mode
        jumps = [(states, len(states)) for states in (*self._breaks[-1:], *self._continues[-1:])]
        switches = False
        for item in node.items:
            value = self.eval(item.context_expr)
            if value.kind is Kind.CONTEXT:
                self.state.mode = mode_of(value)
                switches = True
            elif may_switch(value) or self.flow.switches_mode(item.context_expr):
                self.state.mode = GradMode.UNKNOWN
                switches = True
            if item.optional_vars is not None:
                self.bind_target(item.optional_vars, unknown(item.context_expr, (value,)), "with")
        self.run(node.body)
        if switches:
            self.state.mode = outer
            for states, known in jumps:  # ``break`` and ``continue`` leave the block, too
                for state in states[known:]:
                    state.mode = outer

    def _try(self, node: ast.Try) -> None:
        before = self.state.copy()
        self._tried.append({})
        self.run(node.body)
        after = self.state
        ends = []
        # An exception can leave the body after any statement: handlers see all of them joined.
        failing = join_states(before, after) if after.alive else before.copy()
        for name, bound in self._tried.pop().items():
            known = failing.env.get(name)
            failing.env[name] = bound if known is None else _either(known, bound)
        for handler in node.handlers:
            self.state = failing.copy()
            if handler.type is not None:
                self.eval(handler.type)
            if handler.name:
                self.bind(handler.name, handler, unknown(handler), "except")
            self.run(handler.body)
            ends.append(self.state)
        self.state = after
        if after.alive:
            self.run(node.orelse)
        for end in ends:
            self.state = join_states(self.state, end)
        alive = self.state.alive
        if node.finalbody:
            if not alive:
                self.state = failing.copy()
            self.run(node.finalbody)
            self.state.alive = self.state.alive and alive

    def _match(self, node: ast.Match) -> None:
        self.eval(node.subject)
        before = self.state
        end: State | None = before.copy()
        for case in node.cases:
            self.state = before.copy()
            for child in ast.walk(case.pattern):
                name = getattr(child, "name", None) or getattr(child, "rest", None)
                if isinstance(name, str):
                    self.bind(name, child, unknown(child), "match")
            if case.guard is not None:
                self.eval(case.guard)
            self.run(case.body)
            end = self.state if end is None else join_states(end, self.state)
            if (
                isinstance(case.pattern, ast.MatchAs)
                and case.pattern.pattern is None
                and case.guard is None
            ):
                break
        if end is not None:
            self.state = end


#: How many turns of a loop are followed for values that go from name to name.
_TURNS = 4


def _same_facts(a: Value, b: Value) -> bool:
    """Whether what depends on ``b`` would come out as it did with ``a``."""
    return (a.kind, a.role, a.shape, a.dtype) == (b.kind, b.role, b.shape, b.dtype)


def _either(a: Binding, b: Binding) -> Binding:
    return Binding(a.definitions | b.definitions, join(a.value, b.value))


def _tests_training(test: ast.expr) -> bool | None:
    """True for ``if x.training``, False for ``if not x.training``, else None."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        inner = _tests_training(test.operand)
        return None if inner is None else not inner
    return True if isinstance(test, ast.Attribute) and test.attr == "training" else None


_FORKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match)


def decorated_mode(decorators: Sequence[tuple[ast.expr, Value]]) -> GradMode | None:
    """The grad mode a function's decorators switch to, or None when they leave it alone."""
    for _, value in decorators:
        if value.kind is Kind.CONTEXT:
            return mode_of(value)
        if value.kind is Kind.REFERENCE and value.name in ("torch.no_grad", "torch.inference_mode"):
            return GradMode.OFF
    return None


_STATEMENTS: dict[type[ast.stmt], Callable[[Any, Any], None]] = {
    ast.Assign: Interpreter._assign,
    ast.AnnAssign: Interpreter._annotated,
    ast.AugAssign: Interpreter._augmented,
    ast.Expr: Interpreter._expression,
    ast.Return: Interpreter._return,
    ast.Raise: Interpreter._raise,
    ast.Assert: Interpreter._assert,
    ast.Delete: Interpreter._delete,
    ast.Break: Interpreter._break,
    ast.Continue: Interpreter._continue,
    ast.Import: Interpreter._import,
    ast.ImportFrom: Interpreter._import_from,
    ast.FunctionDef: Interpreter._function,
    ast.AsyncFunctionDef: Interpreter._function,
    ast.ClassDef: Interpreter._class,
    ast.Global: Interpreter._global,
    ast.Nonlocal: Interpreter._global,
    ast.If: Interpreter._if,
    ast.For: Interpreter._for,
    ast.AsyncFor: Interpreter._for,
    ast.While: Interpreter._while,
    ast.With: Interpreter._with,
    ast.AsyncWith: Interpreter._with,
    ast.Try: Interpreter._try,
    ast.Match: Interpreter._match,
}
if hasattr(ast, "TryStar"):
    _STATEMENTS[ast.TryStar] = Interpreter._try
