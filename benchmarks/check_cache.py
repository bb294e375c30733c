#!/usr/bin/env python3
"""What the cache saves: `gradfix check` of a folder for the first time, again, and without a cache.

Each is a process of its own, so that starting Python and reading the files counts. The runs take
turns with a fresh cache in each round. With `--ruff PROGRAM` its second run, on one thread, takes
its turn as well. The ratios are what counts.

    python -m benchmarks.check_cache FOLDER [FOLDER ...] [--rounds 3] [--ruff PROGRAM]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.measuring import (
    GRADFIX,
    Cost,
    cpu_of,
    of_command,
    python_files,
    ratio,
    size_of,
)

OURS = (*GRADFIX, "check", "--isolated", "--exit-zero", "-j", "1")
RUFF = ("check", "--isolated", "--exit-zero", "--output-format", "concise")


def one_round(folder: Path, ruff: Path | None) -> dict[str, Cost]:
    """Each command once, started in a folder where nothing hides a module of Python's library."""
    with tempfile.TemporaryDirectory() as empty:  # where the cache will lie
        costs = {
            "without": of_command([*OURS, "--no-cache", folder], empty),
            "cold": of_command([*OURS, folder], empty),
            "warm": of_command([*OURS, folder], empty),
            "empty": of_command([*OURS, empty], empty),
        }
        if ruff is not None:
            for name in ("ruff, cold", "ruff, warm"):
                costs[name] = of_command([ruff, *RUFF, folder], empty, RAYON_NUM_THREADS="1")
        return costs


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ruff", type=Path)
    options = parser.parse_args()
    ruff = options.ruff.absolute() if options.ruff else None
    for folder in options.folders:
        rounds = [one_round(folder.resolve(), ruff) for _ in range(options.rounds)]
        costs = {name: [one[name] for one in rounds] for name in rounds[0]}
        paths = python_files(folder)
        times = ", ".join(f"{name} {cpu_of(of):.2f} s" for name, of in costs.items())
        print(f"{folder.name}: {len(paths)} files, {size_of(paths):.1f} MB; CPU time: {times}")
        print(f"  warm / cold {ratio(costs['warm'], costs['cold'])}")
        print(f"  cold / without a cache {ratio(costs['cold'], costs['without'])}")
        if ruff is not None:
            print(f"  warm / ruff, warm {ratio(costs['warm'], costs['ruff, warm'])}", flush=True)


if __name__ == "__main__":
    main()
