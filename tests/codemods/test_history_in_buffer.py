"""GF312: a running statistic takes on the history of every batch."""

from __future__ import annotations

import pytest
from harness import VARIANTS, check_noop, check_reported, fixed, found, table
from snippets import Case, cases, run, same

CODE = "GF312"

#: What shows ``grows``: whether a buffer has a history at the end; it has before, and not after.
CHANGE = cases("""
=== statistics of a batch
class Norm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("var", torch.ones(n))

    def forward(self, x, momentum=0.1):
        if self.training:
            mean, var = x.mean(0), x.var(0)
            self.mean.mul_(1 - momentum).add_(mean * momentum)  # slowly
            self.var.mul_(1 - momentum).add_(var * momentum)
        else:
            mean, var = self.mean, self.var
        return (x - mean) / torch.sqrt(var + 1e-5)


layer, norm = nn.Linear(2, 2), Norm(2)
out = norm(layer(torch.eye(2)))
out.square().sum().backward()
out_mean, grad = norm.mean, layer.weight.grad
grows = norm.mean.grad_fn is not None or norm.var.grad_fn is not None
--->
class Norm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("var", torch.ones(n))

    def forward(self, x, momentum=0.1):
        if self.training:
            mean, var = x.mean(0), x.var(0)
            with torch.no_grad():
                self.mean.mul_(1 - momentum).add_(mean * momentum)  # slowly
            with torch.no_grad():
                self.var.mul_(1 - momentum).add_(var * momentum)
        else:
            mean, var = self.mean, self.var
        return (x - mean) / torch.sqrt(var + 1e-5)


layer, norm = nn.Linear(2, 2), Norm(2)
out = norm(layer(torch.eye(2)))
out.square().sum().backward()
out_mean, grad = norm.mean, layer.weight.grad
grows = norm.mean.grad_fn is not None or norm.var.grad_fn is not None
=== bound again
class Centre(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))

    def forward(self, x):
        if self.training and x.shape[0] > 1:
            self.mean = 0.9 * self.mean + 0.1 * torch.mean(x, dim=0)
        return torch.tanh(x)


layer, centre = nn.Linear(2, 2), Centre(2)
out = centre(layer(torch.eye(2)))
out.square().sum().backward()
out_mean, grad = centre.mean, layer.weight.grad
grows = centre.mean.grad_fn is not None
--->
class Centre(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))

    def forward(self, x):
        if self.training and x.shape[0] > 1:
            with torch.no_grad():
                self.mean = 0.9 * self.mean + 0.1 * torch.mean(x, dim=0)
        return torch.tanh(x)


layer, centre = nn.Linear(2, 2), Centre(2)
out = centre(layer(torch.eye(2)))
out.square().sum().backward()
out_mean, grad = centre.mean, layer.weight.grad
grows = centre.mean.grad_fn is not None
""")

REPORT = cases("""
=== other names in the same statement
class Centre(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))

    def forward(self, x):
        if self.training:
            mean = self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        else:
            mean = self.mean
        return x - mean
reason: other names
""")

HEAD = """
class Norm(nn.Module):
    def __init__(self, n=2):
        super().__init__()
        self.register_buffer("mean", torch.zeros(n))
        self.register_buffer("count", torch.zeros(()))

"""
TAIL = """

layer, norm = nn.Linear(2, 2), Norm()
norm(layer(torch.eye(2))).sum().backward()
assert norm.mean.grad_fn is None and norm.count.grad_fn is None
"""
METHODS = """
=== detached
    def forward(self, x):
        if self.training:
            mean = x.mean(0)
            self.mean.mul_(0.9).add_(0.1 * mean.detach())
        return x - self.mean
=== under no_grad
    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.mean.mul_(0.9).add_(0.1 * x.mean(0))
        return x - self.mean
=== computed under no_grad
    def forward(self, x):
        if self.training:
            with torch.no_grad():
                mean = x.mean(0)
            self.mean.mul_(0.9).add_(0.1 * mean)
        return x - self.mean
=== through data
    def forward(self, x):
        if self.training:
            self.mean.data.mul_(0.9).add_(0.1 * x.mean(0).detach())
            self.count += x.data.mean()
        return x - self.mean
=== numbers
    def forward(self, x):
        if self.training:
            self.count += x.shape[0]
            self.mean.fill_(x.mean().item())
            self.count = self.count + len(x)
        return x - self.mean
=== decisions
    def forward(self, x):
        if self.training:
            self.count += (x > 0).float().mean()
            self.mean.copy_(x.argmax(0).float())
        return x - self.mean
=== let go afterwards
    def forward(self, x):
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            self.mean = self.mean.detach()
        return x - self.mean
=== another method under no_grad
    @torch.no_grad()
    def update(self, x):
        if self.training:
            self.mean.mul_(0.9).add_(0.1 * x.mean(0))
        return x

    def forward(self, x):
        self.update(x)
        return x - self.mean
=== an update of what is only looked at
    def observe(self, x):
        if self.training:
            self.mean.copy_(x.mean(0))

    def forward(self, x):
        self.observe(x.detach())
        return x
=== only in inference
    def forward(self, x):
        if not self.training:
            self.mean.copy_(x.mean(0))
        return x
=== an attribute that is no buffer
    def forward(self, x):
        if self.training:
            self.last = x.mean(0)
        return x
=== a number that is passed in
    def forward(self, x, n=3):
        if self.training:
            self.count += n * 2
        return x * n
"""
REPLACED = cases("""
=== bound to what this batch alone gives
class Standard(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        if self.training:
            self.mean = x.mean(0)
        return x - self.mean


layer, norm = nn.Linear(2, 2), Standard()
for _ in range(2):
    norm(layer(torch.eye(2))).square().sum().backward()
""")
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
    before, after = run(case.before), run(case.after)
    assert before.error is None and after.error is None
    assert before.names["grows"] is True
    assert after.names["grows"] is False
    for name, value in before.shown("out", "grad").items():
        assert same(value, after.names[name]), name


@table(CHANGE)
@pytest.mark.parametrize("variant", VARIANTS)
def test_rewritten_however_it_is_written(case: Case, variant: object) -> None:
    assert callable(variant)
    assert fixed(variant(case.before), CODE, unsafe=True).text == variant(case.after)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)


@table([*REPLACED, *LEAVE])
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)
