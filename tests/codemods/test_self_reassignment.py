"""GF101: a leaf's name is rebound to a value computed from it."""

from __future__ import annotations

from harness import check_reported, check_sound, check_transformed, table
from snippets import Case, cases

CODE = "GF101"

CHANGE = cases("""
=== a saliency map of what is passed in, moved under its own name | none plain
def saliency(net, x, dtype):
    x.requires_grad_()
    x = x.to(dtype)
    net(x).sum().backward()
    return x.grad


net = nn.Linear(2, 1).double()
grad = saliency(net, torch.ones(3, 2), torch.float64)
--->
def saliency(net, x, dtype):
    x.requires_grad_()
    x_to = x.to(dtype)
    net(x_to).sum().backward()
    return x.grad


net = nn.Linear(2, 1).double()
grad = saliency(net, torch.ones(3, 2), torch.float64)
=== what is passed in is given another shape | none
def sensitivity(net, x):
    x.requires_grad = True
    x = x.view(1, -1)
    net(x).sum().backward()
    return x.grad


net = nn.Linear(2, 1)
grad = sensitivity(net, torch.ones(2))
--->
def sensitivity(net, x):
    x.requires_grad = True
    x_view = x.view(1, -1)
    net(x_view).sum().backward()
    return x.grad


net = nn.Linear(2, 1)
grad = sensitivity(net, torch.ones(2))
=== plain | none
etal = Parameter(torch.rand(10))
etal = etal * 2
loss = etal.sum()
loss.backward()
grad = etal.grad
--->
etal = Parameter(torch.rand(10))
etal_scaled = etal * 2
loss = etal_scaled.sum()
loss.backward()
grad = etal.grad
=== comments survive | none
w = Parameter(torch.ones(3))  # the leaf
# now it is positive
w = torch.softmax(w, dim=0)  # probabilities
# the loss
loss = (w * w).sum()  # of w
loss.backward()
grad = w.grad  # None
--->
w = Parameter(torch.ones(3))  # the leaf
# now it is positive
w_probs = torch.softmax(w, dim=0)  # probabilities
# the loss
loss = (w_probs * w_probs).sum()  # of w
loss.backward()
grad = w.grad  # None
=== two steps in a row | none
w = torch.ones(3, requires_grad=True)
w = w * 2
w = w + 1
loss = w.sum()
loss.backward()
grad = w.grad
--->
w = torch.ones(3, requires_grad=True)
w_scaled = w * 2
w_scaled = w_scaled + 1
loss = w_scaled.sum()
loss.backward()
grad = w.grad
=== an optimizer is handed the value | raises
w = torch.ones(3, requires_grad=True)
w = w.exp()
opt = torch.optim.SGD([w], lr=0.1)
loss = w.sum()
loss.backward()
opt.step()
grad = w.grad
--->
w = torch.ones(3, requires_grad=True)
w_exp = w.exp()
opt = torch.optim.SGD([w], lr=0.1)
loss = w_exp.sum()
loss.backward()
opt.step()
grad = w.grad
=== only in a branch | none
positive = True
w = Parameter(torch.ones(3))
if positive:
    w = w.exp()
loss = w.sum()
loss.backward()
grad = w.grad
--->
positive = True
w = Parameter(torch.ones(3))
w_exp = w
if positive:
    w_exp = w.exp()
loss = w_exp.sum()
loss.backward()
grad = w.grad
=== repeated in a loop | none
w = Parameter(torch.ones(3))
for _ in range(3):
    w = w * 2
loss = w.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
w_scaled = w
for _ in range(3):
    w_scaled = w_scaled * 2
loss = w_scaled.sum()
loss.backward()
grad = w.grad
=== the wanted name is taken | none
w_scaled = 4
w = Parameter(torch.ones(3))
w = w * w_scaled
loss = w.sum()
loss.backward()
grad = w.grad
--->
w_scaled = 4
w = Parameter(torch.ones(3))
w_scaled2 = w * w_scaled
loss = w_scaled2.sum()
loss.backward()
grad = w.grad
=== in a function | none
def fit(steps):
    w = torch.zeros(3, requires_grad=True)
    w = w + steps
    loss = (w * w).sum()
    loss.backward()
    return w.grad, w


grad, out = fit(2)
--->
def fit(steps):
    w = torch.zeros(3, requires_grad=True)
    w_shifted = w + steps
    loss = (w_shifted * w_shifted).sum()
    loss.backward()
    return w.grad, w_shifted


grad, out = fit(2)
=== the value inside an f-string and a dictionary | none
w = Parameter(torch.ones(3))
w = w / 3
out = {"mean": f"{w.mean():.2f}"}["mean"]
loss = w.prod()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
w_scaled = w / 3
out = {"mean": f"{w_scaled.mean():.2f}"}["mean"]
loss = w_scaled.prod()
loss.backward()
grad = w.grad
=== on one line | none plain
w = Parameter(torch.ones(3)); w = w * 2; w.sum().backward(); grad = w.grad
--->
w = Parameter(torch.ones(3)); w_scaled = w * 2; w_scaled.sum().backward(); grad = w.grad
=== several lines and a comment inside | none
w = Parameter(torch.ones(3))
w = (
    w  # the leaf
    * 2  # doubled
)
loss = w.sum()
loss.backward()
grad = w.grad
--->
w = Parameter(torch.ones(3))
w_scaled = (
    w  # the leaf
    * 2  # doubled
)
loss = w_scaled.sum()
loss.backward()
grad = w.grad
=== zero_grad keeps the leaf | raises
w = Parameter(torch.ones(2))
w = w * 3
loss = w.sum()
loss.backward()
grad = w.grad.clone()
w.grad.zero_()
--->
w = Parameter(torch.ones(2))
w_scaled = w * 3
loss = w_scaled.sum()
loss.backward()
grad = w.grad.clone()
w.grad.zero_()
=== another leaf of the same name in another function | none
def one():
    w = Parameter(torch.ones(2))
    w = w * 2
    w.sum().backward()
    return w.grad


def two():
    w = torch.ones(2)
    w = w * 2
    return w


grad, out = one(), two()
--->
def one():
    w = Parameter(torch.ones(2))
    w_scaled = w * 2
    w_scaled.sum().backward()
    return w.grad


def two():
    w = torch.ones(2)
    w = w * 2
    return w


grad, out = one(), two()
=== tabs | none plain
def fit():
	w = Parameter(torch.ones(2))
	w = w * 2
	w.sum().backward()
	return w.grad
grad = fit()
--->
def fit():
	w = Parameter(torch.ones(2))
	w_scaled = w * 2
	w_scaled.sum().backward()
	return w.grad
grad = fit()
=== a method that changes a Parameter for good | raises unsafe
class Bounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5, 2.0]))

    def project(self):
        self.w = self.w.clamp(0, 1)  # into the box

    def forward(self, x):
        return x * self.w


net = Bounded()
net.project()
out = net(torch.ones(2))
out.sum().backward()
grad = net.w.grad
--->
class Bounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.5, 2.0]))

    def project(self):
        with torch.no_grad():
            self.w.clamp_(0, 1)  # into the box

    def forward(self, x):
        return x * self.w


net = Bounded()
net.project()
out = net(torch.ones(2))
out.sum().backward()
grad = net.w.grad
=== a Parameter's attribute | raises
class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        self.alpha = self.alpha.clamp(0, 2)
        return x * self.alpha

gate = Gate()
loss = gate(torch.ones(2)).sum()
loss.backward()
grad = gate.alpha.grad
--->
class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.alpha = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        alpha_clamped = self.alpha.clamp(0, 2)
        return x * alpha_clamped

gate = Gate()
loss = gate(torch.ones(2)).sum()
loss.backward()
grad = gate.alpha.grad
""")


REPORT = cases("""
=== another method reads the attribute
class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, x):
        self.w = self.w.softmax(0)
        return self.mix(x) + self.w

    def mix(self, x):
        return x * self.w
reason: other code
=== the Module is handed on
class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, x):
        self.w = self.w.softmax(0)
        return x * getattr(self, str('w'))

reason: other code
=== a function inside reads the attribute
class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(2))

    def forward(self, x):
        self.w = self.w.softmax(0)
        return (lambda y: y * self.w)(x)

reason: other code
=== a nested function uses the name
w = Parameter(torch.ones(3))
w = w * 2


def total():
    return w.sum()


total().backward()
print(w.grad)
reason: nested
=== looked up by its name
w = Parameter(torch.ones(3))
w = w * 2
names = locals()
w.sum().backward()
print(w.grad)
reason: by its name
=== a global
def scale():
    global w
    w = Parameter(torch.ones(3))
    w = w * 2
    w.sum().backward()
    return w.grad


scale()
reason: global
=== deleted later
w = Parameter(torch.ones(3))
w = w * 2
w.sum().backward()
print(w.grad)
del w
reason: delete
=== an f-string shows the name that it would get
w = Parameter(torch.ones(3))
w = w * 2
print(f"now {w.sum()=:.2f}")
opt = torch.optim.SGD([w], lr=0.1)
w.sum().backward()
reason: shows the name
""")

SOUND = cases("""
=== the default of a lambda
w = Parameter(torch.ones(3))
w = w * 2
total = lambda w=w: w.sum()
loss = total()
loss.backward()
print(w.grad)
--->
w = Parameter(torch.ones(3))
value = w * 2
loss = value.sum()
loss.backward()
=== the default of a function
w = Parameter(torch.ones(3))
w = w * 2


def total(w=w):
    return w.sum()


loss = total()
loss.backward()
print(w.grad)
--->
w = Parameter(torch.ones(3))
value = w * 2
loss = value.sum()
loss.backward()
=== inside try
w = Parameter(torch.ones(3))
try:
    w = w * 2
    raise ValueError
except ValueError:
    w = w + 1
loss = w.sum()
loss.backward()
print(w.grad)
--->
loss = torch.full((3,), 3.0).sum()
=== broken loops
w = Parameter(torch.ones(3))
for i in range(4):
    if i == 1:
        continue
    w = w * 2
    if i == 2:
        break
else:
    w = w * 3
loss = w.sum()
loss.backward()
print(w.grad)
--->
loss = torch.full((3,), 4.0).sum()
=== changed in place later
w = Parameter(torch.ones(3))
w = w * 2
w += 1
w[0] = 5.0
w.mul_(2)
loss = w.sum()
loss.backward()
print(w.grad)
--->
loss = torch.tensor([10.0, 6.0, 6.0]).sum()
=== names that only look the same
class Config:
    w = 3


def total(w, scale):
    return (w * scale).sum()


w = Parameter(torch.ones(3))
w = w * 2
loss = total(w=w, scale=Config.w)
loss.backward()
print(w.grad)
--->
loss = torch.full((3,), 6.0).sum()
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
