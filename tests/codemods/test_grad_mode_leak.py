"""GF308: grad mode switched off for good, and the many ways in which that is all right."""

from __future__ import annotations

from harness import check_noop, check_reported, found, table
from snippets import Case, cases, run

CODE = "GF308"

REPORT = cases("""
=== an evaluation after every epoch
def score(net, x):
    net.eval()
    torch.set_grad_enabled(False)
    return net(x).abs().mean().item()

def fit(net, x, epochs):
    scores = []
    for _ in range(epochs):
        net.train()
        net(x).sum().backward()
        scores.append(score(net, x))
    return scores

fit(nn.Linear(2, 1), torch.ones(3, 2), 2)
reason: without grad mode
=== a method, and a method that trains
class Trainer:
    def __init__(self, net):
        self.net = net
        self.opt = torch.optim.SGD(net.parameters(), lr=0.1)

    def epoch(self, x):
        self.opt.zero_grad()
        self.net(x).sum().backward()
        self.opt.step()

    def validate(self, x):
        torch.set_grad_enabled(False)
        total = self.net(x).sum()
        return float(total)

    def run(self, x):
        for _ in range(2):
            self.epoch(x)
            self.validate(x)

Trainer(nn.Linear(2, 1)).run(torch.ones(1, 2))
reason: without grad mode
=== one path does not switch on again
def validate(net, batches):
    torch.set_grad_enabled(False)
    if not batches:
        return 0.0
    total = sum(net(x).sum().item() for x in batches)
    torch.set_grad_enabled(True)
    return total

net = nn.Linear(2, 1)
for batches in ([], [torch.ones(1, 2)]):
    net(torch.ones(1, 2)).sum().backward()
    validate(net, batches)
reason: without grad mode
=== every second epoch
def validate(net, x):
    torch.set_grad_enabled(False)
    out = net(x)
    return out.mean().item()

net = nn.Linear(2, 1)
for epoch in range(4):
    net(torch.ones(1, 2)).sum().backward()
    if epoch % 2 == 0:
        validate(net, torch.ones(1, 2))
reason: without grad mode
=== in the loop itself
net = nn.Linear(2, 1)
for epoch in range(2):
    net(torch.ones(1, 2)).sum().backward()
    torch.set_grad_enabled(False)
    score = net(torch.ones(1, 2)).item()
reason: without grad mode
=== a helper of the helper
def predict(net, x):
    torch.set_grad_enabled(False)
    out = net(x)
    return out

def report(net, x):
    out = predict(net, x)
    return out.mean().item()

net = nn.Linear(2, 1)
report(net, torch.ones(1, 2))
net(torch.ones(1, 2)).sum().backward()
reason: without grad mode
=== the first training comes after a test
def test(net, x):
    torch.set_grad_enabled(False)
    return net(x).sum().item()

def train(net, x):
    net(x).sum().backward()

net = nn.Linear(2, 1)
test(net, torch.ones(1, 2))
train(net, torch.ones(1, 2))
reason: without grad mode
""")

LEAVE = cases("""
=== a script that only infers
torch.set_grad_enabled(False)
net = nn.Linear(2, 1)
out = net(torch.ones(1, 2))
=== a context manager
def score(net, x):
    with torch.set_grad_enabled(False):
        return net(x).sum().item()

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    score(net, torch.ones(1, 2))
=== on again at the end
def score(net, x):
    torch.set_grad_enabled(False)
    out = net(x).sum().item()
    torch.set_grad_enabled(True)
    return out

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    score(net, torch.ones(1, 2))
=== what it was before
def score(net, x):
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    out = net(x).sum().item()
    torch.set_grad_enabled(before)
    return out

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    score(net, torch.ones(1, 2))
=== finally
def score(net, x):
    torch.set_grad_enabled(False)
    try:
        return net(x).sum().item()
    finally:
        torch.set_grad_enabled(True)

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    score(net, torch.ones(1, 2))
=== training switches on
def train(net, x):
    torch.set_grad_enabled(True)
    net(x).sum().backward()

def score(net, x):
    torch.set_grad_enabled(False)
    return net(x).sum().item()

net = nn.Linear(2, 1)
for _ in range(2):
    train(net, torch.ones(1, 2))
    score(net, torch.ones(1, 2))
=== a phase decides
net = nn.Linear(2, 1)
for phase in ("train", "val"):
    torch.set_grad_enabled(phase == "train")
    loss = net(torch.ones(1, 2)).sum()
    if phase == "train":
        loss.backward()
torch.set_grad_enabled(True)
=== a home-made context manager
class Inference:
    def __enter__(self):
        self.before = torch.is_grad_enabled()
        torch.set_grad_enabled(False)

    def __exit__(self, *args):
        torch.set_grad_enabled(self.before)

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    with Inference():
        net(torch.ones(1, 2))
=== a generator that is a context manager
from contextlib import contextmanager
import torch
from torch import nn

@contextmanager
def inference():
    torch.set_grad_enabled(False)
    yield
    torch.set_grad_enabled(True)

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    with inference():
        net(torch.ones(1, 2))
=== evaluated when training is over
def score(net, x):
    torch.set_grad_enabled(False)
    return net(x).sum().item()

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
score(net, torch.ones(1, 2))
=== either the one or the other
def train(net, x):
    net(x).sum().backward()

def score(net, x):
    torch.set_grad_enabled(False)
    return net(x).sum().item()

def main(only_test):
    net = nn.Linear(2, 1)
    if only_test:
        score(net, torch.ones(1, 2))
        return
    for _ in range(2):
        train(net, torch.ones(1, 2))

main(False)
=== a mode for the whole run
def main(mode):
    net = nn.Linear(2, 1)
    if mode == "test":
        torch.set_grad_enabled(False)
    for _ in range(2):
        out = net(torch.ones(1, 2)).sum()
        if mode == "train":
            out.backward()

main("train")
=== training with grad mode of its own
def score(net, x):
    torch.set_grad_enabled(False)
    return net(x).sum().item()

net = nn.Linear(2, 1)
for _ in range(2):
    with torch.enable_grad():
        net(torch.ones(1, 2)).sum().backward()
    score(net, torch.ones(1, 2))
=== as a decorator
@torch.set_grad_enabled(False)
def score(net, x):
    return net(x).sum().item()

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    score(net, torch.ones(1, 2))
=== inside no_grad
def score(net, x):
    with torch.no_grad():
        torch.set_grad_enabled(False)
        return net(x).sum().item()

net = nn.Linear(2, 1)
for _ in range(2):
    net(torch.ones(1, 2)).sum().backward()
    score(net, torch.ones(1, 2))
=== a switch with a name
def inference_only():
    torch.set_grad_enabled(False)

def fit(net, x):
    net(x).sum().backward()

net = nn.Linear(2, 1)
fit(net, torch.ones(1, 2))
inference_only()
""")


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
    assert isinstance(run(case.before).error, RuntimeError)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


def test_the_story_leads_from_the_switch_to_the_training() -> None:
    (finding,) = found(REPORT[0].before, CODE)
    lines = REPORT[0].before.splitlines()
    told = [lines[note.span.row - 1].strip() for note in finding.because]
    assert told == [
        "torch.set_grad_enabled(False)",
        "return net(x).abs().mean().item()",
        "scores.append(score(net, x))",
        "net(x).sum().backward()",
    ]
