"""Which code is the user's: not Python's, not an installed library's, not gradfix's."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

_LIBRARIES = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))
_PYTHON = tuple(
    os.path.realpath(sysconfig.get_paths()[key]) + os.sep for key in ("stdlib", "platstdlib")
)
_OURS = str(Path(__file__).resolve().parent.parent) + os.sep


class Owned:
    """Answers for file names of code objects, remembering what it said."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def __call__(self, filename: str) -> bool:
        known = self._known.get(filename)
        if known is None:
            known = self._known[filename] = _is_users(filename)
        return known


def _is_users(filename: str) -> bool:
    if filename.startswith("<"):  # made up by exec, by a library or by the interpreter
        return False
    path = os.path.realpath(filename)
    if any(part in path for part in _LIBRARIES):
        return False
    return not path.startswith((*_PYTHON, _OURS))
