#!/usr/bin/env python3
"""What a traced training step costs, as a multiple of the same step without `gradfix run`.

Forward and backward of three models, small to large. Plain and traced steps take turns in this one
process, so that a busy machine slows both down; the median of the paired ratios is printed.

    python benchmarks/tracer_overhead.py [--rounds 15]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

from gradfix.run.watch import Settings, Watch

#: What is aimed at: traced / plain.
GOALS = {"mlp": 4.0, "resnet": 1.15, "transformer": 1.15}


class Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The input, corrected."""
        return torch.relu(x + self.body(x))


def models() -> dict[str, tuple[nn.Module, torch.Tensor, int]]:
    """A model, an input, and how many steps one measurement takes."""
    mlp = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 1))
    resnet = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), *(Residual(64) for _ in range(6)), nn.Conv2d(64, 10, 1)
    )
    layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.0, batch_first=True)
    transformer = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
    return {
        "mlp": (mlp, torch.rand(32, 8), 20),
        "resnet": (resnet, torch.rand(8, 3, 32, 32), 1),
        "transformer": (transformer, torch.rand(8, 64, 256), 1),
    }


def seconds(step: Callable[[], None], count: int) -> float:
    """Time of some steps."""
    started = time.perf_counter()
    for _ in range(count):
        step()
    return (time.perf_counter() - started) / count


def measure(name: str, model: nn.Module, x: torch.Tensor, count: int, rounds: int) -> None:
    """Let plain and traced steps take turns, and print the ratio."""

    def step() -> None:
        model.zero_grad(set_to_none=True)
        model(x).square().mean().backward()

    plain, ratios = [], []
    for number in range(rounds + 2):
        before = seconds(step, count)
        watch = Watch(Settings(1_000_000, name), lambda: None)
        watch.start()
        traced = seconds(step, count)
        watch.finish([])
        if watch.problems:
            raise SystemExit(watch.problems[0])
        if number > 1:  # the first two warm up
            plain.append(before)
            ratios.append(traced / before)
    print(
        f"{name}: {statistics.median(plain) * 1e3:.2f} ms plain, traced / plain"
        f" {statistics.median(ratios):.2f} (quartiles {_quartiles(ratios)}), goal {GOALS[name]}"
    )


def _quartiles(values: list[float]) -> str:
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low:.2f} to {high:.2f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for name, (model, x, count) in models().items():
        measure(name, model, x, count, options.rounds)


if __name__ == "__main__":
    main()
