"""gradfix finds, explains, rewrites and proves PyTorch code that runs and silently does not learn.

`check_source` and `fix_source` are the whole analysis as functions of a string; importing this
package imports neither torch nor LibCST.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gradfix.errors import GradfixError
from gradfix.model import Edit, Failure, Finding, Fix, Note, Outcome, Safety, Source, Span

if TYPE_CHECKING:
    from gradfix.ipython import Shell

__version__ = "0.1.0"

__all__ = [
    "Edit",
    "Failure",
    "Finding",
    "Fix",
    "GradfixError",
    "Note",
    "Outcome",
    "Safety",
    "Source",
    "Span",
    "__version__",
    "check_source",
    "fix_source",
    "load_ipython_extension",
]


def check_source(
    text: str, *, filename: str = "<string>", select: Sequence[str] = ("ALL",)
) -> Outcome:
    """Report what is wrong with one module's text.

    Text that cannot be parsed is a `Failure` in the outcome; an unknown code a ConfigError.
    """
    from gradfix import config, engine

    return engine.check(Source(filename, text), config.settings_from(select=select))


def fix_source(
    text: str,
    *,
    filename: str = "<string>",
    select: Sequence[str] = ("ALL",),
    unsafe_fixes: bool = False,
) -> Outcome:
    """Rewrite one module's text; the result is in ``outcome.text``.

    Text that cannot be parsed is a `Failure` in the outcome; an unknown code a ConfigError.
    """
    from gradfix import config, engine

    settings = config.settings_from(select=select, unsafe_fixes=unsafe_fixes)
    return engine.fix(Source(filename, text), settings)


def load_ipython_extension(ipython: Shell) -> None:
    """What ``%load_ext gradfix`` calls: adds ``%%gradfix`` and ``%gradfix_verify``."""
    from gradfix.ipython import load

    load(ipython)
