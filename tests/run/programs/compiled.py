"""`torch.compile`, as a call and as a decorator."""

import torch
from torch import nn

calls = []


def backend(graph, inputs):
    calls.append(len(inputs))
    return graph.forward


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        return torch.relu(self.body(x)) * self.scale


@torch.compile(backend=backend)
def criterion(y):
    return y.square().mean()


torch.manual_seed(0)
net = torch.compile(Net(), backend=backend)
optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
for step in range(8):
    optimizer.zero_grad()
    loss = criterion(net(torch.rand(4, 3)))
    loss.backward()
    optimizer.step()
    print("compiled" if calls else "eager", end=" " if step < 7 else "\n")
print(loss.item().hex(), torch.rand(1).item().hex())
