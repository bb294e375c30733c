"""What recorded facts say about the arguments of a function, as values of the analysis."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING

from gradfix.flow.values import NEEDS_GRAD, Kind, Role, Storage, Value, number, sequence
from gradfix.model import Note, Span
from gradfix.recorded import Seen, key_of, source_of

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow


def given(
    flow: ModuleFlow, node: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.AST | None
) -> Mapping[str, Seen]:
    """What was recorded of the arguments of a function; empty where nothing may be assumed."""
    if flow.recorded is None:
        return {}
    key = key_of(owner.name if isinstance(owner, ast.ClassDef) else None, node.name)
    function = flow.recorded.of(key, source_of(node, flow.lines))
    return function.arguments if function is not None else {}


def assumed(seen: Seen | None, argument: ast.arg, known: Value) -> Value:
    """An argument as it was recorded, where nothing better is known.

    Whether a recorded tensor has a history is not taken over: the next caller may give one that
    has. That one requires grad is, where the file says so: then the fault is there for this caller.
    """
    if seen is None or known.kind not in (Kind.UNKNOWN, Kind.TENSOR, Kind.NUMBER):
        return known
    if seen.kind == "tensors" and known.kind is Kind.UNKNOWN:
        one = Value(Kind.TENSOR, NEEDS_GRAD, argument, shape=seen.shape, dtype=seen.dtype)
        return sequence(None, element=one, node=argument)
    if seen.requires_grad and known.kind is not Kind.NUMBER:
        shape = known.shape if known.shape is not None else seen.shape
        memory = frozenset({Storage(argument)})
        return Value(
            Kind.TENSOR, NEEDS_GRAD, argument, storages=memory, shape=shape, dtype=seen.dtype
        )
    if seen.kind == "tensor" and known.kind is not Kind.NUMBER and seen.shape is not None:
        if known.shape is None:
            return Value(Kind.TENSOR, Role.UNKNOWN, argument, shape=seen.shape, dtype=seen.dtype)
    if seen.kind in ("int", "float", "bool") and known.kind is not Kind.TENSOR:
        if known.const is None and seen.value is not None:
            return number(seen.value, node=argument)
    return known


def told(flow: ModuleFlow, span: Span) -> Note | None:
    """What was recorded of the function around a place, as a step of a finding's story."""
    node = flow.function_at(span.row)
    scope = next((scope for scope in flow.scopes if scope.node is node), None)
    if flow.recorded is None or not isinstance(node, ast.FunctionDef) or scope is None:
        return None
    facts = given(flow, node, scope.class_node)
    seen = ", ".join(f"{name} was {seen.text()}" for name, seen in facts.items() if seen.proves)
    if not seen:
        return None
    return Note(span, f"this rests on recorded calls only, in which {seen}")
