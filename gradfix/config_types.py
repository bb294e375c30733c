"""The typed pieces of a configuration, and how they are read from TOML without guessing."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gradfix import rules
from gradfix.errors import ConfigError

if TYPE_CHECKING:
    import pathspec

_NAME = re.compile(r"[\w.-]*\w[\w.-]*")


@dataclass(frozen=True, slots=True)
class PathPatterns:
    """Patterns as in a ``.gitignore`` that lies in the folder ``root``."""

    root: str
    patterns: tuple[str, ...]

    def covers(self, path: str, *, folder: bool = False) -> bool:
        """Whether ``path`` or a folder above it matches; outside ``root`` only its name counts."""
        below = os.path.relpath(os.path.abspath(path), self.root).replace(os.sep, "/")
        if below.startswith("../"):
            below = os.path.basename(below)
        return _spec(self.patterns).match_file(below + "/" if folder else below)

    def prunes(self, path: str, *, folder: bool = False) -> bool:
        """Whether a walk that reached the folder of ``path`` should leave ``path`` out.

        A walk can start inside an excluded folder, because it was asked for by name; then what
        lies in there is not excluded for its folder's sake.
        """
        name = os.path.basename(path)
        anywhere = _anywhere(self.patterns)
        plain = _plain(anywhere)
        if plain is not None:
            if name in plain:
                return True
        elif _spec(anywhere).match_file(name + "/" if folder else name):
            return True
        if len(anywhere) == len(self.patterns):
            return False
        return self.covers(path, folder=folder) and not self.covers(
            os.path.dirname(path), folder=True
        )


@lru_cache(maxsize=256)
def _anywhere(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """The patterns that do not say in which folder."""
    return tuple(p for p in patterns if "/" not in p.rstrip("/"))


@lru_cache(maxsize=256)
def _plain(patterns: tuple[str, ...]) -> frozenset[str] | None:
    """The names that are excluded, where the patterns are nothing but names.

    As the default ones are: then pathspec, which is slow to import, is not needed.
    """
    return frozenset(patterns) if all(map(_NAME.fullmatch, patterns)) else None


@lru_cache(maxsize=256)
def _spec(patterns: tuple[str, ...]) -> pathspec.GitIgnoreSpec:
    import pathspec

    return pathspec.GitIgnoreSpec.from_lines(patterns)


@dataclass(frozen=True, slots=True)
class PerFileIgnore:
    """Codes to leave out for the files that match (or, negated, for all the others)."""

    patterns: PathPatterns
    negated: bool
    codes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Case:
    """How to build and call one target, as Python expressions."""

    init: str | None = None
    inputs: tuple[str, ...] = ()
    kwargs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VerifySection:
    """``[tool.gradfix.verify]``; None where the configuration says nothing. Memory is in MiB."""

    cases: Mapping[str, Case] = field(default_factory=dict)
    cases_file: str | None = None
    seeds: tuple[int, ...] | None = None
    timeout: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class BlackSettings:
    """The project's own settings for black, as far as they decide how code looks."""

    line_length: int = 88
    target_version: tuple[str, ...] = ()
    string_normalization: bool = True
    magic_trailing_comma: bool = True
    preview: bool = False


@dataclass(frozen=True, slots=True)
class Overrides:
    """The command line's say; None or empty where it says nothing.

    An empty ``baseline`` means none, whatever the configuration says.
    """

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] = ()
    extend_select: tuple[str, ...] = ()
    unsafe_fixes: bool | None = None
    exclude: tuple[str, ...] | None = None
    extend_exclude: tuple[str, ...] = ()
    force_exclude: bool | None = None
    baseline: str | None = None


class Reader:
    """Reads the values of one table; every method raises ConfigError for a wrong type."""

    def __init__(self, table: Mapping[str, Any], origin: str) -> None:
        self._table = table
        self._origin = origin

    def wrong(self, key: str, expected: str) -> ConfigError:
        """The error for a value that is not ``expected``."""
        return ConfigError(f"{self._origin}: {key!r} must be {expected}")

    def boolean(self, key: str) -> bool:
        """A boolean, False when absent."""
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def strings(self, key: str) -> list[str]:
        """A list of strings, empty when absent."""
        value = self._table.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings")
        return value

    def codes(self, key: str) -> frozenset[str]:
        """All codes the selectors of a list mean. Raises ConfigError for an unknown one too."""
        meant: frozenset[str] = frozenset()
        for selector in self.strings(key):
            meant |= rules.resolve(selector, self._origin)
        return meant

    def table(self, key: str) -> Mapping[str, Any]:
        """A table, empty when absent."""
        value = self._table.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return value

    def string(self, key: str) -> str | None:
        """A string, None when absent."""
        value = self._table.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def version(self, key: str) -> str | None:
        """A version such as ``2.4``, None when absent."""
        value = self.string(key)
        if value is not None and not re.fullmatch(r"\d+(\.\d+){1,2}", value):
            raise self.wrong(key, 'a version such as "2.4"')
        return value

    def number(self, key: str, kind: type[int] | type[float]) -> float | None:
        """A positive number, None when absent."""
        value = self._table.get(key)
        kinds = (int,) if kind is int else (int, float)
        if value is None:
            return None
        if not isinstance(value, kinds) or isinstance(value, bool) or not value > 0:
            raise self.wrong(key, "a positive whole number" if kind is int else "positive")
        return value

    def integers(self, key: str) -> tuple[int, ...] | None:
        """A list of whole numbers, None when absent."""
        value = self._table.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            raise self.wrong(key, "a list of whole numbers")
        return tuple(value)

    def per_file_ignores(self, key: str, root: str) -> tuple[PerFileIgnore, ...]:
        """A table from path patterns (``!`` negates) to lists of codes."""
        table = self.table(key)
        inner = Reader(table, f"{self._origin}: [{key}]")
        return tuple(
            PerFileIgnore(
                PathPatterns(root, (pattern.removeprefix("!"),)),
                pattern.startswith("!"),
                inner.codes(pattern),
            )
            for pattern in table
        )


def reader_for(table: Mapping[str, Any], origin: str, known: Sequence[str]) -> Reader:
    """A reader of a table that may hold only ``known`` keys; raises ConfigError otherwise."""
    for key in table:
        if key not in known:
            raise ConfigError(f"{origin}: unknown key {key!r}{rules.did_you_mean(key, known)}")
    return Reader(table, origin)


def verify_section(table: Mapping[str, Any], origin: str) -> VerifySection:
    """Read ``[tool.gradfix.verify]``. Raises ConfigError for anything it does not know."""
    read = reader_for(table, origin, ("cases", "cases-file", "seeds", "timeout", "memory"))
    cases = {}
    for target, given in read.table("cases").items():
        name = f"{origin} case {target!r}"
        if not isinstance(given, dict):
            raise ConfigError(f"{name} must be a table with init, inputs and kwargs")
        case = reader_for(given, name, ("init", "inputs", "kwargs"))
        kwargs = case.table("kwargs")
        if not all(isinstance(value, str) for value in kwargs.values()):
            raise case.wrong("kwargs", "a table of strings")
        cases[target] = Case(case.string("init"), tuple(case.strings("inputs")), dict(kwargs))
    memory = read.number("memory", int)
    return VerifySection(
        cases,
        read.string("cases-file"),
        read.integers("seeds"),
        read.number("timeout", float),
        None if memory is None else int(memory),
    )


def black_section(table: Mapping[str, Any]) -> BlackSettings:
    """Read ``[tool.black]`` leniently: it is not ours to complain about."""
    length = table.get("line-length", 88)
    target = table.get("target-version", [])
    target = [target] if isinstance(target, str) else target
    return BlackSettings(
        line_length=length if isinstance(length, int) else 88,
        target_version=tuple(map(str, target)) if isinstance(target, list) else (),
        string_normalization=not table.get("skip-string-normalization", False),
        magic_trailing_comma=not table.get("skip-magic-trailing-comma", False),
        preview=bool(table.get("preview", False)),
    )
