"""What a call's inputs hold, read with the module at hand: keys of dicts, lengths of lists.

Once the module is built, ``inputs[properties.Z]`` and ``inputs[self.key]`` say which key is read,
and ``zip(self.heads, features)`` how many features there are. What is handed on to methods and
parts of the module is followed.
"""

from __future__ import annotations

import ast
import copy
import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

from gradfix.verify.source import tree_of, uses_of_code
from gradfix.verify.uses import Use

_DEEP = 4
_MOST = 8
_LOOKS_UP = frozenset({"get", "pop", "setdefault"})
Loop = ast.For | ast.comprehension


def read_structure(module: nn.Module, method: str) -> dict[str, Use]:
    """The uses of every name in a method, with the keys and lengths that the module tells."""
    function = getattr(type(module), method, None)
    found = {name: copy.deepcopy(use) for name, use in uses_of_code(function).items()}
    node = _definition(function)
    for name in _parameters(node) if node is not None else ():
        use = found.setdefault(name, Use())
        if node is not None:
            use.keys -= _written_first(node, name, module, function)
        use.keys |= _keys(module, function, name, 0)
        beside = parts_beside(module, method, name)
        if len(beside) > max(use.highest, use.unpacked):
            use.highest = len(beside)
            use.whole = 0  # what is done with the list is done with its elements
    return found


def parts_beside(module: nn.Module, method: str, name: str) -> list[Any]:
    """The parts of the module that a loop goes through together with one input; none without."""
    node = _definition(getattr(type(module), method, None))
    if node is None:
        return []
    for loop in _loops(node):
        indices = _names(loop.target)
        if not _goes_through(loop, indices, name, node):
            continue
        for path in _own_lists(loop, indices, name, node):
            value = vars(module).get(path, module._modules.get(path))
            if isinstance(value, (nn.ModuleList, list, tuple)) and 1 < len(value) <= _MOST:
                return list(value)
    return []


def _keys(module: nn.Module, function: Any, name: str, depth: int) -> set[str]:
    """The words that a function looks up in what it is given under a name."""
    node = _definition(function)
    if node is None or depth > _DEEP:
        return set()
    found: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and _is_name(part.value, name):
            if isinstance(part.ctx, ast.Load):
                found |= _word(part.slice, module, function)
        elif isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
            if _is_name(part.func.value, name) and part.func.attr in _LOOKS_UP and part.args:
                found |= _word(part.args[0], module, function) if len(part.args) == 1 else set()
            elif part.func.attr != "append":
                found |= _handed_on(module, part, name, depth)
    return found - _written_first(node, name, module, function)


def _written_first(node: ast.FunctionDef, name: str, module: nn.Module, function: Any) -> set[str]:
    """The keys that a function writes before it reads them: they need not be there."""
    read: dict[str, int] = {}
    written: dict[str, int] = {}
    for statement in [n for n in ast.walk(node) if isinstance(n, ast.stmt)]:
        inside = ast.walk(statement) if isinstance(statement, (ast.Assign, ast.Expr)) else ()
        for part in [n for n in inside if isinstance(n, ast.Subscript)]:
            if not _is_name(part.value, name):
                continue
            first, row = (read, part.lineno)
            if isinstance(part.ctx, ast.Store):  # after what is on the right of it
                first, row = written, (statement.end_lineno or part.lineno) + 1
            for key in _word(part.slice, module, function):
                first[key] = min(row, first.get(key, row))
    return {key for key, row in written.items() if row <= read.get(key, row)}


def _handed_on(module: nn.Module, call: ast.Call, name: str, depth: int) -> set[str]:
    """The keys that a method or a part of the module reads in what it gets from here."""
    path = ast.unparse(call.func)
    places = [i for i, argument in enumerate(call.args) if _is_name(argument, name)]
    if not path.startswith("self.") or path.count(".") > 1 or not places:
        return set()
    part = module._modules.get(path[5:])
    owner, function = (
        (module, getattr(type(module), path[5:], None))
        if part is None
        else (part, getattr(type(part), "forward", None))
    )
    node = _definition(function)
    if node is None or type(owner).__module__.startswith("torch."):
        return set()
    names = _parameters(node)
    return {
        key
        for place in places
        if place < len(names)
        for key in _keys(owner, function, names[place], depth + 1)
    }


def _word(node: ast.expr, module: nn.Module, function: Any) -> set[str]:
    """The word that a key is, where it is one: a constant, an attribute, a name of the file."""
    if isinstance(node, ast.Constant):
        return {node.value} if isinstance(node.value, str) else set()
    path = ast.unparse(node).split(".")
    if not all(each.isidentifier() for each in path):
        return set()
    value: Any = module if path[0] == "self" else getattr(function, "__globals__", {}).get(path[0])
    for each in path[1:]:
        held = getattr(value, "__dict__", {})
        value = held[each] if each in held else inspect.getattr_static(value, each, None)
    return {value} if isinstance(value, str) else set()


def _loops(node: ast.FunctionDef) -> Iterator[Loop]:
    for part in ast.walk(node):
        if isinstance(part, (ast.For, ast.comprehension)):
            yield part


def _goes_through(loop: Loop, indices: set[str], name: str, node: ast.FunctionDef) -> bool:
    """Whether a loop takes one element of an input after the other."""
    if any(_is_name(each, name) for each in ast.walk(loop.iter)):
        calls = [n for n in ast.walk(loop.iter) if isinstance(n, ast.Call)]
        if {ast.unparse(c.func) for c in calls} <= {"zip", "enumerate", "reversed"}:
            return True
    return any(_is_name(each.value, name) for each in _by_index(indices, node))


def _own_lists(loop: Loop, indices: set[str], name: str, node: ast.FunctionDef) -> Iterator[str]:
    """The attributes whose elements the loop takes; what gets the input's elements comes first."""
    pairs = dict(_zipped(loop))
    elements = {n for n, source in pairs.items() if _is_name(source, name)}
    for call in [n for n in ast.walk(node) if isinstance(n, ast.Call) and n.args]:
        given = call.args[0]
        by_index = isinstance(given, ast.Subscript) and _is_name(given.value, name)
        if not by_index and not (isinstance(given, ast.Name) and given.id in elements):
            continue
        func = call.func.value if isinstance(call.func, ast.Subscript) else call.func
        func = pairs.get(func.id, func) if isinstance(func, ast.Name) else func
        if isinstance(func, ast.Attribute) and _is_name(func.value, "self"):
            yield func.attr
    for each in [*ast.walk(loop.iter), *(part.value for part in _by_index(indices, node))]:
        if isinstance(each, ast.Attribute) and _is_name(each.value, "self"):
            yield each.attr


def _zipped(loop: Loop) -> Iterator[tuple[str, ast.expr]]:
    """The names that a loop gives to the elements of what it goes through, with that."""
    target, source = loop.target, loop.iter
    if isinstance(source, ast.Call) and ast.unparse(source.func) == "enumerate" and source.args:
        if not isinstance(target, ast.Tuple) or len(target.elts) != 2:
            return
        target, source = target.elts[1], source.args[0]
    if isinstance(source, ast.Call) and isinstance(target, ast.Tuple):
        for one, other in zip(target.elts, source.args, strict=False):
            if isinstance(one, ast.Name):
                yield one.id, other
    elif isinstance(target, ast.Name):
        yield target.id, source


def _by_index(indices: set[str], node: ast.FunctionDef) -> Iterator[ast.Subscript]:
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript) and isinstance(part.slice, ast.Name):
            if part.slice.id in indices:
                yield part


def _names(target: ast.expr) -> set[str]:
    return {part.id for part in ast.walk(target) if isinstance(part, ast.Name)}


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _definition(function: Any) -> ast.FunctionDef | None:
    tree = tree_of(getattr(function, "__wrapped__", function))
    node = tree.body[0] if tree is not None and tree.body else None
    return node if isinstance(node, ast.FunctionDef) else None


def _parameters(node: ast.FunctionDef) -> list[str]:
    return [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg != "self"]
