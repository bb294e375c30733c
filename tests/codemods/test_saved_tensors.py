"""GF202 against the truth: each case is run forward and backward, and the codemod has to agree.

Every body starts from ``w``, a leaf of shape (4, 3), and ``x = w * 1.0``, its non-leaf copy, which
no operation has saved yet; ``x`` of the multiplication is not needed for its backward.
"""

from __future__ import annotations

import re

from harness import found, table
from snippets import Case, cases, run

CODE = "GF202"
START = "w = torch.rand(4, 3).add(0.5).requires_grad_()\nx = w * 1.0\n"

ILLEGAL = cases("""
=== column divided into another
x[:, 2] = x[:, 0] / x[:, 1]
x.sum().backward()
=== column multiplied into another
x[:, 2] = x[:, 0] * x[:, 1]
x.sum().backward()
=== logarithm of a column
x[:, 0] = x[:, 0].log()
x.sum().backward()
=== square of a column
x[:, 0] = x[:, 0] ** 2
x.sum().backward()
=== a fill that reads itself
x[2] = x[0] / x[1]
x.sum().backward()
=== softmax divided in place
y = torch.softmax(x, dim=1)
y /= y.sum()
y.sum().backward()
=== softmax masked
y = x.softmax(1)
y[0] = 0.0
y.sum().backward()
=== log_softmax shifted
y = torch.nn.functional.log_softmax(x, dim=1)
y += 1
y.sum().backward()
=== relu then an element
y = torch.relu(x)
y[0, 0] = 1.0
y.sum().backward()
=== a relu layer then an element
y = nn.ReLU()(x)
y[0, 0] = 1.0
y.sum().backward()
=== exp then add
y = x.exp()
y.add_(1)
y.sum().backward()
=== sigmoid then augmented
y = torch.sigmoid(x)
y *= 2
y.sum().backward()
=== tanh then fill
y = x.tanh()
y.fill_(0.0)
y.sum().backward()
=== square root then augmented
y = x.sqrt()
y -= 1
y.sum().backward()
=== reciprocal then augmented
y = x.reciprocal()
y += 1
y.sum().backward()
=== an input of log
y = x.log()
x += 1
(x + y).sum().backward()
=== an input of sin
y = x.sin()
x.zero_()
y.sum().backward()
=== an input of power
y = x**2
x += 1
y.sum().backward()
=== an input of a product
y = x * x
x += 1
y.sum().backward()
=== the other factor of a product
z = w + 1
y = z * w
z += 1
y.sum().backward()
=== an input of a matrix product
z = w + 0
y = w.t() @ z
z += 1
y.sum().backward()
=== the divisor
y = w / x
x += 1
y.sum().backward()
=== an input of a linear layer
layer = nn.Linear(3, 2)
y = layer(x)
x += 1
y.sum().backward()
=== logsumexp then augmented
y = torch.logsumexp(x, dim=1)
y -= y.mean()
y.sum().backward()
=== through a view
row = x[0]
y = x.exp().sum() + x.sin().sum()
row += 1
y.backward()
=== the saved value is a view
y = x[0].log()
x += 1
y.sum().backward()
=== under no_grad between forward and backward
y = x.log()
with torch.no_grad():
    x += 1
y.sum().backward()
=== a leaf updated between forward and backward | miss
y = (w * w).sum()
with torch.no_grad():
    w -= 0.1
y.backward()
=== in a loop
for i in range(3):
    x[i + 1] = x[i] * x[i + 1]
x.sum().backward()
=== a constant factor is overwritten
mask = torch.ones(4, 3)
y = x * mask
mask[0] = 0.0
y.sum().backward()
=== a detached alias
y = x.exp()
z = y.detach()
z += 1
y.sum().backward()
=== maximum of an overwritten input
y = torch.maximum(x, w)
x += 1
y.sum().backward()
=== the norm of an overwritten input
y = x.norm()
x /= y
x.sum().backward()
=== standard deviation
x /= x.std()
x.sum().backward()
=== clamp of an overwritten input
y = x.clamp(0.6, 1.0)
x += 1
y.sum().backward()
=== in one branch
y = x.exp()
if y.shape[0] > 2:
    y += 1
y.sum().backward()
""")

LEGAL = cases("""
=== sigmoid of a column
x[:, 0] = x[:, 0].sigmoid()
x.sum().backward()
=== exponential of a column
x[:, 0] = x[:, 0].exp()
x.sum().backward()
=== sum of columns
x[:, 2] = x[:, 0] + x[:, 1]
x.sum().backward()
=== difference of rows
x[2] = x[0] - x[1]
x.sum().backward()
=== the reads are copies
x[:, 2] = x[:, 0].clone() / x[:, 1].clone()
x.sum().backward()
=== a scaled input is written
y = x * 2
x += 1
(x + y).sum().backward()
=== a shifted input is written
y = x + w
x.mul_(2)
(x + y).sum().backward()
=== divided by a number
y = x / 3
x += 1
(x + y).sum().backward()
=== the dividend
y = x / 2.0
x.zero_()
y.sum().backward()
=== softmax, then something that saves nothing
y = torch.softmax(x, dim=1) + 0
y += 1
y.sum().backward()
=== softmax copied
y = torch.softmax(x, dim=1).clone()
y /= 2
y.sum().backward()
=== exp of an overwritten input
y = x.exp()
x += 1
(x + y).sum().backward()
=== sigmoid of an overwritten input
y = torch.sigmoid(x)
x.zero_()
y.sum().backward()
=== tanh of an overwritten input
y = x.tanh()
x[0] = 0.0
y.sum().backward()
=== relu of an overwritten input
y = torch.relu(x)
x += 1
(x + y).sum().backward()
=== relu in place
y = x.relu_()
y.sum().backward()
=== a relu layer in place
y = nn.ReLU(inplace=True)(x)
y.sum().backward()
=== relu scaled
y = torch.relu(x) * 2
y[0] = 1.0
y.sum().backward()
=== the result of log
y = x.log()
y += 1
y.sum().backward()
=== the result of a product
y = x * w
y += 1
y.sum().backward()
=== the result of a matrix product
y = x @ w.t()
y += 1
y.sum().backward()
=== the result of a linear layer
y = nn.Linear(3, 2)(x)
y += 1
y[0] = 0.0
y.sum().backward()
=== the result of a mean
y = x.mean(0)
y -= 1
y.sum().backward()
=== after backward
y = x.exp()
y.sum().backward()
y += 1
=== an update after backward
for _ in range(2):
    y = (w * w).sum()
    y.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
    w.grad = None
=== an overwritten value of the last pass
y = torch.zeros(4, 3)
for _ in range(2):
    y = w.exp()
    y.sum().backward()
    y += 1
=== under no_grad all the way
with torch.no_grad():
    y = torch.softmax(w, dim=1)
    y /= y.sum()
w.sum().backward()
=== a detached copy
y = x.exp()
z = y.detach().clone()
z += 1
y.sum().backward()
=== softmax of a constant
y = torch.softmax(torch.ones(4, 3), dim=1)
y /= 2
(w * y).sum().backward()
=== a constant divisor is made before
norm = torch.ones(3)
norm += 1
y = w / norm
y.sum().backward()
=== a mask is written before it is used
mask = torch.ones(4, 3)
mask[0] = 0.0
y = x * mask
y.sum().backward()
=== the factor is detached, the written one is not saved
c = torch.ones(4, 3)
y = x * c
x += 1
(x + y).sum().backward()
=== transposed and written
y = x.t() + 1
x += 1
(x + y.t()).sum().backward()
=== advanced indexing copies
y = x[[0, 1]].exp()
x[0] = 0.0
y.sum().backward()
=== stack copies
y = torch.stack([x[0], x[1]]).log()
x[0] = 0.0
y.sum().backward()
=== the name is rebound
y = x.exp()
y = y + 1
y += 1
y.sum().backward()
=== a running sum
total = torch.zeros(4, 3)
for k in range(3):
    total += x * k
total.sum().backward()
=== a history-free buffer
running = torch.zeros(3)
running.mul_(0.9).add_(0.1 * x.detach().mean(0))
(x - 1).sum().backward()
=== filled with what saves nothing
full = torch.zeros(4)
for k in range(4):
    full[k] = x[k].sum()
full.sum().backward()
=== a leaky relu in place
y = torch.nn.functional.leaky_relu(x + 0, 0.1, inplace=True)
y.sum().backward()
=== dropout then augmented
y = torch.nn.functional.dropout(x, 0.5, True)
y += 1
y.sum().backward()
=== a sorted copy
y, order = x.sort(0)
y += 1
y.sum().backward()
=== masked in place
y = x + 0
y.masked_fill_(y > 0.8, 0.0)
y.sum().backward()
=== attention scores are masked before softmax
scores = x @ w.t()
scores.masked_fill_(torch.eye(4).bool(), -1e9)
torch.softmax(scores, dim=1).sum().backward()
=== a residual sum
y = nn.Linear(3, 3)(x)
y += x
y.sum().backward()
=== never differentiated
y = x.exp()
y += 1
x.sum().backward()
=== only printed
y = torch.softmax(x, dim=1)
y /= 2
print(y)
x.sum().backward()
""")


def whole(case: Case) -> str:
    """The body of a case after the common start."""
    return re.sub(r"(\n\n)(?=\S)", rf"\1{START}", case.before, count=1)


def error(case: Case) -> str:
    """The text of what the case raises, empty for nothing."""
    return str(run(whole(case)).error or "")


@table(ILLEGAL)
def test_illegal(case: Case) -> None:
    assert "modified by an inplace operation" in error(case)
    assert found(whole(case), CODE)


@table(LEGAL)
def test_legal(case: Case) -> None:
    assert error(case) == ""
    assert found(whole(case), CODE) == []


def test_the_start_is_in_every_case() -> None:
    for case in (*ILLEGAL, *LEGAL):
        assert whole(case).count(START) == 1
