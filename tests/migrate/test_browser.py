"""The page in a real browser: nothing is fetched, nothing is complained about, everything fits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gradfix.migrate.page import page

from .browser import NAMES, VARIABLE, Browser, browser, find
from .samples import campaign, results

PROGRAM = find()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason=f"needs a Chromium: {VARIABLE}, or on the PATH {', '.join(NAMES)}"
)
#: Elements that are wider than the screen, by what they are.
TOO_WIDE = """
[...document.querySelectorAll('body *')]
  .filter(e => e.checkVisibility() && !e.closest('.unseen, .skip'))
  .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5)
  .map(e => e.tagName + '.' + e.className)
"""
OPEN_ALL = "document.querySelectorAll('details').forEach(d => { d.open = true })"
UNSEEN_ROWS = """
[...document.querySelectorAll('tbody tr')]
  .filter(row => !row.checkVisibility() || row.getBoundingClientRect().height < 8).length
"""
CONTRAST = """
(() => {
  const channel = v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const parts = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => { const [r, g, b] = parts(c).map(v => channel(v / 255));
                       return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const behind = e => { for (; e; e = e.parentElement) {
      const c = getComputedStyle(e).backgroundColor;
      if (parts(c).length < 4 || parts(c)[3] === 1) return c; }
    return 'rgb(255, 255, 255)' };
  return [...document.querySelectorAll('body *')]
    .filter(e => e.checkVisibility() && !e.closest('.unseen, .skip'))
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
    .map(e => { const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
                return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e] })
    .filter(([ratio]) => ratio < 4.5)
    .map(([ratio, e]) => `${ratio.toFixed(2)} ${e.tagName}.${e.className}`)
})()
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert PROGRAM is not None
    with browser(PROGRAM, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def report(tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    path.write_text(page(campaign(), results()), encoding="utf-8")
    return path


def complaints(opened: Browser) -> list[str]:
    """Whatever the browser has to say about the page."""
    said = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown",
            "Audits.issueAdded")  # fmt: skip
    return [str(event["params"]) for event in opened.events if event.get("method") in said]


def requests(opened: Browser) -> list[str]:
    return [
        event["params"]["request"]["url"]
        for event in opened.events
        if event.get("method") == "Network.requestWillBeSent"
    ]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1400])
def test_it_is_readable(opened: Browser, report: Path, width: int, dark: bool) -> None:
    opened.show(width, dark=dark)
    opened.load(report)
    opened.evaluate(OPEN_ALL)
    assert opened.evaluate("document.querySelectorAll('details:not([open])').length") == 0
    assert opened.evaluate("document.querySelectorAll('.repository').length") == len(results())
    assert opened.evaluate(UNSEEN_ROWS) == 0
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.evaluate(TOO_WIDE) == []
    assert opened.evaluate(CONTRAST) == []
    background = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 384) is dark
    opened.screenshot(report.with_suffix(".png"))
    assert complaints(opened) == []
    assert requests(opened) == [report.as_uri()]


def test_folded_parts_open_on_a_click_and_links_lead_into_them(
    opened: Browser, report: Path
) -> None:
    opened.show(1400)
    opened.load(report)
    first = "document.querySelector('.repository')"
    assert opened.evaluate(f"{first}.open") is False
    opened.evaluate(f"{first}.querySelector('summary').click()")
    assert opened.evaluate(f"{first}.open") is True
    second = "document.querySelectorAll('.repository')[1]"
    assert opened.evaluate(f"{second}.open") is False
    opened.evaluate("document.querySelector('a[href=\"#r2\"]').click()")
    opened.evaluate("document.body.offsetHeight")
    assert opened.evaluate(f"{second}.open") is True


def test_the_probe_sees_a_page_that_is_wrong(opened: Browser, tmp_path: Path) -> None:
    path = tmp_path / "wrong.html"
    path.write_text(
        "<!DOCTYPE html><meta charset=utf-8><body style='background:#fff'>"
        "<p style='width:900px;color:#ddd'>wide</p><img src='missing.png'>"
        "<script>console.log('hello')</script>"
    )
    opened.show(400)
    opened.load(path)
    assert opened.evaluate("document.documentElement.scrollWidth") > 400
    assert opened.evaluate(TOO_WIDE) == ["P."]
    assert opened.evaluate(CONTRAST)[0].endswith("P.")
    assert len(requests(opened)) == 2
    assert any("hello" in said for said in complaints(opened))
