"""The tasks that run on a dask worker; each thread of it keeps a process that does the work."""

from __future__ import annotations

import gc
import multiprocessing
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from gradfix import batch, jobs
from gradfix.batch import Processed
from gradfix.cache import Learned, whole_around
from gradfix.cluster import versions
from gradfix.cluster.tree import Bundle, Tree
from gradfix.config import Settings
from gradfix.errors import GradfixError
from gradfix.flow.project import Project
from gradfix.grounds import Digests, digest
from gradfix.job import Item, Job, light
from gradfix.model import Outcome, Source

#: Seconds that a process without work waits for the next group of its run.
IDLE = 20.0


@dataclass(frozen=True, slots=True)
class Answer(Processed):
    """What became of one file, or the paths that have to be shipped before that can be said.

    ``learned`` is there where the outcome may be cached.
    """

    missing: tuple[str, ...] = ()
    learned: Learned | None = None


@dataclass(frozen=True, slots=True)
class ShippedJob(Job):
    """A job over files that come in bundles; ``learns`` is whether somebody keeps a cache."""

    learns: bool = False

    def answers(self, given: Iterator[Item]) -> Iterator[Processed]:
        """An answer for each file; bundles come between the files, and have none."""
        tree = Tree()
        items = _unpacked(given, tree)
        while True:
            notes = _Notes()
            for done in batch.run(
                items,
                rewriting=self.rewriting,
                roots=self.roots,
                cache=notes if self.learns else None,
                read=tree.text_of,
                load=tree.load,
                listing=tree.listing,
            ):
                if missing := tree.take_missed():
                    # What rests on a file that was taken to be none must not be used again.
                    yield Answer(done.path, Outcome(Source("", ""), ""), missing=missing)
                    break
                yield _light(done, notes.taken())
            else:
                return
            gc.collect()


def _unpacked(given: Iterator[object], tree: Tree) -> Iterator[Item]:
    for one in given:
        if isinstance(one, Bundle):
            tree.add(one)
        else:
            yield one  # type: ignore[misc]


class _Notes:
    """Stands where a cache is: it knows nothing, and notes what is worth keeping."""

    def __init__(self) -> None:
        self._digests = Digests()
        self._last: Learned | None = None

    def get(
        self, source: Source, path: str, raw: bytes, settings: Settings, project: Project
    ) -> None:
        """Nothing is known here: the client has looked already."""

    def put(
        self, outcome: Outcome, path: str, raw: bytes, settings: Settings, project: Project
    ) -> None:
        """Note what the outcome of the file in hand rests on."""
        paths = (*project.looked_for(path), *whole_around(path, project))
        looked_for = {other: self._digests.of(other, project) for other in paths}
        self._last = Learned(digest(raw), looked_for)

    def taken(self) -> Learned | None:
        """What was noted since the last time."""
        last, self._last = self._last, None
        return last


def _light(done: Processed, learned: Learned | None) -> Answer:
    """An answer without what the client has anyway: the bytes of a file that stays as it is."""
    outcome = light(done).outcome
    changed = done.before != done.after
    before, after = (done.before, done.after) if changed else (b"", b"")
    return Answer(done.path, outcome, before, after, done.crash, learned=learned)


# -- in the dask worker -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Group:
    """Files that are handed out together; ``run`` is one run of the client, ``key`` the task."""

    run: str
    key: str
    versions: Mapping[str, str]
    job: ShippedJob
    items: Sequence[Item]


class Refused(GradfixError):
    """This worker's versions would not give the same results."""


class NotWanted(Exception):
    """Nobody waits for this group any more."""


def hold(bundle: Bundle) -> Bundle:
    """A bundle as a task: dask keeps it, moves it, and makes it again where it was lost."""
    return bundle


def work(group: Group, bundles: Sequence[Bundle]) -> list[Processed]:
    """The answers for a group of files. Raises Refused, and GradfixError if no process starts."""
    why = versions.difference(versions.here(), group.versions)
    if why is not None:
        raise Refused(why)
    _allow_children()
    with _kept_pool(group) as pool:
        known = {bundle.name for bundle in pool.luggage if isinstance(bundle, Bundle)}
        pool.luggage += [bundle for bundle in bundles if bundle.name not in known]
        pool.tick = _Wanted(group.key)
        return list(pool.results(group.items))


class _Wanted:
    """Raises NotWanted when a task of this worker has been cancelled."""

    def __init__(self, key: str) -> None:
        from distributed import get_worker

        self._worker, self._key = get_worker(), key

    def __call__(self) -> None:
        task = self._worker.state.tasks.get(self._key)
        running = self._worker.status.name in ("running", "paused", "closing_gracefully")
        if not running or task is None or task.state == "cancelled":
            raise NotWanted(self._key)


def _allow_children() -> None:
    """Let a worker that a nanny has started have processes of its own.

    Such a worker is marked as a daemon, and multiprocessing allows those none, because it would not
    end them with it. Ours end on their own when their parent is gone.
    """
    multiprocessing.current_process()._config.pop("daemon", None)  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True, eq=False)
class _Idle:
    run: str
    pool: jobs.Pool
    timer: threading.Timer


_lock = threading.Lock()
_idle: list[_Idle] = []


@contextmanager
def _kept_pool(group: Group) -> Iterator[jobs.Pool]:
    """A pool of one process that has worked for this run before, or a new one."""
    with _lock:
        mine = next((idle for idle in _idle if idle.run == group.run), None)
        if mine is not None:
            _idle.remove(mine)
            mine.timer.cancel()
    pool = jobs.Pool(group.job, 1) if mine is None else mine.pool
    with ExitStack() as unless_done:
        unless_done.callback(pool.end)
        yield pool
        unless_done.pop_all()
    timer = threading.Timer(IDLE, end_idle, [pool])
    timer.daemon = True
    with _lock:
        _idle.append(_Idle(group.run, pool, timer))
    timer.start()


def end_idle(pool: jobs.Pool | None = None) -> None:
    """End the processes that no task uses now: one pool, or all of them."""
    with _lock:
        ended = [idle for idle in _idle if pool is None or idle.pool is pool]
        _idle[:] = [idle for idle in _idle if idle not in ended]
    for idle in ended:
        idle.timer.cancel()
        idle.pool.end()
