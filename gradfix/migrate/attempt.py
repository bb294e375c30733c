"""One repository from beginning to end: fetched, rewritten, tested, delivered."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gradfix import __version__
from gradfix.migrate import process
from gradfix.migrate.applying import ApplyError, apply
from gradfix.migrate.campaign import MESSAGE, Repository
from gradfix.migrate.delivery import deliver
from gradfix.migrate.git import Git, GitError, environment
from gradfix.migrate.process import Limits, TimedOut
from gradfix.migrate.result import FAILED, MIGRATED, REJECTED, UNCHANGED, Result, TestRun, per_code
from gradfix.migrate.store import Store

WORK = "work"
_FENCE = "# Ends the search for a configuration: repositories below have their own or none.\n"
_OUTPUT = 16_000  # bytes that are kept of what tests say

#: Told what is being done now.
Say = Callable[[str], None]


class Rejected(Exception):
    """What was rewritten is not delivered; the text says why."""


@dataclass(slots=True)
class Attempt:
    """Everything that one attempt at a repository works with; ``jobs`` are processes to use."""

    repository: Repository
    folder: Path  # the campaign's
    store: Store
    limits: Limits
    jobs: int
    say: Say
    author: str = ""
    stage: str = ""

    def run(self) -> Result:
        """Do it all. Whatever goes wrong is in the result; raises Stopped only."""
        repository, started = self.repository, time.monotonic()
        result = Result(repository.name, repository.source, ref=repository.ref)
        result.test = shown(repository.test)
        try:
            with _place(self.folder, repository.name) as checkout:
                self._work(checkout, result)
        except Rejected as error:
            result.status, result.reason = REJECTED, str(error)
        except TimedOut:
            what = f"took longer than {repository.timeout:g} s (timeout), while {self.stage}"
            result.status, result.reason = FAILED, what
        except (GitError, ApplyError, process.NotStarted) as error:
            result.status, result.reason = FAILED, f"{error} (while {self.stage})"
        except OSError as error:
            why = f"{error.filename or 'files'}: {error.strerror or error}"
            result.status, result.reason = FAILED, f"{why} (while {self.stage})"
        result.seconds = time.monotonic() - started
        return result

    def _at(self, stage: str) -> None:
        self.stage = stage
        self.say(stage)

    def _work(self, checkout: Path, result: Result) -> None:
        repository = self.repository
        self._at("fetching it")
        git = Git(checkout, self.limits)
        result.base = git.fetch(repository.source, repository.ref)
        self._note_uncommitted(git, result)
        links = git.links_outside()
        for link in links:  # what is written must be written here, and nowhere else
            link.unlink()
        self._at("rewriting it")
        applied = apply(repository, checkout, self.limits, self.jobs)
        result.files, result.errors = applied.files, applied.errors
        result.fixed, result.left = applied.fixed, applied.left
        result.changed = git.changed()
        if not result.changed:
            result.status = UNCHANGED
            return
        tree = git.tree(result.changed)
        result.diff = git.diff(result.base, tree, binary=False).decode("utf-8", "backslashreplace")
        if repository.test is not None:
            self._test(repository.test, git, result)
        self._at("delivering the result")
        deliver(self, git, tree, result)
        result.status = MIGRATED

    def _note_uncommitted(self, git: Git, result: Result) -> None:
        number = git.uncommitted(result.source) if self.repository.local else 0
        if number:
            changes = (
                "change of the checkout was" if number == 1 else "changes of the checkout were"
            )
            result.notes.append(f"{number} uncommitted {changes} not looked at")

    def _test(self, command: tuple[str, ...], git: Git, result: Result) -> None:
        """Let the tests decide. Raises Rejected where they failed after the rewrite.

        Tests that pass afterwards need not have passed before, so most often they run only once.
        """
        self._at("running the tests")
        result.after = self._tested(command, git.folder)
        if result.after.code == 0:
            return
        self._at("running the tests on the code as it was")
        git.clean(result.base)
        result.before = self._tested(command, git.folder)
        if result.before.code == 0:
            raise Rejected(f"the tests passed before and {failed(result.after)} after the rewrite")
        why = f"the tests {failed(result.before)} before the rewrite, too: they prove nothing"
        if not self.repository.deliver_untested:
            raise Rejected(f"{why} (deliver-untested = true delivers all the same)")
        result.notes.append(why)

    def _tested(self, command: tuple[str, ...], checkout: Path) -> TestRun:
        done = process.run(
            command, checkout, self.limits,
            environment=environment(), together=True, kept=_OUTPUT, strays=True,
        )  # fmt: skip
        return TestRun(done.code, done.seconds, done.out.decode("utf-8", "replace"))

    @property
    def patch(self) -> Path:
        """Where the patch of this repository belongs."""
        return self.folder / "patches" / f"{self.repository.name}.patch"

    def message(self, result: Result) -> str:
        """The message of the commit: the campaign's own, or one that counts what was fixed."""
        if self.repository.message:
            return self.repository.message.rstrip() + "\n"
        rows = [
            f"- {count.code} {count.name}: {count.fixed + count.left}"
            for count in per_code([Result("", "", fixed=result.fixed)])
        ]
        how = "fixes that are not proven right included" if self.repository.unsafe_fixes else ""
        made = f"Made by gradfix {__version__}{f', {how}' if how else ''}."
        return "\n".join([MESSAGE, "", *rows, "", made]) + "\n"


@contextlib.contextmanager
def _place(folder: Path, name: str) -> Iterator[Path]:
    """An empty folder called like the repository, gone afterwards with all beside it.

    No attempt gets a folder that an earlier one had: who knows what that has left running.
    """
    work = folder / WORK
    work.mkdir(exist_ok=True)
    (work / "gradfix.toml").write_text(_FENCE, encoding="ascii")
    top = work / secrets.token_hex(6)
    (top / name).mkdir(parents=True)
    try:
        yield top / name
    finally:
        remove(top)


def remove(folder: Path) -> None:
    """Remove a work folder. What tests have made unremovable stays, and does no harm."""

    def retry(function: Callable[[str], object], path: str, _: object) -> None:
        with contextlib.suppress(OSError):
            Path(path).parent.chmod(0o700)
            function(path)

    shutil.rmtree(folder, onerror=retry)


def forget_attempts(folder: Path) -> None:
    """Remove what attempts have left that were killed."""
    for left in (folder / WORK).glob("*/"):
        remove(left)


def failed(run: TestRun) -> str:
    """How a test run failed, as a verb."""
    return f"were killed by signal {-run.code}" if run.code < 0 else f"failed (exit {run.code})"


def shown(test: tuple[str, ...] | None) -> str:
    """A test command as the campaign spells it."""
    if test is None:
        return ""
    import shlex

    return test[2] if test[:2] == ("sh", "-c") and len(test) == 3 else shlex.join(test)
