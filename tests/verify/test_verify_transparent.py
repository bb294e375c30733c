"""Watching changes nothing: outputs and gradients are the same, bit for bit, under the tracer."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from verify_helpers import PROGRAMS

from gradfix.verify.drive import Drive, reseed
from gradfix.verify.infer import Offer, inferred
from gradfix.verify.outputs import is_real, outputs_of, project
from gradfix.verify.trace import Tracer, traced


def programs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("right_programs", PROGRAMS / "right.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RIGHT = programs()
KINDS = [
    name
    for name, value in vars(RIGHT).items()
    if isinstance(value, type) and issubclass(value, torch.nn.Module)
    # Lazy layers have no Parameters to compare before they are called.
    and not name.startswith("Lazy")
]
Seen = tuple[list[torch.Tensor], list[torch.Tensor | None], torch.Tensor]


def run(drive: Drive, tracer: Tracer | None) -> Seen:
    """Outputs, gradients, and what the generator gives next."""
    reseed(0)
    if tracer is None:
        prepared = drive.prepare()
        result = prepared.run()
    else:
        with traced(tracer):
            prepared = drive.prepare()
            result = prepared.run()
    outputs = [t for t in outputs_of(result) if is_real(t)]
    torch.autograd.backward(project(outputs, 0))
    gradients = [p.grad for p in prepared.module.parameters()]
    return [t.detach() for t in outputs], gradients, torch.rand(3)


def same(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None:
        return one is other
    return torch.equal(one.to_dense(), other.to_dense())


def test_there_are_many_kinds() -> None:
    assert len(KINDS) >= 30


@pytest.mark.parametrize("name", KINDS)
def test_the_tracer_changes_nothing(name: str) -> None:
    drive = next(inferred(getattr(RIGHT, name), Offer(("eta",), ("nll",)), 0))
    tracer = Tracer((str(Path(PROGRAMS)),))
    plain, watched = run(drive, None), run(drive, tracer)
    assert tracer.gaps == []
    assert len(tracer.graph.calls) > 0
    assert all(map(same, plain[0], watched[0])) and len(plain[0]) == len(watched[0])
    assert all(map(same, plain[1], watched[1]))
    assert torch.equal(plain[2], watched[2])


def test_the_patches_are_taken_back() -> None:
    apply, new = torch.autograd.Function.apply, torch.nn.Parameter.__new__
    with traced(Tracer(("/",))):
        assert torch.nn.Parameter.__new__ is not new
    with pytest.raises(KeyError), traced(Tracer(("/",))):
        raise KeyError
    assert torch.nn.Parameter.__new__ is new
    assert torch.autograd.Function.apply == apply
