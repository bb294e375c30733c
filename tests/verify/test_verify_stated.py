"""Inputs by what the code says about them: docstrings, its own checks, errors that name a size."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from verify_helpers import results_of

from gradfix.verify.compared import compared, lacks_value, ranks_compared
from gradfix.verify.documented import documented, sizes
from gradfix.verify.guess import Spec, for_state
from gradfix.verify.mend import repaired_constructor
from gradfix.verify.repair import repairs
from gradfix.verify.results import TargetResult
from gradfix.verify.settings import VerifySettings

SOURCE = '''
import torch
from torch import nn

class Attention(nn.Module):
    """Only the docstring tells which sizes the inputs share."""
    def __init__(self, width=12):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(width, width))
    def forward(self, keys, tags, query):
        """
        Args:
            keys (torch.Tensor): what is looked at, (batch, places, width)
            tags: batch x 7 x places
            query: [batch, 7, width]
        """
        scores = query @ self.weight @ keys.transpose(1, 2)
        if scores.shape != tags.shape:
            raise RuntimeError("no")
        return (scores + tags).softmax(-1) @ keys

class Merge(nn.Module):
    def __init__(self, input_resolution, dim):
        super().__init__()
        self.input_resolution = input_resolution
        self.lin = nn.Linear(dim, dim)
    def forward(self, x):
        height, width = self.input_resolution
        batch, places, channels = x.shape
        torch._assert(places == height * width, "wrong size")
        return self.lin(x)

class Recurrent(nn.Module):
    """A hidden state beside the input, as the layer takes it."""
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(6, 5, num_layers=2, batch_first=True)
    def forward(self, x, memory):
        return self.rnn(x, memory)[0]

class Joined(nn.Module):
    """Two images of different widths are joined."""
    def __init__(self):
        super().__init__()
        self.gate = nn.Conv2d(14, 4, 1)
    def forward(self, h, x):
        return h * self.gate(torch.cat([h, x], 1)).sigmoid()

class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
    def forward(self, x):
        return torch.complex(self.lin(x.real), self.lin(x.imag))

class Weighted(nn.Module):
    """Wraps a loss, which has an attribute that no layer has."""
    def __init__(self, loss_fcn):
        super().__init__()
        self.loss_fcn, self.reduction = loss_fcn, loss_fcn.reduction
        self.scale = nn.Parameter(torch.ones(()))
    def forward(self, prediction, true):
        return self.loss_fcn(prediction, true) * self.scale

class OfImages(nn.Module):
    """Games have images of 84 places a side, with strides that fit."""
    def __init__(self, input_shape, n_actions):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(input_shape[0], 4, 8, 4), nn.Conv2d(4, 4, 8, 4))
        size = self.conv(torch.zeros(1, *input_shape)).numel()
        self.head = nn.Linear(size, n_actions)
    def forward(self, x):
        return self.head(self.conv(x).flatten(1))

class Wide(nn.Module):
    """What comes in must be as wide as what goes out."""
    def __init__(self, inplanes, planes):
        super().__init__()
        self.conv = nn.Conv2d(inplanes, planes * 4, 1)
    def forward(self, x):
        return self.conv(x) + x

class Sized(nn.Module):
    def __init__(self, dim, feat_size=None, kernel=None, stride=None, groups=None):
        super().__init__()
        assert feat_size is not None, "a size, please"
        height, width = feat_size
        self.places = nn.Parameter(torch.rand(dim, height, width))
    def forward(self, x):
        return x * self.places
'''
CLASSES = "Attention Merge Recurrent Joined Spectrum Weighted OfImages Wide Sized".split()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    path = tmp_path_factory.mktemp("stated") / "m.py"
    path.write_text(SOURCE)
    return results_of(path, settings=VerifySettings(timeout=40))


@pytest.mark.parametrize("name", CLASSES)
def test_driven_without_help(found: dict[str, TargetResult], name: str) -> None:
    assert found[name].status == "passed", found[name]


@pytest.mark.parametrize(
    ("text", "dims"),
    [
        ("x: B x len x dim (queries)", ("B", "len", "dim")),
        ("x (torch.Tensor, optional): input of shape (B, T, 1)", ("B", "T", "1")),
        ("- `x`: [batch, 2*dim]", ("batch", "2*dim")),
        (":param x: a tensor\n        (N, C, H, W)", ("N", "C", "H", "W")),
        ("x: B, H*W, C", ("B", "H*W", "C")),
        ("# x: [N, H, W]", ("N", "H", "W")),
        ("x (Tensor): the input (see below)", None),
        ("x (int, optional): a number", None),
        ("x.view(b, c)", None),
        ("x = torch.cat([a, b])", None),
        ("x: an image\n        y: [B, C]", None),
        ("max: [B, C]", None),
    ],
)
def test_a_shape_is_read_where_it_is_stated(text: str, dims: tuple[str, ...] | None) -> None:
    assert documented(f"Args:\n    {text}\n", ["x", "y"]).get("x") == dims


def test_one_name_of_a_dimension_is_one_size() -> None:
    stated = {"x": ("B", "T", "dim"), "mask": ("B", "T"), "z": ("B", "2*dim", "heads", "other")}
    shapes = sizes(stated, {"x": [(2, 5, 12)]}, {"heads": 3})
    assert shapes["x"] == (2, 5, 12) and shapes["mask"] == (2, 5)
    assert shapes["z"][:3] == (2, 24, 3) and shapes["z"][3] not in (2, 5, 12, 24, 3)


def _even(x: torch.Tensor, width: int) -> None:
    if x.dim() not in (3, 4):
        raise ValueError("no")
    assert x.shape[0] in (2, 4)
    assert x.shape[1] == 2 * width
    assert x.shape[2] % 4 == 0
    assert width is None


@pytest.mark.parametrize(
    ("shape", "pairs", "ranks", "none"),
    [
        ((2, 2), [], [3, 4], False),
        ((2, 5, 8), [(5, 6)], [], False),
        ((2, 6, 9), [(9, 12)], [], False),
        ((2, 6, 8), [], [], True),
        ((3, 6, 8), [(3, 2), (3, 4)], [], False),
    ],
)
def test_what_a_failed_check_compared(
    shape: tuple[int, ...], pairs: list[tuple[int, int]], ranks: list[int], none: bool
) -> None:
    with pytest.raises((AssertionError, ValueError)) as caught:
        _even(torch.zeros(shape), 3)
    assert compared(caught.value) == pairs
    assert ranks_compared(caught.value) == ranks
    assert lacks_value(caught.value) is none


def test_an_error_of_torch_is_no_check() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2) + torch.zeros(3)
    assert compared(caught.value) == [] and not lacks_value(caught.value)


def test_states_of_recurrent_layers() -> None:
    assert for_state(nn.GRU(3, 4, bidirectional=True))[0] == Spec((2, 5, 4))
    assert for_state(nn.LSTM(3, 4, batch_first=True))[0] == Spec((1, 2, 4), "pair")
    assert for_state(nn.LSTMCell(3, 4)) == [Spec((2, 4), "pair")]
    assert for_state(nn.Linear(3, 4)) == []


@pytest.mark.parametrize(
    ("specs", "text", "wanted"),
    [
        (
            [Spec((2, 3)), Spec((4, 3))],
            "Sizes of tensors must match except in dimension 1. Expected size 2 but got size 4 for",
            [Spec((2, 3)), Spec((2, 3))],
        ),
        (
            [Spec((2, 5), "long")],
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got Long",
            [Spec((2, 5))],
        ),
        (
            [Spec((2, 6)), Spec((2, 5, 4))],
            "Expected hidden size (1, 2, 4), got [2, 5, 4]",
            [Spec((2, 6)), Spec((1, 2, 4))],
        ),
        (
            [Spec((2, 8)), Spec((2, 8))],
            "mat1 and mat2 shapes cannot be multiplied (2x16 and 8x3)",
            [Spec((2, 4)), Spec((2, 4))],
        ),
    ],
)
def test_an_error_names_the_size(specs: list[Spec], text: str, wanted: list[Spec]) -> None:
    assert wanted in repairs(specs, RuntimeError(text))


def test_an_image_is_made_as_large_as_a_view_asks_for() -> None:
    error = RuntimeError("shape '[2, 8, 1, 49]' is invalid for input of size 4096")
    assert [Spec((2, 8, 7, 7))] in repairs([Spec((2, 8, 16, 16))], error)


class Sides(nn.Module):
    def __init__(self, size: tuple[int, int], depth: int) -> None:
        super().__init__()
        assert size[0] in [28, 56], "one of these"
        assert depth % 3 == 0


def test_a_check_of_the_constructor_says_which_value_is_wanted() -> None:
    with pytest.raises(AssertionError) as caught:
        Sides((16, 16), 8)
    assert {"size": (28, 28), "depth": 8} in repaired_constructor(
        Sides, {"size": (16, 16), "depth": 8}, caught.value
    )
    with pytest.raises(AssertionError) as caught:
        Sides((28, 28), 8)
    assert {"size": (28, 28), "depth": 9} in repaired_constructor(
        Sides, {"size": (28, 28), "depth": 8}, caught.value
    )


class Device(nn.Module):
    def __init__(self, width: int, device: str = "cuda:0", block_kwargs: object = None) -> None:
        super().__init__()


def test_arguments_for_another_machine_and_for_keywords() -> None:
    cuda = repaired_constructor(Device, {"width": 8}, AssertionError("not compiled with CUDA"))
    assert {"width": 8, "device": "cpu"} in cuda
    error = TypeError("f() argument after ** must be a mapping, not int")
    assert {"block_kwargs": {}} in repaired_constructor(Device, {"block_kwargs": 8}, error)
