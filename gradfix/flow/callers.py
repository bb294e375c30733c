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

from gradfix.flow.arguments import calls_to, given_for
from gradfix.flow.classes import is_initialiser
from gradfix.flow.module import ModuleFlow
from gradfix.flow.queries import is_backward_from, is_differentiated
from gradfix.flow.state import Call, GradMode, Scope
from gradfix.flow.values import Certainty, Shape, Value, join_all
from gradfix.model import Note, Span
from gradfix.recorded import FileFacts, Function, Seen, digest_of, key_of, source_of

#: Without one of these a function neither writes in place nor copies numbers out of tensors.
_MATTERS = re.compile(r"\.\w+_\(|[-+*/]=|\][ \t]*=(?!=)|ensor\(|inplace")
_DIFFERENTIABLE = frozenset({"default", "float16", "bfloat16", "float32", "float64"})


def facts_of_callers(flow: ModuleFlow) -> FileFacts | None:
    """The arguments that certainly require grad in every call of the file; None for none."""
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
    if not isinstance(function, ast.FunctionDef) or function.decorator_list:
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
    if not all(call.mode is GradMode.ON and _goes_on(flow, call) for call in calls):
        return {}
    found: dict[str, Seen] = {}
    for name in scope.arguments:
        given = [given_for(call, scope, name) for call in calls]
        if all(map(_requires_grad, given)):
            one = join_all(given)
            dtype = one.dtype if one.dtype in _DIFFERENTIABLE else None
            found[name] = Seen("tensor", _shape(one), dtype, requires_grad=True)
    return found


def _goes_on(flow: ModuleFlow, call: Call) -> bool:
    return is_differentiated(flow, call.node) or is_backward_from(flow, call.node)


def _requires_grad(value: Value) -> bool:
    return value.is_tensor and value.needs_grad is Certainty.YES


def _shape(value: Value) -> tuple[int | None, ...] | None:
    shape: Shape | None = value.shape
    if shape is None:
        return None
    return tuple(dim if isinstance(dim, int) else None for dim in shape)
