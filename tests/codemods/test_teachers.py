"""GF301: copies that others learn from, which get no history without being asked for."""

from __future__ import annotations

from harness import check_reported, fixed, found, table
from snippets import Case, cases

from gradfix.model import Safety

CODE = "GF301"

REPORTED = cases("""
=== the target of a loss
student, teacher = nn.Linear(2, 1), nn.Linear(2, 1)
x = torch.ones(2)
target = torch.tensor([teacher(x)[0] * 1])
loss = nn.functional.mse_loss(student(x), target)
loss.backward()
reason: target of a loss
=== the target, by its name, of a loss that is a Module
student, teacher = nn.Linear(2, 1), nn.Linear(2, 1)
x = torch.ones(2)
label = torch.tensor([teacher(x)[0].sigmoid()])
criterion = nn.BCEWithLogitsLoss()
loss = criterion(student(x), target=label)
loss.backward()
reason: target of a loss
""")

UNSAFE = cases("""
=== weights of a log probability
student, teacher = nn.Linear(2, 2), nn.Linear(2, 2)
x = torch.ones(2)
t = teacher(x).softmax(-1)
target = torch.tensor([t[0], t[1]])
loss = -(target * student(x).log_softmax(-1)).sum()
loss.backward()
=== advantages
actor, critic = nn.Linear(2, 2), nn.Linear(2, 1)
x = torch.ones(2)
advantage = torch.tensor([1 - critic(x)[0]])
chosen = actor(x).log_softmax(-1)[0]
loss = -(chosen * advantage).mean()
loss.backward()
=== compared with the result of another model
student, teacher = nn.Linear(2, 1), nn.Linear(2, 1)
x = torch.ones(2)
y = torch.tensor([teacher(x)[0] * 1])
loss = (student(x) - y).pow(2).mean()
loss.backward()
=== the step is one of the other model
maker, judge = nn.Linear(1, 1), nn.Linear(1, 1)
optimizer = torch.optim.SGD(judge.parameters(), 0.1)
fake = torch.tensor([maker(torch.ones(1))[0] * 1])
loss = judge(fake).sum()
optimizer.zero_grad()
loss.backward()
optimizer.step()
=== what the loss is is not known
student, teacher = nn.Linear(2, 1), nn.Linear(2, 1)


def train(x, criterion):
    target = torch.tensor([teacher(x)[0] * 1])
    loss = criterion(student(x), target)
    loss.backward()
=== another optimizer holds the Parameters
x = nn.Parameter(torch.ones(2))
a, b = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.1))
optimizer = torch.optim.SGD([x], 0.1)
dual = torch.optim.SGD([a, b], 0.1)
limits = torch.tensor([a.exp(), b.exp()])
loss = (x**2).sum() + (limits * (1 - x)).sum()
loss.backward()
optimizer.step()
=== the step is one of the other model, by a list
maker, judge = nn.Linear(1, 1), nn.Linear(1, 1)
weights = list(judge.parameters())
optimizer = torch.optim.SGD(weights, 0.1)
fake = torch.tensor([maker(torch.ones(1))[0] * 1])
loss = judge(fake).sum()
loss.backward()
optimizer.step()
=== ratios of probabilities
actor, critic = nn.Linear(2, 2), nn.Linear(2, 1)
x = torch.ones(2)
advantage = torch.tensor([1 - critic(x)[0]])
ratio = torch.exp(actor(x).log_softmax(-1)[0] - 0.5)
loss = -(ratio * advantage).mean()
loss.backward()
=== the angle to the result of another model
student, teacher = nn.Linear(2, 2), nn.Linear(2, 2)
x = torch.ones(2)
z = teacher(x)
y = torch.tensor([z[0], z[1]])
loss = -nn.functional.cosine_similarity(student(x), y, dim=0)
loss.backward()
=== the loss is given a target and a value that may have a history
teacher = nn.Linear(2, 1)


def train(batch, x):
    target = torch.tensor([teacher(x)[0] * 1])
    loss = nn.functional.mse_loss(batch, target)
    loss.backward()
""")

SAFE = cases("""
=== the input of a loss whose target is data
net = nn.Linear(2, 1)
x = torch.ones(2)
out = torch.tensor([net(x)[0] * 1])
loss = nn.functional.mse_loss(out, torch.zeros(1))
loss.backward()
=== the two arguments of a loss in the wrong order
net = nn.Linear(2, 1)
x = torch.ones(2)
out = torch.tensor([net(x)[0] * 1])
loss = nn.functional.mse_loss(torch.zeros(1), out)
loss.backward()
=== the distance to data
net = nn.Linear(2, 1)
x = torch.ones(2)
out = torch.tensor([net(x)[0] * 1])
loss = (torch.zeros(1) - out).pow(2).mean()
loss.backward()
=== the optimizer holds both models
maker, judge = nn.Linear(1, 1), nn.Linear(1, 1)
optimizer = torch.optim.SGD([*judge.parameters(), *maker.parameters()], 0.1)
fake = torch.tensor([maker(torch.ones(1))[0] * 1])
loss = judge(fake).sum()
optimizer.zero_grad()
loss.backward()
optimizer.step()
=== the optimizer holds the Parameters
x = nn.Parameter(torch.ones(2))
a, b = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.tensor(0.1))
weights = [x, a, b]
optimizer = torch.optim.SGD(weights, 0.1)
limits = torch.tensor([a.exp(), b.exp()])
loss = (x**2).sum() + (limits * (1 - x)).sum()
loss.backward()
optimizer.step()
=== gates of a layer
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.out = nn.Linear(2, 1)

    def forward(self, x):
        return (self.out(x).log_softmax(-1) * torch.tensor([self.a * 2])).sum()


Net()(torch.ones(2)).backward()
""")


@table(REPORTED)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table(UNSAFE)
def test_unsafe(case: Case) -> None:
    (finding,) = found(case.before, CODE)
    assert finding.fix is not None and finding.fix.safety is Safety.UNSAFE
    assert fixed(case.before, CODE).text == case.before


@table(SAFE)
def test_safe(case: Case) -> None:
    (finding,) = found(case.before, CODE)
    assert finding.fix is not None and finding.fix.safety is Safety.SAFE
