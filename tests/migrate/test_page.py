"""The HTML page needs nothing, runs nothing, and shows what it is given as text."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timezone
from html.parser import HTMLParser
from pathlib import Path

import jsonschema
import pytest

from gradfix.migrate.diffs import parsed
from gradfix.migrate.document import document
from gradfix.migrate.markup import Markup, join, tag, visible
from gradfix.migrate.page import page
from gradfix.migrate.result import per_code, totals
from gradfix.migrate.terminal import table

from .conftest import FAULTY, UNFIXABLE, Ran, repository
from .samples import DIFF, EVIL, LONG, campaign, results

VOID = {"meta", "col", "br", "hr"}
WHEN = datetime(2026, 1, 2, 3, 4, tzinfo=timezone.utc)


class Reader(HTMLParser):
    """Elements with their attributes, and whether every one is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for element, attributes in self.elements if element == name]

    @property
    def text(self) -> str:
        return "".join(self.texts)


def shown() -> Reader:
    return Reader(page(campaign(), results(), WHEN))


def test_whatever_it_is_given_is_text() -> None:
    read = shown()
    names = {name for name, _ in read.elements}
    assert not names & {"script", "img", "iframe", "object", "embed", "link", "base", "form"}
    assert all(not key.startswith("on") for _, given in read.elements for key in given)
    for where in (f"cuts {EVIL}", f"failed {EVIL}", f"src/{EVIL}.py:11", f"{EVIL}\n2 passed"):
        assert where in read.text
    assert "'</td></table></details><img src=http://evil.example/x.png>'" in read.text
    assert '"\u27e8U+202E\u27e9drow"' in read.text


def test_it_needs_nothing_from_anywhere() -> None:
    read = shown()
    for name, given in read.elements:
        assert not {"src", "srcset", "poster", "data", "action", "background"} & set(given)
        if "href" in given:
            href = given["href"] or ""
            assert name == "a" and href.startswith(("#", "http://", "https://"))
            if not href.startswith("#"):
                assert given["rel"] == "noreferrer"
    style = page(campaign(), results()).partition("<style>")[2].partition("</style>")[0]
    assert "color-scheme" in style
    assert "url(" not in style and "@import" not in style
    (policy,) = (m for m in read.named("meta") if m.get("http-equiv"))
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert (policy["content"] or "").startswith("default-src 'none'; style-src 'unsafe-inline'")


def test_it_is_built_for_everybody() -> None:
    read = shown()
    assert read.named("html") == [{"lang": "en"}]
    assert [len(read.named(name)) for name in ("title", "main", "h1")] == [1, 1, 1]
    assert all(given.get("scope") for given in read.named("th"))
    assert len(read.named("caption")) == len(read.named("table"))
    targets = [given["id"] for _, given in read.elements if "id" in given]
    assert len(targets) == len(set(targets))
    links = [given["href"] or "" for given in read.named("a")]
    assert {link[1:] for link in links if link.startswith("#")} <= set(targets)
    (bar,) = (given for _, given in read.elements if given.get("class") == "bar")
    assert bar["role"] == "img"
    assert bar["aria-label"] == (
        "Repositories: 2 migrated, 1 unchanged, 1 rejected, 1 failed, 1 pending"
    )


def test_it_says_what_there_is_to_say() -> None:
    text = shown().text
    for said in ("5 of 6 repositories done", "2026-01-02 03:04 UTC", "1 min 11 s",
                 "gradfix/migrate @ bbbbbbbbbb", "git apply patches/patchy.patch", "broken by it",
                 "Not fixed: a person must decide", "Not fixed: the list may be empty (unsafe",
                 "no such folder: /src/gone", "What would have been changed"):  # fmt: skip
        assert said in text, said
    details = [given for given in shown().named("details") if given["class"] == "repository"]
    assert ["open" in given for given in details] == [False, False, False, True, True, False]


def test_an_empty_campaign_is_a_page_too() -> None:
    from gradfix.migrate.result import Result

    only = [Result("later", "/src/later")]
    read = Reader(page(campaign(only), only, WHEN))
    assert "0 of 1 repository done" in read.text
    assert "Findings per rule" not in read.text


def test_a_large_diff_is_cut_and_folded() -> None:
    lines = "".join(f"+line {n}\n" for n in range(5000))
    big = results()[1]
    big.diff = f"diff --git a/m b/m\n--- a/m\n+++ b/m\n@@ -0,0 +1,5000 @@\n{lines}"
    read = Reader(page(campaign([big]), [big], WHEN))
    assert "2001 more lines are not shown here." in read.text
    assert all("open" not in g for g in read.named("details") if g["class"] == "file")


@pytest.mark.parametrize(("number", "unfolded"), [(1, True), (7, False)])
def test_many_findings_are_folded_away_in_front_of_the_diff(number: int, unfolded: bool) -> None:
    many = results()[1]
    many.fixed = many.fixed * number
    read = Reader(page(campaign([many]), [many], WHEN))
    (found,) = (given for given in read.named("details") if given["class"] == "file found")
    assert ("open" in found) is unfolded


def test_diffs_are_read_as_git_writes_them() -> None:
    evil, quoted = parsed(DIFF)
    assert evil.name == f"{EVIL}.py"
    assert [(row.sign, row.old, row.new) for row in evil.rows] == [
        ("@", None, None), (" ", 10, 10), ("-", 11, None), ("+", None, 11), (" ", 12, 12),
        ("@", None, None),
    ]  # fmt: skip
    assert quoted.name == "t\u00e4b\t.py"
    assert [(row.sign, row.text) for row in quoted.rows] == [
        ("@", ""), ("-", "-- not a header"), ("+", "++ nor this"),
    ]  # fmt: skip


def test_markup() -> None:
    assert tag("p", "a<b", tag("br"), class_="x&y", hidden=True, title=None, open_=False) == (
        '<p class="x&amp;y" hidden>a&lt;b<br></p>'
    )
    assert join("<", Markup("<i>")) == "&lt;<i>"
    assert visible("a\x1b[0m\tb\u2066") == "a\u27e8U+001B\u27e9[0m\tb\u27e8U+2066\u27e9"
    assert visible("\udc80") == "\\udc80"


def test_numbers_count_what_is_delivered() -> None:
    total = totals(results())
    assert (total["fixed"], total["findings"], total["errors"]) == (3, 3, 1)
    assert [(c.code, c.fixed, c.left, c.repositories) for c in per_code(results())] == [
        ("GF301", 3, 1, 3), ("GF302", 0, 1, 1), ("GF304", 0, 1, 1),
    ]  # fmt: skip


def test_the_table_fits_and_says_why() -> None:
    text = table(results(), colour=False, width=90)
    assert max(len(line) for line in text.partition("\n\n")[0].splitlines()) <= 90
    assert "gone: no such folder: /src/gone\n" in text
    assert f"{LONG[:90]}: the tests failed {EVIL}\n" in text
    assert "\x1b[" not in text
    assert "\x1b[" in table(results(), colour=True, width=90)


# -- the JSON document --------------------------------------------------------------------------

NUMBER = {"type": "integer", "minimum": 0}
TEXT_OR_NONE = {"type": ["string", "null"]}
TEST_RUN = {
    "type": ["object", "null"],
    "required": ["code", "seconds", "output"],
    "additionalProperties": False,
    "properties": {
        "code": {"type": "integer"},
        "seconds": {"type": "number"},
        "output": {"type": "string"},
    },
}
NUMBERS = (
    "repositories", "migrated", "unchanged", "rejected", "failed", "pending", "files",
    "changed_files", "fixed", "findings", "errors",
)  # fmt: skip
REPOSITORY = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "name": {"type": "string"},
        "source": {"type": "string"},
        "ref": {"type": "string"},
        "status": {"enum": ["migrated", "unchanged", "rejected", "failed", "pending"]},
        "reason": TEXT_OR_NONE,
        "notes": {"type": "array", "items": {"type": "string"}},
        "earlier": {"type": "boolean"},
        "base": TEXT_OR_NONE,
        "branch": TEXT_OR_NONE,
        "commit": TEXT_OR_NONE,
        "patch": TEXT_OR_NONE,
        "seconds": {"type": "number", "minimum": 0},
        "summary": {
            "type": "object",
            "required": ["files", "changed_files", "fixed", "findings", "errors"],
            "additionalProperties": NUMBER,
        },
        "changed_files": {"type": "array", "items": {"type": "string"}},
        "findings": {"type": "array", "items": {"required": ["code", "filename", "fix"]}},
        "errors": {"type": "array", "items": {"required": ["filename", "row", "message"]}},
        "tests": {
            "type": ["object", "null"],
            "required": ["command", "after", "before"],
            "additionalProperties": False,
            "properties": {
                "command": {"type": "string"},
                "after": TEST_RUN,
                "before": TEST_RUN,
            },
        },
    },
}
REPOSITORY["required"] = list(REPOSITORY["properties"])  # type: ignore[call-overload]
SCHEMA = {
    "type": "object",
    "required": ["version", "campaign", "folder", "summary", "codes", "repositories"],
    "additionalProperties": False,
    "properties": {
        "version": {"type": "string"},
        "campaign": {"type": "string"},
        "folder": {"type": "string"},
        "summary": {
            "type": "object",
            "required": list(NUMBERS),
            "additionalProperties": False,
            "properties": dict.fromkeys(NUMBERS, NUMBER),
        },
        "codes": {
            "type": "array",
            "items": {"required": ["code", "name", "fixed", "left", "repositories"]},
        },
        "repositories": {"type": "array", "items": REPOSITORY},
    },
}


def test_the_document_keeps_to_its_schema() -> None:
    jsonschema.validate(json.loads(json.dumps(document(campaign(), results()))), SCHEMA)


@pytest.mark.usefixtures("really")
def test_so_does_that_of_a_real_campaign(tmp_path: Path, migrate: Callable[..., Ran]) -> None:
    repository(tmp_path / "one", {"m.py": FAULTY, "n.py": UNFIXABLE})
    (tmp_path / "c.toml").write_text('test = "true"\nrepositories = ["one", "two"]')
    ran = migrate("c.toml", "--output-format", "json", "-o", "out.json")
    assert (ran.code, ran.out) == (2, "")
    done = json.loads((tmp_path / "out.json").read_text())
    jsonschema.validate(done, SCHEMA)
    assert [len(r["findings"]) for r in done["repositories"]] == [2, 0]
    read = Reader((tmp_path / "c.gradfix" / "report.html").read_text())
    assert "torch.stack([self.a, self.b])" in read.text
