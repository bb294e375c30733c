"""``gradfix migrate``: a campaign over many repositories."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from gradfix import rules
from gradfix.errors import GradfixError
from gradfix.migrate.campaign import BRANCH, PATCH, Campaign, Repository
from gradfix.migrate.reading import read
from gradfix.migrate.result import FAILED, PENDING, REJECTED, Result

OK, FOUND, ERROR, INTERRUPTED = 0, 1, 2, 130
REPORT = "report.html"
_PAGE_EVERY = 5.0  # seconds; while there is work, the page shows how far it has come


# fmt: off
@click.command()
@click.argument("campaign", type=click.Path())
@click.option("--output", type=click.Choice([BRANCH, PATCH]),
              help="What is made of every repository: a commit on a branch, or a patch file.")
@click.option("--branch", metavar="NAME", help="The branch to make.  [default: gradfix/migrate]")
@click.option("--select", multiple=True, metavar="CODES", help="Rules to use.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Rules to leave out.")
@click.option("--unsafe-fixes/--no-unsafe-fixes", default=None,
              help="Also make fixes that are not proven right.")
@click.option("--verify/--no-verify", default=None,
              help="Keep only what stands a run before and after.")
@click.option("--test", metavar="COMMAND",
              help="What has to pass after the rewrite; for the shell.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="For everything about one repository.  [default: 900]")
@click.option("--jobs", "-j", type=click.IntRange(min=1), metavar="N",
              help="Repositories to work on at a time.  [default: one for each core, at most 4]")
@click.option("--folder", type=click.Path(file_okay=False), metavar="FOLDER",
              help="Where state, patches and report are.  [default: CAMPAIGN.gradfix]")
@click.option("--only", multiple=True, metavar="NAME", help="Only this repository; repeatable.")
@click.option("--redo", is_flag=True, help="Also do again what is finished.")
@click.option("--report", "report_only", is_flag=True,
              help="Do nothing; report what has become of the campaign so far.")
@click.option("--output-format", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="How the summary is shown.")
@click.option("--output-file", "-o", type=click.Path(dir_okay=False), metavar="FILE",
              help="Write the summary to a file instead of standard output.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even if findings are left.")
@click.option("--quiet", "-q", is_flag=True, help="No progress and no closing line.")
@click.option("--verbose", "-v", is_flag=True, help="Tracebacks of our bugs.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              show_default=True, help="Colours; FORCE_COLOR and NO_COLOR are honoured.")
def migrate(campaign: str, **options: Any) -> int:
    """Rewrite many repositories; each as a whole or not at all.

    CAMPAIGN is a TOML file, or a plain list of repositories, one in a line: folders or URLs. What
    is rewritten becomes a commit on a new branch, or a patch file; checkouts are never touched. Run
    the same command again to go on after an interrupt: what is finished is not done again.

    Tests and --verify run the repositories' own code, with your rights.
    """
    if os.name != "posix":
        raise GradfixError("migrate needs a POSIX system (Linux, macOS, WSL)")
    read_campaign = read(Path(campaign), _changes(options), options["folder"])
    if options["jobs"]:
        read_campaign = _with_jobs(read_campaign, options["jobs"])
    return _Command(read_campaign, options, campaign).execute()


# fmt: on
class _Command:
    """One run of the command: work, report, and choose the exit code."""

    def __init__(self, campaign: Campaign, options: dict[str, Any], given: str) -> None:
        self.campaign, self.options, self.given = campaign, options, given
        self.chosen = _chosen(campaign, options["only"])
        self.results = {r.name: _pending(r) for r in campaign.repositories}

    def execute(self) -> int:
        from gradfix.migrate.store import Store

        with Store(self.campaign.folder) as store:
            for repository in self.campaign.repositories:
                if (kept := store.get(repository.name)) is not None:
                    self._recall(repository, kept.settings, kept.result)
            try:
                if not self.options["report_only"]:
                    self._work(store)
            except KeyboardInterrupt:
                self._write_page()
                self._say_interrupted()
                return INTERRUPTED
            self._write_page()
        self._show()
        return self._exit_code()

    def _recall(self, repository: Repository, settings: str, result: Result) -> None:
        """Show what is known; what will be done again for other settings is not known."""
        if settings == repository.settings:
            self.results[repository.name] = result

    def _work(self, store: Any) -> None:
        from gradfix.migrate.drive import Drive
        from gradfix.migrate.terminal import Ticker

        for repository in self.chosen:
            self.results[repository.name] = _pending(repository)
        drive = Drive(self.campaign, store, self.options["redo"])
        quiet, written = self.options["quiet"], time.monotonic()
        with (
            _terminable(),
            Ticker(len(self.chosen), self._message, quiet=quiet) as ticker,
            contextlib.closing(drive.run(self.chosen)) as steps,
        ):
            for step in steps:
                if step.result is None:
                    ticker.at(step.name, step.stage)
                    continue
                self.results[step.name] = step.result
                ticker.done(step.result)
                if step.crash and self.options["verbose"]:
                    self._message(step.crash)
                if time.monotonic() - written > _PAGE_EVERY:
                    self._write_page()
                    written = time.monotonic()

    # -- showing --------------------------------------------------------------------------------

    @property
    def _ordered(self) -> list[Result]:
        return [self.results[r.name] for r in self.campaign.repositories]

    def _write_page(self) -> None:
        from gradfix.migrate.delivery import replace
        from gradfix.migrate.page import page

        target = self.campaign.folder / REPORT
        try:
            replace(target, page(self.campaign, self._ordered).encode("utf-8", "replace"))
        except OSError as error:
            raise GradfixError(f"{target}: cannot be written: {error.strerror}") from error

    def _show(self) -> None:
        from gradfix.migrate import document, terminal

        target = self.options["output_file"]
        if self.options["output_format"] == "json":
            text = document.as_json(self.campaign, self._ordered)
        else:
            colour = not target and _coloured(self.options["color"])
            text = terminal.table(self._ordered, colour=colour)
        encoding = "utf-8" if target else sys.stdout.encoding or "utf-8"
        data = text.encode(encoding, "backslashreplace")
        if target:
            try:
                Path(target).write_bytes(data)
            except OSError as error:
                raise GradfixError(f"--output-file {target}: {error.strerror or error}") from error
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.flush()
        if not self.options["quiet"]:
            self._message(terminal.summary(self._ordered))
            self._message(f"Report: {_shown(self.campaign.folder / REPORT)}")

    def _say_interrupted(self) -> None:
        done = sum(result.status != PENDING for result in self._ordered)
        self._message(
            f"interrupted: {done} of {len(self._ordered)} repositories are done and kept; to go on:"
            f" gradfix migrate {shlex.quote(self.given)} (with the same options)"
        )

    def _message(self, message: str) -> None:
        encoding = sys.stderr.encoding or "utf-8"
        click.echo(message.encode(encoding, "backslashreplace").decode(encoding), err=True)

    def _exit_code(self) -> int:
        results = [self.results[repository.name] for repository in self.chosen]
        if any(r.status == FAILED or r.errors for r in results):
            return ERROR
        open_ones = any(r.left or r.status in (REJECTED, PENDING) for r in results)
        return FOUND if open_ones and not self.options["exit_zero"] else OK


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end a campaign like Ctrl-C does: nothing that was started is left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """What the command line says about every repository. Raises ConfigError for unknown codes."""
    changes: dict[str, Any] = {}
    for key in ("output", "unsafe_fixes", "verify", "timeout"):
        if options[key] is not None:
            changes[key] = options[key]
    for key in ("select", "ignore"):
        codes = [c.strip() for value in options[key] for c in value.split(",") if c.strip()]
        for code in codes:
            rules.resolve(code, f"--{key}")
        if codes:
            changes[key] = tuple(codes)
    if options["branch"] is not None:
        from gradfix.migrate.naming import wrong_branch

        if complaint := wrong_branch(options["branch"]):
            raise GradfixError(f"--branch: {complaint}")
        changes["branch"] = options["branch"]
    if options["test"] is not None:
        changes["test"] = ("sh", "-c", options["test"]) if options["test"].strip() else None
    return changes


def _with_jobs(campaign: Campaign, jobs: int) -> Campaign:
    from dataclasses import replace

    return replace(campaign, jobs=jobs)


def _chosen(campaign: Campaign, only: Sequence[str]) -> list[Repository]:
    names = [repository.name for repository in campaign.repositories]
    for name in only:
        if name not in names:
            hint = rules.did_you_mean(name, names)
            raise GradfixError(f"--only: {campaign.file} lists no repository {name!r}{hint}")
    return [r for r in campaign.repositories if not only or r.name in only]


def _pending(repository: Repository) -> Result:
    return Result(repository.name, repository.source, PENDING, ref=repository.ref)


def _shown(path: Path) -> str:
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(path)


def _coloured(choice: str) -> bool:
    """The flag over FORCE_COLOR over NO_COLOR over whether it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    return not os.environ.get("NO_COLOR") and sys.stdout.isatty()
