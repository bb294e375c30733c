"""What the interpreter remembers at one point of the program, and what it writes down on the way.

A `State` is the abstract memory at one program point; branches copy it and joins unite it. The
*events* (writes, gradient reads, ...) are the facts that codemods ask for; each is recorded once
per place in the source, with everything joined that can reach it.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gradfix.flow.layered import Layered
from gradfix.flow.values import (
    UNKNOWN_MEMORY,
    Certainty,
    Kind,
    Role,
    Storage,
    Value,
    join_all,
    sequence,
)
from gradfix.flow.versions import Binding, Definition, Effect, Version, current, memory

if TYPE_CHECKING:
    from enum import Enum
else:
    from gradfix.flow.constants import Enum


class GradMode(Enum):
    """Whether operations are recorded (``torch.is_grad_enabled()``)."""

    ON = "on"
    OFF = "off"
    UNKNOWN = "unknown"


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

    ``versions`` are those of all memory that something has happened to since names were bound.
    ``switched`` holds the calls ``set_grad_enabled(False)`` that are in force on some path here.
    """

    env: Layered[str, Binding] = field(default_factory=Layered)
    mode: GradMode = GradMode.ON
    saved: Layered[Storage, tuple[Saved, ...]] = field(default_factory=Layered)
    alive: bool = True
    switched: frozenset[ast.AST] = frozenset()
    versions: Layered[Storage, Version] = field(default_factory=Layered)
    #: By memory the names that have held something in it; shared by all copies.
    holders: dict[Storage, dict[str, None]] = field(default_factory=dict)

    def copy(self) -> State:
        """An independent copy."""
        return State(
            self.env.copy(), self.mode, self.saved.copy(), self.alive, self.switched,
            self.versions.copy(), self.holders,
        )  # fmt: skip

    def get(self, name: str) -> Binding | None:
        """What a name holds now."""
        env, versions = self.env, self.versions
        binding = env.own.get(name) if env.below is None else env.get(name)
        if binding is None or not (versions.own or versions.below is not None):
            return binding  # nothing has been written to
        key = memory(binding.value)
        now = versions.get(key) if key is not None else None
        if key is None or now is None or now is binding.seen:
            return binding
        binding = self.env[name] = current(binding, now)
        if memory(binding.value) is not key:
            binding = self.hold(name, binding.definitions, binding.value)
        return binding

    def put(self, name: str, definitions: frozenset[Definition], value: Value) -> Binding:
        """Bind a name to a value that is up to date."""
        versions = self.versions
        if versions.own or versions.below is not None:
            self.get(name)  # what was written into the old value has reached it
        return self.hold(name, definitions, value)

    def hold(self, name: str, definitions: frozenset[Definition], value: Value) -> Binding:
        """Let a name hold a value that is up to date, instead of what it held."""
        # Most values are no tensors, and lie nowhere.
        key = value.cell if value.storages is UNKNOWN_MEMORY else memory(value)
        seen = None
        if key is None and value.kind is Kind.TENSOR:
            key = value.cell = Storage(value.node)
        if key is not None:
            known = self.holders.get(key)
            if known is None:
                self.holders[key] = {name: None}
            else:
                known[name] = None
                seen = self.versions.get(key)
        binding = Binding(definitions, value, seen)
        env = self.env
        if env.shared:
            env[name] = binding
        else:
            env.own[name] = binding
        return binding

    def drop(self, name: str) -> None:
        """Unbind a name, if it is bound."""
        self.get(name)
        self.env.pop(name)

    def settled(self) -> State:
        """This state, with all names brought up to date."""
        for name in list(self.env) if self.versions else ():
            self.get(name)
        return self

    def written(
        self, target: Value, after: Value, effect: Effect | None, made: list[Value]
    ) -> None:
        """Let every name that holds ``target`` hold ``after``, with an effect on all others."""
        key = memory(target)
        if key is None:
            key = target.cell = after.cell = Storage(target.node)
        self.versions[key] = Version(self.versions.get(key), made, target, after, effect)

    def replace(self, old: Value, new: Value) -> None:
        """Let every name that holds ``old`` hold ``new``; the definitions stay."""
        key = memory(old)
        for name in list(self.env if key is None else self.holders.get(key, ())):
            binding = self.get(name)
            if binding is not None and binding.value is old:
                self.hold(name, binding.definitions, new)


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

    #: What it certainly writes to its arguments; see `argument_writes`.
    argument_writes: list[Event] = field(default_factory=list)

    by_name: dict[str, list[Definition]] = field(default_factory=dict)
    nodes: tuple[ast.AST, ...] | None = None  # kept by `names.own_nodes`
    all_nodes: frozenset[ast.AST] | None = None  # kept by `names.is_in`
    used: tuple[int, dict[Definition, list[ast.AST]]] | None = None  # kept by `names.uses_of`
    captured: dict[str, ast.AST] | None = None  # kept by `names.captured`

    def define(self, definition: Definition) -> None:
        """Add a definition."""
        self.definitions.append(definition)
        known = self.by_name.get(definition.name)
        if known is None:
            self.by_name[definition.name] = [definition]
        else:
            known.append(definition)

    @property
    def is_function(self) -> bool:
        """Whether this is a function or method body."""
        return isinstance(self.node, (ast.FunctionDef, ast.AsyncFunctionDef))

    @property
    def result(self) -> Value | None:
        """What a call of this function gives; None where it returns nothing.

        Who goes on with the result has been given something: a ``return None`` adds nothing to it.
        """
        yields = (ast.Yield, ast.YieldFrom)
        yielded = [value for node, value in self.returns if isinstance(node, yields)]
        if yielded:
            return sequence(None, element=join_all(yielded), name="generator")
        given = [value for _, value in self.returns]
        some = [value for value in given if not value.is_none]
        return join_all(some or given) if given else None


@dataclass(eq=False, slots=True)
class Turn:
    """What the names hold at a loop's head (in any turn) and at the end of its body."""

    loop: ast.AST
    scope: Scope
    head: State
    end: State


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
    callee: ast.AST | None = None  # the function or class of the project; of an object, its class
    called: Value | None = None  # what is called, where that is no method known by its name alone

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
