"""Values that other files of the project define, described again in the terms of this one.

NOTE: what crosses from one file to another
    1. An imported name is followed when its value is asked for. Classes and functions stay names
       until somebody asks for an attribute or a result; only then is their file interpreted, at
       first its top level alone.
    2. Nothing crosses as it is. A value is described anew: nodes become `Elsewhere`, leaves and
       memory get stand-ins (always the same for the same), what it was made from stays behind.
    3. Whatever could be different here (overridden methods, frozen Parameters, other float types)
       makes the description weaker. What cannot be described stays the name that it was.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from gradfix.flow import classes
from gradfix.flow.project import OUTSIDE, Bound, Defined, Opened, Outside, Project
from gradfix.flow.values import (
    SOMEWHERE,
    UNKNOWN_MEMORY,
    Dim,
    Elsewhere,
    Kind,
    Leaf,
    Role,
    Shape,
    Storage,
    Value,
    element_of,
    foreign,
    number,
    reference,
    sequence,
    unknown,
)

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow

#: How many files may be interpreted for the sake of each other.
_DEPTH = 12
#: How deeply containers and layers are described.
_NESTED = 6
#: What may follow a name, or an attribute of it, that is assigned to; a speed filter.
_ASSIGNED = re.compile(
    r"(?:\.\w+)*\s*(?:[-+*/@%&|^<>]{0,2}=(?!=)|[:,)\]][^\n]*[^=!<>\n]=(?!=))"
)
#: Special methods that do not make an object behave like a number or a tensor.
_HARMLESS = frozenset(
    """__init__ __repr__ __str__ __call__ __len__ __enter__ __exit__ __del__ __hash__
    __init_subclass__ __contains__ __getstate__ __setstate__ __dir__""".split()
)


class Session:
    """The files that are interpreted for the sake of others, once for all sources of a run.

    What is found out about a file must not depend on which file was looked at before. Where two
    files need each other, one is asked while it is not ready; what the other makes of that is used
    for this question and then forgotten.
    """

    def __init__(self, project: Project, make: Callable[[Opened, Session], ModuleFlow]) -> None:
        self.project = project
        self._make = make
        self._flows: dict[str, ModuleFlow | None] = {}
        self._for_now: dict[str, ModuleFlow | None] = {}
        self._busy: list[str] = []
        self._attributes: dict[ast.AST, frozenset[str]] = {}
        self._lowest = _DEPTH  # the outermost file that was asked while it was not ready

    def attributes_in(self, node: ast.AST) -> frozenset[str]:
        """The names of all attributes that are used inside a class."""
        if node not in self._attributes:
            parts = (part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute))
            self._attributes[node] = frozenset(parts)
        return self._attributes[node]

    def flow(self, path: str) -> ModuleFlow | None:
        """The facts about another file; None for those that cannot be had, or are not ready."""
        for known in (self._flows, self._for_now):
            if path in known:
                return known[path]
        if path in self._busy or len(self._busy) >= _DEPTH:
            at = self._busy.index(path) if path in self._busy else 0
            self._lowest = min(self._lowest, at)
            return None
        opened = self.project.opened(path)
        outer, self._lowest = self._lowest, _DEPTH
        self._busy.append(path)
        try:
            made = self._make(opened, self) if opened is not None else None
        except RecursionError:
            made = None
        self._busy.pop()
        at = len(self._busy)
        (self._flows if self._lowest >= at else self._for_now)[path] = made
        self._lowest = min(outer, self._lowest if self._lowest < at else _DEPTH)
        if not self._busy:
            self._for_now.clear()
        return made


class Others:
    """The rest of the project as one file sees it."""

    def __init__(self, flow: ModuleFlow, session: Session, path: str) -> None:
        self.flow = flow
        self.session = session
        self.path = path
        self.imports: dict[str, ast.alias] = {}
        self.stars: list[str] = []
        self._import_paths: dict[str, str] = {}
        self._followed: dict[str, Value | None] = {}
        self._homes: dict[ast.AST, str] = {}  # the files of classes
        self._facts: dict[ast.AST, classes.ClassFacts | None] = {}
        self._constructed: set[ast.AST] = set()
        self._stand_ins: dict[ast.AST, Elsewhere] = {}
        self._memory: dict[Storage, Storage] = {}
        self._leaves: dict[Leaf, Leaf] = {}
        self._known: dict[int, tuple[Value, Value | None]] = {}

    # -- names --------------------------------------------------------------------------------

    def follow(self, value: Value) -> Value:
        """What an imported name holds; the name itself where that is not known."""
        name = value.name
        if name not in self._followed:
            self._followed[name] = None  # while it is being followed
            if name and name.partition(".")[0] not in OUTSIDE:
                self._followed[name] = self._follow(name)
        return self._followed[name] or value

    def from_star(self, name: str) -> Value | None:
        """What a name holds that only ``from module import *`` can have bound."""
        if len(self.stars) != 1 or not self.session.project.starred(
            self.stars[0], name, self.path
        ):
            return None
        prefix = self.stars[0] if self.stars[0].endswith(".") else f"{self.stars[0]}."
        value = self.follow(reference(f"{prefix}{name}"))
        return None if value.kind is Kind.REFERENCE and value.name.startswith(prefix) else value

    def _follow(self, name: str) -> Value | None:
        found = self.session.project.resolve(name, self.path)
        if isinstance(found, Outside) and found.name != name:
            return self.flow.imported(found.name)
        if not isinstance(found, Defined) or found.path == self.path or self._is_stored(name):
            return None
        opened = self.session.project.opened(found.path)
        bound = opened.bound(found.name) if opened is not None else None
        if opened is None or bound is None:
            return None
        if bound.kind == "class":
            return self._class(bound.statement, found.path)
        if bound.kind == "def":
            return self._function(bound.statement, found.path)
        return self._constant(opened, found.name, bound)

    def _class(self, node: ast.AST | None, path: str) -> Value | None:
        if not isinstance(node, ast.ClassDef) or node.decorator_list or _has_metaclass(node):
            return None
        self._homes[node] = path
        symbol = f"{node.name}{self._mark(path)}"
        return Value(Kind.CLASS, Role.UNTRACKED, definition=node, name=node.name, symbol=symbol)

    def _function(self, node: ast.AST | None, path: str) -> Value | None:
        if not isinstance(node, ast.FunctionDef):
            return None
        definition = self.stand_in(node, path)
        symbol = f"{node.name}{self._mark(path)}"
        return Value(Kind.FUNCTION, Role.UNTRACKED, definition=definition, symbol=symbol)

    def _constant(self, opened: Opened, name: str, bound: Bound) -> Value | None:
        statement = bound.statement
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
            return None
        if isinstance(statement.value, ast.Constant):
            const = statement.value.value
            if isinstance(const, (int, float)):
                return number(const)
            return Value(Kind.STRING, Role.UNTRACKED, const=const) if _is_text(const) else None
        if isinstance(statement.value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.Lambda)):
            return None  # anybody may change it
        if self._comes_from_outside(statement.value, opened):
            return None
        home = self.session.flow(opened.path)
        value = home.exported(name) if home is not None else None
        if home is None or value is None:
            return None
        found = self._described(value, home, fixed=True)
        return None if found is None else _shared(found, opened.text)

    def _comes_from_outside(self, node: ast.expr, opened: Opened) -> bool:
        """Whether a value comes from another library, such as that of ``getLogger()``."""
        while isinstance(node, (ast.Call, ast.Attribute)):
            node = node.func if isinstance(node, ast.Call) else node.value
        bound = opened.bound(node.id) if isinstance(node, ast.Name) else None
        if bound is None or bound.kind != "import":
            return False
        found = self.session.project.resolve(bound.target, opened.path)
        return found is None or (isinstance(found, Outside) and not found.name.startswith("torch"))

    def _is_stored(self, name: str) -> bool:
        """Whether this file assigns to a name of a module, as in ``config.size = 3``."""
        alias = self.imports.get(name)
        spellings = {name.rpartition(".")[2], (alias.asname if alias is not None else None) or ""}
        if not any(_may_be_stored(self.flow.text, word) for word in spellings if word):
            return False
        around = {name, name.rpartition(".")[0]}
        return any(
            at == name or at.startswith(f"{name}.") if exactly else at in around
            for at, exactly in self._stores
        )

    @cached_property
    def _stores(self) -> frozenset[tuple[str, bool]]:
        """What this file assigns to of what it imports; False where ``setattr`` is given it."""
        targets: dict[str, str] = {}
        places: list[tuple[ast.expr, bool]] = []
        for node in ast.walk(self.flow.tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                targets.update(_imports(node))
            elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                places.append((node, True))
            elif isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Name):
                if node.func.id in ("setattr", "delattr"):
                    places.append((node.args[0], False))
        found: set[tuple[str, bool]] = set()
        for place, exactly in places:
            names: list[str] = []
            while isinstance(place, ast.Attribute):
                names.insert(0, place.attr)
                place = place.value
            if isinstance(place, ast.Name) and place.id in targets:
                found.add((".".join([targets[place.id], *names]), exactly))
        return frozenset(found)

    # -- classes and functions ----------------------------------------------------------------

    def class_facts(self, node: ast.AST) -> classes.ClassFacts | None:
        """The facts about a class of another file; its attributes come with `construct`."""
        if node not in self._homes:
            return None
        if node not in self._facts:
            self._facts[node] = None  # a class is not its own base
            self._facts[node] = self._class_facts(node, self._homes[node])
        return self._facts[node]

    def _class_facts(self, node: ast.AST, path: str) -> classes.ClassFacts | None:
        home = self.session.flow(path)
        known = home.class_facts(node) if home is not None else None
        if home is None or known is None:
            return None
        bases = [self._described(base, home, fixed=True) or unknown() for base in known.bases]
        return classes.ClassFacts(
            known.node,
            dict(known.methods),
            set(known.properties),
            bases,
            written=dict(known.written),
            dynamic=known.dynamic,
            path=path,
        )

    def construct(self, node: ast.AST) -> None:
        """Find out what a class of another file binds to its attributes."""
        facts = self.class_facts(node)
        home = self.session.flow(self._homes[node]) if facts is not None else None
        if facts is None or home is None or node in self._constructed:
            return
        self._constructed.add(node)
        try:
            home.construct(facts.node)
        except RecursionError:
            return
        known = home.class_facts(node)
        assert known is not None
        for mine, other in (
            (facts.assigned, known.assigned),
            (facts.constructed, known.constructed),
        ):
            for name, values in other.items():
                mine[name] = [self._described(v, home, fixed=True) or unknown() for v in values]

    def method(self, facts: classes.ClassFacts, name: str) -> ast.AST:
        """What stands for a method of a class of another file."""
        assert facts.path is not None
        definition = self.stand_in(facts.methods[name], facts.path)
        definition.owner = facts.node
        return definition

    def summary(self, function: Value) -> Value | None:
        """What a function of another file returns; None for nothing."""
        definition = function.definition
        assert isinstance(definition, Elsewhere)
        home = self.session.flow(definition.path)
        if home is None or not isinstance(definition.origin, ast.FunctionDef):
            return unknown()
        owner = None
        if definition.owner is not None:
            owner = Value(Kind.CLASS, definition=definition.owner)
            if function.owner is not None and classes.may_be_overridden(
                self.flow, function.owner, definition.owner, definition.origin.name
            ):
                return unknown()
        try:
            result = home.summary(Value(Kind.FUNCTION, definition=definition.origin, owner=owner))
        except RecursionError:
            return unknown()
        return None if result is None else self._described(result, home, fixed=False) or unknown()

    def text_of(self, value: Value) -> str | None:
        """The source of a function or class of another file; None for anything else."""
        node = value.definition
        path = node.path if isinstance(node, Elsewhere) else self._homes.get(node or ast.AST())
        origin = node.origin if isinstance(node, Elsewhere) else node
        opened = self.session.project.opened(path) if path is not None else None
        if opened is None or not isinstance(origin, (ast.FunctionDef, ast.ClassDef)):
            return None
        lines = opened.text.split("\n")
        return "\n".join(lines[origin.lineno - 1 : origin.end_lineno])

    def may_be_anything(self, node: ast.AST | None) -> bool:
        """Whether objects of a class of another file may act like numbers or tensors."""
        if node not in self._homes:
            return False
        facts = self.class_facts(node)
        if facts is None or not classes.known_bases(self.flow, facts):
            return True
        if classes.is_module(self.flow, Value(Kind.CLASS, definition=node)):
            return False
        lineage = classes.lineage(self.flow, facts)
        bases = [base for entry in lineage for base in entry.bases]
        return any(
            name.startswith("__") and name not in _HARMLESS
            for entry in lineage
            for name in entry.methods
        ) or any(base.kind is Kind.REFERENCE and base.name != "builtins.object" for base in bases)

    # -- descriptions -------------------------------------------------------------------------

    def stand_in(self, node: ast.AST, path: str) -> Elsewhere:
        """What stands for a node of another file."""
        if isinstance(node, Elsewhere):
            path, node = node.path, node.origin
        if node not in self._stand_ins:
            where = f"in {self.session.project.shown(path)}, line {getattr(node, 'lineno', 1)}"
            self._stand_ins[node] = Elsewhere(node, path, where, self._import_of(path))
        return self._stand_ins[node]

    def _import_of(self, path: str) -> ast.AST:
        """Where this file imports another one, perhaps through a third; else its first import."""
        for name, alias in self.imports.items():
            if name not in self._import_paths:
                found = self.session.project.resolve(name, self.path)
                self._import_paths[name] = getattr(found, "path", "")
            if self._import_paths[name] == path:
                return alias
        return next(iter(self.imports.values()), self.flow.tree.body[0])

    def _mark(self, path: str) -> str:
        """What is added to symbols of another file."""
        return f"@{re.sub(r'[^a-zA-Z0-9]', '_', path)}:0"

    def _described(
        self, value: Value, home: ModuleFlow, *, fixed: bool, depth: int = 0
    ) -> Value | None:
        """A value of another file in the terms of this one; None where there are none.

        ``fixed`` values are the same whenever they are looked at; others are new on every call.
        """
        known = self._known.get(id(value))
        if known is not None and fixed:
            return known[1]
        found = _Description(self, home, fixed).of(value, depth)
        if fixed:
            self._known[id(value)] = value, found
        return found

    def leaf(self, leaf: Leaf, path: str) -> Leaf:
        """What stands for a leaf of another file."""
        if leaf not in self._leaves:
            node = None if leaf.node is None else self.stand_in(leaf.node, path)
            self._leaves[leaf] = Leaf(node, leaf.parameter)
        return self._leaves[leaf]

    def storage(self, storage: Storage, path: str) -> Storage:
        """What stands for a piece of memory that another file allocates."""
        if storage is SOMEWHERE or storage.node is None:
            return SOMEWHERE
        if storage not in self._memory:
            self._memory[storage] = Storage(self.stand_in(storage.node, path))
        return self._memory[storage]


class _Description:
    """Describes the values of one other file."""

    def __init__(self, others: Others, home: ModuleFlow, fixed: bool) -> None:
        assert home.others is not None
        self.others = others
        self.home = home
        self.theirs = home.others
        self.path = home.others.path
        self.fixed = fixed

    def of(self, value: Value, depth: int) -> Value | None:
        """The description, None where there is none."""
        make = _BY_KIND.get(value.kind)
        return make(self, value, depth) if make is not None and depth < _NESTED else None

    def _inner(self, value: Value | None, depth: int) -> Value | None:
        if value is None:
            return None
        found = self.others._described(value, self.home, fixed=self.fixed, depth=depth + 1)
        return found or unknown()

    def _node(self, node: ast.AST | None) -> ast.AST | None:
        return None if node is None else self.others.stand_in(node, self.path)

    def _dim(self, dim: Dim) -> Dim:
        if isinstance(dim, str):
            return f"{dim}{self.others._mark(self.path)}" if self.fixed else None
        return dim

    def _plain(self, value: Value, depth: int) -> Value:
        symbol = self._dim(value.symbol)
        return Value(
            value.kind,
            Role.UNTRACKED,
            const=value.const,
            symbol=symbol if isinstance(symbol, str) else None,
            name=value.name,
        )

    def _sequence(self, value: Value, depth: int) -> Value | None:
        changes = value.name == "list" and self.fixed
        length = None if changes else self._dim(value.length)
        if value.items is None or changes:
            element = self._inner(element_of(value), depth)
            return sequence(None, element=element, length=length, name=value.name)
        items = [self._inner(item, depth) or unknown() for item in value.items]
        return sequence(items, name=value.name)

    def _dict(self, value: Value, depth: int) -> Value:
        element = self._inner(value.element, depth)
        return Value(Kind.DICT, Role.UNTRACKED, element=element, name=value.name)

    def _tensor(self, value: Value, depth: int) -> Value:
        role = value.role
        if self.others.flow.freezes_parameters and role & (Role.LEAF | Role.TRACKED):
            role |= Role.UNTRACKED
        shape: Shape | None = None
        if value.shape is not None:
            shape = tuple(map(self._dim, value.shape))
        storages = UNKNOWN_MEMORY
        if self.fixed:
            storages = frozenset(self.others.storage(s, self.path) for s in value.storages)
        return Value(
            Kind.TENSOR,
            role,
            self._node(value.node),
            "Parameter" if value.op == "Parameter" else "",
            storages=storages,
            shape=shape,
            dtype=None if self.others.flow.changes_dtypes else value.dtype,
            leaves=frozenset(self.others.leaf(leaf, self.path) for leaf in value.leaves),
            parameter=value.parameter,
            retains_grad=value.retains_grad,
            symbol=self._plain(value, depth).symbol,
        )

    def _layer(self, value: Value, depth: int) -> Value:
        attributes = {
            name: self._inner(inner, depth) or unknown()
            for name, inner in (value.attributes or {}).items()
        }
        items = None
        if value.items is not None:
            items = tuple(self._inner(item, depth) or unknown() for item in value.items)
        made = Value(
            Kind.MODULE,
            Role.UNTRACKED,
            self._node(value.node),
            "layer",
            (unknown(),) if value.inputs else (),
            items=items,
            element=self._inner(value.element, depth),
            name=value.name,
            attributes=attributes,
        )
        for name, inner in attributes.items():
            if inner.is_tensor:
                attributes[name] = replace(inner, owner=made)
        return made

    def _class(self, value: Value, depth: int) -> Value | None:
        node = value.definition
        path = self.theirs._homes.get(node, self.path) if node is not None else self.path
        found = self.others._class(node, path)
        if found is None or value.kind is Kind.CLASS:
            return found
        if self.others.may_be_anything(node):
            return None
        return replace(found, kind=Kind.INSTANCE, node=self._node(value.node), symbol=None)

    def _function(self, value: Value, depth: int) -> Value | None:
        definition = value.definition
        if value.owner is not None or definition is None:
            return None
        if isinstance(definition, Elsewhere):
            return self.others._function(definition.origin, definition.path)
        return self.others._function(definition, self.path)

    def _reference(self, value: Value, depth: int) -> Value | None:
        followed = self.theirs.follow(value)
        if followed.kind is not Kind.REFERENCE:
            return None  # what it holds there is described where it is imported from
        return reference(followed.name) if not followed.name.startswith(".") else None


_BY_KIND: dict[Kind, Callable[[_Description, Value, int], Value | None]] = {
    Kind.NUMBER: _Description._plain,
    Kind.STRING: _Description._plain,
    Kind.FOREIGN: _Description._plain,
    Kind.CONTEXT: _Description._plain,
    Kind.SEQUENCE: _Description._sequence,
    Kind.DICT: _Description._dict,
    Kind.TENSOR: _Description._tensor,
    Kind.MODULE: _Description._layer,
    Kind.CLASS: _Description._class,
    Kind.INSTANCE: _Description._class,
    Kind.FUNCTION: _Description._function,
    Kind.REFERENCE: _Description._reference,
}


def _shared(value: Value, text: str) -> Value | None:
    """A value that the other file, of this text, may use and change at any time."""
    if value.kind in (Kind.UNKNOWN, Kind.DICT, Kind.INSTANCE) or value.name == "list":
        return None  # anybody may change what is in it
    if value.is_tensor:
        role = value.role
        if "requires_grad" in text and role == Role.UNTRACKED:
            role = Role.UNKNOWN  # it may become a leaf at any time
        return replace(value, storages=UNKNOWN_MEMORY, role=role)
    return value


def _has_metaclass(node: ast.ClassDef) -> bool:
    return any(
        keyword.arg != "metaclass" or not ast.unparse(keyword.value).endswith("ABCMeta")
        for keyword in node.keywords
    )


def _is_text(const: object) -> bool:
    return isinstance(const, str)


def _may_be_stored(text: str, word: str) -> bool:
    """Whether a text may assign to a name or to attributes of it; a speed filter."""
    if "setattr(" in text or "delattr(" in text or "\n    del " in text or "\ndel " in text:
        return True
    at = text.find(word)
    while at >= 0:
        end = at + len(word)
        if not text.startswith("self.", max(at - 5, 0)) and _ASSIGNED.match(text, end):
            return True
        at = text.find(word, end)
    return False


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    """The names that an import binds, and what they mean."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            first = alias.name.partition(".")[0]
            yield alias.asname or first, alias.name if alias.asname else first
        return
    source = "." * node.level + (f"{node.module}." if node.module else "")
    for alias in node.names:
        yield alias.asname or alias.name, source + alias.name
