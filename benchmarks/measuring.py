"""What the benchmarks share: what a process or a call costs, taking turns, ratios and growth.

Times are seconds. CPU time is user and system time together; of a process, with its children.
"""

from __future__ import annotations

import math
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: How `gradfix` is started: with the interpreter that runs the benchmark.
GRADFIX = (sys.executable, "-m", "gradfix")


class Cost(NamedTuple):
    """CPU time and wall time, in seconds."""

    cpu: float
    wall: float


class Ratio(NamedTuple):
    """The median of paired ratios, and the least and the largest of them."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def environment(**added: str) -> dict[str, str]:
    """The environment as users have it: Python keeps what it has compiled."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **added}


def of_command(
    command: Iterable[str | Path],
    folder: str | Path,
    *,
    codes: Iterable[int] = (0, 1, 2),
    **variables: str,
) -> Cost:
    """What a command costs that is started in ``folder``; its output is read and thrown away.

    Ends the benchmark where the exit code is none of ``codes``.
    """
    words, env = [str(word) for word in command], environment(**variables)
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, check=False)
    wall = time.perf_counter() - wall
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode not in codes:
        sys.exit(f"{words[:4]}: exit code {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return Cost(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, wall)


def of_call(work: Callable[[], object]) -> Cost:
    """What a call costs in this process, all of its threads together."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return Cost(time.process_time() - cpu, time.perf_counter() - wall)


def turns(works: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """Let all take turns, so that a busy machine slows all down; the costs by name and round."""
    costs: dict[str, list[Cost]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            costs[name].append(work())
    return costs


def cpu_of(costs: Sequence[Cost]) -> float:
    """The median CPU time."""
    return statistics.median(cost.cpu for cost in costs)


def ratio(ours: Sequence[Cost], yardstick: Sequence[Cost]) -> Ratio:
    """CPU time of one over that of the other, round by round."""
    ratios = [a.cpu / b.cpu for a, b in zip(ours, yardstick, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """How costs grow with size: 1 is linear, 2 quadratic (least squares of the logarithms)."""
    xs, ys = [math.log(size) for size in sizes], [math.log(cost) for cost in costs]
    return statistics.linear_regression(xs, ys).slope


def python_files(folder: Path, most: int | None = None) -> list[Path]:
    """The Python files below a folder, by path; at most so many, evenly spread over all."""
    found = sorted(path for path in folder.rglob("*.py") if path.is_file())
    if most is None or len(found) <= most:
        return found
    return [found[index * len(found) // most] for index in range(most)]


def size_of(paths: Iterable[Path]) -> float:
    """Megabytes in some files."""
    return sum(path.stat().st_size for path in paths) / 1e6
