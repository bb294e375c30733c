"""The loss itself has no history: backward refuses."""

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)

    def forward(self, x):
        return self.body(x).detach()  # the cut


net = Net()
loss = net(torch.rand(2, 3)).sum()
loss.backward()
