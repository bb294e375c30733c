"""GF303: log probabilities that are made leaves."""

from __future__ import annotations

from harness import check_noop, check_transformed, table
from snippets import Case, cases

CODE = "GF303"

CHANGE = cases("""
=== stacked and returned | none unsafe
def log_probs(make, outputs, actions):
    found = []
    for output, action in zip(outputs, actions):
        found.append(make(output).log_prob(action))
    found = torch.stack(found)
    found = torch.tensor(found, requires_grad=True)
    return found


net = nn.Linear(2, 3)
make = lambda output: torch.distributions.Categorical(logits=output)
loss = -log_probs(make, net(torch.ones(4, 2)), torch.zeros(4)).mean()
loss.backward()
grad = net.weight.grad
--->
def log_probs(make, outputs, actions):
    found = []
    for output, action in zip(outputs, actions):
        found.append(make(output).log_prob(action))
    found = torch.stack(found)
    return found


net = nn.Linear(2, 3)
make = lambda output: torch.distributions.Categorical(logits=output)
loss = -log_probs(make, net(torch.ones(4, 2)), torch.zeros(4)).mean()
loss.backward()
grad = net.weight.grad
=== into a term of a loss | none unsafe
def policy_loss(dists, actions, weights):
    logs = torch.cat([d.log_prob(a).view(1) for d, a in zip(dists, actions)])
    return -(torch.tensor(logs, requires_grad=True) * weights).mean()


net = nn.Linear(2, 3)
dists = [torch.distributions.Categorical(logits=o) for o in net(torch.ones(4, 2))]
loss = policy_loss(dists, torch.zeros(4), torch.ones(4))
loss.backward()
grad = net.weight.grad
--->
def policy_loss(dists, actions, weights):
    logs = torch.cat([d.log_prob(a).view(1) for d, a in zip(dists, actions)])
    return -(logs * weights).mean()


net = nn.Linear(2, 3)
dists = [torch.distributions.Categorical(logits=o) for o in net(torch.ones(4, 2))]
loss = policy_loss(dists, torch.zeros(4), torch.ones(4))
loss.backward()
grad = net.weight.grad
""")

LEAVE = cases("""
=== kept as numbers, no leaf
def old_log_probs(dists, actions):
    logs = torch.stack([d.log_prob(a) for d, a in zip(dists, actions)])
    return torch.tensor(logs)


old_log_probs([torch.distributions.Categorical(logits=torch.zeros(3))], torch.zeros(1))
=== without grad mode
@torch.no_grad()
def old_log_probs(dists, actions):
    logs = torch.stack([d.log_prob(a) for d, a in zip(dists, actions)])
    return torch.tensor(logs, requires_grad=True)


def older(dists, actions):
    logs = torch.stack([d.log_prob(a) for d, a in zip(dists, actions)])
    return torch.tensor(logs, requires_grad=True)


dists = [torch.distributions.Categorical(logits=torch.zeros(3))]
old_log_probs(dists, torch.zeros(1))
with torch.no_grad():
    older(dists, torch.zeros(1))
=== the gradient for the copy is asked for
def weights(dists, actions):
    logs = torch.stack([d.log_prob(a) for d, a in zip(dists, actions)])
    start = torch.tensor(logs, requires_grad=True)
    (grad,) = torch.autograd.grad(start.exp().sum(), start)
    return grad * start


weights([torch.distributions.Categorical(logits=torch.zeros(3))], torch.zeros(1))
=== other values
def start(values):
    first = torch.stack([v.mean() for v in values])
    return torch.tensor(first, requires_grad=True)


start(torch.ones(2, 3))
=== detached before
def start(dists, actions):
    logs = torch.stack([d.log_prob(a).detach() for d, a in zip(dists, actions)])
    return torch.tensor(logs, requires_grad=True)


start([torch.distributions.Categorical(logits=torch.zeros(3))], torch.zeros(1))
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
