"""Unusual but right ways to train: argv[1] says which."""

import argparse
import os
import sys

import torch
from torch import nn


def step(optimizer, loss):
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach()).hex()


def shared():
    """Two models over one encoder, each with an optimizer of its own."""
    encoder = nn.Linear(3, 4)
    one, two = nn.Sequential(encoder, nn.Linear(4, 1)), nn.Sequential(encoder, nn.Linear(4, 2))
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1) for m in (one, two)]
    for _ in range(4):
        for model, optimizer in zip((one, two), optimizers):
            print(step(optimizer, model(torch.rand(5, 3)).square().mean()))


def tied():
    """The decoder uses the weight of the encoder."""
    encoder, decoder = nn.Embedding(7, 4), nn.Linear(4, 7, bias=False)
    decoder.weight = encoder.weight
    optimizer = torch.optim.Adam({*encoder.parameters(), *decoder.parameters()})
    for _ in range(4):
        tokens = torch.randint(0, 7, (6,))
        print(step(optimizer, nn.functional.cross_entropy(decoder(encoder(tokens)), tokens)))


def subset():
    """Only the head is trained; the body is neither frozen nor held by the optimizer."""
    body, head = nn.Linear(3, 4), nn.Linear(4, 1)
    model = nn.Sequential(body, nn.ReLU(), head)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    for _ in range(4):
        print(step(optimizer, model(torch.rand(5, 3)).square().mean()))


def frozen():
    """The body is frozen, and its features are taken without gradients as well."""
    body, head = nn.Linear(3, 4).requires_grad_(False), nn.Linear(4, 1)
    optimizer = torch.optim.SGD(filter(lambda p: p.requires_grad, head.parameters()), lr=0.1)
    for _ in range(4):
        with torch.no_grad():
            features = body(torch.rand(5, 3))
        print(step(optimizer, head(features).square().mean()))


def rank():
    """Everything happens on the first process."""
    if int(os.environ.get("RANK", "0")) == 0:
        subset()


def hooks():
    """Hooks read activations and gradients, and replace one."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    seen = []
    model[1].register_forward_hook(lambda m, args, out: seen.append(out.detach().mean().item()))
    model[0].register_full_backward_hook(lambda m, given, got: seen.append(got[0].norm().item()))
    model[2].weight.register_hook(lambda gradient: gradient.clamp(-1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        print(step(optimizer, model(torch.rand(5, 3)).square().mean()), len(seen))


def targets():
    """A target network follows by averaging; a kept batch norm is evaluated."""
    net, target = nn.Linear(3, 2), nn.Linear(3, 2)
    target.load_state_dict(net.state_dict())
    optimizer = torch.optim.Adam(net.parameters())
    for _ in range(4):
        x = torch.rand(5, 3)
        goal = 0.9 * target(x).max(1, keepdim=True).values.detach()
        print(step(optimizer, (net(x).max(1, keepdim=True).values - goal).square().mean()))
        for old, new in zip(target.parameters(), net.parameters()):
            old.data.copy_(0.9 * old.data + 0.1 * new.data)


def distributed():
    """One process that is a group of its own."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    model = nn.parallel.DistributedDataParallel(nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        print(step(optimizer, model(torch.rand(5, 3)).square().mean()))
    torch.distributed.destroy_process_group()


def attack():
    """An adversarial input is made by gradients; the model is trained on it."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(4):
        x, y = torch.rand(5, 3, requires_grad=True), torch.randint(0, 2, (5,))
        nn.functional.cross_entropy(model(x), y).backward()
        x = (x + 0.1 * x.grad.sign()).detach()
        print(step(optimizer, nn.functional.cross_entropy(model(x), y)))


def evaluation():
    """No backward, and an exit code with a meaning."""
    print(nn.Linear(3, 2).eval()(torch.rand(5, 3)).shape)
    sys.exit(5)


def error():
    """An error of the user's own in the middle of a step."""
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for turn in range(4):
        loss = model(torch.rand(5, 3)).square().mean()
        if turn == 1:
            loss = model(torch.rand(5, 4)).mean()
        step(optimizer, loss)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("how")
    how = parser.parse_args().how
    torch.manual_seed(0)
    globals()[how]()
