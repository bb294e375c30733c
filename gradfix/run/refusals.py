"""The error that ended a program, where autograd or an optimizer raised it: whom it is about."""

from __future__ import annotations

from dataclasses import dataclass, field

from gradfix.run.episode import Episode, Facts, LeafFacts
from gradfix.run.noticed import NonLeaf, Refused
from gradfix.verify.blame import Places
from gradfix.verify.refused import kind_of, refusal
from gradfix.verify.results import Blame, ParameterResult


@dataclass(slots=True)
class Judged:
    """One model's verdicts, and why the Parameters that were left out of them were."""

    target: str
    parameters: tuple[ParameterResult, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Facts] = field(default_factory=dict)


class Refusals:
    """The refused operations of an episode whose errors ended the program."""

    def __init__(self, episode: Episode, places: Places, ending: list[BaseException]) -> None:
        self._graph, self._places = episode.tracer.graph, places
        self._fatal = [r for r in episode.refused if any(r.error is e for e in ending)]
        self._behind = [self._graph.sources_of(set(r.nodes)) for r in self._fatal]

    def about(self, leaf: LeafFacts) -> Refused | None:
        """The refusal that a leaf is part of."""
        for one, behind in zip(self._fatal, self._behind, strict=True):
            if leaf.trainable and leaf.facts.nodes & behind:
                return one
        return None

    def verdict(self, one: Refused) -> tuple[str, str, list[Blame]]:
        """The verdict, the message, and the lines."""
        text = sentence(one.error)
        if isinstance(one, NonLeaf):
            why = "this computes a new tensor; an optimizer can only train a leaf"
            inside = one.call.name in ("unbind", "__iter__")
            code = "GF307" if inside else "GF102"
            blame = self._places.blame(one.call.site, "transformed", why, code)
            return "unregistered", text, [blame] if blame else []
        return kind_of(one.error)[0], text, refusal(self._graph, one.call, one.error, self._places)

    def unclaimed(self, found: list[Judged], script: str) -> list[Judged]:
        """Verdicts on what was refused if no known leaf went into it."""
        texts = {p.message for judged in found for p in judged.parameters}
        results = []
        for one in self._fatal:
            verdict, text, blame = self.verdict(one)
            if text not in texts and blame:
                results.append(
                    ParameterResult(
                        one.name, one.shape, True, verdict, "proven", text, True, tuple(blame)
                    )
                )
        return [Judged(script, tuple(results))] if results else []


def sentence(error: BaseException | None) -> str:
    """The first sentence of an error."""
    text = " ".join(str(error).split()).partition(": [")[0]
    return f"{type(error).__name__}: {text[:240]}"
