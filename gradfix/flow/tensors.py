"""Operations on tensors: the role, memory, shape and dtype of a result, and what autograd saves."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from gradfix.flow import dtypes, op_shapes
from gradfix.flow.recorder import Recorder
from gradfix.flow.state import Binding, GradMode, Saved, Write, result_role
from gradfix.flow.torch_ops import ArgKind, Op, OpKind, Signature, op_facts
from gradfix.flow.values import (
    NEEDS_GRAD,
    SOMEWHERE,
    Certainty,
    Kind,
    Leaf,
    Role,
    Storage,
    Value,
    foreign,
    unknown,
)


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


class TensorOps(Recorder):
    """The part of the interpreter that knows what PyTorch operations do."""

    def tensor_op(
        self, node: ast.AST, name: str, kind: OpKind, arguments: Sequence[Argument]
    ) -> Value:
        """The result of calling ``name``; for a method the first argument is self."""
        arguments = _spread(arguments)
        op = op_facts(name, kind)
        if op is None:
            return unknown(node, (argument.value for argument in arguments))
        signature = op.bind(
            [_argument_kind(a.value) for a in arguments if a.keyword is None],
            [a.keyword for a in arguments if a.keyword is not None],
        )
        if signature is None:
            return unknown(node, (argument.value for argument in arguments))
        bound = bind(signature, arguments)
        if any(value.const is True for _, value in bound.get("inplace", ())):
            return self.activate_in_place(node, name, arguments[0])
        tensors = self._tensor_inputs(signature, bound)
        if op.inplace:
            return self._in_place(node, op, signature, bound, arguments)
        if not op.returns_tensor:
            return foreign(node, op.name, (argument.value for argument in arguments))
        result = self._result(node, op, signature, bound, tensors, arguments)
        if not op.factory and not op.like:
            self.save(node, op.name, signature, bound, result)
        return result

    def activate_in_place(self, node: ast.AST, name: str, given: Argument) -> Value:
        """``F.relu(x, inplace=True)``: writes into ``x`` and returns it."""
        if not given.value.is_tensor:
            return unknown(node, (given.value,))
        for kind in ("functional", "function"):
            if op_facts(f"{name}_", kind) is not None:
                return self.tensor_op(node, f"{name}_", kind, [given])
        return self.write(node, given.value, given.node, "method", f"{name}_", None, ())

    def _tensor_inputs(self, signature: Signature, bound: Bound) -> tuple[Value, ...]:
        found: list[Value] = []
        for param in signature.params:
            if param.tensor:
                found += [value for _, value in bound.get(param.name, ())]
        return tuple(found)

    def _result(
        self,
        node: ast.AST,
        op: Op,
        signature: Signature,
        bound: Bound,
        tensors: tuple[Value, ...],
        arguments: Sequence[Argument],
    ) -> Value:
        first = tensors[0] if tensors else None
        shape = op_shapes.result_shape(op, bound, arguments)
        dtype = dtypes.result_dtype(op, bound, tensors)
        inputs = tuple(argument.value for argument in arguments)
        if op.factory or op.like:
            return self.new_tensor(node, op.name, inputs, arguments, shape, dtype)
        if not any(signature.differentiable_results):
            role, cut = Role.UNTRACKED, op.name if may_need_grad(tensors) else ""
        else:
            role, cut = result_role(tensors, self.state.mode), ""
            if self.state.mode is GradMode.OFF and may_need_grad(tensors):
                cut = "no_grad"
        leaves: frozenset[Leaf] = frozenset()
        if op.zero_grad and may_need_grad(tensors):
            cut = op.name  # differentiable in name only: the gradient is zero everywhere
        elif role & (NEEDS_GRAD | Role.UNKNOWN):
            leaves = frozenset().union(*(value.leaves for value in tensors))
        storages = frozenset({Storage(node)})
        view = bool(op.view)
        if first is not None and view:
            storages = first.storages | (storages if op.maybe_copy else frozenset())
        if op.may_return_self and first is not None:
            storages = first.storages | storages
            if first.role & Role.LEAF and role & NEEDS_GRAD:
                role |= Role.LEAF
        one = Value(
            Kind.TENSOR, role, node, op.name, inputs, storages, view, shape, dtype, leaves, cut
        )
        if op.multi_view:
            count = op_shapes.pieces(op, bound)
            pieces = tuple(replace(one) for _ in range(count or 0)) or None
            return Value(
                Kind.SEQUENCE,
                Role.UNTRACKED,
                node,
                op.name,
                inputs,
                items=pieces,
                element=None if pieces else one,
                length=count,
                name="tuple",
            )
        if len(signature.results) > 1:
            items = tuple(
                replace(
                    one,
                    role=one.role if good else Role.UNTRACKED,
                    cut="" if good else op.name,
                    leaves=one.leaves if good else frozenset(),
                    dtype=one.dtype if good else "int64",
                    storages=frozenset({Storage(node)}),
                )
                for good in signature.differentiable_results
            )
            return Value(
                Kind.SEQUENCE,
                Role.UNTRACKED,
                node,
                op.name,
                inputs,
                items=items,
                length=len(items),
                name="namedtuple",
            )
        return one

    def new_tensor(
        self,
        node: ast.AST,
        op: str,
        inputs: tuple[Value, ...],
        arguments: Sequence[Argument],
        shape: tuple[int | str | None, ...] | None,
        dtype: str | None,
    ) -> Value:
        """A freshly allocated tensor without history; a leaf where ``requires_grad=True``."""
        role = Role.UNTRACKED
        for argument in arguments:
            if argument.keyword == "requires_grad":
                role = requires_grad_role(argument.value)
            elif argument.keyword == "out":
                return unknown(node, inputs)
        leaves = frozenset({Leaf(node, False)}) if role & Role.LEAF else frozenset()
        return Value(
            Kind.TENSOR,
            role,
            node,
            op,
            inputs,
            frozenset({Storage(node)}),
            False,
            shape,
            dtype,
            leaves,
        )

    # -- saved tensors ------------------------------------------------------------------------

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
        unary = sum(param.tensor for param in signature.params) == 1
        for target, sources in signature.saves.items():
            given = [value for _, value in bound.get(target, ())]
            need = strongest(value.needs_grad for value in given)
            if need is Certainty.NO:
                continue
            sure = unary or any(value.is_tensor for value in given)
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
        signature = op.bind([_argument_kind(a.value) for a in arguments], []) if op else None
        if signature is not None:
            bound = bind(signature, arguments)
            self.save(node, name, signature, {**bound, "result": []}, unknown())

    def remember(self, saved: Saved) -> None:
        """Add a saved tensor to every storage it may live in."""
        if saved.value.kind is not Kind.TENSOR:
            return
        for storage in saved.value.storages:
            if storage is not SOMEWHERE:
                known = self.state.saved.get(storage, ())
                if all(
                    entry.node is not saved.node or entry.operand is not saved.operand
                    for entry in known
                ):
                    self.state.saved[storage] = (*known, saved)

    # -- in-place writes ----------------------------------------------------------------------

    def _in_place(
        self,
        node: ast.AST,
        op: Op,
        signature: Signature,
        bound: Bound,
        arguments: Sequence[Argument],
    ) -> Value:
        base, target = arguments[0].node, arguments[0].value
        others = tuple(argument.value for argument in arguments[1:])
        if not op.writes:
            return target
        self.save(node, op.name, signature, {**bound, "result": []}, unknown())
        how = "augment" if isinstance(node, ast.AugAssign) else "method"
        written = self.write(node, target, base, how, op.name, None, others)
        if signature.saves and "result" in signature.saves.get("self", ()):
            certain = written.needs_grad is Certainty.YES and self.state.mode is GradMode.ON
            if written.needs_grad is not Certainty.NO and self.state.mode is not GradMode.OFF:
                self.remember(Saved(node, op.name, None, written, certain))
        return written

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
        overwritten: tuple[Saved, ...] = ()
        for storage in target.storages:
            if storage is SOMEWHERE:
                continue
            kept = self.state.saved.pop(storage, ())
            if kept and len(target.storages) > 1:
                kept = tuple(replace(entry, certain=False, if_needed=False) for entry in kept)
            overwritten += kept
        value = values[0] if values else None
        self.event(Write, node, target, base, how, op, index, value, overwritten)
        if target.kind is not Kind.TENSOR:
            return target
        return self._after_write(node, target, op, values)

    def _after_write(
        self, node: ast.AST, target: Value, op: str, values: tuple[Value, ...]
    ) -> Value:
        if (
            self.state.mode is GradMode.OFF
            or target.role == Role.LEAF
            or target.op in ("data", "detach")
        ):
            role, leaves = target.role, target.leaves
        else:
            role = result_role((target, *values), self.state.mode)
            leaves = target.leaves.union(*(value.leaves for value in values))
        after = replace(
            target,
            role=role,
            leaves=leaves,
            inputs=(target, *values),
            op="write",
            node=node,
            symbol=None,
        )
        self.flow.made.append(after)
        for name, binding in self.state.env.items():
            held = binding.value
            if held is target:
                self.state.env[name] = Binding(binding.definitions, after)
            elif held.is_tensor and target.storage is not None and held.storages == target.storages:
                changed = replace(
                    held,
                    role=held.role | role if held.is_leaf else role,
                    leaves=leaves,
                    inputs=(held, *values),
                    op="write" if held.op == "join" else held.op,  # a join's inputs are all it
                )
                if held.op not in ("data", "detach"):
                    self.flow.made.append(changed)
                    self.state.env[name] = Binding(binding.definitions, changed)
        return after

    def forget_saved(self, retained: bool) -> None:
        """After backward the graph is freed: nothing is saved any more, unless it is retained.

        (https://docs.pytorch.org/docs/stable/generated/torch.Tensor.backward.html)
        """
        if not retained:
            self.state.saved.clear()
            return
        for storage, kept in self.state.saved.items():
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
        for name, binding in self.state.env.items():
            if binding.value is old:
                self.state.env[name] = Binding(binding.definitions, new)


def _spread(arguments: Sequence[Argument]) -> Sequence[Argument]:
    """The arguments with ``*known`` written out."""
    if not any(argument.value.name == "starred" for argument in arguments):
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
    params = [param for param in signature.params if not param.keyword_only]
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
        if value.kind is Kind.SEQUENCE and any(
            p.name == name and p.tensor for p in signature.params
        ):
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


def may_need_grad(values: Iterable[Value]) -> bool:
    """Whether any of these certainly requires grad."""
    return any(value.needs_grad is Certainty.YES for value in values)


def strongest(answers: Iterable[Certainty]) -> Certainty:
    """YES if any is, else MAYBE if any is, else NO."""
    found = set(answers)
    for certainty in (Certainty.YES, Certainty.MAYBE):
        if certainty in found:
            return certainty
    return Certainty.NO


def _argument_kind(value: Value) -> ArgKind:
    if value.const is None and value.kind is Kind.FOREIGN and value.name == "constant":
        return "none"
    if isinstance(value.const, bool):
        return "bool"
    return _ARGUMENT_KINDS.get(value.kind, "unknown")
