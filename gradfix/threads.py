"""Work on a thread of its own, for a larger stack or so that it can be given up."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

T = TypeVar("T")


class NoThread(RuntimeError):
    """A thread could not be started."""


class NotDone(TimeoutError):
    """Work has not come to an end in its time; raised by nothing else."""


def on_thread(
    work: Callable[[], T], name: str, *, daemon: bool = True, seconds: float | None = None
) -> T:
    """What ``work`` gives; what it raises is raised here.

    A daemon is not waited for when Python ends, or is interrupted.

    Raises NoThread, and NotDone where it has not come to an end within ``seconds``.
    """
    results: list[T] = []
    raised: list[BaseException] = []

    def body() -> None:
        try:
            results.append(work())
        except BaseException as error:  # raised again in the caller's thread below
            raised.append(error)

    thread = threading.Thread(target=body, name=name, daemon=daemon)
    try:
        thread.start()
    except RuntimeError as error:
        raise NoThread(str(error)) from error
    thread.join(seconds)
    if raised:
        raise raised[0]
    if not results:
        raise NotDone(f"no end within {seconds:g} s")
    return results[0]


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
        results: list[T] = []
        raised: list[BaseException] = []
        done: SimpleQueue[None] = SimpleQueue()

        def body() -> None:
            try:
                results.append(work())
            except BaseException as error:  # raised again in the caller's thread below
                raised.append(error)
            finally:
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
        if raised:
            raise raised.pop()
        return results.pop()

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
