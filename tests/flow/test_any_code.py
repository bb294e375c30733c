"""Code nobody here wrote: the analysis does not crash on it, and says the same every time."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import random
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradfix import batch, config, flow
from gradfix.errors import SourceError
from gradfix.flow.explain import facts_at

LARGEST = 60_000


def folders() -> Iterator[Path]:
    """The standard library, and PyTorch where it is installed."""
    yield Path(sysconfig.get_paths()["stdlib"])
    spec = importlib.util.find_spec("torch")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent


def sample(count: int, seed: int) -> list[Path]:
    """Files of every folder, chosen by chance but the same every time on one machine."""
    chosen: list[Path] = []
    for folder in folders():
        found = [
            p for p in folder.rglob("*.py") if "site-packages" not in p.relative_to(folder).parts
        ]
        small = sorted(p for p in found if p.stat().st_size <= LARGEST)
        chosen += random.Random(seed).sample(small, min(count, len(small)))
    return chosen


FILES = sample(20, seed=1)


@pytest.mark.parametrize("path", FILES, ids=lambda path: "/".join(path.parts[-2:]))
def test_nothing_crashes(path: Path) -> None:
    raw = path.read_bytes()
    done = batch.process_bytes(raw, path.name, config.settings_from(), rewriting=False)
    assert done.crash is None
    try:
        analysed = flow.analyse(raw.decode("utf-8", "replace"))
    except SourceError:
        return
    rows = range(1, len(analysed.lines), max(1, len(analysed.lines) // 10))
    for row in rows:
        facts_at(analysed, row)


def digest(paths: list[str]) -> str:
    """A fingerprint of the findings and of what is known about some lines."""
    told = hashlib.sha256()
    for path in paths:
        raw = Path(path).read_bytes()
        done = batch.process_bytes(raw, path, config.settings_from(), rewriting=False)
        told.update(
            repr([(f.code, f.span, f.message, f.fix) for f in done.outcome.findings]).encode()
        )
        try:
            analysed = flow.analyse(raw.decode("utf-8", "replace"))
        except SourceError:
            continue
        for row in range(1, len(analysed.lines), max(1, len(analysed.lines) // 10)):
            told.update("\n".join(map(str, facts_at(analysed, row))).encode())
    return told.hexdigest()


def test_another_hash_seed_changes_nothing() -> None:
    programs = Path(__file__).parents[2] / "fixtures"
    paths = [*sorted(map(str, programs.rglob("*.py"))), *map(str, FILES[-10:])]
    code = "import sys; from test_any_code import digest; print(digest(sys.argv[1:]))"
    told = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code, *paths],
            cwd=Path(__file__).parent,
            env=env,
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(done.stdout)
    assert len(told) == 1 and told != {""}
