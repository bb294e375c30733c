"""One traced run of one target: module, outputs, gradients, graph, or the error that ended it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gradfix.verify.drive import GIVEN, Drive, DriveError, Prepared, reseed
from gradfix.verify.outputs import is_real, numbers_of, outputs_of, project
from gradfix.verify.trace import Tracer, traced


class BuildError(Exception):
    """The user's code raised while the module or its inputs were built."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(slots=True)
class Hidden:
    """A trainable leaf the module does not register; ``derived`` if only a result is kept."""

    name: str
    leaf: torch.Tensor
    derived: torch.Tensor | None = None


@dataclass(slots=True)
class Run:
    """What one traced run left behind."""

    module: nn.Module
    tracer: Tracer
    parameters: dict[str, nn.Parameter]
    hidden: list[Hidden]
    outputs: list[torch.Tensor] = field(default_factory=list)
    roots: set[int] = field(default_factory=set)
    inputs: set[int] = field(default_factory=set)
    root: torch.Tensor | None = None
    forward_error: Exception | None = None
    backward_error: Exception | None = None

    def nodes(self, tensor: torch.Tensor) -> set[int]:
        """Every node a tensor has been."""
        return self.tracer.nodes_of.get(id(tensor), set())


def examine(drive: Drive, seed: int, folders: tuple[str, ...], tracer: Tracer | None = None) -> Run:
    """Build, call and differentiate once under a tracer, a new one unless it is given.

    Errors of the user's forward and backward are recorded in the run. Raises BuildError when the
    module cannot be built, DriveError when a case is none or the outputs hold no values.
    """
    tracer = tracer or Tracer(folders)
    with traced(tracer):
        reseed(seed)
        try:
            prepared = drive.prepare()
        except DriveError:
            raise
        except Exception as error:  # the user's constructor or case; the caller says so
            raise BuildError(error) from error
        tracer.paused += 1  # what has no size yet cannot be looked at
        module = prepared.initialised().module
        tracer.paused -= 1
        parameters = dict(module.named_parameters())
        run = Run(module, tracer, parameters, list(hidden_leaves(module, prepared.holder)))
        run.inputs = {tracer.node(t) for t in outputs_of((prepared.args, prepared.kwargs))}
        tracer.phase = "run"
        tracer.failed = None
        reseed(seed)
        try:
            result = prepared.run()
        except Exception as error:  # the user's forward; kept as this run's outcome
            run.forward_error = error
            return run
    _keep_outputs(run, result)
    _backward(run, prepared, seed)
    return run


def uninitialized(drive: Drive, seed: int) -> bool:
    """Whether a built module holds Parameters that nothing was written to: chance is in them.

    Torch fills fresh memory with NaN for the time of the build. Raises what building raises.
    """
    before = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        reseed(seed)
        module = drive.prepare().module
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warns)
    held = [*module.parameters(), *module.buffers()]
    return any(is_real(t) and not bool(torch.isfinite(t).all()) for t in held)


def _keep_outputs(run: Run, result: Any) -> None:
    tracer = run.tracer
    tracer.paused += 1
    outputs = list(outputs_of(result))
    if any(t.is_meta for t in outputs):
        raise DriveError("it returns tensors on the meta device, which hold no values")
    run.outputs = [t for t in outputs if is_real(t)]
    run.roots = {tracer.node(t) for t in outputs}
    run.roots |= {n for v in numbers_of(result) if (n := tracer.number(v)) is not None}


def _backward(run: Run, prepared: Prepared, seed: int) -> None:
    if not run.outputs:
        return
    prepared.module.zero_grad(set_to_none=True)
    run.root = project(run.outputs, seed)
    if not run.root.requires_grad:
        return
    try:
        # The graph is kept: if this fails, its nodes tell which saved value was overwritten.
        torch.autograd.backward(run.root, retain_graph=True)
    except Exception as error:  # custom Functions may raise anything; kept as the outcome
        run.backward_error = error
    for parameter in run.parameters.values():
        if parameter.grad is not None and parameter.grad.is_sparse:  # few operations take these
            parameter.grad = parameter.grad.to_dense()


def hidden_leaves(module: nn.Module, holder: nn.Module | None = None) -> Iterator[Hidden]:
    """Trainable leaves held by attributes that do not register them.

    Those that ``holder``, which the module is a part of, registers are known, and so are those of
    parts that were made up as arguments.
    """
    known = {id(p) for p in module.parameters()} | {id(b) for b in module.buffers()}
    known |= {id(p) for p in holder.parameters()} if holder is not None else set()
    known |= set(GIVEN.keys())
    seen: set[int] = set()
    for prefix, part in module.named_modules():
        for name, value in vars(part).items():
            if name.startswith("_") and name in nn.Module().__dict__:
                continue
            path = f"{prefix}.{name}" if prefix else name
            yield from _in_value(path, value, known, seen, 3)


def _in_value(
    path: str, value: Any, known: set[int], seen: set[int], depth: int
) -> Iterator[Hidden]:
    if id(value) in seen or id(value) in known or depth < 0:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        if value.requires_grad and value.is_leaf:
            yield Hidden(path, value)
        elif value.grad_fn is not None:
            for leaf in leaves_of(value):
                if id(leaf) not in known and id(leaf) not in seen:
                    seen.add(id(leaf))
                    yield Hidden(path, leaf, value)
    elif isinstance(value, nn.Module):
        for name, parameter in value.named_parameters():
            yield from _in_value(f"{path}.{name}", parameter, known, seen, 0)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _in_value(f"{path}[{index}]", item, known, seen, depth - 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _in_value(f"{path}[{key!r}]", item, known, seen, depth - 1)
    elif _is_plain_object(value):
        for name, item in vars(value).items():
            yield from _in_value(f"{path}.{name}", item, known, seen, depth - 1)


def _is_plain_object(value: Any) -> bool:
    """Whether a value is an instance of some class of the user's, with attributes to look into."""
    owner = type(value).__module__.partition(".")[0]
    plain = owner not in ("builtins", "types", "torch", "numpy", "collections")
    return plain and hasattr(value, "__dict__") and not isinstance(value, type)


def leaves_of(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    """The leaves behind a result, through its autograd graph."""
    seen: set[Any] = set()
    todo: list[Any] = [tensor.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        todo += [following for following, _ in node.next_functions]
