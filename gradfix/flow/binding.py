"""Names, attributes and items are bound: assignment targets of every form."""

from __future__ import annotations

import ast

from gradfix.flow import classes
from gradfix.flow.access import dotted
from gradfix.flow.expressions import Expressions, operator_name
from gradfix.flow.operands import Argument, requires_grad_role
from gradfix.flow.state import (
    AttributeStore,
    GradRead,
)
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Role, Value, element_of, grow, join, moved, replace, unknown
from gradfix.flow.versions import Binding, Definition

#: Kinds of values that get a symbol when they get a name.
_NAMED = frozenset((Kind.UNKNOWN, Kind.TENSOR, Kind.NUMBER, Kind.SEQUENCE))


class Bindings(Expressions):
    """The part of the interpreter that binds targets."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self._serial = 0
        self._owners = set()
        self._tried: list[dict[str, Binding]] = []  # what each ``try`` around us has bound so far

    def bind(self, name: str, node: ast.AST, value: Value, how: str) -> None:
        """Bind ``name`` (a plain name or ``self.attr``) to a value."""
        if value.symbol is None and value.kind in _NAMED:
            self._serial += 1
            value.symbol = f"{name}#{self.scope.name}#{self._serial}"
        scope, flow = self.scope, self.flow
        asked = flow.read_from_inside
        if asked and (scope, name) in asked:
            flow.forget_summaries()
        key = (scope, node, how, name)  # a star binds several names
        definition = flow.definitions.get(key)
        if definition is None:
            definition = Definition(name, node, self.statement, value, how, self.loops)
            flow.definitions[key] = definition
            scope.define(definition)
        else:
            definition.value = value
        if "." in name:
            self._owners.add(name.partition(".")[0])
        elif name in self._owners:
            prefix = f"{name}."
            for path in [path for path in self.state.env if path.startswith(prefix)]:
                self.state.drop(path)
        binding = self.state.put(name, frozenset((definition,)), value)
        for tried in self._tried:
            tried[name] = either(tried[name], binding) if name in tried else binding

    def bind_target(self, target: ast.expr, value: Value, how: str) -> None:
        """Bind an assignment target of any form."""
        if isinstance(target, ast.Name):
            self.bind(target.id, target, value, how)
            self.note(target, value)
        elif isinstance(target, (ast.Tuple, ast.List)):
            self._unpack(target, value, how)
        elif isinstance(target, ast.Starred):
            inner = Value(Kind.SEQUENCE, Role.UNTRACKED, target, element=value, name="list")
            self.bind_target(target.value, inner, how)
        elif isinstance(target, ast.Attribute):
            self._store_attribute(target, value, how)
        elif isinstance(target, ast.Subscript):
            self._store_item(target, value)

    def _unpack(self, target: ast.Tuple | ast.List, value: Value, how: str) -> None:
        count = len(target.elts)
        starred = any(isinstance(item, ast.Starred) for item in target.elts)
        for at, item in enumerate(target.elts):
            if (
                value.kind is Kind.SEQUENCE
                and value.items is not None
                and len(value.items) == count
                and not starred
            ):
                part = value.items[at]
            elif value.kind is Kind.SEQUENCE and not starred:
                part = self.item(item, value, [Value(Kind.NUMBER, const=at)])
                if element_of(value) is part and part.is_tensor:
                    part = replace(part)
            elif value.is_tensor and not starred:
                part = self.item(item, value, [Value(Kind.NUMBER, const=at)])
                part.op = "unbind"
            else:
                part = unknown(item, (value,))
            self.bind_target(item, part, how)

    def _store_attribute(self, target: ast.Attribute, value: Value, how: str) -> None:
        base = self.eval(target.value)
        if target.attr == "grad":
            self.event(GradRead, target, base, target.value, True)
            return
        if target.attr == "requires_grad":
            self.event(AttributeStore, target, base, "requires_grad", value)
        if target.attr == "requires_grad" and base.kind is Kind.UNKNOWN and value.const is True:
            # Only tensors have this flag: now it is known what this is.
            revealed = replace(base, kind=Kind.TENSOR)
            self.replace_everywhere(base, revealed)
            base = revealed
        if target.attr == "requires_grad" and base.is_tensor:
            self.make_leaf(target, base, requires_grad_role(value))
            return
        if target.attr == "data" and base.is_tensor:
            # The leaf gets other memory; what it shares from now on is not followed.
            self.event(AttributeStore, target, base, "data", value)
            self.replace_everywhere(base, moved(base))
            return
        self.event(AttributeStore, target, base, target.attr, value)
        path = dotted(target)
        if path is not None:
            self.bind(path, target, value, how)
            if base.kind is Kind.INSTANCE and self.loud and base is self.flow.self_of(self.scope):
                facts = self.flow.class_facts(self.scope.class_node)
                if facts is not None:
                    classes.bind_attribute(facts, self.scope.name, target.attr, value)

    def _store_item(self, target: ast.Subscript, value: Value) -> None:
        base = self.eval(target.value)
        self.index_parts(target.slice)
        if base.kind is Kind.SEQUENCE:
            base.element = join(found, value) if (found := element_of(base)) is not None else value
            base.items = None
            if isinstance(target.slice, ast.Slice):
                base.length = None
            return
        if base.kind is Kind.DICT:
            base.element = value if base.element is None else join(base.element, value)
            base.inputs = (*base.inputs, value)
            base.attributes = None
            return
        if base.kind is Kind.MODULE:
            grow(base, value)
        if base.kind is Kind.FOREIGN:
            base.inputs = (*base.inputs, value)
            self.flow.made.append(base)
        if base.kind in (Kind.TENSOR, Kind.UNKNOWN):
            self.write(target, base, target.value, "setitem", "copy_", target.slice, (value,))

    def _augmented(self, node: ast.AugAssign) -> None:
        value = self.eval(node.value)
        target = node.target
        if isinstance(target, ast.Subscript):
            base = self.eval(target.value)
            parts = self.index_parts(target.slice)
            old = self.item(target, base, parts)
            if old.is_tensor:
                self.save_in_place(
                    node, operator_name(node.op) + "_", (target, old), (node.value, value)
                )
            if base.kind in (Kind.TENSOR, Kind.UNKNOWN):
                self.write(
                    node,
                    base,
                    target.value,
                    "setitem",
                    operator_name(node.op) + "_",
                    target.slice,
                    (value,),
                )
            elif old.is_tensor and base.kind in (Kind.SEQUENCE, Kind.DICT):
                # ``params[i] -= g`` writes into the tensor that a list holds.
                name = operator_name(node.op) + "_"
                if op_facts(name, "method") is not None:
                    self.write(node, old, target, "augment", name, None, (value,))
            return
        old = self._read_target(target)
        if old.is_tensor:
            name = operator_name(node.op) + "_"
            if op_facts(name, "method") is None:
                self.bind_target(target, unknown(node, (old, value)), "augment")
                return
            arguments = [Argument(None, target, old), Argument(None, node.value, value)]
            result = self.tensor_op(node, name, "method", arguments)
            self._rebind_augmented(target, result)
            return
        if old.kind is Kind.SEQUENCE and value.kind is Kind.SEQUENCE:
            found = element_of(value)
            if found is not None:
                known = element_of(old)
                old.element = found if known is None else join(known, found)
            old.items, old.length = None, None
            return
        name = operator_name(node.op) + "_"
        if isinstance(target, ast.Name) and op_facts(name, "method") is not None:
            self.note_written(node, old, target, "augment", name, (value,))
        result = self.binary(node, node.op, (target, old), (node.value, value))
        if result is old:
            result = replace(old)
        self.bind_target(target, result, "augment")

    def _read_target(self, target: ast.expr) -> Value:
        """The value of an augmented assignment's target before the assignment."""
        if isinstance(target, ast.Name):
            return self._name(target)
        if isinstance(target, ast.Attribute):
            return self.attribute_of(target, self.eval(target.value))
        return unknown(target)

    def _rebind_augmented(self, target: ast.expr, result: Value) -> None:
        """``x += 1`` on a tensor writes into it and binds the same tensor again."""
        name = target.id if isinstance(target, ast.Name) else None
        if isinstance(target, ast.Attribute):
            name = dotted(target)
        binding = self.state.get(name) if name is not None else None
        if name is not None and binding is not None:
            self.state.put(name, binding.definitions, result)
            self.note(target, result)


def either(a: Binding, b: Binding) -> Binding:
    """What a name holds where one of two bindings reaches."""
    return Binding(a.definitions | b.definitions, join(a.value, b.value))
