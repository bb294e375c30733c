"""What an operation is given, and which of its parameters each argument is for."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from gradfix.flow.torch_ops import ArgKind, Signature
from gradfix.flow.values import Kind, Role, Value


@dataclass(eq=False, slots=True)
class Argument:
    """One call argument: its keyword (None when positional), expression and value."""

    keyword: str | None
    node: ast.expr
    value: Value


Bound = dict[str, list[tuple[ast.AST, Value]]]

_ARGUMENT_KINDS: dict[Kind, ArgKind] = {
    Kind.TENSOR: "tensor",
    Kind.NUMBER: "number",
    Kind.SEQUENCE: "sequence",
    Kind.STRING: "string",
}


def spread(arguments: Sequence[Argument]) -> Sequence[Argument]:
    """The arguments with ``*known`` written out."""
    if "starred" not in [argument.value.name for argument in arguments]:
        return arguments
    found: list[Argument] = []
    for argument in arguments:
        items = argument.value.items if argument.value.name == "starred" else None
        if items is None:
            found.append(argument)
        else:
            found += [Argument(None, argument.node, item) for item in items]
    return found


def requires_grad_role(value: Value) -> Role:
    """The role given by the argument of ``requires_grad=``."""
    if value.const is True:
        return Role.LEAF
    if value.const is False:
        return Role.UNTRACKED
    return Role.LEAF | Role.UNTRACKED


def bind(signature: Signature, arguments: Sequence[Argument]) -> Bound:
    """Match arguments to parameters; a tensor list contributes one entry per known item."""
    bound: Bound = {}
    params = signature.positional
    at = 0
    for argument in arguments:
        if argument.keyword is not None:
            param = signature.param(argument.keyword)
            name = param.name if param is not None else argument.keyword
        elif at < len(params):
            name = params[at].name
            at += 1
        else:
            # More positional arguments than parameters: sizes given one by one.
            name = params[-1].name if params else ""
        value = argument.value
        if value.kind is Kind.SEQUENCE and name in signature.tensors:
            nodes = argument.node.elts if isinstance(argument.node, (ast.List, ast.Tuple)) else []
            if value.items is not None:
                same = len(nodes) == len(value.items)
                bound.setdefault(name, []).extend(
                    (nodes[i] if same else argument.node, item)
                    for i, item in enumerate(value.items)
                )
                continue
            if value.element is not None:
                bound.setdefault(name, []).append((argument.node, value.element))
                continue
        bound.setdefault(name, []).append((argument.node, value))
    return bound


def argument_kind(value: Value) -> ArgKind:
    """What an argument is, in the terms by which PyTorch's overloads are chosen."""
    if value.const is None and value.kind is Kind.FOREIGN and value.name == "constant":
        return "none"
    if isinstance(value.const, bool):
        return "bool"
    return _ARGUMENT_KINDS.get(value.kind, "unknown")
