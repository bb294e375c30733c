#!/usr/bin/env python3
"""How long `gradfix check` takes, as a multiple of `ast.parse` on the same files.

Both are measured in this one process and run, taking turns, so that a busy machine slows both
down. Nothing is cached. The ratio is what counts; the times only say how long you waited.

    python benchmarks/check_speed.py [FOLDER] [--megabytes 7] [--rounds 3]
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sysconfig
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from gradfix import config, engine
from gradfix.model import Outcome, Source

SETTINGS = config.settings_from()


def collect(folder: Path, limit: int) -> list[Source]:
    """Parseable Python files below a folder, by path, until they hold `limit` bytes."""
    sources: list[Source] = []
    taken = 0
    for path in sorted(folder.rglob("*.py")):
        try:
            text = path.read_text(encoding="utf-8")
            ast.parse(text)
        except (OSError, SyntaxError, ValueError):
            continue
        sources.append(Source(path.relative_to(folder).as_posix(), text))
        taken += len(text.encode())
        if taken >= limit:
            break
    return sources


def seconds(work: Callable[[Source], object], sources: Sequence[Source]) -> float:
    """CPU-bound time of one pass over all sources."""
    start = time.perf_counter()
    for source in sources:
        work(source)
    return time.perf_counter() - start


def parse(source: Source) -> object:
    """The yardstick."""
    return ast.parse(source.text)


def check(source: Source) -> Outcome:
    """What `gradfix check` does with one file, all rules selected, without cache and output."""
    return engine.check(source, SETTINGS)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    site_packages = Path(sysconfig.get_paths()["purelib"])
    parser.add_argument("folder", nargs="?", type=Path, default=site_packages)
    parser.add_argument("--megabytes", type=float, default=7.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    warnings.simplefilter("ignore", SyntaxWarning)

    sources = collect(options.folder, int(options.megabytes * 1e6))
    if not sources:
        parser.error(f"no Python files in {options.folder}")
    size = sum(len(source.text.encode()) for source in sources) / 1e6
    findings = sum(len(check(source).findings) for source in sources[:20])  # warms both up
    print(f"{len(sources)} files, {size:.1f} MB ({findings} findings in the first 20)")

    ratios = []
    for number in range(1, options.rounds + 1):
        yardstick, ours = seconds(parse, sources), seconds(check, sources)
        ratios.append(ours / yardstick)
        print(f"round {number}: ast.parse {yardstick:.2f} s, check {ours:.2f} s")
    print(f"check / ast.parse: {statistics.median(ratios):.2f} (median of {len(ratios)})")


if __name__ == "__main__":
    main()
