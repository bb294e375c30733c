"""What a name can mean in a project, and how that was found out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

#: Gives the text of a file; None where there is none.
Read = Callable[[str], str | None]
#: Tells what lies in a folder, by name; None where that is not known.
Listing = Callable[[str], frozenset[str] | None]


def unlisted(folder: str) -> None:
    """A `Listing` that knows nothing."""
    return


class Releasable(Protocol):
    """What the analysis keeps, as far as this file knows it."""

    def release(self, paths: Iterable[str]) -> None:
        """Take apart what is known about some files."""


@dataclass(frozen=True, slots=True)
class Defined:
    """A class, function or value, and the file that defines it."""

    path: str
    name: str


@dataclass(frozen=True, slots=True)
class Outside:
    """A name that no file of the project defines."""

    name: str


@dataclass(frozen=True, slots=True)
class Folder:
    """A package, or a folder that Python takes for one."""

    path: str


@dataclass(frozen=True, slots=True)
class File:
    """A module."""

    path: str


Place = Defined | Outside | Folder | File | None


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """The paths that were looked for to find out what a name means, and which of them are there."""

    paths: frozenset[str]
    there: frozenset[str]
