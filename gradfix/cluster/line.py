"""The line to a dask scheduler: how it is opened, what runs on the other side, how it is lost."""

from __future__ import annotations

import logging
import socket
import time
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from gradfix.cluster import versions
from gradfix.cluster.worker import end_idle
from gradfix.errors import GradfixError
from gradfix.threads import NotDone, on_thread

if TYPE_CHECKING:
    from distributed import Client, Future, SpecCluster

T = TypeVar("T")

#: What stands for an address where the workers are threads of this process.
LOCAL = "local"
#: Seconds that one attempt to reach the scheduler may take.
CONNECT = 5.0
#: What dask's calls raise when the other side is not there any more.
_TROUBLE = (OSError, RuntimeError, ValueError, CancelledError)

_LOGGERS = ("distributed", "distributed.client", "distributed.gc", "tornado", "tornado.application")


class Lost(Exception):
    """The scheduler cannot be reached, or has forgotten us; it says why."""


class Line:
    """A connection to a scheduler, which can be opened again when it is lost.

    Raises GradfixError if dask is not installed.
    """

    def __init__(self, address: str, count: int) -> None:
        self.address = address
        self._count = count
        self._cluster: SpecCluster | None = None
        self._client: Client | None = None
        self._known: set[str] = set()
        _quiet()

    def open(self) -> None:
        """Connect. Raises Lost."""
        from distributed import Client

        class Quiet(Client):
            def __del__(self) -> None:
                """We close what has been opened; dask would wait to close what has not."""

        client: Callable[..., Client] = Quiet
        try:
            if self.address == LOCAL:
                self._cluster = self._cluster or _local_cluster(self._count)
            else:
                _reach(self.address)
            self._client = _within(
                2 * CONNECT,
                lambda: client(
                    self._cluster or self.address,
                    timeout=CONNECT,
                    set_as_default=False,
                    name="gradfix",
                ),
            )
        # Whatever answers at that address, dask has many ways to say that it is no scheduler.
        except (*_TROUBLE, TypeError, AttributeError, KeyError) as error:
            raise Lost(_first_line(error)) from error
        self._known = set()

    def close(self) -> None:
        """Let go of everything that was handed in."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(*_TROUBLE):  # it is gone, or on its way
                client.close(timeout=2)

    def end(self) -> None:
        """Close for good, and end what runs on this machine."""
        self.close()
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            cluster.close(timeout=10)
            end_idle()

    @property
    def is_alive(self) -> bool:
        """Whether the scheduler still hears us."""
        return self._client is not None and self._client.status == "running"

    def submit(
        self, work: Callable[..., Any], *arguments: Any, key: str, heard: Callable[[str], None]
    ) -> Future[Any]:
        """Hand in a task; ``heard`` is told its key when it is done, or will never be.

        Raises Lost.
        """
        if self._client is None or not self.is_alive:
            raise Lost("connection lost")
        try:
            future = self._client.submit(work, *arguments, key=key, pure=False)
        except _TROUBLE as error:
            raise Lost(_first_line(error)) from error
        future.add_done_callback(lambda done: heard(done.key))
        return future

    def threads(self) -> int:
        """How many groups of files can be worked on at once; new workers are looked at first.

        Raises Lost, and GradfixError for a worker that would not give the same results.
        """
        if self._client is None or not self.is_alive:
            raise Lost("connection lost")
        try:
            threads: dict[str, int] = _within(2 * CONNECT, self._client.nthreads)
        except _TROUBLE as error:
            raise Lost(_first_line(error)) from error
        if new := sorted(set(threads) - self._known):
            self._check(self._client, new)
        self._known = set(threads)
        return sum(threads.values())

    def _check(self, client: Client, workers: list[str]) -> None:
        """Compare versions. Raises GradfixError; says nothing where a worker has gone meanwhile."""
        found: Mapping[str, Mapping[str, str] | BaseException] = {}
        with suppress(*_TROUBLE):
            found = _within(
                2 * CONNECT,
                lambda: client.run(eval, versions.PROBE, workers=workers, on_error="return"),
            )
        wrong: dict[str, list[str]] = {}
        for address, there in sorted(found.items()):
            if isinstance(there, BaseException):  # it has gone, or will be asked by its first task
                continue
            if (why := versions.difference(there, versions.here())) is not None:
                wrong.setdefault(why, []).append(address)
        for why, workers in wrong.items():
            more = f" (and {len(workers) - 1} more)" if len(workers) > 1 else ""
            raise GradfixError(f"the worker {workers[0]}{more} {why}")


def _local_cluster(count: int) -> SpecCluster:
    """A scheduler and workers that are threads of this process; their files go to its children."""
    from distributed import Scheduler, SpecCluster, Worker

    # An address for dask's web server has to be given, or it takes one that others can reach.
    here = {"protocol": "inproc://", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    worker = {"cls": Worker, "options": {**here, "nthreads": 1, "memory_limit": 0}}
    return SpecCluster(
        scheduler={"cls": Scheduler, "options": here},
        workers=dict.fromkeys(range(count), worker),
        silence_logs=logging.CRITICAL,
    )


def _reach(address: str) -> None:
    """Raise OSError where nobody listens: dask would try again and again before it says so."""
    there = urlsplit(address)
    socket.create_connection((there.hostname or "", there.port or 0), CONNECT).close()


def _within(seconds: float, work: Callable[[], T]) -> T:
    """What some work gives; raises what it raises, and TimeoutError if it does not come to an end.

    Dask waits for ever for something that listens and does not speak its language.
    """
    try:
        return on_thread(work, "gradfix-line", seconds=seconds)
    except NotDone as error:
        raise TimeoutError(f"what listens there gave no answer in {seconds:g} s") from error


def _quiet() -> None:
    """Import dask, and keep its messages from the user's terminal: what matters, gradfix says."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise GradfixError(
            f"--scheduler needs dask ({error}): pip install 'gradfix[cluster]'"
        ) from error
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module=r"distributed|dask|tornado")


def _first_line(error: BaseException) -> str:
    while isinstance(error.__cause__, OSError):
        error = error.__cause__
    return str(error).partition("\n")[0] or type(error).__name__


def pause() -> None:
    """Between two attempts."""
    time.sleep(0.3)
