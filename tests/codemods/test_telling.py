"""Which functions are interpreted decides how long it takes, never what is found."""

from __future__ import annotations

import pytest
from snippets import Case
from test_all_together import collected

from gradfix import engine
from gradfix.config import settings_from
from gradfix.flow.telling import Telling
from gradfix.model import Source

KINDS = ("CHANGE", "REPORT", "LEAVE", "SOUND", "LEGAL")

COUNTED_UP = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, a):
        total = 0
        total += self.layer(a)
        square = total * total
        total += 1
        return square + total
"""


def found(text: str) -> set[tuple[str, int, str]]:
    outcome = engine.check(Source("snippet.py", text), settings_from())
    assert not outcome.failures
    return {(f.code, f.span.row, f.message) for f in outcome.findings}


@pytest.mark.parametrize("case", [case for kind in KINDS for case in collected(kind)])
def test_the_filter_is_no_rule(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    filtered = found(case.before)
    monkeypatch.setattr(Telling, "function", lambda self, node: True)
    assert filtered == found(case.before)


def test_what_starts_as_a_number_may_become_a_tensor() -> None:
    assert [code for code, *_ in found(COUNTED_UP)] == ["GF202"]
