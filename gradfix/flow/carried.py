"""Values with a history that go from one turn of a training loop into the next.

Terms: a value is *carried* when a name or an attribute of a Module holds it at the end of a turn
and the next turn's loss leads back to it. Its graph belongs to the turn before, whose backward has
freed it. A detached value, or one that is made anew in the loop, carries nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow import classes
from gradfix.flow.arguments import calls_to, given_for
from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.grad_switches import comes_round, enclosing_loops, is_conditional
from gradfix.flow.history import History
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.reached import returned_by_forward, run_by_forward
from gradfix.flow.state import AttributeStore, Backward, Call, GradMode, Scope, Turn
from gradfix.flow.training_steps import towards_losses
from gradfix.flow.values import Kind, Value

Loop = ast.For | ast.AsyncFor | ast.While


@dataclass(frozen=True, slots=True)
class Reuse:
    """One backward that goes through the graph of an earlier turn.

    ``carried`` is where the value gets into the next turn, or was made before the loop;
    ``step`` the update that spoils what a retained graph has saved, None where none is retained.
    """

    backward: ast.AST
    carried: ast.AST
    name: str
    before: bool
    step: ast.AST | None


def reuses(flow: ModuleFlow) -> Iterator[Reuse]:
    """Every backward in a loop that the graph of an earlier turn makes raise."""
    history = History(flow)
    yield from _over_calls(flow, history)
    for event in flow.all(Backward):
        loops = enclosing_loops(flow, event.node)
        turn = flow.turns.get(loops[0]) if loops else None
        if turn is None or event.mode is not GradMode.ON or is_meant_to_raise(flow, event.node):
            continue
        retained = _retains(flow, event.node)
        loop = loops[0]
        if retained is None or not comes_round(flow, event.node, event.node):
            continue
        step = _step_in(flow, loop) if retained else None
        if retained and step is None:
            continue  # the graph is there, and nobody has written over what it saved
        for carried, name, before in _carried(flow, history, event, loop, turn):
            if not (before and retained):
                yield Reuse(event.node, carried, name, before, step)
                break


def _over_calls(flow: ModuleFlow, history: History) -> Iterator[Reuse]:
    """Every backward in a method that is called in a loop and finds what the last call has kept."""
    for event in flow.all(Backward):
        scope, retained = event.scope, _retains(flow, event.node)
        if scope.class_node is None or enclosing_loops(flow, event.node) or retained is None:
            continue
        if event.mode is not GradMode.ON or is_conditional(flow, event.node, scope.node):
            continue
        step = _step_in(flow, scope.node) if retained else None
        if (retained and step is None) or not _is_called_in_a_loop(flow, scope):
            continue
        for store, reads in _stores_of(flow, scope):
            if _is_bound_elsewhere(flow, store) or not history.leads_back(store.value, reads):
                continue
            if history.saves(store.value) and history.leads_back(event.loss, [store.value, *reads]):
                yield Reuse(event.node, store.statement, f"self.{store.name}", False, step)
                break


def _is_called_in_a_loop(flow: ModuleFlow, scope: Scope) -> bool:
    return any(
        comes_round(flow, call.node, call.node)
        for call in calls_to(flow, scope.node)
        if enclosing_loops(flow, call.node)
    )


def _stores_of(flow: ModuleFlow, scope: Scope) -> Iterator[tuple[AttributeStore, list[Value]]]:
    """What a method puts into ``self``, and the values of the same attribute it has read before."""
    for store in flow.all(AttributeStore):
        if store.scope is scope and store.owner is flow.self_of(scope):
            yield store, _read_before(flow, store)


def _read_before(flow: ModuleFlow, store: AttributeStore) -> list[Value]:
    inside = set(walk(store.statement))
    return [
        flow.value(part)
        for part in walk(store.scope.node)
        if isinstance(part, ast.Attribute)
        and part.attr == store.name
        and isinstance(part.ctx, ast.Load)
        and isinstance(part.value, ast.Name)
        and (part in inside or flow.span(part) < flow.span(store.node))
    ]


def _is_bound_elsewhere(flow: ModuleFlow, store: AttributeStore) -> bool:
    """Whether anything but the constructor and this place binds, or detaches, the attribute."""
    for node in walk(flow.tree):
        if isinstance(node, ast.Attribute) and node.attr in (store.name, "detach_"):
            function = flow.enclosing(node, ast.FunctionDef)
            constructs = function is not None and function.name == "__init__"
            bound = not isinstance(node.ctx, ast.Load) and not constructs
            if node is not store.node and (bound or node.attr == "detach_"):
                return True
    return False


def _retains(flow: ModuleFlow, backward: ast.AST) -> bool | None:
    """Whether backward keeps its graph; None where that, or what it does, is not certain."""
    if not isinstance(backward, ast.Call):
        return None
    given = {keyword.arg: flow.value(keyword.value).const for keyword in backward.keywords}
    if None in given or "create_graph" in given or "inputs" in given or len(backward.args) > 1:
        return None
    flag = given.get("retain_graph", False)
    return flag if isinstance(flag, bool) else None


def _step_in(flow: ModuleFlow, around: ast.AST) -> ast.AST | None:
    """The optimizer's step in a loop or method: of what also has its gradients zeroed."""
    calls = [
        (node, node.func.attr, flow.source_of(node.func.value))
        for node in walk(around)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]
    zeroed = {text for _, name, text in calls if name == "zero_grad"}
    for node, name, text in calls:
        assert isinstance(node.func, ast.Attribute)
        if name == "step" and not node.args:
            if text in zeroed or flow.value(node.func.value).kind is Kind.OPTIMIZER:
                return node
    return None


def _carried(
    flow: ModuleFlow, history: History, event: Backward, loop: Loop, turn: Turn
) -> Iterator[tuple[ast.AST, str, bool]]:
    if any(
        isinstance(node, ast.Attribute) and node.attr in ("detach_", "set_") for node in walk(loop)
    ):
        return
    inside = set(walk(loop))
    for name, binding in turn.head.settled().env.items():
        mine = [d for d in binding.definitions if d.node in inside]
        if mine:
            end = turn.end.get(name)
            if end is not None and _goes_round(history, event.loss, binding.value, end.value):
                if not _is_handed_out(flow, loop, name, event.scope):
                    yield mine[0].statement or mine[0].node, name, False
        elif _made_before(flow, history, event, binding.value):
            yield next(iter(binding.definitions)).node, name, True
    yield from _kept_by_model(flow, history, event, loop)


def _goes_round(history: History, loss: Value, head: Value, end: Value) -> bool:
    """Whether the loss leads back into the turn before, to a graph that backward has freed."""
    if head is end or not history.leads_back(loss, [head]):
        return False
    if history.leads_back(end, [head]):
        return history.saves(end)
    parts = {id(value) for value in history.behind(loss)}
    return id(end) in parts and end.op != "join" and history.saves(end)


def _is_handed_out(flow: ModuleFlow, loop: Loop, name: str, scope: Scope) -> bool:
    """Whether something that may detach it in place is given the value by its name."""
    towards = towards_losses(flow)
    for call in flow.all(Call):
        node = call.node
        if call.scope is not scope or node in towards or not isinstance(node, ast.Call):
            continue
        if call.name.startswith(("torch.", "builtins.", ".")) or loop not in enclosing_loops(
            flow, node
        ):
            continue
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        if any(
            isinstance(n, (ast.Name, ast.Attribute)) and flow.source_of(n) == name for n in given
        ):
            return True
    return False


def _made_before(flow: ModuleFlow, history: History, event: Backward, value: Value) -> bool:
    """Whether the loss of every turn certainly leads back to the graph of a value made once."""
    if value.op == "join" or value.node is None or flow.freezes_parameters:
        return False
    if not value.is_tracked and value.kind is not Kind.UNKNOWN:
        return False
    return history.keeps(value) and history.saves(value) and history.leads_back(event.loss, [value])


# -- kept in an attribute of the model ----------------------------------------------------------

#: Methods of a Module that leave its attributes alone.
_PLAIN_METHODS = frozenset("train eval zero_grad parameters named_parameters forward to".split())


def _kept_by_model(
    flow: ModuleFlow, history: History, event: Backward, loop: Loop
) -> Iterator[tuple[ast.AST, str, bool]]:
    """What the model that computes the loss keeps from one call to the next."""
    inside = set(walk(loop))
    for value in history.behind(event.loss):
        node = value.node
        if not isinstance(node, ast.Call) or node not in inside:
            continue
        model = _instance(flow, flow.value(node.func), event.scope)
        if model is None or enclosing_loops(flow, node)[:1] != [loop]:
            continue
        text = flow.source_of(node.func)
        touched = {
            part.attr
            for part in inside
            if isinstance(part, ast.Attribute) and flow.source_of(part.value) == text
        }
        for name, place in _carried_attributes(flow, history, model):
            if touched <= _PLAIN_METHODS:
                yield place, f"self.{name}", False


def _instance(flow: ModuleFlow, function: Value, scope: Scope) -> Value | None:
    """The Module of this file that is called, also where it is an argument of the function."""
    if function.kind is Kind.INSTANCE and classes.is_module(flow, function):
        return function
    names = [name for name, value in scope.arguments.items() if value is function]
    if not names or not isinstance(scope.node, ast.FunctionDef):
        return None
    given = [given_for(call, scope, names[0]) for call in calls_to(flow, scope.node)]
    if len({value.definition for value in given}) == 1 and given[0].kind is Kind.INSTANCE:
        return given[0] if classes.is_module(flow, given[0]) else None
    return None


def _carried_attributes(
    flow: ModuleFlow, history: History, model: Value
) -> Iterator[tuple[str, ast.AST]]:
    """The attributes that ``forward`` computes from what the last call has left in them."""
    node = model.definition
    if not isinstance(node, ast.ClassDef) or not history.is_plain(model):
        return
    running = run_by_forward(flow, node)
    stores = [
        store
        for store in flow.all(AttributeStore)
        if store.scope.class_node is node and store.owner is flow.self_of(store.scope)
    ]
    for name in sorted({store.name for store in stores}):
        mine = [s for s in stores if s.name == name and s.scope.name in running]
        if len(mine) != 1 or mine[0].mode is not GradMode.ON:
            continue
        if mine[0].scope.name != "forward" and not returned_by_forward(flow, mine[0].scope):
            continue
        reads = _read_before(flow, mine[0])
        value = mine[0].value
        results = [result for _, result in mine[0].scope.returns]
        if (
            reads
            and history.leads_back(value, reads)
            and history.saves(value)
            and results
            and all(history.leads_back(result, [value, *reads]) for result in results)
        ):
            yield name, mine[0].statement
