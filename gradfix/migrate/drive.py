"""Works through a campaign: several repositories at a time, each kept as soon as it is done."""

from __future__ import annotations

import os
import queue
import threading
import time
import traceback
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gradfix.errors import ConfigError, GradfixError, internal
from gradfix.migrate.attempt import WORK, Attempt, forget_attempts
from gradfix.migrate.campaign import BRANCH, Campaign, Repository
from gradfix.migrate.git import Git, GitError, identity
from gradfix.migrate.process import Limits, Stopped, TimedOut
from gradfix.migrate.result import FAILED, FINISHED, Result
from gradfix.migrate.store import Kept, Store

#: The most repositories that are worked on at a time, unless the user says otherwise.
MOST = 4
_ASKING = 60.0  # seconds to find out whether a finished repository has changed
_TICK = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """Something that the user may want to see: a stage of a repository, or its result."""

    name: str
    stage: str = ""
    result: Result | None = None
    crash: str = ""


@dataclass(slots=True)
class Drive:
    """One run over a campaign. ``redo`` does finished repositories again, too."""

    campaign: Campaign
    store: Store
    redo: bool = False
    _steps: queue.SimpleQueue[Step] = field(default_factory=queue.SimpleQueue)
    _stop: threading.Event = field(default_factory=threading.Event)
    _author: str = ""

    def run(self, repositories: Sequence[Repository]) -> Generator[Step, None, None]:
        """Do all of these; an interrupt stops everything at once and goes on its way.

        Raises ConfigError where git does not know who makes the commits.
        """
        self._author = self._identity(repositories)
        forget_attempts(self.campaign.folder)
        (self.campaign.folder / WORK).mkdir(exist_ok=True)
        count = self.campaign.jobs or min(MOST, _cores())
        count = max(1, min(count, len(repositories)))
        pool = ThreadPoolExecutor(count, thread_name_prefix="gradfix-repository")
        try:
            share = max(1, _cores() // count)
            left = len([pool.submit(self._one, repository, share) for repository in repositories])
            while left:
                with suppress(queue.Empty):
                    step = self._steps.get(timeout=_TICK)
                    left -= step.result is not None
                    yield step
        finally:
            self._stop.set()
            pool.shutdown(cancel_futures=True)

    def _identity(self, repositories: Sequence[Repository]) -> str:
        """Who makes the commits of repositories that do not say so themselves."""
        if not any(r.output == BRANCH and not r.author for r in repositories):
            return ""
        try:
            return identity(self.campaign.file.absolute().parent)
        except GitError as error:
            raise ConfigError(
                f"{self.campaign.file}: {error} (give the campaign an 'author', or tell git)"
            ) from error

    def _one(self, repository: Repository, share: int) -> None:
        """One repository, on a thread of the pool; always ends with a result, or stopped."""
        try:
            kept, head = self._known(repository)
            if kept is not None:
                self._steps.put(Step(repository.name, result=kept))
                return
            result = self._attempt(repository, share)
            if not result.patch:
                _without_patch(self.campaign.folder, repository)
            self.store.put(repository.settings, head, result)
            self._steps.put(Step(repository.name, result=result))
        except Stopped:
            return
        except (GradfixError, GitError) as error:
            self._give_up(repository, str(error))
        except Exception as error:  # a bug of ours: in the result, and the others go on
            self._give_up(repository, internal(error), traceback.format_exc())

    def _give_up(self, repository: Repository, why: str, crash: str = "") -> None:
        result = Result(repository.name, repository.source, FAILED, why, ref=repository.ref)
        with suppress(GradfixError):  # where the state is the trouble, the report says so
            self.store.put(repository.settings, "", result)
        self._steps.put(Step(repository.name, result=result, crash=crash))

    def _known(self, repository: Repository) -> tuple[Result | None, str]:
        """The result that still holds, if there is one; and the repository's head.

        Raises GitError where nobody can tell what the repository holds.
        """
        kept = self.store.get(repository.name)
        limits = Limits(time.monotonic() + min(_ASKING, repository.timeout), self._stop)
        try:
            if repository.local and not os.path.isdir(repository.source):
                raise GitError(f"no such folder: {repository.source}")
            git = Git(self.campaign.folder / WORK, limits)
            head = git.head(repository.source, repository.ref)
        except (GitError, TimedOut) as error:
            why = str(error) or f"no answer within {_ASKING:g} s"
            if kept is None or not self._holds(kept, repository, kept.head):
                raise GitError(why) from error
            kept.result.notes.append(f"could not be asked whether it has changed: {why}")
            return kept.result, kept.head
        if kept is not None and self._holds(kept, repository, head):
            return kept.result, head
        return None, head

    def _holds(self, kept: Kept, repository: Repository, head: str) -> bool:
        same = kept.settings == repository.settings and kept.head == head
        return same and not self.redo and kept.result.status in FINISHED

    def _attempt(self, repository: Repository, share: int) -> Result:
        name = repository.name
        return Attempt(
            repository,
            self.campaign.folder,
            self.store,
            Limits(time.monotonic() + repository.timeout, self._stop),
            share,
            lambda stage: self._steps.put(Step(name, stage)),
            self._author,
        ).run()


def _without_patch(folder: Path, repository: Repository) -> None:
    (folder / "patches" / f"{repository.name}.patch").unlink(missing_ok=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
