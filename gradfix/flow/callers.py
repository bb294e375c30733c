"""What the calls of a file say about the arguments of its functions, put as recorded facts.

A function is interpreted for whatever it may be given, so of its arguments nothing is known. Where
every call that the file shows gives a tensor that certainly requires grad, with grad mode on, and
goes on with the result to where the loss can be, what goes wrong for such a tensor does go wrong.
Other files may call the function otherwise: this shows that there is a fault, never that there is
none.
"""

from __future__ import annotations

import ast
import re

from gradfix.flow.arguments import calls_to, given_by
from gradfix.flow.classes import is_initialiser
from gradfix.flow.entries import name_of
from gradfix.flow.module import ModuleFlow
from gradfix.flow.queries import flow_sinks, is_backward_from, is_differentiated
from gradfix.flow.state import Call, GradMode, Scope
from gradfix.flow.telling_words import may_know_leaves
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Shape, Value, element_of, join_all
from gradfix.model import Note, Span
from gradfix.recorded import FileFacts, Function, Seen, digest_of, key_of, source_of

#: Without one of these a function does not write in place, copy numbers or make leaves.
_MATTERS = re.compile(r"\.\w+_\(|[-+*/]=|\][ \t]*=(?!=)|ensor\(|inplace|\bParameter\(")
#: Decorators that only say how a method is called.
_BOUND = frozenset({"staticmethod", "classmethod"})
_DIFFERENTIABLE = frozenset({"default", "float16", "bfloat16", "float32", "float64"})


def facts_of_callers(flow: ModuleFlow) -> FileFacts | None:
    """The arguments that certainly require grad in every call of the file; None for none."""
    if not may_know_leaves(flow.text):
        return None
    candidates = [scope for scope in flow.scopes if _matters(flow, scope)]
    if not candidates:
        return None
    flow.complete(frozenset(f"{scope.name}(" for scope in candidates))
    found: dict[str, Function] = {}
    for scope in candidates:
        calls = calls_to(flow, scope.node)
        seen = _seen(flow, scope, calls) if calls else {}
        if calls and seen:
            owner = scope.class_node.name if scope.class_node is not None else None
            assert isinstance(scope.node, ast.FunctionDef)
            source = digest_of(source_of(scope.node, flow.lines))
            found[key_of(owner, scope.name)] = Function(source, len(calls), seen)
    return FileFacts("", found) if found else None


def _matters(flow: ModuleFlow, scope: Scope) -> bool:
    """Whether a function can have a fault that depends on what it is given."""
    function = scope.node
    if not isinstance(function, ast.FunctionDef):
        return False
    if any(name_of(decorator) not in _BOUND for decorator in function.decorator_list):
        return False
    if is_initialiser(scope.name) or scope.name == "forward" or function.args.vararg is not None:
        return False
    return _MATTERS.search(flow.text_of(function)) is not None


def call_of(flow: ModuleFlow, span: Span) -> Note | None:
    """The first call of the function around a place, as a step of a finding's story."""
    calls = calls_to(flow, flow.function_at(span.row))
    if not calls:
        return None
    return flow.note(calls[0].node, "the function is given a tensor that requires grad here")


def _seen(flow: ModuleFlow, scope: Scope, calls: list[Call]) -> dict[str, Seen]:
    """The arguments of one function that are tensors which require grad in all its calls."""
    if not all(call.mode is GradMode.ON for call in calls):
        return {}
    found: dict[str, Seen] = {}
    passed = [{at.arg: value for at, value in given_by(call, scope.node)} for call in calls]
    for name in scope.arguments:
        given = [values[name] for values in passed if name in values]
        if len(given) < len(calls):
            continue
        held = [_held(value) if value.kind is Kind.SEQUENCE else None for value in given]
        lists = [value for value in held if value is not None]
        if all(map(_requires_grad, given)):
            found[name] = _seen_as("tensor", join_all(given))
        elif len(lists) == len(given) and all(map(_requires_grad, lists)):
            found[name] = _seen_as("tensors", join_all(lists))
    return found if found and all(_goes_on(flow, call) for call in calls) else {}


def _seen_as(kind: str, one: Value) -> Seen:
    dtype = one.dtype if one.dtype in _DIFFERENTIABLE else None
    return Seen(kind, _shape(one), dtype, requires_grad=True)


def _held(value: Value) -> Value | None:
    """What a list holds when it is given; the call itself may put anything into it."""
    element = element_of(value)
    if element is None or element.op != "join" or len(element.inputs) != 2:
        return element
    anything, before = element.inputs
    added = anything.kind is Kind.UNKNOWN and anything.node is None and not anything.inputs
    return before if added else element


def _goes_on(flow: ModuleFlow, call: Call) -> bool:
    """Whether what a call returns goes on, differentiably, to where the loss can be."""
    if is_differentiated(flow, call.node) or is_backward_from(flow, call.node):
        return True
    if call.result.needs_grad is not Certainty.NO:
        return False
    # Its history is lost: then nothing that is computed from it has one either.
    known: frozenset[ast.AST] | None = flow.__dict__.get("_computed_on")
    if known is None:
        known = flow.__dict__["_computed_on"] = flow.sources(flow_sinks(flow), _is_computed)
    return call.node in known or call.node in flow_sinks(flow)


def _is_computed(value: Value) -> bool:
    """Whether a value would have a history if what it was computed from had one."""
    if value.kind in (Kind.UNKNOWN, Kind.SEQUENCE, Kind.DICT):
        return True
    if value.kind is not Kind.TENSOR or value.cut or value.op in ("detach", "data"):
        return False
    op = op_facts(value.op, "function") or op_facts(value.op, "method")
    return op is None or (op.differentiable and not op.zero_grad)


def _requires_grad(value: Value) -> bool:
    return value.is_tensor and value.needs_grad is Certainty.YES


def _shape(value: Value) -> tuple[int | None, ...] | None:
    shape: Shape | None = value.shape
    if shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else None for dim in shape)
