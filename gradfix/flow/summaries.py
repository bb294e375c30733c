"""What functions of the project do and return, whatever they are given."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from gradfix.flow.argument_writes import ArgumentWrite, written_arguments
from gradfix.flow.entries import Entries, name_of
from gradfix.flow.interpreter import Interpreter
from gradfix.flow.kept_results import kept_by_calls
from gradfix.flow.state import Saved, Scope
from gradfix.flow.values import Elsewhere, Kind, Value, unknown

if TYPE_CHECKING:
    from gradfix.flow.elsewhere import Others

#: Decorators that leave what a function returns alone.
_TRANSPARENT = frozenset(
    """staticmethod classmethod property cached_property abstractmethod override final cache
    lru_cache no_grad enable_grad inference_mode set_grad_enabled script script_method export
    ignore unused compile typechecked jaxtyped""".split()
)
#: How many statements the analysis may interpret again for the sake of function summaries.
_BUDGET = 20_000


class Summaries(Entries):
    """The part of `ModuleFlow` that interprets functions for the sake of their callers."""

    others: Others | None
    read_from_inside: set[tuple[Scope, str]]

    def __init__(self) -> None:
        self._scope_of: dict[ast.AST, Scope] = {}
        self._defined_in: dict[ast.AST, Scope] = {}
        self._lambdas: dict[ast.Lambda, ast.stmt] = {}  # the statements around them
        self._summaries: dict[ast.AST, Value | None] = {}
        self._for_tensors: dict[tuple[ast.AST, frozenset[ast.arg]], Value | None] = {}
        self.kept_results: dict[ast.AST, Saved | None] = {}  # of the functions with a summary
        self.argument_writes: dict[ast.AST, tuple[ArgumentWrite, ...]] = {}
        self.functions_called: dict[ast.AST, ast.FunctionDef] = {}  # by the calls of this file
        self._budget = _BUDGET

    def found_lambda(self, node: ast.Lambda, statement: ast.stmt, scope: Scope) -> None:
        """Remember where a lambda stands; it is interpreted when it is called."""
        self._defined_in[node], self._lambdas[node] = scope, statement

    def summary(self, function: Value) -> Value | None:
        """What a function of the project returns, whatever it is given; None for nothing."""
        node = function.definition
        if isinstance(node, Elsewhere):
            return unknown() if self.others is None else self.others.summary(function)
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            return unknown()  # a call of an ``async def`` gives a coroutine
        if not self._returns_what_its_body_does(node):
            return unknown()
        if node in self._summaries:
            return self._summaries[node]
        if self._budget <= 0:
            return unknown()
        self._summaries[node] = unknown()  # what it returns to itself
        scope = self._run_quietly(node, function, frozenset())
        if scope is not None:
            self.summarised(node, scope)
            scope.argument_writes.clear()  # each knows the scope, which is not needed any more
        return self._summaries[node]

    def summary_for(self, function: Value, tensors: frozenset[ast.arg]) -> Value | None:
        """What a function of this file returns where it is given tensors for some arguments."""
        node = function.definition
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            return None
        key = (node, tensors)
        if key not in self._for_tensors:
            self._for_tensors[key] = None
            if self._budget > 0 and self._returns_what_its_body_does(node):
                scope = self._run_quietly(node, function, tensors)
                if scope is not None:
                    self._for_tensors[key] = scope.result
                    scope.argument_writes.clear()
        return self._for_tensors[key]

    def _run_quietly(
        self, node: ast.FunctionDef | ast.Lambda, function: Value, tensors: frozenset[ast.arg]
    ) -> Scope | None:
        """The scope of a function that has been interpreted without recording events."""
        body = node.body if isinstance(node, ast.FunctionDef) else [node.body]
        self._budget -= len(body) * 5 + 10
        owner = function.owner.definition if function.owner is not None else None
        parent = self._scope_of.get(owner) if owner is not None else self._defined_in.get(node)
        if parent is None:
            return None
        class_node = owner if isinstance(owner, ast.ClassDef) else None
        scope = Scope(node, getattr(node, "name", "<lambda>"), parent, class_node)
        run = Interpreter(self, scope, self.entry(node, scope, tensors))
        run.loud = False
        if isinstance(node, ast.FunctionDef):
            run.run(node.body)
        else:
            run.statement = self._lambdas[node]
            scope.returns.append((node.body, run.eval(node.body)))
        return scope

    def summarised(self, node: ast.AST, scope: Scope) -> None:
        """Keep what calls of a function may ask, now that it has been interpreted."""
        self._summaries[node] = scope.result
        self.kept_results[node] = kept_by_calls(scope)
        if scope.argument_writes:
            self.argument_writes[node] = written_arguments(scope)

    def writes_to_arguments(self, function: Value) -> tuple[ArgumentWrite, ...]:
        """What a function with a summary writes to its arguments, whenever it runs."""
        node = function.definition
        if isinstance(node, Elsewhere):
            return () if self.others is None else self.others.writes_to_arguments(node)
        if not isinstance(node, (ast.FunctionDef, ast.Lambda)):
            return ()
        return self.argument_writes.get(node, ()) if self._returns_what_its_body_does(node) else ()

    def forget_summaries(self) -> None:
        """A name that functions read from outside has got another value."""
        for known in (self._summaries, self._for_tensors, self.kept_results, self.argument_writes):
            known.clear()
        self.read_from_inside.clear()

    def _returns_what_its_body_does(self, node: ast.FunctionDef | ast.Lambda) -> bool:
        """Whether no decorator makes something else of a function."""
        decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
        return all(name_of(one) in _TRANSPARENT and self._is_known(one) for one in decorators)

    def _is_known(self, decorator: ast.expr) -> bool:
        """Whether a decorator is not one of the project that only has a known name."""
        named = decorator.func if isinstance(decorator, ast.Call) else decorator
        value = self.values.get(named)
        if value is None or value.kind is Kind.UNKNOWN:
            return True
        own = self.others is not None and self.others.is_own(value.name)
        return value.kind is Kind.REFERENCE and not own
