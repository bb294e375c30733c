"""Loops whose progress is shown go through what they are given.

These libraries need not be installed, so nothing here is executed.
"""

from __future__ import annotations

import ast

import pytest

from gradfix import engine, flow
from gradfix.config import settings_from
from gradfix.flow.state import Call
from gradfix.flow.values import Kind, Value
from gradfix.model import Source

FILLED = """\
import torch
from torch import nn
{imported}


class Unrolled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self):
        out = torch.zeros(4, 3)
        for t in {items}:
            out[t] = self.w * t
        return out
"""


def seen(imported: str, items: str) -> Value:
    """What a loop over the items binds its target to."""
    facts = flow.analyse(f"import torch\n{imported}\nfor x in {items}:\n    print(x)\n")
    (call,) = [call for call in facts.all(Call) if call.name == "builtins.print"]
    return call.arguments[0]


@pytest.mark.parametrize(
    ("imported", "called"),
    [
        ("from tqdm import tqdm", "tqdm(range(4))"),
        ("import tqdm", "tqdm.tqdm(range(4), desc='steps')"),
        ("from tqdm.auto import tqdm", "tqdm(iterable=range(4))"),
        ("from tqdm import tqdm_notebook as tqdm", "tqdm(range(4))"),
        ("from tqdm import trange", "trange(4, desc='steps')"),
        ("from tqdm.notebook import trange", "trange(4)"),
        ("from rich.progress import track", "track(range(4), 'steps')"),
    ],
)
def test_the_items_are_those_that_are_given(imported: str, called: str) -> None:
    value = seen(imported, called)
    assert value.kind is Kind.NUMBER
    assert value.counter is not None and (value.counter.start, value.counter.stop) == (0, 4)


def test_a_bar_that_is_closed_at_the_end() -> None:
    text = (
        "from tqdm import tqdm\nwith tqdm(range(4)) as bar:\n    for x in bar:\n        print(x)\n"
    )
    (call,) = [call for call in flow.analyse(text).all(Call) if call.name == "builtins.print"]
    counter = call.arguments[0].counter
    assert counter is not None and counter.stop == 4


@pytest.mark.parametrize("items", ["[w]", "(w, 2 * w)", "torch.ones(2, 3)"])
def test_tensors_stay_tensors(items: str) -> None:
    made = "from tqdm import tqdm\nw = torch.ones(3, requires_grad=True)"
    assert seen(made, f"tqdm({items})").is_tensor


@pytest.mark.parametrize(
    "called", ["tqdm(total=4)", "tqdm(*given)", "tqdm()", "tqdm(given)", "bars(range(4))"]
)
def test_what_is_not_known_stays_unknown(called: str) -> None:
    assert seen("from tqdm import tqdm\nfrom other import bars, given", called).kind is Kind.UNKNOWN


def test_a_function_of_the_file_of_that_name_is_another() -> None:
    own = "def tqdm(items):\n    return [0]"
    assert seen(own, "tqdm(range(4))").counter is None


@pytest.mark.parametrize(
    ("imported", "items"),
    [("from tqdm import tqdm", "tqdm(range(4))"), ("from tqdm import trange", "trange(4)")],
)
def test_a_buffer_that_is_filled_meanwhile_is_stacked(imported: str, items: str) -> None:
    text = FILLED.format(imported=imported, items=items)
    outcome = engine.fix(Source("net.py", text), settings_from(select=["GF302"]))
    assert f"for t in {items}:\n            out_parts.append(self.w * t)" in outcome.text
    assert "out = torch.stack(out_parts)" in outcome.text
    ast.parse(outcome.text)
