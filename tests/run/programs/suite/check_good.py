import pytest
import torch
from net import Good


def train(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.rand(2, 3)).sum().backward()
        optimizer.step()


def test_training():
    train(Good())


def test_a_part():
    model = Good()
    model.encoder(torch.rand(2, 3)).sum().backward()
    assert model.encoder.weight.grad is not None
    assert model.decoder.weight.grad is None


def test_a_fault_that_is_expected():
    y = torch.sigmoid(Good().encoder(torch.rand(2, 3)))
    y += 1
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


def test_output(capsys):
    print("said")
    assert capsys.readouterr().out == "said\n"
