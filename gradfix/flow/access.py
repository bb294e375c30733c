"""What attributes and items of a value are."""

from __future__ import annotations

import ast

from gradfix.flow import classes, layers, shapes
from gradfix.flow.calls import Calls
from gradfix.flow.grown import united
from gradfix.flow.methods import revealed, size_number
from gradfix.flow.operands import Argument
from gradfix.flow.state import GradMode, GradRead
from gradfix.flow.values import (
    UNKNOWN_MEMORY,
    Certainty,
    Kind,
    Role,
    Storage,
    Value,
    element_of,
    foreign,
    number,
    replace,
    sequence,
    unknown,
)
from gradfix.words import mentions

#: Attributes of a tensor that are views of it.
_VIEW_ATTRIBUTES = frozenset({"T", "mT", "H", "mH", "real", "imag"})


class Access(Calls):
    """The part of the interpreter that evaluates ``a.b`` and ``a[b]``."""

    _owners: set[str]  # names whose attributes are bound somewhere

    def _attribute(self, node: ast.Attribute) -> Value:
        base = self.eval(node.value)
        return self.attribute_of(node, base)

    def attribute_of(self, node: ast.Attribute, base: Value) -> Value:
        """The value of ``base.attr``."""
        name, kind = node.attr, base.kind
        if kind is Kind.REFERENCE:
            return self.flow.followed(self.flow.imported(f"{base.name}.{name}"))
        owner = node.value
        binding = None
        if isinstance(owner, ast.Name) and owner.id in self._owners:
            binding = self.state.get(f"{owner.id}.{name}")
        if binding is not None:
            if self.loud:
                known = self.scope.uses.get(node, frozenset())
                self.scope.uses[node] = known | binding.definitions
            return binding.value
        if name == "grad":
            self.event(GradRead, node, base, node.value, not isinstance(node.ctx, ast.Load))
        if name == "data" and kind is Kind.UNKNOWN and _is_weight(node.value):
            base, kind = revealed(base, node.value), Kind.TENSOR
        if kind is Kind.TENSOR:
            return self._tensor_attribute(node, base)
        if kind is Kind.INSTANCE or kind is Kind.MODULE or kind is Kind.CLASS:
            return classes.attribute(self.flow, base, name, node)
        if base.name == "namedtuple" and base.items and name in ("values", "indices"):
            return base.items[name == "indices"]
        symbol = f"{base.symbol}.{name}" if base.symbol else None
        if name == "shape":
            return Value(
                Kind.SEQUENCE,
                Role.UNTRACKED,
                node,
                inputs=(),
                symbol=symbol,
                name="shape",
                element=number(),
            )
        value = unknown(node, (base,) if name not in ("grad", "device", "dtype") else ())
        value.symbol = symbol
        return value

    def _tensor_attribute(self, node: ast.Attribute, base: Value) -> Value:
        name = node.attr
        symbol = f"{base.symbol}.{name}" if base.symbol else None
        if name == "grad":
            # With ``create_graph`` a gradient has a history of its own.
            derived = mentions(self.flow.text, "create_graph")
            return Value(
                Kind.TENSOR,
                Role.UNKNOWN if derived else Role.UNTRACKED,
                node,
                "grad",
                (base,),
                shape=base.shape,
                dtype=base.dtype,
                owner=base,
            )
        if name == "data":
            cut = "data" if base.needs_grad is Certainty.YES else ""
            return replace(
                base,
                role=Role.UNTRACKED,
                node=node,
                op="data",
                inputs=(base,),
                view=True,
                leaves=frozenset(),
                cut=cut,
                parameter=False,
                symbol=None,
                owner=base,
            )
        if name in _VIEW_ATTRIBUTES:
            method = "t" if name == "T" else "adjoint"
            return self.tensor_op(node, method, "method", [Argument(None, node.value, base)])
        if name == "shape":
            if base.shape is not None and None not in base.shape:
                return sequence([size_number(dim) for dim in base.shape], node=node, name="shape")
            return Value(
                Kind.SEQUENCE, Role.UNTRACKED, node, symbol=symbol, name="shape", element=number()
            )
        if name in ("requires_grad", "is_leaf", "ndim", "is_cuda"):
            return number(node=node)
        if name in ("device", "dtype", "layout"):
            return foreign(node, name, ())
        return unknown(node, (base,))

    def _subscript(self, node: ast.Subscript) -> Value:
        base = self.eval(node.value)
        parts = self.index_parts(node.slice)
        return self.item(node, base, parts)

    def index_parts(self, index: ast.expr) -> list[Value | tuple[Value | None, ...]]:
        """The parts of ``[...]``: values, and triples for slices."""
        nodes = index.elts if isinstance(index, ast.Tuple) else [index]
        parts: list[Value | tuple[Value | None, ...]] = []
        for part in nodes:
            if isinstance(part, ast.Slice):
                bounds = (part.lower, part.upper, part.step)
                parts.append(tuple(None if b is None else self.eval(b) for b in bounds))
            else:
                parts.append(self.eval(part))
        return parts

    def item(
        self, node: ast.AST, base: Value, parts: list[Value | tuple[Value | None, ...]]
    ) -> Value:
        """The value of ``base[parts]``."""
        if base.is_tensor:
            return self._tensor_item(node, base, parts)
        if base.kind is Kind.SEQUENCE and len(parts) == 1:
            return _sequence_item(node, base, parts[0])
        if base.kind is Kind.DICT:
            key = parts[0]
            if isinstance(key, Value) and isinstance(key.const, str) and base.attributes:
                found = base.attributes.get(key.const)
                if found is not None:
                    return found
            if base.element is not None:
                return base.element
        inputs = (base, *(part for part in parts if isinstance(part, Value)))
        if base.kind is Kind.FOREIGN:
            return foreign(node, base.name, inputs)
        if base.kind is Kind.MODULE and len(parts) == 1 and isinstance(parts[0], Value):
            held = layers.item(base, parts[0].const)
            if held is not None:
                return held
        return unknown(node, inputs)

    def _tensor_item(
        self, node: ast.AST, base: Value, parts: list[Value | tuple[Value | None, ...]]
    ) -> Value:
        basic = all(
            isinstance(part, tuple)
            or (part.kind is Kind.NUMBER and not isinstance(part.const, bool))
            or (part.kind is Kind.FOREIGN and part.name == "constant")
            for part in parts
        )
        advanced = any(isinstance(part, Value) and _copies(part) for part in parts)
        flat = tuple(part for part in parts if isinstance(part, Value))
        shape = shapes.index(base.shape, list(parts)) if basic else None
        fresh = frozenset({Storage(node)})
        storages = base.storages if basic else united(base.storages, fresh)
        storages = fresh if advanced else storages
        role = base.role if not base.role & Role.LEAF else (base.role & ~Role.LEAF) | Role.TRACKED
        cut = base.cut
        if self.state.mode is not GradMode.ON and base.needs_grad is not Certainty.NO:
            role = Role.UNKNOWN
            if self.state.mode is GradMode.OFF:
                # A view still requires grad, although it has no history.
                role = Role.UNTRACKED if advanced else Role.UNTRACKED | Role.UNKNOWN
            cut = "no_grad"
        return Value(
            Kind.TENSOR,
            role,
            node,
            "index" if advanced else "select",
            (base, *flat),
            storages,
            not advanced,
            shape,
            base.dtype,
            base.leaves if role != Role.UNTRACKED else frozenset(),
            cut,
        )


def _copies(index: Value) -> bool:
    """Whether an index certainly makes a copy: a list, a mask, a tensor of at least one dimension.

    A tensor of no dimensions that holds an integer is a number like any other, and gives a view.
    (https://docs.pytorch.org/docs/stable/tensor_view.html)
    """
    if index.kind is Kind.TENSOR:
        return bool(index.shape) or index.dtype in ("bool", "uint8")
    return index.kind is Kind.SEQUENCE


def dotted(node: ast.expr) -> str | None:
    """``"self.w"`` for ``self.w``; None for anything but a name and one attribute."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return None


def _is_weight(node: ast.expr) -> bool:
    """``x.weight`` or ``x.bias``: with ``.data`` behind it, the Parameter of some layer."""
    return isinstance(node, ast.Attribute) and node.attr in ("weight", "bias")


def _sequence_item(node: ast.AST, base: Value, part: Value | tuple[Value | None, ...]) -> Value:
    if isinstance(part, Value) and isinstance(part.const, int):
        if base.items is not None:
            if -len(base.items) <= part.const < len(base.items):
                return base.items[part.const]
        elif base.name == "shape" and base.symbol is not None:
            return number(symbol=f"{base.symbol}[{part.const}]", node=node)
    if isinstance(part, tuple):
        bounds = [None if bound is None else bound.const for bound in part]
        plain = [b if isinstance(b, int) else None for b in bounds]
        if base.items is not None and all(
            bound is None or isinstance(bound.const, int) for bound in part
        ):
            return sequence(base.items[slice(*plain)], node=node, name=base.name)
        return sequence(None, element=element_of(base), node=node, name=base.name)
    found = element_of(base)
    if found is None:
        return unknown(node, (base,))
    if base.items is None and found.is_tensor and not found.is_leaf:
        # One of many that were made at the same place: which one is not known.
        return replace(found, storages=united(found.storages, UNKNOWN_MEMORY))
    return found
