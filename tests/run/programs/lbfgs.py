"""A closure that the optimizer calls many times."""

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
x, y = torch.rand(16, 2), torch.rand(16, 1)
optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=5)


def closure():
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(net(x), y)
    loss.backward()
    return loss


for _ in range(5):
    loss = optimizer.step(closure)
print(loss.item().hex(), torch.rand(1).item().hex())
