"""A progress bar on standard error, for terminals, when it is worth one."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_SOON = 1.0  # seconds; what is done by then needs no bar


@contextmanager
def progress(total: int, *, quiet: bool) -> Iterator[Bar]:
    """A bar that is there only on a terminal, and gone at the end."""
    bar = Bar(0 if quiet or not sys.stderr.isatty() else total)
    try:
        yield bar
    finally:
        bar.close()


class Bar:
    """Counts files; shows itself once it is clear that there is something to wait for."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._started = time.monotonic()
        self._shown: tuple[Progress, TaskID] | None = None

    def advance(self) -> None:
        """One file more is done."""
        self._count += 1
        if self._shown is not None:
            shown, task = self._shown
            shown.update(task, completed=self._count)
        elif self._count < self._total and time.monotonic() - self._started > _SOON:
            self._show()

    def close(self) -> None:
        """Take the bar away."""
        if self._shown is not None:
            self._shown[0].stop()
            self._shown = None

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        shown = Progress(
            TextColumn("files"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,
        )
        task = shown.add_task("files", total=self._total, completed=self._count)
        shown.start()
        self._shown = shown, task
