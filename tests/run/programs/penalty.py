"""A gradient penalty: the gradient with respect to the input is part of the loss."""

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1, bias=False))
optimizer = torch.optim.RMSprop(net.parameters(), lr=0.01)
for _ in range(5):
    x = torch.rand(4, 3, requires_grad=True)
    (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    loss = (slope.norm(dim=1) - 1).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(loss.item().hex(), torch.rand(1).item().hex())
