"""GF206: results that nobody takes."""

from __future__ import annotations

from harness import check_noop, check_reported, check_transformed, table
from snippets import Case, cases

CODE = "GF206"

CHANGE = cases("""
=== a mask that is not applied | values unsafe
w = Parameter(torch.ones(3))
scores = w * 2
scores.masked_fill(torch.tensor([True, False, False]), -9.0)  # hide one
out = torch.softmax(scores, dim=0)
out[0].backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
scores = w * 2
scores = scores.masked_fill(torch.tensor([True, False, False]), -9.0)  # hide one
out = torch.softmax(scores, dim=0)
out[0].backward()
grad = w.grad
=== a loss that is not added | values unsafe
w = Parameter(torch.ones(3))
total = torch.zeros(())
for part in (w, w * 2):
    total.add(part.sum())
loss = total + w.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
total = torch.zeros(())
for part in (w, w * 2):
    total = total.add(part.sum())
loss = total + w.sum()
loss.backward()
grad = w.grad
""")

REPORT = cases("""
=== weights that are not clipped
lin = nn.Linear(2, 2)
lin.weight.data.clamp(-0.1, 0.1)
lin(torch.ones(1, 2)).sum().backward()
reason: in-place form
=== an argument that is a tensor for sure
def hide(scores, mask):
    scores.masked_fill(mask, 0.0)
    return scores

hide(torch.ones(2), torch.tensor([True, False]))
reason: others are to see
=== a leaf that is not clipped
w = Parameter(torch.ones(3))
w.clamp(0, 1)
(w * 2).sum().backward()
reason: a leaf keeps its name
""")

LEAVE = cases("""
=== the result is taken
w = Parameter(torch.ones(3))
scores = (w * 2).masked_fill(torch.tensor([True, False, False]), 0.0)
scores.sum().backward()
=== in place
w = Parameter(torch.ones(3))
scores = w * 2
scores.masked_fill_(torch.tensor([True, False, False]), 0.0)
scores.sum().backward()
=== no tensor
class Counter:
    def __init__(self):
        self.value = 0

    def add(self, other):
        self.value += other

    def detach(self):
        self.value = 0

total = Counter()
total.add(1)
total.detach()
seen = set()
seen.add(torch.ones(1))
=== a method that an unknown object has, too
def close(stream):
    stream.detach()
    stream.add(1)

class Stream:
    def detach(self): ...
    def add(self, x): ...

close(Stream())
=== a class of its own
class Boxes:
    def clamp(self, low, high, inplace=False):
        self.low = low

def clip(boxes: Boxes):
    boxes.clamp(0, 1, inplace=True)
    return boxes

clip(Boxes())
=== measured
import contextlib
x = torch.ones(3)
with contextlib.nullcontext():
    x.exp()
for _ in range(3):
    x.exp()
=== meant to raise
def fails(call):
    try:
        call()
    except RuntimeError:
        return True

x = torch.ones(3)
try:
    x.add(torch.ones(2))
except RuntimeError:
    pass
=== moves and hooks
w = Parameter(torch.ones(3))
y = w * 2
y.retain_grad()
y.register_hook(lambda g: g)
y.sum().backward()
=== NumPy
import numpy as np
a = np.ones(3)
a.clip(0, 1)
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
