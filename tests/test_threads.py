"""Work on threads of its own."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from gradfix.threads import LastingThread


def test_one_thread_does_one_work_after_the_other() -> None:
    thread = LastingThread("room")
    first, second = thread.do(threading.current_thread), thread.do(threading.current_thread)
    assert first is second is not threading.current_thread()


def test_what_work_raises_is_raised_and_the_next_work_is_done() -> None:
    thread = LastingThread("room")
    with pytest.raises(ZeroDivisionError):
        thread.do(lambda: 1 // 0)
    assert thread.do(lambda: 2) == 2


def test_an_interrupt_gives_up_what_is_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    thread, go_on = LastingThread("room"), threading.Event()
    started = thread.do(threading.current_thread)

    class Interrupted:
        def get(self) -> None:
            raise KeyboardInterrupt

        def put(self, item: None) -> None:
            pass

    with monkeypatch.context() as patch:
        patch.setattr("gradfix.threads.SimpleQueue", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            thread.do(go_on.wait)
    assert thread.do(threading.current_thread) is not started
    go_on.set()
    started.join(10)
    assert not started.is_alive()


def test_a_thread_ends_with_what_owns_it() -> None:
    thread = LastingThread("room")
    started = thread.do(threading.current_thread)
    del thread
    gc.collect()
    started.join(10)
    assert not started.is_alive()


def test_what_was_worked_with_is_not_kept() -> None:
    class Held:
        pass

    thread, held = LastingThread("room"), Held()
    known = weakref.ref(held)
    thread.do(lambda held=held: None)  # type: ignore[misc]
    del held
    end = time.monotonic() + 10
    while known() is not None and time.monotonic() < end:
        time.sleep(0.01)
    assert known() is None
