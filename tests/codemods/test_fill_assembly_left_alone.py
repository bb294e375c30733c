"""GF302: buffers that are filled for good reasons, and rewrites that must keep every value."""

from __future__ import annotations

from harness import check_noop, check_sound, table
from snippets import Case, cases

CODE = "GF302"

LEAVE = cases("""
=== read in between
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = w[0] + 1
full[1] = full[0] + w[1]
full.sum().backward()
=== a slot written twice
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = w[0] + 1
full[1] = w[1] + 1
full[0] = w[1] + 2
full.sum().backward()
=== under a condition
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = w[0] + 1
if w.shape[0] > 1:
    full[1] = w[1] + 1
full.sum().backward()
=== a loop that is left early
w = Parameter(torch.rand(3))
full = torch.zeros(3)
for i in range(3):
    if i == 2:
        break
    full[i] = w[i] * 2
full.sum().backward()
=== a loop that skips
w = Parameter(torch.rand(3))
full = torch.zeros(3)
for i in range(3):
    if i == 1:
        continue
    full[i] = w[i] * 2
full.sum().backward()
=== a loop that reads the last slot
w = Parameter(torch.rand(3))
full = torch.zeros(3)
for i in range(3):
    full[i] = full[i - 1] + w[i]
full.sum().backward()
=== partly in a loop
w = Parameter(torch.rand(3))
full = torch.zeros(3)
full[2] = w.sum()
for i in range(2):
    full[i] = w[i] * 2
full.sum().backward()
=== slots of memory that nobody wrote
w = Parameter(torch.rand(2))
full = torch.empty(3)
full[0] = w[0] * 2
full[1] = w[1]
full[:2].sum().backward()
=== rows and columns
w = Parameter(torch.rand(2))
full = torch.zeros(2, 2)
full[0] = w * 2
full[:, 1] = w
full.sum().backward()
=== an unknown index
import random

import torch

w = torch.ones(2, requires_grad=True)
full = torch.zeros(4)
full[random.randrange(4)] = w.sum()
full.sum().backward()
=== a generator hands it out
w = Parameter(torch.rand(2))


def fill():
    full = torch.zeros(2)
    full[0] = w[0] * 2
    yield
    full[1] = w[1]
    yield full


*_, out = fill()
out.sum().backward()
=== a coroutine waits
import asyncio

import torch

w = torch.rand(2).requires_grad_()


async def fill():
    full = torch.zeros(2)
    full[0] = w[0] * 2
    await asyncio.sleep(0)
    full[1] = w[1]
    return full


asyncio.run(fill()).sum().backward()
=== a nested loop
w = Parameter(torch.rand(2))
full = torch.zeros(2, 2)
for i in range(2):
    for j in range(2):
        full[i, j] = w[i] * w[j]
full.sum().backward()
=== no graph at all
full = torch.zeros(3)
full[0] = 1.0
full[1] = torch.rand(1).item()
w = Parameter(torch.rand(3))
(w * full).sum().backward()
=== an integer buffer
ids = torch.zeros(3, dtype=torch.long)
w = Parameter(torch.rand(3))
for i in range(3):
    ids[i] = i
w[ids].sum().backward()
=== under no_grad
w = Parameter(torch.rand(2))
with torch.no_grad():
    full = torch.zeros(2)
    full[0] = w[0] * 2
    full[1] = w[1]
=== a decorated metric
layer = nn.Linear(2, 1)


@torch.no_grad()
def metric(xs):
    full = torch.zeros(2)
    full[0] = layer(xs).mean()
    full[1] = layer(xs).sum()
    return full


metric(torch.ones(3, 2))
=== inference mode
layer = nn.Linear(2, 1)
with torch.inference_mode():
    full = torch.zeros(2)
    for i in range(2):
        full[i] = layer(torch.ones(2)).sum()
=== detached parts
w = Parameter(torch.rand(2))
full = torch.zeros(2)
full[0] = w[0].detach()
full[1] = w[1].item()
(w * full).sum().backward()
=== NumPy under the name of torch
import numpy as torch

full = torch.zeros(3)
full[0] = torch.exp(1.0)
full[1] = full[0] * 2
full[2] = 1
=== NumPy beside torch
import numpy as np
import torch

w = torch.rand(2, requires_grad=True)
full = np.zeros(2)
full[0] = w[0].item()
full[1] = w[1].detach().numpy()
=== a list
import torch

w = torch.rand(2, requires_grad=True)
full = [None] * 2
full[0] = w[0] * 2
full[1] = w[1]
sum(full).backward()
assert w.grad is not None
=== a dictionary
import torch

w = torch.rand(2, requires_grad=True)
full = dict.fromkeys(range(2))
full[0] = w[0] * 2
full[1] = w[1]
sum(full.values()).backward()
=== a function called zeros
import torch


def zeros(n):
    return [0] * n


w = torch.rand(2, requires_grad=True)
full = zeros(2)
full[0] = w[0] * 2
full[1] = w[1]
sum(full).backward()
=== stacked already
w = Parameter(torch.rand(2))
full = torch.stack([w[0] * 2, w[1]])
full.sum().backward()
=== collected already
w = Parameter(torch.rand(2))
parts = []
for i in range(2):
    parts.append(w[i] * 2)
torch.stack(parts).sum().backward()
=== a buffer that is reused across passes
w = Parameter(torch.rand(2))
seen = torch.zeros(3)
for step in range(3):
    loss = (w * w).sum()
    loss.backward()
    seen[step] = loss.item()
=== a running sum
w = Parameter(torch.rand(2))
full = torch.zeros(2)
for i in range(3):
    full += w * i
full.sum().backward()
=== a slot that adds up
w = Parameter(torch.rand(2))
full = torch.zeros(2)
for i in range(2):
    full[i] += w[i] * i
full.sum().backward()
=== a recurrence
w = Parameter(torch.rand(2))
h = torch.zeros(4)
for t in range(1, 4):
    h[t] = h[t - 1] + w[0]
h.sum().backward()
=== a mask
w = Parameter(torch.rand(3))
full = torch.zeros(3)
full[w > 0.5] = w[w > 0.5] * 2
full.sum().backward()
=== an index tensor
w = Parameter(torch.rand(2))
full = torch.zeros(4)
full[torch.tensor([0, 2])] = w * 2
full.sum().backward()
=== padding of sequences
layer = nn.Linear(2, 2)
rows = [torch.ones(1, 2), torch.ones(3, 2)]
padded = torch.zeros(2, 3, 2)
for i, row in enumerate(rows):
    padded[i, : len(row)] = layer(row)
padded.sum().backward()
assert layer.weight.grad is not None
=== a mask of attention
scores = nn.Linear(3, 3)(torch.rand(3, 3))
mask = torch.zeros(3, 3)
mask[0, 1] = float("-inf")
torch.softmax(scores + mask, dim=1).sum().backward()
=== labels of a discriminator
net = nn.Linear(2, 1)
labels = torch.zeros(4, 1)
labels[:2] = 1.0
nn.functional.mse_loss(net(torch.rand(4, 2)), labels).backward()
=== a replay buffer
policy = nn.Linear(2, 1)
memory = torch.zeros(3, 2)
for i in range(3):
    with torch.no_grad():
        memory[i] = policy(torch.ones(2)).expand(2)
policy(memory).sum().backward()
=== other code holds the buffer
w = Parameter(torch.rand(2))
full = torch.zeros(2)
shared = {"full": full}
full[0] = w[0] * 2
full[1] = w[1]
shared["full"].sum().backward()
=== a function is given the buffer
w = Parameter(torch.rand(2))


def fill(full, at):
    full[at] = w[at] * 2


full = torch.zeros(2)
for at in range(2):
    fill(full, at)
full.sum().backward()
=== a closure fills the buffer
w = Parameter(torch.rand(2))


def make():
    full = torch.zeros(2)

    def fill(at):
        full[at] = w[at] * 2

    fill(0)
    fill(1)
    return full


make().sum().backward()
=== a view of the buffer
w = Parameter(torch.rand(2))
full = torch.zeros(2)
first = full[:1]
full[0] = w[0] * 2
full[1] = w[1]
(full.sum() + first.sum()).backward()
=== an attribute is filled
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.rand(2))
        self.register_buffer("state", torch.zeros(2))

    def forward(self):
        self.state = torch.zeros(2)
        self.state[0] = self.w[0] * 2
        return self.state.sum()


Net()().backward()
""")

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


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


@table(SOUND)
def test_sound(case: Case) -> None:
    check_sound(case, CODE)
