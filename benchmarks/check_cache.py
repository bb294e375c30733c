#!/usr/bin/env python3
"""What the cache saves: `gradfix check` of a folder for the first time, again, and without a cache.

Each is a process of its own, so that starting Python and reading the files counts. The runs take
turns with a fresh cache in each round. The ratio is what counts.

    python benchmarks/check_cache.py FOLDER [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(folder: Path, elsewhere: str, *flags: str) -> tuple[float, float]:
    """CPU time and wall time of one `gradfix check` in a process of its own.

    It is started ``elsewhere``, where no file hides a module of Python's library.
    """
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "gradfix",
        "check",
        "--isolated",
        "--exit-zero",
        *flags,
        str(folder.resolve()),
    ]
    # As users have it: Python keeps what it has compiled.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(command, cwd=elsewhere, env=env, capture_output=True, check=False)
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in (0, 2):  # 2: some file is no valid Python
        sys.exit(done.stderr.decode(errors="replace"))
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return cpu, wall


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios: list[tuple[float, float, float]] = []
    for number in range(1, options.rounds + 1):
        with tempfile.TemporaryDirectory() as empty:  # where the cache will lie
            uncached = seconds(options.folder, empty, "--no-cache")
            cold = seconds(options.folder, empty)
            warm = seconds(options.folder, empty)
        ratios.append((warm[0] / cold[0], warm[1] / cold[1], cold[0] / uncached[0]))
        print(
            f"round {number}: without {uncached[0]:.2f} s, cold {cold[0]:.2f} s,"
            f" warm {warm[0]:.2f} s of CPU time"
        )
    cpu, wall, cost = (statistics.median(column) for column in zip(*ratios, strict=True))
    print(f"warm / cold: {cpu:.3f} of CPU time, {wall:.3f} of wall time")
    print(f"cold / without a cache: {cost:.2f} of CPU time")


if __name__ == "__main__":
    main()
