"""Which weights an expression gives access to, without a copy in between.

NOTE: terms
    A *memory* is one weight (``net.fc.weight``), every weight of a Module (``net.state_dict()``),
    or an element of those (``p`` in ``for p in net.parameters()``). It is named by a path of names
    and attributes and by the definitions of the path's first name. The *origin* is the name under
    which code keeps it; without one, the expression reads the weights as they are now.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from gradfix.flow import classes
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import own_nodes, reaching, uses_of
from gradfix.flow.nodes import LOOPS, children, walk
from gradfix.flow.state import Scope
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind
from gradfix.flow.versions import Definition

#: What the methods that list a Module's weights give: values, pairs of name and value, a dict.
_LISTINGS = {"parameters": "list", "named_parameters": "pairs", "state_dict": "dict"}
#: What makes one container of the same elements out of another.
_COLLECTORS = {
    "builtins.list": {"list": "list", "pairs": "pairs"},
    "builtins.tuple": {"list": "list", "pairs": "pairs"},
    "builtins.dict": {"pairs": "dict", "dict": "dict"},
    "collections.OrderedDict": {"pairs": "dict", "dict": "dict"},
    "copy.copy": {"list": "list", "pairs": "pairs", "dict": "dict"},
}
_COPIES = frozenset({"clone", "copy", "cpu"})
_MODULE_METHODS = frozenset({"parameters", "named_parameters", "train", "eval", "modules"})
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)


@dataclass(frozen=True, slots=True)
class Memory:
    """Weights that an expression shares.

    ``form`` is "one" (a tensor or array), or the container's: "list", "pairs", "dict". ``each``
    says that it is an element of a container. ``taken`` is the expression that would have to copy,
    and ``how`` it takes the weights: "numpy", "tensor", "leaf", or the name of a listing method.
    """

    path: str
    roots: frozenset[Definition]
    form: str
    taken: ast.expr
    how: str
    each: bool = False
    origin: Definition | None = None
    copied: bool = False

    def through(self, node: ast.expr, how: str) -> Memory:
        """The same weights reached by one more step; what is kept was taken where it was kept."""
        return self if self.origin is not None else replace(self, taken=node, how=how)

    @property
    def place(self) -> tuple[str, frozenset[Definition]]:
        """What two expressions for the same weights have in common."""
        return self.path, self.roots


class Memories:
    """The memories of the expressions of one scope."""

    def __init__(self, flow: ModuleFlow, scope: Scope) -> None:
        self.flow = flow
        self.scope = scope
        self._busy: set[ast.AST] = set()

    def of(self, node: ast.expr, *, copies: bool = False) -> list[Memory]:
        """The memories that the value of an expression may share (or be a copy of)."""
        if node in self._busy or len(self._busy) > 40:
            return []
        self._busy.add(node)
        try:
            return list(self._of(node, copies))
        finally:
            self._busy.discard(node)

    def _of(self, node: ast.expr, copies: bool) -> Iterator[Memory]:
        if isinstance(node, ast.Name) or (
            isinstance(node, ast.Attribute) and reaching(self.scope, node)
        ):
            yield from self._name(node, copies)
        elif isinstance(node, ast.Attribute):
            if node.attr in ("data", "T", "mT"):
                for found in self._tensors(node.value, copies, detached=True):
                    yield found.through(node, found.how if found.how == "numpy" else "tensor")
            elif self._is_weight(node):
                yield from self._path(node)
        elif isinstance(node, ast.Subscript):
            yield from self._item(node, copies)
        elif isinstance(node, _COMPREHENSIONS):
            yield from self._comprehension(node)
        elif isinstance(node, ast.Call):
            yield from self._call(node, copies)

    # -- names --------------------------------------------------------------------------------

    def _name(self, node: ast.expr, copies: bool) -> Iterator[Memory]:
        for definition in reaching(self.scope, node):
            if definition.how == "for":
                yield from self._loop_variable(definition, copies)
            value = assigned_value(definition)
            if value is None:
                continue
            if definition.value.is_leaf and isinstance(value, ast.Call):
                name = definition.name
                yield Memory(name, frozenset({definition}), "one", node, "leaf")
            else:
                for found in self.of(value, copies=copies):
                    yield replace(found, origin=definition)
                yield from self._collected(definition, value)

    def _collected(self, definition: Definition, value: ast.expr) -> Iterator[Memory]:
        """``kept = []`` that ``append`` or ``kept[name] = `` in a loop over the weights fills."""
        if not isinstance(value, (ast.List, ast.Dict)) or children(value):
            return
        for use in uses_of(self.scope, definition):
            added = added_to(self.flow, use)
            for found in self.of(added) if added is not None else ():
                if found.each and found.form == "one":
                    form = "list" if isinstance(value, ast.List) else "dict"
                    yield replace(found, form=form, each=False, origin=definition)

    def _loop_variable(self, definition: Definition, copies: bool) -> Iterator[Memory]:
        at: ast.AST | None = definition.node
        while at is not None and not isinstance(at, (ast.For, ast.comprehension)):
            at = self.flow.parents.get(at)
        if isinstance(at, (ast.For, ast.comprehension)):
            yield from self._iterated(at.iter, at.target, definition.node, copies)

    def _iterated(
        self, iterable: ast.expr, target: ast.expr, name: ast.AST, copies: bool
    ) -> Iterator[Memory]:
        """What a loop over ``iterable`` binds the one name of its target to."""
        if target is name:
            for found in self.of(iterable, copies=copies):
                if found.form == "list":
                    yield _element(found)
            return
        if not isinstance(target, ast.Tuple):
            return
        at = next((i for i, t in enumerate(target.elts) if name in set(walk(t))), None)
        function = self._called(iterable)
        if at is None:
            return
        if isinstance(iterable, ast.Call) and function == "builtins.zip":
            if at < len(iterable.args):
                yield from self._iterated(iterable.args[at], target.elts[at], name, copies)
        elif isinstance(iterable, ast.Call) and function == "builtins.enumerate" and iterable.args:
            if at == 1:
                yield from self._iterated(iterable.args[0], target.elts[1], name, copies)
        elif at == 1 and target.elts[1] is name:
            for found in self.of(iterable, copies=copies):
                if found.form == "pairs":
                    yield _element(found)

    # -- expressions --------------------------------------------------------------------------

    def _tensors(self, node: ast.expr, copies: bool, *, detached: bool) -> Iterator[Memory]:
        """The memories of a tensor; ``detached`` when what is done to it only suits a tensor."""
        found = [memory for memory in self.of(node, copies=copies) if memory.form == "one"]
        if not found and detached and isinstance(node, ast.Attribute):
            if node.attr in ("weight", "bias") and self.flow.value(node).needs_grad is (
                Certainty.MAYBE
            ):
                found = list(
                    self._path(node)
                )  # ``layer.weight.detach()`` of a layer not known here
        yield from found

    def _path(self, node: ast.expr) -> Iterator[Memory]:
        root = root_of(node)
        if root is not None:
            yield Memory(
                ast.unparse(node), reaching(self.scope, root), "one", node, "leaf"
            )  # fmt: skip

    def _is_weight(self, node: ast.Attribute) -> bool:
        value = self.flow.value(node)
        return value.is_leaf and value.parameter and root_of(node) is not None

    def _item(self, node: ast.Subscript, copies: bool) -> Iterator[Memory]:
        for found in self.of(node.value, copies=copies):
            if found.form == "one" and self._is_basic(node.slice):
                yield found.through(node, "numpy" if found.how == "numpy" else "tensor")
            elif found.form in ("list", "dict") and not isinstance(node.slice, ast.Slice):
                yield _element(found)

    def _is_basic(self, index: ast.expr) -> bool:
        parts = index.elts if isinstance(index, ast.Tuple) else [index]
        return all(
            isinstance(part, ast.Slice) or self.flow.value(part).kind is Kind.NUMBER
            for part in parts
        )

    def _comprehension(self, node: ast.expr) -> Iterator[Memory]:
        element = node.value if isinstance(node, ast.DictComp) else getattr(node, "elt", None)
        if len(getattr(node, "generators", ())) != 1 or element is None:
            return
        form = "dict" if isinstance(node, ast.DictComp) else "list"
        if isinstance(element, ast.Tuple) and len(element.elts) == 2:
            element, form = element.elts[1], "pairs"
        for found in self.of(element):
            if found.each and found.form == "one":
                if not within(self.flow, found.taken, element):
                    found = found.through(element, found.how)  # ``v`` of a loop over the listing
                yield replace(found, form=form, each=False, origin=None)

    def _call(self, node: ast.Call, copies: bool) -> Iterator[Memory]:
        function = self._called(node)
        if function in _COLLECTORS and len(node.args) == 1 and not node.keywords:
            for found in self.of(node.args[0], copies=copies):
                form = _COLLECTORS[function].get(found.form)
                if form is not None:
                    yield replace(found.through(node, found.how), form=form)
        elif function == "numpy.asarray" and node.args:
            for found in self._tensors(node.args[0], copies, detached=False):
                yield found.through(node, "numpy")
        elif isinstance(node.func, ast.Attribute):
            yield from self._method(node, node.func, copies)

    def _method(self, node: ast.Call, func: ast.Attribute, copies: bool) -> Iterator[Memory]:
        name = func.attr
        if name in _LISTINGS and not node.args and self._is_module(func.value, name):
            root = root_of(func.value)
            if root is not None:
                roots = reaching(self.scope, root)
                path = ast.unparse(func.value)
                yield Memory(path, roots, _LISTINGS[name], node, name)
        elif name in ("items", "values", "copy"):
            form = {"items": "pairs", "values": "list", "copy": "dict"}[name]
            for found in self.of(func.value, copies=copies):
                if found.form == "dict":
                    taken = found.through(node, found.how) if name == "copy" else found
                    yield replace(taken, form=form)
        if name in _COPIES and copies:
            for found in self._tensors(func.value, copies, detached=name != "copy"):
                yield replace(found.through(node, found.how), copied=True)
            return
        op = op_facts(name, "method")
        view = op is not None and bool(op.view) and not op.maybe_copy and not op.multi_view
        if name in ("detach", "numpy") or view or (name == "cpu" and self._stays_on_cpu):
            for found in self._tensors(func.value, copies, detached=not view):
                if not view or found.how != "numpy":
                    yield found.through(node, "numpy" if name == "numpy" else "tensor")

    @property
    def _stays_on_cpu(self) -> bool:
        """Whether the file knows no devices, so that ``.cpu()`` gives the tensor itself."""
        return "cuda" not in self.flow.text and "device" not in self.flow.text

    def _called(self, node: ast.expr) -> str:
        value = self.flow.value(node.func) if isinstance(node, ast.Call) else None
        return value.name if value is not None and value.kind is Kind.REFERENCE else ""

    def _is_module(self, node: ast.expr, method: str) -> bool:
        """Whether a listing method is that of an ``nn.Module``."""
        value = self.flow.value(node)
        if value.kind is Kind.INSTANCE:
            own = classes.method(self.flow, value, method)
            return own is None and classes.is_module(self.flow, value)
        if value.kind is not Kind.UNKNOWN:
            return value.kind is Kind.MODULE
        if method != "state_dict":
            return True
        text = ast.unparse(node)  # optimizers and schedulers have a ``state_dict``, too
        whole = self.scope.class_node if text.startswith("self.") else None
        for other in own_nodes(self.scope) if whole is None else walk(whole):
            if isinstance(other, ast.Call):
                func = other.func
                if isinstance(func, ast.Attribute) and func.attr in _MODULE_METHODS:
                    func = func.value
                if func is not node and ast.unparse(func) == text:
                    return True
        return False


def _element(container: Memory) -> Memory:
    """One of the weights that a container holds."""
    how = {"parameters": "leaf", "named_parameters": "leaf", "state_dict": "tensor"}
    known = how.get(container.how, container.how) if container.origin is None else container.how
    return replace(container, form="one", each=True, how=known)


def assigned_value(definition: Definition) -> ast.expr | None:
    """The expression of ``name = expression``; None for any other definition."""
    statement = definition.statement
    if isinstance(statement, ast.Assign) and statement.targets == [definition.node]:
        return statement.value
    if isinstance(statement, ast.AnnAssign) and statement.target is definition.node:
        return statement.value
    return None


def root_of(node: ast.AST) -> ast.Name | None:
    """The first name of ``name.attribute[0]...``; None for any other expression."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
            return None
        node = node.value
    return node if isinstance(node, ast.Name) else None


def added_to(flow: ModuleFlow, use: ast.AST) -> ast.expr | None:
    """What ``use.append(x)`` or ``use[key] = x`` puts into a container."""
    parent = flow.parents.get(use)
    around = flow.parents.get(parent) if parent is not None else None
    if isinstance(parent, ast.Attribute) and parent.attr == "append":
        if isinstance(around, ast.Call) and around.func is parent and len(around.args) == 1:
            return around.args[0]
    if isinstance(parent, ast.Subscript) and parent.value is use and isinstance(around, ast.Assign):
        return around.value if around.targets == [parent] else None
    return None


def loops_around(flow: ModuleFlow, node: ast.AST) -> list[ast.AST]:
    """The loop statements around a node, innermost first."""
    found: list[ast.AST] = []
    at = flow.parents.get(node)
    while at is not None and not isinstance(at, (ast.FunctionDef, ast.AsyncFunctionDef)):
        if isinstance(at, LOOPS):
            found.append(at)
        at = flow.parents.get(at)
    return found


def within(flow: ModuleFlow, node: ast.AST, around: ast.AST) -> bool:
    """Whether a node stands inside another."""
    at: ast.AST | None = node
    while at is not None and at is not around:
        at = flow.parents.get(at)
    return at is around


def related(one: str, other: str) -> bool:
    """Whether two paths name the same thing, or one a part of the other."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")


def defined_inside(flow: ModuleFlow, roots: Iterable[Definition], loop: ast.AST) -> bool:
    """Whether a path means another object in every turn of a loop."""
    return any(d.statement is not None and within(flow, d.node, loop) for d in roots)
