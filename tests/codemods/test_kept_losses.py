"""GF305: losses that are kept with their history until NumPy is given them."""

from __future__ import annotations

from harness import check_noop, check_transformed, table
from snippets import Case
from test_numpy_on_the_way import with_numpy

CODE = "GF305"

CHANGE = with_numpy("""
=== a mean over the batches | raises unsafe
def train(net, batches, measure):
    total = []
    for x in batches:
        loss = measure(net(x))
        total.append(loss)
        net.zero_grad()
        loss.backward()
    return np.mean(total)


net = nn.Linear(2, 1)
loss = train(net, torch.ones(3, 1, 2), lambda y: y.mean())
grad = net.weight.grad
--->
def train(net, batches, measure):
    total = []
    for x in batches:
        loss = measure(net(x))
        total.append(loss.item())
        net.zero_grad()
        loss.backward()
    return np.mean(total)


net = nn.Linear(2, 1)
loss = train(net, torch.ones(3, 1, 2), lambda y: y.mean())
grad = net.weight.grad
=== two lists, and an epoch around them | raises unsafe
def train(net, criterion, epochs):
    for _ in range(epochs):
        kept, names = [], []
        for x in torch.ones(2, 1, 2):
            loss = criterion(net(x), torch.zeros(1, 1))
            loss.backward()
            kept.append(loss)
            names.append("x")
        print(len(names), np.array(kept).mean())


net = nn.Linear(2, 1)
train(net, nn.MSELoss(), 2)
grad = net.weight.grad
--->
def train(net, criterion, epochs):
    for _ in range(epochs):
        kept, names = [], []
        for x in torch.ones(2, 1, 2):
            loss = criterion(net(x), torch.zeros(1, 1))
            loss.backward()
            kept.append(loss.item())
            names.append("x")
        print(len(names), np.array(kept).mean())


net = nn.Linear(2, 1)
train(net, nn.MSELoss(), 2)
grad = net.weight.grad
""")

LEAVE = with_numpy("""
=== numbers
def train(net, batches):
    total = []
    for x in batches:
        loss = net(x).mean()
        loss.backward()
        total.append(loss.item())
        total.append(loss.detach())
        total.append(float(loss))
    return np.mean(total)


train(nn.Linear(2, 1), torch.ones(3, 1, 2))
=== other values than the losses
def train(net, batches):
    total = []
    for x in batches:
        loss = net(x).mean()
        loss.backward()
        total.append(x.mean())
    return np.mean(total)


train(nn.Linear(2, 1), torch.ones(3, 1, 2))
=== bound again before it is kept
def train(net, batches):
    total = []
    for x in batches:
        loss = net(x).mean()
        loss.backward()
        loss = loss.cpu().detach().numpy()
        total.append(loss)
    return np.mean(total)


train(nn.Linear(2, 1), torch.ones(3, 1, 2))
=== joined with torch
def train(net, batches):
    total = []
    for x in batches:
        loss = net(x).mean()
        loss.backward()
        total.append(loss)
    return torch.stack(total).mean()


train(nn.Linear(2, 1), torch.ones(3, 1, 2))
=== turned into numbers before NumPy is given them
def train(net, batches):
    total = []
    for x in batches:
        loss = net(x).mean()
        loss.backward()
        total.append(loss)
    total = [one.item() for one in total]
    return np.mean(total)


train(nn.Linear(2, 1), torch.ones(3, 1, 2))
=== an error that is expected
def train(net, batches):
    total = []
    for x in batches:
        loss = net(x).mean()
        loss.backward()
        total.append(loss)
    try:
        return np.mean(total)
    except RuntimeError:
        return None


train(nn.Linear(2, 1), torch.ones(3, 1, 2))
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
