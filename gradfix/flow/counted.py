"""Code that takes Parameters of a Module by their place, or needs a gradient of each.

``weight, bias = net.parameters()`` raises once the Module registers one more, and
``list(net.parameters())[0]`` is another one: Parameters of the Module itself come before those of
its layers. (https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gradfix.flow import classes
from gradfix.flow.nodes import children, last_name, walk
from gradfix.flow.values import Kind

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow

#: Whether the Parameters of what an expression means can be more than now.
_Grows = Callable[[ast.expr], bool]

_ABOUT_PARAMETERS = ("parameters(", "params", "state_dict(", "repr(",
                     '.weight"', ".weight'", '.bias"', ".bias'")  # fmt: skip
_PARAMETERS = frozenset({"parameters", "named_parameters"})
_HOLDERS = ("Sequential", "ModuleList", "ModuleDict", "Module", "DataParallel")
#: Functions whose result has as many parts as what they are given.
_AS_MANY = frozenset("list tuple sorted reversed iter set frozenset filter map".split())
#: Functions that number what they are given, or go as far as something else.
_NUMBERS = frozenset({"enumerate", "islice", "parameters_to_vector", "vector_to_parameters"})
#: What is asked of the first Parameter because it holds for each of them.
_SHARED = frozenset("device dtype is_cuda get_device data_ptr new_zeros new_ones new_tensor "
                    "new_empty new_full new".split())  # fmt: skip


def of_family(flow: ModuleFlow, family: frozenset[str]) -> _Grows:
    """Whether an expression of this file may be a Module that holds one of these classes."""

    named = re.compile(rf"\b(?:{'|'.join(map(re.escape, family))})\b")

    def grows(node: ast.expr) -> bool:
        value = flow.value(node)
        if value.kind is Kind.MODULE:
            return value.name.endswith(_HOLDERS)
        facts = classes.facts_of(flow, value) if value.kind is Kind.INSTANCE else None
        if facts is None:
            return True
        return any(
            entry.path is not None
            or named.search(flow.text_of(entry.node)) is not None
            or _is_given_modules(entry.node)
            for entry in classes.lineage(flow, facts)
        )

    return grows


def _is_given_modules(node: ast.ClassDef) -> bool:
    """Whether the constructor of a class takes anything that may be a Module."""
    return any(
        isinstance(part, ast.FunctionDef) and part.name == "__init__" and len(part.args.args) > 1
        for part in node.body
    )


def minds_more(tree: ast.AST, text: str, grows: _Grows = lambda _: True) -> ast.AST | None:
    """Where a file unpacks, numbers or changes all Parameters of a Module that has more soon.

    ``grows`` says of a Module's expression whether it is such a one.
    """
    if not mentions_parameters(text):
        return None
    return next(_Listed(tree, grows).minding(), None)


def needs_gradients(tree: ast.AST, text: str, grows: _Grows = lambda _: True) -> ast.AST | None:
    """Where a file needs a gradient of every Parameter, so that one that is not used raises."""
    if not mentions_parameters(text) or "grad" not in text:
        return None
    return next(_Listed(tree, grows).needing(), None)


def mentions_parameters(text: str) -> bool:
    """Whether a text may be about the Parameters of a Module at all."""
    return any(word in text for word in _ABOUT_PARAMETERS)


@dataclass(slots=True)
class _Listed:
    """The Parameters of growing Modules in one file: their lists, and the names of those."""

    tree: ast.AST
    grows: _Grows
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    mappings: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        for node in walk(self.tree):
            for child in children(node):
                self.parents[child] = node
        for node in walk(self.tree):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                name = _name(node.targets[0])
                if name and self.is_list(node.value):
                    self.names.add(name)
                elif name and self.is_mapping(node.value):
                    self.mappings.add(name)
                elif name and self.is_number(node.value):
                    self.numbers.add(name)
                elif isinstance(node.targets[0], ast.Subscript):
                    self.mappings.add(_name(node.targets[0].value))

    # -- what is a list of them ---------------------------------------------------------------

    def is_list(self, node: ast.AST) -> bool:
        """Whether an expression has one part for each of the Parameters, in order."""
        if isinstance(node, ast.Call):
            asked = last_name(node.func)
            if asked in _PARAMETERS and isinstance(node.func, ast.Attribute):
                return self.grows(node.func.value)
            if asked in ("items", "keys", "values") and isinstance(node.func, ast.Attribute):
                return self.is_mapping(node.func.value)
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            return (asked in _AS_MANY or asked == "grad") and any(map(self.is_list, given))
        if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp)):
            return any(self.is_list(part.iter) for part in node.generators)
        if isinstance(node, (ast.List, ast.Tuple)):
            return any(isinstance(part, ast.Starred) and self.is_list(part) for part in node.elts)
        if isinstance(node, ast.Starred):
            return self.is_list(node.value)
        if isinstance(node, ast.BinOp):
            return isinstance(node.op, ast.Add) and (
                self.is_list(node.left) or self.is_list(node.right)
            )
        if isinstance(node, ast.Subscript):
            return isinstance(node.slice, ast.Constant) and node.slice.value == "params"
        return isinstance(node, (ast.Name, ast.Attribute)) and _name(node) in self.names

    def is_mapping(self, node: ast.AST) -> bool:
        """Whether an expression has the Parameters under their names."""
        if isinstance(node, ast.DictComp):
            return any(self.is_list(part.iter) for part in node.generators)
        if isinstance(node, ast.Call):
            if last_name(node.func) in ("state_dict", "keys", "set", "list", "sorted", "dict"):
                of = node.func.value if isinstance(node.func, ast.Attribute) else None
                if of is not None and last_name(node.func) == "state_dict":
                    return "optim" not in last_name(of) and self.grows(of)
                given = [of] if of is not None else node.args
                return any(self.is_mapping(part) or self.is_list(part) for part in given)
        return isinstance(node, (ast.Name, ast.Attribute)) and _name(node) in self.mappings

    def is_number(self, node: ast.AST) -> bool:
        """Whether an expression counts them, or their elements."""
        if isinstance(node, ast.Call) and last_name(node.func) in ("len", "sum") and node.args:
            return self.is_list(node.args[0]) or self.is_mapping(node.args[0])
        return isinstance(node, ast.Name) and node.id in self.numbers

    # -- who minds ------------------------------------------------------------------------------

    def minding(self) -> Iterator[ast.AST]:
        """Where it matters that there is one more."""
        for node in walk(self.tree):
            if isinstance(node, ast.Assign):
                apart = isinstance(node.targets[0], (ast.Tuple, ast.List))
                found = apart and self.is_list(node.value)
            elif isinstance(node, ast.Subscript):
                found = self.is_list(node.value) and not _is_text(node.slice)
            elif isinstance(node, ast.Call):
                found = self._takes_by_place(node)
            elif isinstance(node, ast.For):
                found = self._goes_through(node.iter) and _takes_apart(node)
                found = found or (self.is_list(node.iter) and _changes_all(node))
                found = found or self._looks_up(node.target, node.iter, _in_body(node))
            elif isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
                inside = list(walk(node))
                found = any(self._looks_up(g.target, g.iter, inside) for g in node.generators)
            elif isinstance(node, (ast.Assert, ast.If)):
                # What is only said about their number is meant to change.
                raises = isinstance(node, ast.Assert) or isinstance(node.body[-1], ast.Raise)
                found = raises and any(map(self._is_any, walk(node.test)))
            else:
                found = False
            if found:
                yield node

    def _looks_up(self, target: ast.expr, iterated: ast.expr, body: list[ast.AST]) -> bool:
        """Whether a loop looks the names of Parameters up in a table that has no new ones."""
        if not self._goes_through(iterated):
            return False
        names = {n.id for n in walk(target) if isinstance(n, ast.Name)}
        return any(
            isinstance(node, ast.Subscript)
            and isinstance(node.ctx, ast.Load)
            and isinstance(node.value, (ast.Name, ast.Attribute))
            and _name(node.value) not in self.mappings | names
            and any(isinstance(n, ast.Name) and n.id in names for n in walk(node.slice))
            for node in body
        )

    def _is_any(self, node: ast.AST) -> bool:
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return any(map(_is_parameters_name, node.elts))
        if isinstance(node, ast.Call) and last_name(node.func) == "repr":
            return any(map(self.grows, node.args))
        return self.is_list(node) or self.is_mapping(node) or self.is_number(node)

    def _takes_by_place(self, node: ast.Call) -> bool:
        asked, given = last_name(node.func), node.args
        if asked.startswith("assert"):  # of unittest, or of `torch.testing`
            return any(map(self._is_any, given))
        if asked == "zip":
            listed = [self.is_list(part) for part in given]
            alone = len(given) == 1 and isinstance(given[0], ast.Starred)
            return any(listed) and not all(listed) and not alone
        if asked == "next" and given and self.is_list(given[0]):
            parent = self.parents.get(node)
            return not (isinstance(parent, ast.Attribute) and parent.attr in _SHARED)
        return asked in _NUMBERS and any(map(self.is_list, given))

    def needing(self) -> Iterator[ast.AST]:
        """Where each of them has to have a gradient."""
        for node in walk(self.tree):
            if isinstance(node, ast.Call) and last_name(node.func) == "grad":
                unused = any(keyword.arg == "allow_unused" for keyword in node.keywords)
                if not unused and len(node.args) > 1 and self.is_list(node.args[1]):
                    yield node
            elif isinstance(node, (ast.For, ast.comprehension)) and self._goes_through(node.iter):
                parts = node.body if isinstance(node, ast.For) else [self.parents[node]]
                reads = [n for p in parts for n in walk(p)]
                grads = [n for n in reads if isinstance(n, ast.Attribute) and n.attr == "grad"]
                if any(map(self._is_computed_with, grads)) and not any(map(_asks_for_none, reads)):
                    yield node if isinstance(node, ast.For) else self.parents[node]

    def _is_computed_with(self, grad: ast.Attribute) -> bool:
        """Whether None would not do here."""
        parent = self.parents.get(grad)
        if isinstance(parent, ast.Call):
            return last_name(parent.func) not in ("append", "print")
        return isinstance(parent, (ast.Attribute, ast.BinOp, ast.AugAssign, ast.UnaryOp))

    def _goes_through(self, node: ast.expr) -> bool:
        zipped = isinstance(node, ast.Call) and last_name(node.func) in ("zip", "enumerate")
        inner = node.args if zipped and isinstance(node, ast.Call) else [node]
        return any(map(self.is_list, inner))


def _takes_apart(loop: ast.For) -> bool:
    """Whether a loop over Parameters takes their names or shapes apart.

    A Parameter of the Module itself has no dot in its name, and may be of any shape.
    """
    for node in _in_body(loop):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Tuple, ast.List)):
            if not isinstance(node.value, (ast.Tuple, ast.List)):
                return True
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            of = node.value.func if isinstance(node.value, ast.Call) else node.value
            if last_name(of) in ("shape", "split", "size"):
                return True
    return False


def _changes_all(loop: ast.For) -> bool:
    """Whether a loop over Parameters fills or freezes them, and is no step of training."""
    names = {n.id for n in walk(loop.target) if isinstance(n, ast.Name)}
    body = _in_body(loop)
    asked = {node.attr for node in body if isinstance(node, ast.Attribute)}
    fills = any(_fills(node, names) for node in body)
    return "requires_grad" in asked or (fills and "grad" not in asked)


def _fills(node: ast.AST, names: set[str]) -> bool:
    """Whether what has one of these names is written to: ``p.data = x``, ``init.zeros_(p)``."""
    if isinstance(node, ast.Call) and last_name(node.func).endswith("_"):
        of = node.func.value if isinstance(node.func, ast.Attribute) else node.func
        root = _root(of)
        given = root in ("nn", "torch", "init") or isinstance(node.func, ast.Name)
        return root in names or (given and any(_root(part) in names for part in node.args))
    stored = isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store)
    return stored and _root(node) in names


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return getattr(node, "id", "")


def _in_body(loop: ast.For) -> list[ast.AST]:
    return [node for part in loop.body for node in walk(part)]


def _asks_for_none(node: ast.AST) -> bool:
    """``p.grad is not None``, ``if p.grad``: who asks can do without."""
    if isinstance(node, ast.Compare):
        return any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops)
    return isinstance(node, (ast.If, ast.IfExp)) and last_name(node.test) == "grad"


def _is_parameters_name(node: ast.expr) -> bool:
    """``"body.weight"``."""
    return _is_text(node) and ast.literal_eval(node).endswith((".weight", ".bias"))


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _name(node: ast.AST) -> str:
    """A name, or that of an attribute of ``self``."""
    return ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""
