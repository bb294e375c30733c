"""GF203: a leaf that requires grad is written in place with grad mode on."""

from __future__ import annotations

from harness import check_reported, check_sound, check_transformed, table
from snippets import Case, cases

CODE = "GF203"

CHANGE = cases("""
=== one element of a list of leaves after the other | raises
params = [torch.ones(2, 1, requires_grad=True), torch.zeros(1, requires_grad=True)]
x = torch.ones(3, 2)
for _ in range(2):
    cost = (x @ params[0] + params[1]).pow(2).mean()
    grads = torch.autograd.grad(cost, params)
    for i in range(len(params)):
        params[i] -= 0.1 * grads[i]
(x @ params[0] + params[1]).sum().backward()
grad = params[0].grad
--->
params = [torch.ones(2, 1, requires_grad=True), torch.zeros(1, requires_grad=True)]
x = torch.ones(3, 2)
for _ in range(2):
    cost = (x @ params[0] + params[1]).pow(2).mean()
    grads = torch.autograd.grad(cost, params)
    for i in range(len(params)):
        with torch.no_grad():
            params[i] -= 0.1 * grads[i]
(x @ params[0] + params[1]).sum().backward()
grad = params[0].grad
=== a part of every bias of a layer | raises
rnn = nn.LSTM(2, 3)
for name, p in rnn.named_parameters():
    if "bias" in name:
        n = p.size(0)
        p[n // 4 : n // 2].fill_(1.0)
rnn(torch.ones(1, 2))[0].sum().backward()
grad = rnn.bias_ih_l0.grad
--->
rnn = nn.LSTM(2, 3)
for name, p in rnn.named_parameters():
    if "bias" in name:
        n = p.size(0)
        with torch.no_grad():
            p[n // 4 : n // 2].fill_(1.0)
rnn(torch.ones(1, 2))[0].sum().backward()
grad = rnn.bias_ih_l0.grad
=== a method clips all weights | raises
class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def clip(self, c):
        for p in self.parameters():
            p.clamp_(-c, c)

    def forward(self, x):
        return self.layer(x)


critic = Critic()
critic.clip(0.01)
critic(torch.ones(2)).sum().backward()
grad = critic.layer.weight.grad
--->
class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def clip(self, c):
        for p in self.parameters():
            with torch.no_grad():
                p.clamp_(-c, c)

    def forward(self, x):
        return self.layer(x)


critic = Critic()
critic.clip(0.01)
critic(torch.ones(2)).sum().backward()
grad = critic.layer.weight.grad
=== the weights of what another file makes are clipped behind the step | raises
def train(net, opt, x):
    net(x).sum().backward()
    opt.step()
    for p in net.parameters():
        p.clamp_(-0.01, 0.01)


net = nn.Linear(2, 1)
train(net, torch.optim.SGD(net.parameters(), lr=0.1), torch.ones(2))
grad = net.weight.grad
--->
def train(net, opt, x):
    net(x).sum().backward()
    opt.step()
    for p in net.parameters():
        with torch.no_grad():
            p.clamp_(-0.01, 0.01)


net = nn.Linear(2, 1)
train(net, torch.optim.SGD(net.parameters(), lr=0.1), torch.ones(2))
grad = net.weight.grad
=== a buffer collects values | raises
x = torch.ones(3, requires_grad=True)
total = torch.zeros(3, requires_grad=True)  # the sum
for _ in range(2):
    total += x * 2  # once more
loss = total.sum()
loss.backward()
grad = x.grad
--->
x = torch.ones(3, requires_grad=True)
total = torch.zeros(3)  # the sum
for _ in range(2):
    total += x * 2  # once more
loss = total.sum()
loss.backward()
grad = x.grad
=== a buffer that is bound together with another name | raises
x = torch.ones(3, requires_grad=True)
total, count = torch.zeros(3, requires_grad=True), 2
for _ in range(count):
    total += x * 2
loss = total.sum()
loss.backward()
grad = x.grad
--->
x = torch.ones(3, requires_grad=True)
total, count = torch.zeros(3), 2
for _ in range(count):
    total += x * 2
loss = total.sum()
loss.backward()
grad = x.grad
=== slots of a buffer | raises
x = torch.ones(2, requires_grad=True)
full = torch.zeros(4, requires_grad=True)
full[0] = x[0] * 2
full[1] = x[1] * 3
loss = full.sum()
loss.backward()
grad = x.grad
--->
x = torch.ones(2, requires_grad=True)
full = torch.zeros(4)
full[0] = x[0] * 2
full[1] = x[1] * 3
loss = full.sum()
loss.backward()
grad = x.grad
=== a buffer collects what layers of a list give | raises
class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(3, 2) for _ in range(4)])

    def forward(self, x):
        scores = torch.zeros(x.shape[0], 4, 2, requires_grad=True)
        for at, expert in enumerate(self.experts):
            scores[:, at] = expert(x)
        return scores.sum(1)

net = Experts()
out = net(torch.ones(5, 3))
out.sum().backward()
grad = net.experts[3].weight.grad
--->
class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList([nn.Linear(3, 2) for _ in range(4)])

    def forward(self, x):
        scores = torch.zeros(x.shape[0], 4, 2)
        for at, expert in enumerate(self.experts):
            scores[:, at] = expert(x)
        return scores.sum(1)

net = Experts()
out = net(torch.ones(5, 3))
out.sum().backward()
grad = net.experts[3].weight.grad
=== a buffer collects what unknown functions give | raises unsafe
def collect(parts, x):
    out = torch.zeros(2, 3, requires_grad=True)
    for at, part in enumerate(parts):
        out[at] = part(x)
    return out.sum()

w = Parameter(torch.ones(3))
loss = collect([lambda x: x * w, lambda x: x + w], torch.ones(3))
loss.backward()
grad = w.grad
--->
def collect(parts, x):
    out = torch.zeros(2, 3)
    for at, part in enumerate(parts):
        out[at] = part(x)
    return out.sum()

w = Parameter(torch.ones(3))
loss = collect([lambda x: x * w, lambda x: x + w], torch.ones(3))
loss.backward()
grad = w.grad
=== a sum of terms from elsewhere | unsafe raises
def total_loss(terms, weights):
    total = torch.zeros(1, requires_grad=True)
    for term, weight in zip(terms, weights):
        total += weight * term
    return total

x = torch.ones(2, requires_grad=True)
loss = total_loss([x[0] * 2, x[1] ** 2], [1.0, 0.5])
loss.backward()
grad = x.grad
--->
def total_loss(terms, weights):
    total = torch.zeros(1)
    for term, weight in zip(terms, weights):
        total += weight * term
    return total

x = torch.ones(2, requires_grad=True)
loss = total_loss([x[0] * 2, x[1] ** 2], [1.0, 0.5])
loss.backward()
grad = x.grad
=== a sum of what a list holds | unsafe raises
def total_loss(terms):
    total = torch.zeros(1, requires_grad=True)
    for term in terms:
        total += term
    return total

x = torch.ones(2, requires_grad=True)
loss = total_loss([x[0] * 2, x[1] ** 2])
loss.backward()
grad = x.grad
--->
def total_loss(terms):
    total = torch.zeros(1)
    for term in terms:
        total += term
    return total

x = torch.ones(2, requires_grad=True)
loss = total_loss([x[0] * 2, x[1] ** 2])
loss.backward()
grad = x.grad
=== a perturbation from elsewhere | raises unsafe
def perturb(noise):
    x = torch.ones(3, requires_grad=True)
    x += noise
    return x

x = perturb(torch.ones(3))
(x * x).sum().backward()
grad = x.grad
--->
def perturb(noise):
    x = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        x += noise
    return x

x = perturb(torch.ones(3))
(x * x).sum().backward()
grad = x.grad
=== other keywords of the buffer stay | raises
x = torch.ones(2, requires_grad=True)
full = torch.zeros(2, dtype=torch.float32, requires_grad=True)
full[0] = x.sum()
loss = full.sum()
loss.backward()
grad = x.grad
--->
x = torch.ones(2, requires_grad=True)
full = torch.zeros(2, dtype=torch.float32)
full[0] = x.sum()
loss = full.sum()
loss.backward()
grad = x.grad
=== initialised in a constructor | raises
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.empty(3))
        self.w.uniform_(-1, 1)  # not too large

    def forward(self, x):
        return x * self.w


net = Net()
net(torch.ones(3)).sum().backward()
grad = net.w.grad
--->
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.empty(3))
        with torch.no_grad():
            self.w.uniform_(-1, 1)  # not too large

    def forward(self, x):
        return x * self.w


net = Net()
net(torch.ones(3)).sum().backward()
grad = net.w.grad
=== a slice is initialised | raises
w = Parameter(torch.empty(4))
w[:2] = 0.0
w[2:] = 1.0
loss = w.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.empty(4))
with torch.no_grad():
    w[:2] = 0.0
with torch.no_grad():
    w[2:] = 1.0
loss = w.sum()
loss.backward()
grad = w.grad
=== an update by hand | raises
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    (w * w).sum().backward()
    grad = w.grad.clone()
    # descend
    w -= 0.1 * w.grad
    w.grad.zero_()
--->
w = torch.ones(2, requires_grad=True)
for _ in range(2):
    (w * w).sum().backward()
    grad = w.grad.clone()
    # descend
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad.zero_()
=== the bias of a layer | raises
layer = nn.Linear(2, 2)
layer.bias.fill_(0.1)
out = layer(torch.zeros(1, 2))
out.sum().backward()
grad = layer.bias.grad
--->
layer = nn.Linear(2, 2)
with torch.no_grad():
    layer.bias.fill_(0.1)
out = layer(torch.zeros(1, 2))
out.sum().backward()
grad = layer.bias.grad
=== every key is normalised before it is used | raises
class Bank(nn.Module):
    def __init__(self):
        super().__init__()
        self.keys = nn.ParameterList([nn.Parameter(torch.ones(3)) for _ in range(2)])

    def forward(self, x):
        total = 0.0
        for k in self.keys:
            k /= k.norm()
            total = total + (k * x).sum()
        return total


bank = Bank()
out = bank(torch.ones(3))
out.backward()
grad = bank.keys[0].grad
--->
class Bank(nn.Module):
    def __init__(self):
        super().__init__()
        self.keys = nn.ParameterList([nn.Parameter(torch.ones(3)) for _ in range(2)])

    def forward(self, x):
        total = 0.0
        for k in self.keys:
            k = k / k.norm()
            total = total + (k * x).sum()
        return total


bank = Bank()
out = bank(torch.ones(3))
out.backward()
grad = bank.keys[0].grad
=== forward writes by a name of its own and computes with it | raises unsafe
class Graph(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.ones(3, 3))

    def forward(self, x):
        edges = self.logits
        edges.fill_diagonal_(0)
        return torch.sigmoid(edges) @ x


graph = Graph()
out = graph(torch.ones(3))
out.sum().backward()
grad = graph.logits.grad
--->
class Graph(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.ones(3, 3))

    def forward(self, x):
        edges = self.logits
        with torch.no_grad():
            edges.fill_diagonal_(0)
        return torch.sigmoid(edges) @ x


graph = Graph()
out = graph(torch.ones(3))
out.sum().backward()
grad = graph.logits.grad
=== weights are clipped | raises
w = Parameter(torch.ones(3))
(w * w).sum().backward()
grad = w.grad
w.clamp_(-0.5, 0.5)
--->
w = Parameter(torch.ones(3))
(w * w).sum().backward()
grad = w.grad
with torch.no_grad():
    w.clamp_(-0.5, 0.5)
=== a weight of an argument whose class is named | raises
class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Linear(4, 3)


def forget(memory: Memory, slot):
    memory.value.weight[:, slot] = 0.0


memory = Memory()
forget(memory, 1)
memory.value(torch.ones(1, 4)).sum().backward()
grad = memory.value.weight.grad
--->
class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Linear(4, 3)


def forget(memory: Memory, slot):
    with torch.no_grad():
        memory.value.weight[:, slot] = 0.0


memory = Memory()
forget(memory, 1)
memory.value(torch.ones(1, 4)).sum().backward()
grad = memory.value.weight.grad
=== a weight of a layer that an annotation names | raises
def shrink(layer: nn.Linear):
    layer.weight.mul_(0.5)


layer = nn.Linear(2, 2)
shrink(layer)
layer(torch.ones(1, 2)).sum().backward()
grad = layer.weight.grad
--->
def shrink(layer: nn.Linear):
    with torch.no_grad():
        layer.weight.mul_(0.5)


layer = nn.Linear(2, 2)
shrink(layer)
layer(torch.ones(1, 2)).sum().backward()
grad = layer.weight.grad
=== a weight of what all calls pass | raises unsafe
class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Linear(4, 3)


def write(memory, slot, amount=1.0):
    memory.value.weight[:, slot] += amount


memory = Memory()
write(memory, 1)
write(slot=2, memory=memory)
memory.value(torch.ones(1, 4)).sum().backward()
grad = memory.value.weight.grad
--->
class Memory(nn.Module):
    def __init__(self):
        super().__init__()
        self.value = nn.Linear(4, 3)


def write(memory, slot, amount=1.0):
    with torch.no_grad():
        memory.value.weight[:, slot] += amount


memory = Memory()
write(memory, 1)
write(slot=2, memory=memory)
memory.value(torch.ones(1, 4)).sum().backward()
grad = memory.value.weight.grad
=== an update of what another file makes, with its own gradient | raises
def step(model, x, lr):
    loss = model(x).sum()
    loss.backward()
    for p in model.parameters():
        if p.grad is not None:
            p.add_(p.grad, alpha=-lr)
    return model.weight.grad


grad = step(nn.Linear(2, 2), torch.ones(1, 2), 0.1)
--->
def step(model, x, lr):
    loss = model(x).sum()
    loss.backward()
    for p in model.parameters():
        if p.grad is not None:
            with torch.no_grad():
                p.add_(p.grad, alpha=-lr)
    return model.weight.grad


grad = step(nn.Linear(2, 2), torch.ones(1, 2), 0.1)
=== an update of named Parameters | raises
def step(model, x, lr):
    model(x).sum().backward()
    for name, p in model.named_parameters():
        p -= lr * p.grad
    return model.weight.grad


grad = step(nn.Linear(2, 2), torch.ones(1, 2), 0.1)
--->
def step(model, x, lr):
    model(x).sum().backward()
    for name, p in model.named_parameters():
        with torch.no_grad():
            p -= lr * p.grad
    return model.weight.grad


grad = step(nn.Linear(2, 2), torch.ones(1, 2), 0.1)
=== a view of a bias that is registered again | raises unsafe
class Heads(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        for layer in self.layers:
            b = layer.bias.view(2, -1)
            b[:, 0] += 0.5
            layer.bias = nn.Parameter(b.view(-1))


heads = Heads(nn.ModuleList([nn.Linear(2, 4)]))
heads.layers[0](torch.ones(1, 2)).sum().backward()
grad = heads.layers[0].bias.grad
--->
class Heads(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        for layer in self.layers:
            b = layer.bias.view(2, -1)
            with torch.no_grad():
                b[:, 0] += 0.5
            layer.bias = nn.Parameter(b.view(-1))


heads = Heads(nn.ModuleList([nn.Linear(2, 4)]))
heads.layers[0](torch.ones(1, 2)).sum().backward()
grad = heads.layers[0].bias.grad
=== the result of a function goes into a leaf | raises
w = Parameter(torch.ones(2))
torch.add(torch.ones(2), torch.ones(2), out=w)
(w * w).sum().backward()
grad = w.grad
--->
w = Parameter(torch.ones(2))
with torch.no_grad():
    torch.add(torch.ones(2), torch.ones(2), out=w)
(w * w).sum().backward()
grad = w.grad
""")

REPORT = cases("""
=== a constructor writes into a leaf
class Basis(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.frequencies = nn.Parameter(torch.empty(n))
        torch.arange(1, n + 1, out=self.frequencies).mul_(3.14)

    def forward(self, x):
        return torch.sin(self.frequencies * x)
reason: switches
=== the written value has a history
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        h = torch.sigmoid(self.w)
        self.w[0] = h[1]
        return x * self.w
reason: history
=== nobody reads what the rows become
class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3, 3))

    def forward(self, x):
        for i, row in enumerate(self.w):
            row /= row.norm()
        return x @ self.w
reason: nothing reads
=== the leaf would be lost
w = torch.ones(3, requires_grad=True)
x = torch.ones(3, requires_grad=True)
w += x
w.sum().backward()
print(w.grad)
reason: lost
=== the result of the write gets a name
w = Parameter(torch.ones(3))
y = w.add_(1) * 2
reason: name
""")

SOUND = cases("""
=== a leaf is initialised and returned
def start():
    w = torch.zeros(3, requires_grad=True)
    w[0] = 1.0
    return w


w = start()
out = w * 2
out.sum().backward()
grad = w.grad
--->
w = torch.tensor([1.0, 0.0, 0.0], requires_grad=True)
out = w * 2
out.sum().backward()
grad = w.grad
=== a leaf is changed and bound again
w = torch.ones(3, requires_grad=True)
w = w.mul_(2)
out = w * 2
out.sum().backward()
--->
w = torch.full((3,), 2.0, requires_grad=True)
out = w * 2
out.sum().backward()
=== an optimizer gets the buffer
x = torch.ones(3, requires_grad=True)
w = torch.zeros(3, requires_grad=True)
w += 1
opt = torch.optim.SGD([w], lr=0.1)
out = (w * x).detach()
(w * x).sum().backward()
grad = w.grad
--->
x = torch.ones(3, requires_grad=True)
w = torch.ones(3, requires_grad=True)
opt = torch.optim.SGD([w], lr=0.1)
out = (w * x).detach()
(w * x).sum().backward()
grad = w.grad
=== a loop that adds up scalars
w = torch.ones(3, requires_grad=True)
total = torch.tensor(0.0, requires_grad=True)
for k in range(2):
    total += (w * k).sum()
out = total
out.backward()
grad = w.grad
--->
w = torch.ones(3, requires_grad=True)
out = sum((w * k).sum() for k in range(2))
out.backward()
grad = w.grad
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table(SOUND)
def test_sound(case: Case) -> None:
    check_sound(case, CODE)
