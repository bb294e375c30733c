"""Snippets of user code: how the tables of the tests are written, varied and run in torch.

A table is one string. ``=== name | flags`` opens a case, ``--->`` parts before from after, and
``reason:`` gives words that the reason for not fixing must contain. A case that imports nothing of
torch gets `PRELUDE`. What a snippet shows is what it binds at module level: names that start with
``grad`` are gradients; names that start with ``out`` or ``loss`` are forward values.
"""

from __future__ import annotations

import re
import textwrap
import warnings
from dataclasses import dataclass
from typing import Any

import torch

PRELUDE = "import torch\nfrom torch import nn\nfrom torch.nn import Parameter\n"

#: The prefixes of the names by which a snippet shows something.
SHOWN = ("out", "loss", "grad")


@dataclass(frozen=True)
class Case:
    """One entry of a table; ``after`` and ``reason`` are empty where the table has none."""

    name: str
    flags: frozenset[str]
    before: str
    after: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return self.name


def cases(table: str) -> list[Case]:
    """The cases of a table, in order."""
    found = []
    for part in re.split(r"(?m)^=== ", table)[1:]:
        head, _, body = part.partition("\n")
        name, _, flags = head.partition("|")
        body, _, reason = body.partition("\nreason:")
        before, _, after = body.partition("\n--->\n")
        found.append(
            Case(
                name.strip(),
                frozenset(flags.split()),
                completed(before),
                completed(after) if after else "",
                reason.strip(),
            )
        )
    names = [case.name for case in found]
    assert len(set(names)) == len(names), "two cases of one table have the same name"
    return found


def completed(body: str) -> str:
    """The snippet with the prelude it needs, and one newline at its end."""
    body = body.strip("\n") + "\n"
    if re.search(r"(?m)^\s*(?:import|from) torch\b", body):
        return body
    first = next(line for line in body.splitlines() if not line.startswith("#"))
    gap = "\n\n" if re.match(r"class |def |@|async def ", first) else "\n"
    return PRELUDE + gap + body


# -- the same code, written differently ---------------------------------------------------------


def with_crlf(text: str) -> str:
    """The text with Windows line endings."""
    return text.replace("\n", "\r\n")


def in_a_function(text: str) -> str:
    """The text as the body of a function, below its imports."""
    lines = text.splitlines(keepends=True)
    split = next(i for i, line in enumerate(lines) if not re.match(r"import |from |\s*$|#", line))
    body = _indented("".join(lines[split:]))
    return "".join(lines[:split]).rstrip("\n") + "\n\n\ndef main():\n" + body + "\n\nmain()\n"


def in_a_branch(text: str) -> str:
    """The text under ``if __name__ == "__main__":``."""
    return 'if __name__ == "__main__":\n' + _indented(text)


def under_another_name(text: str) -> str:
    """The text with torch imported under a shorter name."""
    text = re.sub(r"(?m)^(\s*)import torch$", r"\1import torch as tc", text)
    return re.sub(r"(?<![\w.])(?<!import )(?<!from )torch\.", "tc.", text)


def with_other_layers(text: str) -> str:
    """The text with torch.nn imported under another name."""
    text = re.sub(r"(?m)^(\s*from torch import )nn$", r"\1nn as tnn", text)
    text = re.sub(r"(?m)^(\s*import torch\.nn as )nn$", r"\1tnn", text)
    return re.sub(r"(?<![\w.])(?<!import )nn\.(?=[A-Za-z])", "tnn.", text)


def _indented(text: str) -> str:
    """The text one level deeper, where black leaves no two empty lines."""
    return textwrap.indent(re.sub(r"\n{3,}", "\n\n", text), "    ")


#: Only spelled in another way.
SPELLINGS = (with_crlf, under_another_name, with_other_layers)
VARIANTS = (*SPELLINGS, in_a_function, in_a_branch)


# -- running ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What became of a snippet: its module-level names, and what it raised, if anything."""

    names: dict[str, Any]
    error: BaseException | None

    def shown(self, *prefixes: str) -> dict[str, Any]:
        """The names the snippet shows under these prefixes."""
        return {name: value for name, value in self.names.items() if name.startswith(prefixes)}


def run(text: str) -> Run:
    """Execute a snippet in a namespace of its own, seeded, and leave torch's state as it was."""
    names: dict[str, Any] = {"__name__": "__main__"}
    error: BaseException | None = None
    dtype, grad_mode = torch.get_default_dtype(), torch.is_grad_enabled()
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            exec(compile(text, "<snippet>", "exec"), names)
        except Exception as caught:
            error = caught
        finally:
            torch.set_default_dtype(dtype)
            torch.set_grad_enabled(grad_mode)
    return Run(names, error)


def same(one: Any, other: Any) -> bool:
    """Whether two shown values are equal, also in type, shape and element type."""
    if isinstance(one, torch.Tensor) or isinstance(other, torch.Tensor):
        return (
            isinstance(one, torch.Tensor)
            and isinstance(other, torch.Tensor)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and torch.allclose(one.detach(), other.detach(), rtol=1e-6, atol=1e-7, equal_nan=True)
        )
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def missing(value: Any) -> bool:
    """Whether a shown gradient, or one of several, is not there."""
    if isinstance(value, (list, tuple)):
        return any(map(missing, value))
    return value is None
