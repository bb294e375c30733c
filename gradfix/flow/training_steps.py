"""The order of backward, zero_grad and step: gradients that are read before they exist, or lost.

Terms: an *optimizer* is named by the expression its methods are called on. A gradient is *lost*
when it is zeroed after backward has filled it and before a step has used it. A leaf is *unfilled*
at a place that no backward can come before.
"""

from __future__ import annotations

import ast
import bisect
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import TypeGuard

from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.grad_switches import enclosing_loops, is_conditional, trainers
from gradfix.flow.indexes import places
from gradfix.flow.layers import has_weights
from gradfix.flow.methods import ESCAPES
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.optimizers import models_of, optimizers, parameters_given
from gradfix.flow.queries import origins
from gradfix.flow.state import Backward, Call, GradRead, OptimizerMade
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Role, Value


@dataclass(frozen=True, slots=True)
class Lost:
    """A step without gradients: where they come from, where they are zeroed, where they lack."""

    backward: ast.AST
    zeroed: ast.AST
    step: ast.AST


@dataclass(frozen=True, slots=True)
class Unfilled:
    """A ``.grad`` that is used while it is certainly None, and the leaf it belongs to."""

    read: ast.AST
    leaf: ast.AST


# -- zeroed before the step ---------------------------------------------------------------------


def lost_gradients(flow: ModuleFlow) -> Iterator[Lost]:
    """Every ``zero_grad`` that a ``step`` of the same optimizer follows without a backward."""
    zeroed = [call for call in flow.all(Call) if call.name == ".zero_grad"]
    if not zeroed:
        return
    flow.complete()
    backwards = {event.node for event in flow.all(Backward)}
    towards = towards_losses(flow)
    for call in zeroed:
        if not _is_statement(flow, call):
            continue
        names = _optimizers_zeroed(flow, call)
        block, at = flow.place_of(call.statement)
        for later in flow.following(call.statement):
            step = _step_of(flow, later, names)
            if step is not None:
                backward = _filled_by(flow, block, at, later, names, backwards)
                if backward is not None:
                    yield Lost(backward, call.node, step)
                break
            if not _is_harmless(flow, later, towards):
                break


def _is_statement(flow: ModuleFlow, call: Call) -> bool:
    return isinstance(call.statement, ast.Expr) and call.statement.value is call.node


def _optimizers_zeroed(flow: ModuleFlow, call: Call) -> frozenset[str]:
    """The optimizers, by the text that names them, whose gradients are all zeroed here."""
    assert isinstance(call.node, ast.Call) and isinstance(call.node.func, ast.Attribute)
    if any(value.const is False for value in (*call.arguments, *(v for _, v in call.keywords))):
        return frozenset()  # zeros, not None: momentum and weight decay still do something
    base = flow.source_of(call.node.func.value)
    found = {base}
    for made in optimizers(flow):
        given = parameters_given(made.node) if isinstance(made.node, ast.Call) else None
        is_all = isinstance(given, ast.Call) and isinstance(given.func, ast.Attribute)
        if given is None or not is_all or not _is_same_model(flow, made, call, base):
            continue
        if [flow.source_of(model) for model in models_of(given)] == [base]:
            found |= _targets(flow, made)
    return frozenset(found)


def _is_same_model(flow: ModuleFlow, made: OptimizerMade, call: Call, text: str) -> bool:
    """Whether a text means the same model in two places: one function, or methods of one class."""
    if made.scope is call.scope:
        return True
    facts = flow.class_facts(call.scope.class_node)
    base, _, name = text.partition(".")
    same = facts is not None and made.scope.class_node is call.scope.class_node
    return same and base == "self" and facts is not None and facts.written.get(name) == 1


def _targets(flow: ModuleFlow, made: OptimizerMade) -> set[str]:
    statement = made.statement
    return {
        flow.source_of(target)
        for target in (statement.targets if isinstance(statement, ast.Assign) else ())
        if isinstance(target, (ast.Name, ast.Attribute))
    }


def _step_of(flow: ModuleFlow, statement: ast.stmt, names: frozenset[str]) -> ast.AST | None:
    """The call ``optimizer.step()`` without a closure, when the statement is nothing else."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call) or call.args or call.keywords:
        return None
    if isinstance(call.func, ast.Attribute) and call.func.attr == "step":
        return call if flow.source_of(call.func.value) in names else None
    return None


def _is_harmless(flow: ModuleFlow, statement: ast.stmt, towards: frozenset[ast.AST]) -> bool:
    """Whether a statement certainly fills no gradient: all it calls is known."""
    if not isinstance(statement, (ast.Expr, ast.Assign, ast.AugAssign, ast.AnnAssign)):
        return False
    for node in walk(statement):
        if isinstance(node, ast.Attribute) and node.attr == "grad":
            return False
        if isinstance(node, ast.Call) and node not in towards and not _is_known(flow, node):
            return False
    return True


def _is_known(flow: ModuleFlow, call: ast.Call) -> bool:
    function = flow.value(call.func)
    if function.kind is Kind.REFERENCE:
        return function.name.startswith(("torch.", "builtins.", "numpy.", "math.", "time."))
    if isinstance(call.func, ast.Attribute):
        return call.func.attr in ("item", "append", "zero_grad", "detach", "cpu", "format")
    return False


def _filled_by(
    flow: ModuleFlow,
    block: list[ast.stmt],
    zeroed: int,
    step: ast.stmt,
    names: frozenset[str],
    backwards: Set[ast.AST],
) -> ast.AST | None:
    """The backward whose gradients are lost: before the zeroing, or behind the step of a loop."""
    for at in range(zeroed - 1, -1, -1):
        statement = block[at]
        if _step_of(flow, statement, names) is not None:
            break
        found = _plain_backward(statement, backwards)
        if found is not None:
            return found
    if not enclosing_loops(flow, step) or block is not enclosing_loops(flow, step)[0].body:
        return None
    inside = [node for statement in block for node in walk(statement)]
    steps = [
        node
        for node in inside
        if isinstance(node, ast.Attribute) and node.attr in ("step", "minimize", "update")
    ]
    if sum(flow.source_of(node.value) in names or node.attr != "step" for node in steps) != 1:
        return None
    found_behind = [
        found
        for statement in flow.following(step)
        if (found := _plain_backward(statement, backwards)) is not None
    ]
    return found_behind[0] if found_behind else None


def _plain_backward(statement: ast.stmt, backwards: Set[ast.AST]) -> ast.AST | None:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return value if value in backwards else None


# -- zeroed while they are collected ------------------------------------------------------------


def zeroed_collections(flow: ModuleFlow) -> Iterator[Lost]:
    """Every ``zero_grad`` that throws away what a loop has collected for the step of the same turn.

    In a loop that steps every n-th turn, it stands under the condition of the step and before the
    backward of that turn: what the turns before have added is lost.
    """
    backwards = {event.node for event in flow.all(Backward)}
    for call in flow.all(Call) if backwards else ():
        guard = flow.parents.get(call.statement)
        if call.name != ".zero_grad" or not _is_statement(flow, call):
            continue
        if not isinstance(guard, ast.If) or guard.orelse or len(guard.body) != 1:
            continue
        loops = enclosing_loops(flow, guard)
        if (
            not loops
            or guard not in loops[0].body
            or not _comes_in_turns(flow, guard.test, loops[0])
        ):
            continue
        names = _optimizers_zeroed(flow, call)
        if not _steps_alone(flow, loops[0], names):
            continue
        backward: ast.AST | None = None
        for later in loops[0].body[loops[0].body.index(guard) + 1 :]:
            if _is_same_guard(later, guard):
                steps = (_step_of(flow, statement, names) for statement in later.body)
                step = next(filter(None, steps), None)
                if step is not None and backward is not None:
                    yield Lost(backward, call.node, step)
                break
            if _binds_any(later, guard.test):
                break
            backward = backward or _plain_backward(later, backwards)


def _comes_in_turns(flow: ModuleFlow, test: ast.expr, loop: ast.AST) -> bool:
    """Whether a condition with ``%`` counts the turns of a loop."""
    counted = {n.left.id for n in walk(test)
               if isinstance(n, ast.BinOp) and isinstance(n.op, ast.Mod)
               and isinstance(n.left, ast.Name)}  # fmt: skip
    added = {
        node.target.id
        for node in walk(loop)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name)
    }
    target = loop.target if isinstance(loop, (ast.For, ast.AsyncFor)) else None
    bound = {n.id for n in walk(target) if isinstance(n, ast.Name)} if target else set()
    return not counted.isdisjoint(added | bound)


def _steps_alone(flow: ModuleFlow, loop: ast.AST, names: frozenset[str]) -> bool:
    """Whether nothing else in the loop steps or zeroes: another optimizer may step every turn."""
    calls = [
        node
        for node in walk(loop)
        if isinstance(node, ast.Attribute) and node.attr in ("step", "zero_grad")
    ]
    own = [node for node in calls if flow.source_of(node.value) in names]
    return len(calls) == len(own) == 2


def _is_same_guard(statement: ast.stmt, guard: ast.If) -> TypeGuard[ast.If]:
    return isinstance(statement, ast.If) and ast.dump(statement.test) == ast.dump(guard.test)


def _binds_any(statement: ast.stmt, test: ast.expr) -> bool:
    """Whether a statement binds a name that a condition reads."""
    read = {node.id for node in walk(test) if isinstance(node, ast.Name)}
    return any(
        isinstance(node, ast.Name) and node.id in read and not isinstance(node.ctx, ast.Load)
        for node in walk(statement)
    )


# -- read before it exists ----------------------------------------------------------------------


def unfilled(flow: ModuleFlow) -> Iterator[Unfilled]:
    """Every use of a ``.grad`` that is None, in the same function as the leaf it belongs to."""
    for read in flow.all(GradRead):
        used = flow.parents.get(read.node)
        made = _made_at(flow, read.tensor)
        if read.store or made is None or not isinstance(used, _NEEDS_A_TENSOR):
            continue
        scope = read.scope.node
        if flow.span(made) > flow.span(read.node) or is_conditional(flow, read.node, scope):
            continue
        if any(body_of(flow, node) is not scope for node in (made, read.node)):
            continue
        if not _is_tried(flow, read.node) and not _may_be_filled(flow, read, made):
            yield Unfilled(read.node, made)


def _is_tried(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether the function around goes on after an error at this place."""
    tried = flow.enclosing(node, ast.Try)
    return is_meant_to_raise(flow, node) or (tried is not None and bool(tried.handlers))


_NEEDS_A_TENSOR = (ast.Attribute, ast.BinOp, ast.UnaryOp, ast.AugAssign)


def body_of(flow: ModuleFlow, node: ast.AST) -> ast.AST | None:
    """The function, lambda, class or module whose body a place stands in."""
    at = flow.parents.get(node)
    while at is not None and not isinstance(at, (*_BODIES, ast.Module)):
        at = flow.parents.get(at)
    return at


_BODIES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def _made_at(flow: ModuleFlow, tensor: Value) -> ast.AST | None:
    """Where a leaf was made, when it certainly is one and may get no gradient unseen."""
    if tensor.is_tensor and tensor.role & Role.LEAF and tensor.owner is None:
        made = origins(flow, tensor)
        (one,) = made if len(made) == 1 else (None,)
        return one if one is not None and flow.value(one).is_leaf else None
    owner = tensor.owner
    if tensor.op == "Parameter" and owner is not None and owner.kind is Kind.MODULE:
        sure = tensor.role & Role.LEAF and has_weights(owner) is Certainty.YES
        return owner.node if sure else None
    return None


def _may_be_filled(flow: ModuleFlow, read: GradRead, made: ast.AST) -> bool:
    """Whether something between the making of a leaf and a place may give it a gradient."""
    start, end = flow.span(made), flow.span(read.node)
    backward = places(flow, Backward).get(read.scope, [])
    at = bisect.bisect_right(backward, start)
    if at < len(backward) and backward[at] < end:
        return True
    if any(place < end for place in places(flow, GradRead).get(read.scope, [])[:1]):
        return True
    flow.complete()
    training, towards = trainers(flow), towards_losses(flow)
    return any(
        start < flow.span(call.node) < end
        and (call.callee in training or (not _fills_nothing(flow, call) and _is_given(call, made)))
        for call in flow.all(Call)
        if call.scope is read.scope and call.node not in towards
    )


def towards_losses(flow: ModuleFlow) -> frozenset[ast.AST]:
    """What the losses are computed by; a function whose result is differentiated does not do so."""
    queue = [event.loss for event in flow.all(Backward)]
    seen: set[int] = set()
    found: set[ast.AST] = set()
    while queue:
        value = queue.pop()
        if id(value) not in seen:
            seen.add(id(value))
            found |= {value.node} if value.node is not None else set()
            queue += value.inputs
    return frozenset(found)


def _fills_nothing(flow: ModuleFlow, call: Call) -> bool:
    """Whether a call certainly calls no backward: PyTorch, Python, a layer or a tensor's method."""
    if call.name.startswith("torch.autograd.backward"):
        return False
    if call.name.startswith(_PLAIN):
        return True
    if call.receiver is not None and call.name.startswith("."):
        name = call.name[1:]
        known = op_facts(name, "method") is not None or name in ESCAPES
        return known or call.receiver.kind in _HARMLESS
    return isinstance(call.node, ast.Call) and flow.value(call.node.func).kind is Kind.MODULE


_HARMLESS = frozenset({Kind.SEQUENCE, Kind.DICT, Kind.NUMBER, Kind.STRING, Kind.MODULE})
_PLAIN = ("torch.", "builtins.", "numpy.", "math.", "random.", "time.")


def _is_given(call: Call, made: ast.AST) -> bool:
    """Whether a call is handed a tensor, or anything that was made from it."""
    receiver = () if call.receiver is None else (call.receiver,)
    queue = [*receiver, *call.arguments, *(value for _, value in call.keywords)]
    seen: set[int] = set()
    while queue:
        value = queue.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if value.node is made or any(leaf.node is made for leaf in value.leaves):
            return True
        queue += [*value.inputs, *(value.items or ())]
        queue += [value.element] if value.element is not None else []
    return False
