"""Copies of graph tensors that are only put away: numbers to look at, beside what is trained.

A copy is *put away* where it is stored in an attribute, in an entry of a container or appended to a
list, and *handed out* where it is part of what a function returns. Either is all that the numbers
of a log need, and neither shows that a gradient was wanted.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import is_returned, places_of
from gradfix.flow.nodes import walk
from gradfix.flow.state import Call
from gradfix.flow.values import Certainty, Kind, Value, parts_of

#: Methods that keep what they are given in a container.
_KEEPS = frozenset({"append", "appendleft", "add", "insert", "setdefault"})
#: Methods after which a tensor is numbers, or a tensor without history.
_NUMBERS = frozenset({"item", "tolist", "numpy", "detach", "data"})
#: Methods and attributes after which it still is the same tensor.
_SAME = frozenset({"cpu", "to", "float", "double", "clone", "view", "reshape", "squeeze"})
_SHOWS = frozenset({"print", "len", "repr", "str", "format"})


def is_only_reported(flow: ModuleFlow, call: Call) -> bool:
    """Whether a copy is only put away or handed out, and the gradient has another way to go.

    ``return loss, torch.tensor([a, b])`` hands out numbers for logging, and so does
    ``self.stats = torch.tensor([a, b])`` where nobody computes with ``stats``.
    """
    assert isinstance(call.node, ast.Call)
    places = places_of(flow, call.scope, call.node)
    if places is None:
        stored = _attribute_around(flow, call.node)
        return stored is not None and _is_only_looked_at(flow, stored) and _goes_on(flow, call)
    if any(_is_handed_out(flow, place) for place in places):
        return True
    if places and all(_is_detached(flow, place) for place in places):
        return True  # that no gradient was wanted is even said
    attributes = [_attribute_around(flow, place) for place in places]
    if not attributes or not _goes_on(flow, call):
        return False
    return all(at is not None and _is_only_looked_at(flow, at) for at in attributes)


def is_put_away(flow: ModuleFlow, call: Call) -> bool:
    """Whether no tensor that this file shows is computed from a copy that is stored somewhere."""
    if any(value.is_tensor for value in flow.consumers(call.node, lambda value: True)):
        return False
    assert isinstance(call.node, ast.Call)
    places = places_of(flow, call.scope, call.node) or [call.node]
    return any(_keeper_around(flow, place) is not None for place in places)


def _keeper_around(flow: ModuleFlow, place: ast.AST) -> ast.expr | None:
    """What a value is put into right here: an attribute, an entry, or the list it is added to."""
    parent = flow.parents.get(place)
    if isinstance(parent, (ast.Assign, ast.AnnAssign)) and parent.value is place:
        targets = parent.targets if isinstance(parent, ast.Assign) else [parent.target]
        kept = [one for one in targets if isinstance(one, (ast.Attribute, ast.Subscript))]
        return kept[0] if kept else None
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute):
        if parent.func.attr in _KEEPS and place in parent.args:
            return parent.func.value
    return None


def _attribute_around(flow: ModuleFlow, place: ast.AST) -> ast.Attribute | None:
    """The attribute that a value is put into, as a whole, as an entry or as an element."""
    keeper = _keeper_around(flow, place)
    while isinstance(keeper, ast.Subscript):
        keeper = keeper.value
    return keeper if isinstance(keeper, ast.Attribute) else None


def _is_only_looked_at(flow: ModuleFlow, attribute: ast.Attribute) -> bool:
    """Whether the file reads an attribute of this name at most for its numbers, or to add to it."""
    return all(
        _is_look(flow, node)
        for node in flow.attributes(attribute.attr)
        if isinstance(node.ctx, ast.Load)
    )


def _is_look(flow: ModuleFlow, node: ast.expr) -> bool:
    at: ast.AST = node
    while True:
        around = flow.parents.get(at)
        if isinstance(around, ast.Subscript) and around.value is at:
            if not isinstance(around.ctx, ast.Load):
                return True  # an entry is stored
        elif isinstance(around, ast.Attribute):
            if around.attr in _NUMBERS | _KEEPS | {"clear"}:
                return True
            if around.attr not in _SAME:
                return False
        elif isinstance(around, ast.Call):
            if around.func is not at:
                return isinstance(around.func, ast.Name) and around.func.id in _SHOWS
        else:
            return isinstance(around, ast.FormattedValue)
        at = around


def _is_detached(flow: ModuleFlow, place: ast.AST) -> bool:
    around = flow.parents.get(place)
    return isinstance(around, ast.Attribute) and around.attr in ("detach", "detach_")


def _is_handed_out(flow: ModuleFlow, place: ast.AST) -> bool:
    """Whether a place is one of several things that are returned, and another has a history."""
    around = flow.parents.get(place)
    if not isinstance(around, (ast.Tuple, ast.Dict)):
        return False
    if not is_returned(flow, around):
        return False
    items = around.elts if isinstance(around, ast.Tuple) else around.values
    others = [flow.value(item) for item in items if item is not place]
    return any(other.needs_grad is Certainty.YES for other in others)


def _goes_on(flow: ModuleFlow, call: Call) -> bool:
    """Whether the function also gives away what depends on all leaves that the copy depends on."""
    assert isinstance(call.node, ast.Call)
    leaves = {leaf for node in walk(call.node) for leaf in flow.value(node).leaves}
    for _, returned in call.scope.returns:
        for value in _tensors_in(returned):
            if value.needs_grad is Certainty.YES and leaves <= value.leaves:
                return True
    return False


def _tensors_in(value: Value) -> Iterator[Value]:
    if value.kind in (Kind.SEQUENCE, Kind.DICT):
        for part in parts_of(value):
            yield from _tensors_in(part)
    else:
        yield value
