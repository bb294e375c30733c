"""Building and calling classes nobody prepared: factories, call sites, repair, limits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from verify_helpers import report_on, results_of

from gradfix.verify import subject
from gradfix.verify.guess import Spec
from gradfix.verify.repair import repairs
from gradfix.verify.results import TargetResult

SOURCE = '''
import torch
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.lin = nn.Linear(width, width)
    def forward(self, x):
        return torch.tanh(self.lin(x))

class Deep(nn.Module):
    """Only its factory knows what to build it of."""
    def __init__(self, block, counts):
        super().__init__()
        self.body = nn.Sequential(*[block(counts["width"]) for _ in range(counts["depth"])])
    def forward(self, x):
        return self.body(x)

def deep_small():
    return Deep(Block, {"width": 5, "depth": 2})

class Called(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.lin = nn.Linear(sizes["in"], sizes["out"])
    def forward(self, batch):
        return self.lin(batch["x"])

def main():
    data = {"x": torch.zeros(4, 3)}
    net = Called({"in": 3, "out": 2})
    return net(data)

class ListOfSizes(nn.Module):
    def __init__(self, widths):
        super().__init__()
        pairs = zip(widths, widths[1:])
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairs)
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

class DividesByEight(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.down = nn.Linear(dim, dim // 16)
        self.up = nn.Linear(dim // 16, dim)
    def forward(self, x):
        return self.up(torch.tanh(self.down(x)))

class Branches(nn.Module):
    """One branch per call: only both calls together reach everything."""
    def __init__(self):
        super().__init__()
        self.flat = nn.Linear(4, 2)
        self.deep = nn.Linear(4, 2)
    def forward(self, x):
        return self.flat(x) if x.dim() == 2 else self.deep(x)

class Unreached(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 2)
        self.extra = nn.Linear(4, 2)
    def forward(self, x, how="plain"):
        return self.extra(x) if how == "rich" else self.lin(x)

class Unguessable(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 2)
    def forward(self, x):
        return self.lin(x.features["main"]).route(x)

class NoParameters(nn.Module):
    def forward(self, x):
        return x * 2

class OnMeta(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3, device="meta"))
    def forward(self):
        return self.w * 2

class Secret(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(2))
        self.aside = {"a": nn.Parameter(torch.rand(2))}
    def forward(self, key="none"):
        return self.w + self.aside[key] if key in self.aside else self.w * 2
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TargetResult]:
    path = tmp_path_factory.mktemp("driving") / "m.py"
    path.write_text(SOURCE)
    return results_of(path)


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("Block", "Block(width=16)(torch.randn(2, 16))"),
        ("Deep", "Deep(Block, {'width': 5, 'depth': 2})(torch.randn(2, 5))"),
        ("Called", "Called({'in': 3, 'out': 2})(data)"),
        ("ListOfSizes", "ListOfSizes(widths=[8, 8, 8])(torch.randn(2, 8))"),
        ("DividesByEight", "DividesByEight(dim=64)(torch.randn(2, 64))"),
        ("Branches", "Branches()(torch.randn(2, 4)); Branches()(torch.randn(2, 5, 4))"),
    ],
)
def test_driven(name: str, call: str, found: dict[str, TargetResult]) -> None:
    assert (found[name].status, found[name].call) == ("passed", call)


def test_who_drove_it(found: dict[str, TargetResult]) -> None:
    assert found["Called"].driven_by == "call-site"
    assert found["Block"].driven_by == "inferred"


def test_what_was_not_reached_is_not_passed(found: dict[str, TargetResult]) -> None:
    result = found["Unreached"]
    verdicts = {p.name: p.verdict for p in result.parameters}
    assert result.status == "not_verified"
    assert verdicts["extra.weight"] == "inconclusive"
    assert verdicts["lin.weight"] == "ok"
    assert "give a case" in str(result.reason)


def test_a_hidden_parameter_that_was_not_reached_is_not_passed(
    found: dict[str, TargetResult],
) -> None:
    verdicts = {p.name: p.verdict for p in found["Secret"].parameters}
    assert verdicts == {"w": "ok", "aside['a']": "inconclusive"}


def test_what_cannot_be_driven_says_why_and_how(found: dict[str, TargetResult]) -> None:
    result = found["Unguessable"]
    assert result.status == "not_verified"
    assert "Unguessable()({'features': {'main': torch.randn(2, " in str(result.reason)
    compile(str(result.case), "case", "exec")
    assert str(result.case).startswith("def case_Unguessable():\n    from m import Unguessable\n")


def test_nothing_to_learn_is_said(found: dict[str, TargetResult]) -> None:
    assert found["NoParameters"].status == "passed"
    assert found["NoParameters"].reason == "it has no trainable Parameter"


def test_tensors_without_values_are_no_proof(found: dict[str, TargetResult]) -> None:
    assert found["OnMeta"].status == "not_verified"
    assert "meta device" in str(found["OnMeta"].reason)


@pytest.mark.parametrize(
    ("shape", "error", "better"),
    [
        ((2, 4), "mat1 and mat2 shapes cannot be multiplied (2x4 and 8x3)", (2, 8)),
        ((2, 1, 16, 16), "shapes cannot be multiplied (2x72 and 288x3)", (2, 1, 32, 32)),
        ((2, 3), "size of tensor a (3) must match the size of tensor b (7) at", (2, 7)),
        (
            (2, 4, 16, 16),
            "expected input[2, 4, 16, 16] to have 3 channels, but got 4",
            (2, 3, 16, 16),
        ),
        ((2, 4), "not enough values to unpack (expected 3, got 2)", (2, 5, 4)),
        ((2, 5, 4), "input.size(-1) must be equal to input_size. Expected 10, got 4", (2, 5, 10)),
        ((2, 3), "Given normalized_shape=[6], expected input with shape [*, 6]", (2, 6)),
        (
            (2, 4),
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got",
            (2, 4, 16, 16),
        ),
    ],
)
def test_errors_say_what_is_wanted(
    shape: tuple[int, ...], error: str, better: tuple[int, ...]
) -> None:
    assert [Spec(better)] in repairs([Spec(shape)], RuntimeError(error))


def test_errors_that_ask_for_integers() -> None:
    error = RuntimeError("tensors used as indices must be long, int, byte or bool tensors")
    assert [Spec((2, 4), "long")] in repairs([Spec((2, 4))], error)
    assert repairs([Spec((2, 4))], RuntimeError("something else")) == []


def test_specs_print_what_they_make() -> None:
    for spec in (Spec((2, 3)), Spec((4,), "long", 5), Spec((2, 2), "bool"), Spec((3,), "positive")):
        made = eval(spec.text(), {"torch": torch})
        assert (made.shape, made.dtype) == (spec.make().shape, spec.make().dtype)
    assert Spec(()).make().shape == eval(Spec(()).text(), {"torch": torch}).shape


def test_a_bug_of_ours_is_an_error_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The child reads the installed sources, so the bug is planted where it looks first.
    package = tmp_path / "planted"
    package.mkdir()
    (package / "sitecustomize.py").write_text("")
    source = Path(str(subject.__file__)).read_text()
    planted = source.replace(
        "        try:\n            judged = self._judged()\n",
        "        try:\n            judged = self._judged()\n"
        "            assert self.target['name'] != 'Bad', 'planted'\n",
    )
    assert planted != source
    (package / "subject.py").write_text(planted)
    boot = (
        "import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('gradfix.verify.subject', "
        f"{str(package / 'subject.py')!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['gradfix.verify.subject'] = module\nspec.loader.exec_module(module)\n"
    )
    from gradfix.verify import isolate

    changed = isolate._BOOT.replace("confine(job)\n", "confine(job)\n" + boot)
    monkeypatch.setattr(isolate, "_BOOT", changed)
    path = tmp_path / "m.py"
    net = (
        "class {}(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = nn.Parameter(torch.rand(2))\n"
        "    def forward(self):\n        return self.w * 2\n"
    )
    path.write_text("import torch\nfrom torch import nn\n" + net.format("Bad") + net.format("Good"))
    report = report_on(path)
    assert [r.target.rpartition(":")[2] for r in report.results] == ["Good"]
    [failure] = report.failures
    assert failure.message == "internal error while verifying Bad: AssertionError: planted"
    assert "planted" in report.tracebacks[0]


HARDER = '''
import torch
from dataclasses import dataclass
from torch import nn

class Configured(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.emb = nn.Embedding(config.vocab_size, config.n_embd)
        self.head = nn.Linear(config.n_embd, config.vocab_size)
    def forward(self, idx):
        return self.head(self.emb(idx))

@dataclass
class Settings:
    width: int = 6

class WithSettings(nn.Module):
    def __init__(self, settings: Settings):
        super().__init__()
        self.lin = nn.Linear(settings.width, 2)
    def forward(self, x):
        return self.lin(x)

class Flattening(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 5)
        self.head = nn.Linear(288, 3)
    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv(x)), 2)
        return self.head(x.view(-1, 288))

class Reversible(nn.Module):
    """Computes its own gradients, block by block."""
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 4)
    def forward(self, x):
        with torch.no_grad():
            return x + self.lin(x)
    def backward_pass(self, y, dy):
        return y, dy
'''


def test_configurations_images_and_hand_made_backward(tmp_path: Path) -> None:
    path = tmp_path / "m.py"
    path.write_text(HARDER)
    found = results_of(path)
    assert {n: r.status for n, r in found.items()} == {
        "Configured": "passed",
        "WithSettings": "passed",
        "Flattening": "passed",
        "Reversible": "not_verified",
    }
    assert "Reversible.backward_pass may compute it: intended?" in str(found["Reversible"].reason)
    assert "types.SimpleNamespace(vocab_size=16, n_embd=8)" in str(found["Configured"].call)


def test_what_a_base_in_another_file_reads_is_not_called_unused(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text("""
from torch import nn
class Base(nn.Module):
    def forward(self, x, extra=None):
        out = self.main(x)
        return out if extra is None else out + self.side(extra)
""")
    (tmp_path / "net.py").write_text("""
from torch import nn
from base import Base
class Net(Base):
    def __init__(self):
        super().__init__()
        self.main, self.side, self.lost = (nn.Linear(3, 3) for _ in range(3))
""")
    (result,) = results_of(tmp_path / "net.py").values()
    verdicts = {p.name: p.verdict for p in result.parameters if p.name.endswith("weight")}
    assert verdicts == {
        "main.weight": "ok",
        "side.weight": "inconclusive",
        "lost.weight": "unused",
    }
