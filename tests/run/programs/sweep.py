"""Models come and go: each is followed for its first steps; the second is faulty."""

import torch
from torch import nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 2)
        self.gain = nn.Parameter(torch.rand(2))

    def forward(self, x):
        return self.body(x) * self.scaled()

    def scaled(self):
        return self.gain


class First(Base):
    pass


class Second(Base):
    def scaled(self):
        return self.gain.data  # the cut


class Third(Base):
    pass


torch.manual_seed(0)
for kind in (First, Second, Third, First):
    net = kind()
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(10):
        optimizer.zero_grad()
        loss = net(torch.rand(3, 2)).square().mean()
        loss.backward()
        optimizer.step()
    print(torch._C._len_torch_function_stack(), end=" ")  # 0: gradfix is out of the way
print(loss.item().hex(), torch.rand(1).item().hex())
