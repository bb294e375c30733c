"""One model with many faults, each with its own verdict."""

import torch
from torch import nn


class Faulty(nn.Module):
    def __init__(self):
        super().__init__()
        self.good = nn.Linear(3, 3)
        self.idle = nn.Parameter(torch.rand(3))
        self.thrown = nn.Linear(3, 3)
        self.rounded = nn.Parameter(torch.tensor([0.6, 0.7, 0.8]))
        self.broken = nn.Parameter(torch.zeros(3))
        self.number = nn.Parameter(torch.tensor(0.37))
        self.quiet = nn.Linear(3, 3)
        self.layers = [nn.Linear(3, 3)]  # hidden

    def forward(self, x):
        x = self.layers[0](self.good(x))
        self.last = self.thrown(x)  # discarded
        x = x * self.rounded.round()  # zero
        x = x + torch.sqrt(self.broken * self.broken)
        x = x * self.number.item()  # escaped
        with torch.no_grad():  # severed
            quiet = self.quiet(x)
        return (x + quiet).square().mean()


torch.manual_seed(0)
net = Faulty()
optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
for _ in range(3):
    optimizer.zero_grad()
    net(torch.rand(4, 3)).backward()
    optimizer.step()
