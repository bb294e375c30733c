"""A forward without gradients: asked about where somebody else trains the Module, else blamed."""

from __future__ import annotations

from pathlib import Path

import pytest
from verify_helpers import results_of

from gradfix.verify.results import TargetResult

HEAD = """\
import torch
from torch import nn
"""

ASKED = {
    "TrainsItself": """
class TrainsItself(nn.Module):
    def __init__(self, steps=3):
        super().__init__()
        self.net = nn.Linear(4, 2)
        optimizer = torch.optim.SGD(self.net.parameters(), 0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            self.net(torch.ones(2, 4)).square().sum().backward()
            optimizer.step()
        optimizer.zero_grad()

    def forward(self, x):
        with torch.no_grad():  # line
            return self.net(x)
""",
    "Ensemble": """
class Ensemble(nn.Module):
    def __init__(self, models: list[nn.Module]):
        super().__init__()
        self.models = nn.ModuleList(models)

    @torch.inference_mode()  # line
    def forward(self, x):
        return torch.stack([model(x) for model in self.models]).mean(0)
""",
    "Teacher": """
class Teacher(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x):
        with torch.no_grad():  # line
            return self.net(x).softmax(-1)
""",
    "Generator": """
class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 4)

    def loss(self, x):
        return (self.net(x) - x).square().mean()

    @torch.no_grad()  # line
    def forward(self, x):
        for _ in range(3):
            x = self.step(x)
        return x

    def step(self, x):
        return self.net(x)
""",
    "Detached": """
class Detached(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net.forward(x).detach()  # line
""",
    "Deep": """
class Deep(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x):
        with torch.no_grad():  # line
            call = self.net
            for _ in range(12):
                call = wrapped(call)
            return call(x)


def wrapped(function):
    return lambda x: function(x)
""",
}

BLAMED = {
    "OnlyForward": """
class OnlyForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)

    @torch.no_grad()  # line
    def forward(self, x):
        return self.net(x)
""",
    "TrainedByForward": """
class TrainedByForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)

    def configure_optimizers(self):
        return torch.optim.Adam(self.net.parameters())

    def training_step(self, x):
        return self(x).square().sum()

    @torch.no_grad()  # line
    def forward(self, x):
        return self.encode(x)

    def encode(self, x):
        return self.net(x)

    @torch.no_grad()
    def predict(self, x):
        return self.net(x).argmax(-1)
""",
    "ComputesInItsConstructor": """
class ComputesInItsConstructor(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)
        self.width = self.net(torch.ones(1, 4)).shape[-1]

    def forward(self, x):
        with torch.no_grad():  # line
            return self.net(x) / self.width
""",
    "PartlyWithout": """
class PartlyWithout(nn.Module):
    def __init__(self, body: nn.Module):
        super().__init__()
        self.body, self.top = nn.Linear(4, 4), nn.Linear(4, 2)

    def pretrain(self, x):
        return self.body(x).sum()

    def forward(self, x):
        with torch.no_grad():  # line
            x = self.body(x)
        return self.top(x)
""",
    "OwnDetached": """
class OwnDetached(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)

    def forward(self, x):
        return self.net(x).detach()  # line
""",
    "Copied": """
class Copied(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x):
        return torch.tensor(self.net(x).tolist())  # line
""",
    "StaysOff": """
class StaysOff(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)

    def loss(self, x):
        return self.net(x).sum()

    def forward(self, x):
        torch.set_grad_enabled(False)
        return self.net(x)
""",
}


def line_in(text: str) -> int:
    rows = (HEAD + text).splitlines()
    return next((i for i, row in enumerate(rows, 1) if row.endswith("# line")), 0)


def run(name: str, text: str, folder: Path) -> TargetResult:
    path = folder / "modules.py"
    path.write_text(HEAD + text)
    return results_of(path)[name]


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("TrainsItself", "TrainsItself.__init__ trains it"),
        ("Ensemble", "the part that holds it, models, is made elsewhere"),
        ("Teacher", "the part that holds it, net, is made elsewhere"),
        ("Detached", "the part that holds it, net, is made elsewhere"),
        ("Deep", "the part that holds it, net, is made elsewhere"),
        ("Generator", "Generator.loss computes with it with gradients"),
    ],
)
def test_it_is_asked_about(name: str, who: str, tmp_path: Path) -> None:
    result = run(name, ASKED[name], tmp_path)
    row = line_in(ASKED[name])
    assert result.status == "not_verified"
    assert result.reason is not None
    assert f"it is stopped at line {row}, and {who}: meant for inference only?" in (result.reason)
    assert {p.verdict for p in result.parameters} == {"inconclusive"}
    assert {b.row for p in result.parameters for b in p.blame} == {row}


@pytest.mark.parametrize("name", BLAMED)
def test_it_is_blamed(name: str, tmp_path: Path) -> None:
    result = run(name, BLAMED[name], tmp_path)
    bad = [p for p in result.parameters if p.verdict in ("severed", "escaped")]
    assert result.status == "failed"
    assert {p.name.partition(".")[0] for p in bad} <= {"net", "body"}
    if line_in(BLAMED[name]):
        assert {b.row for p in bad for b in p.blame} == {line_in(BLAMED[name])}
