"""GF205: one place of an expanded dimension is written, and all of them change."""

from __future__ import annotations

import pytest
import torch
from harness import check_noop, check_reported, table
from snippets import Case, cases, run

CODE = "GF205"

REPORT = cases("""
=== a mask filled place by place
def padding(x, lengths):
    batch, n = x.shape
    mask = torch.zeros(1, n).expand(batch, n)
    for i, length in enumerate(lengths):
        for j in range(length, n):
            mask[i, j] = 1.0
    return mask


m = padding(torch.ones(2, 3), [2, 3])
out = m[0].tolist(), m[1].tolist()
reason: would change the values
=== a row
m = torch.zeros(3).expand(2, 3)
m[0] = torch.ones(3)
out = m[0].tolist(), m[1].tolist()
reason: would change the values
=== added to a row
m = torch.zeros(1, 3).expand(2, -1)
m[0] += 1
out = m[0].tolist(), m[1].tolist()
reason: would change the values
=== a row and then a place
m = torch.zeros(1, 3).broadcast_to(2, 3)
m[0][1] = 1.0
out = m[0].tolist(), m[1].tolist()
reason: would change the values
=== a row filled by a method
m = torch.zeros(1, 3).expand_as(torch.zeros(2, 3))
m[0].fill_(1.0)
out = m[0].tolist(), m[1].tolist()
reason: would change the values
=== a new first dimension
def several(x: torch.Tensor, n: int):
    many = x.unsqueeze(0).expand(n, -1, -1)
    for k in range(n):
        many[k] = float(k)
    return many


m = several(torch.zeros(2, 2), 2)
out = m[0].tolist(), m[1].tolist()
reason: would change the values
=== None at the front
def several(x: torch.Tensor):
    many = x[None].expand(2, *x.shape)
    fixed = x[None, :].expand(2, 3)
    fixed[0, 1] = 5.0
    return fixed


m = several(torch.zeros(3))
out = m[0].tolist(), m[1].tolist()
reason: would change the values
""")

LEAVE = cases("""
=== a copy of its own
m = torch.zeros(1, 3).expand(2, 3).clone()
m[0, 1] = 1.0
n = torch.zeros(1, 3).expand(2, 3).contiguous()
n[0, 1] = 1.0
=== repeated instead
m = torch.zeros(1, 3).repeat(2, 1)
m[0, 1] = 1.0
=== along the other dimension
m = torch.zeros(3, 1).expand(3, 2)
m[0:1, 0:1] = 1.0
n = torch.zeros(4, 3, 1).expand(4, 3, 2)
n[0, 1, 0:1] = 1.0
=== nothing is expanded
m = torch.zeros(2, 3).expand(2, 3)
m[0, 1] = 1.0
n = torch.zeros(2, 3).expand(-1, -1)
n[0, 1] = 1.0
k = torch.zeros(1, 3).expand(1, 3)
k[0, 1] = 1.0
=== the shape is not known
def mark(x: torch.Tensor):
    m = x.expand(2, 3)
    m[0, 1] = 1.0
    return m


mark(torch.zeros(2, 3))
=== expanded on one path only
def mark(x: torch.Tensor, wide):
    m = torch.zeros(2, 3)
    if wide:
        m = torch.zeros(1, 3).expand(2, 3)
    m[0, 1] = 1.0
    return m


mark(torch.zeros(2, 3), False)
=== only read
m = torch.zeros(1, 3).expand(2, 3)
first = m[0, 1]
out = torch.zeros(2, 3)
out[0] = m[0]
=== written before it is expanded
m = torch.zeros(1, 3)
m[0, 1] = 1.0
m = m.expand(2, 3)
""")


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@pytest.mark.parametrize("case", REPORT, ids=str)
def test_the_write_lands_in_every_row(case: Case) -> None:
    result = run(case.before)
    assert result.error is None
    first, second = result.names["out"]
    assert first == second
    assert torch.tensor(first).count_nonzero()


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
