"""Values that are masked through ``.data``, which autograd does not see."""

from __future__ import annotations

from pathlib import Path

import pytest
from verify_helpers import results_of

from gradfix.verify.results import TargetResult

SOURCE = """
import torch
from torch import nn

class Masking(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)
    def forward(self, x):
        scores = self.lin(x)
        scores.data.masked_fill_(x[:, :3] > 0, -99.0)
        return scores

class Both(nn.Module):
    # a mask excuses nothing else
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)
    def forward(self, x):
        scores = self.lin(x)
        scores.data.masked_fill_(x[:, :3] > 0, -99.0)
        return scores + torch.tensor(self.lin(x).tanh().tolist())

class Overwriting(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 3)
    def forward(self, x):
        scores = self.lin(x).tanh()
        scores.data.mul_(2.0)
        return scores * scores
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    path: Path = tmp_path_factory.mktemp("masks") / "nets.py"
    path.write_text(SOURCE)
    return results_of(path)


def test_masked_scores_are_asked_about(found: dict[str, TargetResult]) -> None:
    result = found["Masking"]
    assert result.status == "not_verified"
    assert {p.verdict for p in result.parameters} == {"inconclusive"}
    assert all("masked at line" in p.message for p in result.parameters)


def test_what_is_cut_beside_a_mask_is_wrong(found: dict[str, TargetResult]) -> None:
    assert {p.verdict for p in found["Both"].parameters} == {"wrong"}


def test_what_is_overwritten_otherwise_is_wrong(found: dict[str, TargetResult]) -> None:
    assert {p.verdict for p in found["Overwriting"].parameters} == {"wrong"}
