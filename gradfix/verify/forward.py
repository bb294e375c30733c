"""When forward itself raises autograd's complaint: which line, which Parameter."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import FrameType

from torch import nn

from gradfix.verify.blame import Places
from gradfix.verify.drive import describe
from gradfix.verify.examine import Run
from gradfix.verify.graph import Site
from gradfix.verify.refused import is_autograd_error, kind_of, refusal
from gradfix.verify.results import Blame, ParameterResult


def forward_failure(
    run: Run, error: Exception, places: Places
) -> tuple[ParameterResult, ...] | None:
    """Verdicts for a forward that autograd refused; None for any other error.

    The Parameters behind the refused operation carry the verdict, the others are inconclusive:
    nothing after the error was seen.
    """
    if not is_autograd_error(error):
        return None
    text = f"forward raises {describe(error)}"
    verdict, _, _ = kind_of(error)
    call = run.tracer.failed
    blame: tuple[Blame, ...] = ()
    behind: set[int] = set()
    if call is not None:
        blame = tuple(refusal(run.tracer.graph, call, error, places))
        behind = run.tracer.graph.sources_of(set(call.inputs))
    results = []
    for name, parameter in run.parameters.items():
        hit = bool(run.nodes(parameter) & behind) and parameter.requires_grad
        results.append(
            ParameterResult(
                name,
                tuple(parameter.shape),
                parameter.requires_grad,
                verdict if hit else "inconclusive" if parameter.requires_grad else "ok",
                "proven",
                text if hit else f"not judged: {text}",
                blame=blame if hit else (),
            )
        )
    return tuple(results)


def constructor_failure(
    error: Exception, places: Places, project: str
) -> tuple[ParameterResult, ...]:
    """Verdicts for a constructor that autograd refused, read from its traceback."""
    text = f"the constructor raises {describe(error)}"
    verdict, kind, code = kind_of(error)
    frames = [f for f in _frames(error) if f[0].f_code.co_filename.startswith(project + os.sep)]
    blame: Blame | None = None
    if frames:
        frame, row = frames[-1]
        name = getattr(frame.f_code, "co_qualname", frame.f_code.co_name)
        site = Site(frame.f_code.co_filename, row, name, frame.f_code.co_firstlineno)
        blame = places.blame(site, kind, "autograd refuses this operation", code)
    owner = next((m for f, _ in frames if isinstance(m := f.f_locals.get("self"), nn.Module)), None)
    found = owner.named_parameters() if owner is not None and "_parameters" in vars(owner) else ()
    return tuple(
        ParameterResult(
            name,
            tuple(parameter.shape),
            True,
            verdict,
            "likely",
            text,
            blame=(blame,) if blame else (),
        )
        for name, parameter in found
        if parameter.requires_grad
    )


def _frames(error: BaseException) -> Iterator[tuple[FrameType, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next
