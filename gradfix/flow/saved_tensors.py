"""What autograd saves for backward, and the writes in place that may destroy it."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from gradfix.flow.argument_writes import (
    ArgumentWrite,
    HandedWrite,
    always_runs,
    argument_of,
    handed_on,
)
from gradfix.flow.dtypes import is_integer
from gradfix.flow.grown import all_united, among
from gradfix.flow.operands import Argument, Bound, argument_kind, bind
from gradfix.flow.recorder import Recorder
from gradfix.flow.state import GradMode, Saved, Scope, State, Write, result_role
from gradfix.flow.torch_ops import Signature, op_facts
from gradfix.flow.values import (
    NEEDS_GRAD,
    SOMEWHERE,
    Certainty,
    Kind,
    Leaf,
    Role,
    Storage,
    Value,
    unknown,
)
from gradfix.flow.versions import Effect

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow

#: Methods that change the shape of the tensor itself.
_RESHAPES = frozenset(
    """squeeze_ unsqueeze_ t_ transpose_ swapaxes_ swapdims_ resize_ resize_as_ as_strided_ set_
    """.split()
)


#: What makes of a leaf a tensor that anybody may write to.
_CHANGES_LEAVES = re.compile(r"detach_\(|requires_grad|\bset_\(|_grad_enabled")


class SavedTensors(Recorder):
    """The part of the interpreter that knows which memory backward needs and who writes to it."""

    def __init__(self, flow: ModuleFlow, scope: Scope, state: State) -> None:
        super().__init__(flow, scope, state)
        self._saved_at: set[tuple[Storage, ast.AST, ast.AST | None]] = set()

    def save(
        self, node: ast.AST, name: str, signature: Signature, bound: Bound, result: Value
    ) -> None:
        """Note which inputs or results the backward pass of this operation will need.

        An input is saved only for the sake of another input that requires grad: ``x * 2`` keeps
        nothing, ``x * w`` keeps ``x`` for ``w`` (the formulas of PyTorch's derivatives.yaml).
        """
        if self.state.mode is GradMode.OFF or signature.saves is None:
            return
        kept: dict[tuple[str, int], Certainty] = {}
        tensors: list[str] = []  # what is kept for the sake of something that is a tensor for sure
        for target, sources in signature.saves.items():
            given = bound.get(target, ())
            need = strongest([value.needs_grad for _, value in given])
            if need is Certainty.NO:
                continue
            sure = len(signature.tensors) == 1 or any(value.is_tensor for _, value in given)
            tensors += sources if sure else ()
            for source in sources:
                for at in range(len(bound.get(source, ())) or 1):
                    if kept.get((source, at)) is not Certainty.YES:
                        kept[source, at] = need
        for (source, at), need in kept.items():
            certain = need is Certainty.YES and self.state.mode is GradMode.ON
            if_needed = need is Certainty.MAYBE and source in tensors
            if_needed = if_needed and self.state.mode is GradMode.ON
            if source in bound:
                if at >= len(bound[source]):
                    continue
                operand, value = bound[source][at]
                self.remember(Saved(node, name, operand, value, certain, if_needed))
            elif source in signature.results:
                at_result = signature.results.index(source)
                kept_value = result if result.is_tensor else (result.items or ())[at_result:][:1]
                if isinstance(kept_value, tuple):
                    kept_value = kept_value[0] if kept_value else result
                self.remember(Saved(node, name, None, kept_value, certain, if_needed))

    def save_in_place(
        self, node: ast.AST, name: str, me: tuple[ast.expr, Value], other: tuple[ast.expr, Value]
    ) -> None:
        """What ``x[i] *= y`` saves: ``y`` for the sake of ``x``; of ``x`` it keeps a copy."""
        op = op_facts(name, "method")
        arguments = [Argument(None, *me), Argument(None, *other)]
        signature = op.bind([argument_kind(a.value) for a in arguments], []) if op else None
        if signature is not None:
            bound = bind(signature, arguments)
            self.save(node, name, signature, {**bound, "result": []}, unknown())

    def remember(self, saved: Saved) -> None:
        """Add a saved tensor to every storage it may live in."""
        if saved.value.kind is not Kind.TENSOR:
            return
        for storage in saved.value.storages:
            if storage is not SOMEWHERE:
                known = self.state.saved.get(storage) or ()
                # Only what stands in a loop is evaluated again: everything else is new.
                place = (storage, saved.node, saved.operand)
                if place not in self._saved_at or all(
                    entry.node is not saved.node or entry.operand is not saved.operand
                    for entry in reversed(known)
                ):
                    self.state.saved[storage] = (*known, saved)
                    self._saved_at.add(place)

    # -- in-place writes ----------------------------------------------------------------------

    def write(
        self,
        node: ast.AST,
        target: Value,
        base: ast.expr,
        how: str,
        op: str,
        index: ast.expr | None,
        values: tuple[Value, ...],
    ) -> Value:
        """Record an in-place write and return the tensor as it is afterwards.

        Writing through ``.data`` bumps no version counter, so it overwrites saved tensors without
        any error; writing through ``.detach()`` does bump it.
        (https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-correctness-checks)
        """
        self.note_written(node, target, base, how, op, values)
        overwritten = self._overwrite(target)
        value = values[0] if values else None
        self.event(Write, node, target, base, how, op, index, value, overwritten)
        if target.kind is not Kind.TENSOR:
            return target
        return self._after_write(node, target, op, values)

    def note_written(
        self, node: ast.AST, target: Value, base: ast.expr, how: str, op: str,
        values: tuple[Value, ...],
    ) -> None:  # fmt: skip
        """Note a write to what may be an argument of this function, as it came in."""
        if self.ahead or not isinstance(target.node, ast.arg) or self.statement is None:
            return
        argument, scope = argument_of(target, self.scope), self.scope
        if argument is not None and always_runs(self.path, scope):
            if _CHANGES_LEAVES.search(self.flow.text_of(scope.node)):
                return  # perhaps it is no leaf any more, or another tensor
            place = (node, self.statement, scope, self.state.mode)
            scope.argument_writes.append(ArgumentWrite(*place, argument, base, how, op, values))

    def write_inside(
        self, node: ast.AST, target: Value, base: ast.expr, write: ArgumentWrite, called: Value,
        values: tuple[Value, ...],
    ) -> None:  # fmt: skip
        """Record that a function is called which writes to ``target``, handed in as ``base``."""
        argument = argument_of(target, self.scope)
        if argument is not None and not self.ahead and always_runs(self.path, self.scope):
            further = handed_on(write, argument, values)
            if further is not None and self.state.mode is GradMode.ON:
                self.scope.argument_writes.append(further)
        if write.mode is not GradMode.ON:
            return
        if target.kind is not Kind.TENSOR:
            if isinstance(target.node, ast.Attribute):  # the callers may say which tensor it is
                self.event(HandedWrite, node, target, base, write, called, ())
            return
        overwritten = self._overwrite(target)
        self.event(HandedWrite, node, target, base, write, called, overwritten)
        self._after_write(node, target, write.op, values)

    def _overwrite(self, target: Value) -> tuple[Saved, ...]:
        """The saved tensors that a write to ``target`` destroys."""
        overwritten: tuple[Saved, ...] = ()
        for storage in among(self.state.saved, target.storages):
            kept = self.state.saved.pop(storage) or ()
            if kept and len(target.storages) > 1:
                kept = tuple(
                    (
                        entry
                        if entry.operand is None and entry.node is target.node
                        else replace(entry, certain=False, if_needed=False)
                    )
                    for entry in kept
                )
            overwritten += kept
        return overwritten

    def _after_write(
        self, node: ast.AST, target: Value, op: str, values: tuple[Value, ...]
    ) -> Value:
        cut = target.cut
        if (
            self.state.mode is GradMode.OFF
            or target.role == Role.LEAF
            or target.op in ("data", "detach")
        ):
            role, leaves = target.role, target.leaves
        elif is_integer(target.dtype):
            # The numbers are truncated, and what holds integers has no history.
            role, leaves = target.role, target.leaves
            if any(value.is_tensor and value.needs_grad is Certainty.YES for value in values):
                cut = cut or f"write to {target.dtype}"
        else:
            role = result_role((target, *values), self.state.mode)
            leaves = all_united(value.leaves for value in (target, *values))
        after = replace(
            target,
            role=role,
            leaves=leaves,
            inputs=(target, *values),
            op="write",
            cut=cut,
            node=node,
            symbol=None,
            shape=None if op in _RESHAPES else target.shape,
        )
        self.flow.made.append(after)
        # Numbers written through `.data` or `.detach()` leave the history of all others as it is.
        beside = role == target.role == Role.UNTRACKED
        effect = None
        if target.storage is not None:
            effect = Effect(None if beside else role, leaves, values)
        self.state.written(target, after, effect, self.flow.made)
        return after

    def forget_saved(self, retained: bool) -> None:
        """After backward the graph is freed: nothing is saved any more, unless it is retained.

        (https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html)
        """
        if not retained:
            self.state.saved.clear()
            return
        for storage, kept in list(self.state.saved.items()):
            self.state.saved[storage] = tuple(
                replace(entry, certain=False, if_needed=False) for entry in kept
            )

    def make_leaf(self, node: ast.AST, target: Value, role: Role) -> Value:
        """``target.requires_grad_()``: the same tensor with another role, wherever it is held."""
        if role & Role.LEAF and target.role & NEEDS_GRAD and not target.role & Role.UNTRACKED:
            return target
        leaves = frozenset({Leaf(node, target.parameter)}) if role & Role.LEAF else frozenset()
        if target.role & Role.UNKNOWN and role & Role.LEAF:
            # The tensor may have had a history already; then it stays a tracked non-leaf.
            role = NEEDS_GRAD
        after = replace(
            target, role=role, leaves=leaves, inputs=(target,), node=node, op="requires_grad_"
        )
        self.replace_everywhere(target, after)
        return after

    def replace_everywhere(self, old: Value, new: Value) -> None:
        """Let every name that holds ``old`` hold ``new``; the definitions stay."""
        self.state.replace(old, new)


def strongest(answers: Collection[Certainty]) -> Certainty:
    """YES if any is, else MAYBE if any is, else NO."""
    if Certainty.YES in answers:
        return Certainty.YES
    return Certainty.MAYBE if Certainty.MAYBE in answers else Certainty.NO
