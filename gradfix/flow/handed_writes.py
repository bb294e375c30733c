"""Calls that hand a tensor to a function which writes to it in place, for who asks about them."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow import classes
from gradfix.flow.argument_writes import HandedWrite
from gradfix.flow.arguments import calls_to, given_by
from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import GradMode
from gradfix.flow.values import Elsewhere, Kind, Value
from gradfix.model import Note


def handed_writes(flow: ModuleFlow) -> Iterator[HandedWrite]:
    """Every such call, with grad mode on, that runs just this function and is no test of errors."""
    _interpret_callers(flow)
    for handed in flow.all(HandedWrite):
        if handed.mode is not GradMode.ON or is_meant_to_raise(flow, handed.node):
            continue
        if not _may_be_another(flow, handed.called):
            yield handed


def _interpret_callers(flow: ModuleFlow) -> None:
    """Interpret whoever calls a function that writes to its arguments, and their callers."""
    known: frozenset[str] = frozenset()
    for _ in range(_DEEPEST):
        words = frozenset(f"{name}(" for name in _names_of_writers(flow))
        if words <= known:
            return
        known = words
        flow.complete(words)


#: How many calls inside each other callers are looked for.
_DEEPEST = 4


def _names_of_writers(flow: ModuleFlow) -> Iterator[str]:
    """The names of functions that write to what they are given."""
    named = flow.makes_functions
    for scope in flow.scopes:
        writes = scope.argument_writes
        if writes and any(write.mode is GradMode.ON for write in writes):
            yield scope.name
        for definition in scope.definitions if named else ():
            value = definition.value
            if value.kind is Kind.FUNCTION and definition.how == "assign":
                function = value.inputs[0] if value.op == "partial" else value
                flow.summary(function)
                if flow.writes_to_arguments(function):
                    yield definition.name.rpartition(".")[2]


def _may_be_another(flow: ModuleFlow, called: Value) -> bool:
    """Whether a class of this file that is derived from the object's has a method instead."""
    owner, function = called.owner, called.definition
    if owner is None or not isinstance(function, ast.FunctionDef):
        return False
    base = classes.facts_of(flow, owner)
    return base is not None and any(
        facts is not base and base in classes.lineage(flow, facts)
        for facts in _with_method(flow).get(function.name, ())
    )


def _with_method(flow: ModuleFlow) -> dict[str, list[classes.ClassFacts]]:
    """The classes of this file, by the names of their methods."""

    def find() -> dict[str, list[classes.ClassFacts]]:
        found: dict[str, list[classes.ClassFacts]] = {}
        for facts in filter(None, map(flow.class_facts, flow.own_classes())):
            for name in facts.methods:
                found.setdefault(name, []).append(facts)
        return found

    return flow.worked_out("_classes_with_method", len(flow.own_classes()), find)


def place_of(handed: HandedWrite) -> ast.AST:
    """Where the write stands; the call, where that is in another file."""
    return handed.node if isinstance(handed.write.node, Elsewhere) else handed.write.node


def story(flow: ModuleFlow, handed: HandedWrite) -> tuple[Note, Note]:
    """The call, and the write that it leads to."""
    name = getattr(called_function(handed), "name", None)
    to = f"`{name}`" if name is not None else "a function"
    return (
        flow.note(handed.node, f"it is handed to {to} here"),
        flow.note(handed.write.node, "which writes to it in place"),
    )


def called_function(handed: HandedWrite) -> ast.AST | None:
    """The function that is called, in whatever file."""
    function = handed.called.definition
    return function.origin if isinstance(function, Elsewhere) else function


def always_given(flow: ModuleFlow, handed: HandedWrite) -> bool:
    """Whether every call in this file hands the function a leaf for the argument it writes to."""
    calls = calls_to(flow, handed.called.definition)
    given = [dict(given_by(call, handed.called.definition)) for call in calls]
    found = [one.get(handed.write.argument) for one in given]
    return bool(found) and all(value is not None and value.is_leaf for value in found)


def is_direct(handed: HandedWrite) -> bool:
    """Whether the called function itself, a named one of this file, makes the write."""
    return isinstance(handed.called.definition, ast.FunctionDef) and handed.write.depth == 0
