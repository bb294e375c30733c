"""Watching changes nothing: outputs, gradients and what the generator gives next, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradfix.run.watch import Settings, Watch


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(6, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x @ self.weight) @ self.weight.t()


class Filled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = torch.zeros_like(x)
        for row in range(len(x)):
            out[row] = x[row] * self.scale[row]
        return out.exp_()


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return 2 * gradient * ctx.saved_tensors[0]


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return Square.apply(self.body(x))


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.first, self.body = nn.Linear(6, 6), nn.Sequential(nn.Linear(6, 6), nn.Dropout(0.5))
        self.reentrant = reentrant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(self.body, self.first(x), use_reentrant=self.reentrant)


class StraightThrough(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(6, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.body(x)
        return y + (y.round() - y).detach()


class Recurrent(nn.Module):
    def __init__(self, cell: Callable[..., nn.Module]) -> None:
        super().__init__()
        self.cell = cell(6, 5, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.cell(x[None])[0]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x[None], x[None], x[None])[0]


class Index(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 6, padding_idx=0)
        self.bag = nn.EmbeddingBag(10, 6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        index = (x.abs() * 9).long()
        return self.table(index).sum(1) + self.bag(index)


def image(module: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 2, 3)), module)


def lazy(module: nn.Module) -> nn.Module:
    module(torch.rand(4, 6))
    return module


KINDS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(6, 3),
    "mlp": lambda: nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Dropout(0.3), nn.Linear(8, 2)),
    "bilinear": lambda: nn.Sequential(nn.Linear(6, 6), nn.PReLU(), nn.LayerNorm(6)),
    "conv": lambda: image(nn.Conv2d(1, 3, 2, padding=1)),
    "transposed": lambda: image(nn.ConvTranspose2d(1, 2, 2)),
    "batchnorm": lambda: nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True)),
    "groupnorm": lambda: nn.Sequential(nn.Linear(6, 6), nn.GroupNorm(2, 6)),
    "lstm": lambda: Recurrent(nn.LSTM),
    "gru": lambda: Recurrent(nn.GRU),
    "rnn": lambda: Recurrent(nn.RNN),
    "attention": Attention,
    "transformer": lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True),
    "embedding": Index,
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)),
    "spectral norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 3)),
    "tied": Tied,
    "filled": Filled,
    "custom function": Custom,
    "checkpoint": lambda: Checkpointed(False),
    "checkpoint, reentrant": lambda: Checkpointed(True),
    "straight-through": StraightThrough,
    "lazy": lambda: lazy(nn.Sequential(nn.LazyLinear(4), nn.LazyBatchNorm1d())),
    "double": lambda: nn.Linear(6, 3).double(),
}
Seen = tuple[list[torch.Tensor], torch.Tensor]


def train(make: Callable[[], nn.Module]) -> Seen:
    """Two steps: outputs, gradients, Parameters and buffers, and the generator's next numbers."""
    torch.manual_seed(0)
    module = make()
    dtype = next(module.parameters()).dtype
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    seen = []
    for _ in range(2):
        x = torch.rand(4, 6, dtype=dtype)
        if "Transformer" in type(module).__name__:
            x = x[None]
        optimizer.zero_grad()
        y = module(x)
        (y * torch.rand(y.shape)).sum().backward()
        seen += [y.detach().clone(), *(p.grad.clone() for p in module.parameters())]
        optimizer.step()
    seen += [t.detach() for t in (*module.parameters(), *module.buffers())]
    return seen, torch.rand(3)


def watched(make: Callable[[], nn.Module], steps: int = 3) -> tuple[Seen, Watch]:
    watch = Watch(Settings(steps, "here"), lambda: None)
    watch.start()
    try:
        seen = train(make)
    finally:
        results = watch.finish([])
    assert watch.problems == []
    assert [r.status for r in results] == ["passed"], results
    return seen, watch


def test_there_are_enough_kinds() -> None:
    assert len(KINDS) >= 15


@pytest.mark.parametrize("kind", KINDS)
def test_a_watched_training_is_the_same(kind: str) -> None:
    plain = train(KINDS[kind])
    (seen, drawn), _ = watched(KINDS[kind])
    assert len(seen) == len(plain[0])
    assert all(map(torch.equal, plain[0], seen))
    assert torch.equal(plain[1], drawn)


def doors() -> list[object]:
    return [
        torch.autograd.backward,
        torch.autograd.grad,
        torch.Tensor.backward,
        torch.autograd.Function.__dict__["apply"],
        torch.compile,
        torch.nn.Parameter.__dict__["__new__"],
        torch.nn.Module.__init__,
        torch.nn.Module.__setstate__,
        torch.optim.Optimizer.__init__,
        torch.utils.checkpoint.CheckpointFunction.__dict__["backward"],
    ]


def test_the_doors_are_as_before() -> None:
    before = doors()
    watched(KINDS["linear"])
    assert doors() == before
    assert torch._C._len_torch_function_stack() == 0


def test_after_the_steps_the_program_runs_at_its_own_speed() -> None:
    """What is left then costs something only where modules and Parameters are made."""
    before = doors()
    watch = Watch(Settings(1, "here"), lambda: None)
    watch.start()
    try:
        assert torch._C._len_torch_function_stack() == 1
        train(KINDS["linear"])
        assert torch._C._len_torch_function_stack() == 0
        assert [old is new for old, new in zip(before, doors(), strict=True)][:5] == [True] * 5
    finally:
        watch.finish([])


def test_a_default_device_does_not_mind() -> None:
    """Its mode lies at the bottom of the stack and is changed while the tracer is on it."""

    def train_on(device: str) -> Seen:
        torch.set_default_device(device)
        try:
            with torch.device("cpu"):
                return train(KINDS["mlp"])
        finally:
            torch.set_default_device(None)

    plain = train_on("cpu")
    watch = Watch(Settings(1, "here"), lambda: None)
    watch.start()
    seen = train_on("cpu")
    assert [r.status for r in watch.finish([])] == ["passed"]
    assert all(map(torch.equal, plain[0], seen[0]))
    assert torch._C._len_torch_function_stack() == 0


def test_nothing_is_kept_alive() -> None:
    """A result that the program lets go is freed, traced or not."""
    import weakref

    watch = Watch(Settings(3, "here"), lambda: None)
    watch.start()
    try:
        module = nn.Linear(6, 3)
        with torch.no_grad():
            result = weakref.ref(module(torch.rand(4, 6)))
        assert result() is None
        gone = weakref.ref(module)
        del module
        assert gone() is None
    finally:
        watch.finish([])


class Noisy(torch.Tensor):
    """A subclass that sees every question asked of it."""

    asked: ClassVar[list[str]] = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.asked.append(getattr(func, "__name__", "?"))
        return super().__torch_function__(func, types, args, kwargs or {})


def test_a_tensor_subclass_is_asked_by_the_program_only() -> None:
    def ask() -> list[str]:
        Noisy.asked.clear()
        weight = nn.Parameter(torch.ones(3))
        loss = (torch.ones(3).as_subclass(Noisy) * weight).exp().sum()
        loss.backward()
        assert weight.grad is not None
        return list(Noisy.asked)

    plain = ask()
    watch = Watch(Settings(3, "here"), lambda: None)
    watch.start()
    try:
        seen = ask()
    finally:
        watch.finish([])
    assert watch.problems == []
    assert seen == plain != []
