"""What is made up so that a class can be driven: parts, fitting sizes, functions, old names."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest
import torch
from verify_helpers import results_of

from gradfix.verify.construct import argument_sets
from gradfix.verify.inputs import parts_of
from gradfix.verify.parts import Part, part_for
from gradfix.verify.results import TargetResult
from gradfix.verify.uses import uses_in

CLASSES = '''\
import collections

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence


class Attends(nn.Module):
    """A part gets three inputs and a mask, and gives two results."""

    def __init__(self, attention):
        super().__init__()
        self.attention = attention
        self.keys, self.values = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        x, weights = self.attention(x, self.keys(x), self.values(x), attn_mask=None)
        return torch.relu(x)


class Layers(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.width = layers[0].d_model
        self.layers = nn.ModuleList(layers)

    def forward(self, x, cross):
        for layer in self.layers:
            x = layer(x, cross, x_mask=None)
        return x * self.width


class Connection(nn.Module):
    def __init__(self, size, dropout):
        super().__init__()
        self.norm = nn.LayerNorm(size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, sublayer):
        return x + self.dropout(sublayer(self.norm(x)))


class Connected(nn.Module):
    def __init__(self, size, dropout):
        super().__init__()
        self.connection = Connection(size, dropout)
        self.linear = nn.Linear(size, size)

    def forward(self, x):
        return self.connection(x, self.linear)


class Depth(nn.Module):
    __factory = {18: 1, 34: 2}

    def __init__(self, depth):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(Depth.__factory[depth])))

    def forward(self, x):
        return self.layers(x)


class Supported(nn.Module):
    __factory = {18: 1, 34: 2}

    def __init__(self, depth):
        super().__init__()
        if depth not in Supported.__factory:
            raise KeyError("Unsupported depth:", depth)
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return self.layer(x)


class Placeholders(nn.Module):
    def __init__(self, width=[], rate=[]):
        super().__init__()
        self.linear, self.drop = nn.Linear(width, width), nn.Dropout(rate)

    def forward(self, x):
        return self.drop(self.linear(x))


class Either(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x, lengths=None, mask=None):
        if lengths is None and mask is None:
            raise RuntimeError("Should provide one of them")
        mask = mask if lengths is None else torch.arange(len(x)) < lengths.reshape(-1)[0]
        return self.linear(x).flatten(1).sum(1) * mask.float().sum()


class Rays(nn.Module):
    def __init__(self):
        super().__init__()
        self.points, self.views = nn.Linear(5, 4), nn.Linear(6, 4)

    def forward(self, x):
        points, views = torch.split(x, [5, 6], dim=-1)
        return self.points(points) + self.views(views)


class StepsFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(7, 3)

    def forward(self, x, lengths):
        return self.rnn(pack_padded_sequence(x, lengths))[0].data


class OnGpu(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return x.to("cuda:0") * self.scale + torch.ones(4, device=torch.device("cuda"))


class OldNames(nn.Module):
    def __init__(self, shape: tuple):
        super().__init__()
        assert isinstance(shape, collections.Iterable)
        self.linear = nn.Linear(int(np.product([2, 3])), 2, bias=np.bool(1))

    def forward(self, x):
        return self.linear(x)


class Chooses(nn.Module):
    def __init__(self, mode_type=7):
        super().__init__()
        if mode_type == 0:
            self.layer = nn.Linear(4, 4)
        elif mode_type == 1:
            self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)


class Chosen(nn.Module):
    def __init__(self, mode_type: int):
        super().__init__()
        self.inner = Chooses(mode_type=mode_type)

    def forward(self, x):
        return self.inner(x)


class Widths(nn.Module):
    def __init__(self, hidden_size, joint_size):
        super().__init__()
        self.one, self.two = nn.Linear(4, hidden_size), nn.Linear(4, hidden_size)
        self.joint = nn.Linear(joint_size, 1)

    def forward(self, x):
        return self.joint(torch.cat([self.one(x), self.two(x)], -1))
'''

NAMES = [line.split()[1].partition("(")[0] for line in CLASSES.splitlines() if line[:6] == "class "]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    path = tmp_path_factory.mktemp("classes") / "classes.py"
    path.write_text(CLASSES)
    return results_of(path)


@pytest.mark.parametrize("name", NAMES)
def test_driven_without_help(found: dict[str, TargetResult], name: str) -> None:
    result = found[name]
    assert result.status == "passed", (result.reason, result.call)
    assert result.parameters and {p.verdict for p in result.parameters} == {"ok"}


class Kernels(torch.nn.Module):
    def __init__(self, channels, kernel_sizes, strides, dropouts):  # type: ignore[no-untyped-def]
        super().__init__()
        sizes = zip(channels[:-1], channels[1:], kernel_sizes, strides, strict=False)
        self.layers = torch.nn.Sequential(*(torch.nn.Conv2d(a, b, k, s) for a, b, k, s in sizes))
        self.dropouts = [torch.nn.Dropout(p) for p in dropouts]


def test_lists_of_kernels_strides_and_rates_hold_what_fits_them() -> None:
    first = next(argument_sets(Kernels))
    assert first == {
        "channels": [8, 8, 8],
        "kernel_sizes": [3, 3, 3],
        "strides": [1, 1, 1],
        "dropouts": [0.0, 0.0, 0.0],
    }


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("y = maps[-1]", (["maps"], "list")),
        ("y = maps[-1] + maps[-2]", (["maps", "maps"], "list")),
        ("y = maps[0] + maps.mean()", ([], "")),
        ("y = maps[0] + maps @ self.w", ([], "")),
        ("y = maps[0, 1]", ([], "")),
        ("y = [m.mean() for m in maps] + maps[0]", ([], "")),
        ("y = maps[0] + self.conv(maps)", ([], "")),
    ],
)
def test_what_is_only_taken_elements_of_is_a_list(line: str, parts: tuple[list[str], str]) -> None:
    parameter = inspect.Parameter("maps", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert parts_of(parameter, uses_in(ast.parse(line))["maps"]) == parts


def test_old_names_are_said_beside_the_call(found: dict[str, TargetResult]) -> None:
    assert "numpy.product as it was" in (found["OldNames"].call or "")
    assert "collections.Iterable as it was" in (found["OldNames"].call or "")


def test_who_wrote_a_case_gets_the_errors_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(CLASSES)
    (tmp_path / "gradfix_cases.py").write_text(
        "import torch\n\n\ndef case_OldNames():\n    from m import OldNames\n\n"
        "    return OldNames((1,)), (torch.randn(2, 6),)\n\n\ndef case_OnGpu():\n"
        "    from m import OnGpu\n\n    return OnGpu(), (torch.randn(2, 4),)\n"
    )
    found = results_of(tmp_path / "m.py", "OldNames", "OnGpu")
    assert {r.status for r in found.values()} == {"not_verified"}
    assert "no attribute 'Iterable'" in (found["OldNames"].reason or "")


def test_names_that_nobody_knew_are_no_more_there_than_before(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(CLASSES.replace("np.product", "np.produkt"))
    result = results_of(path, "OldNames")["OldNames"]
    assert "has no attribute 'produkt'" in (result.reason or "")


@pytest.mark.parametrize("shape", [(2, 8), (2, 8, 5, 5), (3,)])
def test_a_part_depends_on_everything_it_is_given(shape: tuple[int, ...]) -> None:
    part, given = Part(), [torch.randn(shape, requires_grad=True) for _ in range(3)]
    part(
        given[0], None, given[1], mask=torch.ones(2, dtype=torch.bool), other=given[2]
    ).sum().backward()
    for tensor in (*given, *part.parameters()):
        assert tensor.grad is not None and bool((tensor.grad != 0).any())


def test_a_part_embeds_indices_and_gives_as_many_results_as_are_unpacked() -> None:
    part = Part(3)
    first, *others = part(torch.arange(5))
    assert first.shape == (5, 8) and len(others) == 2
    assert part_for("attention", None).results == 1


def test_a_part_that_gets_no_tensor_says_so() -> None:
    with pytest.raises(TypeError, match="without a tensor"):
        Part()(None)
