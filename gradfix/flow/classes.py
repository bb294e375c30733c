"""Classes of the analysed file: their attributes, properties and methods."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gradfix.flow.made_layers import is_layer
from gradfix.flow.nodes import BLOCKS, last_name, walk
from gradfix.flow.top_level import attributes_of, stored_by
from gradfix.flow.values import Kind, Role, Value, join_all, unknown

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow

Method = ast.FunctionDef | ast.AsyncFunctionDef

#: Methods whose purpose is to write values into parameters.
_INITIALISERS = frozenset(
    """__init__ reset_parameters init_weights _init_weights initialize reset _reset_parameters
    weight_init weights_init init_parameters""".split()
)


@dataclass(eq=False, slots=True)
class ClassFacts:
    """What is known about one class of the file.

    ``assigned`` holds every value bound to ``self.name`` anywhere in the class, in analysis order.
    """

    node: ast.ClassDef
    methods: dict[str, Method] = field(default_factory=dict)
    properties: set[str] = field(default_factory=set)
    named: list[Value] = field(default_factory=list)  # the bases as the class statement names them
    follow: Callable[[Value], Value] | None = None
    assigned: dict[str, list[Value]] = field(default_factory=dict)
    constructed: dict[str, list[Value]] = field(default_factory=dict)  # those of __init__
    written: dict[str, int] = field(default_factory=dict)
    instance: Value | None = None
    dynamic: bool = False  # setattr, __getattr__, __dict__: attributes we cannot see
    path: str | None = None  # the file of a class that is defined in another one
    _bases: list[Value] | None = None
    _above: list[ClassFacts] | None = None
    _is_module: bool | None = None

    @property
    def bases(self) -> list[Value]:
        """The base classes; those of other files are looked up when first asked for."""
        if self._bases is None:
            self._bases = self.named
            if self.follow is not None:
                self._bases = [self.follow(base) for base in self.named]
        return self._bases


def collect(node: ast.ClassDef) -> ClassFacts:
    """The facts that need no evaluation."""
    facts = ClassFacts(node)
    for item in node.body:
        if isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            if any(_decorator(d) in ("setter", "deleter") for d in item.decorator_list):
                continue
            facts.methods[item.name] = item
            if any(_decorator(d) in ("property", "cached_property") for d in item.decorator_list):
                facts.properties.add(item.name)
            facts.dynamic |= item.name in ("__getattr__", "__getattribute__")
    for statement in statements(node.body):
        if isinstance(statement, ast.Expr):
            _note_call(facts, statement.value)
        elif not isinstance(statement, _BINDS_NOTHING):
            _note_attributes(facts, statement)
    return facts


_BINDS_NOTHING = (ast.If, ast.Return, ast.Raise, ast.FunctionDef, ast.Try, ast.While, ast.Pass)


def statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """All statements of a body, those inside other statements included."""
    stack = list(body)
    while stack:
        statement = stack.pop()
        yield statement
        inside = BLOCKS.get(statement.__class__)
        if inside is None:
            continue  # most statements have none inside
        for name in inside:
            stack += getattr(statement, name)
        for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
            stack += part.body


def bind_attribute(facts: ClassFacts, scope: str, name: str, value: Value) -> None:
    """Note that a method binds ``self.name``."""
    facts.assigned.setdefault(name, []).append(value)
    if scope == "__init__":
        facts.constructed.setdefault(name, []).append(value)


def _note_attributes(facts: ClassFacts, statement: ast.stmt) -> None:
    """Count the attributes that one statement binds."""
    for target in stored_by(statement):
        for bound in attributes_of(target):
            if isinstance(bound.value, ast.Name):
                facts.written[bound.attr] = facts.written.get(bound.attr, 0) + 1


def _note_call(facts: ClassFacts, call: ast.expr) -> None:
    """Note what a statement that is a call may bind."""
    if isinstance(call, ast.Call):
        if isinstance(call.func, ast.Name):
            facts.dynamic |= call.func.id == "setattr"
        elif isinstance(call.func, ast.Attribute) and call.func.attr in _REGISTERS and call.args:
            key = call.args[0]
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                facts.written[key.value] = facts.written.get(key.value, 0) + 1


_REGISTERS = frozenset({"register_buffer", "register_parameter"})


def _decorator(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        node = node.func
    return last_name(node)


def is_initialiser(name: str) -> bool:
    """Whether a method or function of this name exists to set initial values."""
    return name in _INITIALISERS or name.startswith(("init_", "_init_", "reset_"))


def facts_of(flow: ModuleFlow, value: Value) -> ClassFacts | None:
    """The facts of a class or instance value defined in the project."""
    return (
        flow.class_facts(value.definition) if isinstance(value.definition, ast.ClassDef) else None
    )


def lineage(flow: ModuleFlow, facts: ClassFacts) -> list[ClassFacts]:
    """The class and those of its bases that are defined in the project, nearest first."""
    if facts._above is None:
        found: dict[ClassFacts, None] = {}  # in order
        stack = [facts]
        while stack:
            at = stack.pop()
            if at in found:
                continue
            found[at] = None
            if at._above is not None:
                found.update(dict.fromkeys(at._above))
                continue
            stack += filter(None, [facts_of(flow, base) for base in reversed(at.bases)])
        facts._above = list(found)[1:]
    return [facts, *facts._above]


def _nearest_first(flow: ModuleFlow, facts: ClassFacts | None) -> Iterator[ClassFacts]:
    """The `lineage`, looked up only for whoever does not find in the class what he looks for."""
    if facts is not None:
        yield facts
        yield from lineage(flow, facts)[1:]


def is_module(flow: ModuleFlow, value: Value) -> bool:
    """Whether a class or instance certainly is an ``nn.Module``."""
    facts = facts_of(flow, value)
    if facts is None:
        return value.kind is Kind.MODULE
    if facts._is_module is None:
        facts._is_module = any(
            entry._is_module or any(map(_is_torch_module, entry.bases))
            for entry in lineage(flow, facts)
        )
    return facts._is_module


def _is_torch_module(base: Value) -> bool:
    named = base.kind is Kind.REFERENCE
    return named and (base.name == "torch.nn.Module" or is_layer(base.name))


def has_modules(flow: ModuleFlow) -> bool:
    """Whether some class of this file certainly is an ``nn.Module``."""
    return any(is_module(flow, Value(Kind.CLASS, definition=node)) for node in flow.own_classes())


def known_bases(flow: ModuleFlow, facts: ClassFacts) -> bool:
    """Whether every base class is in the project, ``object`` or PyTorch's."""
    return all(
        facts_of(flow, base) is not None
        or (base.kind is Kind.REFERENCE and base.name.startswith(("torch.", "builtins.")))
        for entry in lineage(flow, facts)
        for base in entry.bases
    )


def method(flow: ModuleFlow, owner: Value, name: str) -> Value | None:
    """The method ``name`` of a class or instance, as a function value."""
    facts = facts_of(flow, owner)
    if flow.doubts is not None and facts is not None and flow.doubts.method(flow, owner, name):
        return Value(Kind.FUNCTION, Role.UNTRACKED)  # one that nothing is known of
    for entry in _nearest_first(flow, facts):
        if name in entry.methods:
            return _function(flow, entry, name, owner)
    return None


def _function(flow: ModuleFlow, facts: ClassFacts, name: str, owner: Value) -> Value:
    """A method of a class as it is found on ``owner``."""
    definition: ast.AST = facts.methods[name]
    if facts.path is not None and flow.others is not None:
        definition = flow.others.method(facts, name)
    return Value(Kind.FUNCTION, Role.UNTRACKED, definition=definition, owner=owner)


def may_be_overridden(flow: ModuleFlow, owner: Value, base: ast.AST, name: str) -> bool:
    """Whether a method of a base class may meet other methods and attributes than its own.

    Classes of other files are interpreted by themselves, as if nothing were derived from them.
    """
    facts = facts_of(flow, owner)
    if facts is None or flow.others is None:
        return True
    known = flow.others.overridden
    key = (facts.node, base, name)
    if key not in known:
        known[key] = _may_be_overridden(flow, facts, base, name)
    return known[key]


def _may_be_overridden(flow: ModuleFlow, facts: ClassFacts, base: ast.AST, name: str) -> bool:
    entries = lineage(flow, facts)
    at = next((i for i, entry in enumerate(entries) if entry.node is base), None)
    if at is None:
        return True
    nearer = {n for entry in entries[:at] for n in (*entry.methods, *entry.written)}
    nearer |= {n for entry in entries[:at] for n in entry.assigned}
    methods: dict[str, Method] = {}
    for entry in entries[at:]:
        methods = {**entry.methods, **methods}
    return bool(nearer) and not nearer.isdisjoint(_looked_up(flow, methods, name))


def _looked_up(flow: ModuleFlow, methods: dict[str, Method], start: str) -> set[str]:
    """The attributes of ``self`` that a method uses, and those that the used methods use."""
    found: set[str] = set()
    queue = [start]
    while queue:
        method = methods.get(queue.pop())
        if method is not None and flow.others is not None:
            used = flow.others.session.looked_up(method) - found
            found |= used
            queue += used
    return found


def looked_up(method: Method) -> Iterator[str]:
    """The attributes of ``self`` that a method itself uses.

    A method that is only told to do something gives nothing that could be different.
    """
    if not method.args.args:
        return
    me = method.args.args[0].arg
    told = {
        statement.value.func
        for statement in statements(method.body)
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call)
    }
    for node in walk(method):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            if isinstance(node.value, ast.Name) and node.value.id == me and node not in told:
                yield node.attr


def used_elsewhere(flow: ModuleFlow, facts: ClassFacts, name: str) -> bool:
    """Whether a base class in another file has anything to do with an attribute of this name."""
    return flow.others is not None and any(
        name in flow.others.session.attributes_in(entry.node)
        for entry in lineage(flow, facts)
        if entry.path is not None
    )


def attribute(
    flow: ModuleFlow, owner: Value, name: str, node: ast.AST, *, called: bool = False
) -> Value:
    """The value of ``owner.name``: a property's result, a method, or what was assigned to it."""
    if flow.doubts is not None:
        return flow.doubts.attribute(flow, owner, name, node, called=called)
    return as_written(flow, owner, name, node, called=called)


def as_written(flow: ModuleFlow, owner: Value, name: str, node: ast.AST, *, called: bool) -> Value:
    """The same, as far as the class itself says so."""
    if owner.kind is Kind.MODULE:
        found = (owner.attributes or {}).get(name)
        return found if found is not None else unknown(node, (owner,))
    facts = facts_of(flow, owner)
    if facts is None:
        return unknown(node, (owner,))
    symbol = f"{owner.symbol}.{name}" if owner.symbol else None
    values: list[Value] = []
    inherited: bool | None = None
    unseen, stores = False, 0
    for entry in _nearest_first(flow, facts):
        unseen, stores = unseen or entry.dynamic, stores + entry.written.get(name, 0)
        if name in entry.properties:
            result = flow.summary(_function(flow, entry, name, owner))
            return result if result is not None else unknown(node)
        if name in entry.methods:
            return _function(flow, entry, name, owner)
        if entry.path is not None and entry is not facts and name in entry.written:
            if may_be_overridden(flow, owner, entry.node, "__init__"):
                values.append(unknown(node))
                continue
        if name not in entry.written and not entry.dynamic:
            continue  # its constructor says nothing about this attribute
        flow.construct(entry.node)
        if inherited is None:
            inherited = _all_parameters(flow, owner, constructed(flow, owner, name))
        bound = entry.assigned.get(name, [])
        made = entry.constructed.get(name, [])
        if inherited or _all_parameters(flow, owner, made):
            # A registered name takes nothing but Parameters: anything else raises TypeError.
            values += [value for value in bound if value.parameter]
            continue
        values += bound
        if entry.written.get(name, 0) > len(bound):
            # Some assignment has not been evaluated (yet): what it binds is not known.
            values.append(unknown(node))
    if unseen:
        values.append(unknown(node))
    if called and not values:
        return unknown(node)
    if not values:
        missing = unknown(node, (owner,))
        missing.symbol = symbol
        return missing
    value = join_all(values)
    if value.symbol is None and stores == 1:
        value.symbol = symbol
    return value


def constructed(flow: ModuleFlow, owner: Value, name: str) -> list[Value]:
    """What the constructors of a class and of its bases in other files bind to an attribute."""
    facts = facts_of(flow, owner)
    found: list[Value] = []
    for entry in lineage(flow, facts) if facts is not None else ():
        if name not in entry.written and not entry.dynamic:
            continue
        if entry is facts:
            flow.construct(entry.node)
            found += entry.constructed.get(name, [])
        elif entry.path is not None and name in entry.written:
            if not may_be_overridden(flow, owner, entry.node, "__init__"):
                flow.construct(entry.node)
                found += entry.constructed.get(name, [])
    return found


def _all_parameters(flow: ModuleFlow, owner: Value, values: list[Value]) -> bool:
    """Whether an attribute of a Module that these values are bound to is a registered name."""
    if not values or not all(value.is_leaf and value.parameter for value in values):
        return False
    return is_module(flow, owner)


def instantiate(
    flow: ModuleFlow, function: Value, node: ast.AST, inputs: tuple[Value, ...]
) -> Value:
    """``Class(...)`` for a class of the project."""
    if flow.others is not None and flow.others.may_be_anything(function.definition):
        return unknown(node, (function, *inputs))
    return Value(
        Kind.INSTANCE,
        Role.UNTRACKED,
        node,
        "instance",
        (function, *inputs),
        definition=function.definition,
        name=function.name,
    )
