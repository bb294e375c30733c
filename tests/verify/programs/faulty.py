"""Modules that run and do not learn. Every blamed line says what it must be blamed for:

    # ! <parameter> <verdict> [<code>]     (several, separated by semicolons)

A mark on the class line means that no line is to be blamed.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Variable


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([0.3, 0.7, 1.1]))

    def forward(self):
        return self.w * 2


# -- values copied out of the graph ------------------------------------------------------------


class TensorOfElements(Two):
    def forward(self):
        return torch.tensor([self.w[0], self.w[1]])  # ! w severed GF301


class TensorNested(Two):
    def forward(self):
        a, b = self.w[0] * 2, self.w[1] * 3
        return torch.tensor([[a, b], [b, a]])  # ! w severed GF301


class TensorOfComprehension(Two):
    def forward(self):
        parts = [torch.exp(v) for v in self.w]
        return torch.tensor([p * 2 for p in parts])  # ! w severed GF301


class TensorOfAppended(Two):
    def forward(self):
        parts = []
        for v in self.w:
            parts.append(v * v)
        return torch.tensor(parts).mean()  # ! w severed GF301


class TensorAlmostLive(Two):
    def forward(self):
        return torch.tensor([self.w[0], self.w[1]], requires_grad=True)  # ! w severed GF301


class FloatTensorOfElements(Two):
    def forward(self):
        kept = torch.FloatTensor([self.w[0] * 2, self.w[1]])  # ! w severed GF301
        return kept * 3


class AsTensor(Two):
    def forward(self):
        return torch.as_tensor([self.w[0] * 1.5, self.w[2]])  # ! w severed GF301


class NewTensor(Two):
    def forward(self):
        hidden = self.w * 2
        return hidden.new_tensor(hidden)  # ! w severed GF301


class ScalarRewrap(Two):
    def forward(self):
        loss = self.w.sum()
        return torch.tensor(loss, requires_grad=True)  # ! w severed GF303


class RewrapInHelper(Two):
    def join(self, values):
        return torch.tensor(values)  # ! w severed GF301

    def forward(self):
        return self.join([self.w[0] * 2, self.w[1] * 2]).sum()


class VariableRewrap(Two):
    def forward(self):
        loss = (self.w * 2).sum()
        loss = Variable(loss, requires_grad=True)  # ! w severed GF401
        return loss * 1.0


# -- detached ----------------------------------------------------------------------------------


class Detached(Two):
    def forward(self):
        scale = self.w.detach()  # ! w severed GF304
        return scale * torch.ones(3)


class DetachedLate(Two):
    def forward(self):
        hidden = torch.tanh(self.w)
        hidden = hidden * 2
        return hidden.detach() + 1  # ! w severed GF304


class DataUsed(Two):
    def forward(self):
        return torch.ones(3) * self.w.data  # ! w severed GF304


class DataInLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)

    def forward(self, x):
        z = x @ self.lin.weight.data.t()  # ! lin.weight severed GF304
        return z + self.lin.bias


class NoGradBlock(Two):
    def forward(self):
        with torch.no_grad():  # ! w severed GF304
            hidden = self.w * 2
        return hidden + 1


class NoGradAround(Two):
    def inner(self):
        hidden = self.w * 2
        return hidden * 3

    def forward(self):
        with torch.no_grad():  # ! w severed GF304
            return self.inner()


class NoGradDecorator(Two):
    @torch.no_grad()  # ! w severed GF304
    def scaled(self):
        return self.w * 2

    def forward(self):
        return self.scaled() + 1


class InferenceMode(Two):
    def forward(self):
        with torch.inference_mode():  # ! w severed GF304
            hidden = self.w * 2
        return hidden + 1


class GradDisabled(Two):
    def forward(self):
        with torch.set_grad_enabled(False):  # ! w severed GF304
            hidden = torch.exp(self.w)
        return hidden * 2


class Features(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        h = torch.relu(
            self.body(x)
        ).detach()  # ! body.weight severed GF304; body.bias severed GF304
        return self.head(h)


class WithFaultInside(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))
        self.part = DataUsed()

    def forward(self):
        return self.part() * self.scale  # (blamed where it happens: in the class of the part)


# -- left for Python ---------------------------------------------------------------------------


class Item(Two):
    def forward(self):
        return torch.ones(3) * self.w.sum().item()  # ! w escaped GF305


class FloatCall(Two):
    def forward(self):
        gain = float(self.w[1])  # ! w escaped GF305
        return torch.ones(2) * gain


class ToList(Two):
    def forward(self):
        values = (self.w * 2).tolist()  # ! w escaped GF305
        return torch.tensor(sorted(values)).sum()


class ItemFill(Two):
    def forward(self):
        out = torch.zeros(3)
        for i in range(3):
            out[i] = torch.exp(self.w[i]).item()  # ! w escaped GF305
        return out


class ItemReturned(Two):
    def forward(self):
        return torch.ones(2), self.w.sum().item()  # ! w escaped GF305


class PythonMath(Two):
    def forward(self):
        return torch.ones(2) * math.exp(self.w[0])  # ! w escaped GF305


class NumpyRoundTrip(Two):
    def forward(self):
        values = self.w.detach().numpy()  # ! w escaped GF305
        return torch.from_numpy(np.exp(values))


class NumpyArray(Two):
    def forward(self):
        values = np.array([float(v) for v in self.w])  # ! w escaped GF305
        return torch.from_numpy(values).float() * 2


class NumpyRefused(Two):
    def forward(self):
        return torch.from_numpy((self.w * 2).numpy())  # ! w escaped GF305


class NumpyBuffer(Two):
    def forward(self):
        buffer = np.zeros(3, dtype=np.float32)
        for i in range(3):
            buffer[i] = (self.w[i] * 2).item()  # ! w escaped GF305
        return torch.from_numpy(buffer) * 3


# -- not differentiable ------------------------------------------------------------------------


class Argmax(Two):
    def forward(self):
        index = self.w.argmax()  # ! w severed GF306
        return torch.linspace(0, 1, 3)[index]


class ArgmaxFunction(Two):
    def forward(self):
        index = torch.argmax(self.w * 2)  # ! w severed GF306
        return F.one_hot(index, 3).float()


class Comparison(Two):
    def forward(self):
        mask = self.w > 0.5  # ! w severed GF306
        return mask.float() * torch.ones(3)


class LongLookup(Two):
    def forward(self):
        place = (self.w * 2).long()  # ! w severed GF306
        return torch.linspace(0, 1, 5)[place]


class IntegerCast(Two):
    def forward(self):
        return self.w.to(torch.int64).float() * 1.5  # ! w severed GF306


class TopkIndices(Two):
    def forward(self):
        return torch.linspace(0, 1, 3)[self.w.argsort()]  # ! w severed GF306


class Rounded(Two):
    def forward(self):
        return torch.round(self.w * 3)  # ! w zero GF306


class Signed(Two):
    def forward(self):
        return torch.ones(3) * self.w.sign()  # ! w zero GF306


class Floored(Two):
    def forward(self):
        steps = torch.floor(self.w * 4)  # ! w zero GF306
        return steps / 4


class IntegerBuffer(Two):
    def forward(self):
        out = torch.zeros(3, dtype=torch.int64)  # ! w severed GF302
        out[0] = self.w[0] * 10  # ! w severed GF302
        return out.float() * 2


# -- leaves that are not the leaf --------------------------------------------------------------


class ParameterInForward(Two):
    def forward(self):
        weight = nn.Parameter(self.w * 2)  # ! w severed GF103
        return weight.sum()


class ParameterOfCat(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.rand(2))
        self.b = nn.Parameter(torch.rand(2))

    def forward(self):
        both = nn.Parameter(torch.cat([self.a, self.b]))  # ! a severed GF103; b severed GF103
        return both * 2


class ViewKept(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(6, 1)).view(2, 3)  # ! table unregistered GF102

    def forward(self):
        return self.table * 2


class ScaledKept(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(3)) * 0.1  # ! w unregistered GF102

    def forward(self):
        return self.w + 1


class DoubleKept(nn.Module):
    def __init__(self):
        super().__init__()
        weight = nn.Parameter(torch.randn(3))
        self.weight = weight.double()  # ! weight unregistered GF102

    def forward(self):
        return self.weight.exp()


class HiddenInList(nn.Module):
    def __init__(self):
        super().__init__()
        self.ws = [nn.Parameter(torch.rand(2))]  # ! ws[0] unregistered GF105

    def forward(self):
        return self.ws[0] * 2


class HiddenInDict(nn.Module):
    def __init__(self):
        super().__init__()
        self.ws = {"a": nn.Parameter(torch.rand(2))}  # ! ws['a'] unregistered GF105

    def forward(self):
        return self.ws["a"] * 2


class HiddenLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = []
        for _ in range(1):
            layer = nn.Linear(3, 3, bias=False)  # ! layers[0].weight unregistered GF105
            self.layers.append(layer)

    def forward(self, x=torch.ones(2, 3)):  # noqa: B008
        return self.layers[0](x)


class PlainHelper:
    def __init__(self):
        self.gain = nn.Parameter(torch.rand(2))  # (seen from HiddenInObject)


class HiddenInObject(nn.Module):
    def __init__(self):
        super().__init__()
        self.helper = PlainHelper()

    def forward(self):
        return self.helper.gain * 2


class PlainLeaf(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.zeros(2, requires_grad=True)  # ! w unregistered GF105

    def forward(self):
        return (self.w + 1) ** 2


class Unused(nn.Module):  # ! spare unused
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(2))
        self.spare = nn.Parameter(torch.rand(2))

    def forward(self):
        return self.w * 2


class Discarded(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(2))
        self.bias = nn.Parameter(torch.rand(2))

    def forward(self):
        out = self.w * 2
        torch.add(out, self.bias)  # ! bias discarded
        return out


# -- overwritten -------------------------------------------------------------------------------


class NoteInPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.paramm = nn.Parameter(torch.rand(3))

    def forward(self):
        param = self.paramm * 2 + 1
        param[2] = param[0] / param[1]  # ! paramm inplace GF202
        return param


class SigmoidOverwritten(Two):
    def forward(self):
        gate = torch.sigmoid(self.w)  # ! w inplace GF202
        gate[0] = 1.0  # ! w inplace GF202
        return gate * 2


class ExpOverwritten(Two):
    def forward(self):
        e = torch.exp(self.w)  # ! w inplace GF202
        e /= 2  # ! w inplace GF202
        return e


class SoftmaxOverwritten(Two):
    def forward(self):
        p = torch.softmax(self.w, 0)  # ! w inplace GF202
        p.mul_(3)  # ! w inplace GF202
        return p


class ProductOverwritten(Two):
    def forward(self):
        x = self.w + 1
        y = x * x  # ! w inplace GF202
        x[0] = 0.0  # ! w inplace GF202
        return y


class LeafOverwritten(Two):
    def forward(self):
        w = self.w
        w += 1  # ! w inplace GF203
        return w * 2


class LeafViewOverwritten(Two):
    def forward(self):
        self.w[0] = 5.0  # ! w inplace GF203
        return self.w * 2


class ChunkOverwritten(Two):
    def forward(self):
        first, second, _ = (self.w * 2).chunk(3)
        first += 1.0  # ! w inplace GF202
        return first * second


class LeafInConstructor(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))
        self.w[0] = 1.0  # ! w inplace GF203

    def forward(self):
        return self.w * 2


# -- there, and wrong --------------------------------------------------------------------------


class DetachedRatio(nn.Module):
    def __init__(self):
        super().__init__()
        self.paramm = nn.Parameter(torch.rand(2) + 0.5)

    def forward(self):
        r1, r2 = self.paramm[0] + 1, self.paramm[1] * 2
        k = (r1 / r2).detach()  # ! paramm wrong GF304
        return torch.stack([r1, r2, k])


class PartlyRewrapped(Two):
    def forward(self):
        fixed = torch.tensor([self.w[0] * 2, self.w[1], 1.0])  # ! w wrong GF301
        return self.w * fixed


class PartlyItem(Two):
    def forward(self):
        return self.w * self.w.sum().item()  # ! w wrong GF305


class HiddenWrite(nn.Module):
    def __init__(self):
        super().__init__()
        self.gen = nn.Linear(3, 3, bias=False)

    def forward(self, z):
        delta = self.gen(z)
        delta.data.mul_(0.1)  # ! gen.weight wrong GF304
        return z + delta


class HiddenCopy(Two):
    def forward(self):
        head = self.w * 2
        head.data.copy_(self.w.detach() ** 2)  # ! w wrong GF304
        return head


class SquareRootAtZero(nn.Module):  # ! w nonfinite
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3))

    def forward(self):
        return torch.sqrt(self.w)


class WhereNan(nn.Module):  # ! w nonfinite
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([-1.0, 2.0]))

    def forward(self):
        return torch.where(self.w > 0, torch.sqrt(self.w), torch.zeros(2))


# -- layers without a size, gradients of a few rows ----------------------------------------------


class LazyCut(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.LazyLinear(5)
        self.head = nn.LazyLinear(2)

    def forward(self, x):
        h = self.body(x).detach()  # ! body.weight severed GF304; body.bias severed GF304
        return self.head(h)


class SparseAndCut(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(10, 4, sparse=True)
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, ids: torch.LongTensor):
        return self.emb(ids) * self.gain.detach()  # ! gain severed GF304


# -- without a forward -------------------------------------------------------------------------


class PropertyOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.eta_ = nn.Parameter(torch.rand(4))

    @property
    def eta(self):
        return torch.tensor([F.softplus(v) for v in self.eta_])  # ! eta_ severed GF301


class MethodOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))

    def loss(self, x):
        return ((x - self.w.detach()) ** 2).mean()  # ! w severed GF304
