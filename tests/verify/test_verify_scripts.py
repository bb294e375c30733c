"""Classes of scripts: what statements that are not run would bind, and what the machine lacks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from verify_helpers import results_of

from gradfix.verify.machine import Absent, left_out, make_do
from gradfix.verify.results import TargetResult
from gradfix.verify.settings import VerifySettings

QUICK = VerifySettings(timeout=40)
HEAD = "import torch\nfrom torch import nn\nimport no_such_games\n"
SCRIPT = HEAD + '''
env = no_such_games.make("Cart")
state_size = env.observation_space.shape[0]
transform = no_such_games.transform
table = list(open("no such file"))
dataset = "Cora"
dataset = no_such_games.load(dataset)

class Policy(nn.Module):
    """Its sizes are numbers that the environment gives."""
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(state_size, num_actions)
    def forward(self, x):
        return self.lin(x)

class OfData(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(dataset.num_features, dataset.num_classes)
    def forward(self, x):
        return self.lin(x)

class Transforms(nn.Module):
    """A function of a package that is missing is never made up."""
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
    def forward(self, x):
        return transform(self.lin(x))

class Looks(nn.Module):
    """Nor is data, nor a name that nothing binds."""
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
    def forward(self, x):
        return self.lin(x) * len(table)

class Chooses(nn.Module):
    """Nor is what chooses a way through the code."""
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
    def forward(self, x):
        return (x.detach() if frozen else x) * (self.lin(x) if not frozen else self.lin(x).detach())

class Misspelt(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, stat_size)
    def forward(self, x):
        return self.lin(x)

if __name__ == "__main__":
    x = no_such_games.play(Policy())
    num_actions = env.action_space.n
    frozen = bool(no_such_games.FROZEN)
'''
LACKING = '''
import torch
from torch import nn

class Pretrained(nn.Module):
    def __init__(self, pretrained=True):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.head = nn.Linear(3, 2)
        if pretrained:
            saved = torch.load("weights/of/1999.pth", map_location="cpu")
            state = {k: v for k, v in saved["model"].items() if k != "head.weight"}
            self.lin.load_state_dict(state)
            self.load_state_dict(saved, strict=False)
    def forward(self, x):
        return self.head(self.lin(x))

class Fetched(nn.Module):
    """Of a network that is trained already, a part may be left out."""
    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.load_state_dict(torch.hub.load_state_dict_from_url("http://127.0.0.1:9/w.pth"))
    def forward(self, x):
        first = self.parts[0](x)
        self.parts[1](first)
        return first

class Computes(nn.Module):
    """What it takes out of the missing file is no weight of a module."""
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))
        self.scale = torch.load("scale.pt")["scale"] * 2
    def forward(self, x):
        return self.w * self.scale

class OnGpu(nn.Module):
    def __init__(self, device="cuda"):
        super().__init__()
        self.lin = nn.Linear(3, 3).cuda()
        self.mask = torch.ones(3, device=device)
    def forward(self, x):
        return self.lin(x.cuda()) * self.mask

class LostOnGpu(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3)).cuda()
    def forward(self, x):
        return x * self.w
'''

CHANCE = """
import torch
from torch import nn

class Chance(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))
        self.g = nn.Parameter(torch.empty(3))
        memory = torch.zeros(3)  # what chance may have left there
        if not torch.isnan(self.g).any():
            self.g.data.copy_(memory)
    def forward(self, x):
        return x * (self.g + self.w).sqrt()

class Divides(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))
    def forward(self, x):
        return x * self.w.sqrt()
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    results = {}
    for name, text in (("script", SCRIPT), ("lacking", LACKING)):
        path = tmp_path_factory.mktemp(name) / f"{name}.py"
        path.write_text(text)
        results |= results_of(path, settings=QUICK)
    return results


def test_numbers_of_statements_that_were_not_run_are_made_up(
    found: dict[str, TargetResult],
) -> None:
    assert found["Policy"].status == "passed", found["Policy"]
    assert (found["Policy"].call or "").endswith("  # num_actions = 8, state_size = 8")


def test_an_object_is_made_up_even_if_a_word_had_its_name(found: dict[str, TargetResult]) -> None:
    assert found["OfData"].status == "passed", found["OfData"]
    assert "num_features=8" in (found["OfData"].call or "")


@pytest.mark.parametrize("name", ["Transforms", "Looks", "Chooses", "Misspelt"])
def test_functions_data_and_unknown_names_are_not(
    found: dict[str, TargetResult], name: str
) -> None:
    assert found[name].status == "not_verified" and not found[name].parameters, found[name]


def test_a_case_gets_no_made_up_names(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    cases = tmp_path / "gradfix_cases.py"
    cases.write_text("def case_Policy():\n    from script import Policy\n    return Policy()\n")
    results = results_of(path, "OfData", "Policy", settings=QUICK)
    assert results["OfData"].status == "passed"
    assert results["Policy"].status == "not_verified" and results["Policy"].call is None


def test_weights_that_are_not_there_are_left_out(found: dict[str, TargetResult]) -> None:
    assert found["Pretrained"].status == "passed", found["Pretrained"]
    assert "without the weights of 1999.pth" in (found["Pretrained"].call or "")
    assert found["Computes"].status == "not_verified" and not found["Computes"].parameters


def test_what_is_trained_already_is_asked_about_and_not_blamed(
    found: dict[str, TargetResult],
) -> None:
    fetched = {p.name: p for p in found["Fetched"].parameters}
    assert fetched["parts.0.weight"].verdict == "ok"
    assert fetched["parts.1.weight"].verdict == "inconclusive"
    assert "intended?" in fetched["parts.1.weight"].message


def test_memory_that_nothing_was_written_to_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(CHANCE)
    found = results_of(path, settings=QUICK)
    assert {p.verdict for p in found["Chance"].parameters} == {"inconclusive"}
    assert {p.verdict for p in found["Divides"].parameters} == {"nonfinite"}


def test_no_gpu_is_needed_and_a_copy_there_is_still_a_copy(found: dict[str, TargetResult]) -> None:
    assert found["OnGpu"].status == "passed", found["OnGpu"]
    assert [p.verdict for p in found["LostOnGpu"].parameters] == ["unregistered"]


def test_absent_weights_are_given_only_where_they_were_allowed(tmp_path: Path) -> None:
    saved = tmp_path / "saved.pt"
    torch.save(nn.Linear(2, 2).state_dict(), saved)
    make_do(True)
    try:
        gone = torch.load(tmp_path / "gone.pt")
        assert isinstance(gone, Absent) and gone["model"] is gone and not gone
        assert left_out() == ["gone.pt"]
        assert set(torch.load(saved)) == {"weight", "bias"}
        with pytest.raises(RuntimeError):
            nn.Linear(3, 3).load_state_dict(torch.load(saved))
    finally:
        make_do(False)
    assert left_out() == []
    with pytest.raises(FileNotFoundError):
        torch.load(tmp_path / "gone.pt")
