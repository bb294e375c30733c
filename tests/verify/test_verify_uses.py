"""What the source says about values: how they are used, which layers inputs go to."""

from __future__ import annotations

import ast

import pytest
import torch
from torch import nn

from gradfix.verify.arguments import arguments_of
from gradfix.verify.flows import shapes_by_input
from gradfix.verify.uses import Use, uses_in


def uses(text: str) -> dict[str, Use]:
    return uses_in(ast.parse(text))


def test_compared_words_are_found_under_the_name_they_are_compared_by() -> None:
    found = uses("self.kind = args.net_kind\nif self.kind.lower() in ('deep', 'wide'): pass")
    assert found["net_kind"].words == ["deep", "wide"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("a = x[3]", 4), ("a = x[-2]", 2), ("a, b, c = x", 3), ("for a in x: pass", 0)],
)
def test_a_sequence_and_the_length_it_needs(text: str, size: int) -> None:
    use = uses(text)["x"]
    assert use.is_sequence and max(use.highest, use.unpacked) == size


def test_a_key_makes_no_sequence() -> None:
    use = uses("a = x['key']['inner']")
    assert use["x"].keys == {"key"} and use["key"].keys == {"inner"}
    assert not use["x"].is_sequence


def test_called_is_not_called_on_self() -> None:
    found = uses("self.norm = norm_layer(8)\ny = self.act(x)")
    assert found["norm_layer"].called and not found["norm_layer"].called_on_self
    assert found["act"].called_on_self and not found["act"].called


def function(text: str) -> ast.FunctionDef:
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


@pytest.mark.parametrize(
    ("line", "rank"),
    [
        ("b, c, h, w = x.shape", 4),
        ("b, n, d = x.size()", 3),
        ("y = x.shape[2]", 3),
        ("y = x[:, :, 0]", 3),
        ("y = x[:, None]", 1),
        ("y = rearrange(x, 'b (h w) c -> b c h w', h=2)", 3),
        ("y = rearrange(x, 'b ... -> ...')", 0),
        ("b, *rest = x.shape", 0),
    ],
)
def test_dimensions_an_input_needs(line: str, rank: int) -> None:
    assert arguments_of(function(f"def forward(self, x):\n    {line}"))["x"].rank == rank


def test_what_a_name_holds_later_says_nothing_about_the_input() -> None:
    found = arguments_of(
        function("def forward(self, x):\n    x = self.first(x)\n    return self.second(x)")
    )
    assert found["x"].layers == [("first", 0)]


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tail = nn.Linear(9, 2)
        self.words = nn.Embedding(7, 6)
        self.layers = nn.ModuleList([nn.Sequential(nn.Conv1d(5, 5, 1))])

    def forward(self, ids: torch.Tensor, signal: torch.Tensor, other: torch.Tensor) -> None:
        self.embed(ids)
        for layer in self.layers:
            signal = layer(signal)

    def embed(self, indices: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.words(indices))


def test_inputs_take_the_shape_of_the_layer_that_gets_them() -> None:
    found = shapes_by_input(Stack(), "forward")
    assert (found["ids"][0].kind, found["ids"][0].high) == ("long", 7)
    assert found["signal"][0].shape[1] == 5
    assert "other" not in found


@pytest.mark.parametrize(
    ("lines", "layers", "behind"),
    [
        ("h = x\nh = self.norm(h)\nh = self.conv(h)", [("norm", 0)], []),
        ("h = x\ny = self.a(1, h)\nh = self.b(h)\nself.c(h)", [("a", 1), ("b", 0)], []),
        ("x = self.a(x)\nh = x\nself.b(h)", [("a", 0)], []),
        ("for x in x:\n    pass\nh = y\nself.a(h)", [], []),
        ("self.fc(act(x))", [], [("fc", 0)]),
        ("self.fc(self.act(x))", [("act", 0)], [("fc", 0)]),
        ("self.fc(F.silu(x.float()))", [], [("fc", 0)]),
        ("self.fc(x.to(y.device).detach())", [], [("fc", 0)]),
        ("self.fc(torch.relu(x))", [], [("fc", 0)]),
        ("h = x\nself.fc(act(h))", [], [("fc", 0)]),
        ("self.fc(torch.flatten(x))", [], []),
        ("self.fc(x.mean(1))", [], []),
        ("self.fc(F.pool(x, 2))", [], []),
        ("self.fc(act(x, dim=1))", [], []),
        ("self.fc(x + 1)", [], []),
        ("act(act(x))", [], []),
    ],
)
def test_layers_that_get_an_input_by_another_name_or_by_way_of_a_function(
    lines: str, layers: list[tuple[str, int]], behind: list[tuple[str, int]]
) -> None:
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    found = arguments_of(function(f"def forward(self, x, y):\n{body}"))["x"]
    assert (found.layers, found.behind) == (layers, behind)


class Residual(nn.Module):
    """As the blocks of diffusion models are written: nothing but the layers tells the shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, 12)
        self.conv = nn.Conv2d(12, 12, 3, padding=1)
        self.act = nn.SiLU()
        self.project = nn.Linear(50, 12)

    def forward(self, x: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        h = x
        h = self.conv(self.act(self.norm(h)))
        return x + h + self.project(self.act(steps))[:, :, None, None]


def test_a_shape_is_found_behind_an_activation_and_another_name() -> None:
    found = shapes_by_input(Residual(), "forward")
    assert found["x"][0].shape[1] == 12
    assert found["steps"][0].shape == (2, 50)
