"""A write that destroys a saved value is made out of place, or the saved value is cloned."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.aliases import is_refused_view, other_holders
from gradfix.flow.names import spelling
from gradfix.flow.queries import keeps_dtype
from gradfix.flow.source_text import OPERATORS, bracketed
from gradfix.flow.state import GradMode, Saved, Write
from gradfix.flow.torch_ops import op_facts
from gradfix.model import Edit, EditKind, Fix

#: Up to this length a vector with one new element is written out with ``stack``.
_SHORT = 4


def without_flag(flow: ModuleFlow, call: ast.Call) -> str:
    """The constructor's call without ``inplace=True``, which is its last positional argument.

    Raises NotFixable where its text cannot be written anew.
    """
    given = [keyword for keyword in call.keywords if keyword.arg != "inplace"]
    plain = list(call.args)
    if len(given) == len(call.keywords):
        plain.pop()
    if any(keyword.arg is None for keyword in given) or any(
        isinstance(argument, ast.Starred) for argument in plain
    ):
        raise NotFixable("not all of its arguments are visible")
    if "\n" in flow.source_of(call):
        raise NotFixable("the call spans several lines")
    arguments = ", ".join(flow.source_of(argument) for argument in [*plain, *given])
    return f"{flow.source_of(call.func)}({arguments})"


def without_overwriting(flow: ModuleFlow, write: Write, saved: list[Saved]) -> Fix:
    """The smallest change that keeps the forward values and lets backward pass.

    Raises NotFixable, with the reason, where there is none.
    """
    if write.mode is GradMode.ON:  # elsewhere the new tensor would have no history
        for form in (out_of_place, _one_slot):
            try:
                return form(flow, write)
            except NotFixable:
                continue
    if is_refused_view(write):
        raise NotFixable("one of several views is written, which raises whatever else is mended")
    return _clone_saved(flow, write, saved)


def out_of_place(flow: ModuleFlow, write: Write) -> Fix:
    """``x += y`` becomes ``x = x + y``; ``x.relu_()`` becomes ``x = x.relu()``.

    Raises NotFixable where that is not the same for everybody who holds ``x``.
    """
    name = _only_holder(flow, write)
    if write.value is not None and not keeps_dtype(write.target, write.value):
        raise NotFixable("out of place the element type could change")
    if isinstance(write.statement, ast.AugAssign) and write.how == "augment":
        operator = OPERATORS[type(write.statement.op)]
        right = bracketed(flow.source_of(write.statement.value), write.statement.value)
        simple = isinstance(write.statement.value, (ast.Constant, ast.UnaryOp))
        right = flow.source_of(write.statement.value) if simple else right
        text = f"{name} = {name} {operator} {right}"
        return Fix.of(
            "write out of place",
            (Edit(EditKind.STATEMENT, flow.span(write.statement), text),),
        )
    if isinstance(write.statement, ast.Expr) and write.node is write.statement.value:
        call = write.statement.value
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            plain = call.func.attr.rstrip("_")
            if call.func.value is write.base and op_facts(plain, "method") is not None:
                arguments = ", ".join(flow.source_of(a) for a in [*call.args, *call.keywords])
                text = f"{name} = {name}.{plain}({arguments})"
                return Fix.of(
                    "write out of place",
                    (Edit(EditKind.STATEMENT, flow.span(write.statement), text),),
                )
    raise NotFixable("the write has no out-of-place form here")


def _only_holder(flow: ModuleFlow, write: Write) -> str:
    """The plain name that alone holds the written memory; rebinding it cannot be noticed."""
    if not isinstance(write.base, ast.Name):
        raise NotFixable("the written tensor is not held by a plain name")
    if write.scope.escapes is not None:
        raise NotFixable("the tensor can be looked up by its name")
    holder = other_holders(flow, write)
    if holder is not None:
        raise NotFixable(f"{holder} may share the memory and would no longer see the write")
    return write.base.id


def _one_slot(flow: ModuleFlow, write: Write) -> Fix:
    """``x[k] = v`` on a vector of known length: the same vector with one new element."""
    statement = write.statement
    name = _only_holder(flow, write)
    value, shape = write.value, write.target.shape
    if (
        not isinstance(statement, ast.Assign)
        or write.how != "setitem"
        or len(statement.targets) != 1
    ):
        raise NotFixable("not a plain write to one slot")
    assert write.index is not None
    at = flow.value(write.index).const
    if shape is None or len(shape) != 1 or not isinstance(shape[0], int) or not isinstance(at, int):
        raise NotFixable("the length of the tensor is not known")
    if (
        value is None
        or not value.is_tensor
        or value.shape != ()
        or value.dtype != write.target.dtype
    ):
        raise NotFixable("the written value is not certainly one element of the same type")
    length = shape[0]
    at = at + length if at < 0 else at
    text = flow.source_of(statement.value)
    if length <= _SHORT:
        stack = spelling(flow, write.scope, "torch.stack")
        items = [text if i == at else f"{name}[{i}]" for i in range(length)]
        content = f"{name} = {stack}([{', '.join(items)}])"
    else:
        stack = spelling(flow, write.scope, "torch.cat")
        one = f"{bracketed(text, statement.value)}.reshape(1)"
        content = f"{name} = {stack}([{name}[:{at}], {one}, {name}[{at + 1}:]])"
    if stack is None:
        raise NotFixable("the file has no name for torch.stack")
    return Fix.of(
        "join the elements out of place",
        (Edit(EditKind.STATEMENT, flow.span(statement), content),),
    )


def _clone_saved(flow: ModuleFlow, write: Write, saved: list[Saved]) -> Fix:
    """Let every operation keep a copy of the value that is overwritten later."""
    if any(_is_in_place_call(node) for node in (write.base, _called_on(flow, write.node))):
        raise NotFixable("the write is one of several in-place calls in a chain")
    edits: dict[ast.AST, Edit] = {}
    for entry in saved:
        node = entry.operand if entry.operand is not None else entry.node
        if not isinstance(node, ast.expr) or isinstance(node, ast.Starred):
            raise NotFixable("the operation that saved the value cannot be changed here")
        # A copy of what a call gives leaves the memory alone that was written inside of it.
        inside = entry.value.op in ("call", "layer")
        if entry.operand is None and entry.op.endswith("_") and not inside:
            raise NotFixable("an in-place operation saved its result, which is overwritten")
        inner = flow.source_of(node)
        if isinstance(flow.parents.get(node), ast.AugAssign):
            raise NotFixable("the value is saved by an in-place operation")
        edits[node] = Edit(EditKind.REPLACE, flow.span(node), f"{bracketed(inner, node)}.clone()")
    return Fix.of("keep a copy of the saved value", tuple(edits.values()))


def _is_in_place_call(node: ast.AST | None) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.endswith("_")
        and not node.func.attr.endswith("__")
    )


def _called_on(flow: ModuleFlow, node: ast.AST) -> ast.AST | None:
    """The call ``node.method(...)`` around a node, or None."""
    parent = flow.parents.get(node)
    return flow.parents.get(parent) if isinstance(parent, ast.Attribute) else None
