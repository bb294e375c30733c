"""Room for recursion: LibCST recurses once or more for every level of the syntax tree."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from gradfix.errors import RewriteError
from gradfix.threads import NoThread, large_stacks, on_thread

T = TypeVar("T")

_DEPTH = 200_000
# What `large_stacks` sets belongs to the whole interpreter, so one such thread at a time.
_LOCK = threading.Lock()


def run_deep(work: Callable[[], T]) -> T:
    """Run ``work`` on a thread with a large stack; return its result or raise what it raised.

    Raises RewriteError where even that is not enough, or no such thread can be had.
    """
    with _LOCK:
        try:
            with large_stacks(_DEPTH):
                return on_thread(work, "gradfix-rewrite", daemon=False)
        except NoThread as error:
            raise RewriteError(f"no thread with a large stack: {error}") from error
        except (RecursionError, MemoryError) as error:
            raise RewriteError("the code is nested too deeply to rewrite") from error
