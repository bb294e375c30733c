"""Edits of the parts of a statement, made edits of the whole statement in the text.

What replaces one part stands in its place among the others, each a statement of its own by then.
That is the same only where no part needs what was there before another one; else there is no fix.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from gradfix.flow.apart import together
from gradfix.flow.facts import Facts
from gradfix.flow.nodes import walk
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind
from gradfix.model import Edit, EditKind, Finding, Span

_REASON = "the statement does more than this, or binds other names, too"


def in_the_text(findings: Iterable[Finding], flow: Facts) -> Iterator[Finding]:
    """The findings, with fixes that edit what stands in the text."""
    apart: _Apart | None = None
    for finding in findings:
        fix = finding.fix
        if fix is not None:
            apart = apart or _Apart(flow)
            edits = apart.of_wholes(fix.edits)
            if edits is None:
                finding = replace(finding, fix=None, not_fixed_reason=_REASON)
            elif edits != fix.edits:
                finding = replace(finding, fix=replace(fix, edits=edits))
        yield finding


class _Apart:
    """What of a file was taken apart, by its place."""

    def __init__(self, flow: Facts) -> None:
        self._flow = flow
        self._parts: dict[Span, ast.Assign] = {}
        self._others: dict[Span, bool] = {}  # and whether a whole statement stands there
        for node in walk(flow.tree):
            if isinstance(node, ast.Assign) and together(node):
                self._parts[flow.span(node)] = node
            elif getattr(node, "apart", False):
                self._others[flow.span(node)] = not getattr(node, "inside", False)

    def of_wholes(self, edits: tuple[Edit, ...]) -> tuple[Edit, ...] | None:
        """Edits that do the same in the text; None where there are none."""
        made: list[Edit] = []
        replaced: dict[ast.Assign, dict[ast.Assign, Edit]] = {}
        for edit in edits:
            part = self._parts.get(edit.span)
            if part is None:
                before = edit.kind is EditKind.BEFORE and self._others.get(edit.span, True)
                if edit.span in self._others and not before:
                    return None
                made.append(edit)
            elif edit.kind is EditKind.BEFORE:
                made.append(replace(edit, span=self._span_of_whole(part)))
            else:
                replaced.setdefault(together(part)[0], {})[part] = edit
        for first, contents in replaced.items():
            text = self._one_by_one(together(first), contents)
            if text is None:
                return None
            made.append(Edit(EditKind.STATEMENT, self._span_of_whole(first), text))
        return tuple(made)

    def _span_of_whole(self, part: ast.Assign) -> Span:
        whole: ast.Assign = getattr(part, "whole")  # noqa: B009
        return self._flow.span(whole)

    def _one_by_one(
        self, parts: Sequence[ast.Assign], contents: dict[ast.Assign, Edit]
    ) -> str | None:
        """The parts as statements of their own; None where that is not certainly the same."""
        if all(part in contents and not contents[part].content for part in parts):
            alone = len(self._flow.block_of(parts[0])) == len(parts)
            return "pass" if alone else ""
        if not self._may_be_one_by_one(parts):
            return None
        plain = [self._flow.source_of(part) for part in parts]
        if any("\n" in text for text in plain):
            return None
        lines = [
            contents[part].content if part in contents else text
            for part, text in zip(parts, plain, strict=True)
        ]
        return "\n".join(filter(None, lines))

    def _may_be_one_by_one(self, parts: Sequence[ast.Assign]) -> bool:
        """Whether no part reads what an earlier one binds or writes into."""
        bound: set[str] = set()
        for part in parts:
            names = {
                node.id if isinstance(node, ast.Name) else node.attr
                for node in walk(part.value)
                if isinstance(node, (ast.Name, ast.Attribute))
            }
            calls = (node for node in walk(part.value) if isinstance(node, ast.Call))
            if names & bound or (bound and not all(map(self._looks_nowhere_else, calls))):
                return False
            target = part.targets[0]
            while isinstance(target, ast.Subscript):
                target = target.value
            if not isinstance(target, (ast.Name, ast.Attribute)):
                return False
            if getattr(part.value, "apart", False):
                return False
            bound.add(target.id if isinstance(target, ast.Name) else target.attr)
        return True

    def _looks_nowhere_else(self, call: ast.Call) -> bool:
        """Whether a call certainly sees what it is given alone, and no names of the file."""
        function = self._flow.value(call.func)
        if function.kind is Kind.REFERENCE:
            return function.name.startswith(("torch.", "builtins.", "numpy.", "math."))
        if not isinstance(call.func, ast.Attribute):
            return False
        owner = self._flow.value(call.func.value)
        named = owner.kind is Kind.UNKNOWN and op_facts(call.func.attr, "method") is not None
        return owner.is_tensor or named
