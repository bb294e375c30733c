"""Right programs that expect what a rewrite would mend, or see what it would change.

Tests and demonstrations of PyTorch's refusals, contracts about gradients that are None, layers that
are trained or kept precise by other means, and tensors that others write to.
"""

from __future__ import annotations

from harness import check_noop, check_reported, code_of, fixed, found, table
from snippets import Case, cases, run

from gradfix.model import Safety

EXPECTED = cases("""
=== GF203 a context manager of the file takes the error
from contextlib import contextmanager
@contextmanager
def expect(kind):
    try:
        yield
    except kind:
        pass
w = torch.ones(2, requires_grad=True)
with expect(RuntimeError):
    w += 1
=== GF203 a class that is one
class Ignoring:
    def __enter__(self):
        return self
    def __exit__(self, kind, value, trace):
        return kind is RuntimeError
w = torch.ones(2, requires_grad=True)
with Ignoring():
    w.add_(1)
=== GF203 a decorator takes the error
def fails(f):
    def inner():
        try:
            f()
        except RuntimeError:
            return True
        raise AssertionError
    return inner
@fails
def write_to_leaf():
    w = torch.ones(2, requires_grad=True)
    w.mul_(2)
write_to_leaf()
=== GF203 a helper is given the function
def error_of(f):
    try:
        f()
    except Exception as error:
        return error
def write_to_leaf():
    w = torch.ones(2, requires_grad=True)
    w += 1
assert error_of(write_to_leaf)
=== GF203 a loop over functions
def write_to_leaf():
    w = torch.ones(2, requires_grad=True)
    w += 1
for attempt in (write_to_leaf,):
    try:
        attempt()
    except RuntimeError:
        pass
=== GF203 assertRaises is given the function
import unittest
class Leaves(unittest.TestCase):
    def write(self):
        w = torch.ones(2, requires_grad=True)
        w.fill_(0)
    def test_write(self):
        self.assertRaises(RuntimeError, self.write)
=== GF203 the function is called where an error is expected
def write_to_leaf():
    w = torch.ones(2, requires_grad=True)
    w += 1
try:
    write_to_leaf()
except RuntimeError:
    pass
=== GF203 a decorator of the file switches grad mode off
def without_graph(f):
    def inner(*given):
        with torch.no_grad():
            return f(*given)
    return inner
class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.ones(2))
    @without_graph
    def update(self, other):
        self.w *= 0.9
Mean().update(1)
=== GF202 a helper is given what backward refuses
def raises(f):
    try:
        f()
    except RuntimeError:
        return True
def overwrite():
    w = torch.ones(3, requires_grad=True)
    s = torch.sigmoid(w)
    s[0] = 0
    s.sum().backward()
assert raises(overwrite)
=== GF104 a demonstration of the second step
def wrong():
    w = torch.ones(2, requires_grad=True)
    for _ in range(3):
        (w ** 2).sum().backward()
        w = w - 0.1 * w.grad
try:
    wrong()
except TypeError:
    pass
=== GF307 a helper is given rows of Parameters
import itertools
def error_of(f):
    try:
        f()
    except Exception as error:
        return error
net, w = nn.Linear(2, 2), Parameter(torch.ones(2))
def rows():
    torch.optim.SGD(itertools.chain(*net.parameters(), w), lr=0.1)
assert error_of(rows)
=== GF101 an optimizer refuses it
w = torch.randn(3, requires_grad=True)
w = w * 2
try:
    torch.optim.SGD([w], lr=0.1)
except ValueError as error:
    assert "leaf" in str(error)
=== GF102 an optimizer refuses it, in a test of the file
class Raises:
    def __enter__(self):
        return self
    def __exit__(self, kind, value, trace):
        return kind is ValueError
w = Parameter(torch.ones(4))
w = w.view(2, 2)
with Raises():
    torch.optim.SGD([w], lr=0.1)
=== GF101 its gradient is None, under another name
w = torch.ones(3, requires_grad=True)
w = w * 2
w.sum().backward()
grad = w.grad
assert grad is None
=== GF101 the warning is what is looked at
import warnings
w = torch.ones(3, requires_grad=True)
w = w.exp()
w.sum().backward()
with warnings.catch_warnings(record=True) as caught:
    grad = w.grad
=== GF105 a helper builds an optimizer for each
class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.nets = [nn.Linear(2, 2), nn.Linear(2, 2)]
    def forward(self, x):
        return self.nets[0](x) + self.nets[1](x)
class Trainer:
    def __init__(self, model):
        self.opts = [self.make(net) for net in model.nets]
    def make(self, net):
        return torch.optim.SGD(net.parameters(), lr=0.1)
Trainer(Pair())
""")

UNSAFE = cases("""
=== GF101 the leaf has another name
w = torch.ones(2, requires_grad=True)
leaf = w
w = w * 2
w.sum().backward()
seen = [w.grad, leaf.grad]
=== GF102 it is said to be no leaf
t = Parameter(torch.ones(3)) * 2
assert not t.is_leaf
=== GF102 a test that optimizers refuse it
def can_be_trained(t):
    try:
        torch.optim.SGD([t], lr=1)
        return True
    except ValueError:
        return False
t = Parameter(torch.ones(4)).view(2, 2)
assert not can_be_trained(t)
=== GF102 only its numbers are used
class Shift(nn.Module):
    def __init__(self):
        super().__init__()
        self.prior = Parameter(torch.ones(2)) / 2
    def forward(self, x):
        return x + self.prior.log().detach()
=== GF103 the encoder must not learn
class Probe(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk, self.probe = nn.Linear(2, 2), nn.Linear(2, 1)
    def forward(self, x):
        z = Parameter(self.trunk(x))
        return self.probe(z)
net = Probe()
net(torch.ones(1, 2)).sum().backward()
assert net.trunk.weight.grad is None
=== GF104 the code asks whether there is a history
def lost():
    w = torch.ones(2, requires_grad=True)
    for step in range(2):
        if w.grad_fn is not None:
            return step
        (w ** 2).sum().backward()
        w = w - 0.1 * w.grad
assert lost()
=== GF105 layers that stay precise
class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.precise = [nn.Linear(2, 2), nn.Linear(2, 1)]
    def forward(self, x):
        x = self.body(x.bfloat16()).float()
        for layer in self.precise:
            x = layer(x)
        return x
net = Mixed()
net.bfloat16()
net(torch.ones(1, 2)).sum().backward()
=== GF201 a gate's bias is set through a slice
emb = nn.Embedding(4, 3)
unknown = emb.weight[0]
unknown.data.copy_(emb.weight.data[1:].mean(0))
assert torch.equal(unknown, emb.weight[0])
=== GF201 halves of one leaf
theta = Parameter(torch.zeros(6))
mu = theta[:3]
sigma = theta[3:]
sigma.data.fill_(-2.0)
loss = (mu * sigma).sum()
loss.backward()
assert theta.data[3] == -2
=== GF301 without a gradient, as it says
class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Parameter(torch.tensor(0.3)), Parameter(torch.tensor(0.7))
        self.last = nn.Linear(2, 1)
    def forward(self, x):
        return self.last(x * torch.tensor([self.a, self.b], requires_grad=False))
Head()(torch.ones(1, 2)).sum().backward()
=== GF301 temperatures that this loss must not train
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.temps = nn.ParameterList([torch.ones(()), torch.ones(())])
        self.lin = nn.Linear(2, 2)
    def forward(self, x):
        return self.lin(x) / torch.tensor([self.temps[0] * 1, self.temps[1] * 1])
net = Net()
net(torch.ones(1, 2)).sum().backward()
assert all(t.grad is None for t in net.temps)
=== GF302 its history is looked at
lin = nn.Linear(2, 1)
y = torch.zeros(2)
y[0] = lin(torch.ones(2)).squeeze()
y[1] = lin(torch.zeros(2)).squeeze()
assert y._version == 2
=== GF302 a function writes to a part that it sees from outside
w = torch.ones(2, requires_grad=True)
v = w * 1
def advance():
    v.mul_(2)
path = torch.zeros(3, 2)
for t in range(3):
    path[t] = v
    advance()
assert path[1, 0] == 2
=== GF302 a function that is only named writes to a part
w = torch.ones(2, requires_grad=True)
a, b = w * 1, w * 2
out = torch.zeros(2, 2)
out[0] = a
list(map(torch.Tensor.neg_, [a, b]))
out[1] = b
assert out[0, 0] == 1
=== GF302 an object that is called writes to a part
class Normalise:
    def __call__(self, v):
        v /= v.norm()
normalise = Normalise()
v = torch.tensor([3.0, 4.0], requires_grad=True) * 1
out = torch.zeros(2, 2)
out[0] = v
normalise(v)
out[1] = v
assert out[0, 0] == 3
=== GF307 gradients are put in by hand
w = Parameter(torch.ones(3))
opt = torch.optim.Adam([w.data], lr=0.1)
opt.param_groups[0]["params"][0].grad = torch.ones(3)
opt.step()
""")

REPORTED = cases("""
=== GF301 a history is refused
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
        self.lin = nn.Linear(2, 1)
    def forward(self, x):
        h = x * torch.tensor([self.a, self.b])
        if h.requires_grad:
            raise RuntimeError("scales are constants")
        return self.lin(h)
Net()(torch.ones(1, 2)).sum().backward()
reason: asks whether the result has a history
=== GF301 a running mean over all turns
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
        self.shadow = torch.zeros(2)
    def track(self):
        now = torch.tensor([self.a, self.b])
        self.shadow = 0.9 * self.shadow + 0.1 * now
Net().track()
reason: hands it on to a later turn
=== GF302 a function writes to the part it is given, sometimes
def kick(v, t):
    if t == 1:
        v += 1
v = torch.tensor([1.0, 2.0], requires_grad=True) * 1
path = torch.zeros(3, 2)
for t in range(3):
    path[t] = v
    kick(v, t)
path.sum().backward()
reason: changed in place by the call
=== GF302 a method writes to a view of the part it is given
class Kick:
    def once(self, *, state):
        flat = state.view(-1)
        flat[0] = flat[0] + 1
kick = Kick()
v = torch.tensor([1.0, 2.0], requires_grad=True) * 1
path = torch.zeros(3, 2)
for t in range(3):
    path[t] = v
    kick.once(state=v)
path.sum().backward()
reason: changed in place by the call
""")


@table(EXPECTED)
def test_expected(case: Case) -> None:
    check_noop(case, code_of(case))


@table(UNSAFE)
def test_unsafe(case: Case) -> None:
    error = run(case.before).error
    assert error is None, error
    (finding,) = found(case.before, code_of(case))
    assert finding.fix is not None, finding.not_fixed_reason
    assert finding.fix.safety is Safety.UNSAFE
    assert fixed(case.before, code_of(case)).text == case.before


@table(REPORTED)
def test_reported(case: Case) -> None:
    check_reported(case, code_of(case))


def test_who_runs_a_function_is_asked_beside_what_its_names_mean() -> None:
    text = """import torch

def train(w):
    w = torch.nn.Parameter(w)
    opt = torch.optim.SGD([w], lr=0.1)
    w = torch.sigmoid(w)
    w.sum().backward()
    return w.grad.norm()

def check():
    try:
        return train(torch.ones(2))
    except AttributeError:
        pass
"""
    assert found(text, "GF101")
