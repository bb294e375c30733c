"""Several runs of one class make one verdict per Parameter. No torch here."""

from __future__ import annotations

from collections.abc import Sequence

from gradfix.verify.results import ParameterResult

#: Faults that one good run cannot excuse, worst first; then good; then what another run may heal.
_RANK = (
    "inplace",
    "wrong",
    "nonfinite",
    "unregistered",
    "ok",
    "inconclusive",
    "zero",
    "severed",
    "escaped",
    "discarded",
    "unused",
)


def merged(runs: Sequence[tuple[ParameterResult, ...]]) -> tuple[ParameterResult, ...]:
    """One result per Parameter name: a wrong gradient anywhere counts, a missing one only if
    no run brought it."""
    best: dict[str, ParameterResult] = {}
    for run in runs:
        for result in run:
            known = best.get(result.name)
            if known is None or _RANK.index(result.verdict) < _RANK.index(known.verdict):
                best[result.name] = result
    return tuple(best.values())
