"""Classes that need more than numbers: what their own code and project say about the rest."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import nn
from verify_helpers import results_of

from gradfix.verify.construct import MadeUp, argument_sets
from gradfix.verify.drive import Record
from gradfix.verify.guess import Spec
from gradfix.verify.mend import climb_constructor, repaired_constructor
from gradfix.verify.settings import VerifySettings

QUICK = VerifySettings(timeout=40)

SOURCE = '''
import torch
from torch import nn

ACTIVATIONS = {"soft": nn.Softplus, "tanh": nn.Tanh}

class Table(nn.Module):
    """An argument is a key of a table, another the width of every layer."""
    def __init__(self, act, widths, depths):
        super().__init__()
        assert len(widths) == 4 and len(depths) == len(widths)
        self.act = ACTIVATIONS[act]()
        self.first = nn.Linear(widths[0], widths[3])
        self.rest = nn.ModuleList(nn.Linear(w, w) for w, d in zip(widths, depths) for _ in range(d))
    def forward(self, x):
        x = self.act(self.first(x))
        for layer in self.rest:
            x = layer(x)
        return x

class Squeeze(nn.Module):
    expansion = 2
    def __init__(self, width, norm_layer):
        super().__init__()
        self.lin = nn.Linear(width, width * self.expansion)
        self.norm = norm_layer(width * self.expansion)
    def forward(self, x):
        return self.norm(self.lin(x).unsqueeze(-1).unsqueeze(-1)).flatten(1)

class Blocks(nn.Module):
    def __init__(self, block, norm_layer):
        super().__init__()
        self.one = block(8, norm_layer)
        self.head = nn.Linear(8 * block.expansion, 2)
    def forward(self, x):
        return self.head(self.one(x))

class Configured(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.kind = cfg.MODEL.KIND
        if self.kind not in ("plain", "gated"):
            raise ValueError(self.kind)
        self.heads = cfg.MODEL.HEADS
        assert cfg.MODEL.HIDDEN % self.heads == 0
        self.lin = nn.Linear(cfg.MODEL.HIDDEN, 3)
        self.drop = nn.Dropout(cfg.MODEL.DROPOUT)
    def forward(self, x):
        return self.drop(self.lin(x))

class Lines(nn.Module):
    """An image whose places stand in a row, with its height and width."""
    def __init__(self, dim=6):
        super().__init__()
        self.conv = nn.Conv2d(dim, dim, 3, padding=1, groups=dim)
    def forward(self, x, h, w):
        b, n, c = x.shape
        return self.conv(x.transpose(1, 2).reshape(b, c, h, w)).flatten(2)

class Batch(nn.Module):
    """Inputs in a dict; one of them is a mask that blank rows would turn into NaN."""
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(5, 1)
    def forward(self, batch):
        score = self.lin(batch["features"]).squeeze(-1)
        return score.masked_fill(~batch["mask"], float("-inf")).softmax(-1)

class Fills(nn.Module):
    """Writes its result into the object that it was given."""
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
    def forward(self, batch):
        batch.nodes = self.lin(batch.nodes)
        return batch

class Pyramid(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 4, 1)
        self.b = nn.Conv2d(5, 4, 1)
    def forward(self, *maps):
        return self.a(maps[0]) + self.b(maps[1])

class Optional(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
    def forward(self, x, context=None):
        return self.lin(x) + context.mean(0)

class Inner(nn.Module):
    """Only what holds it knows what it gets."""
    def __init__(self, parent, at):
        super().__init__()
        self.lin = nn.Linear(parent.sizes["of"][at], 2)
        self.key = parent.secret
    def forward(self, message):
        if message["key"] != self.key:
            raise ValueError("not for me")
        return self.lin(message["x"])

class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.sizes, self.secret = {"of": {"left": 3}}, "open"
        self.inner = Inner(self, "left")
    def forward(self, x):
        return self.inner({"key": "open", "x": x[:, :3].detach()})

class Chance(torch.distributions.Categorical):
    """A distribution of the project's own."""

class Policy(nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.lin = nn.Linear(4, 3)
        self.bias = nn.Parameter(bias.mean(0)[:3])
    def forward(self, x):
        return Chance(logits=self.lin(x) + self.bias)

class Severed(nn.Module):
    """A fault must be seen through made-up arguments, too."""
    def __init__(self, kind):
        super().__init__()
        if kind not in ("one", "two"):
            raise ValueError(kind)
        self.w = nn.Parameter(torch.rand(3))
    def forward(self, x):
        return x[..., :1] + torch.tensor(self.w.sum().item())
'''

SHARED = """
import torch
from torch import nn

class Sharing(nn.Module):
    def __init__(self, shared, width):
        super().__init__()
        if width.no_number:
            raise ValueError(width)
        self.parts = [*shared]
        self.lin = nn.Linear(4, 4)
    def forward(self, x):
        for part in self.parts:
            x = part(x)
        return self.lin(x)

class Whole(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        width = type("Width", (), {"no_number": False})()
        self.one = Sharing([self.first, self.second], width)
    def forward(self, x):
        return self.one(x)

class Given(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.lin = nn.Linear(8, 8)
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.lin(x)

class Makes(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = [nn.Linear(width, width)]
    def forward(self, x):
        return self.layers[0](x)
"""

INPUTS_DECIDE = """
import torch
from torch import nn

class Clusters(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.tail = nn.Linear(4, 4), nn.Linear(4, 4)
    def forward(self, x, target):
        found = self.head(x).log_softmax(1)
        rows = (target > 1000).nonzero().squeeze(1)
        total = self.tail(x)
        if rows.numel():
            total = total + found.index_select(0, rows).sum()
        return total

class Forgets(nn.Module):
    def __init__(self):
        super().__init__()
        self.head, self.tail = nn.Linear(4, 4), nn.Linear(4, 4)
    def forward(self, x):
        found = self.head(x).log_softmax(1)
        return self.tail(x)
"""

UNKNOWN = '''
import torch
from torch import nn

class Secret(nn.Module):
    def __init__(self, word):
        super().__init__()
        if hash(word) != hash(("open", "sesame")):
            raise ValueError("wrong word")
        self.lin = nn.Linear(2, 2)
    def forward(self, x):
        return self.lin(x)

class Engine(nn.Module):
    """Calls a method of its input: no tensor has it, and nothing is made up."""
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)
    def forward(self, data):
        return self.lin(data.collate(3))

class Ignores(nn.Module):
    """It may be that other inputs reach the second layer: that is no verdict."""
    def __init__(self, extra=None):
        super().__init__()
        self.lin, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
    def forward(self, x, more=None):
        out = self.lin(x)
        return out if more is None else out + self.second(more)
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    path: Path = tmp_path_factory.mktemp("making") / "m.py"
    path.write_text(SOURCE)
    return {
        n: (r.status, f"{r.call} {r.reason}") for n, r in results_of(path, settings=QUICK).items()
    }


@pytest.mark.parametrize(
    "name",
    [
        "Table",
        "Squeeze",
        "Blocks",
        "Configured",
        "Lines",
        "Batch",
        "Fills",
        "Pyramid",
        "Optional",
        "Inner",
        "Holder",
        "Policy",
    ],
)
def test_driven_without_help(found: dict[str, tuple[str, str]], name: str) -> None:
    assert found[name][0] == "passed", found[name]


def test_a_part_is_driven_where_its_project_holds_it(found: dict[str, tuple[str, str]]) -> None:
    assert found["Inner"][1].startswith("inner of Holder()")


def test_a_fault_is_seen_through_made_up_arguments(found: dict[str, tuple[str, str]]) -> None:
    assert found["Severed"][0] == "failed"


def test_what_is_not_known_is_not_verified(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(UNKNOWN)
    results = results_of(path, settings=VerifySettings(timeout=15))
    assert {r.status for r in results.values()} == {"not_verified"}
    assert "wrong word" in (results["Secret"].reason or "")


def test_who_is_given_parts_need_not_list_them(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(SHARED)
    found = results_of(path, settings=QUICK)
    assert found["Sharing"].status == "passed", found["Sharing"]
    assert (found["Sharing"].call or "").startswith("one of Whole()")
    assert found["Given"].status == "passed", found["Given"]
    assert [p.verdict for p in found["Makes"].parameters] == ["unregistered"] * 2


FIRST_BATCH = """\
import torch
from torch import nn


class FirstBatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(1, 4))
        self.register_buffer("ready", torch.tensor(0))

    def forward(self, x):
        x = self.inner(x)
        if not self.ready:
            self.scale.squeeze().data.copy_(x.std(0) + 1)  # line
            self.ready += 1
        return x / self.scale, self.scale.log().sum()
"""


def test_a_first_batch_that_initializes_is_asked_about(tmp_path: Path) -> None:
    path = tmp_path / "first.py"
    path.write_text(FIRST_BATCH)
    result = results_of(path)["FirstBatch"]
    row = next(i for i, line in enumerate(FIRST_BATCH.splitlines(), 1) if "# line" in line)
    assert result.status == "not_verified"
    messages = {p.name: p.message for p in result.parameters}
    assert f"stop-gradient at line {row}: intended?" in messages["inner.weight"]
    assert f"the call itself writes to it at line {row}: an initialization?" in messages["scale"]


def test_what_made_up_inputs_do_not_use_is_not_discarded(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(INPUTS_DECIDE)
    found = results_of(path, settings=QUICK)
    verdicts = {p.name: p.verdict for p in found["Clusters"].parameters}
    assert verdicts["head.weight"] == "inconclusive" and verdicts["tail.weight"] == "ok"
    verdicts = {p.name: p.verdict for p in found["Forgets"].parameters}
    assert verdicts["head.weight"] == "discarded"


@pytest.mark.parametrize("shape", [(4,), (2, 5), (3, 4, 4)])
def test_every_row_of_a_mask_holds_both_values(shape: tuple[int, ...]) -> None:
    for kind in ("bool", "mask"):
        mask = Spec(shape, kind).make()
        assert mask.shape == shape
        assert bool((mask != 0).any(-1).all()) and bool((mask == 0).any(-1).all())
        assert torch.equal(eval(Spec(shape, kind).text()), mask)


def test_a_configuration_of_one_build_shares_no_module_with_the_next() -> None:
    first = MadeUp(made={"part": nn.Linear(2, 2)})
    second = first.again()
    assert first.part is first.part and first.part is not second.part
    assert second.made() is not first.made() and "part" in second


def test_a_record_is_a_dict_and_an_object() -> None:
    record = Record({"x": 1})
    record.y = record.x + record["x"]
    assert record == {"x": 1, "y": 2} and copy.deepcopy(record).y == 2
    del record.y
    assert not hasattr(record, "y")
    with pytest.raises(AttributeError):
        del record.y


def test_options_of_the_project_come_first_in_a_configuration() -> None:
    assert MadeUp({"hidden": 12}).hidden == 12
    assert "hidden" in MadeUp({"hidden": 12})


class Even(nn.Module):
    def __init__(self, width: int, groups) -> None:  # type: ignore[no-untyped-def]
        super().__init__()
        first, second = groups
        self.parts = nn.ModuleList(nn.Linear(width, n) for n in (first, second))
        self.norm = nn.GroupNorm(32, width)


def test_arguments_are_changed_until_the_constructor_gets_through() -> None:
    def attempt(kwargs: dict[str, object]) -> Exception | None:
        try:
            Even(**kwargs)  # type: ignore[arg-type]
        except Exception as error:
            return error
        return None

    start = next(argument_sets(Even))
    assert len(start["groups"]) == 2
    error = attempt({"width": 8, "groups": 8})
    assert error is not None
    assert climb_constructor({"width": 8, "groups": 8}, error, attempt, __file__) is not None


def test_widths_grow_together_also_in_lists() -> None:
    error = ValueError("num_channels must be divisible by num_groups")
    repaired = repaired_constructor(Even, {"width": 8, "groups": [8, 16]}, error)
    assert {"width": 64, "groups": [64, 64]} in repaired
    repaired = repaired_constructor(Even, {"width": 8, "groups": [8, 3]}, error)
    assert {"width": 64, "groups": [64, 64]} in repaired
