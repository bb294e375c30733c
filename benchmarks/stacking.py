#!/usr/bin/env python3
"""What `gradfix apply` gains where it turns a buffer that is filled slot by slot into a stack.

A Module fills n rows of 64 floats, in a loop or line by line; gradfix rewrites its source, and the
forward and backward passes of both take turns on one thread. Autograd keeps one copy of the whole
buffer for every write, so filling is quadratic in n, and stacking linear.

    python -m benchmarks.stacking [--most 4096] [--rounds 5] [--svg docs/stacking.svg]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measuring import Cost, Ratio, cpu_of, exponent, of_call, ratio, turns
from gradfix import config, engine
from gradfix.model import Source

#: gradfix writes no more slots than these out.
WRITTEN_OUT = 64

_HEAD = """\
import torch
from torch import nn


class Filling(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(64))

    def forward(self):
        rows = torch.zeros({n}, 64)
"""
_TAIL = "        return rows.square().sum()\n"


def in_a_loop(count: int) -> str:
    """A Module that fills its buffer in a loop."""
    loop = f"        for i in range({count}):\n            rows[i] = torch.tanh(self.w * i)\n"
    return _HEAD.format(n=count) + loop + _TAIL


def line_by_line(count: int) -> str:
    """A Module that fills its buffer with a line for every slot."""
    lines = "".join(f"        rows[{n}] = torch.tanh(self.w * {n})\n" for n in range(count))
    return _HEAD.format(n=count) + lines + _TAIL


def rewritten(text: str) -> str:
    """What gradfix makes of a source, safe fixes only."""
    outcome = engine.fix(Source("filling.py", text), config.settings_from())
    if not outcome.changed or outcome.findings:
        raise SystemExit(f"not rewritten: {outcome.findings} {outcome.failures}")
    return outcome.text


def module_of(text: str) -> torch.nn.Module:
    """The Module of a source, always with the same Parameter."""
    names: dict[str, type[torch.nn.Module]] = {}
    exec(compile(text, "filling.py", "exec"), names)
    torch.manual_seed(0)
    return names["Filling"]()


def step(module: torch.nn.Module, repeats: int) -> Callable[[], Cost]:
    """Forward and backward, so many times."""

    def once() -> None:
        for _ in range(repeats):
            module.zero_grad()
            module().backward()

    return lambda: of_call(once)


def compared(text: str, repeats: int, rounds: int) -> tuple[float, float, Ratio]:
    """Seconds of a step before and after the rewrite, and their ratio."""
    before, after = module_of(text), module_of(rewritten(text))
    works = {"fill": step(before, repeats), "stack": step(after, repeats)}
    turns(works, 1)  # warms up
    (one,), (two,) = before.parameters(), after.parameters()
    assert one.grad is not None and two.grad is not None
    torch.testing.assert_close(one.grad, two.grad)
    taken = turns(works, rounds)
    fill, stack = (cpu_of(taken[name]) / repeats for name in works)
    return fill, stack, ratio(taken["fill"], taken["stack"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--most", type=int, default=4096, help="slots")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    lines = {}
    for name, made, most in (
        ("in a loop", in_a_loop, options.most),
        ("line by line", line_by_line, min(options.most, WRITTEN_OUT)),
    ):
        counts = [4**power for power in range(1, 7) if 4**power <= most]
        fills, stacks = [], []
        for count in counts:
            repeats = max(1, 512 // count)
            fill, stack, faster = compared(made(count), repeats, options.rounds)
            fills.append(fill)
            stacks.append(stack)
            print(
                f"{name}, {count} slots: fill {fill * 1e3:.2f} ms, stack {stack * 1e3:.2f} ms,"
                f" fill / stack {faster}",
                flush=True,
            )
        print(
            f"{name}: exponent of the last three sizes: fill"
            f" {exponent(counts[-3:], fills[-3:]):.2f}, stack"
            f" {exponent(counts[-3:], stacks[-3:]):.2f}"
        )
        lines[f"filled {name}"] = (counts, fills)
        lines[f"stacked, from {name}"] = (counts, stacks)
    if options.svg is not None:
        from benchmarks import plots

        title = "forward and backward of n rows of 64 floats, before and after the rewrite"
        plots.growth(options.svg, lines, title=title, across="n", up="s", powers=(1, 2))


if __name__ == "__main__":
    main()
