"""What stays the same about a finding while the lines around it move."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gradfix.lines import bare, split_lines
from gradfix.model import Finding, Source


def identity(finding: Finding, lines: Sequence[str]) -> tuple[str, ...]:
    """What stays the same about a finding while other lines move."""
    edits = finding.fix.edits if finding.fix else ()
    line = _normal_line(lines, finding.span.row)
    return (finding.code, finding.message, line, *(edit.content for edit in edits))


def _normal_line(lines: Sequence[str], row: int) -> str:
    return " ".join(bare(lines[row - 1]).split()) if 0 < row <= len(lines) else ""


def identified(findings: Sequence[Finding], text: str, source: Source) -> tuple[Finding, ...]:
    """The findings in a text of a source, with its name and fingerprints that survive moved lines.

    Two findings of one rule on equal lines are told apart by their order.
    """
    if not findings:
        return ()
    import hashlib  # slow to import

    lines = split_lines(text)
    filename = source.filename
    seen: Counter[tuple[str, str]] = Counter()
    named = []
    for finding in findings:
        key = (finding.code, _normal_line(lines, finding.span.row))
        parts = (finding.code, source.place or source.filename, key[1], str(seen[key]))
        seen[key] += 1
        digest = hashlib.sha256("\0".join(parts).encode("utf-8", "backslashreplace"))
        named.append(replace(finding, filename=filename, fingerprint=digest.hexdigest()[:16]))
    return tuple(named)


def without(
    findings: Sequence[Finding], text: str, source: Source, fingerprints: frozenset[str]
) -> Sequence[Finding]:
    """The findings in a text of a source that do not have one of these fingerprints."""
    if not fingerprints:
        return findings
    named = identified(findings, text, source)
    return [
        f for f, known in zip(findings, named, strict=True) if known.fingerprint not in fingerprints
    ]
