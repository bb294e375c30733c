"""Which of several lines is blamed, and functions over tensors, which have inputs to blame for."""

from __future__ import annotations

import pytest
from verify_helpers import results_of

from gradfix.verify.results import TargetResult

MODULES = """\
import torch
from torch import nn
from torch.distributions import Categorical


class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 3)

    def forward(self, states):
        log_probs = []
        for state in states:
            dist = Categorical(logits=self.net(state))
            log_probs.append(dist.log_prob(dist.sample()))
        return -torch.tensor(log_probs, requires_grad=True).sum()


class Scale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.5, 1.5]))

    def forward(self):
        steps = torch.zeros(2, dtype=torch.long)
        steps[0] = self.scale[0]
        return steps * 2.0


class Recorder(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.Linear(4, 4)

    def forward(self, x):
        kept = torch.zeros(2, 4, requires_grad=True)
        kept[0] = self.cell(x[0])
        return kept


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.d = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, z, phase: int):
        fake = self.g(z)
        if phase == 0:
            return self.d(fake)
        return self.d(fake.detach())


class Stopped(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.d = nn.Linear(4, 4), nn.Linear(4, 1)

    def forward(self, z):
        return self.d(self.g(z).detach())
"""

FUNCTIONS = """\
import numpy as np
import torch
import torch.nn.functional as F


def centred(a, b):
    a -= a.mean()
    return (a * b).exp()


def huber(pred, target, delta=1.0):
    err = pred.detach().numpy() - target.detach().numpy()
    return torch.tensor(np.abs(err).mean(), requires_grad=True)


def dice(pred, target):
    hard = (pred > 0).float()
    return (hard * target).sum()


def similarity(image, other):
    return (F.avg_pool2d(image, 3) * F.avg_pool2d(other, 3)).mean()


def product(left, *, right):
    rows = torch.zeros(left.shape[0], right.shape[1], requires_grad=True)
    for i in range(left.shape[0]):
        rows[i] = left[i] @ right
    return rows


def of_words(words):
    return {"a": 1}[words]
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    path = tmp_path_factory.mktemp("modules") / "modules.py"
    path.write_text(MODULES)
    return results_of(path)


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    path = tmp_path_factory.mktemp("functions") / "functions.py"
    path.write_text(FUNCTIONS)
    return results_of(
        path, *(name for name in "centred huber dice similarity product of_words".split())
    )


def row(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if part in line)


def blamed(result: TargetResult) -> set[tuple[int, str | None]]:
    return {(b.row, b.code) for p in result.parameters for b in p.blame}


def verdicts(result: TargetResult) -> dict[str, str]:
    return {p.name: p.verdict for p in result.parameters}


def test_a_copy_is_blamed_and_sampling_is_not(modules: dict[str, TargetResult]) -> None:
    assert blamed(modules["Policy"]) == {(row(MODULES, "torch.tensor(log_probs"), "GF301")}


def test_a_buffer_of_integers_is_blamed_where_it_is_made_first(
    modules: dict[str, TargetResult],
) -> None:
    [scale] = modules["Scale"].parameters
    made, written = row(MODULES, "steps = torch.zeros"), row(MODULES, "steps[0] =")
    assert [(b.row, b.code) for b in scale.blame] == [(made, "GF302"), (written, "GF302")]


def test_a_buffer_that_is_a_leaf_is_blamed_where_it_is_made_first(
    modules: dict[str, TargetResult],
) -> None:
    weight = modules["Recorder"].parameters[0]
    made, written = row(MODULES, "kept = torch.zeros"), row(MODULES, "kept[0] =")
    assert [(b.row, b.code) for b in weight.blame] == [(made, "GF203"), (written, "GF203")]


def test_what_a_flag_chooses_is_asked_about(modules: dict[str, TargetResult]) -> None:
    """Which of the two losses of a GAN ran depends on a number that was made up."""
    gan = modules["Gan"]
    assert gan.status == "not_verified"
    assert verdicts(gan)["g.weight"] == "inconclusive"
    assert "intended? give a case" in gan.parameters[0].message
    stopped = modules["Stopped"]
    assert (stopped.status, verdicts(stopped)["g.weight"]) == ("failed", "severed")
    assert blamed(stopped) == {(row(MODULES, "self.d(self.g(z).detach())"), "GF304")}


def test_functions_over_tensors_are_driven(functions: dict[str, TargetResult]) -> None:
    """Writing to an input is no fault: the caller's tensor need not be a leaf."""
    assert functions["centred"].status == functions["similarity"].status == "passed"
    assert verdicts(functions["centred"]) == {"a": "ok", "b": "ok"}
    assert functions["centred"].driven_by == "inferred"


def test_the_input_that_gets_no_gradient_and_the_line(functions: dict[str, TargetResult]) -> None:
    assert verdicts(functions["huber"]) == {"pred": "escaped", "target": "escaped"}
    assert blamed(functions["huber"]) == {(row(FUNCTIONS, "err ="), "GF305")}
    assert verdicts(functions["dice"]) == {"pred": "severed", "target": "ok"}
    assert blamed(functions["dice"]) == {(row(FUNCTIONS, "hard ="), "GF306")}
    assert verdicts(functions["product"]) == {"left": "inplace", "right": "inplace"}
    assert (row(FUNCTIONS, "rows = torch.zeros"), "GF203") in blamed(functions["product"])


def test_a_function_that_cannot_be_called_is_not_verified(
    functions: dict[str, TargetResult],
) -> None:
    assert functions["of_words"].status == "not_verified"
    assert "of_words(torch.randn(4, 4)) raises" in str(functions["of_words"].reason)
