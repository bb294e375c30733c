"""NumPy functions that are given tensors with a history: they raise, and a loss is lost."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.loss_terms import differentiated, terms
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import Call, GradMode, Scope
from gradfix.flow.values import Certainty, Kind, element_of
from gradfix.flow.walk import Walk

#: What is done to the stacked tensors in place of a NumPy function on their list.
_METHODS = {"numpy.sum": ".sum()", "numpy.mean": ".mean()", "numpy.array": "", "numpy.stack": ""}
#: Methods of arrays that tensors have, too, where they are called without arguments.
_SHARED = frozenset({"sum", "mean", "max", "min", "prod"})


@dataclass(frozen=True, slots=True)
class NumpyCall:
    """A NumPy function of a list of tensors; ``method`` follows ``stack(...)``, None if unknown.

    ``certain``: the call certainly raises. ``place`` is where the result is differentiated.
    """

    call: ast.Call
    scope: Scope
    method: str | None
    certain: bool
    place: ast.AST | None


def numpy_of_losses(flow: ModuleFlow) -> Iterator[NumpyCall]:
    """Every such call that raises, or whose result is differentiated."""
    places: dict[ast.AST, ast.AST] | None = None
    for call in list(flow.all(Call)):
        node = call.node
        if call.name not in _METHODS or call.mode is not GradMode.ON:
            continue
        if not isinstance(node, ast.Call) or len(node.args) != 1 or node.keywords:
            continue
        data = call.arguments[0]
        if data.kind is not Kind.SEQUENCE or data.name in ("generator", "starred"):
            continue
        places = _differentiated_arrays(flow) if places is None else places
        place, element = places.get(node), element_of(data)
        if element is None or is_meant_to_raise(flow, node):
            continue
        tracked = element.needs_grad is Certainty.YES
        if place is None and not (tracked and call.scope.name == ""):
            continue  # whoever calls the function may have switched grad mode off
        if element.kind not in (Kind.TENSOR, Kind.UNKNOWN):
            continue
        never_empty = isinstance(data.length, int) and data.length > 0
        method = _METHODS[call.name] if call.name not in _ARRAYS else _method_of(flow, node)
        yield NumpyCall(node, call.scope, method, tracked and never_empty, place)


_ARRAYS = frozenset({"numpy.array", "numpy.stack"})


def _method_of(flow: ModuleFlow, node: ast.Call) -> str | None:
    """Nothing need be added where a tensor does what is asked of the array."""
    around = flow.parents.get(node)
    asked = flow.parents.get(around) if isinstance(around, ast.Attribute) else None
    if isinstance(around, ast.Attribute) and around.attr in _SHARED:
        if isinstance(asked, ast.Call) and not asked.args and not asked.keywords:
            return ""
    return None


def _differentiated_arrays(flow: ModuleFlow) -> dict[ast.AST, ast.AST]:
    """The expressions that make arrays on which, computed on, ``backward`` is called, and where."""
    found: dict[ast.AST, ast.AST] = {}
    for place, loss in list(differentiated(flow)):
        walk = Walk(terms(loss))
        for at in walk:
            if at.kind is not Kind.FOREIGN:
                continue
            walk.further(at.inputs)
            if at.node is not None:
                found.setdefault(at.node, place)
    return found
