"""Facts stated in ``fixtures/flow``: the analysis gives them, and in torch they are true."""

from __future__ import annotations

import ast
import importlib.util
import runpy
from pathlib import Path

import pytest

if importlib.util.find_spec("torch") is None:
    pytest.skip("torch is not installed", allow_module_level=True)

import flow_facts as facts
import torch

from gradfix import flow
from gradfix.flow.state import GradMode, Write
from gradfix.flow.values import Kind, Role, Value, number, sequence

SAVED = facts.PROGRAMS / "saved.py"
PROGRAMS = sorted(facts.PROGRAMS.glob("*.py"))
EVERY = pytest.mark.parametrize("path", PROGRAMS, ids=[path.stem for path in PROGRAMS])


@EVERY
def test_stated_facts_are_given(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not facts.disagreements(text)


@EVERY
@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_certain_facts_are_true_in_torch(path: Path) -> None:
    watch = facts.Watch(path.read_text(encoding="utf-8"), path.name).run()
    assert not list(watch.contradictions)
    assert watch.compared > 50


def functions() -> list[str]:
    tree = ast.parse(SAVED.read_text(encoding="utf-8"))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]


@pytest.mark.parametrize("name", functions())
def test_what_is_said_of_saved_tensors_is_what_backward_says(name: str) -> None:
    space = runpy.run_path(str(SAVED))
    analysed = flow.analyse(SAVED.read_text(encoding="utf-8"))
    writes = [write for write in analysed.all(Write) if write.scope.name == name]
    # Writing through ``.data`` overwrites, too, but backward takes no notice.
    seen = [write for write in writes if write.target.op != "data"]
    expected = any(saved.certain for write in seen for saved in write.overwritten)
    assert writes
    told = ""
    try:
        space[name]()
    except RuntimeError as error:
        told = str(error)
    assert ("modified by an inplace operation" in told) is expected


def test_there_are_programs_with_facts() -> None:
    told = [fact for path in PROGRAMS for fact in facts.stated(path.read_text(encoding="utf-8"))]
    assert len(told) > 400
    words = {phrase.split()[0] for fact in told for phrase in fact.phrases}
    assert {
        "leaf",
        "tracked",
        "untracked",
        "own",
        "view",
        "memory",
        "from",
        "cut",
        "number",
    } <= words


# -- the tests above can fail -------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "x = torch.ones(3)  # x: leaf",
        "x = torch.ones(3)  # x: (4,)",
        "x = torch.ones(3)  # x: int64",
        "x = torch.ones(3)  # y: untracked",
        "x = torch.ones(3)  # x: view of y",
        "x = torch.ones(3)  # x: some nonsense",
        "x = torch.ones(3)  # grad mode: off",
        "x = torch.ones(3); x += 1  # writes x: overwrites result of exp",
    ],
)
def test_a_wrong_fact_is_noticed(line: str) -> None:
    (told,) = facts.disagreements(f"import torch\n{line}\n")
    assert told.startswith("line 2: ")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"role": Role.LEAF}, "x: UNTRACKED and not"),
        ({"shape": (4,)}, "x: shape (3,) and not (4,)"),
        ({"shape": (3, 1)}, "x: shape (3,) and not (3, 1)"),
        ({"dtype": "float64"}, "x: torch.float32 and not float64"),
        ({"kind": Kind.NUMBER}, "x: a tensor and no number"),
        ({"parameter": True}, "x: no Parameter"),
    ],
)
def test_a_contradiction_is_noticed(change: dict[str, object], told: str) -> None:
    watch = facts.Watch("import torch\nx = torch.ones(3)\ny = x[:2]\n", "example.py")
    (found,) = [fact.value for fact in watch.facts(2) if fact.subject == "x"]
    assert found is not None
    for name, value in change.items():
        setattr(found, name, value)
    assert any(told in line for line in watch.run().contradictions)


def test_wrong_memory_and_grad_mode_are_noticed() -> None:
    text = "import torch\nx = torch.ones(3)\ny = x[:2]\nz = x + 1\n"
    watch = facts.Watch(text, "example.py")
    by_name = {fact.subject: fact.value for row in (2, 3, 4) for fact in watch.facts(row)}
    x, y, z = by_name["x"], by_name["y"], by_name["z"]
    assert x is not None and y is not None and z is not None
    y.storages, z.storages = z.storages, x.storages
    watch.flow.modes = dict.fromkeys(watch.flow.modes, GradMode.OFF)
    told = "\n".join(watch.run().contradictions)
    assert "y and x share memory" in told
    assert "z and x share no memory" in told
    assert "grad mode is not off" in told


def test_wrong_leaves_are_noticed() -> None:
    text = (
        "import torch\nv = torch.ones(3, requires_grad=True)\nw = torch.ones(3, requires_grad=True)"
        "\nx = v * 2  # x: from w\n"
    )
    (told,) = facts.Watch(text, "example.py").run().contradictions
    assert told == "example.py:4: x: not from w"


@pytest.mark.parametrize(
    ("value", "thing", "told"),
    [
        (number(3), 4, "4 and not 3"),
        (number(), "a", "str is no number"),
        (sequence([number(1)]), [1, 2], "length 2 and not 1"),
        (sequence([number(1)]), [2], "[0]: 2 and not 1"),
        (Value(Kind.STRING), 3, "int is no string"),
        (Value(Kind.MODULE, name="torch.nn.Linear"), torch.nn.ReLU(), "ReLU and not"),
        (Value(Kind.INSTANCE, name="Net"), 3, "no instance of Net"),
    ],
)
def test_other_objects_are_compared(value: Value, thing: object, told: str) -> None:
    assert any(line.startswith(told) for line in facts.contradictions(value, thing))
