"""Which repository the working folder lies in, and how files are called there.

CI systems, and reports that are kept, name files from the root of the repository, wherever gradfix
was started.
"""

from __future__ import annotations

import os
import posixpath
from functools import lru_cache

_MARKS = (".git", ".hg")


@lru_cache(maxsize=16)
def root_of(folder: str) -> str | None:
    """The nearest folder at or above an absolute path that is a repository; None without one."""
    while True:
        if any(os.path.exists(os.path.join(folder, mark)) for mark in _MARKS):
            return folder
        above = os.path.dirname(folder)
        if above == folder:
            return None
        folder = above


def root() -> str:
    """The root of the repository around the working folder; without one, the working folder."""
    here = os.getcwd()
    return root_of(here) or here


def from_root(filename: str) -> str:
    """A reported name (relative to the working folder, with ``/``) as seen from `root`.

    What lies outside keeps its ``../``; absolute names, and ``-`` for standard input, stay.
    """
    here, top = os.getcwd(), root()
    if filename == "-" or os.path.isabs(filename):
        return filename
    below = os.path.relpath(here, top).replace(os.sep, "/")
    return posixpath.normpath(posixpath.join(below, filename))
