"""Configuration: ``[tool.gradfix]`` in ``pyproject.toml``, or the top level of ``gradfix.toml``.

Strict: an unknown key, a wrong type or an unknown code is a `ConfigError` that names the file.
Each source file is governed by the nearest configuration above it, under the command line's flags.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradfix import rules
from gradfix.config_types import (
    BlackSettings,
    Overrides,
    PathPatterns,
    PerFileIgnore,
    VerifySection,
    black_section,
    reader_for,
    verify_section,
)
from gradfix.errors import ConfigError

if TYPE_CHECKING:
    from gradfix.recorded import FileFacts

DEFAULT_EXCLUDE = (
    ".bzr",
    ".direnv",
    ".eggs",
    ".git",
    ".gradfix_cache",
    ".git-rewrite",
    ".hg",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pants.d",
    ".pyenv",
    ".pytest_cache",
    ".pytype",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    ".vscode",
    "__pycache__",
    "__pypackages__",
    "_build",
    "buck-out",
    "build",
    "dist",
    "node_modules",
    "site-packages",
    "venv",
)

KEYS = (
    "select",
    "ignore",
    "extend-select",
    "exclude",
    "extend-exclude",
    "force-exclude",
    "per-file-ignores",
    "unsafe-fixes",
    "extend-safe-fixes",
    "extend-unsafe-fixes",
    "baseline",
    "target-torch",
    "verify",
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what is found, fixed and where; resolved, checked, and pickles."""

    codes: frozenset[str]
    unsafe_fixes: bool = False
    extend_safe_fixes: frozenset[str] = frozenset()
    extend_unsafe_fixes: frozenset[str] = frozenset()
    per_file_ignores: tuple[PerFileIgnore, ...] = ()
    exclude: PathPatterns = field(default=PathPatterns(os.curdir, DEFAULT_EXCLUDE))
    force_exclude: bool = False
    baseline: str | None = None  # its absolute path
    baselined: frozenset[str] = frozenset()  # fingerprints of one file that are left alone
    target_torch: str | None = None
    verify: VerifySection = field(default_factory=VerifySection)
    black: BlackSettings = field(default_factory=BlackSettings)
    recorded: FileFacts | None = None

    def for_file(self, path: str) -> Settings:
        """These settings with the per-file ignores that concern ``path`` taken out of the codes."""
        codes = self.codes
        for ignored in self.per_file_ignores:
            if ignored.patterns.covers(path) != ignored.negated:
                codes -= ignored.codes
        return self if codes == self.codes else replace(self, codes=codes)


def settings_from(*, select: Sequence[str] = ("ALL",), unsafe_fixes: bool = False) -> Settings:
    """Settings without any configuration file. Raises ConfigError for an unknown code."""
    codes = rules.selected(frozenset(), select, (), (), "select")
    return Settings(codes, unsafe_fixes=unsafe_fixes)


class Finder:
    """Finds the settings for a folder; remembers what it has read.

    ``config`` is a file to use for everything; ``isolated`` reads no configuration of gradfix.
    """

    def __init__(
        self, overrides: Overrides, *, config: str | None = None, isolated: bool = False
    ) -> None:
        self._overrides = overrides
        self._isolated = isolated
        self._explicit: Settings | None = None
        self._of_folder: dict[Path, Settings] = {}
        self._black: dict[Path, BlackSettings] = {}
        if config is not None:
            path = Path(config)
            self._explicit = self._settings(path, _table(path, required=True) or {})

    def settings(self, folder: Path) -> Settings:
        """The settings for files in ``folder``. Raises ConfigError if the nearest file is wrong."""
        folder = folder.absolute()
        if folder not in self._of_folder:
            found = self._explicit or self._nearest(folder)
            self._of_folder[folder] = replace(found, black=self._black_of(folder))
        return self._of_folder[folder]

    def _nearest(self, folder: Path) -> Settings:
        if not self._isolated:
            for name in ("gradfix.toml", "pyproject.toml"):
                table = _table(folder / name)
                if table is not None:
                    return self._settings(folder / name, table)
        if self._isolated or folder.parent == folder:
            return self._settings(None, {})
        return self.settings(folder.parent)

    def _settings(self, path: Path | None, table: Mapping[str, Any]) -> Settings:
        origin = _shown(path) if path else "defaults"
        root = str(path.absolute().parent) if path else os.getcwd()
        settings = _from_table(table, origin, root)
        return _overridden(settings, self._overrides)

    def _black_of(self, folder: Path) -> BlackSettings:
        if folder not in self._black:
            table = _black_table(folder / "pyproject.toml")
            if table is None and folder.parent != folder and not (folder / ".git").exists():
                self._black[folder] = self._black_of(folder.parent)
            else:
                self._black[folder] = black_section(table or {})
        return self._black[folder]


def _from_table(table: Mapping[str, Any], origin: str, root: str) -> Settings:
    read = reader_for(table, origin, KEYS)
    select = read.strings("select") if "select" in table else ["ALL"]
    codes = rules.selected(
        frozenset(), select, read.strings("ignore"), read.strings("extend-select"), origin
    )
    exclude = read.strings("exclude") if "exclude" in table else DEFAULT_EXCLUDE
    baseline = read.string("baseline")
    return Settings(
        codes,
        unsafe_fixes=read.boolean("unsafe-fixes"),
        extend_safe_fixes=read.codes("extend-safe-fixes"),
        extend_unsafe_fixes=read.codes("extend-unsafe-fixes"),
        per_file_ignores=read.per_file_ignores("per-file-ignores", root),
        exclude=PathPatterns(root, (*exclude, *read.strings("extend-exclude"))),
        force_exclude=read.boolean("force-exclude"),
        baseline=os.path.join(root, baseline) if baseline else None,
        target_torch=read.version("target-torch"),
        verify=verify_section(read.table("verify"), f"{origin}: [verify]"),
    )


def _overridden(settings: Settings, flags: Overrides) -> Settings:
    codes = rules.selected(
        settings.codes, flags.select, flags.ignore, flags.extend_select, "command line"
    )
    exclude = settings.exclude
    if flags.exclude is not None:
        exclude = PathPatterns(exclude.root, flags.exclude)
    if flags.extend_exclude:
        exclude = PathPatterns(exclude.root, (*exclude.patterns, *flags.extend_exclude))
    unsafe = settings.unsafe_fixes if flags.unsafe_fixes is None else flags.unsafe_fixes
    force = settings.force_exclude if flags.force_exclude is None else flags.force_exclude
    baseline = settings.baseline if flags.baseline is None else flags.baseline or None
    return replace(
        settings,
        codes=codes,
        unsafe_fixes=unsafe,
        exclude=exclude,
        force_exclude=force,
        baseline=os.path.abspath(baseline) if baseline else None,
    )


def _table(path: Path, *, required: bool = False) -> Mapping[str, Any] | None:
    document = _document(path, required=required)
    if document is None or path.name != "pyproject.toml":
        return document
    tool = document.get("tool", {})
    table = tool.get("gradfix") if isinstance(tool, dict) else None
    if table is not None and not isinstance(table, dict):
        raise ConfigError(f"{_shown(path)}: [tool.gradfix] must be a table")
    return table


def _black_table(path: Path) -> Mapping[str, Any] | None:
    try:
        tool = (_document(path) or {}).get("tool")
    except ConfigError:  # reported where our own section is read; black's is only a help
        return None
    table = tool.get("black") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def _document(path: Path, *, required: bool = False) -> dict[str, Any] | None:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        if required:
            raise ConfigError(f"{_shown(path)}: no such file") from error
        return None
    except OSError as error:
        if not required and (path.is_dir() or not path.exists()):
            return None
        raise ConfigError(f"{_shown(path)}: cannot be read: {error.strerror}") from error
    tomllib = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        document: dict[str, Any] = tomllib.loads(raw.decode("utf-8"))
    except ValueError as error:  # what both modules' TOMLDecodeError and UnicodeDecodeError are
        raise ConfigError(f"{_shown(path)}: not valid TOML: {error}") from error
    return document


def _shown(path: Path) -> str:
    try:
        return path.absolute().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.as_posix()
