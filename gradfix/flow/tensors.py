"""Operations on tensors: the role, memory, shape and dtype of a result, and what autograd saves."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence, Set

from gradfix.flow import dtypes, op_shapes
from gradfix.flow.as_index import holds_indices
from gradfix.flow.grown import all_united, united
from gradfix.flow.operands import Argument, Bound, argument_kind, bind, requires_grad_role, spread
from gradfix.flow.saved_tensors import SavedTensors
from gradfix.flow.state import GradMode, Saved, result_role
from gradfix.flow.torch_ops import Op, OpKind, Signature, op_facts
from gradfix.flow.values import (
    NEEDS_GRAD,
    Certainty,
    Kind,
    Leaf,
    Role,
    Storage,
    Value,
    foreign,
    needs_grad,
    replace,
    unknown,
)


class TensorOps(SavedTensors):
    """The part of the interpreter that knows what PyTorch operations do."""

    def tensor_op(
        self, node: ast.AST, name: str, kind: OpKind, arguments: Sequence[Argument]
    ) -> Value:
        """The result of calling ``name``; for a method the first argument is self."""
        arguments = spread(arguments)
        op = op_facts(name, kind)
        if op is None:
            return unknown(node, (argument.value for argument in arguments))
        keywords = [a.keyword for a in arguments if a.keyword is not None]
        signature = op.bind(
            [argument_kind(a.value) for a in arguments if a.keyword is None], keywords
        )
        if signature is None:
            return unknown(node, (argument.value for argument in arguments))
        bound = bind(signature, arguments)
        if "inplace" in bound and any(value.const is True for _, value in bound["inplace"]):
            return self.activate_in_place(node, name, arguments[0])
        if op.inplace:
            return self._in_place(node, op, signature, bound, arguments)
        if not op.returns_tensor:
            return foreign(node, op.name, (argument.value for argument in arguments))
        tensors = self._tensor_inputs(signature, bound)
        result = self._result(node, op, signature, bound, tensors, arguments)
        if not op.factory and not op.like:
            self.save(node, op.name, signature, bound, result)
        if "out" in keywords:
            return unknown(node, (argument.value for argument in arguments))
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
        for name in signature.tensors:
            if name in bound:
                found += [value for _, value in bound[name]]
        return tuple(found)

    def _integer(self, op: Op, bound: Bound, like: Value | None) -> str | None:
        """The type of ``zeros_like(labels)``, where the labels turn out to be indices."""
        argument = like.node if op.like and like is not None and "dtype" not in bound else None
        function = self.scope.node
        if not isinstance(argument, ast.arg) or self.scope.arguments.get(argument.arg) is not like:
            return None
        return dtypes.INTEGER if holds_indices(function, argument) else None

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
        dtype = dtypes.result_dtype(op, bound, tensors) or self._integer(op, bound, first)
        inputs = tuple([argument.value for argument in arguments])
        if op.factory or op.like:
            return self.new_tensor(node, op.name, inputs, arguments, shape, dtype)
        if not any(signature.differentiable_results):
            role, cut = Role.UNTRACKED, op.name if may_need_grad(tensors) else ""
        else:
            role, cut = result_role(tensors, self.state.mode), ""
            if self.state.mode is GradMode.OFF and may_need_grad(tensors):
                cut = "no_grad"
        leaves: Set[Leaf] = frozenset()
        if op.zero_grad and may_need_grad(tensors):
            cut = op.name  # differentiable in name only: the gradient is zero everywhere
        elif needs_grad(role) is not Certainty.NO:
            leaves = all_united(value.leaves for value in tensors)
        storages: Set[Storage] = frozenset({Storage(node)})
        view = bool(op.view)
        if first is not None and view:
            storages = united(first.storages, storages if op.maybe_copy else frozenset())
            if self.state.mode is GradMode.OFF and first.needs_grad is not Certainty.NO:
                role |= Role.UNKNOWN  # a view still requires grad, although it has no history
        if op.may_return_self and first is not None:
            storages = united(first.storages, storages)
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

    def _in_place(
        self,
        node: ast.AST,
        op: Op,
        signature: Signature,
        bound: Bound,
        arguments: Sequence[Argument],
    ) -> Value:
        base, target = arguments[0].node, arguments[0].value
        if not op.writes:
            return target
        # An index or a mask is no part of the history of what is written.
        apart = {
            id(value) for name in _without_gradient(signature) for _, value in bound.get(name, ())
        }
        others = tuple(a.value for a in arguments[1:] if id(a.value) not in apart)
        self.save(node, op.name, signature, {**bound, "result": []}, unknown())
        how = "augment" if isinstance(node, ast.AugAssign) else "method"
        written = self.write(node, target, base, how, op.name, None, others)
        if signature.saves and "result" in signature.saves.get("self", ()):
            certain = written.needs_grad is Certainty.YES and self.state.mode is GradMode.ON
            if written.needs_grad is not Certainty.NO and self.state.mode is not GradMode.OFF:
                self.remember(Saved(node, op.name, None, written, certain))
        return written


def _without_gradient(signature: Signature) -> list[str]:
    """The parameters that take a tensor which gets no gradient."""
    if signature.saves is None:
        return []
    return [name for name in signature.tensors if name != "self" and name not in signature.saves]


def may_need_grad(values: Iterable[Value]) -> bool:
    """Whether any of these certainly requires grad."""
    for value in values:
        if value.kind is Kind.TENSOR and needs_grad(value.role) is Certainty.YES:
            return True
    return False
