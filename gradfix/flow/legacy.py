"""Facts about code written for PyTorch 0.3."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow.module import ModuleFlow
from gradfix.flow.queries import captured, reaching
from gradfix.flow.state import Backward, Call, Definition, GradRead, Scope
from gradfix.flow.values import Kind

_FUNCTIONS = frozenset({"torch.autograd.Function", "torch.autograd.function.Function"})


@dataclass(frozen=True, slots=True)
class VariableImport:
    """``from torch.autograd import Variable``, its uses, and the statement without it."""

    statement: ast.ImportFrom
    uses: tuple[ast.Name, ...]
    without: str


def variable_import(flow: ModuleFlow) -> VariableImport | None:
    """The one import of ``Variable``, where nothing but plain uses of the name needs it."""
    found: list[tuple[ast.ImportFrom, ast.alias]] = [
        (statement, alias)
        for statement in ast.walk(flow.tree)
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if alias.name == "Variable" and (statement.module or "").startswith("torch.autograd")
    ]
    if len(found) != 1:
        return None
    ((statement, alias),) = found
    if len(flow.block_of(statement)) == 1 or isinstance(flow.parents[statement], ast.Try):
        return None  # the block, or who asks whether there is such a name, needs it
    name = alias.asname or alias.name
    uses = []
    for node in ast.walk(flow.tree):
        if isinstance(node, ast.Name) and node.id == name:
            if not isinstance(node.ctx, ast.Load):
                return None
            uses.append(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if re.search(rf"\b{name}\b", node.value) and not _is_docstring(flow, node):
                return None
    others = [a for a in statement.names if a is not alias]
    kept = ", ".join(a.name + (f" as {a.asname}" if a.asname else "") for a in others)
    without = f"from {statement.module} import {kept}" if others else ""
    return VariableImport(statement, tuple(uses), without)


def _is_docstring(flow: ModuleFlow, node: ast.Constant) -> bool:
    return isinstance(flow.parents.get(node), ast.Expr)


def first_elements(flow: ModuleFlow) -> Iterator[tuple[ast.Subscript, ast.expr]]:
    """Every read of ``x.data[0]``, with ``x``."""
    for node in ast.walk(flow.tree):
        if not isinstance(node, ast.Subscript) or not isinstance(node.ctx, ast.Load):
            continue
        at, base = node.slice, node.value
        if isinstance(at, ast.Constant) and at.value == 0 and at.value is not False:
            if isinstance(base, ast.Attribute) and base.attr == "data":
                yield node, base.value


def old_functions(flow: ModuleFlow) -> Iterator[tuple[ast.ClassDef, ast.FunctionDef]]:
    """Subclasses of ``autograd.Function`` that keep state in instances, which are called.

    Methods that only lack ``@staticmethod`` work with ``.apply``.
    """
    for node in ast.walk(flow.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        if not any(flow.value(base).name in _FUNCTIONS for base in node.bases):
            continue
        if not _has_instances(flow, node):
            continue
        late = {
            target.id
            for statement in node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
        for item in node.body:
            if isinstance(item, ast.FunctionDef) and item.name in ("forward", "backward"):
                if not item.decorator_list and item.name not in late:
                    yield node, item
                    break


def _has_instances(flow: ModuleFlow, node: ast.ClassDef) -> bool:
    """Whether the class has a constructor, or the file makes an object of it."""
    if any(isinstance(item, ast.FunctionDef) and item.name == "__init__" for item in node.body):
        return True
    return any(
        isinstance(part, ast.Call) and flow.value(part.func).definition is node
        for part in ast.walk(flow.tree)
    )


def zeroed_too_early(flow: ModuleFlow) -> Iterator[tuple[GradRead, ast.AST]]:
    """``w.grad.zero_()`` that certainly runs before the first backward, with that backward."""
    for read in flow.all(GradRead):
        if read.store or not isinstance(read.base, ast.Name) or not _is_zeroed(flow, read):
            continue
        definitions = reaching(read.scope, read.base)
        if len(definitions) != 1:
            continue
        (definition,) = definitions
        later = _first_backward_after(flow, read, definition)
        if later is not None and not _may_have_gradient(flow, read, definition):
            yield read, later


def _is_zeroed(flow: ModuleFlow, read: GradRead) -> bool:
    """Whether the read is the start of a statement ``w.grad.zero_()`` that nothing guards."""
    node = flow.parents.get(read.node)
    if isinstance(node, ast.Attribute) and node.attr == "data":
        node = flow.parents.get(node)
    if not isinstance(node, ast.Attribute) or node.attr != "zero_":
        return False
    around = flow.parents.get(read.statement)
    while around is not None and around is not read.scope.node:
        if not isinstance(around, (ast.For, ast.While, ast.With)):
            return False
        around = flow.parents.get(around)
    return isinstance(read.statement, ast.Expr)


def _first_backward_after(
    flow: ModuleFlow, read: GradRead, definition: Definition
) -> ast.AST | None:
    """The first backward of the scope, if it comes after the read and all others do, too."""
    found = [b.node for b in flow.all(Backward) if b.scope is read.scope]
    first = min(found, key=flow.span, default=None)
    if first is None or flow.span(first) < flow.span(read.node):
        return None
    return first if definition.value.is_leaf and definition.how == "assign" else None


def _may_have_gradient(flow: ModuleFlow, read: GradRead, definition: Definition) -> bool:
    """Whether something between the leaf's making and the read may give it a gradient."""
    scope: Scope = read.scope
    name = definition.name
    if captured(flow, scope, name) is not None or name in flow.shared_names or scope.escapes:
        return True
    if not isinstance(definition.statement, ast.Assign) or definition.loops:
        return True
    if definition.value.node is not definition.statement.value:
        return True  # another name may hold it
    start, end = flow.span(definition.node), flow.span(read.node)
    for call in flow.all(Call):
        if call.scope is not scope or not start < flow.span(call.node) < end:
            continue
        if call.name.startswith((".", "torch.", "builtins.")) and "backward" not in call.name:
            continue
        if any(v is definition.value or v.kind is Kind.SEQUENCE for v in call.arguments):
            return True
    return any(
        other.store and other.scope is scope and isinstance(other.base, ast.Name)
        and other.base.id == name
        for other in flow.all(GradRead)
    )  # fmt: skip
