"""What the interpreter remembers at one point of the program, and what it writes down on the way.

A `State` is the abstract memory at one program point; branches copy it and joins unite it. The
*events* (writes, gradient reads, ...) are the facts that codemods ask for; each is recorded once
per place in the source, with everything joined that can reach it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gradfix.flow.values import Certainty, Role, Storage, Value, join, join_all, sequence

if TYPE_CHECKING:
    from enum import Enum
else:
    from gradfix.flow.constants import Enum


class GradMode(Enum):
    """Whether operations are recorded (``torch.is_grad_enabled()``)."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


def join_modes(a: GradMode, b: GradMode) -> GradMode:
    """The grad mode after two paths meet."""
    return a if a is b else GradMode.UNKNOWN


@dataclass(eq=False, slots=True)
class Definition:
    """One binding of one name: ``node`` is the target, ``value`` what was bound."""

    name: str
    node: ast.AST
    statement: ast.stmt | None
    value: Value
    how: str  # "assign", "augment", "for", "argument", "import", "def", "with", "delete", ...
    loops: tuple[ast.AST, ...] = ()


@dataclass(eq=False, slots=True)
class Binding:
    """What a name holds at a program point: the definitions that can reach it, and their join."""

    definitions: frozenset[Definition]
    value: Value


@dataclass(eq=False, slots=True)
class Saved:
    """A value that an operation keeps for its backward pass.

    ``operand`` is the expression whose value is kept; None when it is the operation's own result.
    ``certain`` says that it is kept for sure, ``if_needed`` that it is kept if what went in, of
    which nothing is known, requires grad.
    """

    node: ast.AST
    op: str
    operand: ast.AST | None
    value: Value
    certain: bool
    if_needed: bool = False


@dataclass(slots=True)
class State:
    """The abstract memory at one program point.

    ``switched`` holds the calls ``set_grad_enabled(False)`` that are in force on some path here.
    """

    env: dict[str, Binding] = field(default_factory=dict)
    mode: GradMode = GradMode.ON
    saved: dict[Storage, tuple[Saved, ...]] = field(default_factory=dict)
    alive: bool = True
    switched: frozenset[ast.AST] = frozenset()

    def copy(self) -> State:
        """An independent copy."""
        return State(dict(self.env), self.mode, dict(self.saved), self.alive, self.switched)


def join_states(a: State, b: State) -> State:
    """The state where two paths meet; a dead path contributes nothing."""
    if not a.alive:
        return b
    if not b.alive:
        return a
    env: dict[str, Binding] = {}
    for name in {**a.env, **b.env}:
        one, two = a.env.get(name), b.env.get(name)
        if one is None or two is None:
            known = one or two
            assert known is not None
            # An attribute that only one path rebinds still has its old value on the other path;
            # a plain name may be unbound there, and using it would raise.
            if "." not in name:
                env[name] = known
        elif one is two:
            env[name] = one
        else:
            env[name] = Binding(one.definitions | two.definitions, join(one.value, two.value))
    saved = _join_saved(a.saved, b.saved)
    return State(env, join_modes(a.mode, b.mode), saved, switched=a.switched | b.switched)


def _join_saved(
    a: dict[Storage, tuple[Saved, ...]], b: dict[Storage, tuple[Saved, ...]]
) -> dict[Storage, tuple[Saved, ...]]:
    """What is saved on one of two paths; it costs what the smaller of them holds."""
    larger, smaller = (a, b) if len(a) >= len(b) else (b, a)
    saved = dict(larger)
    for storage, kept in smaller.items():
        other = saved.get(storage, kept)
        if other is not kept:
            saved[storage] = _both(kept, other) if smaller is a else _both(other, kept)
        else:
            saved[storage] = kept
    return saved


def _both(one: tuple[Saved, ...], two: tuple[Saved, ...]) -> tuple[Saved, ...]:
    """The entries of the first, and of the second those that the first does not hold."""
    # Mostly one path has only added to what was saved before the paths parted.
    if two[: len(one)] == one:
        return two
    if one[: len(two)] == two:
        return one
    known = set(one)
    return one + tuple(entry for entry in two if entry not in known)


@dataclass(eq=False, slots=True)
class Scope:
    """One body of code with its own names: the module, a function, a method or a class body."""

    node: ast.AST
    name: str
    parent: Scope | None
    class_node: ast.ClassDef | None = None
    definitions: list[Definition] = field(default_factory=list)
    uses: dict[ast.AST, frozenset[Definition]] = field(default_factory=dict)
    escapes: ast.AST | None = None  # a call of locals(), eval(), exec(), ...
    returns: list[tuple[ast.AST, Value]] = field(default_factory=list)
    arguments: dict[str, Value] = field(default_factory=dict)
    #: For each ``return`` the operation that keeps just what it gives away.
    kept: list[Saved | None] = field(default_factory=list)
    #: Where the body is left, and the calls that have switched grad mode off for good by then.
    exits: list[tuple[ast.AST, frozenset[ast.AST]]] = field(default_factory=list)

    by_name: dict[str, list[Definition]] = field(default_factory=dict)
    nodes: tuple[ast.AST, ...] | None = None  # kept by `names.own_nodes`
    all_nodes: frozenset[ast.AST] | None = None  # kept by `names.is_in`
    captured: dict[str, ast.AST] | None = None  # kept by `names.captured`

    def define(self, definition: Definition) -> None:
        """Add a definition."""
        self.definitions.append(definition)
        self.by_name.setdefault(definition.name, []).append(definition)

    @property
    def is_function(self) -> bool:
        """Whether this is a function or method body."""
        return isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef))

    @property
    def result(self) -> Value | None:
        """What a call of this function gives; None where it returns nothing."""
        yields = (ast.Yield, ast.YieldFrom)
        yielded = [value for node, value in self.returns if isinstance(node, yields)]
        if yielded:
            return sequence(None, element=join_all(yielded), name="generator")
        return join_all([value for _, value in self.returns]) if self.returns else None


@dataclass(eq=False, slots=True)
class Turn:
    """What the names hold at a loop's head (in any turn) and at the end of its body."""

    loop: ast.AST
    scope: Scope
    head: dict[str, Binding]
    end: dict[str, Binding]


@dataclass(eq=False, slots=True)
class Event:
    """Something that happened at a place in the source; the base of all facts."""

    node: ast.AST
    statement: ast.stmt
    scope: Scope
    mode: GradMode


@dataclass(eq=False, slots=True)
class Write(Event):
    """An in-place write to a tensor's memory.

    ``target`` is the tensor written to, ``base`` the expression it was reached by (for
    ``x[i] = v`` the node of ``x``), ``how`` one of "setitem", "augment", "method", "function".
    ``overwritten`` are saved tensors whose version the write invalidates.
    """

    target: Value
    base: ast.expr
    how: str
    op: str
    index: ast.expr | None
    value: Value | None
    overwritten: tuple[Saved, ...]


@dataclass(eq=False, slots=True)
class GradRead(Event):
    """A use of ``tensor.grad`` (``store``: an assignment or deletion of it)."""

    tensor: Value
    base: ast.expr
    store: bool


@dataclass(eq=False, slots=True)
class OptimizerMade(Event):
    """An optimizer was built over ``parameters``."""

    parameters: tuple[tuple[ast.AST, Value], ...]


@dataclass(eq=False, slots=True)
class Backward(Event):
    """``loss.backward()`` or ``torch.autograd.backward(loss)``."""

    loss: Value


@dataclass(eq=False, slots=True)
class AttributeStore(Event):
    """``owner.name = value``."""

    owner: Value
    name: str
    value: Value


@dataclass(eq=False, slots=True)
class Call(Event):
    """Any call: ``name`` is the qualified name of the function, or ".method" for a method."""

    name: str
    receiver: Value | None
    arguments: tuple[Value, ...]
    keywords: tuple[tuple[str, Value], ...]
    result: Value
    callee: ast.AST | None = None  # the function or class of this file that is called

    def keyword(self, name: str) -> Value | None:
        """The value given for a keyword, or None."""
        return next((value for key, value in self.keywords if key == name), None)

    @property
    def data(self) -> Value | None:
        """What a tensor is made of: the first argument, by its place or as ``data=``."""
        return self.arguments[0] if self.arguments else self.keyword("data")


def result_role(inputs: tuple[Value, ...], mode: GradMode) -> Role:
    """The role of a differentiable operation's result.

    (https://docs.pytorch.org/docs/stable/notes/autograd.html#setting-requires-grad)
    """
    if mode is GradMode.OFF:
        return Role.UNTRACKED
    answers = [value.needs_grad for value in inputs]
    if Certainty.YES in answers:
        return Role.TRACKED if mode is GradMode.ON else Role.TRACKED | Role.UNTRACKED
    return Role.UNKNOWN if Certainty.MAYBE in answers else Role.UNTRACKED
