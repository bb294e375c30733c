#!/usr/bin/env python3
"""How long `gradfix check` takes, as a multiple of `ast.parse` on the same files.

Both are measured in this one process and run, taking turns, so that a busy machine slows both
down. Nothing is cached. The ratios are what counts; the times only say how long you waited.

    python benchmarks/check_speed.py [FOLDER] [--without-torch FOLDER] [--megabytes 7] [--rounds 3]
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sysconfig
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from gradfix import batch, config, files

SETTINGS = config.settings_from()
Work = Callable[[Sequence[files.Found]], object]


def collect(folder: Path, limit: int, *, torch: bool = True) -> tuple[list[files.Found], int]:
    """Parseable UTF-8 files below a folder, by path, until they hold `limit` bytes; their size.

    Without ``torch`` only files that do not mention it.
    """
    found: list[files.Found] = []
    taken = 0
    for path in sorted(folder.rglob("*.py")):
        try:
            text = path.read_text(encoding="utf-8")
            ast.parse(text)
        except (OSError, SyntaxError, ValueError):
            continue
        if not torch and "torch" in text:
            continue
        found.append(files.Found(str(path), path.relative_to(folder).as_posix(), SETTINGS))
        taken += len(text.encode())
        if taken >= limit:
            break
    return found, taken


def parse(found: Sequence[files.Found]) -> None:
    """The yardstick: read every file and parse it."""
    for item in found:
        ast.parse(Path(item.path).read_bytes())


def check(found: Sequence[files.Found]) -> None:
    """What `gradfix check` does with files of a folder, all rules selected, output left out."""
    deque(batch.run(found, rewriting=False), maxlen=0)


def seconds(work: Work, found: Sequence[files.Found]) -> tuple[float, float]:
    """CPU time and wall time of one pass over all files."""
    cpu, wall = time.process_time(), time.perf_counter()
    work(found)
    return time.process_time() - cpu, time.perf_counter() - wall


def measure(title: str, found: Sequence[files.Found], size: int, rounds: int) -> None:
    """Let both take turns, and print the ratios."""
    print(f"{title}: {len(found)} files, {size / 1e6:.1f} MB")
    check(found[:20])  # warms both up
    parse(found[:20])
    cpu, wall = [], []
    for number in range(1, rounds + 1):
        yardstick, ours = seconds(parse, found), seconds(check, found)
        cpu.append(ours[0] / yardstick[0])
        wall.append(ours[1] / yardstick[1])
        print(
            f"  round {number}: ast.parse {yardstick[0]:.2f} s, check {ours[0]:.2f} s of CPU time"
        )
    print(
        f"  check / ast.parse: {statistics.median(cpu):.2f} of CPU time,"
        f" {statistics.median(wall):.2f} of wall time (medians of {rounds})"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    site_packages = Path(sysconfig.get_paths()["purelib"])
    parser.add_argument("folder", nargs="?", type=Path, default=site_packages)
    parser.add_argument(
        "--without-torch",
        type=Path,
        default=Path(sysconfig.get_paths()["stdlib"]),
        metavar="FOLDER",
        help="a tree to take files that do not mention torch from; Python's own library otherwise",
    )
    parser.add_argument("--megabytes", type=float, default=7.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore", SyntaxWarning)

    limit = int(options.megabytes * 1e6)
    for title, folder, torch in (
        ("as it is", options.folder, True),
        ("without torch", options.without_torch, False),
    ):
        found, size = collect(folder, limit, torch=torch)
        if not found:
            parser.error(f"no Python files in {folder}")
        measure(title, found, size, options.rounds)


if __name__ == "__main__":
    main()
