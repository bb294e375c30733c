"""Work on a thread of its own, for a larger stack or so that it can be given up."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")

_STACK_BYTES = 512 * 1024 * 1024  # address space, not memory: pages are only used when touched


class NoThread(RuntimeError):
    """A thread could not be started."""


class NotDone(TimeoutError):
    """Work has not come to an end in its time; raised by nothing else."""


@contextmanager
def large_stacks(depth: int) -> Iterator[None]:
    """Threads that are started meanwhile may recurse ``depth`` deep, or deeper where they may now.

    Stack size and recursion limit belong to the whole interpreter.
    """
    limit, stack = sys.getrecursionlimit(), threading.stack_size()
    try:
        threading.stack_size(_STACK_BYTES)
        sys.setrecursionlimit(max(limit, depth))
        yield
    finally:
        threading.stack_size(stack)
        sys.setrecursionlimit(limit)


class _Work(Generic[T]):
    """A piece of work for another thread, and how it ended."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._given: list[T] = []
        self._raised: list[BaseException] = []

    def run(self) -> None:
        """In the other thread; never raises."""
        try:
            self._given.append(self._work())
        except BaseException as error:  # raised again by `result`, in the thread that asked for it
            self._raised.append(error)

    def has_ended(self) -> bool:
        """Whether there is a result, or an error in its place."""
        return bool(self._given or self._raised)

    def result(self) -> T:
        """What the work gave. Raises what it raised."""
        if self._raised:
            raise self._raised.pop()
        return self._given.pop()


def on_thread(
    work: Callable[[], T], name: str, *, daemon: bool = True, seconds: float | None = None
) -> T:
    """What ``work`` gives; what it raises is raised here.

    A daemon is not waited for when Python ends, or is interrupted.

    Raises NoThread, and NotDone where it has not come to an end within ``seconds``.
    """
    given = _Work(work)
    thread = threading.Thread(target=given.run, name=name, daemon=daemon)
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThread(str(error)) from error
    thread.join(seconds)
    if not given.has_ended():
        raise NotDone(f"no end within {seconds:g} s")
    return given.result()


class LastingThread:
    """A thread that does one piece of work after the other; whoever gives it one waits for it.

    To start a thread with a large stack for every file costs a tenth of checking them.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._given: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def do(self, work: Callable[[], T]) -> T:
        """What ``work`` gives; what it raises is raised here. Raises NoThread."""
        one = _Work(work)
        done: SimpleQueue[None] = SimpleQueue()

        def body() -> None:
            one.run()
            done.put(None)

        if self._thread is None or not self._thread.is_alive():  # as after a fork
            self._start()
        given = self._given
        given.put(body)
        try:
            done.get()
        except BaseException:  # interrupted: what is being done counts no more
            self._thread = None
            given.put(None)
            raise
        return one.result()

    def _start(self) -> None:
        self._given = SimpleQueue()
        self._thread = threading.Thread(
            target=_serve, args=(self._given,), name=self._name, daemon=True
        )
        try:
            self._thread.start()
        except RuntimeError as error:
            self._thread = None
            raise NoThread(str(error)) from error
        weakref.finalize(self, self._given.put, None)


def _serve(given: SimpleQueue[Callable[[], None] | None]) -> None:
    """Do what is given until there is nothing more."""
    while (body := given.get()) is not None:
        body()
        del body  # which holds what it worked with
