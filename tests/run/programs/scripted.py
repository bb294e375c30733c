"""TorchScript runs where no tracer sees it: nothing is said that is not known."""

import warnings

import torch
from torch import nn

warnings.simplefilter("ignore")
torch.manual_seed(0)
net = torch.jit.script(nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1)))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for _ in range(4):
    optimizer.zero_grad()
    loss = net(torch.rand(4, 3)).square().mean()
    loss.backward()
    optimizer.step()
print(loss.item().hex(), torch.rand(1).item().hex())
