"""Ways to end: argv[1] says which."""

import argparse
import os
import signal
import sys

parser = argparse.ArgumentParser()
parser.add_argument("how")
parser.add_argument("--steps", default="10")
parser.add_argument("-m", "--output-format", default="none")
parser.add_argument("-q", action="store_true")
options = parser.parse_args()
print(sys.argv[1:], __name__, os.path.basename(__file__), sys.path[0] == os.path.dirname(__file__))
print(
    __spec__, type(__loader__).__name__, __package__, sys.modules["__main__"].__dict__ is globals()
)


def train():
    import torch

    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(4):
        net(torch.ones(1, 2)).sum().backward()
        optimizer.step()


def inner():
    raise KeyError("the user's own")


if options.how == "untrained":
    import torch

    print(torch.nn.Linear(2, 1)(torch.ones(1, 2)).shape)
if options.how.startswith("trained"):
    train()
if options.how.endswith("exit"):
    sys.exit(3)
if options.how.endswith("message"):
    sys.exit("a last word")
if options.how.endswith("raise"):
    inner()
if options.how.endswith("interrupt"):
    os.kill(os.getpid(), signal.SIGINT)
if options.how.endswith("fork"):
    if os.fork() == 0:
        sys.exit(0)
    os.wait()
if options.how == "stdin":
    print(sys.stdin.read().upper())
if options.how == "hook":
    sys.excepthook = lambda kind, value, trace: print("hooked", kind.__name__)
    inner()
if options.how == "closed":
    train()
    sys.stdout.close()
    sys.stderr.close()
