"""What a failed check compared: the values on both sides, from the frame that raised.

``assert x.shape[1] == self.height * self.width`` says which size is wanted without a word.
"""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

from gradfix.verify.source import conditions_around, enclosing_test, statement_at
from gradfix.verify.uses import name_of

_TORCH = str(Path(torch.__file__).parent)
_EQUAL = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_CALLS = frozenset({"len", "int", "size", "dim", "numel", "tuple", "list"})


def compared(error: Exception) -> list[tuple[int, int]]:
    """Pairs of numbers, what was there and what the check wanted, of an assertion or a raise.

    For ``a % b == 0`` the second is the next multiple of ``b``.
    """
    found: list[tuple[int, int]] = []
    for node, frame in _checks(error):
        left, right = node.left, node.comparators[0]
        if isinstance(left, ast.BinOp) and isinstance(left.op, ast.Mod):
            number, by = _value(left.left, frame), _value(left.right, frame)
            if type(number) is int and type(by) is int and 0 < by < 4096 and number % by:
                found.append((number, (number // by + 1) * by))
            continue
        if _is_rank(left) or _is_rank(right):
            continue
        one, other = _value(left, frame), _value(_mangled(right, frame), frame)
        several = isinstance(node.ops[0], (ast.In, ast.NotIn))
        several = several and isinstance(other, (list, tuple, dict, set))
        for each in list(other)[:3] if several else [other]:
            found += _pairs(one, each)
    return list(dict.fromkeys(found))


def ranks_compared(error: Exception) -> list[int]:
    """The numbers of dimensions that a check asks for."""
    found: list[int] = []
    for node, frame in (*_checks(error), *_told_apart(error)):
        sides = [node.left, node.comparators[0]]
        for side, other in (sides, sides[::-1]):
            if _is_rank(side):
                value = _value(other, frame)
                several = value if isinstance(value, (list, tuple)) else [value]
                found += [rank for rank in several if type(rank) is int]
    return list(dict.fromkeys(found))


def _told_apart(error: Exception) -> Iterator[tuple[ast.Compare, FrameType]]:
    """What the conditions of an ``if`` chain compare whose ``else`` raised."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames or frames[-1][0].f_code.co_filename.startswith(_TORCH):
        return
    frame, row = frames[-1]
    for test in conditions_around(frame.f_code.co_filename, row):
        yield from ((n, frame) for n in ast.walk(test) if isinstance(n, ast.Compare))


def _is_rank(side: ast.expr) -> bool:
    endings = (".dim()", ".ndim", ".ndimension()", ".shape)", ".size())")
    return ast.unparse(side).endswith(endings)


def lacks_value(error: Exception) -> bool:
    """Whether the check was for None."""
    test = _test(error)
    return test is not None and "None" in ast.unparse(test[0])


def keys_of_table(error: Exception) -> list[Any]:
    """The words or numbers that the table of the failing line knows; none where there is none."""
    for frame, row in reversed(list(traceback.walk_tb(error.__traceback__))):
        statement = statement_at(frame.f_code.co_filename, row)
        for node in ast.walk(statement) if statement is not None else ():
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                table = _value(_mangled(node.value, frame), frame)
                if isinstance(table, dict):
                    return [key for key in table if type(key) in (int, str)]
    return []


def choices(error: Exception) -> list[tuple[str, Any, list[Any]]]:
    """What the conditions around a failed check compare: a name, its value, and the constants.

    Of ``if mode == "a": … elif mode in ("b", "c"): … else: raise`` that is all three words.
    """
    frames = [f for f in traceback.walk_tb(error.__traceback__) if f[0].f_code.co_name != "_assert"]
    if not frames or frames[-1][0].f_code.co_filename.startswith(_TORCH):
        return []
    frame, row = frames[-1]
    found: dict[str, tuple[Any, list[Any]]] = {}
    for test in conditions_around(frame.f_code.co_filename, row):
        for node in ast.walk(test):
            if not isinstance(node, ast.Compare):
                continue
            for side, other in ((node.left, node.comparators[0]), (node.comparators[0], node.left)):
                if name := name_of(side):
                    value = _value(_mangled(side, frame), frame)
                    known = found.setdefault(name, (value, []))[1]
                    known += [each for each in _constants(other) if each not in known]
    return [(name, value, known) for name, (value, known) in found.items() if known]


def raised_by_code(error: Exception) -> bool:
    """Whether the code raised it itself, by an assertion or a ``raise``, and not torch."""
    frames = [f for f in traceback.walk_tb(error.__traceback__) if f[0].f_code.co_name != "_assert"]
    if not frames or frames[-1][0].f_code.co_filename.startswith(_TORCH):
        return False
    frame, row = frames[-1]
    statement = statement_at(frame.f_code.co_filename, row)
    return isinstance(error, AssertionError) or isinstance(statement, (ast.Assert, ast.Raise))


def types_wanted(error: Exception) -> list[tuple[str, list[type]]]:
    """What a failed ``isinstance`` is about: names of values, and the classes they may be of."""
    found = _test(error)
    wanted: list[tuple[str, list[type]]] = []
    for node in ast.walk(found[0]) if found is not None else ():
        if not isinstance(node, ast.Call) or ast.unparse(node.func) != "isinstance":
            continue
        name = name_of(node.args[0]) if len(node.args) == 2 else None
        if name is not None and found is not None:
            value = _value(node.args[1], found[1])
            several = value if isinstance(value, tuple) else (value,)
            wanted.append((name, [each for each in several if isinstance(each, type)]))
    return wanted


def _constants(node: ast.expr) -> list[Any]:
    parts = node.elts if isinstance(node, (ast.Tuple, ast.List, ast.Set)) else [node]
    return [part.value for part in parts if isinstance(part, ast.Constant)]


def names_in_check(error: Exception) -> set[str]:
    """The names in the condition behind an error that the code raised itself."""
    test = _test(error)
    nodes = ast.walk(test[0]) if test is not None else ()
    return {name for node in nodes if (name := name_of(node))}


def _mangled(node: ast.expr, frame: FrameType) -> ast.expr:
    """A private attribute under the name that Python gives it inside its class."""
    if not isinstance(node, ast.Attribute) or not node.attr.startswith("__"):
        return node
    for owner in type(frame.f_locals.get("self")).__mro__:
        name = f"_{owner.__name__.lstrip('_')}{node.attr}"
        if name in vars(owner):
            return ast.copy_location(ast.Attribute(node.value, name, ast.Load()), node)
    return node


def _pairs(one: Any, other: Any) -> Iterator[tuple[int, int]]:
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        if len(one) == len(other) <= 6:
            for first, second in zip(one, other, strict=True):
                yield from _pairs(first, second)
    elif type(one) is int and type(other) is int and one != other:
        yield one, other


def _checks(error: Exception) -> Iterator[tuple[ast.Compare, FrameType]]:
    found = _test(error)
    for node in ast.walk(found[0]) if found is not None else ():
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (*_EQUAL, ast.In, ast.NotIn)):
            assert found is not None
            yield node, found[1]


def _test(error: Exception) -> tuple[ast.expr, FrameType] | None:
    """The condition behind an error that the code raised itself, with the frame it stands in."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return None
    handed_on = frames[-1][0].f_code.co_name == "_assert"  # of torch, for code that is traced
    if handed_on and len(frames) > 1:
        frames.pop()
    frame, row = frames[-1]
    file = frame.f_code.co_filename
    if file.startswith(_TORCH) or not file.endswith(".py"):
        return None
    statement = statement_at(file, row)
    if isinstance(statement, ast.Assert):
        return statement.test, frame
    if handed_on and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return (statement.value.args[0], frame) if statement.value.args else None
    test = enclosing_test(file, row) if isinstance(statement, ast.Raise) else None
    return None if test is None else (test, frame)


def _value(node: ast.expr, frame: FrameType) -> Any:
    """The value of an expression that only looks things up and counts; None for any other."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            function = part.func
            name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
            if name not in _CALLS:
                return None
        elif isinstance(part, (ast.NamedExpr, ast.Await, ast.Yield, ast.Lambda, ast.comprehension)):
            return None
    code: CodeType = compile(ast.Expression(node), "<check>", "eval")
    try:
        return eval(code, frame.f_globals, frame.f_locals)
    except Exception:  # what it looks up may be a property that raises; then nothing is known
        return None
