"""Attributes of Modules that hold something to train and are not registered."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gradfix.flow import classes
from gradfix.flow.containers import Container, attribute_nodes, is_own_store, stored
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import bound_to, is_returned
from gradfix.flow.nodes import walk
from gradfix.flow.reached import bodies_of_forward, run_by
from gradfix.flow.registered import is_weighted, registers_by_hand
from gradfix.flow.state import AttributeStore, Call, GradRead, OptimizerMade
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Role, Value
from gradfix.model import Note
from gradfix.words import mentions

#: Functions of ``nn.init`` that fill with one number, as is done for buffers, too.
_CONSTANT = frozenset({"constant_", "zeros_", "ones_", "constant", "zeros", "ones", "eye_"})
_PRODUCTS = frozenset({"matmul", "mm", "bmm", "linear"})
_VIEWS = frozenset({"t", "transpose", "permute", "unsqueeze", "expand", "view", "reshape"})
_Story = tuple[ast.AST, tuple[Note, ...]]


@dataclass(frozen=True, slots=True)
class Hidden:
    """A tensor attribute that requires grad: ``data`` is its source without the flag."""

    store: AttributeStore
    facts: classes.ClassFacts
    node: ast.expr
    data: str
    use: ast.AST
    trouble: str


def _single_stores(
    flow: ModuleFlow, wanted: Callable[[Value], bool]
) -> Iterator[tuple[AttributeStore, classes.ClassFacts, ast.expr]]:
    """``self.name = expression`` in constructors of Modules, the only assignment of the name.

    Only values that are ``wanted``: the other questions are about the whole file and cost more.
    """
    for store in list(flow.all(AttributeStore)):
        if not wanted(store.value):
            continue
        if not is_own_store(flow, store) or store.scope.name not in run_by(
            flow, store.scope.class_node, "__init__"
        ):
            continue
        facts = flow.class_facts(store.scope.class_node)
        node = stored(store)
        if facts is None or node is None or registers_by_hand(flow, facts):
            continue
        if classes.used_elsewhere(flow, facts, store.name):
            continue
        nodes = attribute_nodes(flow, facts, store.name)
        if all(isinstance(use.ctx, ast.Load) for use in nodes if use is not store.node):
            yield store, facts, node


def tensors(flow: ModuleFlow) -> Iterator[Hidden]:
    """Leaves that are no Parameters, and that ``forward`` computes with."""
    for store, facts, node in _single_stores(flow, lambda v: v.is_leaf and not v.parameter):
        value = store.value
        if value.node is not node:
            continue
        if not isinstance(node, ast.Call) or _is_trained_by_hand(flow, store.name):
            continue
        flow.complete()
        use = next(_operands(flow, facts, store.name), None)
        if use is not None:
            data = _without_flag(flow, node, value)
            trouble = "" if data else "how the tensor is made is not understood"
            yield Hidden(store, facts, node, data, use, trouble)


def of_classes(flow: ModuleFlow) -> Iterator[_Story]:
    """Parameters and layers with weights that a class body binds, and that ``forward`` uses.

    A Module registers what is assigned to its own attributes, not to those of its class.
    (https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html)
    """
    for scope in flow.scopes:
        facts = flow.class_facts(scope.node) if flow.is_own(scope.node) else None
        if facts is None or facts.node.decorator_list:
            continue
        owner = Value(Kind.CLASS, definition=scope.node)
        for definition in scope.definitions:
            name, node = definition.name, bound_to(definition)
            if node is None or not is_weighted(flow, flow.value(node)):
                continue
            if not classes.is_module(flow, owner):
                break  # asked last: what it is derived from may be in other files
            if facts.written.get(name) != 1 or registers_by_hand(flow, facts):
                continue
            if any(not isinstance(node.ctx, ast.Load) for node in flow.attributes(name)):
                continue
            if classes.used_elsewhere(flow, facts, name) or _is_trained_by_hand(flow, name):
                continue
            flow.complete()
            use = next(_uses(flow, facts, name), None)
            if use is not None:
                yield definition.node, (flow.note(use, "used here, and never trained"),)


def _uses(flow: ModuleFlow, facts: classes.ClassFacts, name: str) -> Iterator[ast.Attribute]:
    """The uses of ``self.name`` in what ``forward`` computes."""
    for body in bodies_of_forward(flow, facts):
        for node in walk(body):
            if isinstance(node, ast.Attribute) and node.attr == name and _is_self(node.value):
                yield node


def _is_trained_by_hand(flow: ModuleFlow, name: str) -> bool:
    """Whether an optimizer is given the attribute itself, or its gradient is asked for.

    What is put into a list that is kept, returned or added to is handed to somebody who does that,
    as the architecture parameters of a search are.
    """
    if any(_is_listed(flow, node) for node in flow.attributes(name)):
        return True
    asked = [c.statement for c in flow.all(Call) if c.name.startswith("torch.autograd.")]
    for statement in (*asked, *(made.statement for made in flow.all(OptimizerMade))):
        if any(isinstance(n, ast.Attribute) and n.attr == name for n in walk(statement)):
            return True
    return any(
        isinstance(read.base, ast.Attribute) and read.base.attr == name
        for read in flow.all(GradRead)
    )


def _is_listed(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether a list of tensors that is no operand takes an attribute along."""
    parent = flow.parents.get(node)
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Attribute):
        return node in parent.args and parent.func.attr in ("append", "extend", "insert")
    if isinstance(parent, ast.Yield) or is_returned(flow, node):
        return True
    if not isinstance(parent, (ast.List, ast.Tuple, ast.Set, ast.Dict)):
        return False
    return not isinstance(flow.parents.get(parent), (ast.Call, ast.For, ast.Subscript))


def _operands(flow: ModuleFlow, facts: classes.ClassFacts, name: str) -> Iterator[ast.Attribute]:
    """The uses of ``self.name`` as an operand in what ``forward`` computes."""
    for node in _uses(flow, facts, name):
        parent = flow.parents.get(node)
        if isinstance(parent, (ast.BinOp, ast.UnaryOp)):
            yield node
        elif isinstance(parent, ast.Attribute):
            if _is_differentiated_by(flow, parent):
                yield node
        elif isinstance(parent, ast.Call) and node in parent.args:
            function = flow.value(parent.func)
            if function.kind is Kind.REFERENCE and function.name.startswith("torch."):
                if flow.value(parent).is_tensor and function.name.count(".") <= 3:
                    yield node


def _is_differentiated_by(flow: ModuleFlow, method: ast.Attribute) -> bool:
    """Whether a method of a tensor is called that passes on a gradient."""
    call, op = flow.parents.get(method), op_facts(method.attr, "method")
    if not isinstance(call, ast.Call) or call.func is not method or op is None:
        return False
    return op.differentiable and not op.zero_grad and flow.value(call).is_tensor


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _without_flag(flow: ModuleFlow, node: ast.Call, value: Value) -> str:
    """The source of the data of a leaf; empty where its form is not known."""
    if any(k.arg is None for k in node.keywords):
        return ""
    if value.op == "requires_grad_" and isinstance(node.func, ast.Attribute):
        return flow.source_of(node.func.value)
    if value.op == "Variable" and len(node.args) == 1:
        return flow.source_of(node.args[0])
    if any(k.arg == "requires_grad" for k in node.keywords):
        parts = [*node.args, *(k for k in node.keywords if k.arg != "requires_grad")]
        return f"{flow.source_of(node.func)}({', '.join(map(flow.source_of, parts))})"
    return ""


def random_tensors(flow: ModuleFlow) -> Iterator[_Story]:
    """Plain random tensors that are multiplied with values that are trained."""
    if not mentions(flow.text, "rand"):
        return
    for store, facts, node in _single_stores(flow, _is_random_constant):
        if store.value.node is not node:
            continue
        flow.complete()
        products = (_product_with_trained(flow, use) for use in _uses(flow, facts, store.name))
        product = next((one for one in products if one is not None), None)
        if product is not None:
            yield node, (flow.note(product, "multiplied with a trained value here"),)


def initialised_tensors(flow: ModuleFlow) -> Iterator[_Story]:
    """Plain tensors that ``nn.init`` fills as if they were weights, and that ``forward`` uses."""
    filled = _initialised(flow)
    for store, facts, node in _single_stores(flow, _is_plain) if filled else ():
        flow.complete()
        uses = set(attribute_nodes(flow, facts, store.name))
        place = next(
            (
                call
                for statement, call in filled.items()
                if any(part in uses for part in walk(statement))
            ),
            None,
        )
        if place is None or (store.value.node is not node and place is not node):
            continue
        if next(_operands(flow, facts, store.name), None) is not None:
            yield node, (flow.note(place, "and filled like a weight here"),)


def initialised_element(flow: ModuleFlow, found: Container) -> ast.expr | None:
    """A plain tensor in a list that ``nn.init`` fills like a weight, where ``forward`` reads it."""
    calls = [e for e in found.elements if isinstance(e, ast.Call) and _is_plain(flow.value(e))]
    filled = _initialised(flow).values() if calls else ()
    element = next((call for call in calls if call in filled), None)
    if element is None:
        return None
    reached = {node for body in bodies_of_forward(flow, found.facts) for node in walk(body)}
    return element if any(read in reached for read in found.reads) else None


def _initialised(flow: ModuleFlow) -> dict[ast.stmt, ast.AST]:
    """The calls that fill a tensor with random numbers, as is done for weights."""
    return {
        call.statement: call.node
        for call in flow.all(Call)
        if call.name.startswith("torch.nn.init.") and call.name.rpartition(".")[2] not in _CONSTANT
    }


def _is_plain(value: Value) -> bool:
    return value.is_tensor and not value.parameter and not value.role & ~Role.UNTRACKED


def _is_random_constant(value: Value) -> bool:
    return value.op in ("randn", "rand") and value.needs_grad is Certainty.NO


def _product_with_trained(flow: ModuleFlow, use: ast.expr) -> ast.AST | None:
    """The matrix product of the tensor, or a view of it, with a value that has a history."""
    node = use
    while True:
        parent = flow.parents.get(node)
        if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.MatMult):
            other = parent.right if parent.left is node else parent.left
            return parent if flow.value(other).is_tracked else None
        if isinstance(parent, ast.Call) and node in parent.args:
            given = [flow.value(argument) for argument in parent.args if argument is not node]
            if isinstance(parent.func, ast.Attribute):
                given.append(flow.value(parent.func.value))
                if parent.func.attr in _PRODUCTS and any(value.is_tracked for value in given):
                    return parent
            return None
        if isinstance(parent, ast.Attribute) and parent.attr in ("T", "mT"):
            node = parent
            continue
        call = flow.parents.get(parent) if isinstance(parent, ast.Attribute) else None
        if (
            isinstance(call, ast.Call)
            and isinstance(parent, ast.Attribute)
            and parent.attr in _VIEWS
        ):
            node = call
            continue
        return None


def helpers(flow: ModuleFlow) -> Iterator[_Story]:
    """Objects that hold layers of their own, are no Modules, and are attributes of Modules."""
    plain = [
        statement
        for statement in classes.statements(flow.tree.body)
        if isinstance(statement, ast.ClassDef) and not statement.bases
    ]
    if not plain or flow.freezes_parameters:
        return
    layers = _names_of_layers(flow)
    if not any(any(word in flow.text_of(one) for word in layers) for one in plain):
        return
    if not classes.has_modules(flow):
        return
    flow.complete()
    for store, facts, node in _single_stores(flow, lambda v: v.kind is Kind.INSTANCE):
        made = store.value
        inner = classes.facts_of(flow, made)
        if inner is None or not isinstance(node, ast.Call):
            continue
        if classes.is_module(flow, made) or not classes.known_bases(flow, inner):
            continue
        own = _own_weights(flow, inner)
        uses = [n for n in attribute_nodes(flow, facts, store.name) if n is not store.node]
        if own is None or "parameters" in inner.methods or inner.dynamic:
            continue
        reached = {part for body in bodies_of_forward(flow, facts) for part in walk(body)}
        if uses and all(use in reached for use in uses):
            yield node, (
                flow.note(own, "this layer is made in a class that is no Module"),
                flow.note(uses[0], "and used in forward"),
            )


def _names_of_layers(flow: ModuleFlow) -> set[str]:
    """How this file calls what is in ``torch.nn``, up to the dot or the bracket that follows."""
    found = set()
    for definition in flow.scopes[0].definitions:
        value = definition.value
        if value.kind is Kind.REFERENCE and value.name == "torch":
            found.add(f"{definition.name}.nn.")
        elif value.kind is Kind.REFERENCE and f"{value.name}.".startswith("torch.nn."):
            found |= {f"{definition.name}.", f"{definition.name}("}
    return found


def _own_weights(flow: ModuleFlow, facts: classes.ClassFacts) -> ast.AST | None:
    """A layer with weights that the class itself makes."""
    inside = set(walk(facts.node))
    for found in facts.assigned.values():
        for value in found:
            if value.node in inside and is_weighted(flow, value):
                return value.node
    return None
