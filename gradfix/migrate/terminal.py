"""The campaign on a terminal: what is going on, and the table at the end."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from gradfix.migrate.result import (
    FAILED,
    MIGRATED,
    PENDING,
    REJECTED,
    UNCHANGED,
    Result,
    per_code,
    totals,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table

COLOURS = {
    MIGRATED: "green", UNCHANGED: "cyan", REJECTED: "yellow", FAILED: "red", PENDING: "dim",
}  # fmt: skip


class Ticker:
    """A line for each repository that is done; on a terminal also a bar. A context manager."""

    def __init__(self, total: int, say: Callable[[str], None], *, quiet: bool) -> None:
        self._total, self._say, self._quiet = total, say, quiet
        self._done = 0
        self._stages: dict[str, str] = {}
        self._bar: tuple[Progress, TaskID] | None = None

    def __enter__(self) -> Ticker:
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar(self._total)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar[0].stop()

    def at(self, name: str, stage: str) -> None:
        """A repository has come to a stage."""
        self._stages[name] = stage
        self._update()

    def done(self, result: Result) -> None:
        """A repository is done."""
        self._done += 1
        self._stages.pop(result.name, None)
        if not self._quiet:
            self._print(f"[{self._done}/{self._total}] {line(result)}")
        self._update()

    def _print(self, text: str) -> None:
        if self._bar is None:
            self._say(text)
        else:
            self._bar[0].console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _update(self) -> None:
        if self._bar is not None:
            now = ", ".join(f"{name}: {stage}" for name, stage in self._stages.items())
            self._bar[0].update(self._bar[1], completed=self._done, description=now)


def _bar(total: int) -> tuple[Progress, TaskID]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        MofNCompleteColumn(),
        BarColumn(bar_width=20),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
    task = bar.add_task("", total=total)
    bar.start()
    return bar, task


def line(result: Result) -> str:
    """A result in one line."""
    if not result.fresh:
        return f"{result.name}: {result.status} (done before)"
    what = f": {result.reason}" if result.reason else ""
    if result.status == MIGRATED:
        fixed = _count(len(result.fixed), "finding")
        what = f": {fixed} fixed in {_count(len(result.changed), 'file')}, {delivered(result)}"
    elif result.status == UNCHANGED:
        what = f": {_count(len(result.left), 'finding')} left" if result.left else ""
    return f"{result.name}: {result.status}{what} ({result.seconds:.1f} s)"


def delivered(result: Result) -> str:
    """Where the result is."""
    if result.branch:
        return f"{result.branch} @ {result.commit[:10]}"
    return result.patch


def tested(result: Result) -> str:
    """What the tests said, in a word or two."""
    if result.after is None:
        return "not run" if result.test else ""
    if result.after.code == 0:
        return "passed"
    before = result.before
    if before is None:
        return "failed"
    return "broken by it" if before.code == 0 else "failed before"


def table(results: Sequence[Result], *, colour: bool, width: int | None = None) -> str:
    """The summary as text: a row for each repository, reasons and findings per code below."""
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out,
        width=width or shutil.get_terminal_size((100, 24)).columns,
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        highlight=False,
    )
    console.print(_rows(results))
    _print_reasons(console, results)
    if per_code(results):
        console.print()
        console.print(_codes(results))
    return out.getvalue()


def _rows(results: Sequence[Result]) -> Table:
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=None, pad_edge=False, header_style="bold")
    tests = any(result.test for result in results)
    rows.add_column("repository", overflow="fold")
    rows.add_column("status", no_wrap=True)
    for column in ("fixed", "left", "errors"):
        rows.add_column(column, justify="right", no_wrap=True)
    if tests:
        rows.add_column("tests", no_wrap=True)
    rows.add_column("seconds", justify="right", no_wrap=True)
    rows.add_column("result", overflow="fold")
    for result in results:
        done = result.status == MIGRATED
        left = len(result.left) + (0 if done else len(result.fixed))
        cells = [len(result.fixed) if done else 0, left, len(result.errors)]
        rows.add_row(
            Text(result.name),
            Text(result.status, style=COLOURS[result.status]),
            *(str(number) if number else "" for number in cells),
            *([Text(tested(result))] if tests else []),
            f"{result.seconds:.1f}" if result.seconds else "",
            Text(delivered(result)),
        )
    return rows


def _print_reasons(console: Console, results: Sequence[Result]) -> None:
    from rich.text import Text

    noted = [r for r in results if r.reason or r.notes]
    if noted:
        console.print()
    for result in noted:
        for why in (*([result.reason] if result.reason else []), *result.notes):
            text = Text(f"{result.name}: ", style="bold")
            console.print(text.append(Text(why, style="not bold")), soft_wrap=True)


def _codes(results: Sequence[Result]) -> Table:
    from rich.table import Table

    rows = Table(box=None, pad_edge=False, header_style="bold")
    rows.add_column("rule", no_wrap=True)
    for column in ("fixed", "left", "repositories"):
        rows.add_column(column, justify="right")
    for count in per_code(results):
        rows.add_row(
            f"{count.code} {count.name}",
            str(count.fixed or ""),
            str(count.left or ""),
            str(count.repositories),
        )
    return rows


def summary(results: Sequence[Result]) -> str:
    """What the campaign comes to, in a line."""
    total = totals(results)
    parts = [f"{total[status]} {status}" for status in COLOURS if total[status]]
    text = f"{_count(total['repositories'], 'repository')}: {', '.join(parts)}."
    text += f" Fixed {_count(total['fixed'], 'finding')}, left {total['findings']}."
    return text + (f" {_count(total['errors'], 'file error')}." if total["errors"] else "")


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number} {noun if number == 1 else plural}"
