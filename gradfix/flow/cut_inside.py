"""Functions of the file that return what depends on an argument, but not its history.

A Module that computes its result from its argument under ``no_grad`` cuts off what the caller
passes in. The call is then a cut like ``.detach()`` is, made at a place inside the function.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gradfix.flow.methods import ESCAPES
from gradfix.flow.nodes import walk
from gradfix.flow.state import GradMode
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Role, Value, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.state import Scope


#: What stands before a class that is called for a name or an attribute.
_HOLDER = re.compile(r"\s*(?:\w+\.)*(\w+)\s*=\s*")


@dataclass(frozen=True, slots=True)
class CutInside:
    """A call whose result has lost the history of an argument, and where that happens."""

    function: ast.FunctionDef
    place: ast.AST


def with_cuts(
    flow: ModuleFlow, node: ast.AST, function: ast.AST | None, called: Value, given: Sequence[Value]
) -> Value:
    """The result of a call, with a cut where the history of what is ``given`` ends inside."""
    if not isinstance(function, ast.FunctionDef):
        return called
    if not any(value.is_tensor and value.needs_grad is Certainty.YES for value in given):
        return called
    if called.kind is Kind.SEQUENCE:
        items = called.items
        known = None if items is None else tuple(_cut(flow, node, function, i) for i in items)
        inner = called.element
        each = None if inner is None else _cut(flow, node, function, inner)
        return replace(called, items=known, element=each)
    return _cut(flow, node, function, called)


def _cut(flow: ModuleFlow, node: ast.AST, function: ast.FunctionDef, called: Value) -> Value:
    if called.cut or not called.inputs or called.kind not in _RESULTS:
        return called
    found = where_cut(called.inputs[0], function)
    if found is None:
        return called
    place, name = found
    flow.cut_calls[node] = CutInside(function, place)
    cut = replace(called, cut=name)
    flow.made.append(cut)
    return cut


_RESULTS = (Kind.TENSOR, Kind.NUMBER, Kind.FOREIGN)


def callers_of_cuts(flow: ModuleFlow) -> frozenset[str] | None:
    """Words that callers of functions have which return an argument's value without its history.

    None where it is not clear who calls them.
    """
    words: set[str] = set()
    for scope in _cutting(flow):
        if scope.class_node is not None and scope.name in ("forward", "__call__"):
            holders = _holders(flow, scope.class_node.name)
            if holders is None:
                return None
            words |= holders
        else:
            words.add(scope.name)
    return frozenset(words)


def _holders(flow: ModuleFlow, name: str) -> set[str] | None:
    """The names and attributes that hold objects of a class; None where others may, too."""
    holders: set[str] = set()
    text = flow.text
    at = text.find(name)
    while at >= 0:
        line = text[text.rfind("\n", 0, at) + 1 : at]
        at = text.find(name, at + len(name))
        if line.strip() != "class":
            holder = _HOLDER.fullmatch(line)
            if holder is None:
                return None
            holders.add(holder[1])
    return holders


def _cutting(flow: ModuleFlow) -> Iterator[Scope]:
    for scope in flow.scopes:
        result = scope.result if scope.returns else None
        if result is None or not isinstance(scope.node, ast.FunctionDef):
            continue
        for part in (result, *parts_of(result)):
            if part.kind in _RESULTS and where_cut(part, scope.node) is not None:
                yield scope
                break


def where_cut(result: Value, function: ast.FunctionDef) -> tuple[ast.AST, str] | None:
    """The place where the result loses the history of an argument, and the operation's name.

    None where it depends on no argument, or keeps the history of one on some way.
    """
    arguments = {*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs}
    keeping = _Walk(arguments)
    if keeping.reaches(result):
        return None
    queue, seen = [result], set()
    while queue:
        value = queue.pop(0)
        if id(value) in seen:
            continue
        seen.add(id(value))
        name = _name_of_cut(value)
        if name and any(map(keeping.reaches, value.inputs)):
            return (value.node, name) if value.node is not None else None
        queue += value.inputs
    return None


class _Walk:
    """Whether values were made from arguments, and have their history."""

    def __init__(self, arguments: set[ast.arg]) -> None:
        self._arguments = arguments
        self._known: dict[int, bool] = {}

    def reaches(self, value: Value) -> bool:
        """Whether ``value`` is an argument, or may have the history of one."""
        if id(value) not in self._known:
            self._known[id(value)] = False
            blocked = bool(_name_of_cut(value)) or _is_no_tensor(value)
            self._known[id(value)] = value.node in self._arguments or (
                not blocked and any(map(self.reaches, value.inputs))
            )
        return self._known[id(value)]


def _is_no_tensor(value: Value) -> bool:
    return value.kind not in (Kind.TENSOR, Kind.UNKNOWN, Kind.SEQUENCE, Kind.DICT)


def _name_of_cut(value: Value) -> str:
    """How an operation drops the history of what it computes with; empty where it does not."""
    if value.kind is Kind.TENSOR:
        if value.op in ("detach", "data"):
            return value.op
        op = op_facts(value.op, "function") or op_facts(value.op, "method")
        if op is not None and op.zero_grad:
            return value.op
        if value.role != Role.UNTRACKED or op is None or op.factory or op.like:
            return "no_grad" if value.role == Role.UNTRACKED and value.op == "select" else ""
        return "no_grad" if all(any(s.differentiable_results) for s in op.signatures) else ""
    node = value.node
    if value.kind is Kind.UNKNOWN:
        if isinstance(node, ast.Attribute):
            return "data" if node.attr == "data" else ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            op = op_facts(node.func.attr, "method")
            known = node.func.attr in ESCAPES or (op is not None and op.zero_grad)
            return node.func.attr if known else ""
        return ""
    if value.kind in (Kind.NUMBER, Kind.FOREIGN) and value.op in ESCAPES:
        return value.op
    return "float" if value.op == "escape" else ""


def hands_on_nothing(flow: ModuleFlow, function: ast.FunctionDef) -> bool:
    """Whether what a function is given certainly reaches nothing but its result."""
    for node in walk(function):
        if isinstance(node, (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom, ast.Lambda)):
            return False
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            return False
        if isinstance(node, ast.Call) and not _is_known(flow, node):
            return False
    return True


def _is_known(flow: ModuleFlow, call: ast.Call) -> bool:
    """Whether a call neither keeps nor differentiates what it is given."""
    statement = flow.enclosing(call, ast.stmt)
    if statement is not None and flow.modes.get(statement) is GradMode.OFF:
        return True
    function = flow.value(call.func)
    if function.kind is Kind.REFERENCE:
        return function.name.startswith(("torch.", "builtins.", "math."))
    if not isinstance(call.func, ast.Attribute):
        return False
    return op_facts(call.func.attr, "method") is not None or call.func.attr in ESCAPES
