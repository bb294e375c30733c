"""Networks that a library builds by the name of weights that are not there."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from gradfix.verify.machine import left_out, make_do


class Config:
    num_hidden_layers = 12
    hidden_size = 6


class Network(nn.Module):
    """As one of transformers: made of a configuration, or loaded by name."""

    config_class = Config

    def __init__(self, config: Config) -> None:
        super().__init__()
        layers = range(config.num_hidden_layers)
        self.layers = nn.ModuleList(nn.Linear(config.hidden_size, 6) for _ in layers)

    @classmethod
    def from_pretrained(cls, name: str, **kwargs: Any) -> Network:
        raise OSError(f"{name} is not a local folder")


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> Iterator[types.ModuleType]:
    library = types.ModuleType("transformers.modeling_utils")
    library.PreTrainedModel = Network  # type: ignore[attr-defined]
    builder = types.ModuleType("timm.models._builder")

    def load_pretrained(model: nn.Module, **kwargs: Any) -> None:
        raise FileNotFoundError("no such file, and no network")

    builder.load_pretrained = load_pretrained  # type: ignore[attr-defined]
    vision = types.ModuleType("torchvision.models")
    vision.net18 = lambda: nn.Linear(2, 1)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", types.ModuleType("transformers"))
    monkeypatch.setitem(sys.modules, "transformers.modeling_utils", library)
    monkeypatch.setitem(sys.modules, "timm.models._builder", builder)
    monkeypatch.setitem(sys.modules, "torchvision.models", vision)
    yield builder
    make_do(False)


def test_the_network_of_a_name_without_its_weights(libraries: types.ModuleType) -> None:
    make_do(True)
    built = Network.from_pretrained("some-large-net")
    assert len(built.layers) == 2
    assert built.layers[0].weight.shape == (6, 1024)
    assert left_out() == ["some-large-net"]


def test_weights_that_a_builder_fetches_are_left_out(libraries: types.ModuleType) -> None:
    make_do(True)
    assert libraries.load_pretrained(nn.Linear(2, 1)) is None
    assert left_out() == ["Linear"]


def test_a_network_of_the_hub_that_torchvision_has(
    libraries: types.ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("It looks like there is no internet connection")

    monkeypatch.setattr("gradfix.verify.pretrained._HUB", fetch)
    make_do(True)
    assert isinstance(torch.hub.load("some/where", "net18_other"), nn.Linear)
    with pytest.raises(RuntimeError, match="internet"):
        torch.hub.load("some/where", "another")


def test_with_a_case_everything_raises_as_before(libraries: types.ModuleType) -> None:
    make_do(True)
    make_do(False)
    with pytest.raises(OSError, match="local folder"):
        Network.from_pretrained("some-net")
    with pytest.raises(FileNotFoundError):
        libraries.load_pretrained(nn.Linear(2, 1))


def test_a_library_of_this_name_that_lacks_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", types.ModuleType("transformers"))
    for name in [n for n in sys.modules if n.startswith("transformers.")]:
        monkeypatch.delitem(sys.modules, name)
    make_do(True)
    make_do(False)
