"""What names a device, and what else a tensor may be moved or cast to."""

from __future__ import annotations

import ast

import pytest

from gradfix import flow
from gradfix.flow.devices import moves_to_device


@pytest.mark.parametrize(
    ("call", "moves"),
    [
        ("w.cuda()", True),
        ("w.cpu()", True),
        ("w.to('cuda:1')", True),
        ("w.to(device)", True),
        ("w.to(self.main_device)", True),
        ("w.to(x.device)", True),
        ("w.to(device=place())", False),
        ("w.to(torch.device(name))", True),
        ("w.to(x)", False),
        ("w.to(torch.float64)", False),
        ("w.to('float64')", False),
        ("w.to(device, torch.float64)", False),
        ("w.cuda(1)", False),
        ("w.double()", False),
        ("move(w)", False),
    ],
)
def test_a_move_to_a_device_and_nothing_else(call: str, moves: bool) -> None:
    facts = flow.analyse(f"import torch\nw = torch.zeros(3)\n{call}\n")
    statement = facts.tree.body[-1]
    assert isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    assert moves_to_device(facts, statement.value) is moves
