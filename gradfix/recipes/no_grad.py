"""An update of a leaf or a buffer, put under ``torch.no_grad()``."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.names import spelling
from gradfix.flow.state import Scope
from gradfix.model import Edit, EditKind


def no_grad_in(flow: ModuleFlow, scope: Scope) -> str:
    """How a scope spells ``torch.no_grad``. Raises NotFixable where the file has no name for it."""
    name = spelling(flow, scope, "torch.no_grad")
    if name is None:
        raise NotFixable("the file has no name for torch.no_grad")
    return name


def under_no_grad(
    flow: ModuleFlow, scope: Scope, statement: ast.stmt, body: str | None = None
) -> Edit:
    """A statement, or one line that does its work, under ``torch.no_grad()``.

    Raises NotFixable without a name for it, for a statement of several lines that is kept, and for
    one of several statements on one line: a block cannot take its place.
    """
    no_grad = no_grad_in(flow, scope)
    if _shares_its_line(flow, statement):
        raise NotFixable("several statements stand on one line")
    if body is None:
        body = flow.source_of(statement)
        if "\n" in body:
            raise NotFixable("the statement spans several lines")
    return Edit(EditKind.STATEMENT, flow.span(statement), f"with {no_grad}():\n    {body}")


def _shares_its_line(flow: ModuleFlow, statement: ast.stmt) -> bool:
    span = flow.span(statement)
    before = flow.lines[span.row - 1][: span.column - 1].rstrip()
    behind = flow.lines[span.end_row - 1][span.end_column - 1 :].lstrip()
    more = behind.startswith(";") and behind[1:].lstrip()[:1] not in ("", "#")
    return before.endswith(";") or more
