"""GF402: autograd Functions whose objects are called."""

from __future__ import annotations

from harness import check_noop, check_reported, table
from snippets import Case, cases

CODE = "GF402"

LEAVE = cases("""
=== a Function of today
class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad_output):
        return -grad_output


x = torch.ones(3, requires_grad=True)
Reverse.apply(x).sum().backward()
=== a Function made static afterwards
def double(ctx, x):
    return x * 2


class Double(torch.autograd.Function):
    forward = staticmethod(double)
    backward = staticmethod(lambda ctx, g: g * 2)


Double.apply(torch.ones(3, requires_grad=True)).sum().backward()
=== a Function that is applied without static methods
class Reverse(torch.autograd.Function):
    def forward(ctx, x):
        return x.view_as(x)

    def backward(ctx, grad_output):
        return -grad_output


x = torch.ones(3, requires_grad=True)
Reverse.apply(x).sum().backward()
=== another class called Function
class Function:
    def forward(self, x):
        return x

    def backward(self, g):
        return g


class Twice(Function):
    def forward(self, x):
        return x * 2


Twice().forward(torch.ones(3))
=== a module with forward
class Net(nn.Module):
    def forward(self, x):
        return x


Net()(torch.ones(3))
=== a constructor that is never needed
class Double(torch.autograd.Function):
    def __init__(self, unused=None):
        pass

    def forward(ctx, x):
        return x * 2

    def backward(ctx, g):
        return g * 2


Double.apply(torch.ones(3, requires_grad=True)).sum().backward()
=== static methods and a helper object
class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


class Layer(nn.Module):
    def forward(self, x):
        return Double.apply(x)


Layer()(torch.ones(3, requires_grad=True)).sum().backward()
""")

REPORT = cases("""
=== an old Function
class Reverse(torch.autograd.Function):
    def forward(self, x):
        return x.view_as(x)

    def backward(self, grad_output):
        return -grad_output


Reverse()(torch.ones(3))
reason: by hand
=== an object that is kept
class Scale(torch.autograd.Function):
    def __init__(self, by):
        self.by = by

    def forward(self, x):
        return x * self.by

    def backward(self, g):
        return g * self.by


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Scale(2)

    def forward(self, x):
        return self.scale(x)


Net
reason: by hand
=== a subclass of one
from torch.autograd import Function


class Base(Function):
    def backward(self, g):
        return g


class Scale(Base):
    def __init__(self, by):
        self.by = by

    def forward(self, x):
        return x * self.by


Scale
reason: by hand
""")


@table(LEAVE)
def test_left_alone(case: Case) -> None:
    check_noop(case, CODE)


@table(REPORT)
def test_reported(case: Case) -> None:
    check_reported(case, CODE)
