"""Which parameter of a function each argument of a call is for.

Methods are called in several ways: on an object, which is their first argument, by their class,
where a static method has no such argument, and with arguments that `functools.partial` has given.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from gradfix.flow.values import Kind, Value

T = TypeVar("T")
Defined = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def is_bound(function: Defined, owner: Value | None) -> bool:
    """Whether the first parameter stands for what the function was found on, ``owner``."""
    if owner is None or isinstance(function, ast.Lambda):
        return False
    names = {d.id for d in function.decorator_list if isinstance(d, ast.Name)}
    if "staticmethod" in names:
        return False
    return "classmethod" in names or owner.kind is Kind.INSTANCE


def matched(
    function: Defined,
    bound: bool,
    positional: Sequence[T | None],
    keywords: Iterable[tuple[str | None, T]],
) -> Iterator[tuple[ast.arg, T]]:
    """Each parameter that is certainly given, and what for; nothing is known behind ``*args``.

    ``positional`` holds None for an argument that is spread out.
    """
    known = [*function.args.posonlyargs, *function.args.args][int(bound) :]
    for parameter, value in zip(known, positional, strict=False):
        if value is None:
            break
        yield parameter, value
    by_name = {parameter.arg: parameter for parameter in (*known, *function.args.kwonlyargs)}
    for name, given in keywords:
        if name in by_name:
            yield by_name[name], given
