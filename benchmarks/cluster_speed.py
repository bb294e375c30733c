#!/usr/bin/env python3
"""What `gradfix check` gains on a dask cluster of two workers on this machine, on the same files.

One process, two processes and the cluster take turns, each a command of its own as users start it;
the scheduler and its workers run all the time. What counts is the median of the ratios of a round.
CPU time is that of everything that worked: the client, and the workers with their processes.

    python benchmarks/cluster_speed.py FOLDER [--workers 2] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def machines(count: int) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and workers on loopback: the address, and their processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--dashboard-address", "127.0.0.1:0"]
    common = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--memory-limit", "0"]
    commands = [[*dask, "scheduler", *where]] + [[*dask, "worker", address, *common]] * count
    with tempfile.TemporaryDirectory() as folder:
        running = [
            subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL, start_new_session=True)
            for command in commands
        ]
        try:
            yield address, running
        finally:
            for process in running:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def cpu_of(sessions: list[int]) -> float:
    """Seconds of CPU time of all processes of some sessions, those that have ended included."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[3]) in sessions:
            total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def measured(folder: Path, options: list[str], sessions: list[int]) -> tuple[float, float, bytes]:
    """Wall time, CPU time, and what was printed."""
    command = [sys.executable, "-m", "gradfix", "check", "-q", "--no-cache", "--isolated"]
    here, there = os.times(), cpu_of(sessions)
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--output-format", "json", *options, "."], cwd=folder, capture_output=True
    )
    wall = time.perf_counter() - started
    after = os.times()
    own = after.children_user + after.children_system - here.children_user - here.children_system
    return wall, own + cpu_of(sessions) - there, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios: dict[str, list[float]] = {}
    with machines(options.workers) as (address, running):
        ways = {
            "-j 1": ["-j", "1"],
            f"-j {options.workers}": ["-j", str(options.workers)],
            "cluster": ["--scheduler", address],
        }
        sessions = [process.pid for process in running]
        with tempfile.TemporaryDirectory() as few:  # the first client waits for the workers
            Path(few, "a.py").write_text("import torch\n")
            measured(Path(few), ["--scheduler", address], sessions)
        for number in range(1, options.rounds + 1):
            found = {name: measured(options.folder, way, sessions) for name, way in ways.items()}
            if len({printed for _, _, printed in found.values()}) > 1:
                sys.exit("the results differ")
            one = found["-j 1"]
            for name, (wall, cpu, _) in list(found.items())[1:]:
                ratios.setdefault(f"wall time, -j 1 / {name}", []).append(one[0] / wall)
                ratios.setdefault(f"CPU time, {name} / -j 1", []).append(cpu / one[1])
            said = (f"{name} {wall:.1f} s ({cpu:.1f})" for name, (wall, cpu, _) in found.items())
            print(f"round {number}, wall time (CPU time): {', '.join(said)}", flush=True)
    for what, values in ratios.items():
        print(f"{what}: {statistics.median(values):.2f}  {[round(value, 2) for value in values]}")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
