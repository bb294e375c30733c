"""`assert_grads_flow`: what it raises, what it lets pass, and that it leaves no trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from gradfix.testing import assert_grads_flow


class Base(nn.Module):
    def __init__(self, compute: Callable[..., Any]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5, -1.0]))
        self.v = nn.Parameter(torch.tensor([1.5, 0.25]))
        self.compute = compute

    def forward(self, x: torch.Tensor) -> Any:
        return self.compute(self, x)


def straight_through(m: Any, x: torch.Tensor) -> torch.Tensor:
    y = m.w * x * m.v
    return y + (y.round() - y).detach()


def own_target(m: Any, x: torch.Tensor) -> torch.Tensor:
    y = m.w * x + m.v
    return (y - y.detach()).abs().sum() + y.sum()


RIGHT: dict[str, Callable[..., Any]] = {
    "plain": lambda m, x: m.w * x + m.v,
    "several outputs": lambda m, x: {"a": [m.w * x], "b": m.v},
    "softmax": lambda m, x: torch.softmax(m.w * x + m.v, 0),
    "straight through": straight_through,
    "target of its own": own_target,
}
X = torch.tensor([1.0, 2.0])


@pytest.mark.parametrize("name", RIGHT)
def test_right(name: str) -> None:
    assert_grads_flow(Base(RIGHT[name]), X)


WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "rewrapped": (
        lambda m, x: torch.tensor([m.w[0], m.w[1]]) * x + m.v,
        r"1 Parameter of Base:\n    w \[2\] severed: .*\n.*_grads_flow.py:\d+ .*\[GF301\]",
    ),
    "detached": (lambda m, x: m.w.detach() * x + m.v, r"w \[2\] severed: .*\n.*\[GF304\]"),
    "rounded": (lambda m, x: (m.w * x).round() + m.v, r"w \[2\] zero: .*\n.*\[GF306\]"),
    "unused": (lambda m, x: m.w * x, r"v \[2\] unused: nothing computes with it"),
    "not finite": (lambda m, x: m.w * x + (m.v * 0).sqrt(), r"v \[2\] nonfinite"),
    "half lost": (
        lambda m, x: m.w * x * torch.tensor([m.w[0], m.w[1]]) + m.v,
        r"w \[2\] wrong: along a random direction backward says .*\n.*\[GF301\]",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name: str) -> None:
    compute, said = WRONG[name]
    with pytest.raises(AssertionError, match=said) as raised:
        assert_grads_flow(Base(compute), X)
    assert "gradfix explain" in str(raised.value) or "[GF" not in str(raised.value)


def test_frozen_and_ignored_parameters_are_left_out() -> None:
    model = Base(lambda m, x: m.w * x)
    assert_grads_flow(model, X, ignore=["v"])
    model.v.requires_grad_(False)
    assert_grads_flow(model, X)


def test_a_loss_is_differentiated_instead_of_the_outputs() -> None:
    model = Base(lambda m, x: (m.w * x, m.v * x))
    assert_grads_flow(model, X)
    with pytest.raises(AssertionError, match=r"v \[2\] discarded"):
        assert_grads_flow(model, X, loss=lambda outputs: outputs[0].sum())
    with pytest.raises(AssertionError, match=r"2 Parameters of Base"):
        assert_grads_flow(model, x=X, loss=lambda outputs: torch.tensor(outputs[0].tolist()))


def test_hidden_parameters_are_found() -> None:
    model = Base(lambda m, x: m.w * x + m.v + m.hidden[0])
    model.hidden = [nn.Parameter(torch.rand(2))]
    with pytest.raises(AssertionError, match=r"hidden\[0\] \[2\] unregistered"):
        assert_grads_flow(model, X)


def test_what_the_model_raises_is_raised() -> None:
    with pytest.raises(TypeError):
        assert_grads_flow(Base(RIGHT["plain"]))
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        assert_grads_flow(Base(lambda m, x: m.w.add_(1) * x), X)


def test_it_leaves_no_trace() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Dropout())
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    seeds: list[Any] = []
    for run in (lambda: None, lambda: assert_grads_flow(model, torch.rand(4, 2), ignore=["*"])):
        torch.manual_seed(5)
        random.seed(5)
        np.random.seed(5)
        torch.rand(8)  # as many as the argument takes
        torch.manual_seed(6)
        run() if run.__name__ else None
        random.random()
        seeds.append((random.random(), np.random.rand()))
    assert seeds[0] == seeds[1]
    assert all(bool((p.grad == 7.0).all()) for p in model.parameters() if p.grad is not None)
    assert all(p.grad is not None for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_the_same_draws_follow() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Dropout())
    x = torch.rand(4, 2)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert_grads_flow(model, x)
    assert torch.equal(torch.rand(3), expected)
