#!/usr/bin/env python3
"""`gradfix check` against ruff, TorchFix and Fixit on the same files: first time, one process each.

Every tool is given the same list of files, evenly spread over FOLDER, as a process of its own, and
they take turns. None uses a cache; ruff and TorchFix are told to use one thread or process, Fixit
has no such option, so CPU time is what counts. ruff runs its default rules, TorchFix all it has.

    python -m benchmarks.against_linters FOLDER [--files 300] [--rounds 3] [--tools BIN]

BIN is the folder with the programs `ruff`, `torchfix` and `fixit`; those that are missing are left
out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import (
    GRADFIX,
    Cost,
    cpu_of,
    of_command,
    python_files,
    ratio,
    size_of,
    turns,
)

FLAGS: dict[str, tuple[str, ...]] = {
    "ruff": ("check", "--isolated", "--no-cache", "--exit-zero", "--output-format", "concise"),
    "torchfix": ("-j", "1", "--select", "ALL"),
    "fixit": ("--quiet", "lint"),
}
OURS = "check --isolated --no-cache --exit-zero -j 1 --output-format concise".split()
#: How many times as fast as the tool gradfix is meant to be.
GOALS = {"ruff": 1 / 5, "torchfix": 150.0, "fixit": 80.0}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slow-rounds", type=int, default=1, help="rounds with all tools")
    parser.add_argument("--tools", type=Path, default=Path(sys.executable).parent)
    options = parser.parse_args()
    tools = options.tools.absolute()
    paths = [path.resolve() for path in python_files(options.folder, options.files)]
    print(f"{len(paths)} files, {size_of(paths):.1f} MB")
    with tempfile.TemporaryDirectory() as empty:

        def started(*command: str | Path) -> Callable[[], Cost]:
            return lambda: of_command(
                [*command, *paths], empty, codes=range(128), RAYON_NUM_THREADS="1"
            )

        works = {"gradfix": started(*GRADFIX, *OURS)}
        turns(works, 1)  # Python keeps what it has compiled
        for name, flags in FLAGS.items():
            if (tools / name).exists():
                version = subprocess.run(
                    [tools / name, "--version"], capture_output=True, text=True, check=True
                )
                print(f"{name}: {(version.stdout or version.stderr).strip()}")
                works[name] = started(tools / name, *flags)
        taken = turns(works, options.slow_rounds)
        quick = {name: work for name, work in works.items() if name in ("gradfix", "ruff")}
        for name, costs in turns(quick, options.rounds - options.slow_rounds).items():
            taken[name] += costs
    for name, costs in taken.items():
        if name == "gradfix":
            print(f"gradfix: {cpu_of(costs):.2f} s of CPU time (median of {len(costs)})")
            continue
        faster = ratio(costs, taken["gradfix"][: len(costs)])
        print(
            f"{name}: {cpu_of(costs):.2f} s of CPU time; {name} / gradfix {faster}"
            f" in {len(costs)} rounds, goal {GOALS[name]:.3g}"
        )


if __name__ == "__main__":
    main()
