"""When forward itself raises autograd's complaint: which line, which Parameter."""

from __future__ import annotations

from gradfix.verify.blame import Places
from gradfix.verify.drive import describe
from gradfix.verify.examine import Run
from gradfix.verify.infer import is_autograd_error
from gradfix.verify.results import Blame, ParameterResult

_KINDS = (
    ("a leaf Variable that requires grad", "inplace", "in-place", "GF203"),
    ("a view of a leaf Variable", "inplace", "in-place", "GF203"),
    ("is a view and", "inplace", "in-place", "GF202"),
    ("Inplace update to inference tensor", "inplace", "in-place", None),
    ("Can't call numpy()", "escaped", ".numpy()", "GF305"),
    ("only Tensors created explicitly", "inconclusive", "deepcopy", None),
    ("you can only change requires_grad flags", "severed", "requires_grad", "GF303"),
)


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
    verdict, kind, code = next(
        ((v, k, c) for needle, v, k, c in _KINDS if needle in str(error)),
        ("inconclusive", "error", None),
    )
    call = run.tracer.failed
    blame: tuple[Blame, ...] = ()
    behind: set[int] = set()
    if call is not None:
        found = places.blame(call.site, kind, "autograd refuses this operation", code)
        blame = (found,) if found else ()
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
                blame if hit else (),
            )
        )
    return tuple(results)
