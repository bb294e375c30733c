"""GF302: buffers that are filled for good reasons, and rewrites that must keep every value."""

from __future__ import annotations

from harness import check_noop, table
from snippets import Case, cases

CODE = "GF302"

LEAVE = cases("""
=== what a test expects
def test_sums():
    w = Parameter(torch.tensor([1.0, 2.0]))
    expected = torch.zeros(2)
    expected[0] = w[0] * 2
    expected[1] = w[1] * 2
    assert torch.equal(w * 2, expected)

test_sums()
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
=== a buffer that follows another tensor, perhaps to its element type
def collect(w, like):
    out = torch.zeros(2).to(like)
    out[0] = w[0] * 2
    out[1] = w[1]
    return out


collect(torch.rand(2, requires_grad=True), torch.zeros(3)).sum().backward()
=== a buffer that is cast to integers
w = Parameter(torch.rand(2))
out = torch.zeros(2).to(torch.long)
out[0] = w[0] * 2
out[1] = w[1]
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


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
