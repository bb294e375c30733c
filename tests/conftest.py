"""What all tests start from."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Let interrupts arrive: where tests run in the background of a shell, processes inherit that
    they are ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
