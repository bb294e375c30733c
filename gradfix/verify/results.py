"""What verification says: plain frozen types shared by parent and child; no torch here.

Terms: a *target* is one module class (or callable) that was asked about; its *status* follows from
the *verdicts* of its Parameters; a *blame* is a place in the user's code that explains a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

PASSED, FAILED, NOT_VERIFIED = "passed", "failed", "not_verified"

#: Verdicts that mean: this Parameter does not get the gradient its author expects.
FAILING = frozenset(
    {
        "severed",
        "escaped",
        "zero",
        "nonfinite",
        "wrong",
        "unused",
        "discarded",
        "unregistered",
        "inplace",
    }
)
VERDICTS = FAILING | {"ok", "inconclusive"}


@dataclass(frozen=True, slots=True)
class Blame:
    """One line of the user's code that explains a verdict; ``code`` names the codemod, if any."""

    filename: str
    row: int
    function: str
    kind: str
    message: str
    code: str | None = None


@dataclass(frozen=True, slots=True)
class ParameterResult:
    """The verdict on one Parameter of one target.

    ``exercised`` is false when the call did not put the Parameter to the test, so that another
    call of the same class may overrule the verdict.
    """

    name: str
    shape: tuple[int, ...]
    trainable: bool
    verdict: str
    confidence: str = "proven"
    message: str = ""
    exercised: bool = True
    blame: tuple[Blame, ...] = ()


@dataclass(frozen=True, slots=True)
class TargetResult:
    """Everything verification found out about one target."""

    target: str
    status: str
    reason: str | None = None
    driven_by: str | None = None
    call: str | None = None
    case: str | None = None
    parameters: tuple[ParameterResult, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The target as the JSON object users see."""
        data = asdict(self)
        data["parameters"] = [_listed(p) for p in data["parameters"]]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TargetResult:
        """The inverse of `to_json`; raises KeyError or TypeError on a malformed message."""
        parameters = tuple(
            ParameterResult(
                **{
                    **p,
                    "shape": tuple(p["shape"]),
                    "blame": tuple(Blame(**b) for b in p["blame"]),
                }
            )
            for p in data["parameters"]
        )
        return cls(**{**data, "parameters": parameters})


def _listed(parameter: dict[str, Any]) -> dict[str, Any]:
    return {**parameter, "shape": list(parameter["shape"]), "blame": list(parameter["blame"])}


def status_of(parameters: tuple[ParameterResult, ...]) -> str:
    """The status that follows from the verdicts: one failure fails, one doubt is not a pass."""
    verdicts = {p.verdict for p in parameters if p.trainable}
    if verdicts & FAILING:
        return FAILED
    return NOT_VERIFIED if "inconclusive" in verdicts else PASSED
