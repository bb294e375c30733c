"""The legacy project really is faulty in torch, and `gradfix apply` really mends it.

Each probe answers one question about one module, and is asked before and after the rewrite.
"""

from __future__ import annotations

import ast
import importlib
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

LEGACY = Path(__file__).resolve().parent.parent / "fixtures" / "legacy"
SUBMODULES = ("circuits", "config", "data", "training", "zoo")


@dataclass(frozen=True)
class Project:
    """The legacy package as imported from one folder."""

    folder: Path
    circuits: ModuleType
    config: ModuleType
    data: ModuleType
    training: ModuleType
    zoo: ModuleType


def load(folder: Path) -> Project:
    """Import `pnn` from a folder; copies of it can live side by side."""
    sys.path.insert(0, str(folder))
    try:
        found = {name: importlib.import_module(f"pnn.{name}") for name in SUBMODULES}
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "pnn"]:
            del sys.modules[name]
    assert all(Path(str(m.__file__)).is_relative_to(folder) for m in found.values())
    return Project(folder, **found)


def gradfix(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gradfix", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )


def copy_of(folder: Path) -> Path:
    target = folder / "legacy"
    shutil.copytree(LEGACY, target, ignore=shutil.ignore_patterns("__pycache__"))
    return target


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return load(copy_of(tmp_path_factory.mktemp("before")))


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = copy_of(tmp_path_factory.mktemp("after"))
    done = gradfix(folder, "apply")
    # Whether something is left has its own test; 2 would mean that not all files were looked at.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return load(folder)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Torch warns about some of the faults; here they are on purpose."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


# -- probes: a forward value, and whether every leaf is there and gets its gradient -------------


def run(module: torch.nn.Module, output: torch.Tensor, *names: str) -> bool:
    """Whether backward works and exactly the named Parameters get finite, non-zero gradients."""
    if not output.requires_grad:
        return False
    try:
        torch.autograd.backward(output.square().sum())
    except RuntimeError as error:
        if "inplace operation" not in str(error):
            raise
        return False
    trainable = {n: p for n, p in module.named_parameters() if p.requires_grad}
    return set(trainable) == set(names) and all(
        p.grad is not None and bool(p.grad.isfinite().all()) and bool(p.grad.any())
        for p in trainable.values()
    )


Answer = tuple[torch.Tensor, bool]


def activation(project: Project) -> Answer:
    module = project.circuits.ActivationCircuit()
    out = module(torch.linspace(-1, 1, 5))
    values = torch.cat([out, module.components, module.coefficients])
    return values, run(module, out, "rt_", "eta_")


def divider(project: Project) -> Answer:
    module = project.circuits.DividerStage()
    return module.components, run(module, module.components, "r_")


def printed_layer(project: Project) -> Answer:
    module = project.circuits.PrintedLayer(3, 2)
    out = module(torch.rand(4, 3))
    names = [f"activations.{i}.{name}" for i in range(2) for name in ("rt_", "eta_")]
    return out, run(module, out, "theta_", *names)


def of_class(where: str, name: str, shape: tuple[int, ...] | None, *parameters: str) -> Any:
    def probe(project: Project) -> Answer:
        module = getattr(getattr(project, where), name)()
        out = module() if shape is None else module(torch.rand(*shape))
        return out, run(module, out, *parameters)

    return probe


def sensitivity(project: Project) -> Answer:
    gradient = project.training.sensitivity(torch.rand(5, 3))
    return torch.zeros(0), gradient is not None and bool(gradient.any())


def pulse(project: Project) -> Answer:
    module = project.training.PulseTrain()
    kept = module.v.detach().clone()
    return module.preview(0.5), torch.equal(kept, module.v)


FAULTY: dict[str, Callable[[Project], Answer]] = {
    "DividerStage": divider,
    "Readout": of_class("zoo", "Readout", (4, 6), "weight", "bias"),
    "Leak": of_class("zoo", "Leak", (7, 3), "rate"),
    "SynapseArray": of_class("zoo", "SynapseArray", (2, 3), "measured", "offset"),
    "Projection": of_class("zoo", "Projection", (5, 4), "weight", "gain"),
    "GateMixer": of_class("training", "GateMixer", (3, 2), "a", "b"),
    "ThresholdMixer": of_class("training", "ThresholdMixer", (3, 2), "low", "high"),
    "VariationPenalty": of_class("training", "VariationPenalty", None, "scale"),
    "sensitivity": sensitivity,
    "PulseTrain.preview": pulse,
}
RIGHT: dict[str, Callable[[Project], Answer]] = {
    "ActivationCircuit": activation,
    "PrintedLayer": printed_layer,
    "PulseTrain.forward": of_class("training", "PulseTrain", (10,), "v"),
}


def ask(probe: Callable[[Project], Answer], project: Project) -> Answer:
    torch.manual_seed(0)
    return probe(project)


@pytest.mark.parametrize("name", FAULTY)
def test_faulty_today(name: str, before: Project) -> None:
    assert not ask(FAULTY[name], before)[1]


@pytest.mark.parametrize("name", RIGHT)
def test_right_today(name: str, before: Project) -> None:
    assert ask(RIGHT[name], before)[1]


@pytest.mark.parametrize("name", [*FAULTY, *RIGHT])
def test_mended(name: str, before: Project, after: Project) -> None:
    probe = {**FAULTY, **RIGHT}[name]
    (old, _), (new, right) = ask(probe, before), ask(probe, after)
    assert right
    assert new.dtype == old.dtype
    assert torch.equal(new, old)


# -- what the probes cannot see ------------------------------------------------------------------


def test_the_dependent_parameter_has_the_known_gradient(after: Project) -> None:
    torch.manual_seed(0)
    stage = after.circuits.DividerStage()
    components = stage.components
    components.sum().backward()
    torch.testing.assert_close(
        components.detach(), torch.tensor([0.4963, 0.7682, 0.2115]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(stage.r_.grad, torch.tensor([1.1414, 0.8804]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("module", ["ActivationCircuit", "PrintedLayer"])
def test_gradients_of_rewritten_assemblies_are_the_same(
    module: str, before: Project, after: Project
) -> None:
    gradients = []
    for project in (before, after):
        torch.manual_seed(0)
        arguments = (3, 2) if module == "PrintedLayer" else ()
        layer = getattr(project.circuits, module)(*arguments)
        layer(torch.rand(4, 3)).sum().backward()
        gradients.append([p.grad for p in layer.parameters() if p.requires_grad])
    torch.testing.assert_close(gradients[1], gradients[0])


def test_a_device_that_copies_shows_the_lost_parameter(
    before: Project, after: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU `.to(DEVICE)` returns the Parameter itself; `meta` stands in for a GPU here."""
    names = []
    for project in (before, after):
        monkeypatch.setattr(project.config, "DEVICE", torch.device("meta"))
        names.append({name for name, _ in project.zoo.Projection().named_parameters()})
    assert "gain" not in names[0]
    assert names[1] == {"weight", "gain"}


LOOKALIKES = {
    "pnn/circuits.py": ["HardThreshold", "printable", "frozen_eta_estimator", "PrintedLayer.clip_"],
    "pnn/zoo.py": ["Readout.reset_parameters", "SynapseArray.conductances"],
    "pnn/training.py": ["PlainSGD", "ExponentialAverage", "History", "accuracy", "train"],
    "pnn/data.py": ["half_circles", "inverter_curve"],
    "train.py": ["main"],
}


def definition(path: Path, dotted: str) -> str:
    text = path.read_text(encoding="utf-8")
    node: ast.AST = ast.parse(text)
    for name in dotted.split("."):
        node = next(
            child for child in ast.iter_child_nodes(node) if getattr(child, "name", None) == name
        )
    return ast.get_source_segment(text, node) or ""


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file, names in LOOKALIKES.items() for name in names]
)
def test_lookalikes_stay(file: str, name: str, after: Project) -> None:
    kept = definition(LEGACY / file, name)
    assert kept
    assert definition(after.folder / file, name) == kept


def test_nothing_is_left_and_a_second_run_changes_nothing(after: Project) -> None:
    contents = {path: path.read_bytes() for path in after.folder.rglob("*.py")}
    left = gradfix(after.folder, "check")
    assert (left.returncode, left.stdout) == (0, "")
    assert gradfix(after.folder, "apply").returncode == 0
    assert {path: path.read_bytes() for path in after.folder.rglob("*.py")} == contents


@pytest.mark.parametrize("which", ["before", "after"])
def test_the_program_itself(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which).folder
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "train.py"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    answers = [line.partition(": ")[2] for line in done.stdout.splitlines() if ": " in line]
    assert answers == ["False" if which == "before" else "True"] * 4
