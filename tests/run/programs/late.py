"""A layer that is used from the fourth step on."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.late = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x, step):
        x = self.first(x)
        return self.late(x) if step > 2 else x


torch.manual_seed(0)
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(8):
    optimizer.zero_grad()
    net(torch.rand(4, 3), step).square().mean().backward()
    optimizer.step()
