"""GF301: copies whose users need a tensor without history, so that no rewrite may give them one."""

from __future__ import annotations

from harness import check_reported, fixed, found, table
from snippets import Case, cases

CODE = "GF301"

REPORTED = cases("""
=== copied with everything else
import copy

a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
gates = torch.tensor([a * 2, b * 3])
kept = copy.deepcopy(gates)
(gates * 2 + Parameter(torch.ones(2))).sum().backward()
reason: deepcopy
=== kept by an object that is copied
import copy


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(1.0))

    def forward(self, x):
        self.gates = torch.tensor([self.a * 2, self.b * 3])
        return x * self.gates


net = Net()
net(torch.ones(2)).sum().backward()
kept = copy.deepcopy(net)
reason: deepcopy
=== taken apart and written
a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
c = Parameter(torch.tensor(1.0))
gates = torch.tensor([a * 2, b * 3])
first, second = gates
first += 1
(gates * c).sum().backward()
reason: written in place
=== chunks that are written
a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
c = Parameter(torch.tensor(1.0))
gates = torch.tensor([a * 2, b * 3])
first, second = gates.chunk(2)
first *= 2
(gates * c).sum().backward()
reason: written in place
=== rows that a loop writes
a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
c = Parameter(torch.tensor(1.0))
gates = torch.tensor([[a * 2, b * 3], [b, a]])
for row in gates:
    row /= row.sum()
(gates * c).sum().backward()
reason: written in place
=== given as out
a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
c = Parameter(torch.tensor(1.0))
gates = torch.tensor([a * 2, b * 3])
torch.clamp(gates, max=3.0, out=gates)
(gates * c).sum().backward()
reason: written in place
=== asked whether it is a constant
a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
c = Parameter(torch.tensor(1.0))
gates = torch.tensor([a * 2, b * 3])
if gates.requires_grad:
    raise ValueError("gates must be a constant")
(gates * c).sum().backward()
reason: asks whether
=== the last turn's in this one
a, c = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(1.0))
state = torch.zeros(2)
for _ in range(3):
    state = torch.tensor([a * 2 + state[0], a * 3 + state[1]])
    (state * c).sum().backward()
reason: later turn
=== collected over the turns
a, c = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(1.0))
memory = []
for i in range(3):
    memory.append(torch.tensor([a * i, a + i]))
    sum((one * c).sum() for one in memory).backward()
reason: later turn
=== a global of the last call
last = None


def smooth(a):
    global last
    now = torch.tensor([a * 2, a * 3])
    out = now if last is None else 0.5 * (now + last)
    last = now
    return out


a = Parameter(torch.tensor(1.0))
for _ in range(3):
    (smooth(a).sum() + a).backward()
reason: later turn
=== the best of all calls
class Tracker:
    best = None

    def update(self, a, c):
        now = torch.tensor([a * 2, a * 3])
        if Tracker.best is None or now.sum() > Tracker.best.sum():
            Tracker.best = now
        return (Tracker.best * c).sum()


a, c = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(1.0))
tracker = Tracker()
for _ in range(3):
    tracker.update(a, c).backward()
reason: later turn
=== kept for several turns
a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
c = Parameter(torch.ones(2))
target = None
for step in range(4):
    if step % 2 == 0:
        target = torch.tensor([a * 2, b * 3])
    ((c - target) ** 2).sum().backward()
reason: later turn
=== a memory of all calls
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
        self.memory = []

    def forward(self, x):
        self.memory.append(torch.tensor([self.a * 2, self.b * 3]))
        return x * torch.stack(self.memory).mean(0)


net = Net()
for _ in range(3):
    net(Parameter(torch.ones(2))).sum().backward()
reason: later turn
=== yielded in every turn
def stream(a):
    state = torch.tensor([a * 1, a * 2])
    for _ in range(3):
        yield state


a, c = Parameter(torch.tensor(1.0)), Parameter(torch.ones(2))
for state in stream(a):
    (state * c).sum().backward()
reason: later turn
=== what a generator made is judged first
maker, judge = nn.Linear(2, 2), nn.Linear(2, 1)
for _ in range(3):
    made = maker(torch.ones(2))
    fixed = torch.tensor([made[0], made[1]])
    judge(fixed).sum().backward()
    judge(made).sum().neg().backward()
reason: two backwards
""")


@table(REPORTED)
def test_reported_only(case: Case) -> None:
    check_reported(case, CODE)


#: What looks like one of these and is none: the copy is rewritten.
REWRITTEN = cases("""
=== another tensor is copied
import copy

a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
gates = torch.tensor([a * 2, b * 3])
kept = copy.deepcopy(gates.detach())
gates.sum().backward()
=== one row by its number
a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
gates = torch.tensor([a * 2, b * 3])
first = gates[0]
first += 1
gates.sum().backward()
=== an inner loop of one turn
a, c = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(1.0))
for _ in range(3):
    state = torch.tensor([a * 2, a * 3])
    (state * c).sum().backward()
=== collected anew in every turn
a, c = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(1.0))
for i in range(3):
    memory = []
    memory.append(torch.tensor([a * i, a + i]))
    sum((one * c).sum() for one in memory).backward()
=== a memory that every call empties
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
        self.memory = []

    def forward(self, x):
        self.memory.clear()
        self.memory.append(torch.tensor([self.a * 2, self.b * 3]))
        return x * torch.stack(self.memory).mean(0)


Net()(torch.ones(2)).sum().backward()
=== made for each yield
def stream(a):
    for k in range(3):
        yield torch.tensor([a * k, a * 2])


a, c = Parameter(torch.tensor(1.0)), Parameter(torch.ones(2))
for state in stream(a):
    (state * c).sum().backward()
=== made on both ways through a turn
a, b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(2.0))
c = Parameter(torch.ones(2))
target = None
for step in range(4):
    if step % 2 == 0:
        target = torch.tensor([a * 2, b * 3])
    else:
        target = torch.zeros(2)
    ((c - target) ** 2).sum().backward()
=== an attribute that is read behind it
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = Parameter(torch.tensor(1.0)), Parameter(torch.tensor(1.0))

    def forward(self, x):
        self.gates = torch.tensor([self.a * 2, self.b * 3])
        return x * self.gates


Net()(torch.ones(2)).sum().backward()
""")


@table(REWRITTEN)
def test_rewritten(case: Case) -> None:
    assert found(case.before, CODE)[0].fix is not None
    assert "torch.stack(" in fixed(case.before, CODE, unsafe=True).text
