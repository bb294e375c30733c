#!/usr/bin/env python3
"""What `gradfix apply` costs by the number of files it changes, against `check` of the same files.

LibCST, black and the journal are for files that change; the others should cost what `check` costs.
Both are processes of their own with one job and no cache, taking turns on made-up files.

    python -m benchmarks.apply_cost [--files 400] [--rounds 3] [--svg docs/apply-cost.svg]
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
from pathlib import Path

from benchmarks import trees
from benchmarks.measuring import GRADFIX, Cost, cpu_of, of_command, ratio, turns

FLAGS = ("--isolated", "--no-cache", "-q", "-j", "1")


def measured(files: int, changed: int, rounds: int) -> dict[str, list[Cost]]:
    """The costs of both commands in a project of which some files are to be changed."""
    with tempfile.TemporaryDirectory() as empty:
        sound, project = Path(empty) / "sound", Path(empty) / "project"
        trees.write(sound, files, changed)

        def apply() -> Cost:
            shutil.rmtree(project, ignore_errors=True)
            shutil.copytree(sound, project)
            return of_command([*GRADFIX, "apply", *FLAGS, "."], project)

        return turns(
            {
                "check": lambda: of_command([*GRADFIX, "check", *FLAGS, "."], sound),
                "apply": apply,
            },
            rounds,
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    counts = [0, *(max(1, options.files // part) for part in (100, 40, 20, 10, 4, 2, 1))]
    checks, applies = [], []
    for changed in counts:
        taken = measured(options.files, changed, options.rounds)
        checks.append(cpu_of(taken["check"]))
        applies.append(cpu_of(taken["apply"]))
        print(
            f"{changed:4} of {options.files} files change: check {checks[-1]:.2f} s, apply"
            f" {applies[-1]:.2f} s of CPU time, ratio {ratio(taken['apply'], taken['check'])}",
            flush=True,
        )
    added = [apply - check for apply, check in zip(applies, checks, strict=True)]
    line = statistics.linear_regression(counts, added)
    print(
        f"each changed file adds {line.slope * 1e3:.1f} ms, the first {line.intercept:.2f} s"
        f" (a file that does not change: {applies[0] / options.files * 1e3:.1f} ms)"
    )
    if options.svg is not None:
        from benchmarks import plots

        lines = {"apply": (counts[1:], applies[1:]), "check": (counts[1:], checks[1:])}
        title = f"apply on {options.files} files: CPU time by the number of files that change"
        plots.growth(options.svg, lines, title=title, across="changed files", up="s", powers=())


if __name__ == "__main__":
    main()
