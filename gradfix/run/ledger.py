"""Everything a run found out: verdicts of many episodes merged per target."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from gradfix.run.refusals import Judged
from gradfix.verify.results import NOT_VERIFIED, ParameterResult, TargetResult, status_of

#: What counts if a Parameter was judged several times, first one first.
_RANK = (
    "ok", "inplace", "severed", "escaped", "unregistered", "wrong", "nonfinite", "zero",
    "discarded", "unused", "inconclusive",
)  # fmt: skip

_NAMES = 4


@dataclass(slots=True)
class Ledger:
    """The verdicts so far, by target and Parameter."""

    targets: dict[str, dict[str, ParameterResult]] = field(default_factory=dict)
    left_out: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, found: list[Judged]) -> None:
        """Merge the verdicts of one episode; equal models of one episode are told apart."""
        seen: dict[str, int] = {}
        for judged in found:
            seen[judged.target] = number = seen.get(judged.target, 0) + 1
            name = judged.target if number == 1 else f"{judged.target} #{number}"
            judged.target = name
            known = self.targets.setdefault(name, {})
            for parameter in judged.parameters:
                before = known.get(parameter.name)
                if before is None or _rank(parameter) < _rank(before):
                    known[parameter.name] = parameter
            self.left_out.setdefault(name, {}).update(judged.left_out)

    def came_late(self, target: str, name: str) -> None:
        """A gradient arrived after the traced steps: a warm-up is no fault."""
        text = "its first gradient came after the traced steps, and was not looked at"
        before = self.targets[target][name]
        self.targets[target][name] = replace(
            before, verdict="ok", confidence="likely", message=text, blame=()
        )

    def results(self) -> list[TargetResult]:
        """One result per target, in the order in which they were met."""
        return [self._result(name, tuple(known.values())) for name, known in self.targets.items()]

    def _result(self, name: str, parameters: tuple[ParameterResult, ...]) -> TargetResult:
        judged = {p.name for p in parameters}
        aside: dict[str, list[str]] = {}
        for leaf, why in self.left_out[name].items():
            if leaf not in judged:
                aside.setdefault(why, []).append(leaf)
        reasons = [f"{_listed(names)} ({why})" for why, names in aside.items()]
        reason = f"not judged: {'; '.join(reasons)}" if reasons else None
        if not any(p.trainable for p in parameters):
            return TargetResult(name, NOT_VERIFIED, reason or "nothing to judge", "script")
        return TargetResult(name, status_of(parameters), reason, "script", parameters=parameters)


def _rank(result: ParameterResult) -> tuple[int, bool]:
    return _RANK.index(result.verdict), result.confidence == "likely"


def _listed(names: list[str]) -> str:
    shown, rest = names[:_NAMES], len(names) - _NAMES
    return ", ".join(shown) + (f" and {rest} more" if rest > 0 else "")
