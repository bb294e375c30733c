"""What became of a repository, as plain values: they are kept in the state and shown in reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

MIGRATED, UNCHANGED, REJECTED, FAILED, PENDING = (
    "migrated", "unchanged", "rejected", "failed", "pending",
)  # fmt: skip
STATUSES = (MIGRATED, UNCHANGED, REJECTED, FAILED, PENDING)
#: What need not be done again as long as neither the repository nor the campaign changes.
FINISHED = (MIGRATED, UNCHANGED, REJECTED)


@dataclass(frozen=True, slots=True)
class TestRun:
    """One run of the test command: its exit code, how long it took, and the end of its output."""

    __test__ = False  # no test of pytest's

    code: int
    seconds: float
    output: str = ""


@dataclass(slots=True)
class Result:
    """What became of one repository.

    ``fixed`` and ``left`` are findings, ``errors`` files that could not be read, both as in the
    JSON of `gradfix apply`. ``diff`` is what was rewritten, for people. ``before`` is the test
    command on the commit as it was, which runs only where it failed ``after`` the rewrite.
    """

    name: str
    source: str
    status: str = PENDING
    reason: str = ""
    ref: str = "HEAD"
    base: str = ""
    branch: str = ""
    commit: str = ""
    patch: str = ""
    files: int = 0
    changed: list[str] = field(default_factory=list)
    fixed: list[dict[str, Any]] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    test: str = ""
    after: TestRun | None = None
    before: TestRun | None = None
    seconds: float = 0.0
    diff: str = ""
    fresh: bool = True

    def plain(self) -> dict[str, Any]:
        """The result as JSON values."""
        return asdict(self)

    @classmethod
    def restored(cls, values: dict[str, Any]) -> Result:
        """The result that `plain` was made of."""
        runs = {
            key: TestRun(**values[key]) if values.get(key) else None for key in ("after", "before")
        }
        return cls(**{**values, **runs})

    @property
    def refused(self) -> list[dict[str, Any]]:
        """Findings whose fix verification did not accept."""
        return [f for f in self.left if (f["not_fixed_reason"] or "").startswith("verification:")]


@dataclass(frozen=True, slots=True)
class CodeCount:
    """How often a rule had something to say in a whole campaign."""

    code: str
    name: str
    fixed: int
    left: int
    repositories: int


def per_code(results: Iterable[Result]) -> list[CodeCount]:
    """Findings per rule, the most frequent first.

    What was rewritten but not delivered counts as left: it is still in the repository.
    """
    fixed: Counter[str] = Counter()
    left: Counter[str] = Counter()
    names: dict[str, str] = {}
    where: dict[str, set[str]] = {}
    for result in results:
        delivered = result.status == MIGRATED
        for finding in (*result.fixed, *result.left):
            names[finding["code"]] = finding["name"]
            where.setdefault(finding["code"], set()).add(result.name)
        for finding in result.fixed:
            (fixed if delivered else left)[finding["code"]] += 1
        for finding in result.left:
            left[finding["code"]] += 1
    counts = [CodeCount(c, names[c], fixed[c], left[c], len(where[c])) for c in names]
    return sorted(counts, key=lambda count: (-count.fixed - count.left, count.code))


def totals(results: Iterable[Result]) -> dict[str, int]:
    """Numbers of the whole campaign, under the names of the JSON report."""
    results = list(results)
    total = {"repositories": len(results)}
    total |= {status: sum(r.status == status for r in results) for status in STATUSES}
    delivered = [r for r in results if r.status == MIGRATED]
    return total | {
        "files": sum(r.files for r in results),
        "changed_files": sum(len(r.changed) for r in delivered),
        "fixed": sum(len(r.fixed) for r in delivered),
        "findings": sum(
            len(r.left) + (0 if r.status == MIGRATED else len(r.fixed)) for r in results
        ),
        "errors": sum(len(r.errors) for r in results),
    }
