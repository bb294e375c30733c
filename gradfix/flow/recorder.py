"""The interpreter's notebook: current state, current place, and the events written down so far."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from gradfix.flow.state import Event, Scope, State
from gradfix.flow.values import Value

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow

E = TypeVar("E", bound=Event)


class Recorder:
    """Base of the interpreter: where we are and what has been recorded.

    A loop body is run more than once until its effects are known; only the last run is *loud* and
    records events, so that each place in the source is recorded with everything joined.
    """

    def __init__(self, flow: ModuleFlow, scope: Scope, state: State) -> None:
        self.flow = flow
        self._values, self._made = flow.values, flow.made
        self.scope = scope
        self.state = state
        self.loud = True
        self.ahead = False
        self.statement: ast.stmt | None = None
        self.loops: tuple[ast.AST, ...] = ()
        self.path: tuple[ast.AST, ...] = ()  # the branches and loops we are in

    @property
    def place(self) -> tuple[ast.AST, ...]:
        """The function we are in, and the branches and loops: what is made here is made at once."""
        return (self.scope.node, *self.path)

    def event(self, kind: type[E], node: ast.AST, *facts: Any) -> None:
        """Record one event of ``kind`` at ``node``, when this run is the loud one."""
        if self.loud and self.statement is not None:
            event = kind(node, self.statement, self.scope, self.state.mode, *facts)
            self.flow.events.setdefault(kind, []).append(event)

    def note(self, node: ast.AST, value: Value) -> Value:
        """Remember the value of an expression."""
        if self.loud:
            self._values[node] = value
        if value.inputs:
            self._made.append(value)
        return value

    @contextmanager
    def looking_ahead(self) -> Iterator[None]:
        """Run a loop body without recording events, only to see what it carries on."""
        before, self.loud, self.ahead = (self.loud, self.ahead), False, True
        try:
            yield
        finally:
            self.loud, self.ahead = before
