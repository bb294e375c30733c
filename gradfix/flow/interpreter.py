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
from typing import Any

from gradfix.flow.apart import together
from gradfix.flow.binding import Bindings, either
from gradfix.flow.calls import may_switch
from gradfix.flow.constructors import mode_of
from gradfix.flow.joined import changed_names, join_states
from gradfix.flow.kept_results import kept_at_return
from gradfix.flow.nodes import tests_training, walk
from gradfix.flow.star_imports import brought, never_runs
from gradfix.flow.state import GradMode, State, Turn
from gradfix.flow.values import Kind, Role, Value, foreign, grow, unknown


class Interpreter(Bindings):
    """Runs the statements of one scope."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self._breaks: list[list[State]] = []
        self._continues: list[list[State]] = []
        self._waiting: dict[ast.Assign, Value] = {}  # of assignments of several names

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
        kind = statement.__class__
        method = _STATEMENTS.get(kind)
        if method is not None and kind in _FORKS:
            path, self.path = self.path, (*self.path, statement)
            method(self, statement)
            self.path = path
        elif method is not None:
            method(self, statement)
        self.statement = outer

    # -- simple statements --------------------------------------------------------------------

    def _assign(self, node: ast.Assign) -> None:
        parts = together(node)
        if parts and node is parts[0]:  # all values come before the first target
            for part in parts:
                self.statement = part
                self._waiting[part] = self.eval(part.value)
            self.statement = node
        value = self._waiting.pop(node) if parts else self.eval(node.value)
        for target in node.targets:
            self.bind_target(target, value, "assign")

    def _annotated(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.bind_target(node.target, self.eval(node.value), "assign")

    def _expression(self, node: ast.Expr) -> None:
        self.eval(node.value)

    def _return(self, node: ast.Return) -> None:
        value = self.eval(node.value) if node.value is not None else foreign(node, "constant")
        if not self.ahead:
            self.scope.returns.append((node, value))
            self.scope.kept.append(kept_at_return(self.scope, self.state, value))
            self.scope.exits.append((node, self.state.switched))
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
                bound = self.state.get(target.id)
                if self.loud and bound is not None:
                    self.scope.uses[target] = bound.definitions
                self.state.drop(target.id)
            elif isinstance(target, (ast.Attribute, ast.Subscript)):
                container = self.eval(target.value)
                if container.kind is Kind.SEQUENCE:
                    grow(container, None)

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
            self.flow.noted_import(target, alias)
            self.bind(name, alias, self.flow.imported(target), "import")

    def _import_from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                bound = () if never_runs(node, self.path) else self.state.env
                for name, value in brought(self.flow, node, bound, loud=self.loud):
                    self.bind(name, alias, value, "import")
                continue
            source = "." * node.level + (f"{node.module}." if node.module else "")
            value = self.flow.imported(f"{source}{alias.name}")
            self.flow.noted_import(value.name, alias)
            self.bind(alias.asname or alias.name, alias, value, "import")

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        if node.decorator_list:
            outer = self.state.mode, self.state.switched
            for decorator in node.decorator_list:
                self.unfollowed(decorator)
            # A decorator switches nothing but its function.
            self.state.mode, self.state.switched = outer
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.eval(default)
        value = Value(Kind.FUNCTION, Role.UNTRACKED, node)
        value.definition, value.symbol = node, node.name
        self.bind(node.name, node, value, "def")
        if self.loud:
            self.flow.found_function(node, self.scope)

    def _class(self, node: ast.ClassDef) -> None:
        bases = [self.unfollowed(base) for base in node.bases]
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
        training = tests_training(node.test)
        other, mode = self.state, self.state.mode
        self.state = other.copy()
        if training is False:
            self.state.mode = self._inference_mode()
        self.run(node.body)
        taken, self.state = self.state, other
        if training is True:
            self.state.mode = self._inference_mode()
        if node.orelse:
            self.run(node.orelse)
        if training is not None and taken.alive and self.state.alive:
            taken.mode = self.state.mode = mode
        self.state = join_states(taken, self.state)

    def _inference_mode(self) -> GradMode:
        """Out of training nobody differentiates, although operations may still be recorded."""
        return GradMode.OFF if self.state.mode is GradMode.OFF else GradMode.UNKNOWN

    def _loop(
        self, node: ast.For | ast.AsyncFor | ast.While, begin: Callable[[], None], certain: bool
    ) -> None:
        entry = self.state.copy()
        loops, self.loops = self.loops, (*self.loops, node)
        start = entry.copy() if self.ahead else self._head(node, entry, begin)
        head = start.copy()
        end, exits = self._iteration(node, start, begin)
        if self.loud:
            self.flow.turns[node] = Turn(node, self.scope, head, end.copy())
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
                _same_facts(known.value, now.value)
                for name in changed_names(start, head)
                if (known := start.get(name)) is not None
                and (now := head.get(name)) is not None
                and known is not now
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
        outer, switched, known_exits = self.state.mode, self.state.switched, len(self.scope.exits)
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
                shown = value.kind is Kind.SEQUENCE  # ``with tqdm(items) as bar``
                held = value if shown else unknown(item.context_expr, (value,))
                self.bind_target(item.optional_vars, held, "with")
        self.run(node.body)
        if switches:
            self.state.mode, self.state.switched = outer, switched
            for states, known in jumps:  # ``break`` and ``continue`` leave the block, too
                for state in states[known:]:
                    state.mode, state.switched = outer, switched
            left = [(place, switched) for place, _ in self.scope.exits[known_exits:]]
            self.scope.exits[known_exits:] = left

    def _try(self, node: ast.Try) -> None:
        before = self.state.copy()
        known_exits = len(self.scope.exits)
        self._tried.append({})
        self.run(node.body)
        after = self.state
        ends = []
        # An exception can leave the body after any statement: handlers see all of them joined.
        failing = join_states(before, after) if after.alive else before.copy()
        for name, bound in self._tried.pop().items():
            known = failing.get(name)
            reached = bound if known is None else either(known, bound)
            failing.put(name, reached.definitions, reached.value)
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
            left = self.scope.exits[known_exits:]
            here = self.state.switched
            elsewhere = frozenset().union(*(off for _, off in left)) - here
            self.state.switched = here | elsewhere
            self.run(node.finalbody)
            still = self.state.switched
            self.state.switched = still - elsewhere  # those paths do not go on behind it
            self.scope.exits[known_exits : known_exits + len(left)] = [
                (place, off & still) for place, off in left
            ]
            self.state.alive = self.state.alive and alive

    def _match(self, node: ast.Match) -> None:
        self.eval(node.subject)
        before = self.state
        end: State | None = before.copy()
        for case in node.cases:
            self.state = before.copy()
            for child in walk(case.pattern):
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


_FORKS = frozenset({ast.If, ast.For, ast.AsyncFor, ast.While, ast.Try, ast.Match})


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
