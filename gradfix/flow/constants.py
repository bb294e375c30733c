"""`Enum` and `IntFlag` as the analysis needs them: members that are looked up ten times faster.

Before Python 3.12 ``Kind.TENSOR`` of an `enum.Enum` goes through a method of its metaclass, and
``role & Role.LEAF`` of an `enum.IntFlag` through another. The analysis does little else as often.
So ``class Kind(Enum)`` makes no class here, but one object that has the members as attributes:
Python reads those of an object faster than those of any class. Type checkers are shown the
originals (see `gradfix.flow.values`); what is missing here is missed by no part of the analysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class _Members:
    """The members of one enumeration, each an object of its own ``kind``."""

    def __init__(self, kind: type, body: dict[str, Any]) -> None:
        for name in body:
            if name.isupper():
                member = kind()
                member.name, member.value = name, body[name]
                setattr(self, name, member)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.__dict__.values())


class _Flags:
    """A set of flags is a number, and so is each of them."""

    def __init__(self, body: dict[str, Any]) -> None:
        for name in body:
            if name.isupper():
                setattr(self, name, body[name])

    def __call__(self, bits: int) -> int:
        return bits


class _MakesMembers(type):
    """Makes a member of every text that the body of a class binds to a name in capitals."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        made = super().__new__(cls, name, bases, {"__module__": body["__module__"]})
        return _Members(made, body) if bases else super().__new__(cls, name, bases, body)


class _MakesFlags(type):
    """Makes a flag of every number that the body of a class binds to a name in capitals."""

    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        return _Flags(body) if bases else super().__new__(cls, name, bases, body)


class Enum(metaclass=_MakesMembers):
    """Named members, each the only one of its name; compared and hashed by identity."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"{type(self).__name__}.{self.name}"


class IntFlag(metaclass=_MakesFlags):
    """Named numbers that stand for one bit each."""
