"""What a function of the file returns while an operation in it keeps just that for its backward.

Whoever writes into the result of such a call in place makes backward raise, as if the operation
stood at the place of the call.
(https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-correctness-checks)
"""

from __future__ import annotations

import ast
from dataclasses import replace

from gradfix.flow.state import Saved, Scope, State
from gradfix.flow.values import Certainty, Storage, Value


def kept_at_return(scope: Scope, state: State, value: Value) -> Saved | None:
    """The operation whose result a ``return`` gives away, in memory that is new on every call."""
    storage = value.storage if value.is_tensor else None
    if storage is None or not _is_made_in(scope, storage):
        return None
    return next((s for s in state.saved.get(storage) or () if s.operand is None), None)


def kept_by_calls(scope: Scope) -> Saved | None:
    """The operation that keeps what any call of a function returns; the first of several."""
    kept = [saved for saved in scope.kept if saved is not None]
    if not kept or len(kept) != len(scope.kept) or len(kept) != len(scope.returns):
        return None
    return replace(kept[0], certain=all(saved.certain for saved in kept), if_needed=False)


def kept_at_call(node: ast.AST, kept: Saved, called: Value) -> tuple[Value, Saved]:
    """The result of a call in memory of its own, and that it is kept."""
    fresh = replace(called, storages=frozenset({Storage(node)}))
    certain = kept.certain and called.needs_grad is Certainty.YES
    return fresh, Saved(node, kept.op, None, fresh, certain)


def _is_made_in(scope: Scope, storage: Storage) -> bool:
    """Whether a piece of memory is allocated in the body of a function."""
    function = scope.node
    at: int | None = getattr(storage.node, "lineno", None)
    if at is None or not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return False
    return function.lineno <= at <= (function.end_lineno or function.lineno)
