"""For test suites: assert that gradients reach every Parameter of a model.

Importing this module does not import torch; calling it does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gradfix.verify.results import ParameterResult

__all__ = ["assert_grads_flow"]


def assert_grads_flow(
    model: Any,
    *args: Any,
    loss: Callable[[Any], Any] | None = None,
    ignore: Sequence[str] = (),
    **kwargs: Any,
) -> None:
    """Assert that every trainable Parameter of ``model`` gets a gradient, and the right one.

    The ``torch.nn.Module`` is called once with ``args`` and ``kwargs`` (tensors of any shape and
    dtype it takes), and ``loss`` of its result, or without ``loss`` a random projection of all
    floating-point tensors in it, is differentiated by ``torch.autograd.backward``. A model that can
    be copied and has at most two million elements is also compared with finite differences in
    float64. Gradients, buffers and random generators are put back as they were; other Python state
    that ``forward`` changes is not.

    Frozen Parameters are left out, and so are names that match a pattern of ``ignore`` (as in
    `fnmatch`). A value that goes on both with its gradient and without (straight-through
    estimators, targets of self-supervised losses) is no failure.

    Raises AssertionError with the Parameters, their verdicts, the source lines to blame and the
    codes of the rules about them; and whatever ``model`` or ``loss`` raise.
    """
    __tracebackhide__ = True  # pytest shows the user's line
    from gradfix.verify.inprocess import missing_gradients

    found = missing_gradients(model, args, kwargs, loss, ignore)
    if found:
        raise AssertionError(failure_text(type(model).__qualname__, found))


def failure_text(module: str, results: Iterable[ParameterResult]) -> str:
    """What a person reads: each Parameter, its verdict, the lines to blame, and where to go on."""
    from gradfix.verify.report import parameter_lines

    listed = list(results)
    number = f"{len(listed)} {'Parameter' if len(listed) == 1 else 'Parameters'}"
    lines = [f"no right gradient for {number} of {module}:"]
    for result in listed:
        lines += parameter_lines(result)
    codes = sorted({blame.code for r in listed for blame in r.blame if blame.code})
    if codes:
        lines.append(f"more about it: {', '.join(f'gradfix explain {code}' for code in codes)}")
    return "\n".join(lines)
