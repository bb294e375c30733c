"""Training scripts before and after their repair: the line that loses the gradient is blamed.

A line of a table belongs to both scripts, or with ``-`` to the faulty one and with ``+`` to the
repaired one. ``# ! CODES`` marks the lines that must be blamed, and no other may be.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from run_helpers import PROGRAMS, Server

_MARK = re.compile(r"  # ! (.+)$")


class Pair(NamedTuple):
    """One entry of a table."""

    name: str
    verdicts: set[str]
    before: list[str]
    after: list[str]


def pairs(table: str) -> list[Pair]:
    """The entries of a table, in order."""
    found = []
    for part in re.split(r"(?m)^=== ", table)[1:]:
        head, *lines = part.rstrip("\n").split("\n")
        name, _, verdicts = head.partition(" | ")
        before = [line[2:] for line in lines if not line.startswith("+ ")]
        after = [_MARK.sub("", line[2:]) for line in lines if not line.startswith("- ")]
        found.append(Pair(name, set(verdicts.split()), before, after))
    return found


PAIRS = [pair for path in sorted(PROGRAMS.glob("pairs_*.txt")) for pair in pairs(path.read_text())]
FAULTY = pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.name)


def failed(targets: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The Parameters without a right gradient."""
    return [
        p
        for target in targets.values()
        for p in target["parameters"].values()
        if p["verdict"] not in ("ok", "inconclusive")
    ]


def test_the_tables_are_large() -> None:
    assert len(PAIRS) >= 30
    assert len({pair.name for pair in PAIRS}) == len(PAIRS)


@FAULTY
def test_the_line_that_loses_the_gradient_is_blamed(
    pair: Pair, server: Server, tmp_path: Path
) -> None:
    marked = {
        (row, code)
        for row, line in enumerate(pair.before, 1)
        for code in (_MARK.search(line) or ["", ""])[1].split()
    }
    (tmp_path / "train.py").write_text("\n".join(pair.before) + "\n")
    plain = server.plain("train.py", cwd=tmp_path)
    done, targets = server.verdicts("train.py", cwd=tmp_path)
    bad = failed(targets)
    assert (done.code, done.out) == (1, plain.out)
    assert {p["verdict"] for p in bad} == pair.verdicts
    assert {(b["row"], b["code"]) for p in bad for b in p["blame"]} == marked
    assert {b["filename"] for p in bad for b in p["blame"]} == {"train.py"}


@FAULTY
def test_nothing_is_blamed_after_the_repair(pair: Pair, server: Server, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("\n".join(pair.after) + "\n")
    done, targets = server.verdicts("train.py", cwd=tmp_path)
    assert done.code == 0, done.err
    assert {t["status"] for t in targets.values()} == {"passed"}
    assert failed(targets) == []
    assert [
        p["blame"] for t in targets.values() for p in t["parameters"].values() if p["blame"]
    ] == []
