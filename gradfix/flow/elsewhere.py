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
from functools import cached_property
from typing import TYPE_CHECKING

from gradfix.flow import classes
from gradfix.flow.argument_writes import ArgumentWrite, seen_from_afar
from gradfix.flow.described import Description, shared
from gradfix.flow.places import Defined, Outside
from gradfix.flow.project import OUTSIDE
from gradfix.flow.session import Session
from gradfix.flow.top_level import (
    Bound,
    Opened,
    attributes_of,
    imports_of,
    stored_by,
    stored_words,
)
from gradfix.flow.values import (
    SOMEWHERE,
    Elsewhere,
    Kind,
    Leaf,
    Role,
    Storage,
    Value,
    number,
    reference,
    unknown,
)

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow

#: Special methods that do not make an object behave like a number or a tensor.
_HARMLESS = frozenset(
    """__init__ __repr__ __str__ __call__ __len__ __enter__ __exit__ __del__ __hash__
    __init_subclass__ __contains__ __getstate__ __setstate__ __dir__""".split()
)


class Others:
    """The rest of the project as one file sees it."""

    def __init__(self, flow: ModuleFlow, session: Session, path: str) -> None:
        self.flow = flow
        self.session = session
        self.path = path
        self.imports: dict[str, ast.alias] = {}
        self.stars: list[str] = []
        self.overridden: dict[tuple[ast.AST, ast.AST, str], bool] = {}  # see `classes`
        self._import_paths: dict[str, str] = {}
        self._followed: dict[str, Value | None] = {}
        self._homes: dict[ast.AST, str] = {}  # the files of classes
        self._facts: dict[ast.AST, classes.ClassFacts | None] = {}
        self._constructed: set[ast.AST] = set()
        self._stand_ins: dict[ast.AST, Elsewhere] = {}
        self._memory: dict[Storage, Storage] = {}
        self._leaves: dict[Leaf, Leaf] = {}
        self._known: dict[int, tuple[Value, Value | None]] = {}

    def release(self) -> None:
        """Forget everything: what stands for nodes knows its way back here."""
        self.__dict__.clear()

    # -- names --------------------------------------------------------------------------------

    def follow(self, value: Value) -> Value:
        """What an imported name holds; the name itself where that is not known."""
        name = value.name
        known = self._followed.get(name, value)
        if known is value and name not in self._followed:
            known = self._followed[name] = None  # while it is being followed
            if name and name.partition(".")[0] not in OUTSIDE:
                known = self._followed[name] = self._follow(name)
        return known or value

    def from_star(self, name: str) -> Value | None:
        """What a name holds that only ``from module import *`` can have bound."""
        if len(self.stars) != 1 or not self.session.project.starred(self.stars[0], name, self.path):
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
            value = self.class_at(bound.statement, found.path)
        elif bound.kind == "def":
            value = self.function_at(bound.statement, found.path)
        else:
            value = self._constant(opened, found.name, bound)
        doubts, last = self.flow.doubts, name.rpartition(".")[2]
        if doubts is None or value is None:
            return value
        changed = doubts.modules or any(
            doubts.name(one, value, opened.text, found.path) for one in {found.name, last}
        )
        return None if changed else value

    def is_own(self, name: str) -> bool:
        """Whether a qualified name is that of something in the project, or may be."""
        if name.partition(".")[0] in OUTSIDE:
            return False
        return not isinstance(self.session.project.resolve(name, self.path), Outside)

    def home_of(self, node: ast.AST | None) -> str | None:
        """The file of a class that is defined in another one."""
        return self._homes.get(node) if node is not None else None

    def class_at(self, node: ast.AST | None, path: str) -> Value | None:
        """A class of another file; None for those that may be anything."""
        if not isinstance(node, ast.ClassDef) or node.decorator_list or _has_metaclass(node):
            return None
        self._homes[node] = path
        symbol = f"{node.name}{self.mark(path)}"
        return Value(Kind.CLASS, Role.UNTRACKED, definition=node, name=node.name, symbol=symbol)

    def function_at(self, node: ast.AST | None, path: str) -> Value | None:
        """A function of another file."""
        if not isinstance(node, ast.FunctionDef):
            return None
        definition = self.stand_in(node, path)
        symbol = f"{node.name}{self.mark(path)}"
        return Value(Kind.FUNCTION, Role.UNTRACKED, definition=definition, symbol=symbol)

    def _constant(self, opened: Opened, name: str, bound: Bound) -> Value | None:
        statement = bound.statement
        if not isinstance(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
            return None
        if isinstance(statement.value, ast.Constant):
            const = statement.value.value
            if isinstance(const, (int, float)):
                return number(const)
            text = isinstance(const, str)
            return Value(Kind.STRING, Role.UNTRACKED, const=const) if text else None
        if isinstance(statement.value, (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.Lambda)):
            return None  # anybody may change it
        if self._comes_from_outside(statement.value, opened):
            return None
        home = self.session.flow(opened.path)
        value = home.exported(name) if home is not None else None
        if home is None or value is None:
            return None
        found = self.described(value, home, fixed=True)
        return None if found is None else shared(found, opened.text)

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
        stored = self._stored_words
        if stored is not None and stored.isdisjoint(spellings):
            return False
        around = {name, name.rpartition(".")[0]}
        return any(
            at == name or at.startswith(f"{name}.") if exactly else at in around
            for at, exactly in self._stores
        )

    @cached_property
    def _stored_words(self) -> frozenset[str] | None:
        return stored_words(self.flow.text)

    @cached_property
    def _stores(self) -> frozenset[tuple[str, bool]]:
        """What this file assigns to of what it imports; False where ``setattr`` is given it."""
        targets: dict[str, str] = {}
        places: list[tuple[ast.expr, bool]] = []
        for statement in classes.statements(self.flow.tree.body):
            if isinstance(statement, (ast.Import, ast.ImportFrom)):
                targets.update(imports_of(statement))
            else:
                for target in stored_by(statement):
                    places += [(node, True) for node in attributes_of(target)]
        if "setattr(" in self.flow.text or "delattr(" in self.flow.text:
            for node in self.flow.nodes_with("attr("):
                if isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Name):
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
        bases = [self.described(base, home, fixed=True) or unknown() for base in known.bases]
        return classes.ClassFacts(
            known.node,
            dict(known.methods),
            set(known.properties),
            named=bases,
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
                mine[name] = [self.described(v, home, fixed=True) or unknown() for v in values]

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
        return None if result is None else self.described(result, home, fixed=False) or unknown()

    def writes_to_arguments(self, node: Elsewhere) -> tuple[ArgumentWrite, ...]:
        """What a function of another file, which has a summary, writes to its arguments."""
        home = self.session.flow(node.path)
        if home is None:
            return ()
        writes = home.writes_to_arguments(Value(Kind.FUNCTION, definition=node.origin))
        return tuple(seen_from_afar(w, self.stand_in(w.node, node.path)) for w in writes)

    def text_of(self, value: Value) -> str | None:
        """The source of a function or class of another file; None for anything else."""
        node = value.definition
        path = node.path if isinstance(node, Elsewhere) else self.home_of(node)
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
            self._stand_ins[node] = Elsewhere(node, path, where, lambda: self._import_of(path))
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

    def mark(self, path: str) -> str:
        """What is added to symbols of another file."""
        return f"@{re.sub(r'[^a-zA-Z0-9]', '_', path)}:0"

    def described(
        self, value: Value, home: ModuleFlow, *, fixed: bool, depth: int = 0
    ) -> Value | None:
        """A value of another file in the terms of this one; None where there are none.

        ``fixed`` values are the same whenever they are looked at; others are new on every call.
        """
        known = self._known.get(id(value))
        if known is not None and fixed:
            return known[1]
        found = Description(self, home, fixed).of(value, depth)
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


def _has_metaclass(node: ast.ClassDef) -> bool:
    return any(
        keyword.arg != "metaclass" or not ast.unparse(keyword.value).endswith("ABCMeta")
        for keyword in node.keywords
    )
