"""Parameters that nobody expects to learn: a teacher, a target network, a running average."""

import copy
import sys

import torch
from torch import nn


class Pair(nn.Module):
    """A student and its slowly following teacher in one module, as in BYOL."""

    def __init__(self):
        super().__init__()
        self.student = nn.Linear(3, 3)
        self.teacher = copy.deepcopy(self.student)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        with torch.no_grad():
            target = self.teacher(x)
        return nn.functional.mse_loss(self.head(self.student(x)), target)

    def follow(self):
        for slow, fast in zip(self.teacher.parameters(), self.student.parameters()):
            slow.data.mul_(0.9).add_(fast.data, alpha=0.1)


torch.manual_seed(0)
pair, critic = Pair(), nn.Linear(3, 1)
target_critic = copy.deepcopy(critic)
backbone = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
for parameter in backbone.parameters():
    parameter.requires_grad = False
learnt = [*pair.student.parameters(), *pair.head.parameters(), *critic.parameters()]
optimizer = torch.optim.Adam(learnt, lr=0.01)
average = torch.optim.swa_utils.AveragedModel(critic)
for _ in range(6):
    x = backbone(torch.rand(4, 3))
    target = target_critic(x).detach() + 1
    loss = pair(x) + nn.functional.mse_loss(critic(x), target)
    if "log" in sys.argv:
        history = torch.tensor([loss.item(), pair.head.weight.norm().item()])
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(learnt, 1.0)
    optimizer.step()
    pair.follow()
    target_critic.load_state_dict(critic.state_dict())
    average.update_parameters(critic)
print(loss.item().hex(), torch.rand(1).item().hex())
