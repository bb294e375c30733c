"""The campaign as one HTML page: nothing to load, nothing to run, readable on any screen."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone

from gradfix import __version__
from gradfix.migrate.campaign import Campaign
from gradfix.migrate.markup import Markup, join, tag
from gradfix.migrate.page_repository import article, badge, took
from gradfix.migrate.result import MIGRATED, PENDING, STATUSES, Result, per_code, totals
from gradfix.migrate.terminal import delivered, tested

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def page(campaign: Campaign, results: Sequence[Result], when: datetime | None = None) -> str:
    """The whole page; ``when`` is the time it says it was made at."""
    title = f"{campaign.title}: gradfix campaign"
    style = Markup(
        importlib.resources.files("gradfix.migrate").joinpath("page.css").read_text("utf-8")
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", style),
    )
    body = tag(
        "body",
        tag("a", "Skip to the repositories", href="#repositories", class_="skip"),
        _header(campaign, results, when or datetime.now(timezone.utc)),
        tag("main", _overview(results), _table(results), _codes(results), _details(results)),
        tag("footer", tag("p", _closing(campaign))),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, body, lang='en')}\n"


def _header(campaign: Campaign, results: Sequence[Result], when: datetime) -> Markup:
    total = totals(results)
    done = total["repositories"] - total[PENDING]
    said = f"{done} of {_count(total['repositories'], 'repository')} done"
    time = tag("time", f"{when:%Y-%m-%d %H:%M} UTC", datetime=when.isoformat(timespec="seconds"))
    return tag(
        "header",
        tag("p", "gradfix campaign", class_="kicker"),
        tag("h1", campaign.title),
        tag("p", said, " \u00b7 ", time, class_="sub"),
        _bar(results),
    )


def _bar(results: Sequence[Result]) -> Markup:
    total = totals(results)
    there = [(status, total[status]) for status in STATUSES if total[status]]
    spoken = ", ".join(f"{number} {status}" for status, number in there)
    parts = (
        tag("span", class_=f"part {status}", style=f"flex-grow:{number}")
        for status, number in there
    )
    legend = (
        tag("li", tag("span", class_=f"dot {status}"), tag("strong", str(number)), f" {status}")
        for status, number in there
    )
    return join(
        tag("div", *parts, class_="bar", role="img", aria_label=f"Repositories: {spoken}"),
        tag("ul", *legend, class_="legend"),
    )


def _overview(results: Sequence[Result]) -> Markup:
    total = totals(results)
    tiles = (
        (total["fixed"], "findings fixed", "good" if total["fixed"] else ""),
        (total["changed_files"], "files changed", ""),
        (total["findings"], "findings left", ""),
        (total["files"], "files read", ""),
        (total["errors"], "files with errors", "bad" if total["errors"] else ""),
    )
    cells = (
        tag("div", tag("dt", label), tag("dd", f"{number:,}"), class_=f"tile {kind}".strip())
        for number, label, kind in tiles
    )
    return tag(
        "section",
        tag("h2", "In numbers", class_="unseen"),
        tag("dl", *cells, class_="tiles"),
        aria_label="In numbers",
    )


def _table(results: Sequence[Result]) -> Markup:
    tests = any(result.test for result in results)
    columns = ["Repository", "Status", "Fixed", "Left", "Errors"]
    columns += (["Tests"] if tests else []) + ["Time", "Result"]
    head = tag("tr", *(_head(column) for column in columns), role="row")
    rows = (_row(number, result, columns) for number, result in enumerate(results, start=1))
    return tag(
        "section",
        tag("h2", "Repositories", id="repositories"),
        _grid("What became of each repository", head, rows, "stack"),
    )


def _grid(caption: str, head: Markup, rows: Iterable[Markup], class_: str) -> Markup:
    """A table with a caption for those who do not see it; roles say what its style hides."""
    return tag(
        "table",
        tag("caption", caption, class_="unseen"),
        tag("thead", head, role="rowgroup"),
        tag("tbody", *rows, role="rowgroup"),
        class_=class_,
        role="table",
    )


def _head(column: str) -> Markup:
    number = "number" if column in ("Fixed", "Left", "Errors", "Time") else None
    return tag("th", column, scope="col", role="columnheader", class_=number)


def _row(number: int, result: Result, columns: Sequence[str]) -> Markup:
    done = result.status == MIGRATED
    left = len(result.left) + (0 if done else len(result.fixed))
    made = delivered(result)
    cells: dict[str, tuple[str, ...]] = {
        "Status": (badge(result.status),),
        "Fixed": (str(len(result.fixed)) if done else "",),
        "Left": (str(left) if left else "",),
        "Errors": (str(len(result.errors)) if result.errors else "",),
        "Tests": (tested(result),),
        "Time": (took(result.seconds),),
        "Result": (tag("code", made),) if made else (result.reason,),
    }
    name = tag("th", tag("a", result.name, href=f"#r{number}"), scope="row", role="rowheader")
    rest = (
        tag(
            "td",
            *cells[column],
            role="cell",
            data_label=column,
            class_="number" if column in ("Fixed", "Left", "Errors", "Time") else column.lower(),
        )
        for column in columns[1:]
    )
    return tag("tr", name, *rest, role="row")


def _codes(results: Sequence[Result]) -> Markup:
    counts = per_code(results)
    if not counts:
        return Markup("")
    most = max(count.fixed + count.left for count in counts)
    columns = ("Rule", "Fixed", "Left", "Repositories", "")
    head = tag("tr", *(
        tag("th", c or tag("span", "Share", class_="unseen"), scope="col",
            role="columnheader", class_="number" if c in columns[1:4] and c else None)
        for c in columns
    ), role="row")  # fmt: skip
    rows = []
    for count in counts:
        rule = tag("th", tag("code", count.code), " ", count.name, scope="row", role="rowheader")
        numbers = (
            tag("td", str(number) if number else "", class_="number", role="cell", data_label=label)
            for label, number in (
                ("Fixed", count.fixed), ("Left", count.left), ("Repositories", count.repositories),
            )
        )  # fmt: skip
        parts = (
            tag("span", class_=f"part {kind}", style=f"width:{100 * number / most:.2f}%")
            for kind, number in (("migrated", count.fixed), ("open", count.left))
            if number
        )
        share = tag("td", tag("div", *parts, class_="share"), role="cell", class_="chart",
                    aria_hidden="true")  # fmt: skip
        rows.append(tag("tr", rule, *numbers, share, role="row"))
    note = "gradfix explain CODE shows the manual page of a rule."
    return tag(
        "section",
        tag("h2", "Findings per rule", id="rules"),
        _grid("How often each rule had something to say", head, rows, "stack rules"),
        tag("p", note, class_="note"),
    )


def _details(results: Sequence[Result]) -> Markup:
    articles = (article(number, result) for number, result in enumerate(results, start=1))
    return tag("section", tag("h2", "In detail", id="details"), *articles)


def _closing(campaign: Campaign) -> str:
    return f"Made by gradfix {__version__} from {campaign.file.name}."


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun[:-1] + 'ies'}"
