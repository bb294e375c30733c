"""No optimizer of torch: one loop reads `.grad`, one asks `autograd.grad`."""

import sys

import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
extra = torch.full((1,), 0.7, requires_grad=True)
for _ in range(6):
    scale = extra
    if "escaped" in sys.argv:
        scale = float(extra)  # the cut
    loss = (net(torch.rand(5, 3)) * scale).square().mean()
    if "functional" in sys.argv:
        parameters = list(net.parameters())
        gradients = torch.autograd.grad(loss, parameters)
        with torch.no_grad():
            for parameter, gradient in zip(parameters, gradients):
                parameter -= 0.1 * gradient
        continue
    loss.backward()
    for parameter in [*net.parameters(), extra]:
        if parameter.grad is not None:
            parameter.data -= 0.1 * parameter.grad
            parameter.grad = None
print(loss.item().hex(), torch.rand(1).item().hex())
