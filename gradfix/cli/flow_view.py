"""``gradfix check --explain-flow FILE:LINE``: what the analysis knows at one line."""

from __future__ import annotations

import os

from gradfix import files, flow
from gradfix.errors import GradfixError, SourceError
from gradfix.flow.explain import explain


def explain_line(place: str) -> str:
    """The facts at ``FILE:LINE``, as text.

    Raises:
        GradfixError: when there is no such file or line, or the file cannot be parsed.
    """
    path, _, digits = place.rpartition(":")
    if not path or not digits.isascii() or not digits.isdigit():
        raise GradfixError(f"--explain-flow takes FILE:LINE, not {place!r}")
    if ".ipynb" in path:
        raise GradfixError("--explain-flow does not read notebooks")
    try:
        text = files.read(path).text
        project = flow.Project(files.text_of, [os.getcwd()], files.listed)
        facts = flow.analyse(text, project.at(os.path.abspath(path)))
    except SourceError as error:
        at = f"{path}:{error.row}" if error.row else path
        raise GradfixError(f"{at}: {error}") from None
    row = int(digits)
    count = len(facts.lines) - (not facts.lines[-1])
    if not 1 <= row <= count:
        raise GradfixError(f"{path} has no line {row}: it has {count}")
    return f"{path}:{row} {explain(facts, row)}"
