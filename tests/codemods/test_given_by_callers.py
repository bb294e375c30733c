"""Functions whose arguments require grad because the calls of the file say so."""

from __future__ import annotations

import pytest
from harness import check_noop, check_transformed, found, table
from snippets import Case, cases

OVERWRITTEN = cases("""
=== a root is shifted in place | raises unsafe
def spread(x):
    s = (x - x.mean()).pow(2).mean().sqrt()
    s += 1e-5
    return s


w = Parameter(torch.tensor([1.0, 2.0, 4.0]))
loss = spread(w)
loss.backward()
grad = w.grad
--->
def spread(x):
    s = (x - x.mean()).pow(2).mean().sqrt()
    s = s + 1e-5
    return s


w = Parameter(torch.tensor([1.0, 2.0, 4.0]))
loss = spread(w)
loss.backward()
grad = w.grad
=== rows and columns are normalised in turn | raises unsafe
def balance(logits, turns):
    p = logits.exp()
    for _ in range(turns):
        p /= p.sum(1, keepdim=True)
        p /= p.sum(0, keepdim=True)
    return p


class Matching(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Linear(3, 3)

    def forward(self, x):
        return balance(self.score(x), 2)


net = Matching()
out = net(torch.ones(3, 3))
out[0, 0].backward()
grad = net.score.weight.grad
--->
def balance(logits, turns):
    p = logits.exp()
    for _ in range(turns):
        p = p / p.sum(1, keepdim=True)
        p /= p.sum(0, keepdim=True)
    return p


class Matching(nn.Module):
    def __init__(self):
        super().__init__()
        self.score = nn.Linear(3, 3)

    def forward(self, x):
        return balance(self.score(x), 2)


net = Matching()
out = net(torch.ones(3, 3))
out[0, 0].backward()
grad = net.score.weight.grad
=== a running product reads what it has written | raises unsafe
def decay(rates):
    level = torch.zeros(4)
    level[0] = rates[0]
    for t in range(1, 4):
        level[t] = level[t - 1] * rates[t]
    return level


rates = Parameter(torch.full((4,), 0.5))
out = decay(rates)
out.sum().backward()
grad = rates.grad
--->
def decay(rates):
    level = torch.zeros(4)
    level[0] = rates[0]
    for t in range(1, 4):
        level[t] = level[t - 1].clone() * rates[t]
    return level


rates = Parameter(torch.full((4,), 0.5))
out = decay(rates)
out.sum().backward()
grad = rates.grad
""")

REWRAPPED = cases("""
=== a vector with an element type | raises unsafe
def pair(a, b):
    return torch.tensor([a.exp(), b.exp()], dtype=torch.float64)


a, b = Parameter(torch.tensor(0.1)), Parameter(torch.tensor(0.7))
out = pair(a, b)
out.sum().backward()
grad = a.grad
--->
def pair(a, b):
    return torch.stack([a.exp(), b.exp()]).to(dtype=torch.float64)


a, b = Parameter(torch.tensor(0.1)), Parameter(torch.tensor(0.7))
out = pair(a, b)
out.sum().backward()
grad = a.grad
=== a rotation in space | raises unsafe
def turned(angle):
    c, s = torch.cos(angle), torch.sin(angle)
    return torch.tensor([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0 + s * 0]])


angle = Parameter(torch.tensor(0.3))
out = turned(angle)
out.sum().backward()
grad = angle.grad
--->
def turned(angle):
    c, s = torch.cos(angle), torch.sin(angle)
    return torch.stack(
        [
            torch.stack([c, -s, c.new_tensor(0.0)]),
            torch.stack([s, c, s.new_tensor(0.0)]),
            torch.stack([s.new_tensor(0.0), s.new_tensor(0.0), 1.0 + s * 0]),
        ]
    )


angle = Parameter(torch.tensor(0.3))
out = turned(angle)
out.sum().backward()
grad = angle.grad
""")

SPREAD = """
def spread(x):
    s = x.pow(2).mean().sqrt()
    s += 1e-5
    return s


w = Parameter(torch.ones(3))
"""
LEAVE = cases(f"""
=== nobody is seen to call it | plain{SPREAD}
loss = w.sum()
loss.backward()
=== another caller gives what has no history | plain{SPREAD}
loss = w.sum() + spread(torch.ones(3))
loss.backward()
=== without grad mode | plain{SPREAD}
with torch.no_grad():
    print(spread(w))
w.sum().backward()
=== the result is a number for a log | plain{SPREAD}
print(spread(w).item())
w.sum().backward()
=== the history ends at the call | plain{SPREAD}
loss = (w * spread(w.detach())).sum()
loss.backward()
=== the operation keeps nothing | plain
def shifted(x):
    y = x + 1
    y += 2
    return y * 2


w = Parameter(torch.ones(3))
shifted(w).sum().backward()
=== what is kept is kept for another argument | plain
def scaled(x, mask):
    y = x + 0
    z = y * mask
    y += 1
    return z.sum() + y.sum()


w = Parameter(torch.ones(3))
scaled(w, torch.ones(3)).backward()
=== numbers beside the loss | plain
def shown(a, b):
    return torch.tensor([a, b])


w = Parameter(torch.ones(3))
loss = w.pow(2).sum()
print(shown(loss, loss * 2))
loss.backward()
=== decorated by somebody else | plain
import functools

import torch
from torch.nn import Parameter


def quiet(function):
    @functools.wraps(function)
    def wrapped(*args):
        with torch.no_grad():
            return function(*args)

    return wrapped


@quiet
def spread(x):
    s = x.pow(2).mean().sqrt()
    s += 1e-5
    return s


w = Parameter(torch.ones(3))
(w * spread(w)).sum().backward()
""")


@table(OVERWRITTEN)
def test_overwritten(case: Case) -> None:
    check_transformed(case, "GF202")


@table(REWRAPPED)
def test_rewrapped(case: Case) -> None:
    check_transformed(case, "GF301")


@pytest.mark.parametrize("code", ["GF202", "GF301"])
@pytest.mark.parametrize("case", LEAVE, ids=str)
def test_left_alone(case: Case, code: str) -> None:
    check_noop(case, code)


def test_the_story_begins_with_the_call() -> None:
    (finding,) = found(OVERWRITTEN[0].before, "GF202")
    row = OVERWRITTEN[0].before.splitlines().index("loss = spread(w)") + 1
    assert finding.because[0].span.row == row
    assert "requires grad here" in finding.because[0].message


def test_a_second_caller_makes_it_uncertain() -> None:
    text = OVERWRITTEN[0].before
    assert found(text, "GF202")
    assert not found(text + "shown = spread(torch.ones(3))\n", "GF202")
