"""A layer that is used, or given a gradient, from the fourth step on."""

import sys

import torch
from torch import nn

HOW, START = sys.argv[1], 99 if "never" in sys.argv else 3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.late, self.last = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x, step):
        if HOW == "detached":
            x = self.late(x) if step >= START else self.late(x).detach()
        elif step >= START:
            x = self.late(x)
        return self.last(x)


torch.manual_seed(0)
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(8):
    optimizer.zero_grad()
    loss = net(torch.rand(4, 3), step).square().mean()
    loss.backward()
    optimizer.step()
print(float(loss).hex())
