"""GF401 where a name of a new tensor is used for nothing but the ``Variable`` around it."""

from __future__ import annotations

from harness import check_transformed, fixed, found, table
from snippets import Case, cases, run

CODE = "GF401"

CHANGE = cases("""
=== noise of a size that somebody is asked for | works
import torch
from torch import nn
from torch.autograd import Variable

cuda = torch.cuda.is_available()


def sample(mu, logvar):
    std = logvar.mul(0.5).exp_()
    if cuda:
        eps = torch.cuda.FloatTensor(std.size()).normal_()
    else:
        eps = torch.FloatTensor(std.size()).normal_()
    eps = Variable(eps)
    return eps.mul(std).add_(mu)


lin = nn.Linear(2, 2)
out = sample(lin(torch.ones(2)), lin(torch.ones(2)))
out.sum().backward()
grad = lin.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable

cuda = torch.cuda.is_available()


def sample(mu, logvar):
    std = logvar.mul(0.5).exp_()
    if cuda:
        eps = torch.cuda.FloatTensor(std.size()).normal_()
    else:
        eps = torch.FloatTensor(std.size()).normal_()
    return eps.mul(std).add_(mu)


lin = nn.Linear(2, 2)
out = sample(lin(torch.ones(2)), lin(torch.ones(2)))
out.sum().backward()
grad = lin.weight.grad
=== two at once, which may be moved before | works
import numpy as np
import torch
from torch import nn
from torch.autograd import Variable

cuda = torch.cuda.is_available()


def train(net, image, label):
    inputs = torch.from_numpy(image).float()
    targets = torch.from_numpy(label).long()
    size = inputs.size(0), len(targets), inputs.shape
    if cuda:
        inputs, targets = inputs.cuda(), targets.cuda()
    inputs, targets = Variable(inputs), Variable(targets)
    return nn.functional.cross_entropy(net(inputs), targets), size


net = nn.Linear(2, 3)
out, size = train(net, np.ones((4, 2)), np.array([0, 1, 2, 0]))
out.backward()
grad = net.weight.grad
--->
import numpy as np
import torch
from torch import nn
from torch.autograd import Variable

cuda = torch.cuda.is_available()


def train(net, image, label):
    inputs = torch.from_numpy(image).float()
    targets = torch.from_numpy(label).long()
    size = inputs.size(0), len(targets), inputs.shape
    if cuda:
        inputs, targets = inputs.cuda(), targets.cuda()
    return nn.functional.cross_entropy(net(inputs), targets), size


net = nn.Linear(2, 3)
out, size = train(net, np.ones((4, 2)), np.array([0, 1, 2, 0]))
out.backward()
grad = net.weight.grad
=== integers of an array | works
import numpy as np
import torch
from torch.autograd import Variable


def read(array):
    x = Variable(torch.from_numpy(array).long())
    return x


w = torch.ones(3, requires_grad=True)
out = (read(np.arange(3)) * w).sum()
out.backward()
grad = w.grad
--->
import numpy as np
import torch
from torch.autograd import Variable


def read(array):
    x = torch.from_numpy(array).long()
    return x


w = torch.ones(3, requires_grad=True)
out = (read(np.arange(3)) * w).sum()
out.backward()
grad = w.grad
=== lengths that may be a list or a tensor | works
import torch
from torch.autograd import Variable


def mask(lengths, w):
    length = Variable(torch.LongTensor(lengths))
    return (length.unsqueeze(1) > torch.arange(4)).float() * w


w = torch.ones(4, requires_grad=True)
out = mask([1, 3], w) + mask(torch.tensor([2, 2]), w)
out.sum().backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable


def mask(lengths, w):
    length = torch.LongTensor(lengths)
    return (length.unsqueeze(1) > torch.arange(4)).float() * w


w = torch.ones(4, requires_grad=True)
out = mask([1, 3], w) + mask(torch.tensor([2, 2]), w)
out.sum().backward()
grad = w.grad
=== filled one by one before it is given away | works
import torch
from torch.autograd import Variable


def letters(text):
    tensor = torch.zeros(len(text)).long()
    for at in range(len(text)):
        tensor[at] = ord(text[at])
    tensor.clamp_(max=127)
    return Variable(tensor)


w = torch.ones(3, requires_grad=True)
out = (letters("abc") * w).sum()
out.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable


def letters(text):
    tensor = torch.zeros(len(text)).long()
    for at in range(len(text)):
        tensor[at] = ord(text[at])
    tensor.clamp_(max=127)
    return tensor


w = torch.ones(3, requires_grad=True)
out = (letters("abc") * w).sum()
out.backward()
grad = w.grad
=== views of what nobody else needs | works
import numpy as np
import torch
from torch.autograd import Variable


def read(image):
    x = torch.from_numpy(image).permute(1, 0)
    rows = x[:2]
    x = Variable(rows.unsqueeze(0))
    return x


w = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
out = (read(np.arange(9.0).reshape(3, 3)) * w).sum()
out.backward()
grad = w.grad
--->
import numpy as np
import torch
from torch.autograd import Variable


def read(image):
    x = torch.from_numpy(image).permute(1, 0)
    rows = x[:2]
    x = rows.unsqueeze(0)
    return x


w = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
out = (read(np.arange(9.0).reshape(3, 3)) * w).sum()
out.backward()
grad = w.grad
=== asked for its size afterwards, where nothing has it changed | works
import torch
from torch.autograd import Variable


def train(w):
    images = torch.ones(2, 3)
    real = Variable(images.type(torch.DoubleTensor))
    noise = torch.zeros(images.shape[0], 3)
    return ((real + noise) * w).sum()


w = torch.ones(3, requires_grad=True)
out = train(w)
out.backward()
grad = w.grad
--->
import torch
from torch.autograd import Variable


def train(w):
    images = torch.ones(2, 3)
    real = images.type(torch.DoubleTensor)
    noise = torch.zeros(images.shape[0], 3)
    return ((real + noise) * w).sum()


w = torch.ones(3, requires_grad=True)
out = train(w)
out.backward()
grad = w.grad
=== ones where the labels are | works
import torch
from torch import nn
from torch.autograd import Variable


def compare(net, x, labels):
    wanted = Variable(torch.zeros(3, 2).scatter_(1, labels.view(-1, 1), 1))
    return nn.functional.mse_loss(net(x), wanted)


net = nn.Linear(2, 2)
out = compare(net, torch.ones(3, 2), torch.tensor([0, 1, 1]))
out.backward()
grad = net.weight.grad
--->
import torch
from torch import nn
from torch.autograd import Variable


def compare(net, x, labels):
    wanted = torch.zeros(3, 2).scatter_(1, labels.view(-1, 1), 1)
    return nn.functional.mse_loss(net(x), wanted)


net = nn.Linear(2, 2)
out = compare(net, torch.ones(3, 2), torch.tensor([0, 1, 1]))
out.backward()
grad = net.weight.grad
""")


@table(CHANGE)
def test_rewritten(case: Case) -> None:
    check_transformed(case, CODE)


KEPT = cases("""
=== another name of the same tensor
import torch
from torch.autograd import Variable

x = kept = torch.ones(3)
y = Variable(x)
y.requires_grad = True
out = kept.requires_grad
=== another name before it may be moved
import torch
from torch.autograd import Variable

move = False
x = torch.ones(3)
kept = x
if move:
    x = x.double()
y = Variable(x)
y.requires_grad = True
out = kept.requires_grad
=== the tensor is needed after the wrapper
import torch
from torch.autograd import Variable

move = False
x = torch.ones(3)
if move:
    x = x.double()
y = Variable(x)
y.requires_grad = True
out = (x * 2).requires_grad
=== one branch takes what somebody holds
import torch
from torch.autograd import Variable

held = torch.ones(3)
move = True
x = torch.ones(3)
if move:
    x = held.float()
y = Variable(x)
y.requires_grad = True
out = held.requires_grad
=== moved anew in every turn, and the same tensor each time
import torch
from torch.autograd import Variable

x = torch.ones(3)
found = []
for _ in range(2):
    x = x.float()
    y = Variable(x)
    found.append(y)
found[0].requires_grad = True
out = found[1].requires_grad
=== a view of what somebody needs later
import torch
from torch.autograd import Variable

w = torch.ones((), requires_grad=True)
x = torch.ones(3)
rows = x[:2]
y = Variable(rows.unsqueeze(0))
y[0, 0] = w
out = x.requires_grad
=== kept before it is filled
import torch
from torch.autograd import Variable

held = []
x = torch.zeros(3)
held.append(x.zero_())
x[0] = 1
y = Variable(x)
y.requires_grad = True
out = held[0].requires_grad
=== a branch that leaves by way of what wraps
import torch
from torch.autograd import Variable


def run(flag, held):
    x = torch.zeros(3)
    try:
        if flag:
            held.append(x)
            return
    finally:
        y = Variable(x)
        y.requires_grad_()


held = []
run(True, held)
out = held[0].requires_grad
=== names of a class
import torch
from torch.autograd import Variable


class Noise:
    x = torch.ones(3)
    y = Variable(x)


Noise.y.requires_grad_()
out = Noise.x.requires_grad
=== filled later
import torch
from torch.autograd import Variable

w = torch.ones((), requires_grad=True)
x = torch.zeros(3)
y = Variable(x)
x[0] = w
out = y.requires_grad
=== asked for its size after the wrapper
import torch
from torch.autograd import Variable

x = torch.ones(3)
y = Variable(x)
y.unsqueeze_(0)
out = len(x)
=== asked for its size in the next turn
import torch
from torch.autograd import Variable

out = []
x = torch.ones(3)
for _ in range(2):
    out.append(x.dim())
    x = torch.ones(3)
    y = Variable(x)
    y.unsqueeze_(0)
=== a size that is a tensor with a history
import torch
from torch.autograd import Variable


class Box:
    def __init__(self):
        self.edge = torch.ones(2, requires_grad=True)

    def size(self):
        return self.edge * 2


def read(box):
    return Variable(torch.FloatTensor(box.size()))


out = read(Box()).requires_grad
=== numbers that may be a tensor with a history
import torch
from torch.autograd import Variable


def read(numbers):
    return Variable(torch.FloatTensor(numbers))


out = read(torch.ones(3, requires_grad=True)).requires_grad
=== what goes to an index has a history
import torch
from torch.autograd import Variable

w = torch.ones(1, 1, requires_grad=True)
x = Variable(torch.zeros(1, 2).scatter_(1, torch.tensor([[1]]), w * 2))
out = x.requires_grad
""")


@table(KEPT)
def test_left_alone(case: Case) -> None:
    """Where somebody could tell the two objects apart, nothing is done by default."""
    assert found(case.before, CODE)
    assert fixed(case.before, CODE).text == case.before
    assert run(case.before).error is None
