"""Constructor arguments that the code tells: words, names in messages, defaults, files, types."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from verify_helpers import results_of

from gradfix.verify.blocks import elsewhere, factories
from gradfix.verify.compared import choices
from gradfix.verify.construct import MadeUp, argument_sets
from gradfix.verify.mend import repaired_constructor
from gradfix.verify.names import Wanted
from gradfix.verify.operands import types_at_odds
from gradfix.verify.settings import VerifySettings

QUICK = VerifySettings(timeout=40)


def padded(inside: int, outside: int) -> nn.Module:
    return nn.Conv2d(inside, outside, 3, padding=1)


class Resampled(nn.Module):
    def __init__(self, width: int, resample: Any = 1, mode: str = "flat") -> None:
        super().__init__()
        if resample == "down":
            self.pool: nn.Module = nn.MaxPool2d(2)
        elif resample is None:
            self.pool = nn.Identity()
        else:
            raise ValueError("invalid")
        assert mode in ("flat", "deep")


class Either(nn.Module):
    def __init__(self, width: int, encoder: Any = None, depth: Any = None) -> None:
        super().__init__()
        if encoder is None and depth is None:
            raise ValueError("either encoder or depth has to be given")


class Summed(nn.Module):
    def __init__(self, width: int, extra: Any) -> None:
        super().__init__()
        self.lin = nn.Linear(width + extra, 2)


class Inside(nn.Module):
    def __init__(self, cfg: Any) -> None:
        super().__init__()
        self.lin = nn.Linear(8 + cfg.extra, 2)


class Splat(nn.Module):
    def __init__(self, width: int, block: dict[str, Any]) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, **block)


class Unpacked(nn.Module):
    def __init__(self, dims: Any) -> None:
        super().__init__()
        first, hidden, last = dims
        self.layers = nn.ModuleList(nn.Linear(a, last) for a in [first, *hidden])
        for one in hidden:
            assert one > 0


class Paired(nn.Module):
    def __init__(self, blocks: Any) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.ModuleList([f, g]) for f, g in blocks])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for f, g in self.blocks:  # type: ignore[misc]
            x = x + f(g(x))
        return x


class Activated(nn.Module):
    def __init__(self, width: int, act: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.lin, self.act = nn.Linear(width, width), act


def failing(make: Callable[[], Any]) -> Exception:
    try:
        make()
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def mended(cls: type[nn.Module], kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    return repaired_constructor(cls, kwargs, failing(lambda: cls(**kwargs)))


def test_a_default_that_does_not_do_gives_way_to_the_words_of_the_code() -> None:
    found = mended(Resampled, {"width": 8})
    assert {"width": 8, "resample": "down"} in found and {"width": 8, "resample": None} in found
    assert not any("mode" in each for each in found)
    found = mended(Resampled, {"width": 8, "resample": None, "mode": "x"})
    assert {"width": 8, "resample": None, "mode": "deep"} in found


def test_only_the_conditions_around_the_failure_count() -> None:
    error = failing(lambda: Resampled(8))
    assert choices(error) == [("resample", 1, ["down", None])]
    assert choices(failing(lambda: int("x"))) == []


def test_arguments_that_a_message_names_are_given() -> None:
    found = mended(Either, {"width": 8})
    assert [set(each) for each in found[:2]] == [{"width", "encoder"}, {"width", "depth"}]


def test_types_that_do_not_go_together() -> None:
    assert {"width": 8, "extra": 8} in mended(Summed, {"width": 8, "extra": [8, 8]})
    assert {"width": 8, "extra": 4} in mended(Summed, {"width": 8, "extra": "4"})
    cfg = MadeUp(None, {"extra": [8, 8]})
    sections = [each["cfg"].made() for each in mended(Inside, {"cfg": cfg})]
    assert {"extra": 8} in sections and cfg.made() == {"extra": [8, 8]}


def test_a_layer_stands_where_its_class_was_called() -> None:
    kwargs = {"width": 8, "act": nn.ReLU}
    error = failing(lambda: nn.Linear(8, 8)(nn.ReLU(torch.randn(2, 8))))
    assert "not ReLU" in str(error)
    found = repaired_constructor(Activated, kwargs, error)
    assert any(isinstance(each["act"], nn.ReLU) for each in found)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("unsupported operand type(s) for -: 'str' and 'int'", ["str", "int"]),
        ("'<=' not supported between instances of 'int' and 'list'", ["int", "list"]),
        ('can only concatenate str (not "int") to str', ["str", "int"]),
        ("bad operand type for unary -: 'list'", ["list"]),
        ("size of tensor a (3) must match the size of tensor b (4)", []),
    ],
)
def test_the_types_of_an_error(text: str, kinds: list[str]) -> None:
    assert types_at_odds(text) == kinds


def test_what_is_given_with_two_stars_fits_what_is_called() -> None:
    assert set(next(argument_sets(Splat))["block"]) == {"out_channels", "kernel_size"}


def test_names_of_unpacked_values_tell_what_they_are() -> None:
    first, hidden, last = next(argument_sets(Unpacked))["dims"]
    assert type(first) is type(last) is int and type(hidden) is list


def test_elements_of_pairs_that_are_called_are_parts() -> None:
    blocks = next(argument_sets(Paired))["blocks"]
    assert all(isinstance(part, nn.Module) for pair in blocks for part in pair)


def test_defaults_of_the_same_name_elsewhere_in_the_file() -> None:
    def usual(conv: Any = padded, kind: str = "wide", size: int = 7, none: Any = None) -> None: ...

    usual.__module__ = "around"
    space = {"__name__": "around", "usual": usual}
    assert factories(Wanted("conv", space=space)) == [padded]
    assert elsewhere(Wanted("kind", space=space)) == ["wide"]
    assert elsewhere(Wanted("size", space=space)) == []  # numbers have to fit each other
    assert elsewhere(Wanted("none", space=space)) == []
    assert factories(Wanted("conv", space={**space, "__name__": "other"})) == [nn.Conv2d]


def test_a_parameter_of_torch_is_what_it_is_by_default() -> None:
    class Norm(nn.Module):
        def __init__(self, rate: Any, epsilon: Any) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(8, eps=epsilon)
            self.drop = nn.Dropout(rate)

    kwargs = next(argument_sets(Norm))
    usual = inspect.signature(nn.LayerNorm).parameters["eps"].default
    assert kwargs == {"rate": 0.0, "epsilon": usual}


def test_a_settings_file_of_the_project_is_read(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "small.cfg").write_text("3 2\n")
    (tmp_path / "notes.txt").write_text("nothing\n")
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, source):\n        super().__init__()\n"
        "        with open(source) as lines:\n"
        "            wide, narrow = map(int, lines.read().split())\n"
        "        self.lin = nn.Linear(wide, narrow)\n\n"
        "    def forward(self, x):\n        return self.lin(x)\n"
    )
    found = results_of(file, settings=QUICK)["Net"]
    assert found.status == "passed" and "source='config/small.cfg'" in str(found.call)


def test_without_settings_files_the_reason_is_the_error(tmp_path: Path) -> None:
    file = tmp_path / "net.py"
    file.write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self, source):\n        super().__init__()\n"
        "        self.lin = nn.Linear(int(open(source).read()), 2)\n\n"
        "    def forward(self, x):\n        return self.lin(x)\n"
    )
    found = results_of(file, settings=QUICK)["Net"]
    assert found.status == "not_verified" and "OSError" in str(found.reason)
