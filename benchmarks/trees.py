"""Made-up projects of many small files, some of which hold a fault that `gradfix apply` mends."""

from __future__ import annotations

import json
from pathlib import Path

_SOUND = '''\
"""Block {n}."""

import torch
from torch import nn


class Block{n}(nn.Module):
    """A linear layer, a norm and a shortcut."""

    def __init__(self, width: int = {n}) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input, corrected."""
        y = torch.relu(self.linear(self.norm(x))).clone()
        y[..., 0] = 0
        return x + y * self.scale


def train(model: nn.Module, batches: list[torch.Tensor], rate: float = 0.1) -> float:
    """One epoch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    total = 0.0
    for batch in batches:
        optimizer.zero_grad()
        loss = model(batch).square().mean()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total
'''
_FAULTY = '''

class Mixer{n}(nn.Module):
    """Cuts its Parameters off."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.rand(()))
        self.b = nn.Parameter(torch.rand(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """A weighted sum."""
        w = torch.tensor([self.a, self.b])
        return (w * x).sum()
'''


def source(number: int, *, faulty: bool) -> str:
    """The text of one file; with one fault that has a safe fix, or none."""
    text = _SOUND + _FAULTY if faulty else _SOUND
    return text.replace("{n}", str(number))


def notebook(number: int, *, faulty: bool) -> str:
    """The same as a notebook, its classes and functions in cells of their own."""
    parts = source(number, faulty=faulty).split("\n\n\n")
    cells: list[dict[str, object]] = [
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"cell{at}",
            "metadata": {},
            "outputs": [],
            "source": part.splitlines(keepends=True),
        }
        for at, part in enumerate(parts)
    ]
    whole = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(whole, indent=1) + "\n"


def write(folder: Path, files: int, faulty: int, *, notebooks: int = 0) -> None:
    """Write a project; the faulty files, and the notebooks, are evenly spread over it."""
    for number in range(files):
        below = folder / f"part{number % 10}"
        below.mkdir(parents=True, exist_ok=True)
        wrong = _chosen(number, faulty, files)
        if _chosen(number, notebooks, files):
            (below / f"m{number:04}.ipynb").write_text(notebook(number, faulty=wrong))
        else:
            (below / f"m{number:04}.py").write_text(source(number, faulty=wrong))


def _chosen(number: int, some: int, of: int) -> bool:
    """Whether a number is one of ``some`` that are evenly spread below ``of``."""
    return number * some // of != (number + 1) * some // of
