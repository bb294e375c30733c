"""Work on a thread of its own, for a larger stack or so that it can be given up."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
