#!/usr/bin/env python3
"""How much faster `gradfix check` is on several processes than on one, on the same files.

Both take turns in pairs, each a command of its own as users start it, and what counts is the median
of the pairs' ratios. The second ratio is of CPU time: what one process needs, over what the busiest
of several needs together with the parent. It is what an idle machine can reach.

    python benchmarks/jobs_speed.py FOLDER [--jobs 2] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

#: Runs the command line and prints the CPU time of the process and of each worker that has ended.
MEASURED = """\
import resource, sys, time
from multiprocessing.process import BaseProcess
from gradfix import cli

times = {}
join = BaseProcess.join

def spent():
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime

def joined(process, timeout=None):
    before = spent()
    join(process, timeout)
    times[process.pid] = times.get(process.pid, 0) + spent() - before

BaseProcess.join = joined
code = cli.run(sys.argv[1:])
print(time.process_time(), *times.values(), file=sys.stderr)
sys.exit(code)
"""


def measured(folder: Path, count: int) -> tuple[float, float, bytes]:
    """Wall time, CPU time on the longest way through the processes, and what was printed."""
    command = [sys.executable, "-c", MEASURED, "check", "-q", "--no-cache", "-j", str(count)]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--isolated", "--output-format", "json", "."], cwd=folder, capture_output=True
    )
    wall = time.perf_counter() - started
    own, *workers = map(float, done.stderr.splitlines()[-1].split())
    return wall, own + max(workers, default=0.0), done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    walls, cpus = [], []
    for number in range(1, options.rounds + 1):
        pair = [measured(options.folder, count) for count in (1, options.jobs)]
        (one_wall, one_cpu, one), (all_wall, all_cpu, all_) = pair
        if one != all_:
            sys.exit("the results differ")
        walls.append(one_wall / all_wall)
        cpus.append(one_cpu / all_cpu)
        print(
            f"round {number}: {one_wall:.1f} s on one process, {all_wall:.1f} s on {options.jobs}: "
            f"{walls[-1]:.2f}; of CPU time {cpus[-1]:.2f}",
            flush=True,
        )
    print(
        f"median of {options.rounds} pairs: wall time {statistics.median(walls):.2f}, "
        f"CPU time {statistics.median(cpus):.2f} (load {os.getloadavg()[0]:.1f})"
    )


if __name__ == "__main__":
    main()
