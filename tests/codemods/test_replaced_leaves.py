"""GF101: an attribute that an optimizer was given is bound to another tensor."""

from __future__ import annotations

from harness import check_noop, check_reported, fixed, found, table
from snippets import Case, cases, run

CODE = "GF101"

#: What shows ``moves``: whether a second step still changes the attribute; only ``after`` does so.
CHANGE = cases("""
=== clamped behind the step
class Agent:
    def __init__(self):
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.optim = torch.optim.SGD([self.log_alpha], lr=1.0)

    def train(self):
        loss = (self.log_alpha - 3).pow(2).sum()
        self.optim.zero_grad()
        loss.backward()
        self.optim.step()
        self.log_alpha = self.log_alpha.clamp(-5, 4)  # not too far


agent = Agent()
agent.train()
first = agent.log_alpha.detach().clone()
try:
    agent.train()
except RuntimeError:
    pass
agent.log_alpha.detach()
moves = not torch.equal(first, agent.log_alpha)
--->
class Agent:
    def __init__(self):
        self.log_alpha = torch.zeros(1, requires_grad=True)
        self.optim = torch.optim.SGD([self.log_alpha], lr=1.0)

    def train(self):
        loss = (self.log_alpha - 3).pow(2).sum()
        self.optim.zero_grad()
        loss.backward()
        self.optim.step()
        with torch.no_grad():
            self.log_alpha.clamp_(-5, 4)  # not too far


agent = Agent()
agent.train()
first = agent.log_alpha.detach().clone()
try:
    agent.train()
except RuntimeError:
    pass
agent.log_alpha.detach()
moves = not torch.equal(first, agent.log_alpha)
=== an optimizer that a helper makes
def make(leaf, lr):
    return torch.optim.SGD([leaf], lr=lr)


class Agent:
    def setup(self, helper):
        self.w = torch.zeros(1, requires_grad=True)
        self.opt = helper(self.w, 1.0)

    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        self.w = self.w.clamp(min=-5, max=4)


agent = Agent()
agent.setup(make)
agent.train()
first = agent.w.detach().clone()
agent.train()
moves = not torch.equal(first, agent.w)
--->
def make(leaf, lr):
    return torch.optim.SGD([leaf], lr=lr)


class Agent:
    def setup(self, helper):
        self.w = torch.zeros(1, requires_grad=True)
        self.opt = helper(self.w, 1.0)

    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        with torch.no_grad():
            self.w.clamp_(min=-5, max=4)


agent = Agent()
agent.setup(make)
agent.train()
first = agent.w.detach().clone()
agent.train()
moves = not torch.equal(first, agent.w)
""")

REPORT = cases("""
=== made a new leaf
class Agent:
    def __init__(self):
        self.w = torch.zeros(1, requires_grad=True)
        self.opt = torch.optim.SGD([self.w], lr=1.0)

    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        self.w = self.w.clamp(-5, 4).detach().requires_grad_()


agent = Agent()
agent.train()
first = agent.w.detach().clone()
agent.train()
moves = not torch.equal(first, agent.w)
reason: not plain
=== an operator
class Agent:
    def __init__(self):
        self.w = torch.zeros(1, requires_grad=True)
        self.opt = torch.optim.SGD([self.w], lr=1.0)

    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        self.w = 0.5 * self.w


agent = Agent()
agent.train()
first = agent.w.detach().clone() * 0.5
agent.train()
moves = not torch.equal(first, agent.w)
reason: not plain
""")

HEAD = """
class Agent:
    def __init__(self):
        self.w = torch.zeros(1, requires_grad=True)
        self.b = torch.zeros(1)
        self.opt = torch.optim.SGD([self.w], lr=1.0)

"""
TAIL = """

agent = Agent()
agent.train()
agent.train()
"""
METHODS = """
=== in place
    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        with torch.no_grad():
            self.w.clamp_(-5, 4)
=== through data
    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        self.w.data = self.w.data.clamp(-5, 4)
=== another attribute
    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        self.b = self.w.clamp(-5, 4).detach()
        self.b = self.b.clamp(-1, 1)
=== the optimizer is made again
    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        self.w = self.w.clamp(-5, 4).detach().requires_grad_()
        self.opt = torch.optim.SGD([self.w], lr=1.0)
=== the optimizer is told
    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        self.w = self.w.clamp(-5, 4).detach().requires_grad_()
        self.opt.param_groups[0]["params"] = [self.w]
=== something new, not computed from it
    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()
        self.w = torch.zeros(1, requires_grad=True)
=== no step comes before
    def train(self):
        self.opt.zero_grad()
        (self.w - 3).pow(2).sum().backward()
        self.opt.step()

    def freeze(self):
        self.w = self.w.clamp(-5, 4).detach()
"""
LEAVE = cases(
    "".join(
        f"=== {name}\n{HEAD.lstrip()}{body}{TAIL}"
        for name, _, body in (part.partition("\n") for part in METHODS.split("\n=== ")[1:])
    )
)


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    assert found(case.before, CODE)
    assert fixed(case.before, CODE).text == case.before, "not safe, but applied by default"
    assert fixed(case.before, CODE, unsafe=True).text == case.after
    assert fixed(case.after, CODE, unsafe=True).text == case.after
    assert run(case.before).names["moves"] is False
    assert run(case.after).names["moves"] is True


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
    assert run(case.before).names["moves"] is False


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
