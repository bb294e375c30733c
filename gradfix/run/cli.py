"""``gradfix run``: the user's program under the tracer, and what became of its gradients."""

from __future__ import annotations

import atexit
import contextlib
import importlib
import os
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

import click

from gradfix.errors import GradfixError
from gradfix.model import Failure
from gradfix.run.arrival import when_imported
from gradfix.run.program import Ending, Program, causes, die_of_interrupt, execute, prepare
from gradfix.verify import report as shown
from gradfix.verify.report import Report
from gradfix.verify.results import FAILED, NOT_VERIFIED, TargetResult

_TEST_RUNNERS = ("pytest", "unittest", "nose2")


# fmt: off
@click.command(context_settings={"allow_interspersed_args": False})
@click.option("-m", "module", is_flag=True, help="SCRIPT is a module's name, as in python -m.")
@click.option("--steps", type=click.IntRange(min=1), default=3, show_default=True, metavar="N",
              help="Steps of each optimizer to trace before getting out of the way.")
@click.option("--output-format", default="full", show_default=True,
              type=click.Choice(["full", "concise", "json"]), help="How results are shown.")
@click.option("--output-file", "-o", type=click.Path(dir_okay=False), metavar="FILE",
              help="Write results to a file. Otherwise json goes to standard output when the "
                   "program has ended, everything else to standard error.")
@click.option("--allow-unverified", is_flag=True,
              help="Exit with 0 if nothing failed, even if nothing could be verified.")
@click.option("--quiet", "-q", is_flag=True, help="No summary.")
@click.option("--verbose", "-v", is_flag=True, help="Every Parameter; tracebacks of our bugs.")
@click.option("--color", type=click.Choice(["auto", "always", "never"]), default="auto",
              show_default=True, help="Colours; FORCE_COLOR and NO_COLOR are honoured.")
@click.argument("script")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run(script: str, args: tuple[str, ...], module: bool, **options: Any) -> int:
    """Run a training script or tests under the gradient tracer.

    Options of gradfix stand before SCRIPT; everything after it belongs to the program, which sees
    the arguments, exit code and output it would have with python. After the first steps gradfix
    reports every Parameter without a right gradient and gets out of the way.
    """
    program = Program(script, args, module)
    prepare(program)
    return _Session(program, options).run()


# fmt: on
class _Session:
    """One run: the program, the watch once torch is there, and what was said already."""

    def __init__(self, program: Program, options: dict[str, Any]) -> None:
        self._program, self._options = program, options
        self._owner = os.getpid()
        self._shown: dict[str, TargetResult] = {}
        self._watch: Any = None
        self._problems: list[str] = []
        self._out, self._err = sys.stdout, sys.stderr
        self._colour = _coloured(options["color"], sys.stderr)
        self._interrupted = False
        self._base = os.getcwd()
        if path := options["output_file"]:
            options["output_file"] = os.path.abspath(path)  # the program may change folders
            if not os.access(os.path.dirname(options["output_file"]), os.W_OK):
                raise GradfixError(f"--output-file {path}: its folder cannot be written to")

    def run(self) -> int:
        """Run the program, report, and return the exit code."""
        atexit.register(self._at_exit)  # the first to be registered is the last to be called
        when_imported("torch", self._torch_is_there)
        ending = execute(self._program)
        if os.getpid() != self._owner:  # a child that the program forked comes out here, too
            return ending.code
        report = self._report(ending)
        self._flush()
        self._say_all(report)
        self._interrupted = ending.interrupted
        return self._exit_code(report, ending)

    def _at_exit(self) -> None:
        if self._interrupted and os.getpid() == self._owner:
            self._flush()
            die_of_interrupt()

    def _torch_is_there(self) -> None:
        try:
            watch = importlib.import_module("gradfix.run.watch")
            tests = self._program.module and self._program.name in _TEST_RUNNERS
            settings = watch.Settings(self._options["steps"], self._program.shown, tests)
            self._watch = watch.Watch(settings, self._say_early)
            self._watch.start()
        except Exception:  # ours, or a torch we do not know: the program must not suffer
            self._problems.append(traceback.format_exc())

    # -- the results ---------------------------------------------------------------------------

    def _report(self, ending: Ending) -> Report:
        results = []
        if self._watch is not None:
            results = self._watch.finish(causes(ending.error))
            self._problems += self._watch.problems
        report = Report(list(results))
        for problem in self._problems:
            last = problem.strip().rpartition("\n")[2]
            failure = Failure(self._program.shown, f"internal error: {last}", None)
            if failure not in report.failures:
                report.failures.append(failure)
        if not results:
            reason = self._reason(ending)
            nothing = TargetResult(self._program.shown, NOT_VERIFIED, reason, "script")
            report.results.append(nothing)
        return report

    def _reason(self, ending: Ending) -> str:
        if self._watch is None:
            text = "it never imported torch in this process"
        elif self._watch.failed and not self._watch.trained:
            text = "no backward succeeded"
        elif not self._watch.trained:
            text = "it never trained: no backward ran in this process"
        else:
            text = "no Parameter of a model or an optimizer took part in a backward"
        if ending.error is not None and not isinstance(ending.error, SystemExit):
            text += f", and it ended with {type(ending.error).__name__}"
        return text

    def _exit_code(self, report: Report, ending: Ending) -> int:
        """2 for our own errors, 1 for a failed Parameter, then the program's own, then 3."""
        code = report.exit_code(allow_unverified=self._options["allow_unverified"])
        if report.failures or report.count(FAILED):
            return code
        return ending.code or code

    # -- saying them -----------------------------------------------------------------------------

    def _say_early(self) -> None:
        """After the first steps; unless a test runner has taken standard error for itself."""
        report = Report(self._watch.ledger.results())
        if self._options["output_file"]:
            self._write(self._text(report))
        elif self._options["output_format"] != "json" and sys.stderr is self._err:
            self._say(report)

    def _say_all(self, report: Report) -> None:
        os.chdir(self._base) if os.path.isdir(self._base) else None
        for problem in self._problems if self._options["verbose"] else ():
            self._print(problem)
        for failure in report.failures:
            self._print(f"{failure.filename}: error: {failure.message}\n")
        if self._options["output_file"]:
            self._write(self._text(report))
        elif self._options["output_format"] == "json":
            self._print(self._text(report), self._out)
        else:
            self._say(report)
        if not self._options["quiet"]:
            self._print(f"gradfix: {shown.summary(report)}\n")

    def _say(self, report: Report) -> None:
        """To standard error: what was not said yet."""
        new = [r for r in report.results if self._shown.get(r.target) != r]
        self._shown.update((r.target, r) for r in new)
        self._print(self._text(Report(new)))

    def _text(self, report: Report) -> str:
        options, to_file = self._options, self._options["output_file"]
        if options["output_format"] == "json":
            return shown.as_json(report)
        colour = not to_file and self._colour
        if options["output_format"] == "concise":
            return shown.concise(report.results, colour=colour)
        return shown.full(report.results, colour=colour, verbose=options["verbose"])

    def _write(self, text: str) -> None:
        path = self._options["output_file"]
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as error:
            raise GradfixError(f"--output-file {path}: {error.strerror or error}") from error

    def _print(self, text: str, stream: TextIO | None = None) -> None:
        """Write to the stream as it was at the start, whatever the program did to it."""
        stream = stream or self._err
        number = 1 if stream is self._out else 2
        if stream is None or stream.closed:
            with contextlib.suppress(OSError):  # closed for good: the exit code must do
                os.write(number, text.encode())
            return
        stream.write(text)
        stream.flush()

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                with contextlib.suppress(OSError):  # a reader that went away; python says so itself
                    stream.flush()


def _coloured(choice: str, stream: TextIO | None) -> bool:
    """The flag over FORCE_COLOR over NO_COLOR over whether it is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("FORCE_COLOR"):
        return True
    return not os.environ.get("NO_COLOR") and stream is not None and stream.isatty()
