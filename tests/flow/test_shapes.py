"""Shapes and element types as the analysis works them out, against torch itself."""

from __future__ import annotations

import importlib.util
import itertools

import pytest

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

import torch

from gradfix import flow
from gradfix.flow import dtypes, shapes
from gradfix.flow.values import Dim, Kind, Role, Shape, Value, foreign, number

SHAPES: list[tuple[int, ...]] = [
    (), (1,), (3,), (4,), (1, 1), (3, 1), (1, 4), (3, 4), (2, 3, 4), (2, 1, 4), (5, 1, 3, 1), (0,),
    (3, 0),
]  # fmt: skip
TWO = list(itertools.product(SHAPES, SHAPES))


def fits(said: Shape | None, real: tuple[int, ...]) -> bool:
    """Whether nothing that is said contradicts the real shape."""
    return said is None or (
        len(said) == len(real) and all(a is None or a == b for a, b in zip(said, real, strict=True))
    )


@pytest.mark.parametrize(("a", "b"), TWO, ids=str)
def test_broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    said = shapes.broadcast(a, b)
    try:
        real = tuple(torch.broadcast_shapes(a, b))
    except RuntimeError:
        return  # the program raises, whatever is said
    assert said == real
    assert shapes.broadcast(b, a) == said


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        (("n",), ("n",), ("n",)),
        (("n",), (1,), ("n",)),
        (("n",), (3,), (3,)),
        (("n",), ("m",), (None,)),
        ((None,), (1,), (None,)),
        ((None,), (3,), (3,)),
        (("n", 2), (2,), ("n", 2)),
        (None, (2,), None),
    ],
)
def test_broadcast_of_symbols(a: Shape | None, b: Shape | None, both: Shape | None) -> None:
    assert shapes.broadcast(a, b) == shapes.broadcast(b, a) == both


@pytest.mark.parametrize(("a", "b"), TWO, ids=str)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    try:
        real = tuple((torch.ones(a) @ torch.ones(b)).shape)
    except RuntimeError:
        return
    assert shapes.matmul(a, b) == real


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dims", [(0,), (1,), (-1,), (0, 1), (0, -1), (1, 2)], ids=str)
def test_reduce(shape: tuple[int, ...], keepdim: bool, dims: tuple[int, ...]) -> None:
    said = shapes.reduce(shape, dims, keepdim)
    try:
        real = tuple(torch.ones(shape).sum(dims, keepdim=keepdim).shape)
    except (IndexError, RuntimeError):
        return
    assert fits(said, real)
    assert said is not None or not shape


def test_reduce_everything() -> None:
    assert shapes.reduce((2, 3), None, False) == () == shapes.reduce(None, None, False)


INDICES = ["0", "-1", ":", "1:", ":2", "::2", "::3", "-2:", "1:-1", "None", "...", "5:", "-9:9"]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_index(shape: tuple[int, ...]) -> None:
    tensor = torch.ones(shape)
    count = 0
    for index in [*INDICES, *map(", ".join, itertools.product(INDICES, INDICES))]:
        try:
            real = tuple(eval(f"x[{index}]", {"x": tensor}).shape)
        except (IndexError, RuntimeError):
            continue
        facts = flow.analyse(f"import torch\nx = torch.ones({shape})\ny = x[{index}]\n")
        (said,) = [d.value.shape for d in facts.scopes[0].definitions if d.name == "y"]
        count += 1
        assert said == real, index
    assert count


@pytest.mark.parametrize("shape", [s for s in SHAPES if 0 not in s], ids=str)
@pytest.mark.parametrize("wanted", [(-1,), (1, -1), (-1, 1), (3, -1), (-1, 2, 3), (6, 4), (24,)])
def test_view(shape: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    try:
        real = tuple(torch.ones(shape).view(wanted).shape)
    except RuntimeError:
        return
    assert shapes.view(shape, wanted) == real


@pytest.mark.parametrize(
    ("shape", "wanted", "said"),
    [
        (("n",), (-1,), ("n",)),
        (("n", 3), (-1,), (None,)),
        (None, (2, -1), (2, None)),
        (None, (2, 3), (2, 3)),
        ((6,), ("n", -1), ("n", None)),
        ((6,), None, None),
    ],
)
def test_view_of_symbols(shape: Shape | None, wanted: Shape | None, said: Shape | None) -> None:
    assert shapes.view(shape, wanted) == said


def test_sizes_and_counts() -> None:
    assert shapes.numel((2, 3)) == 6 and shapes.numel(()) == 1
    assert shapes.numel((2, "n")) is None and shapes.numel(None) is None
    assert shapes.equal((2, "n"), (2, "n")) and not shapes.equal((2, None), (2, None))
    assert shapes.sizes([number(2), number(symbol="n")]) == (2, "n")
    assert shapes.sizes([foreign()]) is None


@pytest.mark.parametrize("size", range(5))
def test_the_length_of_a_slice(size: int) -> None:
    bounds = [None, *range(-3, 4)]
    for lower, upper, step in itertools.product(bounds, bounds, [None, 1, 2, 3]):
        parts = [None if bound is None else number(bound) for bound in (lower, upper, step)]
        real = len(range(size)[lower:upper:step])
        assert shapes.length_of_slice(size, *parts) == real
        said: Dim = shapes.length_of_slice("n", *parts)
        assert said == "n" if (lower, upper, step) == (None, None, None) else said is None


# -- operations ---------------------------------------------------------------------------------

EXPRESSIONS = """
x.sum() | x.sum(0) | x.sum(-1, keepdim=True) | x.mean(1) | x.mean((0, 1)) | x.max() | x.max(1)[0]
x.amax(0) | x.std() | x.argmax() | x.argmax(1) | x.argmax(0, keepdim=True) | x.any() | x.all(1)
x.norm() | x.norm(dim=1) | x.var(0) | x.prod() | x.prod(1) | x.cumsum(0) | x.logsumexp(1)
x.median() | x.mode(1)[0] | x.sort(1)[0] | x.topk(2, 1)[0] | x + v | x * 2 | x / v | x ** 2
x - x | 2 - x | x // 2 | x % 2 | x > 0 | x == x | -x | x @ x.t() | x.T @ x | v @ v | x @ v
torch.stack([x, x]) | torch.stack([x, x], 1) | torch.stack([x, x], dim=-1) | torch.cat([x, x])
torch.cat([x, x], -1) | torch.cat((v, v)) | torch.where(x > 0, x, v) | torch.maximum(x, v)
x.clamp(0, 1) | x.unsqueeze(0) | x.unsqueeze(-1) | x.unsqueeze(1) | x[None].squeeze(0)
x.squeeze() | x.squeeze(0) | x.t() | x.T | x.transpose(0, 1) | x.permute(1, 0) | x.flatten()
torch.flatten(x) | x.flatten(1) | x.view(-1) | x.view(2, -1) | x.reshape(4, 3) | x.expand(2, 3, 4)
v.expand(3, 4) | v.expand(3, -1) | x.repeat(2, 1) | x.tile(2) | x.flip(0) | x.roll(1)
x.chunk(2, 1)[0] | x.split(2, 1)[0] | x.unbind(1)[0] | x.narrow(1, 0, 2) | x.select(0, 1)
x.diag() | x.exp() | x.log() | x.sqrt() | x.abs() | x.sigmoid() | x.tanh() | x.relu()
x.softmax(0) | x.log_softmax(-1) | F.softplus(x) | F.relu(x) | F.gelu(x) | F.softmax(x, dim=1)
F.normalize(x) | F.mse_loss(x, x) | F.dropout(x, 0.1) | F.mse_loss(x, x, reduction="none")
F.linear(x, w) | F.linear(x, w, None) | nn.Linear(4, 7)(x) | F.pad(x, (1, 1)) | F.one_hot(i)
F.embedding(i, x) | F.cross_entropy(x, i) | F.cross_entropy(x, i, reduction="none")
torch.zeros(2) | torch.zeros(2, 3) | torch.zeros((2, 3)) | torch.zeros([2]) | torch.zeros(())
torch.ones(x.shape) | torch.zeros(x.size()) | torch.zeros(x.size(0), 2) | torch.zeros(len(x))
torch.zeros(x.shape[-1]) | torch.zeros(*x.shape) | torch.zeros(size=(2, 3))
torch.full((2, 3), 1.0) | torch.full((2,), 1) | torch.eye(3) | torch.eye(2, 3) | torch.arange(5)
torch.arange(1, 5) | torch.arange(0, 5, 2) | torch.arange(5.0) | torch.arange(2.5)
torch.linspace(0, 1, 5) | torch.rand(2, 3) | torch.randn(2) | torch.randint(5, (2, 3))
torch.randint(0, 5, (2,)) | torch.zeros_like(x) | torch.rand_like(x) | torch.zeros_like(i)
torch.empty_like(x, dtype=torch.int) | x.new_zeros(2) | x.new_zeros(2, 3) | x.new_tensor([1, 2])
x.new_full((2,), 1.0) | torch.tensor(1) | torch.tensor([1.0, 2]) | torch.tensor([[1], [2]])
torch.tensor([]) | torch.tensor([True]) | torch.tensor(x.tolist()) | torch.as_tensor([1, 2])
torch.tensor([x[0, 0], 1.0]) | torch.tensor([len(x)]) | torch.Tensor(2, 3) | torch.Tensor([1, 2])
x.double() | x.long() | x.float() | x.half() | x.bool() | x.to(torch.float64) | x.to(i)
x.type(torch.int32) | x.int() | x.to("cpu") | x.cpu() | i.float() | i * 1.0 | i + 1 | i / 2
i * x[:, :3] | i.sum() | i > 0 | i // 2 | i.double() * x[:, :3] | x.double() * 2 | x.double() + x
x.half() + x.half() | i.sqrt() | i.float().mean() | (x > 0).sum() | (x > 0).float() | ~(x > 0)
i.max() | (x > 0) * 2 | (x > 0) * x | (x > 0) & (x < 1) | i.clamp(0, 1) | i.abs() | -i | i ** 2
x.round() | x.sign() | i.prod() | torch.stack([i, i]) | torch.cat([i, i])
torch.where(x > 0, 1.0, 0.0) | torch.where(i > 0, i, i) | i.cumsum(0) | x.detach() | x.data
x.clone() | x.contiguous() | torch.einsum("ij->j", x) | torch.outer(v, v) | torch.dot(v, v)
torch.mm(x, x.t()) | torch.mv(x, v) | torch.bmm(x[None], x.t()[None]) | torch.addmm(x, x, x.T @ x)
x[0] | x[:, 0] | x[1:] | x[..., -1] | x[i] | x[x > 0] | x[[0, 1]] | x[:, [0]] | x[0, i] | x[i, 0]
x[None] | x[:, None] | x[i, i] | x[torch.tensor(0)] | x[True] | x[0:2, 1] | x[-1][0] | x[:, ::2]
x.index_select(0, i) | x.gather(0, i[None]) | x.masked_fill(x > 0, 0) | x.mul(2) | x.add(v)
torch.add(x, 1) | torch.mul(2, x) | x.lerp(x, 0.5) | torch.pow(2, x) | torch.pow(x, 2)
torch.rsub(x, 1) | x.real | x.mT | x.H | x.unfold(0, 2, 1) | x.diff() | x.nan_to_num() | x.isnan()
x.fmod(2) | x.nonzero() | x.unique() | x.triu() | torch.logical_and(x, x)
torch.meshgrid(v, v, indexing="ij")[0] | torch.cdist(x, x) | torch.broadcast_to(v, (3, 4))
torch.atleast_2d(v) | torch.hstack([v, v]) | torch.vstack([v, v]) | torch.concat([v, v])
torch.column_stack([v, v])
""".strip().replace("\n", " | ").split(" | ")  # fmt: skip
START = """\
import torch
import torch.nn.functional as F
from torch import nn
x = torch.rand(3, 4)
v = torch.rand(4)
w = torch.rand(7, 4)
i = torch.tensor([0, 1, 2])
"""
#: How many of the expressions below the analysis must know, so that it cannot pass by silence.
KNOWN = {"shape": 0.75, "dtype": 0.9}


def analysed(expression: str) -> Value:
    facts = flow.analyse(f"{START}y = {expression}\n")
    (value,) = [d.value for d in facts.scopes[0].definitions if d.name == "y"]
    return value


def in_torch(expression: str) -> torch.Tensor:
    space: dict[str, object] = {}
    torch.manual_seed(0)
    exec(f"{START}y = {expression}\n", space)
    result = space["y"]
    assert isinstance(result, torch.Tensor)
    return result


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_no_operation_is_misjudged(expression: str) -> None:
    said, real = analysed(expression), in_torch(expression)
    assert said.kind in (Kind.TENSOR, Kind.UNKNOWN)
    assert fits(said.shape, tuple(real.shape))
    if said.dtype is not None:
        name = "float32" if said.dtype == "default" else said.dtype
        assert real.dtype is getattr(torch, name)
    assert said.role & (Role.TRACKED if real.requires_grad else Role.UNTRACKED) or (
        said.role & Role.UNKNOWN
    )


@pytest.mark.parametrize("fact", KNOWN)
def test_most_operations_are_known(fact: str) -> None:
    known = sum(getattr(analysed(expression), fact) is not None for expression in EXPRESSIONS)
    assert known / len(EXPRESSIONS) > KNOWN[fact]


# -- element types ------------------------------------------------------------------------------

DTYPES = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 default".split()
OPERANDS = [
    *(Value(Kind.TENSOR, Role.UNTRACKED, shape=(2,), dtype=dtype) for dtype in DTYPES),
    number(1),
    number(1.5),
    number(True),
]


def sample(operand: Value) -> torch.Tensor | float:
    if operand.kind is Kind.NUMBER:
        assert isinstance(operand.const, (int, float))
        return operand.const
    assert operand.dtype is not None
    return torch.ones(
        2, dtype=None if operand.dtype == "default" else getattr(torch, operand.dtype)
    )


@pytest.mark.parametrize("a", OPERANDS, ids=lambda value: value.dtype or repr(value.const))
def test_promotion(a: Value) -> None:
    for b in OPERANDS:
        if not a.is_tensor and not b.is_tensor:
            continue
        said = dtypes.promote([a, b])
        real = (sample(a) * sample(b)).dtype  # type: ignore[union-attr]
        if said is not None:
            assert real is getattr(torch, "float32" if said == "default" else said), (a, b)
        if a.dtype == b.dtype:
            assert said == a.dtype


def test_promotion_with_something_unknown() -> None:
    assert dtypes.promote([OPERANDS[0], Value()]) is None
    assert dtypes.promote([OPERANDS[0], Value(Kind.TENSOR)]) is None


@pytest.mark.parametrize(
    "name", ["float", "double", "half", "long", "int", "short", "char", "byte"]
)
def test_names_of_types(name: str) -> None:
    if name in ("char", "byte"):
        assert dtypes.named(name) == {"char": "int8", "byte": "uint8"}[name]
    else:
        assert getattr(torch, dtypes.named(name) or "") is getattr(torch, name)
    assert dtypes.named("no_such_type") is None
