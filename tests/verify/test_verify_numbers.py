"""The numbers: known gradients, and what finite differences say about them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn
from verify_helpers import results_of

from gradfix.verify.drive import Prepared, reseed
from gradfix.verify.numeric import NumericError, Probe, compare
from gradfix.verify.outputs import outputs_of, project

HIGH, LOW = torch.tensor([2.0, 4.0, 2.0]), torch.tensor([1.0, 2.0, 0.0])


class Note(nn.Module):
    """Two free values, a third that depends on them; denormalise, take the ratio, normalise."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.paramm = nn.Parameter(torch.rand(2))

    def ratio(self, k: torch.Tensor) -> torch.Tensor:
        return k

    def forward(self) -> torch.Tensor:
        free = self.paramm * (HIGH - LOW)[:2] + LOW[:2]
        both = torch.stack([free[0], free[1], self.ratio(free[0] / free[1])])
        return (both - LOW) / (HIGH - LOW)


class Detached(Note):
    def ratio(self, k: torch.Tensor) -> torch.Tensor:
        return k.detach()


def prepared(cls: type[nn.Module], *args: torch.Tensor) -> Callable[[], Prepared]:
    return lambda: Prepared(cls(), tuple(a.clone() for a in args))


def test_the_ratio_gets_its_share() -> None:
    module = Note()
    out = module()
    assert torch.allclose(out, torch.tensor([0.4963, 0.7682, 0.2115]), atol=1e-4)
    torch.autograd.backward(out.sum())
    assert module.paramm.grad is not None
    assert torch.allclose(module.paramm.grad, torch.tensor([1.1414, 0.8804]), atol=1e-4)
    found = compare(prepared(Note), 0)
    assert (found.right, found.wrong, found.unclear) == ({"paramm"}, {}, {})


def test_a_detached_ratio_is_wrong_though_there_is_a_gradient() -> None:
    module = Detached()
    torch.autograd.backward(module().sum())
    assert module.paramm.grad is not None
    assert torch.allclose(module.paramm.grad, torch.ones(2))
    found = compare(prepared(Detached), 0)
    expected, got = found.wrong["paramm"]
    assert abs(expected - got) > 0.01
    assert found.right == set()


class Mixed(nn.Module):
    """Many right Parameters and a wrong one among them."""

    def __init__(self) -> None:
        super().__init__()
        self.good = nn.ParameterList([nn.Parameter(torch.rand(3)) for _ in range(9)])
        self.bad = nn.Parameter(torch.rand(3))

    def forward(self) -> torch.Tensor:
        return sum((torch.sin(p) for p in self.good), self.bad * self.bad.detach())


def test_bisecting_finds_the_one() -> None:
    found = compare(prepared(Mixed), 0)
    assert set(found.wrong) == {"bad"}
    assert found.right == {f"good.{i}" for i in range(9)}


class Relu(nn.Module):
    """Starts exactly on the kink."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(4))

    def forward(self) -> torch.Tensor:
        return torch.relu(self.w)


def test_a_kink_is_stepped_aside_from() -> None:
    found = compare(prepared(Relu), 0)
    assert (found.right, found.wrong, found.unclear) == ({"w"}, {}, {})


class Staircase(nn.Module):
    """Jumps at every step that finite differences could take."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(4))

    def forward(self) -> torch.Tensor:
        jumps = torch.floor(self.w.detach() * 1e9) % 2
        return self.w + jumps


def test_jumps_are_unclear_never_wrong() -> None:
    found = compare(prepared(Staircase), 0)
    assert found.wrong == {}
    assert set(found.unclear) == {"w"}


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(4))
        self.own = torch.Generator()
        self.own.seed()

    def forward(self) -> torch.Tensor:
        return self.w * torch.rand(4, generator=self.own)

    def __deepcopy__(self, memo: object) -> Noisy:
        return Noisy()


def test_noise_of_its_own_is_nothing_to_compare() -> None:
    with pytest.raises(NumericError, match="differ"):
        compare(prepared(Noisy), 0)


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin = nn.Linear(6, 6)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return nn.functional.dropout(self.lin(x), 0.5) * self.calls


def test_dropout_and_counters_start_over_for_each_run() -> None:
    found = compare(prepared(Dropping, torch.randn(3, 6)), 0)
    assert found.right == {"lin.weight", "lin.bias"}


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.rand(4))

    def forward(self) -> torch.Tensor:
        if self.w.dtype == torch.float64:
            raise TypeError("single precision only")
        return self.w


def test_code_that_refuses_float64_is_said_so() -> None:
    with pytest.raises(NumericError, match="single precision only"):
        compare(prepared(Broken), 0)


def test_projection_sees_what_a_sum_hides() -> None:
    logits = torch.rand(5, requires_grad=True)
    (of_sum,) = torch.autograd.grad(logits.softmax(0).sum(), logits)
    (of_projection,) = torch.autograd.grad(project([logits.softmax(0)], 0), logits)
    assert of_sum.abs().max() < 1e-6 < 1e-2 < of_projection.abs().max()


def test_outputs_are_found_in_containers_once() -> None:
    shared = torch.rand(2)
    result = {"a": [shared, (torch.rand(1), None)], "b": shared, "c": "text"}
    assert [t.shape[0] for t in outputs_of(result)] == [2, 1]


def test_seeds_cover_python_numpy_and_torch() -> None:
    import random

    import numpy

    def draw() -> tuple[float, float, float]:
        return random.random(), float(numpy.random.rand()), float(torch.rand(()))

    reseed(3)
    first = draw()
    reseed(3)
    assert draw() == first


def test_an_action_drawn_at_random_is_no_severed_gradient(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text("""
import torch
from torch import nn
from torch.distributions import Normal

class Policy(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = nn.Linear(4, 2)
        self.log_std = nn.Parameter(torch.zeros(2))
    def forward(self, state):
        return Normal(self.mean(state), self.log_std.exp()).sample()

class Reparametrised(Policy):
    def forward(self, state):
        return Normal(self.mean(state), self.log_std.exp()).rsample()

class Cut(Policy):
    def forward(self, state):
        with torch.no_grad():
            mean = self.mean(state)
        return Normal(mean, self.log_std.exp()).rsample() + mean
""")
    found = results_of(path)
    assert found["Policy"].status == "not_verified"
    assert "drawn at random" in str(found["Policy"].reason)
    assert found["Reparametrised"].status == "passed"
    assert found["Cut"].status == "failed"


def test_a_run_that_would_end_too_late_is_not_begun() -> None:
    lin = nn.Linear(2, 1)
    probe = Probe(lambda: Prepared(lin, (torch.ones(2, 2),)), 0, False)
    probe.value({}, 0.0)
    probe.took, probe.deadline = 9.0, time.monotonic() + 5.0
    with pytest.raises(NumericError, match="time limit"):
        probe.value({}, 0.0)
