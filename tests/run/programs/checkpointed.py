"""Checkpointing in both modes; one Parameter inside each block is cut off with `severed`."""

import sys

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.gain = nn.Parameter(torch.ones(4))
        self.drop = nn.Dropout(0.1)

    def forward(self, x):
        gain = self.gain
        if "severed" in sys.argv:
            gain = gain.detach()  # the cut
        return self.drop(torch.tanh(self.body(x)) * gain)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.old, self.new = Block(), Block()

    def forward(self, x):
        x = self.first(x)
        x = checkpoint(self.old, x, use_reentrant=True)
        return checkpoint(self.new, x, use_reentrant=False)


torch.manual_seed(0)
net = Net()
optimizer = torch.optim.Adam(net.parameters())
for _ in range(6):
    optimizer.zero_grad()
    loss = net(torch.rand(3, 4)).square().sum()
    loss.backward()
    optimizer.step()
print(loss.item().hex(), torch.rand(1).item().hex())
