"""Classes that take odd arguments and inputs: found by how far a call gets."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import torch
from verify_helpers import results_of

from gradfix.verify.build import Offer
from gradfix.verify.calling import Calls
from gradfix.verify.climb import OutOfTime, climb, reached
from gradfix.verify.construct import MadeUp, argument_sets
from gradfix.verify.drive import Maker
from gradfix.verify.guess import Spec
from gradfix.verify.mend import repaired_constructor
from gradfix.verify.settings import VerifySettings

QUICK = VerifySettings(timeout=30)

SOURCE = '''
import torch
from torch import nn

class Attend(nn.Module):
    """A mask must lie beside four axes, a state is a pair, a length is a number for each."""
    def __init__(self, dim, mode):
        super().__init__()
        if mode not in ("first", "second"):
            raise ValueError(mode)
        self.lin = nn.Linear(dim, dim)
    def forward(self, query, state, lengths):
        hidden, cell = state
        batch, heads, time, width = query.shape
        packed = nn.utils.rnn.pack_padded_sequence(query[:, 0], lengths, True, False)
        return self.lin(query) + hidden.sum() * cell.mean() + packed.data.sum()

class Wrapper(nn.Module):
    def __init__(self, options, self_attention, norm_cls):
        super().__init__()
        self.inner = self_attention
        self.norm = norm_cls()
        self.lin = nn.Linear(options["hidden"], options.get("out", 3))
    def forward(self, x):
        return self.lin(self.norm(self.inner(x)))

class Grouped(nn.Module):
    def __init__(self, group_matrix):
        super().__init__()
        self.w = nn.Parameter(torch.rand(group_matrix.shape[0]))
        self.register_buffer("groups", group_matrix.clone())
    def forward(self, x):
        return x @ (self.groups @ self.w)

class Joined(nn.Module):
    def __init__(self, hidden=6, given=5):
        super().__init__()
        self.gate = nn.Conv2d(hidden + given, hidden, 3, padding=1)
    def forward(self, h, x):
        return h * torch.sigmoid(self.gate(torch.cat([h, x], 1)))

class Never(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
    def forward(self, graph):
        return self.lin(graph.nodes()) + graph.edges
'''


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    path: Path = tmp_path_factory.mktemp("climb") / "m.py"
    path.write_text(SOURCE)
    return {k: (r.status, r.call or r.reason) for k, r in results_of(path, settings=QUICK).items()}


@pytest.mark.parametrize("name", ["Attend", "Wrapper", "Grouped", "Joined"])
def test_driven_without_help(found: dict[str, tuple[str, str]], name: str) -> None:
    assert found[name][0] == "passed", found[name]


def test_what_cannot_be_guessed_stays_not_verified(found: dict[str, tuple[str, str]]) -> None:
    assert found["Never"][0] == "not_verified"
    assert "graph" in SOURCE and "nodes" in found["Never"][1]


def needs_vector_then_number(x: torch.Tensor, n: int) -> None:
    (_width,) = x.shape
    if not isinstance(n, int):
        raise TypeError("n is no number")


def attempt(specs: list[Spec]) -> Exception | None:
    try:
        needs_vector_then_number(*(spec.make() for spec in specs))
    except Exception as error:
        return error
    return None


def test_climbing_keeps_what_gets_further() -> None:
    start = [Spec((2, 4)), Spec((2, 4))]
    error = attempt(start)
    assert error is not None
    file = inspect.getfile(needs_vector_then_number)
    specs = climb(reached(start, error, file), [Spec((3,))], attempt, file)
    assert specs is not None and len(specs[0].shape) == 1 and specs[1].kind == "int"


def test_climbing_ends_when_time_is_up() -> None:
    def late(specs: list[Spec]) -> Exception | None:
        raise OutOfTime

    start = [Spec((2, 4))]
    assert climb(reached(start, ValueError(), __file__), [Spec((3,))], late, __file__) is None


def test_a_made_up_configuration_is_shown_as_it_was_used() -> None:
    attributes, mapping = MadeUp(), MadeUp()
    assert attributes.hidden == 8
    assert repr(attributes) == "types.SimpleNamespace(hidden=8)"
    assert mapping["hidden"] == 8 and mapping.get("missing", 5) == 5
    assert repr(mapping) == "{'hidden': 8}"
    with pytest.raises(TypeError):
        mapping[0]


class Chooses(torch.nn.Module):
    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.reduction = reduction
        if reduction == "mean":
            self.scale = 2


def test_words_that_a_class_compares_with_are_tried_first() -> None:
    assert next(argument_sets(Chooses)) == {"reduction": "mean"}


def test_words_an_error_names_are_tried() -> None:
    error = ValueError("must be one of ['uniform', 'normal']")
    repaired = repaired_constructor(Chooses, {"reduction": "relu"}, error)
    assert {"reduction": "normal"} in repaired and {"reduction": "uniform"} in repaired


def test_no_time_for_a_call_is_said_as_such() -> None:
    made = Maker("Slow()", lambda: torch.nn.Linear(2, 2))
    calls = Calls(made, made.build(), Offer(), 0, deadline=0.0)
    assert list(calls.drives()) == [] and "no call was tried" in calls.miss


def test_what_takes_long_is_not_built_once_more_to_see_that() -> None:
    built = []
    made = Maker("Slow()", lambda: built.append(1) or torch.nn.Linear(2, 2))  # type: ignore[func-returns-value]
    module = made.build()
    assert Calls(made, module, Offer(), 0, 0.0, took=9.0).slow and len(built) == 1
    assert not Calls(made, module, Offer(), 0, 0.0, took=0.2).slow and len(built) == 2
