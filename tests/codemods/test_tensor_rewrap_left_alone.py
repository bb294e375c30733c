"""GF301: new tensors that are right as they are, and rewrites that must not change values."""

from __future__ import annotations

from harness import check_noop, check_sound, table
from snippets import Case, cases

CODE = "GF301"

LEAVE = cases("""
=== plain numbers
mean = torch.tensor([0.5, 0.4, 0.3])
w = Parameter(torch.tensor([1.0, 2.0]))
w.sum().backward()
=== labels
layer = nn.Linear(2, 2)
target = torch.tensor([0, 1])
nn.functional.cross_entropy(layer(torch.ones(2, 2)), target).backward()
=== numbers of a loop
rates = torch.tensor([0.1 * k for k in range(3)])
w = Parameter(torch.ones(3))
(w * rates).sum().backward()
=== stacked already
w = Parameter(torch.ones(2))
torch.stack([w[0], w[1]]).sum().backward()
assert w.grad is not None
=== losses that are printed
w = Parameter(torch.ones(2))
losses = [(w * k).sum() for k in range(3)]
print(torch.tensor(losses).mean())
sum(losses).backward()
=== losses as numbers
w = Parameter(torch.ones(2))
history = []
for _ in range(2):
    loss = (w * w).sum()
    loss.backward()
    history.append(loss.item())
print(torch.tensor(history).mean().item())
=== losses formatted for a log
w = Parameter(torch.ones(2))
loss = (w * w).sum()
print(f"{torch.tensor([loss, loss * 2]).tolist()}")
loss.backward()
=== under no_grad
w = Parameter(torch.ones(2))
with torch.no_grad():
    shown = torch.tensor([w[0] * 2, w[1]])
    print(shown)
=== a decorated metric
layer = nn.Linear(2, 1)


@torch.no_grad()
def metric(xs):
    return torch.tensor([layer(x) for x in xs])


metric(torch.ones(3, 2))
=== inference mode
layer = nn.Linear(2, 1)


@torch.inference_mode()
def metric(xs):
    return torch.tensor([layer(x).sum() for x in xs])


metric(torch.ones(3, 2))
=== grad mode is switched off
torch.set_grad_enabled(False)
w = Parameter(torch.ones(2))
out = torch.tensor([w[0], w[1]])
torch.set_grad_enabled(True)
=== an input whose gradient is asked for
import numpy as np


def gradient(model, x, device):
    if isinstance(x, torch.Tensor):
        seed = x.clone().detach().requires_grad_(True)
    else:
        seed = torch.tensor(x).to(device)
        seed.requires_grad = True
    model(seed).sum().backward()
    return seed.grad


gradient(nn.Linear(2, 1), np.ones((3, 2), dtype=np.float32), "cpu")
gradient(nn.Linear(2, 1), torch.ones(3, 2), "cpu")
=== a batch that is filled and handed out to be attacked
def collate(batch, attack):
    frames = torch.zeros(len(batch), 4)
    for i, sample in enumerate(batch):
        frames[i, : len(sample)] = sample.flatten()
    if attack:
        frames = torch.tensor(frames)
        frames.requires_grad = True
    return {"frames": frames}


collate([torch.ones(3)], True)
=== features that come in beside the input
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 1)

    def forward(self, x: torch.Tensor, more: torch.Tensor):
        return self.layer(torch.cat((x, torch.tensor(more)), dim=1))


Net()(torch.ones(1, 2), torch.ones(1, 2)).sum().backward()
=== detached on purpose
w = Parameter(torch.ones(2))
old = torch.tensor([w[0].detach(), w[1].detach()])
((w - old) ** 2).sum().backward()
=== item on purpose
w = Parameter(torch.ones(2))
old = torch.tensor([w[0].item(), w[1].item()])
((w - old) ** 2).sum().backward()
=== the returns of an episode
policy = nn.Linear(2, 2)
log_probs, rewards = [], []
for _ in range(3):
    probs = torch.softmax(policy(torch.ones(2)), dim=0)
    log_probs.append(probs[0].log())
    rewards.append(1.0)
returns, total = [], 0.0
for r in reversed(rewards):
    total = r + 0.9 * total
    returns.insert(0, total)
returns = torch.tensor(returns)
loss = sum(-p * r for p, r in zip(log_probs, returns))
loss.backward()
assert policy.weight.grad is not None
=== NumPy data
import numpy as np
import torch

x = torch.tensor(np.ones((2, 2)), dtype=torch.float32)
layer = torch.nn.Linear(2, 1)
layer(x).sum().backward()
=== NumPy under the name of torch
import numpy as torch

torch.tensor = torch.array
out = torch.tensor([torch.ones(2).sum(), 1.0])
=== a function called tensor
import torch


def tensor(items):
    return torch.stack(items)


w = torch.ones(2, requires_grad=True)
tensor([w[0] * 2, w[1]]).sum().backward()
assert w.grad is not None
=== another library's tensor
import torch


class einops:
    @staticmethod
    def tensor(items):
        return torch.stack(items)


w = torch.ones(2, requires_grad=True)
einops.tensor([w[0] * 2, w[1]]).sum().backward()
assert w.grad is not None
=== sizes and indices
w = Parameter(torch.ones(2, 3))
sizes = torch.tensor(w.shape)
index = torch.tensor([w.size(0) - 1, 0])
w[index].sum().backward()
assert w.grad is not None
=== a constant of a module
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.tensor([1.0, 2.0]))
        self.register_buffer("scale", torch.tensor([1.0, 0.5]))

    def forward(self, x):
        return x * self.w * self.scale + torch.tensor([0.0, 1.0])


net = Net()
net(torch.ones(2)).sum().backward()
assert net.w.grad is not None
=== as_tensor keeps the graph
w = Parameter(torch.ones(2))
torch.as_tensor(w * 2).sum().backward()
assert w.grad is not None
=== a new Parameter starts where another one stands
w = Parameter(torch.ones(2))
v = Parameter(torch.tensor(w.detach().tolist()))
(w * v).sum().backward()
=== a copy that only decides
w = Parameter(torch.ones(2))
loss = (w * w).sum()
best = torch.tensor(float("inf"))
if torch.tensor([loss, loss * 2]).max() < best:
    best = loss.detach()
loss.backward()
=== numbers for logging beside the loss
w = Parameter(torch.ones(2))


def step():
    one, two = (w * w).sum(), w.sum()
    return one + two, torch.tensor([one, two])


loss, shown = step()
loss.backward()
assert w.grad is not None
=== statistics kept in an attribute that nobody reads
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.seen = []

    def forward(self, x):
        y = self.layer(x)
        self.stats = torch.tensor([y.mean(), y.std()])
        return y


net = Net()
net(torch.ones(3)).sum().backward()
=== statistics that are plotted as numbers
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.seen = []

    def forward(self, x):
        y = self.layer(x)
        self.stats = torch.tensor([y.mean(), y.std()])
        return y

    def log(self):
        return self.stats.numpy().tolist()


net = Net()
net(torch.ones(3)).sum().backward()
print(f"{net.stats}", net.log())
=== a history of statistics
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.seen = []

    def forward(self, x):
        y = self.layer(x)
        self.seen.append(torch.tensor([y.mean(), y.std()]))
        return y

    def forget(self):
        print(len(self.seen), self.seen[-1].tolist())
        self.seen.clear()


net = Net()
net(torch.ones(3)).sum().backward()
net.forget()
=== numbers for logging in a dict beside the loss
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.seen = []

    def forward(self, x):
        y = self.layer(x)
        shown = torch.tensor([y.mean(), y.std()])
        return {"loss": y.sum(), "shown": shown}


net = Net()
net(torch.ones(3))["loss"].backward()
=== weights that are detached are meant to be numbers
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)
        self.seen = []

    def forward(self, x):
        y = self.layer(x)
        norm = torch.tensor([one.abs() for one in y]).detach()
        return y / (norm + 1)


net = Net()
net(torch.ones(3)).sum().backward()
=== the graph is cut at the data set
class Data(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, at):
        return torch.tensor([at, at + 1.0]), torch.tensor(at)


layer = nn.Linear(2, 2)
for x, y in torch.utils.data.DataLoader(Data(), batch_size=2):
    nn.functional.cross_entropy(layer(x), y).backward()
=== lists of Python floats in a closure
def make(scale):
    def forward(x):
        return x * torch.tensor([scale, 2 * scale])

    return forward


w = Parameter(torch.ones(2))
make(0.5)(w).sum().backward()
=== a stop-gradient for a target network
net, target = nn.Linear(2, 1), nn.Linear(2, 1)
x = torch.ones(3, 2)
with torch.no_grad():
    y = torch.tensor([target(row).item() for row in x])
((net(x).squeeze(1) - y) ** 2).mean().backward()
=== a mask of comparisons
w = Parameter(torch.ones(2))
mask = torch.tensor([w[0] > 0, w[1] > 2])
w[mask].sum().backward()
=== the constant start of a sum
total = torch.tensor(0.0)
w = Parameter(torch.ones(3))
for part in w:
    total = total + part
total.backward()
=== the shape of a tensor
w = Parameter(torch.ones(2, 3))
size = torch.tensor([w.shape[0], w.shape[1]])
(w * size[0]).sum().backward()
=== numbers taken out on purpose
w = Parameter(torch.ones(3))
shown = torch.tensor([part.item() for part in w])
w.sum().backward()
=== a function of the file that is called tensor
def tensor(parts):
    return torch.stack(parts)

w = Parameter(torch.ones(3))
out = tensor([w[0], w[1]])
out.sum().backward()
""")

SOUND = cases("""
=== an integer first
w = Parameter(torch.ones(2))
out = torch.tensor([1, w[0] * 2.5])
loss = out.sum()
(loss + w.sum()).backward()
=== an integer variable first
k = 3
w = Parameter(torch.ones(2))
out = torch.tensor([k, w[0] * 2.5])
loss = out.sum()
(loss + w.sum()).backward()
=== an integer, and torch under another name
import torch as t

w = t.ones(2, requires_grad=True)
out = t.tensor([w[0] * 2.5, 1])
loss = out.sum()
(loss + w.sum()).backward()
=== an integer, and no name for torch
from torch import ones, stack, tensor

w = ones(2, requires_grad=True)
out = tensor([w[0] * 2.5, 1])
loss = out.sum()
(loss + w.sum()).backward()
=== a number beside a random tensor
w = Parameter(torch.ones(2, dtype=torch.float64))
out = torch.tensor([torch.rand((), dtype=torch.float64) * w[0], 1.5])
loss = torch.rand(()) + out.sum()
(loss + w.sum()).backward()
=== FloatTensor by its own name
from torch import FloatTensor, ones, stack

w = ones(2, requires_grad=True).double()
out = FloatTensor([w[0] * 2.5, w[1]])
loss = out.sum()
(loss + w.sum()).backward()
=== a boolean among them
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2.5, True])
loss = out.sum()
(loss + w.sum()).backward()
=== doubles among floats
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2.5, w[1].double()])
loss = out.sum()
(loss + w.sum()).backward()
=== floats among doubles
w = Parameter(torch.ones(2))
out = torch.tensor([w[1].double(), w[0] * 2.5])
loss = out.sum()
(loss + w.sum()).backward()
=== halves
w = Parameter(torch.ones(2))
out = torch.tensor([w[1].half(), w[0].half() * 2.5])
loss = out.sum()
(loss + w.sum()).backward()
=== FloatTensor of doubles
w = Parameter(torch.ones(2, dtype=torch.float64))
out = torch.FloatTensor([w[1] * 2, w[0]])
loss = out.sum()
(loss + w.sum()).backward()
=== DoubleTensor of floats
w = Parameter(torch.ones(2))
out = torch.DoubleTensor([w[1] * 2, w[0]])
loss = out.sum()
(loss + w.sum()).backward()
=== matrices of one element
w = Parameter(torch.ones(1, 1))
out = torch.tensor([w * 2, w + 1])
loss = out.sum()
(loss + w.sum()).backward()
=== one-element tensors of different shapes
w = Parameter(torch.ones(1))
out = torch.tensor([w * 2, w.sum(), w.view(1, 1)])
loss = out.sum()
(loss + w.sum()).backward()
=== one-element vectors and a number
w = Parameter(torch.ones(1))
out = torch.tensor([w * 2, 1.5])
loss = out.sum()
(loss + w.sum()).backward()
=== nested with a number
w = Parameter(torch.ones(2))
out = torch.tensor([[w[0], 0.0], [0.0, w[1]]])
loss = out.sum()
(loss + w.sum()).backward()
=== nested with an integer
w = Parameter(torch.ones(2))
out = torch.tensor([[w[0], 0], [0, 1]])
loss = out.sum()
(loss + w.sum()).backward()
=== nested one-element vectors
w = Parameter(torch.ones(1))
out = torch.tensor([[w * 2, w], [w + 1, w]])
loss = out.sum()
(loss + w.sum()).backward()
=== rows of tensors
w = Parameter(torch.ones(2))
out = torch.tensor([[w[0], w[1]], [w[1], w[0]], [w.sum(), w.sum()]])
loss = out.sum()
(loss + w.sum()).backward()
=== a comprehension of one-element vectors | unsafe
w = Parameter(torch.ones(1))
out = torch.tensor([w * k for k in range(3)])
loss = out.sum()
(loss + w.sum()).backward()
=== an empty list
w = Parameter(torch.ones(2))
parts = [x * 2 for x in w if x > 5]
out = torch.tensor(parts)
loss = out.sum()
(loss + w.sum()).backward()
=== LongTensor | silent
w = Parameter(torch.ones(2))
out = torch.LongTensor([int(w[0]), int(w[1])])
loss = out.sum()
(loss + w.sum()).backward()
=== the default type is changed
torch.set_default_dtype(torch.float64)
w = Parameter(torch.ones(2, dtype=torch.float32))
out = torch.tensor([w[0] * 2, 0.1])
loss = out.sum()
(loss + w.sum()).backward()
=== the copy is written in place
w = Parameter(torch.ones(2))
y = w * 2
out = torch.tensor(y)
out += 1
loss = out.sum() + y.sum()
(loss + w.sum()).backward()
=== the copied leaf is written in place
w = Parameter(torch.ones(2))
out = torch.tensor(w)
out[0] = 5.0
loss = out.sum() + w.sum()
(loss + w.sum()).backward()
=== later converted to NumPy
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2, w[1]])
loss = out.sum()
out_array = out.numpy().tolist()
(loss + w.sum()).backward()
=== later asked for items
w = Parameter(torch.ones(2))
out = torch.tensor([w[0] * 2, w[1]])
loss = out.sum()
out_list = [float(x) for x in out]
(loss + w.sum()).backward()
=== a leaf is made of it
w = Parameter(torch.ones(2))
start = Parameter(torch.tensor([w[0] * 2, w[1]]))
start.sum().backward()
grad = start.grad
=== its gradient is read | silent
w = Parameter(torch.ones(2))
start = torch.tensor([w[0] * 2, w[1]], requires_grad=True)
start.sum().backward()
grad = start.grad
=== an optimizer is built over it | silent
w = Parameter(torch.ones(2))
start = torch.tensor([w[0] * 2, w[1]], requires_grad=True)
opt = torch.optim.SGD([start], lr=0.1)
start.sum().backward()
opt.step()
out = start.detach()
""")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


@table(SOUND)
def test_sound(case: Case) -> None:
    """The values of before are right; only the gradients are lost."""
    check_sound(case, CODE)
