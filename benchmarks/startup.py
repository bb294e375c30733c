#!/usr/bin/env python3
"""What it costs to start gradfix, as a multiple of Python importing click.

Each is a process of its own; they take turns. The goal is 1.5 for `--version` and `--help`.

    python -m benchmarks.startup [--rounds 25]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable

from benchmarks.measuring import GRADFIX, Cost, cpu_of, of_command, ratio, turns

COMMANDS = {
    "import click": (sys.executable, "-c", "import click"),
    "python -c pass": (sys.executable, "-c", "pass"),
    "gradfix --version": (*GRADFIX, "--version"),
    "gradfix --help": (*GRADFIX, "--help"),
    "gradfix rules": (*GRADFIX, "rules"),
    "gradfix check of an empty folder": (*GRADFIX, "check", "--isolated"),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:

        def started(command: tuple[str, ...]) -> Callable[[], Cost]:
            return lambda: of_command(command, empty)

        works = {name: started(command) for name, command in COMMANDS.items()}
        turns(works, 1)  # warms up
        taken = turns(works, options.rounds)
    yardstick = taken["import click"]
    for name, costs in taken.items():
        print(
            f"{name}: {cpu_of(costs) * 1e3:.0f} ms of CPU time,"
            f" {ratio(costs, yardstick)} times `import click`"
        )


if __name__ == "__main__":
    main()
