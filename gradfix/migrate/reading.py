"""Reads campaign files: TOML, or a plain list of repositories, one in a line.

Strict like the configuration: an unknown key, a wrong type or a repository that is listed twice is
a `ConfigError` that names the file and the line.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gradfix import rules
from gradfix.config_types import Reader
from gradfix.errors import ConfigError
from gradfix.migrate.campaign import BRANCH, PATCH, TIMEOUT, Campaign, Repository
from gradfix.migrate.naming import is_url, named, wrong_branch, wrong_name
from gradfix.migrate.places import TOP, Places

_SHARED = (
    "author", "branch", "deliver-untested", "ignore", "isolated", "message", "output", "paths",
    "push", "ref", "select", "test", "timeout", "unsafe-fixes", "verify",
)  # fmt: skip
TOP_KEYS = (*_SHARED, "folder", "jobs", "repositories", "repository")
REPOSITORY_KEYS = (*_SHARED, "name", "path", "url")

Changes = Mapping[str, Any]  # what the command line says about every repository


@dataclass(frozen=True, slots=True)
class _Listed:
    """A repository as it is listed: where, by which path or URL, and under which name, if any."""

    row: int | None
    source: str
    table: Mapping[str, Any]
    number: int = TOP


def read(path: Path, changes: Changes, folder: str | None = None) -> Campaign:
    """The campaign in a file. Raises ConfigError for whatever is wrong with it."""
    text = _text(path)
    shown = str(path)
    if path.suffix == ".toml":
        table = _parsed(text, shown)
        reader = _Table(table, shown, Places(text), TOP, TOP_KEYS)
        listed = _listed(reader, table)
        folder = folder or reader.string("folder")
        jobs = reader.number("jobs", int)
    else:
        reader = _Table({}, shown, Places(""), TOP, TOP_KEYS)
        listed, jobs = _plain(text), None
    if not listed:
        raise ConfigError(f"{shown}: lists no repository")
    repositories = _repositories(reader, listed, changes, path)
    where = path.parent / (folder or f"{path.stem}.gradfix")
    return Campaign(path, where.absolute(), repositories, int(jobs) if jobs else None)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
        return raw.decode("utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{row}: not UTF-8: {error.reason}") from error


def _parsed(text: str, shown: str) -> dict[str, Any]:
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        document: dict[str, Any] = tomllib.loads(text)
    except ValueError as error:
        message = str(error)
        found = re.search(r" \(at line (\d+), column \d+\)", message)
        row = f":{found[1]}" if found else ""
        message = message.replace(found[0], "") if found else message
        raise ConfigError(f"{shown}{row}: not valid TOML: {message}") from error
    return document


class _Table(Reader):
    """A table of the file whose errors name the line."""

    def __init__(
        self,
        table: Mapping[str, Any],
        shown: str,
        places: Places,
        number: int,
        known: tuple[str, ...],
    ) -> None:
        super().__init__(table, shown)
        self.shown, self.places, self.table_number = shown, places, number
        for key in table:
            if key not in known:
                raise self.error(key, f"unknown key {key!r}{rules.did_you_mean(key, known)}")

    def at(self, key: str) -> str:
        """The file and the line of a key."""
        row = self.places.row(self.table_number, key) or self.places.row(self.table_number)
        return f"{self.shown}:{row}" if row else self.shown

    def error(self, key: str, message: str) -> ConfigError:
        """An error about one key."""
        return ConfigError(f"{self.at(key)}: {message}")

    def wrong(self, key: str, expected: str) -> ConfigError:
        """The error for a value that is not ``expected``."""
        return self.error(key, f"{key!r} must be {expected}")

    def has(self, key: str) -> bool:
        """Whether the table says anything about a key."""
        return key in self._table

    def selectors(self, key: str) -> tuple[str, ...]:
        """A list of codes, checked, as it was written."""
        given = self.strings(key)
        for selector in given:
            rules.resolve(selector, self.at(key))
        return tuple(given)

    def choice(self, key: str, known: tuple[str, ...], default: str) -> str:
        """One of a few words."""
        value = self.string(key)
        if value is not None and value not in known:
            hint = rules.did_you_mean(value, known)
            raise self.error(key, f"{key!r} must be {' or '.join(map(repr, known))}{hint}")
        return value or default

    def command(self, key: str) -> tuple[str, ...] | None:
        """A command: a string for the shell, or a list of arguments; None when absent or empty."""
        value = self._table.get(key)
        if isinstance(value, str):
            return ("sh", "-c", value) if value.strip() else None
        if value is None or (isinstance(value, list) and all(isinstance(v, str) for v in value)):
            return tuple(value) if value else None
        raise self.wrong(key, "a command, or a list of a command and its arguments")


def _listed(reader: _Table, table: Mapping[str, Any]) -> list[_Listed]:
    listed = [
        _Listed(reader.places.item("repositories", source), source, {})
        for source in reader.strings("repositories")
    ]
    tables = table.get("repository", [])
    if not isinstance(tables, list) or not all(isinstance(item, dict) for item in tables):
        raise reader.error("repository", "'repository' must be tables: [[repository]]")
    for number, item in enumerate(tables):
        one = _Table(item, reader.shown, reader.places, number, REPOSITORY_KEYS)
        path, url = one.string("path"), one.string("url")
        if (path is None) == (url is None):
            raise one.error("", "a repository needs either 'path' or 'url'")
        if url is not None and not is_url(url):
            raise one.error("url", f"{url!r} is no URL (a folder is a 'path')")
        source = url or (path if path is None or not is_url(path) else os.path.join(".", path))
        if not source:
            raise one.error("path", "'path' must not be empty")
        listed.append(_Listed(reader.places.row(number), source, item, number))
    return listed


def _plain(text: str) -> list[_Listed]:
    lines = ((row, line.strip()) for row, line in enumerate(text.splitlines(), start=1))
    return [_Listed(row, line, {}) for row, line in lines if line and not line.startswith("#")]


def _repositories(
    reader: _Table, listed: list[_Listed], changes: Changes, path: Path
) -> tuple[Repository, ...]:
    default = _told(Repository("", ""), reader)
    names = _derived(listed)
    done: dict[str, int | None] = {}
    result = []
    for item, derived in zip(listed, names, strict=True):
        places = reader.places
        one = _Table(item.table, reader.shown, places, item.number, REPOSITORY_KEYS)
        name = one.string("name") or derived
        at = f"{reader.shown}:{item.row}" if item.row else reader.shown
        if complaint := wrong_name(name):
            raise ConfigError(f"{at}: {complaint}")
        if name in done:
            first = f" (line {done[name]})" if done[name] else ""
            raise ConfigError(
                f"{at}: {(one.string('name') or item.source)!r} is listed twice{first};"
                " give one of them another 'name'"
            )
        done[name] = item.row
        local = not is_url(item.source)
        source = _absolute(path, item.source) if local else item.source
        told = default if item.number == TOP else _told(default, one)
        told = replace(told, name=name, source=source, local=local, **changes)
        _check(told, one if one.has("output") or one.has("push") else reader, at)
        result.append(told)
    return tuple(result)


def _derived(listed: list[_Listed]) -> list[str]:
    """What each is called that has no name of its own; for the others, what does not matter."""
    unnamed = [item.source for item in listed if "name" not in item.table]
    names = iter(named(unnamed))
    return ["" if "name" in item.table else next(names) for item in listed]


def _told(base: Repository, table: _Table) -> Repository:
    """``base`` changed by what a table says."""
    say: dict[str, Any] = {}
    for key in ("unsafe-fixes", "verify", "isolated", "deliver-untested", "push"):
        if table.has(key):
            say[key.replace("-", "_")] = table.boolean(key)
    for key in ("ref", "branch", "message", "author"):
        if table.has(key):
            say[key] = table.string(key)
    for key in ("select", "ignore"):
        if table.has(key):
            say[key] = table.selectors(key)
    if table.has("paths"):
        say["paths"] = tuple(table.strings("paths"))
        _check_paths(say["paths"], table)
    if table.has("test"):
        say["test"] = table.command("test")
    if table.has("timeout"):
        say["timeout"] = table.number("timeout", float) or TIMEOUT
    if table.has("output"):
        say["output"] = table.choice("output", (BRANCH, PATCH), BRANCH)
    told = replace(base, **say)
    if complaint := wrong_branch(told.branch):
        raise table.error("branch", complaint)
    if told.author and not re.fullmatch(r"[^<>\n]*[^<>\s][^<>\n]* <[^<>\s]+>", told.author):
        raise table.error("author", "'author' must be of the form \"Name <mail>\"")
    if not told.ref or told.ref.startswith("-"):
        raise table.error("ref", f"{told.ref!r} is no branch, tag or commit")
    return told


def _check_paths(paths: tuple[str, ...], table: _Table) -> None:
    for path in paths:
        if os.path.isabs(path) or os.path.normpath(path).split(os.sep)[0] == os.pardir:
            raise table.error("paths", f"{path!r} does not lie in the repository")


def _check(repository: Repository, table: _Table, at: str) -> None:
    if repository.output == BRANCH and not repository.local and not repository.push:
        raise ConfigError(
            f"{at}: a branch of a URL has to be pushed:"
            f" say push = true, or output = {PATCH!r} for a patch file"
        )


def _absolute(file: Path, source: str) -> str:
    return os.path.abspath(os.path.join(file.parent, os.path.expanduser(source)))
