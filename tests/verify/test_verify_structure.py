"""Inputs that hold several values, and code that ends the process: what the built module tells."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from verify_helpers import report_on, results_of

from gradfix.verify.guess import Input, Spec
from gradfix.verify.inputs import assembled, shown
from gradfix.verify.kinds import of_other_kinds
from gradfix.verify.repair import numbers_told, repairs
from gradfix.verify.results import TargetResult
from gradfix.verify.settings import VerifySettings
from gradfix.verify.structure import parts_beside, read_structure

QUICK = VerifySettings(timeout=40)

SOURCE = '''
import sys
from types import SimpleNamespace
import torch
from torch import nn

KEYS = SimpleNamespace(charges="charges", cells="cells")

class Keyed(nn.Module):
    """Keys are constants of the file, an attribute, and what a part reads."""
    def __init__(self):
        super().__init__()
        self.target = "energies"
        self.embed = nn.Linear(4, 4)
        self.inner = Inner()
    def forward(self, batch):
        batch["hidden"] = self.embed(batch[KEYS.charges])
        return self.inner(batch) + batch[self.target]

class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
    def forward(self, batch):
        return self.lin(batch["hidden"]) * batch[KEYS.cells]

class Levels(nn.Module):
    """As many images as there are parts, each as wide as its part wants it."""
    def __init__(self):
        super().__init__()
        self.stems = nn.ModuleList(nn.Conv2d(width, 6, 1) for width in (3, 5, 7))
        self.heads = nn.ModuleList(nn.Conv2d(6, 2, 1) for _ in range(3))
    def forward(self, features):
        assert len(features) == 3 and not isinstance(features, torch.Tensor)
        found = []
        for index, (head, feature) in enumerate(zip(self.heads, features)):
            found.append(head(self.stems[index](feature)).mean())
        return torch.stack(found)

class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 2)
    def forward(self, scene):
        return self.lin(scene.boxes.corners) + scene.boxes["bias"]

class Sized(nn.Module):
    """Two sides of an image stand beside its places in a row."""
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
    def forward(self, x, sides):
        rows, columns = sides
        x = x.view(x.shape[0], rows, columns, x.shape[2])
        return self.conv(x.permute(0, 3, 1, 2)) + torch.zeros(1, 1, *sides)

class Leaves(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)
        exit("no data here")
    def forward(self, x):
        return self.lin(x)

class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)
    def forward(self, x):
        raise SystemExit

class Catches(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)
    def forward(self, x):
        try:
            sys.exit(2)
        except SystemExit:
            return self.lin(x)

class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag = nn.EmbeddingBag(12, 4, sparse=True)
    def forward(self, ids):
        return self.bag(ids)

if __name__ == "__main__":
    sys.exit(Keyed())
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    file = tmp_path_factory.mktemp("structure") / "net.py"
    file.write_text(SOURCE)
    report = report_on(file, settings=QUICK)
    assert report.failures == []
    return {result.target.rpartition(":")[2]: result for result in report.results}


@pytest.mark.parametrize("name", ["Keyed", "Levels", "Nested", "Sized", "Catches", "Sparse"])
def test_the_module_tells_what_its_inputs_hold(found: dict[str, TargetResult], name: str) -> None:
    assert found[name].status == "passed", (found[name].reason, found[name].call)


def test_what_is_written_into_a_dict_is_not_asked_for(found: dict[str, TargetResult]) -> None:
    assert "'charges'" in str(found["Keyed"].call) and "'hidden'" not in str(found["Keyed"].call)


def test_the_end_of_the_process_is_the_reason_of_one_class(found: dict[str, TargetResult]) -> None:
    assert found["Leaves"].status == found["Raises"].status == "not_verified"
    assert "SystemExit: no data here" in str(found["Leaves"].reason)
    assert "SystemExit: it ends the process with status 0" in str(found["Raises"].reason)


def test_a_script_that_ends_when_it_is_imported_is_defined(tmp_path: Path) -> None:
    file = tmp_path / "script.py"
    file.write_text(SOURCE.replace('if __name__ == "__main__":\n    sys.exit(Keyed())', "exit(1)"))
    found = results_of(file, "Nested", settings=QUICK)
    assert found["Nested"].status == "passed"


class Updates(nn.Module):
    def forward(self, state: dict[str, torch.Tensor]) -> torch.Tensor:
        state["speed"] = state["speed"] * 2
        state["sum"] = state["place"] + state["speed"]
        return state["sum"]


class Zipped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(n, 2) for n in (3, 4))
        self.others = nn.ModuleList(nn.Linear(2, 2) for _ in range(2))

    def forward(self, xs: list[torch.Tensor], alone: torch.Tensor) -> torch.Tensor:
        done = [part(x) for part, x in zip(self.parts, xs, strict=True)]
        for other in self.others:
            alone = other(alone)
        return torch.stack(done).sum(0) + alone


def test_a_list_is_as_long_as_the_parts_that_a_loop_takes_with_it() -> None:
    module = Zipped()
    assert [part.in_features for part in parts_beside(module, "forward", "xs")] == [3, 4]
    assert parts_beside(module, "forward", "alone") == []
    assert read_structure(module, "forward")["xs"].highest == 2


def test_what_is_read_before_it_is_written_is_asked_for() -> None:
    assert read_structure(Updates(), "forward")["state"].keys == {"speed", "place"}


def test_objects_within_objects_are_given_and_shown() -> None:
    inputs = [Input(name, owner="scene", way="record") for name in ("boxes.size", "boxes.at", "t")]
    (scene,), _ = assembled(inputs, [1, 2, 3])
    assert (scene.boxes.size, scene["boxes"]["at"], scene.t) == (1, 2, 3)
    text = shown(inputs, [Spec((), "int", n) for n in (1, 2, 3)])
    assert text == "{'boxes': {'size': 1, 'at': 2}, 't': 3}"


def test_a_tuple_that_code_asks_for_is_no_list() -> None:
    inputs = [Input("pair", owner="pair", way="tuple")] * 2
    assert assembled(inputs, [1, 2]) == (((1, 2),), {})
    assert shown(inputs, [Spec((), "int", 1)] * 2) == "(1, 1,)"


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [
        ("too many indices for tensor of dimension 2", Spec((2, 4)), Spec((2, 5, 4))),
        ("Index is supposed to be a vector, but", Spec((2, 5), "long"), Spec((2,), "long")),
        ("Value after * must be an iterable, not int", Spec((), "int", 4), Spec((16, 16), "ints")),
        ("all elements of target should be between 0 and 1", Spec((2, 4)), Spec((2, 4), "unit")),
        ("unsupported operand type(s) for @: 'list' and 'Tensor'", Spec((2,), "list"), Spec((2,))),
        (
            "must match except in dimension 1. Expected size 1 but got size 2",
            Spec((2, 3, 16, 16)),
            Spec((2, 3, 32, 32)),
        ),
        (
            "expected input[2, 20, 8, 8] to have 12 channels, but got 20 channels",
            Spec((2, 5, 16, 16)),
            Spec((2, 3, 16, 16)),
        ),
        (
            "expected input[1, 2, 5, 8] to have 3 channels, but got 2 channels",
            Spec((2, 5, 8)),
            Spec((2, 3, 5, 8)),
        ),
        (
            "shape '[-1, 6400]' is invalid for input of size 4608",  # of two images
            Spec((2, 3, 64, 64)),
            Spec((2, 3, 112, 112)),
        ),
        ("shapes cannot be multiplied (2x13 and 16x4)", Spec((2, 50)), Spec((2, 64))),
    ],
)
def test_errors_of_calls_ask_for_other_inputs(text: str, before: Spec, after: Spec) -> None:
    assert [after] in repairs([before], RuntimeError(text))


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("must be tuple of ints, but got Tensor", Spec((2, 4), "list")),
        ("'int' object is not iterable", Spec((2, 4))),
        ("shape '[-1, 8]' is invalid for input of size 0", Spec((2, 3, 8, 8))),
        ("unsupported operand type(s) for @: 'int' and 'Tensor'", Spec((2, 4), "list")),
    ],
)
def test_what_an_error_does_not_mean_stays(text: str, spec: Spec) -> None:
    changed = of_other_kinds([spec], text)
    assert [Spec(spec.shape, "float")] not in changed
    assert all(each.kind in ("int", "ints") for specs in changed for each in specs)


def test_numbers_of_a_message_are_sizes_only_where_the_code_raised_it() -> None:
    class Fits(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not fits(x):
                raise ValueError("height 16 does not fit 224")
            return x

    def fits(x: torch.Tensor) -> bool:
        return x.shape[-1] > 200

    spec = Spec((2, 3, 16, 16))
    with pytest.raises(ValueError, match="height") as raised:
        Fits()(spec.make())
    assert [Spec((2, 3, 224, 224))] in repairs([spec], raised.value)
    assert [Spec((2, 3, 224, 224))] not in repairs([spec], ValueError(str(raised.value)))


def test_a_message_that_names_three_numbers_is_not_guessed_at() -> None:
    assert numbers_told("3 of 16 do not fit 224") == []
    assert numbers_told("needs v1.2 of the weights") == []
