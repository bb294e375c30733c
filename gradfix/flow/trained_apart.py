"""Elements of a container that the file trains by themselves, or computes with in another type.

``[self.make(net, lr) for net in model.nets]`` with a ``make`` that builds an optimizer: registered,
they would be trained twice. Layers that ``net.bfloat16()`` does not reach stay as precise as their
class needs them.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from gradfix.flow.nodes import last_name, walk
from gradfix.flow.state import Call
from gradfix.flow.taken_errors import definitions
from gradfix.flow.values import Kind

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow

_TRAINS = re.compile(r"\bparameters\(|\boptim\b")
_CASTS = re.compile(r"\.(?:float|double|to|type|type_as)\(")
_NARROW = re.compile(r"float16|bfloat16|half|double|float64")
_CONVERSIONS = frozenset({".half", ".bfloat16", ".double", ".to", ".type"})


def handed_to_be_trained(flow: ModuleFlow, reads: Iterable[ast.AST]) -> bool:
    """Whether elements go to functions of the file that build optimizers, or ask for Parameters."""
    for read in reads:
        for call in _given_elements(flow, read):
            made = definitions(flow, last_name(call.func))
            if any(_TRAINS.search(flow.text_of(one)) for one in made):
                return True
    return False


def _given_elements(flow: ModuleFlow, read: ast.AST) -> Iterator[ast.Call]:
    """The calls that one element after the other is an argument of."""
    at, around = read, flow.parents.get(read)
    while isinstance(around, ast.Call) and at in around.args:  # enumerate(model.nets)
        at, around = around, flow.parents.get(around)
    if isinstance(around, ast.For) and around.iter is at:
        target: ast.AST = around.target
        bodies: list[ast.AST] = [*around.body]
    elif isinstance(around, ast.comprehension) and around.iter is at:
        target, outer = around.target, flow.parents.get(around)
        bodies = [] if outer is None else [outer]
    else:
        return
    names = {node.id for node in walk(target) if isinstance(node, ast.Name)}
    for body in bodies:
        for node in walk(body):
            if isinstance(node, ast.Call) and any(
                isinstance(given, ast.Name) and given.id in names for given in node.args
            ):
                yield node


def converted(flow: ModuleFlow, owner: ast.AST) -> str:
    """Words for it where the file changes the type of Modules, and the class ``owner`` casts.

    Without a cast the layers that are not reached raise today.
    """
    if _CASTS.search(flow.text_of(owner)) is None:
        return ""
    for call in flow.all(Call):
        changed = call.receiver is not None and call.receiver.kind in (Kind.INSTANCE, Kind.MODULE)
        if changed and call.name in _CONVERSIONS and isinstance(call.node, ast.Call):
            if _NARROW.search(flow.text_of(call.node)) is not None:
                row = flow.span(call.node).row
                return f"line {row} changes the type of a Module, which reaches them from now on"
    return ""
