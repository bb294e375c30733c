"""Copies of graph tensors whose plain numbers are what is meant: weights, targets, reports.

Terms: the elements of a copy have *another way* where all leaves behind them also reach, with their
history, what the copy goes into: ``w = torch.tensor([a, b]); loss = w[0] * a + w[1] * b`` runs, and
whether the weights are constants on purpose is not known. A copy is *used again* where it is made
once, and backward is called in every turn of a loop on what is computed from it: with a history the
second turn would go through a graph that the first has freed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.grad_switches import comes_round, enclosing_loops
from gradfix.flow.history import History
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import is_in
from gradfix.flow.queries import is_backward_from, origins
from gradfix.flow.state import Backward, Call
from gradfix.flow.values import Certainty, Kind, Leaf, Value, parts_of

_CARRIERS = frozenset({Kind.TENSOR, Kind.SEQUENCE, Kind.DICT, Kind.UNKNOWN})


def has_another_way(flow: ModuleFlow, call: Call, data: Value) -> bool:
    """Whether every leaf behind the data also reaches what the copy goes into, with its history."""
    leaves: set[Leaf] = set()
    for element in _tensors_in(data):
        leaves |= element.leaves
    if not leaves:
        return False
    history = History(flow)
    return any(
        value.needs_grad is Certainty.YES
        and leaves <= value.leaves
        and leaves <= _computed_with(history.behind(value))
        for value in _becomes(flow, call)
    )


#: What a penalty on a weight is made of: it says nothing about what the weight is for.
_PENALTIES = frozenset("pow square abs norm sum mean sqrt add sub neg join call write".split())


def _computed_with(values: list[Value]) -> set[Leaf]:
    """The leaves that something is computed with, and not only a penalty on their size."""
    found: set[Leaf] = set()
    for value in values:
        operands = [one for one in value.inputs if one.kind is not Kind.NUMBER]
        scaled = value.op in ("mul", "div") and len(operands) == 1
        if value.is_tracked and not scaled and value.op not in _PENALTIES:
            found |= value.leaves
    return found


def are_numbers_meant(flow: ModuleFlow, call: Call, data: Value) -> bool:
    """Whether a copy with a history would certainly be another thing than what is meant."""
    again = is_used_again(flow, call)
    if again is not None and again.loss.needs_grad is not Certainty.NO:
        return True
    return is_of_the_past(flow, call, data)


def is_used_again(flow: ModuleFlow, call: Call) -> Backward | None:
    """A backward that comes again and again on what is computed from a copy that is made once."""
    around = enclosing_loops(flow, call.node)
    becomes: set[ast.AST] | None = None
    for event in flow.all(Backward):
        loops = enclosing_loops(flow, event.node)
        if event.scope is not call.scope or not loops or loops[0] in around:
            continue
        if not comes_round(flow, event.node, event.node):
            continue
        if becomes is None:
            becomes = {v.node for v in _becomes(flow, call) if v.node is not None} | {call.node}
        if not becomes.isdisjoint(origins(flow, event.loss)):
            return event
    return None


def is_of_the_past(flow: ModuleFlow, call: Call, data: Value) -> bool:
    """Whether backward has gone through the graph of the data before the copy is made.

    Either it was called on one of the elements, or on what was computed from one; also elsewhere in
    the file, where the copy is made of what was kept, and nothing that is computed from it is
    differentiated. Or the function has trained by then, and the copy is only given away.
    """
    here = [event for event in flow.all(Backward) if event.scope is call.scope]
    before = [event for event in here if flow.span(event.node) < flow.span(call.node)]
    if _is_report(flow, call, here, before):
        return True
    history = History(flow)
    trained = is_backward_from(flow, call.node)
    for element in _tensors_in(data):
        part, functions = _behind_calls(flow, element)
        kept = not trained and part.node is not None and not is_in(call.scope, part.node)
        for event in flow.all(Backward):
            if event in before:
                if _meets(history, part, event):
                    return True
            elif event.scope.node in functions or (kept and event not in here):
                if history.saves(part) and _is_among(part, history.behind(event.loss)):
                    return True
    return False


def _meets(history: History, value: Value, event: Backward) -> bool:
    """Whether the history of a value leads into a graph that a backward has freed."""
    given = event.node.keywords if isinstance(event.node, ast.Call) else []
    if any(keyword.arg in ("retain_graph", "create_graph", None) for keyword in given):
        return False
    freed = {id(one) for one in history.behind(event.loss)}
    return any(id(one) in freed and history.saves(one) for one in history.behind(value))


def _is_among(value: Value, values: list[Value]) -> bool:
    return any(other is value for other in values)


def _is_report(flow: ModuleFlow, call: Call, here: list[Backward], before: list[Backward]) -> bool:
    """Whether a function that has finished its training gives away a copy that nobody trains."""
    if not before or before != here or is_backward_from(flow, call.node):
        return False
    loops = enclosing_loops(flow, call.node)
    return all(set(loops).isdisjoint(enclosing_loops(flow, event.node)) for event in here)


def _behind_calls(flow: ModuleFlow, value: Value) -> tuple[Value, set[ast.AST]]:
    """What functions of this file have returned, for the value of a call, and those functions."""
    functions: set[ast.AST] = set()
    seen: set[int] = set()
    while value.op == "call" and value.inputs and id(value) not in seen:  # some lead to themselves
        seen.add(id(value))
        if isinstance(value.node, ast.Call):
            called = flow.value(value.node.func).definition
            functions |= {called} if called is not None else set()
        value = value.inputs[0]
    return value, functions


def _tensors_in(value: Value) -> Iterator[Value]:
    if value.is_tensor and value.op == "join":  # one of those that a list is filled with
        for part in value.inputs:
            yield from _tensors_in(part)
    elif value.is_tensor:
        yield value
    elif value.kind in (Kind.SEQUENCE, Kind.DICT):
        for part in parts_of(value):
            yield from _tensors_in(part)


def _becomes(flow: ModuleFlow, call: Call) -> Iterator[Value]:
    """Everything that is computed from a copy."""
    yield from flow.consumers(call.node, lambda value: value.kind in _CARRIERS)
