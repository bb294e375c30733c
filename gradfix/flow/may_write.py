"""Whether a function of the file may write in place to what a call hands it, on some path.

What it writes on every path are events (`argument_writes`). Who moves a use of a tensor behind a
call has to know about the others, too, and about writes through names that the function gives it.
"""

from __future__ import annotations

import ast
import re

from gradfix.flow.arguments import expressions_given, given_by
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import FUNCTIONS, walk
from gradfix.flow.state import Call
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import SOMEWHERE, Kind, parts_of
from gradfix.words import mentions

#: How many calls inside each other are looked through.
_DEEPEST = 4
#: What writes in place, as a text shows it.
_WRITES = re.compile(
    r"(?:[-+*/@%&|^]|<<|>>)=(?!=)|\]\s*=(?!=)|\w_\(|\bout=|\binplace|\.data\b|setattr"
)
_RUN_OTHERS = frozenset({"map", "exec", "eval", "setattr", "reduce"})
_HARMLESS = ("torch.", "builtins.", "math.", "numpy.")
_CALLED = (*FUNCTIONS, ast.Lambda)
_DEFINED = (*_CALLED, ast.ClassDef)


def writes_what_it_is_given(flow: ModuleFlow, call: Call, storages: frozenset[object]) -> bool:
    """Whether a call may write to one of some memories, which it is handed by an argument."""
    return any(
        (value.storages - {SOMEWHERE}) & storages and may_write(flow, call.callee, argument)
        for argument, value in given_by(call, call.callee)
    )


def may_change(flow: ModuleFlow, call: Call, storages: frozenset[object]) -> bool:
    """Whether nothing shows that a call leaves some memories as they are.

    Functions of the file may hold them in other ways than by an argument, and show in their text
    that they write; those of PyTorch say by their names; the others are only known by what they
    are given.
    """
    if call.callee is not None:
        made = isinstance(call.callee, _DEFINED)
        return not made or _WRITES.search(flow.text_of(call.callee)) is not None
    last = call.name.rpartition(".")[2]
    if last.endswith("_") or last in _RUN_OTHERS or call.keyword("out") is not None:
        return True
    layer = call.called is not None and call.called.kind is Kind.MODULE
    if layer and mentions(flow.text, "inplace"):
        return True
    if layer or call.name.startswith(_HARMLESS) or op_facts(last, "method"):
        return False
    given = [*call.arguments, *(value for _, value in call.keywords)]
    return any(
        (part.storages - {SOMEWHERE}) & storages
        for value in given
        for part in (value, *parts_of(value))
    )


def may_write(
    flow: ModuleFlow, function: ast.AST | None, argument: ast.arg, depth: int = 0
) -> bool:
    """Whether the text of a function, or of one that it calls, writes to an argument."""
    if not isinstance(function, _CALLED) or depth > _DEEPEST:
        return False
    names = {argument.arg}
    for node in walk(function):
        if isinstance(node, ast.Assign) and _root(node.value) in names:
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    for node in walk(function):
        if isinstance(node, ast.AugAssign):
            written = _root(node.target) in names
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            written = _root(node) in names
        elif isinstance(node, ast.Call):
            written = _call_writes(node, names) or _hands_on(flow, node, names, depth)
        else:
            written = False
        if written:
            return True
    return False


def _call_writes(node: ast.Call, names: set[str]) -> bool:
    method = node.func
    if isinstance(method, ast.Attribute) and _root(method) in names:
        if method.attr.endswith("_") and not method.attr.endswith("__"):
            return True
    for keyword in node.keywords:
        if keyword.arg == "out" and _root(keyword.value) in names:
            return True
        if keyword.arg == "inplace" and any(_root(given) in names for given in node.args):
            return True
    return False


def _hands_on(flow: ModuleFlow, node: ast.Call, names: set[str], depth: int) -> bool:
    if not any(isinstance(given, ast.Name) and given.id in names for given in node.args):
        return False
    return any(
        isinstance(given, ast.Name)
        and given.id in names
        and may_write(flow, call.callee, argument, depth + 1)
        for call in flow.all(Call)
        if call.node is node
        for argument, given in expressions_given(call, node)
    )


def _root(node: ast.AST) -> str:
    """The name that an expression starts from: ``x`` of ``x[0].view(3)``."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
