"""``gradfix check`` and ``gradfix apply``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gradfix import batch, files, jobs
from gradfix.cache import FOLDER, Cache
from gradfix.cli import ERROR, FOUND, INTERRUPTED, OK
from gradfix.cli.known import Known, written
from gradfix.cli.options import overrides, source_options, style
from gradfix.cli.progress import progress
from gradfix.config import Finder
from gradfix.errors import GradfixError
from gradfix.job import Item, Job
from gradfix.report import Run, formats, text
from gradfix.report import json as machine
from gradfix.repository import root
from gradfix.unwritten import unwritten

if TYPE_CHECKING:
    from gradfix.cli.reviewer import Reviewer
    from gradfix.journal import Writer


@click.command()
@source_options
@click.option(
    "--write-baseline",
    type=click.Path(),
    metavar="FILE",
    help="Write what is found to a baseline, and report nothing.",
)
@click.option("--explain-flow", metavar="FILE:LINE",
              help="Show what the analysis knows at a line, instead of findings.")  # fmt: skip
def check(paths: tuple[str, ...], **options: Any) -> int:
    """Report what keeps gradients from arriving. Changes nothing, and never imports torch.

    PATHS are files and folders, `-` is standard input; without any, the current folder.
    """
    place = options.pop("explain_flow")
    if place is not None:
        if paths:
            raise GradfixError("--explain-flow FILE:LINE goes with no other path")
        from gradfix.cli.flow_view import explain_line

        click.echo(explain_line(place), nl=False)
        return OK
    return _Command(paths, options, Run()).execute()


@click.command()
@source_options
@click.option("--dry-run", "--diff", "dry_run", is_flag=True,
              help="Show a unified diff; write nothing.")  # fmt: skip
@click.option(
    "--verify",
    "verified",
    is_flag=True,
    help="Run every file before and after; keep only what stands the comparison.",
)
@click.option("--no-journal", is_flag=True,
              help="Write without keeping what `gradfix undo` needs.")  # fmt: skip
@click.option("--show-fixes", is_flag=True, help="List what was fixed.")
@click.option("--exit-non-zero-on-fix", is_flag=True, help="Exit with 1 if anything was fixed.")
def apply(paths: tuple[str, ...], **options: Any) -> int:
    """Rewrite what is safe to rewrite, and report what is left. Never imports torch.

    With --verify, the modules of every file that is to be changed are run by torch, in child
    processes on a copy of the project, before and after.

    PATHS are files and folders, `-` rewrites standard input to standard output; without any, the
    current folder.
    """
    return _Command(paths, options, Run(rewriting=True, dry_run=options["dry_run"])).execute()


class _Command:
    """One run of ``check`` or ``apply``: process, write, report, and choose the exit code."""

    def __init__(self, paths: tuple[str, ...], options: dict[str, Any], run: Run) -> None:
        self.paths = paths or (os.curdir,)
        self.options = options
        self.run = run
        self.style = style(options["color"])
        self.messages = style(options["color"], stderr=True)
        self.finder = Finder(
            overrides(options), config=options["config"], isolated=options["isolated"]
        )
        self.known = Known(writing=bool(options.get("write_baseline")))
        self.stdin = "-" in self.paths
        if self.stdin and len(self.paths) > 1:
            raise click.UsageError("`-` reads standard input and goes with no other path")
        if self.stdin and options["facts"] is not None:
            raise click.UsageError("--facts are about files; standard input is none")
        self.journal = self._journal() if run.rewriting and not run.dry_run else None
        self._writes_source = self.stdin and run.rewriting and not run.dry_run
        self.reviewer = self._reviewer() if options.get("verified") else None
        if self.stdin and options["scheduler"] is not None:
            raise click.UsageError("--scheduler is for files; standard input needs no cluster")

    def _reviewer(self) -> Reviewer:
        if self.stdin:
            raise click.UsageError("--verify runs files; standard input is none")
        if self.options["timeout"] is not None:
            raise click.UsageError("--verify works in one process, where --timeout has no power")
        if self.options["scheduler"] is not None:
            raise click.UsageError("--verify works in one process, not on a cluster")
        from gradfix.cli.reviewer import Reviewer

        return Reviewer(self.run, self.messages, self._message, verbose=self.options["verbose"])

    def _journal(self) -> Writer | None:
        if self.options["no_journal"]:
            return None
        from gradfix import journal

        return journal.Writer(journal.root_of(Path.cwd()), self.paths)

    def execute(self) -> int:
        try:
            for done in self._from_stdin() if self.stdin else self._from_files():
                self._collect(done)
        except KeyboardInterrupt:
            return self._interrupted("interrupted")
        except GradfixError as error:
            if not self.run.changed_files or self.run.dry_run:
                raise
            self._interrupted(f"error: {error}")
            return ERROR
        target = self.options.get("write_baseline")
        if target:
            return self._write_baseline(target)
        self.run.baselined = self.known.hidden
        self._report()
        return self._exit_code()

    def _write_baseline(self, target: str) -> int:
        number = written(target, self.run.outcomes)
        if not self.options["quiet"]:
            self._message(f"Wrote {number} {'finding' if number == 1 else 'findings'} to {target}.")
        return ERROR if self.run.failures else OK

    def _from_files(self) -> Iterator[batch.Processed]:
        # All configuration is read before anything is written.
        found = list(files.discover(self.paths, self.finder.settings))
        if self.options["facts"] is not None:
            from gradfix.facts import with_facts

            found = with_facts(found, self.options["facts"], self._message)
        found = [
            (
                replace(item, settings=self.known.told(item.settings, item.filename))
                if isinstance(item, files.Found)
                else item
            )
            for item in found
        ]
        writing = self.run.rewriting and not self.run.dry_run
        settings = {item.path: item.settings for item in found if isinstance(item, files.Found)}
        roots = [os.curdir, *filter(os.path.isdir, self.paths)]
        replace_file = files.write if self.journal is None else self.journal.write

        def write(path: str, data: bytes, *, expected: bytes) -> None:
            kept.keep(path, expected)
            replace_file(path, data, expected=expected)

        with (
            self.journal or nullcontext(),
            unwritten(writing=writing) as kept,
            self._cache() as cache,
            progress(len(found), quiet=self.options["quiet"]) as bar,
        ):
            folder = None if cache is None else str(cache.folder)
            job = Job(self.run.rewriting, tuple(roots), kept, self.options["timeout"], folder)
            for done in self._processed(found, job, cache):
                bar.advance()
                if writing and done.before != done.after:
                    done = batch.write_back(done, settings[done.path], write)
                yield done

    def _processed(
        self, found: list[Item], job: Job, cache: Cache | None
    ) -> Iterator[batch.Processed]:
        address, count = self.options["scheduler"], self.options["jobs"]
        if address is None:
            return jobs.run(found, job, count, self.reviewer, cache)
        from gradfix import cluster

        say = (lambda message: None) if self.options["quiet"] else self._message
        return cluster.run(found, job, address, count, cache, say)

    @contextmanager
    def _cache(self) -> Iterator[Cache | None]:
        if self.options["no_cache"]:
            yield None
            return
        folder = Path(self.options["cache_dir"] or os.path.join(root(), FOLDER))
        cache = Cache(folder, self._message)
        try:
            yield cache
        finally:
            cache.close()

    def _from_stdin(self) -> Iterator[batch.Processed]:
        name = self.options["stdin_filename"]
        path = name or "-"
        settings = self.finder.settings(Path(path).absolute().parent)
        raw = sys.stdin.buffer.read()
        if name and settings.force_exclude and settings.exclude.covers(name):
            done = None
        else:
            shown = files.reported_name(name) if name else "-"
            settings = self.known.told(settings.for_file(path), shown)
            done = batch.process_bytes(
                raw, shown, settings, rewriting=self.run.rewriting, path=name
            )
        if self._writes_source:  # whatever went wrong, a filter must not swallow its input
            sys.stdout.buffer.write(done.after if done else raw)
            sys.stdout.buffer.flush()
        if done:
            yield done

    def _collect(self, done: batch.Processed) -> None:
        run, outcome = self.run, self.known.left(done.outcome)
        run.files += 1
        for failure in outcome.failures:
            self._message(text.failure_line(failure, self.messages))
        if done.crash and self.options["verbose"]:
            self._message(done.crash)
        if stale := text.stale_line(outcome, dry_run=run.dry_run):
            self._message(stale)
        if done.before != done.after:
            run.changed_files += 1
            if run.dry_run:
                from gradfix.report.diff import of_outcome

                diff = of_outcome(outcome, done.before, done.after)
                run.diffs.append((outcome.source.filename, diff))
        if outcome.findings or outcome.fixed or outcome.failures:
            run.outcomes.append(outcome)

    # -- showing ------------------------------------------------------------------------------

    def _report(self) -> None:
        output_file = self.options["output_file"]
        body = self._body(text.Style() if output_file else self.style)
        if output_file:
            _write_report(output_file, body)
        else:
            stream = sys.stderr if self._writes_source else sys.stdout
            stream.flush()
            stream.buffer.write(body)
            stream.flush()
        if self.options.get("show_fixes") and self.run.fixed:
            self._message(text.fixed_lines(self.run).rstrip("\n"))
        if not self.options["quiet"]:
            if not self.run.files:
                self._message("No Python files found under the given paths.")
            else:
                self._message(text.summary(self.run).rstrip("\n"))
            for note in self.known.notes():
                self._message(note)

    def _body(self, shown_in: text.Style) -> bytes:
        kind, run = self.options["output_format"], self.run
        if self.options["statistics"]:
            if kind == "json":
                return machine.statistics(text.statistics_rows(run)).encode()
            return text.statistics(run).encode()
        if kind in ("full", "concise") and run.dry_run:
            return b"".join(diff for _, diff in run.diffs)
        if kind in formats.MACHINE:
            return formats.MACHINE[kind](run).encode("utf-8", "backslashreplace")
        show = text.full if kind == "full" else text.concise
        encoding = "utf-8" if self.options["output_file"] else sys.stdout.encoding or "utf-8"
        return show(run, shown_in).encode(encoding, "backslashreplace")

    def _message(self, message: str) -> None:
        encoding = sys.stderr.encoding or "utf-8"
        click.echo(message.encode(encoding, "backslashreplace").decode(encoding), err=True)

    # -- ending -------------------------------------------------------------------------------

    def _interrupted(self, why: str) -> int:
        self._message(why)
        if self.run.rewriting and not self.run.dry_run:
            # The file in hand may have been written just before, so the number is a lower bound.
            number = self.run.changed_files
            written = self.journal.run if self.journal is not None else None
            back = f", or `gradfix undo {written}` to go back" if written else ""
            self._message(
                f"what was rewritten (at least {number} {'file' if number == 1 else 'files'})"
                f" is whole; run the same command again to go on{back}"
            )
        return INTERRUPTED

    def _exit_code(self) -> int:
        run = self.run
        if run.failures:
            return ERROR
        if run.fixed and not run.dry_run and self.options.get("exit_non_zero_on_fix"):
            return FOUND
        if (run.findings or run.diffs) and not self.options["exit_zero"]:
            return FOUND
        return OK


def _write_report(path: str, body: bytes) -> None:
    try:
        Path(path).write_bytes(body)
    except OSError as error:
        raise click.UsageError(f"--output-file {path}: {error.strerror or error}") from error
