"""Runs one job in a disposable child process and says how it ended. Imports no torch.

NOTE containment. The child gets its own session, a temporary HOME, a closed standard input, limits
on memory, CPU time and file size, and, where the system allows it, its own process, mount and
network namespaces in which the user's project is read-only. It speaks over a private pipe; every
message carries a random token, and only the marker "done" makes a run complete, so neither
``os._exit(0)`` nor text on standard output can pass for a verdict. When the parent has heard
enough or the clock runs out, the whole session is killed. This contains accidents. It is no
security sandbox: code that means harm runs with the user's rights.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gradfix.errors import GradfixError
from gradfix.guard import end_marked
from gradfix.verify.limits import LOST_CHANNEL
from gradfix.verify.workspace import Workspace

_BOOT = """
import json, os, sys
with os.fdopen(int(sys.argv[1]), "rb") as pipe:
    job = json.load(pipe)
sys.path[:] = job["sys_path"]
from gradfix.verify.limits import confine
confine(job)
from gradfix.verify.worker import main
main(job)
"""
_AS_INIT = """
for folder in {protected}; do
  mount --bind "$folder" "$folder" && mount -o remount,bind,ro "$folder"
done 2>/dev/null
"$@"
exit $?
"""
_UNSHARE = ("unshare", "-r", "-n", "-p", "-m", "-f", "--kill-child", "sh", "-c")
_MARK = "GRADFIX_VERIFY_CHILD"
_TAIL = 4000
_STARTUP = 120.0
_LOST = "closed gradfix's result channel"
_SIGNALS = {
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error",
    signal.SIGFPE: "arithmetic error",
    signal.SIGILL: "illegal instruction",
    signal.SIGKILL: "killed",
    signal.SIGXCPU: "CPU time limit",
    signal.SIGXFSZ: "file size limit",
}


@dataclass(slots=True)
class ChildRun:
    """What a child said, in order, and why it said no more (None: it finished)."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    ending: str | None = None
    output: str = ""


def run_child(job: dict[str, Any], space: Workspace, timeout: float) -> ChildRun:
    """Run a job in a child and wait for its end, at most ``timeout`` seconds after each message.

    Raises GradfixError when no child can be started at all.
    """
    if os.name != "posix":
        raise GradfixError("verify needs a POSIX system (Linux, macOS, WSL)")
    token, mark = secrets.token_hex(16), secrets.token_hex(8)
    job_read, job_write = os.pipe()
    result_read, result_write = os.pipe()
    job = {**job, "token": token, "result_fd": result_write, "sys_path": _sys_path(space)}
    try:
        child = _start(job_read, result_write, space, mark)
    except OSError as error:
        for fd in (job_write, result_read):
            os.close(fd)
        raise GradfixError(f"cannot start a child process: {error}") from error
    finally:
        os.close(job_read)
        os.close(result_write)
    try:
        _send(job_write, json.dumps(job).encode())
        return _listen(child, result_read, token, timeout)
    finally:
        os.close(result_read)
        _end(child, mark)


def _send(fd: int, data: bytes) -> None:
    # A child that died before reading its job is reported by how it ended, not by this pipe.
    with contextlib.suppress(BrokenPipeError), os.fdopen(fd, "wb") as pipe:
        pipe.write(data)


def _start(job_fd: int, result_fd: int, space: Workspace, mark: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-B", "-c", _BOOT, str(job_fd)]
    if namespaces_work():
        command = [*_UNSHARE, _AS_INIT.format(protected=_protected(space)), "sh", *command]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=space.scratch,
        env=_environment(space, mark),
        pass_fds=(job_fd, result_fd),
        start_new_session=True,
    )


def _protected(space: Workspace) -> str:
    """Shell words of the folders to make read-only: the project and the user's home."""
    import shlex

    folders = [f for f in (Path.home(), space.root) if f.is_dir()]
    keep = [f for f in folders if f != Path(f.anchor) and not space.scratch.is_relative_to(f)]
    return " ".join(shlex.quote(str(f)) for f in keep) or '""'


def _environment(space: Workspace, mark: str) -> dict[str, str]:
    home = str(space.home)
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("XDG_")},
        "HOME": home,
        "TMPDIR": str(space.scratch),
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": home,
        "CUDA_VISIBLE_DEVICES": "",
        "HF_HUB_OFFLINE": "1",  # there is no network; its library would ask five times
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        _MARK: mark,
    }


def _sys_path(space: Workspace) -> list[str]:
    """The parent's path without the folder it was started in, gradfix itself last."""
    here = {"", str(Path.cwd()), str(Path(sys.argv[0]).resolve().parent)}
    entries = [str(space.inside(Path(p))) if _lent(p, space) else p for p in sys.path]
    kept = [e for e, p in zip(entries, sys.path, strict=True) if p not in here]
    own = str(Path(__file__).resolve().parents[2])
    return [*kept, *([] if own in kept else [own])]


def _lent(entry: str, space: Workspace) -> bool:
    """Whether a path entry is project code (installed packages inside the project are not)."""
    path = Path(entry)
    return path.is_relative_to(space.root) and space.inside(path).is_dir()


@functools.cache
def namespaces_work() -> bool:
    """Whether this system lets us put a child into its own process, mount and network namespace."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        return False
    try:
        probe = subprocess.run([*_UNSHARE, "exit 7"], capture_output=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 7


# -- listening -------------------------------------------------------------------------------


class _Ear:
    """Collects the child's messages and the tail of its output."""

    def __init__(self, token: str) -> None:
        self.prefix = token.encode() + b" "
        self.buffer = b""
        self.output = b""
        self.run = ChildRun()
        self.done = False

    def hear(self, data: bytes) -> bool:
        """Take in bytes from the private pipe; True when a whole message arrived."""
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        heard = False
        for line in lines:
            if not line.startswith(self.prefix):
                continue
            with contextlib.suppress(ValueError):
                message = json.loads(line[len(self.prefix) :])
                self.run.messages.append(message)
                self.done = self.done or message.get("stage") == "done"
                heard = True
        return heard

    def overhear(self, data: bytes) -> None:
        self.output = (self.output + data)[-_TAIL:]


def _listen(child: subprocess.Popen[bytes], result_fd: int, token: str, timeout: float) -> ChildRun:
    assert child.stdout is not None
    ear, output_fd = _Ear(token), child.stdout.fileno()
    # Until the first message only torch is being imported, which is nobody's fault.
    deadline = time.monotonic() + max(timeout, _STARTUP)
    with selectors.DefaultSelector() as selector:
        for fd in (result_fd, output_fd):
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ)
        while not ear.done:
            gone = child.poll() is not None
            for key, _ in selector.select(0 if gone else 0.05):
                data = _read(key.fd, everything=gone)
                if not data:
                    selector.unregister(key.fd)
                elif key.fd == output_fd:
                    ear.overhear(data)
                elif ear.hear(data):
                    deadline = time.monotonic() + timeout
            closed = result_fd not in {k.fd for k in selector.get_map().values()}
            if gone or closed:
                break
            if time.monotonic() > deadline:
                ear.run.ending = f"timed out after {timeout:g} s"
                break
    run = ear.run
    run.output = ear.output.decode("utf-8", "replace")
    if not ear.done and run.ending is None:
        run.ending = _how_it_ended(child, run.output)
    return run


def _read(fd: int, *, everything: bool) -> bytes:
    """What is there to read, empty at the end; ``everything`` that a dead child left behind."""
    data = os.read(fd, 1 << 16)
    with contextlib.suppress(BlockingIOError):
        while everything and (more := os.read(fd, 1 << 16)):
            data += more
    return data


def _how_it_ended(child: subprocess.Popen[bytes], output: str) -> str:
    try:
        code = child.wait(1.0)
    except subprocess.TimeoutExpired:
        return _LOST
    if code == LOST_CHANNEL:
        return _LOST
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if "DefaultCPUAllocator" in output or "MemoryError" in output or "bad_alloc" in output:
        return "ran out of memory"
    if number:
        with contextlib.suppress(ValueError):
            name = signal.Signals(number)
            return f"killed by signal {number} ({_SIGNALS.get(name, name.name)})"
    return f"exited with code {code}"


def _end(child: subprocess.Popen[bytes], mark: str) -> None:
    """Kill everything the child started: its session, then strays that left it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()
    if not namespaces_work():
        end_marked(f"{_MARK}={mark}")
