"""Worker processes, started by fork and by spawn, and gradient accumulation."""

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Numbers(Dataset):
    def __len__(self):
        return 16

    def __getitem__(self, index):
        weight = nn.Parameter(torch.ones(3))  # a worker may do anything with torch
        return (torch.full((3,), float(index)) * weight).detach(), torch.tensor([index * 0.5])


def main():
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.001)
    context = sys.argv[1] if len(sys.argv) > 1 else "fork"
    loader = DataLoader(
        Numbers(),
        batch_size=2,
        shuffle=True,
        num_workers=2,
        multiprocessing_context=context,
        persistent_workers=True,
    )
    for _ in range(2):
        for number, (x, y) in enumerate(loader):
            loss = nn.functional.mse_loss(net(x), y) / 2
            loss.backward()
            if number % 2:
                optimizer.step()
                optimizer.zero_grad()
    print(loss.item().hex(), torch.rand(1).item().hex())


if __name__ == "__main__":
    main()
