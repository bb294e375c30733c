#!/usr/bin/env python3
"""How the cost of `gradfix check` grows with the size of a file, for made-up files of many shapes.

Each shape is checked at doubling numbers of lines, and its cost is put against `ast.parse` of the
same text, which is linear; both take turns in this process. The exponent is that of the last three
sizes: 1 is linear. `--megabytes 2` checks one file of that size for each shape instead.

    python -m benchmarks.growth [--lines 5000] [--rounds 3] [--svg docs/growth.svg] [SHAPE ...]
    python -m benchmarks.growth --megabytes 2 [SHAPE ...]
    python -m benchmarks.growth --nested
"""

from __future__ import annotations

import argparse
import ast
import gc
import math
import sys
from pathlib import Path

from benchmarks import shapes
from benchmarks.measuring import Cost, cpu_of, exponent, of_call, turns
from gradfix import batch, config

SETTINGS = config.settings_from()


def check(text: str) -> None:
    """What `gradfix check` does with one file."""
    done = batch.process_bytes(text.encode(), "made_up.py", SETTINGS, rewriting=False)
    if done.outcome.failures:
        raise SystemExit(str(done.outcome.failures[0]))


def costs(text: str, rounds: int) -> tuple[float, float]:
    """CPU time of a check, and of parsing, in seconds."""

    def parse() -> Cost:
        cost = of_call(lambda: ast.parse(text))
        return cost if cost.cpu else Cost(1e-6, cost.wall)

    taken = turns({"check": lambda: of_call(lambda: check(text)), "parse": parse}, rounds)
    return min(c.cpu for c in taken["check"]), cpu_of(taken["parse"])


def growing(names: list[str], most: int, rounds: int, svg: Path | None) -> None:
    """Print, for each shape, its cost at several sizes and how it grows; draw it if asked to."""
    counts = [most // 16, most // 8, most // 4, most // 2, most]
    print("CPU seconds at", ", ".join(map(str, counts)), "lines")
    lines = {}
    for name in names:
        sizes, taken, ratios = [], [], []
        for count in counts:
            text = shapes.LONG[name](count)
            cost, parsing = costs(text, rounds)
            sizes.append(float(len(text)))
            taken.append(cost)
            ratios.append(cost / parsing)
        grows = exponent(sizes[-3:], taken[-3:])
        last = exponent(sizes[-2:], taken[-2:])
        # n log n, measured between the last three sizes
        allowed = exponent(sizes[-3:], [size * math.log(size) for size in sizes[-3:]])
        print(
            f"{name:13} {'  '.join(f'{cost:6.3f}' for cost in taken)}   exponent {grows:.2f}"
            f" (last step {last:.2f}; n log n {allowed:.2f}),"
            f" {ratios[-1]:.1f} times ast.parse, {sizes[-1] / 1e3:.0f} KB",
            flush=True,
        )
        lines[name] = (sizes, taken)
    if svg is not None:
        from benchmarks import plots

        title = "gradfix check: CPU time by the size of a file, by its shape"
        plots.growth(svg, lines, title=title, across="bytes", up="s", powers=(1, 2))


def large(names: list[str], megabytes: float) -> None:
    """Print what one file of some megabytes costs, for each shape, and how that is to 1/4 of it."""
    for name in names:
        shape, taken, sizes = shapes.LONG[name], [], []
        per_line = len(shape(4000)) / 4000
        for share in (0.25, 1.0):
            text = shape(int(share * megabytes * 1e6 / per_line))
            sizes.append(float(len(text)))
            taken.append(of_call(lambda text=text: check(text)).cpu)  # type: ignore[misc]
        print(
            f"{name:13} {sizes[-1] / 1e6:.2f} MB in {taken[-1]:.1f} s of CPU time,"
            f" {taken[-1] / sizes[-1] * 1e6:.1f} s/MB, exponent {exponent(sizes, taken):.2f}",
            flush=True,
        )


def nested(rounds: int) -> None:
    """Print what blocks in each other cost, to the deepest that Python allows."""
    for name, (first, deepest) in shapes.NESTED.items():
        depths = [deepest // 4, deepest // 2, deepest]
        texts = [shapes.nested(first, depth) for depth in depths]
        taken = [costs(text, rounds)[0] for text in texts]
        print(
            f"{name:6} {', '.join(map(str, depths))} deep: "
            f"{', '.join(f'{cost:.3f}' for cost in taken)} s, exponent of the bytes"
            f" {exponent([len(text) for text in texts], taken):.2f}"
        )
    blocks = [50, 100, 200, 400]
    taken = [costs(shapes.conditions(3 * count), rounds)[0] for count in blocks]
    sizes = [len(shapes.conditions(3 * count)) for count in blocks]
    print(
        f"{', '.join(map(str, blocks))} blocks in a row:"
        f" {', '.join(f'{cost:.3f}' for cost in taken)} s, exponent {exponent(sizes, taken):.2f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("shapes", nargs="*", help=f"of {', '.join(shapes.LONG)}")
    parser.add_argument("--lines", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=float)
    parser.add_argument("--nested", action="store_true")
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    names = options.shapes or list(shapes.LONG)
    sys.setrecursionlimit(50_000)  # for `ast.parse` of long expressions, as gradfix has it
    gc.disable()  # as `gradfix check` does while it works
    check(shapes.functions(300))  # warms up
    if options.nested:
        nested(options.rounds)
    elif options.megabytes:
        large(names, options.megabytes)
    else:
        growing(names, options.lines, options.rounds, options.svg)


if __name__ == "__main__":
    main()
