"""Two plain runs of one recipe, written down: values, gradients and lines. Runs in the child.

What is written down here before and after a rewrite must agree. No tracer watches these runs but
the interpreter's own, which says which lines of the file were executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import sys
from array import array
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch

from gradfix.verify.drive import Drive, DriveError, Prepared, describe, reseed
from gradfix.verify.outputs import is_real, numbers_of, outputs_of, project

_SAMPLE = 512
_SUMS = 4
Rows = set[int]


def witness(drive: Drive, seed: int, filename: str) -> dict[str, Any]:
    """What a recipe does, as plain data.

    ``values`` holds one entry per output, per input and per buffer after the call, or is None with
    ``why``; ``gradients`` one entry per Parameter that got a gradient; ``rows`` the lines of
    ``filename`` that were executed; ``error`` what the user's code raised.
    """
    said: dict[str, Any] = {
        "driven_by": drive.driven_by,
        "call": drive.text,
        "error": None,
        "why": None,
        "values": None,
        "gradients": {},
        "rows": [],
    }
    rows: Rows = set()
    try:
        with _lines_of(filename, rows):
            prepared, result = _run(drive, seed)
    except DriveError as error:
        said["error"] = str(error)
    except Exception as error:  # the user's code; that it raises is what is written down
        said["error"] = describe(error)
    else:
        try:
            said["values"], said["why"] = _reproducible(drive, seed, prepared, result)
            said["gradients"] = _gradients(prepared, result, seed)
        except (RuntimeError, NotImplementedError, TypeError) as error:
            said["why"] = f"a value cannot be written down: {describe(error)}"
    said["rows"] = sorted(rows)
    return said


def _run(drive: Drive, seed: int) -> tuple[Prepared, Any]:
    reseed(seed)
    prepared = drive.prepare().initialised()
    reseed(seed)
    return prepared, prepared.run()


def _reproducible(
    drive: Drive, seed: int, prepared: Prepared, result: Any
) -> tuple[list[dict[str, Any]] | None, str | None]:
    values = list(_values(prepared, result))
    try:
        again = list(_values(*_run(drive, seed)))
    except Exception as error:  # it did run once: state outside of the module, or a clock
        return None, f"it does not run a second time: {describe(error)}"
    if [v["digest"] for v in values] != [v["digest"] for v in again]:
        return None, "two runs from the same seed differ"
    return values, None


@contextlib.contextmanager
def _lines_of(filename: str, rows: Rows) -> Iterator[None]:
    """Collect the lines of one file that are executed inside."""

    def line(frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line":
            rows.add(frame.f_lineno)
        return line

    def call(frame: FrameType, event: str, argument: Any) -> Any:
        return line if frame.f_code.co_filename == filename else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


# -- values ----------------------------------------------------------------------------------


def _values(prepared: Prepared, result: Any) -> Iterator[dict[str, Any]]:
    """Everything the call gave or left behind, in a fixed order."""
    for index, tensor in enumerate(outputs_of(result)):
        yield _entry(f"output {index}", tensor)
    for index, number in enumerate(numbers_of(result)):
        yield _entry(f"number {index}", torch.tensor(number, dtype=torch.float64), number=True)
    for index, tensor in enumerate(outputs_of((prepared.args, prepared.kwargs))):
        yield _entry(f"input {index} after the call", tensor)
    for name, buffer in prepared.module.named_buffers():
        yield _entry(f"buffer {name} after the call", buffer)


def _entry(name: str, tensor: torch.Tensor, *, number: bool = False) -> dict[str, Any]:
    """One tensor as plain data: exact by its digest, roughly by a sample and some random sums."""
    plain = tensor.detach().cpu()
    flat = plain.to_dense() if plain.layout is not torch.strided else plain
    flat = torch.view_as_real(flat.resolve_conj()) if flat.is_complex() else flat
    flat = flat.reshape(-1).to(torch.float64)
    flat = torch.where(flat.isnan(), torch.full_like(flat, math.nan), flat + 0.0)  # one NaN, one 0
    step = max(1, -(-flat.numel() // _SAMPLE))
    finite = torch.nan_to_num(flat)
    return {
        "name": name,
        "number": number,
        "shape": list(plain.shape),
        "dtype": str(plain.dtype).removeprefix("torch."),
        "digest": hashlib.sha256(array("d", flat.tolist()).tobytes()).hexdigest(),
        "norm": float(finite.norm()),
        "sums": [float(finite @ weights) for weights in _weights(flat.numel())],
        # JSON has no infinities; what is not finite is compared by its text.
        "sample": [v if math.isfinite(v) else str(v) for v in flat[::step].tolist()],
    }


def _weights(number: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(104729)
    for _ in range(_SUMS):
        yield torch.randn(number, generator=generator, dtype=torch.float64)


def _gradients(prepared: Prepared, result: Any, seed: int) -> dict[str, Any]:
    """An entry per Parameter with a gradient; empty where backward raises, which verdicts tell."""
    outputs = [t for t in outputs_of(result) if is_real(t)]
    root = project(outputs, seed) if outputs else None
    if root is None or not root.requires_grad:
        return {}
    prepared.module.zero_grad(set_to_none=True)
    try:
        torch.autograd.backward(root)
    except Exception:  # the judged run recorded the same error with its line
        return {}
    return {
        name: _entry(name, parameter.grad)
        for name, parameter in prepared.module.named_parameters()
        if parameter.grad is not None
    }
