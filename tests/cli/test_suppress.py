"""Suppression comments: what they silence, and those that silence nothing."""

from __future__ import annotations

import pytest

from gradfix import engine
from gradfix.config import Settings
from gradfix.model import Outcome, Source

from .conftest import Renames

CODES = frozenset({"GF991", "GF900"})


@pytest.fixture(autouse=True)
def _fakes(only_codemods: object) -> None:
    only_codemods(Renames)  # type: ignore[operator]


def check(text: str, codes: frozenset[str] = CODES) -> list[str]:
    outcome = engine.check(Source("m.py", text), Settings(codes))
    return [f"{finding.code}:{finding.span.row}" for finding in outcome.findings]


def fix(text: str) -> Outcome:
    return engine.fix(Source("m.py", text), Settings(CODES))


@pytest.mark.parametrize(
    "text",
    [
        "old(1)  # noqa: GF991\n",
        "old(1)  # noqa\n",
        "old(1)  # NOQA:E501,GF991\n",
        "old(1)  # noqa: GF9\n",
        "old(1)  # gradfix: ignore[GF991]\n",
        "old(1)  # gradfix: ignore[gf991, GF9]\n",
        "old(1)  # gradfix: ignore\n",
        "old(1)  # type: ignore  # gradfix: ignore[GF991]\n",
        "x = [\n    old(1),\n]  # noqa: GF991\n",
        "x = [  # noqa: GF991\n    # why\n    old(1),\n]\n",
        'x = old("""\n# text\n""")  # noqa: GF991\n',
        "if (\n    old(1)\n):  # noqa: GF991\n    pass\n",
        "a = 1\rold(1)  # noqa: GF991\r",
        "# gradfix: file-ignore[GF991]\nold(1)\n",
        "old(1)\n\n# gradfix: file-ignore\n",
    ],
)
def test_silenced_in_check_and_in_apply(text: str) -> None:
    assert check(text) == []
    assert fix(text).text == text
    assert fix(text).findings == ()


@pytest.mark.parametrize(
    "text",
    [
        "# noqa: GF991\nold(1)\n",
        "old(1)\n# noqa\n",
        "if x:  # noqa\n    old(1)\n",
        "if old(1):\n    pass  # noqa\n",
        "old(1)  # noqa: E501\n",
        "old(1)  # gradfix: ignore[]\n",
        "old('# noqa')\n",
        "old(1)  # the noqas of old\n",
    ],
)
def test_not_silenced(text: str) -> None:
    assert any(found.startswith("GF991") for found in check(text))


@pytest.mark.parametrize(
    "text",
    [
        "x = 1  # noqa: GF991\n",
        "x = 1  # noqa: E501, GF991\n",
        "x = 1  # gradfix: ignore[GF991]\n",
        "# gradfix: file-ignore[GF991]\n",
    ],
)
def test_unused_suppressions_are_reported(text: str) -> None:
    assert check(text) == ["GF900:1"]


@pytest.mark.parametrize(
    "text",
    [
        "x = 1  # noqa\n",
        "x = 1  # noqa: E501\n",
        "x = 1  # gradfix: ignore\n",
        "x = 1  # gradfix: ignore[GF777]\n",
        "x = 1  # noqa: GF991, GF900\n",
        "# gradfix: file-ignore[GF900]\nx = 1  # noqa: GF991\n",
    ],
)
def test_not_reported_as_unused(text: str) -> None:
    assert check(text) == []


def test_unused_only_for_selected_codes() -> None:
    text = "x = 1  # noqa: GF991\n"
    assert check(text, frozenset({"GF900"})) == []
    assert check(text, frozenset({"GF991"})) == []


def test_the_place_is_the_code_in_the_comment() -> None:
    outcome = engine.check(Source("m.py", "x = 1  # noqa: E501, GF991\n"), Settings(CODES))
    span = outcome.findings[0].span
    assert (span.column, span.end_column) == (22, 27)
