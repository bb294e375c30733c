"""Training in a thread: its operations are not seen, what arrives is."""

import sys
import threading

import torch

net = torch.nn.Linear(2, 1)
if "idle" in sys.argv:
    net.register_parameter("extra", torch.nn.Parameter(torch.rand(1)))


def train():
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        net(torch.rand(3, 2)).sum().backward()
        optimizer.step()


worker = threading.Thread(target=train)
worker.start()
worker.join()
