"""Right programs that look like faulty ones: what the code around a place says about it.

Each of them computes something else, or stops with an error, once it is rewritten.
"""

from __future__ import annotations

from harness import check_noop, check_reported, found, table
from snippets import Case, cases

from gradfix.model import Safety

NUMBERS = cases("""
=== old log probabilities, used in every epoch
net = nn.Linear(2, 1)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
x = torch.ones(2, 2)
a, b = net(x[0]).squeeze(), net(x[1]).squeeze()
old = torch.tensor([a, b])
for _ in range(3):
    loss = (net(x).squeeze() - 0.5 * old).exp().mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
=== the same in a loop over rollouts
net = nn.Linear(2, 1)
x = torch.ones(2, 2)
for _ in range(2):
    old = torch.tensor([net(x[0]).sum().exp(), net(x[1]).sum().exp()])
    for _ in range(2):
        (net(x).exp().squeeze() * old).sum().backward()
=== weights from losses that have been differentiated
w, v = Parameter(torch.ones(2)), Parameter(torch.ones(2))
a, b = (w * w).sum(), (w.exp()).sum()
(a + b).backward()
shares = torch.tensor([a, b])
(shares * v).sum().backward()
=== the mean of losses that were kept
class Trainer:
    def __init__(self):
        self.net = nn.Linear(2, 1)
        self.losses = []

    def step(self, x):
        loss = self.net(x).pow(2).mean()
        loss.backward()
        self.losses.append(loss)
        return {"loss": loss}

    def report(self):
        return torch.tensor(self.losses).mean()

    def fit(self, batches):
        results = [self.step(x) for x in batches]
        return torch.tensor([result["loss"] for result in results]).mean()


trainer = Trainer()
trainer.fit(torch.ones(3, 2))
trainer.report()
=== what is computed from a graph that is gone
net, other = nn.Linear(2, 2), nn.Linear(2, 1)
fake = net(torch.ones(2)).exp()
fake.sum().backward()
other(torch.tensor([fake[0] * 2, fake[1]])).sum().backward()
=== a report after training
def train(net):
    for _ in range(2):
        net(torch.ones(2)).sum().backward()
    return torch.tensor([net.weight.abs().max(), net.bias.abs().max()])


train(nn.Linear(2, 1))
""")

WANTED = cases("""
=== the graph is kept
w = Parameter(torch.ones(2))
fake = w.exp()
fake.sum().backward(retain_graph=True)
first = w.grad
w.grad = None
torch.tensor([fake[0] * 2, fake[1]], requires_grad=True).sum().backward()
=== another loss has been differentiated before
w, v = Parameter(torch.ones(2)), Parameter(torch.ones(2))
v.exp().sum().backward()
out = torch.tensor([w[0].exp(), w[1].exp()])
(out * v).sum().backward()
=== copies that are made anew in every turn
w, v = Parameter(torch.ones(2)), Parameter(torch.ones(2))
for _ in range(2):
    out = torch.tensor([w[0].exp(), w[1].exp()])
    (out * v).sum().backward()
=== a penalty on the weights behind the elements
w, v = Parameter(torch.ones(2)), Parameter(torch.ones(2))
share = torch.sigmoid(w)
out = torch.tensor([share[0], share[1]])
((out * v).sum() + 0.1 * w.pow(2).sum() + w.abs().mean() / 2).backward()
=== one element has another way
a, b, v = Parameter(torch.ones(())), Parameter(torch.ones(())), Parameter(torch.ones(2))
out = torch.tensor([a.exp(), b.exp()])
((out * v).sum() + a).backward()
""")

AMBIGUOUS = cases("""
=== weights of the same losses
w = Parameter(torch.ones(2))
losses = [w[0] ** 2, (w[1] - 1) ** 2]
weights = torch.softmax(torch.tensor([losses[0], losses[1]]), 0)
loss = weights[0] * losses[0] + weights[1] * losses[1]
loss.backward()
grad = w.grad
reason: have another way
=== a maximum for numerical stability
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Parameter(torch.ones(2))

    def forward(self, x):
        y = x * self.scale
        return y - torch.tensor([y[:, 0].max(), y[:, 1].max()])


Net()(torch.ones(3, 2)).pow(2).sum().backward()
reason: have another way
=== the targets of a function of their own
net = nn.Linear(2, 2)


def targets(x):
    y = net(x)
    return torch.tensor([y[0].max(), y[1].max()])


x = torch.ones(2, 2)
(net(x).sum(1) - targets(x)).pow(2).sum().backward()
reason: have another way
""")

GRADIENTS = cases("""
=== a test says that the value has no gradient
w = Parameter(torch.ones(3))
w = w * 2
w.sum().backward()
assert w.grad is None
=== as part of a condition
w = Parameter(torch.ones(3))
w = w * 2
w.sum().backward()
assert w.requires_grad and w.grad is None
""")

TAKEN = cases("""
=== a name that the module exports
__all__ = ["w"]
w = torch.ones(3, requires_grad=True)
w = w * 2
w.sum().backward()
grad = w.grad
reason: `__all__` takes `w`
=== it is added to the list
__all__ = []
w = torch.ones(3, requires_grad=True)
w = w * 2
w.sum().backward()
grad = w.grad
__all__ += ["w"]
reason: `__all__` takes `w`
""")

NAMED = cases("""
=== the tensor that becomes the leaf has a name
base = torch.ones(3)
w = base.requires_grad_().clone()
w.sum().backward()
grad, other = base.grad, w.grad
reason: has a name of its own
=== an attribute is made the leaf
class Box:
    def __init__(self):
        self.base = torch.ones(3)


box = Box()
w = box.base.requires_grad_() * 2
w.sum().backward()
grad, other = box.base.grad, w.grad
reason: has a name of its own
""")

SUPPRESSED = cases("""
=== the error is suppressed
import contextlib
import torch

w = torch.zeros(2, requires_grad=True)
with contextlib.suppress(RuntimeError):
    w += 1
=== by a name of its own, among others
from contextlib import suppress
import torch

w = torch.zeros(2, requires_grad=True)
with suppress(ValueError, RuntimeError):
    w[0] = 1.0
""")

BEFORE_THE_LOSS = cases("""
=== a bounded value for the loss
z = torch.zeros(2, requires_grad=True)
opt = torch.optim.SGD([z], lr=0.1)
for _ in range(3):
    opt.zero_grad()
    z = torch.tanh(z)
    (z - 1).pow(2).sum().backward()
    opt.step()
reason: meant for the loss
""")

SEVERAL_VIEWS = cases("""
=== one half of the leaf, and both are used
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(4))

    def forward(self, x):
        a, b = self.w.chunk(2)
        a += x
        return (a * b).sum()
reason: one of several views
""")

SAVED_VIEWS = cases("""
=== one half of what is saved
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 4)

    def forward(self, x):
        h = torch.exp(self.layer(x))
        a, b = h.chunk(2, -1)
        a /= b
        return h
reason: one of several views
""")

TRANSPOSED = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(2, 3))

    def forward(self):
        t = SOURCE
        out = torch.zeros_like(t)
        out[0] = t[0] * 2
        out[1] = t[1]
        return out
"""


@table(NUMBERS)
def test_numbers_are_meant(case: Case) -> None:
    check_noop(case, "GF301")


@table(WANTED)
def test_a_history_is_wanted(case: Case) -> None:
    (finding,) = found(case.before, "GF301")
    assert finding.fix is not None


@table(AMBIGUOUS)
def test_perhaps_numbers_are_meant(case: Case) -> None:
    check_reported(case, "GF301")


@table(GRADIENTS)
def test_no_gradient_is_expected(case: Case) -> None:
    check_noop(case, "GF101")


@table(TAKEN)
def test_other_files_take_the_name(case: Case) -> None:
    check_reported(case, "GF101")


@table(NAMED)
def test_somebody_holds_the_leaf(case: Case) -> None:
    check_reported(case, "GF102")


@table(SUPPRESSED)
def test_errors_are_suppressed(case: Case) -> None:
    check_noop(case, "GF203")


@table(BEFORE_THE_LOSS)
def test_the_value_may_be_meant(case: Case) -> None:
    check_reported(case, "GF104")


@table(SEVERAL_VIEWS)
def test_views_that_are_not_used_after_a_write(case: Case) -> None:
    check_reported(case, "GF203")


@table(SAVED_VIEWS)
def test_a_write_that_raises_itself(case: Case) -> None:
    check_reported(case, "GF202")


def test_a_transposed_buffer_is_not_surely_the_same() -> None:
    """``zeros_like`` keeps the order in memory, which ``view`` notices; ``stack`` does not."""
    sources = {"self.w": Safety.SAFE, "self.w * 2": Safety.SAFE}
    sources |= {f"self.w{end}": Safety.UNSAFE for end in (".t()", ".t() * 2", "[:, :2].exp()")}
    for source, safety in sources.items():
        text = TRANSPOSED.replace("SOURCE", source)
        if source.startswith("self.w.t()"):
            text = text.replace("        return", "        out[2] = t[2]\n        return")
        (finding,) = found(text, "GF302")
        assert finding.fix is not None
        assert finding.fix.safety is safety, source
