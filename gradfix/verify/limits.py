"""The first thing a child does: take away what an accident could use. Imports no torch."""

from __future__ import annotations

import contextlib
import resource
from typing import Any

#: The exit code of a child whose way back was closed by the code it ran.
LOST_CHANNEL = 91
_MIB = 1024 * 1024
_MAX_FILE = 256 * _MIB


def confine(job: dict[str, Any]) -> None:
    """Lower this process's own limits for memory, CPU time, file size and core dumps.

    The kernel holds descendants to the same limits; none of them can be raised again.
    """
    seconds = int(job["cpu_seconds"])
    for what, limit in (
        (resource.RLIMIT_AS, int(job["memory_mb"]) * _MIB),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, _MAX_FILE),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        # macOS refuses RLIMIT_AS; the parent's clock still bounds the child there.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(what, (limit, limit))
