"""Models for the tests in `suite/`."""

import torch
from torch import nn


class Good(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, x):
        return self.decoder(torch.relu(self.encoder(x)))


class Bad(Good):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor([0.3, 0.6]))

    def forward(self, x):
        return super().forward(x) * torch.tensor([self.scale[0], self.scale[1]]).sum()  # the cut
