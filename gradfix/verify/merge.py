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
    "inconclusive",
    "ok",
    "zero",
    "severed",
    "escaped",
    "discarded",
    "unused",
)


def _rank(result: ParameterResult) -> tuple[bool, int]:
    return not result.exercised, _RANK.index(result.verdict)


def settled(results: Sequence[ParameterResult]) -> bool:
    """Whether no other call of the class could change anything."""
    return all(result.exercised for result in results if result.trainable)


def merged(runs: Sequence[tuple[ParameterResult, ...]]) -> tuple[ParameterResult, ...]:
    """One result per Parameter name: a wrong gradient anywhere counts, a missing one only if
    no run brought it."""
    best: dict[str, ParameterResult] = {}
    for run in runs:
        for result in run:
            known = best.get(result.name)
            if known is None or _rank(result) < _rank(known):
                best[result.name] = result
    return tuple(best.values())
