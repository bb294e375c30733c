"""Which functions of a file can have a finding at all: a filter for speed, never a rule.

Most functions only compute and return. Telling them apart by their text and the kinds of their
statements costs a small part of interpreting them. A function that does not *tell* is interpreted
when somebody asks for what it returns or binds (see `ModuleFlow.complete`), so that a fact never
depends on this filter; only where findings are looked for does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Container, Iterable, Sequence
from functools import cached_property

from gradfix.flow import classes
from gradfix.flow.nodes import last_name, walk
from gradfix.flow.telling_words import TellingWords

#: What matters in a function that runs with grad mode off: leaves, and grad mode itself.
_WITHOUT_GRAD = re.compile(
    r"requires_grad|optim|backward|zero_grad|Variable|setattr|add_module|register_|enable_grad"
    r"|set_grad_enabled|state_dict\(|parameters\(|\.grad\b|Parameter\(|ModuleList|ModuleDict|yield"
    r"|return[ \t]+(?!None\b)\S"  # what it returns has lost its history
)
_DISCARDED = ("masked_", "clamp", "detach", "scatter", "index_")
_DISCARDED_EXACTLY = frozenset("squeeze unsqueeze clip add sub mul div".split())
_CONTAINERS = frozenset(
    "len int str dict list set tuple range sorted defaultdict OrderedDict Counter deque".split()
)
#: Functions whose result is a number or a string.
_NUMBERS = frozenset("len int str float bool min max sum abs round range isinstance".split())
_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_PLAIN = (ast.JoinedStr, *_DISPLAYS, ast.ListComp, ast.SetComp, ast.DictComp)


class Telling:
    """The filter for one file, by its source lines."""

    def __init__(self, text: str, lines: Sequence[str]) -> None:
        self._words = TellingWords(text, lines)

    def function(self, node: classes.Method) -> bool:
        """Whether a function can do more than compute and return."""
        body = node.body
        first = body[0]
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            first = body[min(1, len(body) - 1)]
        constructor = node.name == "__init__"
        words, end = self._words, node.end_lineno or node.lineno
        if any(map(_switches_off, node.decorator_list)):
            text = words.text_of(first.lineno, end)
            return _WITHOUT_GRAD.search(text) is not None or any(
                _binds_late(statement) or _discards(statement, ())
                for statement in classes.statements(body)
            )
        if words.are_in(first.lineno, end, constructor) or any(
            words.are_in(decorator.lineno, decorator.end_lineno or decorator.lineno, constructor)
            for decorator in node.decorator_list
        ):
            return True
        if constructor and words.has_layers_in_place(first.lineno, end):
            return True
        plain, local = _Names(_plain_names, node), _Names(_module_names, node)
        for statement in classes.statements(body):
            if _writes(statement, plain, constructor) or (
                _tells_in_constructor(statement, local) if constructor else _binds_late(statement)
            ):
                return True
        return False


def _switches_off(decorator: ast.expr) -> bool:
    """Whether a decorator is that of a function in which nothing is recorded."""
    func = decorator.func if isinstance(decorator, ast.Call) else decorator
    return last_name(func) in ("no_grad", "inference_mode")


class _Names:
    """Some names of a function, worked out when the first one is asked about."""

    def __init__(self, find: Callable[[classes.Method], frozenset[str]], node: classes.Method):
        self._find, self._node = find, node

    @cached_property
    def _known(self) -> frozenset[str]:
        return self._find(self._node)

    def __contains__(self, name: object) -> bool:
        return name in self._known


def _plain_names(node: classes.Method) -> frozenset[str]:
    """The local names that hold containers, strings or counters, and never tensors."""
    plain: set[str] = set()
    other = {a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
    for statement in classes.statements(node.body):
        if isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    known = statement.value is None or _is_plain(statement.value)
                    (plain if known else other).add(target.id)
                elif isinstance(target, (ast.Tuple, ast.List)):
                    other.update(_names(target))
        elif isinstance(statement, ast.AugAssign):
            # ``total = 0`` is a tensor after ``total += loss``.
            if isinstance(statement.target, ast.Name) and not _is_plain(statement.value):
                other.add(statement.target.id)
        elif isinstance(statement, (ast.For, ast.AsyncFor)):
            other.update(_names(statement.target))
        elif isinstance(statement, (ast.With, ast.AsyncWith)):
            for item in statement.items:
                if item.optional_vars is not None:
                    other.update(_names(item.optional_vars))
        elif isinstance(statement, (ast.Global, ast.Nonlocal)):
            other.update(statement.names)
    return frozenset(plain - other)


def _names(target: ast.expr) -> set[str]:
    return {node.id for node in walk(target) if isinstance(node, ast.Name)}


def _is_plain(node: ast.expr) -> bool:
    """Whether an expression is certainly a container, a string or a Python number."""
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _CONTAINERS
    return isinstance(node, (ast.Constant, *_PLAIN))


def _is_constant(node: ast.expr) -> bool:
    """Whether a display holds nothing but constants."""
    if isinstance(node, ast.Dict):
        return all(_is_constant(part) for part in (*node.keys, *node.values) if part is not None)
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return all(map(_is_constant, node.elts))
    return isinstance(node, (ast.Constant, ast.UnaryOp, ast.JoinedStr))


def _writes(statement: ast.stmt, plain: Container[str], constructor: bool) -> bool:
    """Whether a statement may write in place, or throw a result away."""
    if isinstance(statement, ast.AugAssign):
        target, value = statement.target, statement.value
        if isinstance(value, ast.JoinedStr) or (
            isinstance(value, ast.Constant) and isinstance(value.value, (str, bytes))
        ):
            return False
        if isinstance(target, ast.Name):
            if constructor and isinstance(value, (*_DISPLAYS, *_COMPREHENSIONS)):
                return not _is_constant(value)
            return not isinstance(value, _PLAIN) and target.id not in plain
        return True
    if isinstance(statement, (ast.Assign, ast.Delete)):
        return any(_stores(target, plain, constructor) for target in statement.targets)
    if isinstance(statement, (ast.For, ast.AsyncFor)):
        return isinstance(statement.target, (ast.Subscript, ast.Attribute))
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        return any(isinstance(item.optional_vars, ast.Subscript) for item in statement.items)
    return _discards(statement, plain)


def _discards(statement: ast.stmt, plain: Container[str]) -> bool:
    """Whether a statement is nothing but a call of a method that has an in-place twin."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        name = call.func.attr
        if name.startswith(_DISCARDED) or name in _DISCARDED_EXACTLY:
            on = call.func.value
            return not (isinstance(on, ast.Name) and on.id in plain)
    return False


def _stores(target: ast.expr, plain: Container[str], constructor: bool) -> bool:
    """Whether a target is an item of what may be a tensor, or of a container of a Module."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return any(_stores(part, plain, constructor) for part in target.elts)
    if not isinstance(target, ast.Subscript):
        return False
    base = target.value
    if isinstance(base, ast.Name):
        if base.id in plain:
            return constructor
        key = target.slice
        text = isinstance(key, ast.JoinedStr) or (
            isinstance(key, ast.Constant) and isinstance(key.value, str)
        )
        return constructor or not text
    return True


def _binds_late(statement: ast.stmt) -> bool:
    """Whether a statement outside the constructor binds an attribute, or a name of outside."""
    if isinstance(statement, (ast.Global, ast.Nonlocal)):
        return True
    if isinstance(statement, ast.Assign):
        return any(map(_is_of_self, statement.targets))
    if isinstance(statement, (ast.AnnAssign, ast.For, ast.AsyncFor)):
        return _is_of_self(statement.target)
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        return any(i.optional_vars is not None and _is_of_self(i.optional_vars)
                   for i in statement.items)  # fmt: skip
    return False


def _is_of_self(target: ast.expr) -> bool:
    if isinstance(target, (ast.Tuple, ast.List)):
        return any(map(_is_of_self, target.elts))
    return (
        isinstance(target, ast.Attribute)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    )


def _module_names(node: classes.Method) -> frozenset[str]:
    """The names of a constructor that may be Modules: its own, and arguments with a type."""
    arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
    found = {a.arg for a in arguments if a.annotation is not None and not _is_scalar(a)}
    for statement in classes.statements(node.body):
        if isinstance(statement, ast.Assign):
            for target in statement.targets:
                found |= _names(target)
        elif isinstance(statement, (ast.AnnAssign, ast.For)):
            found |= _names(statement.target)
    return frozenset(found)


def _is_scalar(argument: ast.arg) -> bool:
    annotation = argument.annotation
    return isinstance(annotation, ast.Name) and annotation.id in ("int", "float", "str", "bool")


def _may_hold(node: ast.expr, local: Container[str]) -> bool:
    """Whether something in an expression may be a Module or a Parameter."""
    for part in walk(node):
        if isinstance(part, ast.Call):
            func = part.func
            if not (isinstance(func, ast.Name) and func.id in _NUMBERS):
                return True
        elif isinstance(part, ast.Name) and part.id in local:
            return True
    return False


def _tells_in_constructor(statement: ast.stmt, local: Container[str]) -> bool:
    if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
        value = statement.value
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        if _contains(value):
            return _may_hold(value, local)
        plain = _makes_parameter(value) and all(map(_is_of_self, targets))
        return not plain and _uses_parameter(value, targets)
    if isinstance(statement, (ast.Global, ast.Nonlocal)):
        return True
    return any(_uses_parameter(part, ()) for part in _own(statement))


def _contains(value: ast.expr) -> bool:
    """Whether an expression may be a plain container."""
    if isinstance(value, ast.IfExp):
        return _contains(value.body) or _contains(value.orelse)
    if isinstance(value, ast.BoolOp):
        return any(map(_contains, value.values))
    if isinstance(value, ast.BinOp):
        return _contains(value.left) or _contains(value.right)
    if isinstance(value, ast.Call):
        name = value.func
        return isinstance(name, ast.Name) and name.id in _CONTAINERS - _NUMBERS
    return isinstance(value, (*_DISPLAYS, *_COMPREHENSIONS))


def _own(statement: ast.stmt) -> Iterable[ast.expr]:
    """The expressions of a statement itself, without those of statements inside it."""
    for name in ("value", "test", "iter"):
        part = getattr(statement, name, None)
        if isinstance(part, ast.expr):
            yield part


def _makes_parameter(node: ast.expr) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return last_name(node.func).endswith("Parameter") and not any(map(_has_parameter, node.args))


def _has_parameter(node: ast.expr) -> bool:
    return any(isinstance(part, ast.Call) and _makes_parameter(part) for part in walk(node))


def _uses_parameter(node: ast.expr, targets: Sequence[ast.expr]) -> bool:
    """Whether a Parameter is made inside an expression, or an attribute bound from itself."""
    own = {target.attr for target in targets if isinstance(target, ast.Attribute)}
    for part in walk(node):
        if isinstance(part, ast.Call) and _makes_parameter(part):
            return True
        if isinstance(part, ast.Attribute) and part.attr in own and _is_of_self(part):
            return True
    return False
