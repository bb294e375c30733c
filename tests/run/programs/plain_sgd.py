"""Everything is right; with `severed` two Parameters are copied away."""

import sys

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.rand(()))
        self.b = nn.Parameter(torch.rand(()))
        self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)
        self.lin = nn.Linear(3, 2)

    def forward(self, x):
        if "severed" in sys.argv:
            w = torch.tensor([self.a, self.b])  # the cut
        else:
            w = torch.stack([self.a, self.b])
        return (self.lin(x) * w * self.frozen).sum()


torch.manual_seed(0)
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
for _ in range(6):
    optimizer.zero_grad()
    loss = net(torch.rand(4, 3))
    loss.backward()
    optimizer.step()
print(loss.item().hex(), torch.rand(1).item().hex())
