"""Many sources on several processes: one that crashes or never ends costs itself and no other.

NOTE: how the work is shared. The parent hands out neighbouring files in small groups, since what a
worker has learned about a project's imports serves the files beside it. A worker answers file by
file, in the order it was given, so the first file without an answer is the one in hand when it dies
or takes too long. A file whose worker died is tried once more, because the system may have killed
it for what another program did. Results are passed on in the order of the files, whoever was first;
how far the workers may run ahead is bounded, and so is the memory. Only the parent writes files.

NOTE: who reads the whole project. A fix rests on what any other file may change, so where there is
one, all files are read once. In a large project that takes longer than hundreds of files do, so
only the first worker does it: the others put such files off, and the first gets them. Where more
of them come than it gets done, the others do the same.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import TYPE_CHECKING

from gradfix import batch, registry
from gradfix.batch import Processed
from gradfix.cache import Cache
from gradfix.errors import GradfixError
from gradfix.job import Item, Job
from gradfix.model import Failure

if TYPE_CHECKING:  # slow to import, and most runs are over before it is needed
    from multiprocessing import connection
    from multiprocessing.process import BaseProcess

#: Seconds that one file may take in a worker.
TIMEOUT = 60.0
#: With ``auto``: the most processes, and when workers are worth their start: the seconds that are
#: waited, those that it would still take then, and the number of files that have to be left.
MOST = 8
PATIENCE = 0.3
STILL = 3.0
WORTH = 16

_GROUP = 16  # files that are handed out together
_AHEAD = 512  # files that each worker may run ahead of what is passed on
_MANY = 256  # from so many files on, it is left to one worker to read them all
_PUT_OFF = 32  # files that may wait for it
_TICK = 0.2  # seconds
_FAREWELL = 5.0  # seconds that an idle worker has for its end
_GRACE = 30.0  # seconds after which a worker without a parent gives up a file on its own

_one_by_one = threading.Lock()


def run(
    items: Sequence[Item],
    job: Job,
    count: int | None,
    review: batch.Review | None = None,
    cache: Cache | None = None,
) -> Iterator[Processed]:
    """Process every file on ``count`` processes; what comes out does not depend on their number.

    With one process and no timeout everything happens in this process, and a file that never ends
    or takes the process with it is not guarded against. With None, workers are started when there
    is enough left to do for them. A ``review`` looks at one file after the other, in this process.
    ``cache`` is what this process uses; workers open the folder that the job names.

    Raises GradfixError if no worker can be started.
    """
    if review is not None:
        yield from job.run(iter(items), review, cache)
        return
    if job.timeout is not None or (count is not None and count > 1):
        with Pool(job, count or cores_here()) as workers:
            yield from workers.results(items)
        return
    cores = 1 if count == 1 else cores_here()
    left, pending, spent = len(items), iter(items), _Spent()
    pool: Pool | None = None
    with ExitStack() as ends:
        for done in job.run(pending, cache=cache):
            yield done
            left -= 1
            spent.add()
            if pool is None and cores > 1 and left >= WORTH and spent.is_worth_help(left):
                pool = ends.enter_context(Pool(job, cores))
                pool.begin(items[-left:])
            if pool is not None and pool.is_ready():
                yield from pool.results(list(pending))
                return


class _Spent:
    """The time that files have taken so far, in seconds."""

    def __init__(self) -> None:
        self._begun = self._last = time.monotonic()
        self._files = 0
        self._longest = 0.0

    def add(self) -> None:
        """One more file is done."""
        now = time.monotonic()
        self._longest, self._last = max(self._longest, now - self._last), now
        self._files += 1

    def is_worth_help(self, left: int) -> bool:
        """Whether workers would be done sooner, if the files that are left are like the others.

        Not like the longest: the first that is analysed waits for the analysis to be imported.
        """
        spent, others = self._last - self._begun, self._files - 1
        return spent > PATIENCE and (spent - self._longest) * left > STILL * others


def cores_here() -> int:
    """How many processes are worth starting on this machine."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(_all_cores())
    return min(MOST, len(usable))


def _all_cores() -> int:
    return os.cpu_count() or 1


# -- the parent ---------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class _Worker:
    """A worker process, the files it still owes an answer for, and how long the first has taken."""

    process: BaseProcess
    pipe: connection.Connection
    ready: bool = False
    hasty: bool = False  # leaves it to others to read the whole project
    carries: int = 0  # how much of the luggage it was given
    given: deque[int] = field(default_factory=deque)
    spent: float = 0.0

    def end(self, patience: float = 0.0) -> str:
        """Kill the process, unless it ends on its own in so many seconds; say how it ended."""
        self.process.join(patience)
        self.process.kill()
        self.process.join()
        self.pipe.close()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"exit code {code}"
        with suppress(ValueError):
            return f"killed by signal {-code}, {signal.Signals(-code).name}"
        return f"killed by signal {-code}"


class Pool:
    """Worker processes, and the results that wait for their turn. A context manager.

    ``luggage`` is what each worker is given before its first files, and what is added to it later
    before its next. ``tick`` is called while there is nothing to do, and may raise.
    """

    def __init__(self, job: Job, count: int, tick: Callable[[], None] = lambda: None) -> None:
        import multiprocessing

        self.luggage: list[object] = []
        self.tick = tick
        self._job = job
        self._most = max(1, count)
        self._timeout = TIMEOUT if job.timeout is None else job.timeout
        self._workers: list[_Worker] = []
        # Workers share nothing with the parent: no lock of the journal, no end of another's pipe.
        self._context = multiprocessing.get_context("spawn")
        self._expect(())

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let workers that have nothing left to do end on their own: they have results to keep."""
        if kind is None:
            for worker in self._workers:
                worker.pipe.close()
            for worker in self._workers:
                worker.process.join(_FAREWELL)
        self.end()

    def end(self) -> None:
        """End all workers at once."""
        while self._workers:
            self._workers.pop().end()

    def _expect(self, items: Sequence[Item]) -> None:
        self._items = items
        self._count = min(self._most, len(items))
        self._todo = deque(range(len(items)))
        self._put_off: deque[int] = deque()
        self._tried: set[int] = set()  # files that a worker has died of once
        self._done: dict[int, Processed] = {}
        self._next = 0

    def begin(self, items: Sequence[Item]) -> None:
        """Start the workers for some items. Raises GradfixError if none can be started."""
        self._expect(items)
        while len(self._workers) < self._count:
            self._workers.append(self._start())

    def is_ready(self) -> bool:
        """Whether one of the workers waits for something to do."""
        self._listen(0.0)
        return any(worker.ready for worker in self._workers)

    def results(self, items: Sequence[Item]) -> Iterator[Processed]:
        """Every file's result, in the order of the files. To be called again only at its end.

        Raises GradfixError if no worker can be started, and what ``tick`` raises.
        """
        self.begin(items)
        while self._next < len(items):
            self._hand_out()
            self._listen()
            while self._next in self._done:
                yield self._done.pop(self._next)
                self._next += 1

    def _start(self) -> _Worker:
        try:
            ours, theirs = self._context.Pipe()
            process = self._context.Process(target=_work, args=(theirs, self._job), daemon=True)
            with _apart():
                process.start()
        except OSError as error:
            raise _no_worker(error.strerror or str(error)) from error
        theirs.close()
        return _Worker(process, ours, hasty=len(self._items) >= _MANY)

    def _hand_out(self) -> None:
        """Give each worker that has nothing left the next group; it reads at once, never later."""
        for worker in self._workers:
            if not worker.ready or worker.given:
                continue
            if worker is self._workers[0] or len(self._put_off) > _PUT_OFF:
                worker.hasty = False
            self._fill(worker)
            if worker.given:
                worker.spent = 0.0
                luggage, worker.carries = self.luggage[worker.carries :], len(self.luggage)
                items = [self._item(index, hasty=worker.hasty) for index in worker.given]
                with suppress(OSError):  # it has died; that is heard of like any other death
                    worker.pipe.send([*luggage, *items])

    def _item(self, index: int, *, hasty: bool) -> Item:
        item = self._items[index]
        return item if isinstance(item, Failure) else replace(item, hasty=hasty)

    def _fill(self, worker: _Worker) -> None:
        size = min(_GROUP, max(1, len(self._todo) // (2 * self._count)))
        while self._put_off and not worker.hasty and len(worker.given) < size:
            worker.given.append(self._put_off.popleft())
        limit = self._next + _AHEAD * self._count
        while self._todo and self._todo[0] < limit and len(worker.given) < size:
            worker.given.append(self._todo.popleft())

    def _listen(self, patience: float = _TICK) -> None:
        """Wait a moment for answers; look after workers that have died or take too long."""
        from multiprocessing import connection

        by_pipe = {worker.pipe: worker for worker in self._workers}
        before = time.monotonic()
        heard = connection.wait(list(by_pipe), patience)
        if not heard:
            self.tick()
        # Only time that was spent here counts: the user may have stopped us all for a while.
        elapsed = min(time.monotonic() - before, 2 * _TICK)
        for pipe, worker in by_pipe.items():
            if pipe in heard:
                self._hear(worker)
            elif worker.given:
                worker.spent += elapsed
                if worker.spent > self._timeout:
                    worker.end()
                    why = f"took longer than {self._timeout:g} s and was given up (--timeout)"
                    self._lost(worker, why, again=False)

    def _hear(self, worker: _Worker) -> None:
        try:
            done = worker.pipe.recv()
        except (EOFError, OSError):
            ending = worker.end(patience=5.0)  # its pipe is closed: it is on its way
            if not worker.ready:
                self._workers.remove(worker)
                raise _no_worker(ending) from None
            self._lost(worker, f"internal error: its process died twice ({ending})", again=True)
            return
        if not worker.ready:
            worker.ready = True
            return
        worker.spent = 0.0
        index = worker.given.popleft()
        if done.put_off:
            self._put_off.append(index)
        else:
            self._done[index] = done

    def _lost(self, worker: _Worker, why: str, *, again: bool) -> None:
        """A worker is gone: the file in hand is tried again or fails, the others go to the next."""
        self._workers.remove(worker)
        left = list(worker.given)
        if left and again and left[0] not in self._tried:
            self._tried.add(left[0])
        elif left:
            index = left.pop(0)
            item = self._items[index]
            self._done[index] = batch.failed(item, Failure(item.filename, why))
        self._todo.extendleft(reversed(left))
        if self._todo or self._put_off:
            self._workers.append(self._start())


def _no_worker(why: str) -> GradfixError:
    return GradfixError(f"cannot start a worker process: {why} (-j 1 does without)")


@contextmanager
def _apart() -> Iterator[None]:
    """Start a process that Ctrl-C does not reach, and that has nothing to do with the main script.

    It inherits the signal mask; and it would import the main script, which need not be ours.
    """
    with _one_by_one, _without_main():  # several threads may start processes
        yield


@contextmanager
def _without_main() -> Iterator[None]:
    main, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    masked = hasattr(signal, "pthread_sigmask")
    if masked:
        from multiprocessing import resource_tracker

        resource_tracker.ensure_running()  # its own start would take the mask away
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- the workers --------------------------------------------------------------------------------


def _work(pipe: connection.Connection, job: Job) -> None:
    """Answer for each file that comes through the pipe, until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow, name="gradfix-parent", daemon=True).start()
    registry.codemods()
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent is gone
        pipe.send(None)
        given = _received(pipe, (job.timeout or TIMEOUT) + _GRACE)
        for done in job.answers(given):
            faulthandler.cancel_dump_traceback_later()
            pipe.send(done)
    # Taking millions of objects apart takes seconds, for which the parent would wait.
    os._exit(0)


def _follow() -> None:
    """End when the parent does, whatever is going on in the other threads."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _received(pipe: connection.Connection, longest: float) -> Iterator[Item]:
    with open(os.devnull, "wb") as nowhere:
        while True:
            try:
                items = pipe.recv()
            except EOFError:
                gc.freeze()  # this process ends, and nobody has to look through what it knows
                raise
            for item in items:
                # If the parent is killed, and this process hangs in code that lets no thread run,
                # nobody else is there to end it.
                faulthandler.dump_traceback_later(longest, exit=True, file=nowhere)
                yield item
