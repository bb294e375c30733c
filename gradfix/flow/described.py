"""One value of another file, described in the terms of this one: kind by kind.

See the note in `gradfix.flow.elsewhere` for what crosses from one file to another.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from gradfix.flow.values import (
    UNKNOWN_MEMORY,
    Dim,
    Elsewhere,
    Kind,
    Role,
    Shape,
    Value,
    element_of,
    reference,
    replace,
    sequence,
    unknown,
)

if TYPE_CHECKING:
    from gradfix.flow.elsewhere import Others
    from gradfix.flow.module import ModuleFlow

#: How deeply containers and layers are described.
_NESTED = 6


def shared(value: Value, text: str) -> Value | None:
    """A value that the other file, of this text, may use and change at any time."""
    if value.kind in (Kind.UNKNOWN, Kind.DICT, Kind.INSTANCE) or value.name == "list":
        return None  # anybody may change what is in it
    if value.is_tensor:
        role = value.role
        if "requires_grad" in text and role == Role.UNTRACKED:
            role = Role.UNKNOWN  # it may become a leaf at any time
        return replace(value, storages=UNKNOWN_MEMORY, role=role)
    return value


class Description:
    """Describes the values of one other file."""

    def __init__(self, others: Others, home: ModuleFlow, fixed: bool) -> None:
        assert home.others is not None
        self.others = others
        self.home = home
        self.theirs = home.others
        self.path = home.others.path
        self.fixed = fixed

    def of(self, value: Value, depth: int) -> Value | None:
        """The description, None where there is none."""
        make = _BY_KIND.get(value.kind)
        return make(self, value, depth) if make is not None and depth < _NESTED else None

    def _inner(self, value: Value | None, depth: int) -> Value | None:
        if value is None:
            return None
        found = self.others.described(value, self.home, fixed=self.fixed, depth=depth + 1)
        return found or unknown()

    def _node(self, node: ast.AST | None) -> ast.AST | None:
        return None if node is None else self.others.stand_in(node, self.path)

    def _dim(self, dim: Dim) -> Dim:
        if isinstance(dim, str):
            return f"{dim}{self.others.mark(self.path)}" if self.fixed else None
        return dim

    def _plain(self, value: Value, depth: int) -> Value:
        symbol = self._dim(value.symbol)
        return Value(
            value.kind,
            Role.UNTRACKED,
            const=value.const,
            symbol=symbol if isinstance(symbol, str) else None,
            name=value.name,
        )

    def _sequence(self, value: Value, depth: int) -> Value | None:
        changes = value.name == "list" and self.fixed
        length = None if changes else self._dim(value.length)
        if value.items is None or changes:
            element = self._inner(element_of(value), depth)
            return sequence(None, element=element, length=length, name=value.name)
        items = [self._inner(item, depth) or unknown() for item in value.items]
        return sequence(items, name=value.name)

    def _dict(self, value: Value, depth: int) -> Value:
        element = self._inner(value.element, depth)
        return Value(Kind.DICT, Role.UNTRACKED, element=element, name=value.name)

    def _tensor(self, value: Value, depth: int) -> Value:
        role = value.role
        if self.others.flow.freezes_parameters and role & (Role.LEAF | Role.TRACKED):
            role |= Role.UNTRACKED
        shape: Shape | None = None
        if value.shape is not None:
            shape = tuple(map(self._dim, value.shape))
        storages = UNKNOWN_MEMORY
        if self.fixed:
            storages = frozenset(self.others.storage(s, self.path) for s in value.storages)
        return Value(
            Kind.TENSOR,
            role,
            self._node(value.node),
            "Parameter" if value.op == "Parameter" else "",
            storages=storages,
            shape=shape,
            dtype=None if self.others.flow.changes_dtypes else value.dtype,
            leaves=frozenset(self.others.leaf(leaf, self.path) for leaf in value.leaves),
            parameter=value.parameter,
            retains_grad=value.retains_grad,
            symbol=self._plain(value, depth).symbol,
        )

    def _layer(self, value: Value, depth: int) -> Value:
        attributes = {
            name: self._inner(inner, depth) or unknown()
            for name, inner in (value.attributes or {}).items()
        }
        items = None
        if value.items is not None:
            items = tuple(self._inner(item, depth) or unknown() for item in value.items)
        made = Value(
            Kind.MODULE,
            Role.UNTRACKED,
            self._node(value.node),
            "layer",
            (unknown(),) if value.inputs else (),
            items=items,
            element=self._inner(value.element, depth),
            name=value.name,
            attributes=attributes,
        )
        for name, inner in attributes.items():
            if inner.is_tensor:
                attributes[name] = replace(inner, owner=made)
        return made

    def _class(self, value: Value, depth: int) -> Value | None:
        node = value.definition
        path = self.theirs.home_of(node) or self.path
        found = self.others.class_at(node, path)
        if found is None or value.kind is Kind.CLASS:
            return found
        if self.others.may_be_anything(node):
            return None
        return replace(found, kind=Kind.INSTANCE, node=self._node(value.node), symbol=None)

    def _function(self, value: Value, depth: int) -> Value | None:
        definition = value.definition
        if value.owner is not None or definition is None:
            return None
        if isinstance(definition, Elsewhere):
            return self.others.function_at(definition.origin, definition.path)
        return self.others.function_at(definition, self.path)

    def _reference(self, value: Value, depth: int) -> Value | None:
        followed = self.theirs.follow(value)
        if followed.kind is not Kind.REFERENCE:
            return None  # what it holds there is described where it is imported from
        return reference(followed.name) if not followed.name.startswith(".") else None


_BY_KIND: dict[Kind, Callable[[Description, Value, int], Value | None]] = {
    Kind.NUMBER: Description._plain,
    Kind.STRING: Description._plain,
    Kind.FOREIGN: Description._plain,
    Kind.CONTEXT: Description._plain,
    Kind.SEQUENCE: Description._sequence,
    Kind.DICT: Description._dict,
    Kind.TENSOR: Description._tensor,
    Kind.MODULE: Description._layer,
    Kind.CLASS: Description._class,
    Kind.INSTANCE: Description._class,
    Kind.FUNCTION: Description._function,
    Kind.REFERENCE: Description._reference,
}
