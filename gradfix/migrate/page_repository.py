"""One repository on the campaign's page: why, what was changed, what is left, what tests said."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Any

from gradfix.migrate.diffs import as_html
from gradfix.migrate.markup import Markup, join, tag
from gradfix.migrate.result import FAILED, MIGRATED, PENDING, REJECTED, Result, TestRun
from gradfix.migrate.terminal import delivered, tested

_MARKS = {"migrated": "\u2713", "unchanged": "=", "rejected": "\u2717", "failed": "!"}
_MOST = 200  # findings of one repository that are listed
_UNFOLDED = 6  # so many that were fixed are not folded away in front of the diffs
_LINK = re.compile(r"https?://[^\s@]+")


def badge(status: str) -> Markup:
    """A status, told by a sign, a word and a colour."""
    sign = tag("span", _MARKS.get(status, "\u2026"), aria_hidden="true", class_="mark")
    return tag("span", sign, status, class_=f"badge {status}")


def took(seconds: float) -> str:
    """A time as people read it."""
    if not seconds:
        return ""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def article(number: int, result: Result) -> Markup:
    """Everything about one repository, folded away unless something is wrong."""
    head = tag(
        "summary",
        tag("h3", result.name),
        badge(result.status),
        tag("span", _short(result), class_="short"),
    )
    body = tag(
        "div",
        _reason(result),
        _facts(result),
        _changes(result),
        _left(result),
        _errors(result.errors),
        _test_run("Tests after the rewrite", result.after),
        _test_run("Tests before the rewrite", result.before),
        class_="body",
        id=f"r{number}",
    )
    wrong = result.status in (FAILED, REJECTED)
    return tag("details", head, body, class_="repository", open_=wrong)


def _short(result: Result) -> str:
    done = result.status == MIGRATED
    parts = [f"{len(result.fixed)} fixed"] if done else []
    left = len(result.left) + (0 if done else len(result.fixed))
    parts += [f"{left} left"] if left else []
    errors = len(result.errors)
    parts += [f"{errors} file{'' if errors == 1 else 's'} with errors"] if errors else []
    return ", ".join(parts)


def _reason(result: Result) -> Markup:
    reasons = [tag("p", result.reason, class_=f"callout {result.status}")] if result.reason else []
    return join(*reasons, *(tag("p", note, class_="callout") for note in result.notes))


def _facts(result: Result) -> Markup:
    source: str = result.source
    linked = tag("a", source, href=source, rel="noreferrer") if _LINK.fullmatch(source) else None
    base = f"{result.ref} @ {result.base[:12]}" if result.base else result.ref
    facts: list[tuple[str, str]] = [
        ("Source", linked or tag("code", source)),
        ("Started from", tag("code", base)),
    ]
    if result.status != PENDING:
        facts.append(("Files read", f"{result.files:,}"))
    if made := delivered(result):
        facts.append(("Result", tag("code", made)))
        facts.append(("To look at it", tag("code", _command(result))))
    if result.test:
        facts.append(("Tests", join(tag("code", result.test), " ", tested(result))))
    if result.seconds:
        facts.append(("Time", took(result.seconds)))
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value)) for name, value in facts),
        class_="facts",
    )


def _command(result: Result) -> str:
    if result.patch:
        return f"git apply {shlex.quote(result.patch)}"
    if _LINK.match(result.source):
        return f"git fetch {shlex.quote(result.source)} {result.branch}"
    return f"git -C {shlex.quote(result.source)} show {result.branch}"


def _changes(result: Result) -> Markup:
    if not result.diff:
        return Markup("")
    title = "What was changed" if result.status == MIGRATED else "What would have been changed"
    number = len(result.fixed)
    found = tag(
        "details",
        tag("summary", f"{number} finding{'' if number == 1 else 's'}"),
        _findings(result.fixed, "Fixed"),
        class_="file found",
        open_=number <= _UNFOLDED,
    )
    return join(tag("h4", title), found, as_html(result.diff))


def _left(result: Result) -> Markup:
    if not result.left:
        return Markup("")
    return join(tag("h4", "What is left"), _findings(result.left, "Left"))


def _findings(findings: Sequence[dict[str, Any]], caption: str) -> Markup:
    rows = []
    for finding in findings[:_MOST]:
        rule = tag("td", tag("code", finding["code"]), " ", finding["name"], class_="rule",
                   role="cell", data_label="Rule")  # fmt: skip
        place = tag("th", tag("code", _place(finding)), scope="row", role="rowheader")
        why = _why(finding)
        message = tag("td", finding["message"],
                      *([tag("span", why, class_="why")] if why else []),
                      role="cell", data_label="Message")  # fmt: skip
        rows.append(tag("tr", place, rule, message, role="row"))
    heads = (tag("th", c, scope="col", role="columnheader") for c in ("Place", "Rule", "Message"))
    more = len(findings) - _MOST
    table = tag(
        "table",
        tag("caption", f"{caption}: {len(findings)}", class_="unseen"),
        tag("thead", tag("tr", *heads, role="row"), role="rowgroup"),
        tag("tbody", *rows, role="rowgroup"),
        class_="stack findings",
        role="table",
    )
    return (
        join(table, tag("p", f"{more} more are not shown here.", class_="note"))
        if more > 0
        else table
    )


def _place(finding: dict[str, Any]) -> str:
    cell = f":cell {finding['cell']}" if finding["cell"] else ""
    return f"{finding['filename']}{cell}:{finding['location']['row']}"


def _why(finding: dict[str, Any]) -> str:
    """What became of the fix, in words."""
    fix = finding["fix"]
    if fix is not None and fix["applied"]:
        unsafe = f"not proven right (unsafe): {_doubt(fix)}"
        kind = unsafe if fix["applicability"] == "unsafe" else "safe"
        said = f", {fix['verification']}" if fix["verification"] else ""
        return f"{fix['title']} \u2014 {kind}{said}"
    if finding["not_fixed_reason"]:
        return f"Not fixed: {finding['not_fixed_reason']}"
    return f"Not fixed: {_doubt(fix)} (unsafe-fixes = true applies it)" if fix else ""


def _doubt(fix: dict[str, Any]) -> str:
    """What is not proven of an unsafe fix; records of earlier versions do not say."""
    return fix.get("doubt") or "the fix is not proven right"


def _errors(errors: Sequence[dict[str, Any]]) -> Markup:
    if not errors:
        return Markup("")
    items = (tag("li", tag("code", _row_of(e)), f": {e['message']}") for e in errors[:_MOST])
    more = len(errors) - _MOST
    rest = [tag("p", f"{more} more are not shown here.", class_="note")] if more > 0 else []
    return join(tag("h4", "Files with errors"), tag("ul", *items, class_="errors"), *rest)


def _row_of(error: dict[str, Any]) -> str:
    return str(error["filename"]) + (f":{error['row']}" if error["row"] else "")


def _test_run(title: str, run: TestRun | None) -> Markup:
    if run is None:
        return Markup("")
    how = "passed" if run.code == 0 else f"exit code {run.code}"
    output = tag("pre", run.output.strip("\n") or "(no output)", tabindex="0")
    head = tag("summary", f"{title}: {how}, {took(run.seconds)}")
    return tag("details", head, output, class_="tests")
