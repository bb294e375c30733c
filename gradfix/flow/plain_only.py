"""What PyTorch does with tensors without history only, and raises for others.

A copy of numbers may be converted to NumPy, copied by ``copy.deepcopy``, given as ``out=``, and its
rows may be written as they come out of ``unbind``, ``chunk`` or a loop over it. With the history
that a rewrite would give it, each of these raises
(https://docs.pytorch.org/docs/stable/generated/torch.Tensor.numpy.html,
https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd).
"""

from __future__ import annotations

import ast

from gradfix.flow.later import stays_attached
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import AttributeStore, Call, GradMode, Write
from gradfix.flow.values import Certainty, Kind, Value

_COPIES = frozenset({"copy.deepcopy"})
#: Give several views at once; autograd refuses writes to them.
_SEVERAL = frozenset({"unbind", "chunk", "split", "tensor_split", "hsplit", "vsplit", "dsplit"})


def plain_only(flow: ModuleFlow, call: Call) -> str | None:
    """What is done with the result of ``call`` that needs a tensor without history, if anything."""
    if call.node in _reached(flow, "array"):
        return "the result is converted to NumPy, which needs a tensor without history"
    if call.node in _reached(flow, "copied") or _is_copied_with_its_owner(flow, call):
        return "the result is copied by deepcopy, which needs a tensor without history"
    if call.node in _reached(flow, "written"):
        return "parts of the result are written in place, which would raise with a history"
    asked = _asked(flow, call)
    if asked is not None:
        return f"line {flow.span(asked).row} asks whether the result has a history"
    return None


def _reached(flow: ModuleFlow, how: str) -> frozenset[ast.AST]:
    """Everything that comes to such an end, with the history it would have."""

    def find() -> frozenset[ast.AST]:
        if how == "array":
            return flow.sources_of(_is_array, stays_attached)
        ends = _copied(flow) if how == "copied" else _written(flow)
        return flow.sources_of(lambda value: id(value) in ends, stays_attached) if ends else _NONE

    return flow.worked_out(f"_plain_{how}", len(flow.made), find)


_NONE: frozenset[ast.AST] = frozenset()


def _asked(flow: ModuleFlow, call: Call) -> ast.AST | None:
    """``if t.requires_grad:`` about what the call makes, or what has no history because of it."""
    asking = [
        node
        for name in ("requires_grad", "is_leaf", "grad_fn")
        for node in flow.attributes(name)
        if isinstance(node.ctx, ast.Load)
    ]
    if not asking:
        return None
    found = next((node for node in asking if flow.value(node.value).node is call.node), None)
    refusing = [node for node in asking if _is_refused(flow, node)] if found is None else []
    if not refusing:
        return found
    plain = {
        value.node
        for value in flow.consumers(call.node, stays_attached)
        if value.needs_grad is not Certainty.YES
    }
    return next((node for node in refusing if flow.value(node.value).node in plain), None)


def _is_refused(flow: ModuleFlow, asked: ast.AST) -> bool:
    """``assert not x.requires_grad``, ``if x.requires_grad: raise``: a history is an error."""
    statement = flow.enclosing(asked, ast.stmt)
    raises = isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Raise)
    return raises or isinstance(statement, ast.Assert)


def _is_array(value: Value) -> bool:
    return value.op == "numpy" or value.name.startswith("numpy.")


def _copied(flow: ModuleFlow) -> frozenset[int]:
    return frozenset(id(call.result) for call in flow.all(Call) if call.name in _COPIES)


def _is_copied_with_its_owner(flow: ModuleFlow, call: Call) -> bool:
    """Whether an object keeps the result, and the file copies such objects, or any."""
    copied = [c.arguments[0] for c in flow.all(Call) if c.name in _COPIES and c.arguments]
    if not any(owner.kind in (Kind.INSTANCE, Kind.UNKNOWN) for owner in copied):
        return False
    made = {call.node} | {v.node for v in flow.consumers(call.node, stays_attached)}
    return any(store.value.node in made for store in flow.all(AttributeStore))


def _written(flow: ModuleFlow) -> frozenset[int]:
    """What is written in a way that autograd refuses where there is a history."""
    calls = {
        id(call.result)
        for call in flow.all(Call)
        if call.mode is GradMode.ON and call.keyword("out") is not None
    }
    return frozenset(calls).union(
        id(write.target)
        for write in flow.all(Write)
        if write.mode is GradMode.ON and (write.target.op in _SEVERAL or _is_row_of_loop(write))
    )


def _is_row_of_loop(write: Write) -> bool:
    """``for row in t: row += 1``: a loop takes its rows from ``unbind``."""
    if write.target.op != "select" or not isinstance(write.base, ast.Name):
        return False
    return any(d.how == "for" for d in write.scope.by_name.get(write.base.id, ()))
