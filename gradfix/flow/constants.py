"""`Enum` and `IntFlag` as the analysis needs them: members that are looked up ten times faster.

Before Python 3.12 ``Kind.TENSOR`` of an `enum.Enum` goes through a method of its metaclass, and
``role & Role.LEAF`` of an `enum.IntFlag` through another. The analysis does little else as often.
Type checkers are shown the originals (see `gradfix.flow.values`); what is missing here is missed
by no part of the analysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

#: A set of flags is a number, and so is one of them.
IntFlag = int


class _Members(type):
    """Makes a member of every text that the body of a class binds to a name in capitals."""

    def __init__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> None:
        super().__init__(name, bases, body)
        cls.members = tuple(cls._member(name, body[name]) for name in body if name.isupper())

    def _member(cls, name: str, value: str) -> object:
        member = cls()
        member.name, member.value = name, value
        setattr(cls, name, member)
        return member

    def __iter__(cls) -> Iterator[object]:
        return iter(cls.members)


class Enum(metaclass=_Members):
    """Named members, each the only one of its name; compared and hashed by identity."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"
