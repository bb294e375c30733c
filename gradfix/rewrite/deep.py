"""Room for recursion: LibCST recurses once or more for every level of the syntax tree."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from gradfix.errors import RewriteError
from gradfix.threads import NoThread, on_thread

T = TypeVar("T")

_STACK_BYTES = 512 * 1024 * 1024  # address space, not memory: pages are only used when touched
_RECURSION_LIMIT = 200_000
# Stack size and recursion limit belong to the whole interpreter, so one such thread at a time.
_LOCK = threading.Lock()


def run_deep(work: Callable[[], T]) -> T:
    """Run ``work`` on a thread with a large stack; return its result or raise what it raised.

    Raises RewriteError where even that is not enough, or no such thread can be had.
    """
    with _LOCK:
        limit, stack = sys.getrecursionlimit(), threading.stack_size()
        try:
            threading.stack_size(_STACK_BYTES)
            sys.setrecursionlimit(max(limit, _RECURSION_LIMIT))
            return on_thread(work, "gradfix-rewrite", daemon=False)
        except NoThread as error:
            raise RewriteError(f"no thread with a large stack: {error}") from error
        except (RecursionError, MemoryError) as error:
            raise RewriteError("the code is nested too deeply to rewrite") from error
        finally:
            threading.stack_size(stack)
            sys.setrecursionlimit(limit)
