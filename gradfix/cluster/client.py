"""The client's side: what is known is said, the rest is shipped, and answers are put in order."""

from __future__ import annotations

import heapq
import os
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gradfix import batch, files, jobs
from gradfix.batch import Processed
from gradfix.cache import Cache
from gradfix.cluster import versions
from gradfix.cluster.line import Line, Lost, pause
from gradfix.cluster.tree import Bundle, Shipper
from gradfix.cluster.worker import Answer, Group, Refused, ShippedJob, hold, work
from gradfix.errors import GradfixError
from gradfix.files import listed
from gradfix.flow.project import Project
from gradfix.job import Item, Job
from gradfix.model import Failure, Source
from gradfix.repository import from_root

if TYPE_CHECKING:
    from distributed import Future

#: Seconds that a scheduler may be away, or without workers, before the run is given up.
PATIENCE = 60.0

_GROUP = 16  # files that are handed out together
_AHEAD = 64  # files that each thread of a worker may run ahead of what is passed on
_FEW = 10  # where less than one file in so many is to be analysed, imports come on demand
_TICK = 0.2  # seconds
_LOOK = 1.0  # seconds between two looks at the workers
_FETCH = 60.0  # seconds that the answers for one group may take from there to here
_QUIET = 3.0  # seconds without workers before the user is told


def run(
    items: Sequence[Item],
    job: Job,
    address: str,
    count: int | None = None,
    cache: Cache | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> Iterator[Processed]:
    """Process every file on the cluster at an address; what comes out is what one process says.

    ``count`` is the number of workers where the address is `LOCAL`. Only this process reads and
    keeps the ``cache``. ``say`` is told what the user has to wait for.

    Raises GradfixError if dask is not installed, if the scheduler cannot be reached, or is away or
    without workers for longer than `PATIENCE`, and if workers would not give the same results.
    """
    line = Line(address, count or jobs.cores_here())
    try:
        try:
            line.open()
        except Lost as error:
            raise GradfixError(f"no dask scheduler at {address}: {error}") from error
        yield from _Run(items, job, cache, line, say).results()
    finally:
        line.end()


@dataclass(frozen=True, slots=True)
class _Handed:
    """Files that are on their way, and how many bundles they were sent with."""

    future: Future[Any]
    indexes: list[int]
    bundles: int


class _Run:
    """One run: what is done, what is on its way, and what is still to do."""

    def __init__(
        self,
        items: Sequence[Item],
        job: Job,
        cache: Cache | None,
        line: Line,
        say: Callable[[str], None],
    ) -> None:
        self._items, self._job, self._cache, self._line, self._say = items, job, cache, line, say
        self._roots = Project(lambda path: None, map(os.path.abspath, job.roots)).roots
        self._remote = ShippedJob(
            job.rewriting, self._roots, timeout=job.timeout, learns=cache is not None
        )
        self._name = os.urandom(8).hex()
        self._shipper = Shipper(job.unwritten.raw_of, self._roots)
        self._bundles: list[Bundle] = []
        self._shipped: list[Future[Any]] = []
        self._todo: list[int] = []  # a heap: the first files first
        self._alone: set[int] = set()  # files that may have killed their worker
        self._handed: dict[str, _Handed] = {}
        self._heard: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._done: dict[int, Processed] = {}
        self._next = 0
        self._number = 0
        self._threads = 0
        self._looked = float("-inf")
        self._worked = time.monotonic()  # when there were workers for the last time
        self._told = False  # whether the user knows that there are none
        kept = job.rewriting or cache is not None
        self._go_on = "what is done is kept: " * kept + "run the same command again to go on"

    def results(self) -> Iterator[Processed]:
        """Every file's result, in the order of the files."""
        yield from self._known()
        if self._todo:
            self._bundles += self._shipper.bundles()
        while self._next < len(self._items):
            try:
                self._look()
                self._hand_out()
                self._listen()
            except Lost:
                self._find_again()
            yield from self._ready()

    def _ready(self) -> Iterator[Processed]:
        while self._next in self._done:
            yield self._done.pop(self._next)
            self._next += 1

    # -- what needs no cluster ------------------------------------------------------------------

    def _known(self) -> Iterator[Processed]:
        """Read every file once: what the cache knows, or a look at the bytes tells, is done.

        The others are shipped, and with them what they may import, unless they are few.
        """
        project = Project(self._job.unwritten.text_of, self._roots, listed)
        done: list[str] = []
        for index, item in enumerate(self._items):
            if isinstance(item, Failure):
                self._done[index] = batch.failed(item, item)
            else:
                opened = batch.opening(item, project, self._cache, rewriting=self._job.rewriting)
                if isinstance(opened, Processed):
                    self._done[index] = opened
                    done.append(self._path(item))
                else:
                    self._shipper.put(opened.view.path, opened.decoded.raw)
                    self._todo.append(index)
            yield from self._ready()
        if len(self._todo) * _FEW >= len(self._items):
            for path in done:
                if path.endswith(".py") and (raw := self._job.unwritten.raw_of(path)) is not None:
                    self._shipper.put(path, raw)

    # -- to the cluster -------------------------------------------------------------------------

    def _look(self) -> None:
        """Look, now and then, who is there. Raises GradfixError where nobody is for too long."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._threads = self._line.threads()
        self._looked = time.monotonic()
        if self._threads:
            self._worked = now
            self._told = False
        elif now - self._worked > PATIENCE:
            where = f"the scheduler at {self._line.address}"
            raise GradfixError(f"{where} has had no workers for {PATIENCE:g} s; {self._go_on}")
        elif now - self._worked > _QUIET and not self._told:
            where = f"the scheduler at {self._line.address}"
            self._say(f"{where} has no workers: waiting up to {PATIENCE:g} s for them")
            self._told = True

    def _hand_out(self) -> None:
        """Hand in as many groups as keep the workers busy, in the order of the files."""
        if not self._threads:
            return
        if any(bundle.status in ("cancelled", "lost") for bundle in self._shipped):
            raise Lost("the scheduler has forgotten us")
        limit = self._next + _AHEAD * self._threads
        while self._todo and self._todo[0] < limit and len(self._handed) <= 2 * self._threads:
            self._ship()
            self._hand(self._group())

    def _group(self) -> list[int]:
        """The next files to be handed out together."""
        size = min(_GROUP, max(1, len(self._todo) // (2 * self._threads)))
        group = [heapq.heappop(self._todo)]
        while self._todo and len(group) < size and not self._alone & {group[0], self._todo[0]}:
            group.append(heapq.heappop(self._todo))
        return group

    def _ship(self) -> None:
        """Hand in the bundles that this scheduler does not have yet."""
        for bundle in self._bundles[len(self._shipped) :]:
            key = f"gradfix-bundle-{self._name}-{bundle.name}"
            self._shipped.append(self._line.submit(hold, bundle, key=key, heard=lambda key: None))

    def _hand(self, indexes: list[int]) -> None:
        items = [self._abroad(self._items[index]) for index in indexes]
        self._number += 1
        key = f"gradfix-files-{self._name}-{self._number}"
        group = Group(self._name, key, versions.here(), self._remote, items)
        try:
            future = self._line.submit(
                work, group, list(self._shipped), key=key, heard=self._heard.put
            )
        except Lost:
            self._put_back(indexes)
            raise
        self._handed[key] = _Handed(future, indexes, len(self._shipped))

    def _abroad(self, item: Item) -> Item:
        """The item without anything that depends on the working folder."""
        if isinstance(item, Failure):
            return item
        return replace(item, path=self._path(item), place=from_root(item.filename))

    @staticmethod
    def _path(item: files.Found) -> str:
        return os.path.normpath(os.path.abspath(item.path))

    def _put_back(self, indexes: Sequence[int]) -> None:
        for index in indexes:
            heapq.heappush(self._todo, index)

    # -- from the cluster -----------------------------------------------------------------------

    def _listen(self) -> None:
        """Take what has come in, waiting a moment for it. Raises Lost."""
        try:
            key = self._heard.get(timeout=_TICK)
            while True:
                if key in self._handed:
                    self._take(self._handed.pop(key))
                key = self._heard.get_nowait()
        except queue.Empty:
            if not self._line.is_alive:
                raise Lost("connection lost") from None

    def _take(self, handed: _Handed) -> None:
        """Take one group's answers. Raises Lost, and GradfixError where a worker cannot go on."""
        from distributed import KilledWorker

        status = handed.future.status
        try:
            if status == "finished":
                answers = handed.future.result(timeout=_FETCH)
            elif status == "error":
                trouble = handed.future.exception()
                if not isinstance(trouble, KilledWorker):
                    raise self._trouble(trouble)
                self._killed(handed.indexes, trouble)
                return
            else:
                raise Lost(status)
        except (OSError, CancelledError, Lost) as error:  # gone before the answers were here
            self._put_back(handed.indexes)
            raise Lost(str(error)) from error
        missing: set[str] = set()
        again: list[int] = []
        for index, answer in zip(handed.indexes, answers, strict=True):
            if isinstance(answer, Answer) and answer.missing:
                missing.update(answer.missing)
                again.append(index)
            else:
                self._finish(index, answer)
        if again:
            self._find(missing, again, handed.bundles)

    def _find(self, missing: set[str], again: list[int], sent: int) -> None:
        """Ship what was missing, and have the files done again."""
        found = self._shipper.found(sorted(missing))
        if found is not None:
            self._bundles.append(found)
        elif sent == len(self._bundles):
            why = f"internal error: what was shipped is missing: {min(missing)}"
            for index in again:
                self._fail(index, why)
            return
        self._put_back(again)

    def _trouble(self, trouble: BaseException) -> GradfixError:
        at = f"a worker of {self._line.address}"
        if isinstance(trouble, GradfixError):
            return GradfixError(f"{at} {trouble}" if isinstance(trouble, Refused) else str(trouble))
        said = str(trouble).partition("\n")[0]
        return GradfixError(f"{at} cannot do the work: {type(trouble).__name__}: {said}")

    def _killed(self, indexes: list[int], trouble: BaseException) -> None:
        """Several workers have died of a group, one after the other: find out of which file."""
        if len(indexes) > 1:
            self._alone.update(indexes)
            self._put_back(indexes)
        else:
            self._fail(indexes[0], "internal error: every worker that was given it has died")

    def _fail(self, index: int, why: str) -> None:
        item = self._items[index]
        self._done[index] = batch.failed(item, Failure(item.filename, why))

    def _finish(self, index: int, done: Processed) -> None:
        """Note a result, and keep it for the next run."""
        item = self._items[index]
        if isinstance(item, Failure):
            raise TypeError("failures are not handed out")
        if self._cache is not None and isinstance(done, Answer) and done.learned is not None:
            source = Source(item.filename, "", from_root(item.filename))
            outcome = replace(done.outcome, source=source)
            path = self._path(item)
            self._cache.keep(outcome, path, done.learned, item.settings, self._roots)
        self._done[index] = Processed(item.path, done.outcome, done.before, done.after, done.crash)

    # -- when the scheduler is gone -------------------------------------------------------------

    def _find_again(self) -> None:
        """Connect to the scheduler again; what was on its way is handed in once more.

        Raises GradfixError when that takes longer than `PATIENCE`.
        """
        address = self._line.address
        self._say(f"the scheduler at {address} is gone: waiting up to {PATIENCE:g} s for it")
        self._line.close()
        for handed in self._handed.values():
            self._put_back(handed.indexes)
        self._handed.clear()
        self._shipped.clear()
        self._threads, self._looked = 0, float("-inf")
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._line.open()
                break
            except Lost as error:
                if time.monotonic() > deadline:
                    raise GradfixError(
                        f"the scheduler at {address} did not come back in {PATIENCE:g} s; "
                        f"{self._go_on}"
                    ) from error
                pause()
        self._worked = time.monotonic()
        self._say(f"the scheduler at {address} is back")
