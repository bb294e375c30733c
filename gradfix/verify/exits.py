"""Code that ends the process while a class is built or called fails like any other.

``exit()`` in a constructor would end the child with all classes that are still to be verified, and
would say nothing about the one at hand. ``os._exit`` cannot be caught; the parent notices that.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any, NoReturn


class _Exit(RuntimeError, SystemExit):
    """An end of the process as an error; code that waits for a SystemExit gets one."""

    def __str__(self) -> str:
        said = self.args[0] if self.args else None
        if isinstance(said, str) and said:
            return said
        return f"it ends the process with status {said or 0}"


_Exit.__name__ = _Exit.__qualname__ = "SystemExit"


def exits_raise() -> None:
    """From now on whatever would end the process raises an error that handlers of errors catch."""
    sys.exit = _exit
    vars(builtins)["SystemExit"] = _Exit  # what ``exit()``, ``quit()`` and argparse raise


def _exit(status: Any = None) -> NoReturn:
    raise _Exit(status)
