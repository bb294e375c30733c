"""Modules that learn as they should; no Parameter may be blamed or doubted."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


class Perceptron(nn.Module):
    def __init__(self, in_features, hidden, num_classes):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_features, hidden), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(hidden, num_classes)

    def forward(self, x):
        return self.head(self.body(x))


class Convolutional(nn.Module):
    def __init__(self, in_channels: int, num_classes: int):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(F.relu(self.norm(self.conv(x))).mean((2, 3)))


class FlattensFixedSize(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 5)
        self.head = nn.Linear(2 * 12 * 12, 3)

    def forward(self, x):
        return self.head(F.max_pool2d(F.relu(self.conv(x)), 2).flatten(1))


class Recurrent(nn.Module):
    def __init__(self, vocab_size, dim):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, dim)
        self.rnn = nn.LSTM(dim, dim, batch_first=True)
        self.head = nn.Linear(dim, vocab_size)

    def forward(self, tokens):
        return self.head(self.rnn(self.embedding(tokens))[0])


class Attention(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.heads = num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) / (d // self.heads) ** 0.5).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, t, d))


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x):
        return self.layer(x)


class Variational(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Linear(6, 4)
        self.dec = nn.Linear(2, 6)

    def forward(self, x):
        mu, log_var = self.enc(x).chunk(2, dim=-1)
        z = mu + torch.randn_like(mu) * (0.5 * log_var).exp()
        return self.dec(z), mu, log_var


class StraightThrough(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 4)

    def forward(self, x):
        h = self.lin(x)
        return h + (torch.round(h) - h).detach()


class StraightThroughClamped(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.linspace(-2, 2, 6))

    def forward(self):
        x = self.p.clamp(-1, 1)
        return x.detach() - self.p.detach() + self.p


class GumbelHard(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits = nn.Parameter(torch.rand(2, 4))
        self.values = nn.Parameter(torch.rand(4))

    def forward(self):
        soft = torch.softmax(self.logits, -1)
        hard = F.one_hot(soft.argmax(-1), 4).float()
        return (hard - soft.detach() + soft) @ self.values


class Stacked(nn.Module):
    def __init__(self):
        super().__init__()
        self.paramm = nn.Parameter(torch.rand(2) + 0.5)

    def forward(self):
        r1, r2 = self.paramm[0] + 1, self.paramm[1] * 2
        return torch.stack([r1, r2, r1 / r2])


class Filled(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))

    def forward(self):
        out = torch.zeros(5)
        out[0] = self.w[0]
        out[1] = F.softplus(self.w[1])
        out[4] = self.w[2] ** 2
        return out


class FilledInALoop(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x):
        out, h = torch.zeros(x.shape[0], x.shape[1], 4), torch.zeros(x.shape[0], 4)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            out[:, t] = h
        return out


class Logging(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.seen = []

    def forward(self, x):
        y = self.lin(x)
        self.seen.append(y.detach().mean().item())
        return y


class RunningMean(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 2)
        self.register_buffer("mean", torch.zeros(2))

    def forward(self, x):
        y = self.lin(x)
        with torch.no_grad():
            self.mean.mul_(0.9).add_(y.mean(0), alpha=0.1)
        return y


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.fixed = nn.Parameter(torch.rand(3), requires_grad=False)
        self.w = nn.Parameter(torch.rand(3))

    def forward(self):
        return self.w * self.fixed


class FrozenTeacher(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = nn.Linear(3, 2)
        self.kept_aside = [nn.Linear(3, 2)]

    def forward(self, x):
        with torch.no_grad():
            target = self.kept_aside[0](x)
        return (self.student(x) - target).pow(2).mean()


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(7, 4)
        self.out = nn.Linear(4, 7, bias=False)
        self.out.weight = self.emb.weight

    def forward(self, tokens):
        return self.out(self.emb(tokens))


class Lists(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
        self.gains = nn.ParameterList([nn.Parameter(torch.ones(4)) for _ in range(3)])
        self.plain = list(self.layers)

    def forward(self, x):
        for layer, gain in zip(self.plain, self.gains, strict=True):
            x = torch.tanh(layer(x)) * gain
        return x


class SafeInPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 4)

    def forward(self, x):
        y = self.lin(x)
        y += 1
        y = torch.relu_(y)
        z = y.clone()
        z[:, 2] = z[:, 0] + z[:, 1]
        return z


class ParametersReset(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.empty(3, 3))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.xavier_uniform_(self.w)
        with torch.no_grad():
            self.w[0].fill_(0.1)
        self.w.data.clamp_(-1, 1)

    def forward(self, x):
        return x @ self.w


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.b = nn.Linear(4, 4)

    def forward(self, x):
        return self.b(checkpoint(lambda t: torch.tanh(self.a(t)), x, use_reentrant=False))


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class CustomFunction(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))

    def forward(self):
        return Square.apply(self.w) + 1


class Gathered(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.rand(5, 3))

    def forward(self):
        index = torch.tensor([[0, 1, 2], [2, 0, 1]])
        return self.table.gather(0, index) + self.table.index_select(0, torch.tensor([3, 4]))


class Spectrum(nn.Module):
    def __init__(self):
        super().__init__()
        self.filter = nn.Parameter(torch.rand(5, dtype=torch.cfloat))

    def forward(self, x=torch.linspace(0, 1, 8)):  # noqa: B008
        return torch.fft.irfft(torch.fft.rfft(x) * self.filter, n=8)


class Property(nn.Module):
    def __init__(self):
        super().__init__()
        self.eta_ = nn.Parameter(torch.rand(4))

    @property
    def eta(self):
        return torch.stack([F.softplus(v) for v in self.eta_])


class Method(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(()))
        self.raw = nn.Parameter(torch.zeros(()))

    def nll(self, x):
        scale = F.softplus(self.raw)
        return (0.5 * ((x - self.loc) / scale) ** 2 + scale.log()).mean()


class HardcodedFloat(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3, 2, dtype=torch.float32))

    def forward(self, x):
        return x.float() @ self.w.to(torch.float32)


class Stateful(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(4, 2)
        self.state = None

    def forward(self, x):
        before = torch.zeros(x.shape[0], 2) if self.state is None else self.state.detach()
        self.state = torch.tanh(self.mix(torch.cat([x, before], dim=1)))
        return self.state


class ZeroStart(nn.Module):
    """A low-rank update starts at zero, so one factor's gradient is zero at first."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.rand(3, 2))
        self.b = nn.Parameter(torch.zeros(2, 3))

    def forward(self, x):
        return x @ self.a @ self.b


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = nn.Parameter(torch.rand(4, 4))

    def forward(self):
        mask = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
        return self.scores.masked_fill(mask, -1e9).softmax(-1)


class Norms(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = nn.Parameter(torch.rand(3, 4))
        self.g = nn.Parameter(torch.ones(3, 1))
        self.norm = nn.LayerNorm(3)

    def forward(self, x):
        return self.norm(F.linear(x, self.g * self.v / self.v.norm(dim=1, keepdim=True)))


class SparseRows(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(10, 4, sparse=True)
        self.fc = nn.Linear(4, 1)

    def forward(self, ids: torch.LongTensor):
        return self.fc(self.emb(ids))


class LazyLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.LazyLinear(5)
        self.head = nn.LazyLinear(2)

    def forward(self, x):
        return self.head(F.gelu(self.body(x)))


class LazyImages(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.LazyConv2d(5, 3)
        self.head = nn.LazyLinear(2)

    def forward(self, x):
        return self.head(torch.tanh(self.conv(x)).mean((2, 3)))
