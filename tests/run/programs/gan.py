"""Two optimizers; the discriminator's step detaches the generator, which is deliberate."""

import sys

import torch
from torch import nn


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 4)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, z):
        scale = self.scale
        if "severed" in sys.argv:
            scale = self.scale.detach()  # the cut
        return torch.tanh(self.body(z)) * scale


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def forward(self, x):
        return self.body(x)


torch.manual_seed(0)
generator, critic = Generator(), Critic()
for_g = torch.optim.Adam(generator.parameters(), lr=0.01)
for_c = torch.optim.Adam(critic.parameters(), lr=0.01)
criterion = nn.BCEWithLogitsLoss()
for step in range(10):
    fake = generator(torch.randn(8, 2))
    for_c.zero_grad()
    real_loss = criterion(critic(torch.randn(8, 4)), torch.ones(8, 1))
    real_loss.backward()
    fake_loss = criterion(critic(fake.detach()), torch.zeros(8, 1))
    fake_loss.backward()
    for_c.step()
    if step % 2:  # the generator trains at half the pace
        for_g.zero_grad()
        loss = criterion(critic(fake), torch.ones(8, 1))
        loss.backward()
        for_g.step()
print(loss.item().hex(), torch.rand(1).item().hex())
