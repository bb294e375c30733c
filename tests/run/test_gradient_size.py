"""How large a gradient is: as the norm says, at a small part of its price."""

from __future__ import annotations

import math

import pytest
import torch

from gradfix.run.episode import _largest

GRADIENTS = {
    "positive": torch.tensor([0.5, 2.0]),
    "negative": torch.tensor([[0.5], [-2.0]]),
    "zero": torch.zeros(3),
    "infinite": torch.tensor([1.0, -math.inf]),
    "half": torch.tensor([0.1, -0.7], dtype=torch.bfloat16),
    "complex": torch.tensor([3.0 + 4.0j]),
    "number": torch.tensor(-3.0),
}


@pytest.mark.parametrize("gradient", GRADIENTS.values(), ids=list(GRADIENTS))
def test_the_largest_magnitude_is_that_of_the_norm(gradient: torch.Tensor) -> None:
    assert _largest(gradient) == float(torch.linalg.vector_norm(gradient, math.inf))


def test_a_gradient_with_nan_says_so() -> None:
    assert math.isnan(_largest(torch.tensor([1.0, math.nan, -3.0])))


def test_a_sparse_gradient_is_asked_for_its_values() -> None:
    assert _largest(torch.tensor([[0.0, -5.0], [1.0, 0.0]]).to_sparse()) == 5.0
    assert _largest(torch.zeros(2, 2).to_sparse()) == 1.0
