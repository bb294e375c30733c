"""A disposable copy of the user's project, so that verified code cannot change the original.

Everything is copied up to a budget: Python files first, then data files while they fit. A project
too large to walk is not copied; its child then runs in an empty folder against the original.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from gradfix.errors import GradfixError

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages"})
_MAX_FILES = 20_000
_MAX_BYTES = 64 * 1024 * 1024


class NoCopy(GradfixError):
    """A changed file cannot be tried out, because the project is not copied."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where a child may write: its folders, and whether ``project`` is a copy of ``root``."""

    root: Path
    project: Path
    home: Path
    scratch: Path
    copied: bool
    complete: bool

    def inside(self, path: Path) -> Path:
        """The copy's path of a path of the original (unchanged where nothing was copied)."""
        if self.copied and path.is_relative_to(self.root):
            return self.project / path.relative_to(self.root)
        return path

    def outside(self, path: Path) -> Path:
        """The original's path of a path of the copy."""
        if self.copied and path.is_relative_to(self.project):
            return self.root / path.relative_to(self.project)
        return path

    def change(self, files: Mapping[Path, bytes]) -> None:
        """Give files of the copy other bytes than the originals have.

        Raises NoCopy where the child would run against the original.
        """
        if files and not self.copied:
            raise NoCopy(f"{self.root} holds too many files to be copied")
        for path, data in files.items():
            if path.is_relative_to(self.root):
                self.inside(path).parent.mkdir(parents=True, exist_ok=True)
                self.inside(path).write_bytes(data)


@contextlib.contextmanager
def workspace(root: Path) -> Iterator[Workspace]:
    """Lend a working copy of a project; everything is removed on the way out.

    Raises GradfixError when there is no room for it.
    """
    top = Path(mkdtemp(prefix="gradfix-verify-")).resolve()
    try:
        for name in ("home", "tmp", "project"):
            (top / name).mkdir()
        try:
            copied, complete = _copy(root, top / "project")
        except OSError as error:
            raise GradfixError(f"cannot copy {root} to verify it: {error}") from error
        yield Workspace(
            root, top / "project" if copied else root, top / "home", top / "tmp", copied, complete
        )
    finally:
        # A hostile module may have taken its own permissions away; what is left is a temp folder.
        shutil.rmtree(top, ignore_errors=True)


def _copy(root: Path, to: Path) -> tuple[bool, bool]:
    files = _files(root)
    if files is None:
        return False, False
    left, complete = _MAX_BYTES, True
    for path, size in sorted(files, key=lambda item: (item[0].suffix != ".py", item[1])):
        left -= size
        if left < 0:
            complete = False
            break
        target = to / path.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
    return True, complete


def _files(root: Path) -> list[tuple[Path, int]] | None:
    """Regular, readable files with their sizes; None when there are too many to copy."""
    found: list[tuple[Path, int]] = []
    for here, folders, files in os.walk(root):
        folders[:] = [
            f
            for f in folders
            if f not in _SKIPPED
            and not f.startswith(".")
            and not (Path(here) / f / "pyvenv.cfg").exists()
        ]
        for name in files:
            path = Path(here, name)
            if path.is_file() and os.access(path, os.R_OK):
                found.append((path, path.stat().st_size))
        if len(found) > _MAX_FILES:
            return None
    return found
