"""A real scheduler and two real workers on loopback, in which sources do what they say."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: Every Python process that finds this on its path notes what it opens under a folder, and
#: misbehaves over sources that say so. What it leaves behind lies in the folder of the cluster.
HOSTILE = """\
import os, signal, sys, time

HERE = os.environ["CLUSTER_FOLDER"]

def listen(event, arguments):
    if event in ("open", "os.scandir", "os.listdir", "os.remove", "os.rename", "os.mkdir"):
        path = arguments[0] if arguments else None
        if isinstance(path, str) and os.path.abspath(path).startswith(os.environ["NOT_YOURS"]):
            with open(os.path.join(HERE, "trespass"), "a") as stream:
                stream.write(f"{event} {path}\\n")

sys.addaudithook(listen)

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "gradfix.batch":
            sys.meta_path.remove(self)
            from gradfix import engine
            engine.check, engine.fix = hostile(engine.check), hostile(engine.fix)

def hostile(work):
    def wrapped(source, *rest):
        if "is killed" in source.text:
            os.kill(os.getpid(), signal.SIGKILL)
        while "never ends" in source.text:
            pass
        if "waits" in source.text:
            with open(os.path.join(HERE, "waiting"), "w") as stream:
                stream.write(f"{os.getppid()} {os.getpid()}\\n")
            while not os.path.exists(os.path.join(HERE, "go")):
                time.sleep(0.02)
        return work(source, *rest)
    return wrapped

sys.meta_path.insert(0, Watch())
"""


class DaskCluster:
    """A scheduler and its workers; the first worker has a nanny, as dask starts them."""

    def __init__(self, folder: Path, not_yours: Path) -> None:
        self.folder = folder
        (folder / "sitecustomize.py").write_text(HOSTILE)
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "CLUSTER_FOLDER": str(folder),
            "NOT_YOURS": str(not_yours),
        }
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.started = False
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start what is not running."""
        if self.scheduler is None or self.scheduler.poll() is not None:
            where = ("--host", "127.0.0.1", "--port", str(self.port))
            self.scheduler = self._run("scheduler", *where, "--dashboard-address", "127.0.0.1:0")
            until(self._listens)
        self.workers = [worker for worker in self.workers if worker.poll() is None]
        while len(self.workers) < 2:
            first = not self.started
            self.worker(*(() if first else ("--no-nanny",)))
            self.started = True

    def _listens(self) -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", self.port)) == 0

    def worker(self, *options: str, path: str | None = None) -> subprocess.Popen[bytes]:
        """Start one more worker."""
        common = ("--nthreads", "1", "--memory-limit", "0", "--no-dashboard")
        started = self._run("worker", self.address, *common, *options, path=path)
        self.workers.append(started)
        return started

    def _run(self, *arguments: str, path: str | None = None) -> subprocess.Popen[bytes]:
        environment = {**self._environment, **({"PYTHONPATH": path} if path else {})}
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *arguments],
                cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill_scheduler(self) -> None:
        """End the scheduler at once; its workers go when they notice."""
        assert self.scheduler is not None
        self.scheduler.kill()
        self.scheduler.wait()
        for worker in self.workers:
            worker.wait(120)

    def stop(self) -> None:
        """End everything."""
        for process in [self.scheduler, *self.workers]:
            if process is not None and process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    # -- sources that wait --------------------------------------------------------------------

    def waiting(self) -> tuple[int, int]:
        """The dask worker and its child that wait over a source; waits until there are any."""
        note = self.folder / "waiting"
        until(lambda: note.exists() and note.read_text().endswith("\n"))
        worker, child = map(int, note.read_text().split())
        return worker, child

    def go_on(self) -> None:
        """Let waiting sources go on, from now on."""
        (self.folder / "go").touch()

    def forget(self) -> None:
        """Let sources wait again."""
        for name in ("go", "waiting", "trespass"):
            (self.folder / name).unlink(missing_ok=True)

    def trespasses(self) -> str:
        """What workers have opened in the user's folder."""
        note = self.folder / "trespass"
        return note.read_text() if note.exists() else ""


def until(holds: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
