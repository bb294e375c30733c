"""GF202: whoever holds the memory that is written goes on seeing the write."""

from __future__ import annotations

import pytest
from harness import fixed
from snippets import PRELUDE

HEAD = f"""{PRELUDE}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(2, 2)
        self.kept = []

    def forward(self, x, keep):
"""


def rewritten(*lines: str) -> str:
    """What becomes of a forward that overwrites the result of ``exp`` after some lines."""
    body = ("y = self.lin(x).exp()", *lines, "y /= y.sum()", "return y")
    return fixed(HEAD + "".join(f"        {line}\n" for line in body), "GF202").text


@pytest.mark.parametrize(
    "line",
    [
        "keep.append(y)",
        "keep.extend([y, x])",
        "keep.insert(0, y)",
        "self.kept.append(y)",
        'keep["y"] = y',
        "keep[0], keep[1] = y, x",
        "keep[0] = [y]",
        "keep += [y]",
        "z = [*keep, y]",
        "z = {'y': y, **keep}",
        "keep.update({'y': (y, x)})",
        "yield y",
        "yield y, x",
        "keep.y = y",
    ],
)
def test_what_holds_the_memory_sees_the_write(line: str) -> None:
    text = rewritten(line)
    assert "y /= y.sum()" in text
    assert "exp().clone()" in text


def test_a_name_of_outside_sees_the_write() -> None:
    text = rewritten("global LAST", "LAST = y")
    assert "y /= y.sum()" in text


@pytest.mark.parametrize("line", ["print(y)", "z = y * 2, x", "z = [y.sum(), x]"])
def test_nobody_sees_the_write(line: str) -> None:
    assert "y = y / y.sum()" in rewritten(line)
