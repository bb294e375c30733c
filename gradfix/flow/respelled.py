"""Other spellings of attributes, methods and items, read as the usual ones.

``getattr(x, "w")`` is ``x.w``, ``setattr(x, "w", v)`` is ``x.w = v``, ``x.__setitem__(i, v)`` is
``x[i] = v``, and ``torch.Tensor.exp(x)`` is ``x.exp()``. What is made has the place of the whole
call, so that its text in the file is the call.
"""

from __future__ import annotations

import ast
import bisect
import keyword
import re
from collections.abc import Iterator

from gradfix.flow.nodes import walk

#: Each begins with a word to look for: alternatives would be tried at every character.
_LOOKUPS = re.compile(r"getattr\([^()\n]+,\s*[\"']\w+[\"']\s*\)")
_UNBOUND = re.compile(r"Tensor\.\w+\(")


def expressions(tree: ast.Module, text: str) -> None:
    """Read calls of ``getattr`` and of methods without an object as what they stand for."""
    places = [found.start() for found in _LOOKUPS.finditer(text)] if "getattr(" in text else []
    if "Tensor." in text:
        places += [found.start() for found in _UNBOUND.finditer(text)]
    rows = rows_of(text, sorted(places))
    torches = _names_of_torch(tree) if rows else set()
    for statement in _around(tree.body, rows) if "\r" not in text else tree.body:
        _respell(statement, torches)


def rows_of(text: str, places: list[int]) -> list[int]:
    """The rows of places in a text, both in order."""
    rows: list[int] = []
    row, at = 1, 0
    for place in places:
        row, at = row + text.count("\n", at, place), place
        rows.append(row)
    return rows


def reaches(statement: ast.stmt, rows: list[int]) -> bool:
    """Whether one of these rows, which are in order, is one of a statement's."""
    at = bisect.bisect_left(rows, statement.lineno)
    return at < len(rows) and rows[at] <= (statement.end_lineno or statement.lineno)


def _around(body: list[ast.stmt], rows: list[int]) -> Iterator[ast.stmt]:
    """The statements, and those of classes one by one, that reach over one of the rows."""
    for statement in body if rows else ():
        if reaches(statement, rows):
            if isinstance(statement, ast.ClassDef):
                yield from _around(statement.body, rows)
            else:
                yield statement


def _respell(statement: ast.stmt, torches: set[str]) -> None:
    for node in walk(statement):
        if isinstance(node, ast.Call) and node.args:
            method = _unbound(node, torches)
            if method is not None:
                node.func, node.args = method, node.args[1:]
        for name, value in ast.iter_fields(node):
            if isinstance(value, ast.Call):
                setattr(node, name, _attribute(value) or value)
            elif value.__class__ is list:
                for at, item in enumerate(value):
                    if isinstance(item, ast.Call):
                        value[at] = _attribute(item) or item


def _names_of_torch(tree: ast.Module) -> set[str]:
    """What the file may call ``torch``."""
    return {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "torch"
    }


def _unbound(call: ast.Call, torches: set[str]) -> ast.Attribute | None:
    """``x.exp`` for ``torch.Tensor.exp(x)``."""
    func = call.func
    if not isinstance(func, ast.Attribute) or isinstance(call.args[0], ast.Starred):
        return None
    owner = func.value
    if not isinstance(owner, ast.Attribute) or owner.attr != "Tensor":
        return None
    if not isinstance(owner.value, ast.Name) or owner.value.id not in torches:
        return None
    made = ast.Attribute(value=call.args[0], attr=func.attr, ctx=ast.Load())
    return ast.copy_location(made, call)


def _attribute(call: ast.Call) -> ast.Attribute | None:
    """``x.w`` for ``getattr(x, "w")``."""
    name = _named(call, "getattr", 2)
    if name is None:
        return None
    return ast.copy_location(ast.Attribute(value=call.args[0], attr=name, ctx=ast.Load()), call)


def _named(call: ast.Call, function: str, count: int) -> str | None:
    """The attribute that a call of ``getattr`` or ``setattr`` names, where it is written there."""
    if not isinstance(call.func, ast.Name) or call.func.id != function or call.keywords:
        return None
    if len(call.args) != count or not isinstance(call.args[1], ast.Constant):
        return None
    name = call.args[1].value
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("__"):
        return None
    return None if keyword.iskeyword(name) else name


def may_bind(text: str) -> bool:
    """Whether a text may have calls that stand for assignments."""
    return "setattr(" in text or "setitem" in text


def as_assignment(statement: ast.Expr) -> ast.Assign | None:
    """``x.w = v`` for ``setattr(x, "w", v)``, ``x[i] = v`` for ``x.__setitem__(i, v)``."""
    call = statement.value
    if not isinstance(call, ast.Call) or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    target: ast.expr
    name = _named(call, "setattr", 3)
    func, args = call.func, call.args
    if name is not None:
        target = ast.Attribute(value=args[0], attr=name, ctx=ast.Store())
    elif not isinstance(func, ast.Attribute) or call.keywords:
        return None
    elif func.attr == "__setitem__" and len(args) == 2 and not _is_super(func.value):
        target = ast.Subscript(value=func.value, slice=args[0], ctx=ast.Store())
    elif func.attr == "setitem" and len(args) == 3 and _is_operator(func.value):
        target = ast.Subscript(value=args[0], slice=args[1], ctx=ast.Store())
    else:
        return None
    made = ast.Assign(targets=[ast.copy_location(target, call)], value=args[-1])
    return ast.copy_location(made, statement)


def _is_super(node: ast.expr) -> bool:
    return isinstance(node, ast.Call)


def _is_operator(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "operator"
