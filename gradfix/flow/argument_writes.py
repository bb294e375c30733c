"""Writes in place that a function makes to what it is given, whenever it runs, and whom they meet.

A function that ends with ``t *= 2`` changes its caller's tensor. What goes wrong by that depends on
the caller: on what an operation has kept of the tensor, and on whether it is a leaf. So the write
is noted twice: in the function, as something that it does to an argument, and for each call, with
the tensor that is handed in. Writes on some paths only are left out: a caller may avoid them.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gradfix.flow.state import Event, GradMode, Saved, Scope
from gradfix.flow.values import Value, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(eq=False, slots=True)
class ArgumentWrite(Event):
    """A write to the argument ``argument`` of a function, at ``node`` in it or further inside.

    ``scope`` and ``statement`` are those of ``node``; the rest is as for `Write`. ``depth`` counts
    the calls on the way from the function to the write.
    """

    argument: ast.arg
    base: ast.expr
    how: str
    op: str
    values: tuple[Value, ...]
    depth: int = 0


@dataclass(eq=False, slots=True)
class HandedWrite(Event):
    """A call, at ``node``, that hands a tensor to a function which writes to it in place.

    ``target`` is the tensor, ``base`` the expression that names it, ``called`` the function;
    ``overwritten`` are saved tensors whose version the write invalidates.
    """

    target: Value
    base: ast.expr
    write: ArgumentWrite
    called: Value
    overwritten: tuple[Saved, ...]


def written_arguments(scope: Scope) -> tuple[ArgumentWrite, ...]:
    """What a function that has been interpreted writes to its arguments, whenever it runs."""
    if any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node, _ in scope.returns):
        return ()  # its body runs later, if at all
    writes = (write for write in scope.argument_writes if isinstance(write, ArgumentWrite))
    return tuple({write.node: write for write in writes}.values())


def always_runs(path: Iterable[ast.AST], scope: Scope) -> bool:
    """Whether what stands here runs whenever its function does; loops are taken to turn."""
    return not scope.returns and all(isinstance(at, (ast.For, ast.AsyncFor)) for at in path)


def argument_of(target: Value, scope: Scope) -> ast.arg | None:
    """The argument of a function that a value certainly is, as it came in; None for others."""
    node = target.node
    if not isinstance(node, ast.arg) or target.op:
        return None
    known = scope.arguments.get(node.arg)
    return node if known is not None and known.node is node else None


#: How many calls inside each other are looked through for a write.
_DEEPEST = 4


def handed_on(
    write: ArgumentWrite, argument: ast.arg, values: tuple[Value, ...]
) -> ArgumentWrite | None:
    """The write as one of a function that only hands its own argument on; None if far inside."""
    if write.depth >= _DEEPEST or write.mode is not GradMode.ON:
        return None
    return replace(write, argument=argument, values=values, depth=write.depth + 1)


def seen_from_afar(write: ArgumentWrite, node: ast.AST) -> ArgumentWrite:
    """The write as another file sees it, by what stands there for its place."""
    values = (v if isinstance(v.node, ast.arg) else unknown() for v in write.values)
    return replace(write, node=node, values=tuple(values))
