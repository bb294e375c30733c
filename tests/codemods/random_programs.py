"""Random small programs over a few leaves: what a rewrite must not change, on code nobody wrote.

`program` writes one; `outcome` runs it and gives its values, and its gradients or the reason why
backward raises. The vocabulary is what the codemods rewrite: fills, in-place writes, views, copies.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch

_HEAD = """\
import torch
import torch.nn.functional as F
from torch import nn

def run():
    torch.manual_seed(0)
    w = nn.Parameter(torch.rand(4) + 0.5)
    m = nn.Parameter(torch.rand(3, 4) + 0.5)
    s = nn.Parameter(torch.tensor(0.7))
    leaves = [w, m, s]
"""
_BUFFERS = (
    "torch.zeros(4)",
    "torch.zeros([4])",
    "torch.ones(4)",
    "torch.zeros_like(w)",
    "w.new_zeros(4)",
    "torch.full((4,), 2.0)",
    "torch.zeros(4, dtype=torch.float32)",
    "torch.zeros(4, requires_grad=True)",
)


class _Writer:
    """Writes one program; every statement may use what the ones before it bound."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.vectors, self.matrices, self.scalars = ["w"], ["m"], ["s"]

    def one_of(self, *choices: str) -> str:
        return self.random.choice(choices)

    def scalar(self) -> str:
        v = self.one_of(*self.vectors)
        at = self.random.randrange(-4, 4)
        function = self.one_of("exp", "sigmoid", "sin", "tanh")
        other = f"{self.one_of(*self.vectors)}[{self.random.randrange(4)}]"
        return self.one_of(
            f"{v}[{at}]",
            self.one_of(*self.scalars),
            f"{v}.{self.one_of('sum', 'mean')}()",
            f"torch.{function}({v}[{at}])",
            f"({v}[{at}] {self.one_of(*'+-*/')} {other})",
        )

    def vector(self) -> str:
        v, m = self.one_of(*self.vectors), self.one_of(*self.matrices)
        return self.one_of(
            f"{v} {self.one_of(*'+-*/')} {self.one_of(*self.vectors, '2.0')}",
            f"torch.{self.one_of('exp', 'sigmoid', 'relu', 'sqrt', 'tanh', 'abs')}({v})",
            f"{m}[{self.random.randrange(3)}]",
            f"{m}.{self.one_of('sum', 'mean')}(0)",
            f"{v}.clone()",
            f"F.softmax({v}, dim=0)",
            f"{v} / {v}.{self.one_of('norm', 'std', 'sum', 'max')}()",
        )

    def fill(self, name: str) -> None:
        slots = list(range(4))
        if self.random.random() < 0.5:
            self.random.shuffle(slots)
        if self.random.random() < 0.4:
            slots = slots[:3]
        if self.random.random() < 0.1:
            slots.append(slots[0])
        self.lines.append(f"{name} = {self.one_of(*_BUFFERS)}")
        if self.random.random() < 0.15:
            part = f"{self.one_of(*self.vectors)}[i] * {self.scalar()}"
            self.lines += ["for i in range(4):", f"    {name}[i] = {part}"]
            slots = []
        for slot in slots:
            part = self.scalar() if self.random.random() < 0.85 else self.one_of("1", "0.5")
            at = slot if self.random.random() < 0.8 else slot - 4
            self.lines.append(f"{name}[{at}] = {part}" + self.one_of("", "", f"  # slot {slot}"))
            if self.random.random() < 0.07:
                self.lines.append(f"read_{name} = {name} * 2")
                self.vectors.append(f"read_{name}")
        self.vectors.append(name)

    def write(self) -> None:
        computed = [v for v in self.vectors if v != "w"]
        v = self.one_of(*(computed or ["w"]))
        method = self.one_of("mul_(2)", "add_(1)", "relu_()", "exp_()", "clamp_(min=0.1)")
        right = self.one_of("2.0", self.one_of(*self.vectors), self.scalar())
        self.lines.append(
            self.one_of(
                f"{v}[{self.random.randrange(4)}] = {self.scalar()}",
                f"{v} {self.one_of(*'+-*/')}= {right}",
                f"{v}.{method}",
                f"{v}[:2] = {self.one_of(*self.vectors)}[2:] * {self.scalar()}",
                f"{v}[1:3] *= {self.scalar()}",
            )
        )

    def statement(self, number: int) -> None:
        kind = self.random.random()
        if kind < 0.3:
            self.lines.append(f"v{number} = {self.vector()}")
            self.vectors.append(f"v{number}")
        elif kind < 0.4:
            self.lines.append(f"c{number} = {self.scalar()}")
            self.scalars.append(f"c{number}")
        elif kind < 0.62:
            self.fill(f"b{number}")
        elif kind < 0.7:
            self.lines.append(f"t{number} = torch.zeros(3, 4)")
            for row in self.random.sample(range(3), 3):
                self.lines.append(f"t{number}[{row}] = {self.one_of(*self.vectors)} * 2")
            self.matrices.append(f"t{number}")
        elif kind < 0.86:
            self.write()
        elif kind < 0.92:
            self.lines.append(f"a{number} = {self.one_of(*self.vectors)}[:]")
            self.vectors.append(f"a{number}")
        else:
            v = self.one_of(*self.vectors)
            self.lines.append(f"{v} = {v} * {self.scalar()}")

    def text(self) -> str:
        for number in range(self.random.randrange(4, 10)):
            self.statement(number)
        computed = [v for v in dict.fromkeys(self.vectors) if v != "w"] or ["w * 1"]
        results = self.random.sample(computed, min(3, len(computed)))
        body = "".join(f"    {line}\n" for line in self.lines)
        last = self.one_of(*self.matrices)
        return f"{_HEAD}{body}    return [{', '.join(results)}, {last} * 1], leaves\n"


def program(seed: int) -> str:
    """The source text of the program with this number."""
    return _Writer(seed).text()


@dataclass(frozen=True)
class Result:
    """What a program did: an error while it ran, or values, and gradients or backward's error."""

    error: str | None = None
    values: tuple[torch.Tensor, ...] = ()
    gradients: tuple[torch.Tensor | None, ...] | None = None
    backward_error: str | None = None


def outcome(text: str) -> Result:
    """Run a program and differentiate a fixed projection of its results."""
    namespace: dict[str, object] = {}
    exec(compile(text, "program", "exec"), namespace)
    try:
        results, leaves = namespace["run"]()  # type: ignore[operator]
    except RuntimeError as error:
        return Result(error=str(error))
    values = tuple(result.detach().clone() for result in results)
    generator = torch.Generator().manual_seed(1)
    total = sum((r * torch.rand(r.shape, generator=generator)).sum() for r in results)
    try:
        gradients = torch.autograd.grad(total, leaves, allow_unused=True)
    except RuntimeError as error:
        return Result(values=values, backward_error=str(error))
    return Result(values=values, gradients=gradients)
