"""An agent with three optimizers, a target network inside, and steps at different paces."""

import copy

import torch
from torch import nn


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = nn.Linear(4, 2), nn.Linear(6, 1)
        self.target = copy.deepcopy(self.critic)
        self.log_alpha = nn.Parameter(torch.zeros(1))


torch.manual_seed(0)
agent = Agent()
for_actor = torch.optim.Adam(agent.actor.parameters())
for_critic = torch.optim.Adam(agent.critic.parameters())
for_alpha = torch.optim.Adam([agent.log_alpha])
for step in range(14):
    state, reward = torch.rand(8, 4), torch.rand(8, 1)
    with torch.no_grad():
        following = torch.tanh(agent.actor(state))
        wanted = reward + 0.9 * agent.target(torch.cat([state, following], 1))
        wanted -= agent.log_alpha.exp() * 0.1
    loss = (agent.critic(torch.cat([state, torch.rand(8, 2)], 1)) - wanted).square().mean()
    for_critic.zero_grad()
    loss.backward()
    for_critic.step()
    if step % 2:
        action = torch.tanh(agent.actor(state))
        loss = -agent.critic(torch.cat([state, action], 1)).mean()
        loss = loss + agent.log_alpha.exp().detach() * action.square().mean()
        for_actor.zero_grad()
        loss.backward()
        for_actor.step()
        loss = (agent.log_alpha * (action.detach().mean() + 0.3)).mean()
        for_alpha.zero_grad()
        loss.backward()
        for_alpha.step()
    for slow, fast in zip(agent.target.parameters(), agent.critic.parameters()):
        slow.data.copy_(0.99 * slow.data + 0.01 * fast.data)
print(loss.item().hex(), torch.rand(1).item().hex())
