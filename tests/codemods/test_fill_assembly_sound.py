"""GF302: rewritten or not, every value, shape and element type is kept."""

from __future__ import annotations

from harness import check_sound, table
from snippets import Case, cases

CODE = "GF302"

SOUND = cases("""
=== a temporary is written in place
w = Parameter(torch.rand(2))
v = w * 2
full = torch.zeros(2, 2)
full[0] = v
v += 1
full[1] = v
out = full
out.sum().backward()
grad = w.grad
=== a temporary is written through a view
w = Parameter(torch.rand(4))
v = w * 2
full = torch.zeros(2)
full[0] = v[0]
v[:2].mul_(3)
full[1] = v[1]
out = full
out.sum().backward()
grad = w.grad
=== written in place after the last fill
w = Parameter(torch.rand(2))
v = w * 2
full = torch.zeros(2, 2)
full[0] = v
full[1] = v + 1
v += 1
out = full
out.sum().backward()
grad = w.grad
=== the parts of a loop are written in place
w = Parameter(torch.rand(3))
v = w * 1
full = torch.zeros(3, 3)
for i in range(3):
    full[i] = v
    v += 1
out = full
out.sum().backward()
grad = w.grad
=== random parts in another order
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[1] = torch.rand(()) * w[0]
full[0] = torch.rand(()) * w[1]
out = full
out.sum().backward()
grad = w.grad
=== calls that count
w = Parameter(torch.rand(2))
calls = []


def part(at):
    calls.append(at)
    return w[at] * 2


full = torch.zeros(2)
full[1] = part(1)
full[0] = part(0)
out = full
out_calls = calls
out.sum().backward()
grad = w.grad
=== a number fills a row
w = Parameter(torch.rand(3))
full = torch.zeros(2, 3)
full[0] = w * 2
full[1] = 0.5
out = full
out.sum().backward()
grad = w.grad
=== a scalar tensor fills a row
w = Parameter(torch.rand(3))
full = torch.zeros(2, 3)
full[0] = w * 2
full[1] = w.sum()
out = full
out.sum().backward()
grad = w.grad
=== one element in brackets
w = Parameter(torch.rand(3))
full = torch.zeros(2)
full[0] = w[:1] * 2
full[1] = w[1]
out = full
out.sum().backward()
grad = w.grad
=== a row with one more axis
w = Parameter(torch.rand(1, 3))
full = torch.zeros(2, 3)
full[0] = w * 2
full[1] = w.exp()
out = full
out.sum().backward()
grad = w.grad
=== double parts in a float buffer
w = Parameter(torch.rand(2, dtype=torch.float64))
full = torch.zeros(2)
full[0] = w[0] * 2
full[1] = w[1]
out = full
out.sum().backward()
grad = w.grad
=== mixed parts
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = w[0].double()
full[1] = w[1]
out = full
out.sum().backward()
grad = w.grad
=== a buffer like an integer tensor | silent
w = Parameter(torch.rand(2))
ids = torch.tensor([3, 4])
full = torch.zeros_like(ids)
full[0] = w[0] * 9
full[1] = w[1] * 9
out = full
=== a buffer like a double tensor
w = Parameter(torch.rand(2))
like = torch.rand(2, dtype=torch.float64)
full = torch.zeros_like(like)
full[0] = w[0] * 2
full[1] = w[1]
out = full
out.sum().backward()
grad = w.grad
=== another default type
torch.set_default_dtype(torch.float64)
w = Parameter(torch.rand(2, dtype=torch.float32))
full = torch.zeros(2)
full[0] = w[0] * 2
full[1] = w[1]
out = full
out.sum().backward()
grad = w.grad
torch.set_default_dtype(torch.float32)
=== the loop variable is used afterwards
w = Parameter(torch.rand(3))
full = torch.zeros(3)
for i in range(3):
    x = w[i] * 2
    full[i] = x
out = full * i + x
out.sum().backward()
grad = w.grad
=== enumerate
w = Parameter(torch.rand(3))
full = torch.zeros(3)
for i, x in enumerate(w):
    full[i] = x * 2
out = full
out.sum().backward()
grad = w.grad
=== a loop over fewer | unsafe silent
w = Parameter(torch.rand(3))
xs = [w[0], w[1]]
full = torch.zeros(3)
for i, x in enumerate(xs):
    full[i] = x * 2
out = full
out.sum().backward()
grad = w.grad
=== a loop backwards | unsafe
w = Parameter(torch.rand(3))
full = torch.zeros(3)
for i in range(2, -1, -1):
    full[i] = w[i] * 2
out = full
out.sum().backward()
grad = w.grad
=== two statements in the loop
w = Parameter(torch.rand(3))
full = torch.zeros(3, 2)
for i in range(3):
    row = w[:2] * i
    full[i] = row
out = full
out.sum().backward()
grad = w.grad
=== a vector of unknown length
w = Parameter(torch.rand(3))


def scale(x):
    n = x.shape[0]
    full = torch.zeros(n)
    for i in range(n):
        full[i] = x[i] * w[i]
    return full


out = scale(torch.ones(3))
out.sum().backward()
grad = w.grad
=== a batch of unknown size
layer = nn.Linear(2, 1)


def score(xs):
    full = torch.zeros(xs.shape[0], 2)
    full[:, 0] = layer(xs).squeeze(1)
    full[:, 1] = layer(xs * 2).squeeze(1)
    return full


out = score(torch.ones(3, 2))
out.sum().backward()
grad = layer.weight.grad
=== broadcast from a smaller batch | silent
w = Parameter(torch.rand(1))


def fill(x):
    full = torch.zeros(4, 2)
    full[:, 0] = x
    full[:, 1] = x * 2
    return full


out = fill(w)
out.sum().backward()
grad = w.grad
=== filled inside a with block | silent
w = Parameter(torch.rand(2))
full = torch.zeros(2)
with torch.enable_grad():
    full[0] = w[0] * 2
    full[1] = w[1]
out = full
out.sum().backward()
grad = w.grad
=== the name stood for something before
w = Parameter(torch.rand(2))
full = w * 3
full_before = full
full = torch.zeros(2)
full[0] = full_before[0] * 2
full[1] = w[1]
out = full
out.sum().backward()
grad = w.grad
=== a temporary's name is taken
full_0 = 5.0
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = w[0] * full_0
other = full_0 * w[1]
full[1] = other
out = full * full_0
out.sum().backward()
grad = w.grad
=== a part rebinds what the next one reads
w = Parameter(torch.rand(2))
x = w[0]
full = torch.zeros(2)
full[0] = x
x = x * 2
full[1] = x
out = full
out.sum().backward()
grad = w.grad
=== a walrus inside a part
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = (x := w[0] * 2)
full[1] = x + w[1]
out = full
out.sum().backward()
grad = w.grad
=== a conditional expression
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = w[0] if w.shape[0] > 3 else w[1]
full[1] = w[1] * 2
out = full
out.sum().backward()
grad = w.grad
=== the buffer is written in place later | silent
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = w[0] * 2
full[1] = w[1]
full += 1
full[0] *= 3
out = full
out.sum().backward()
grad = w.grad
=== a single part, and the buffer is written later
w = Parameter(torch.rand(1, 3))
full = torch.zeros(1, 3)
full[0] = w[0]
full += 1
out = full
out.sum().backward()
grad = w.grad
=== all of it is one range
w = Parameter(torch.rand(3))
full = torch.zeros(3)
full[0:3] = w
full += 1
out = full
out.sum().backward()
grad = w.grad
""")


@table(SOUND)
def test_sound(case: Case) -> None:
    check_sound(case, CODE)
