"""Runs commands with a deadline; whatever they start ends with them, and with this process."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from gradfix import guard

_TICK = 0.1  # seconds until a request to stop is heard
_CHUNK = 1 << 16
_KEPT = 64 * 1024 * 1024  # bytes of output that are kept, the last ones
_MARK = "GRADFIX_MIGRATE_CHILD"


class Stopped(Exception):
    """The user wants to stop."""


class TimedOut(Exception):
    """The time for this repository is over."""


class NotStarted(Exception):
    """The command cannot be started; the text says why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code (negative: the signal), and the last it said."""

    code: int
    out: bytes
    err: bytes
    seconds: float


@dataclass(slots=True)
class Limits:
    """How long commands may run: until a moment of `time.monotonic`, or until somebody stops us."""

    deadline: float
    stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Raises Stopped or TimedOut where it is time for that."""
        if self.stop.is_set():
            raise Stopped
        if time.monotonic() > self.deadline:
            raise TimedOut


def run(
    command: Sequence[str],
    folder: Path,
    limits: Limits,
    *,
    environment: Mapping[str, str],
    given: bytes = b"",
    together: bool = False,
    kept: int = _KEPT,
    strays: bool = False,
) -> Ended:
    """Run a command to its end in its own session, with ``given`` as its standard input.

    With ``together`` standard error goes where standard output goes. With ``strays`` also processes
    that left the session are ended (on Linux). Raises Stopped, TimedOut or NotStarted.
    """
    limits.check()
    mark = f"{_MARK}={secrets.token_hex(8)}"
    started = time.monotonic()
    with _input(given) as stdin, _pipes() as (life, result):
        child = _start(command, folder, environment, mark, stdin, together, (life[0], result[1]))
        try:
            for end in (life[0], result[1]):
                os.close(end)
            ear = _Ear(child, result[0], kept)
            ear.listen(limits)
        finally:
            _end(child, mark if strays else None)
    seconds = time.monotonic() - started
    return Ended(ear.code(), bytes(ear.out[-kept:]), bytes(ear.err[-kept:]), seconds)


@contextlib.contextmanager
def _input(given: bytes) -> Iterator[IO[bytes] | int]:
    if not given:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile() as stream:
        stream.write(given)
        stream.seek(0)
        yield stream


@contextlib.contextmanager
def _pipes() -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    life, result = os.pipe(), os.pipe()
    try:
        yield life, result
    finally:
        for end in (life[1], result[0]):
            os.close(end)


def _start(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    mark: str,
    stdin: IO[bytes] | int,
    together: bool,
    ends: tuple[int, int],
) -> subprocess.Popen[bytes]:
    guarded = [sys.executable, "-I", "-S", guard.__file__, *map(str, ends), mark, *command]
    try:
        return subprocess.Popen(
            guarded,
            cwd=folder,
            env={**environment, _MARK: mark.partition("=")[2]},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if together else subprocess.PIPE,
            pass_fds=ends,
            start_new_session=True,
        )
    except OSError as error:
        for end in ends:
            os.close(end)
        raise NotStarted(f"{command[0]}: {error.strerror or error}") from error


class _Ear:
    """Hears what a command says until it has ended, and how it ended."""

    def __init__(self, child: subprocess.Popen[bytes], result: int, kept: int) -> None:
        self.out, self.err = bytearray(), bytearray()
        self._child, self._result, self._kept = child, result, kept
        self._said = b""

    def listen(self, limits: Limits) -> None:
        """Until the command's end. Raises Stopped or TimedOut."""
        streams = [s for s in (self._child.stdout, self._child.stderr) if s is not None]
        with selectors.DefaultSelector() as selector:
            for fd in (self._result, *(stream.fileno() for stream in streams)):
                os.set_blocking(fd, False)
                selector.register(fd, selectors.EVENT_READ)
            while self._result in {key.fd for key in selector.get_map().values()}:
                for key, _ in selector.select(_TICK):
                    if not self._hear(key.fd):
                        selector.unregister(key.fd)
                limits.check()
            for key in list(selector.get_map().values()):  # what it said last
                while self._hear(key.fd):
                    pass

    def _hear(self, fd: int) -> bool:
        """Take in what there is to read; False at the end, or where nothing is left for now."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if fd == self._result:
            self._said += data
        elif self._child.stdout is not None and fd == self._child.stdout.fileno():
            self._keep(self.out, data)
        else:
            self._keep(self.err, data)
        return bool(data)

    def _keep(self, said: bytearray, data: bytes) -> None:
        said += data
        if len(said) > 2 * self._kept:
            del said[: -self._kept]

    def code(self) -> int:
        """The exit code. Raises NotStarted."""
        if not self._said:  # somebody has killed the guard
            return -signal.SIGKILL
        said = json.loads(self._said)
        if "error" in said:
            raise NotStarted(said["error"])
        return int(said["code"])


def _end(child: subprocess.Popen[bytes], mark: str | None) -> None:
    """End all that is left of a command."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()
    if mark is not None:
        guard.end_marked(mark)
