"""What autograd refuses to do, and which lines of the user's code asked for it."""

from __future__ import annotations

from gradfix.verify.blame import Places
from gradfix.verify.graph import Call, Graph
from gradfix.verify.results import Blame

#: What autograd says when the module itself is at fault; no other input would help.
AUTOGRAD_ERRORS = (
    "a leaf Variable that requires grad",
    "a view of a leaf Variable",
    "is a view and is being modified inplace",
    "is a view and its base or another view of its base has been modified inplace",
    "on Tensor that requires grad",
    "only Tensors created explicitly by the user",
    "you can only change requires_grad flags of leaf",
    "Inplace update to inference tensor",
    "out=... arguments don't support automatic differentiation",
)

_KINDS = (
    ("a leaf Variable that requires grad", "inplace", "in-place", "GF203"),
    ("a view of a leaf Variable", "inplace", "in-place", "GF203"),
    ("is a view and", "inplace", "in-place", "GF202"),
    ("Inplace update to inference tensor", "inplace", "in-place", None),
    ("don't support automatic differentiation", "inplace", "out=", "GF203"),
    ("Can't call numpy()", "escaped", ".numpy()", "GF305"),
    ("only Tensors created explicitly", "inconclusive", "deepcopy", None),
    ("you can only change requires_grad flags", "severed", "requires_grad", "GF303"),
)


def is_autograd_error(error: BaseException) -> bool:
    """Whether an exception is autograd's complaint about the module's own code."""
    return isinstance(error, RuntimeError) and any(t in str(error) for t in AUTOGRAD_ERRORS)


def kind_of(error: BaseException) -> tuple[str, str, str | None]:
    """The verdict, the kind of blame and the code that an error of autograd stands for."""
    for needle, verdict, kind, code in _KINDS:
        if needle in str(error):
            return verdict, kind, code
    return "inconclusive", "error", None


def refusal(graph: Graph, call: Call, error: BaseException, places: Places) -> list[Blame]:
    """The lines to blame for a refused call: where its leaf was made, if that was beside it.

    A buffer that was asked to require grad and is then written to is wrong where it was made; a
    Parameter is wrong where it is written to.
    """
    _, kind, code = kind_of(error)
    found = [places.blame(call.site, kind, "autograd refuses this operation", code)]
    if code == "GF203" and (made := _made_beside(graph, call)) is not None:
        text = "requires_grad=True makes this a leaf, and a leaf cannot be written to"
        found.insert(0, places.blame(made.site, "leaf", text, code))
    return [blame for blame in found if blame is not None]


def _made_beside(graph: Graph, call: Call) -> Call | None:
    """The call of the same function that made the leaf which is written to."""
    if not call.inputs or call.site is None:
        return None
    sources = graph.sources_of({call.inputs[0]}, live_only=True)
    for other in graph.calls:
        site = other.site
        if other.name == "Parameter" or other.inputs or not sources & set(other.outputs):
            continue
        if site is not None and (site.filename, site.first_row) == (
            call.site.filename,
            call.site.first_row,
        ):
            return other
    return None
