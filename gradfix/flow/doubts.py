"""What may be otherwise than a text says of it, because another place of the project changes it.

NOTE: who is doubted. A file says ``size = 3``; another one says ``config.size = 4``, binds ``size``
in a class that is derived from this one, or patches it for a test. No analysis of one file sees
that. So whatever would be rewritten is found a second time, with everything unknown that a file
which may be loaded with it stores to, by its name alone. The fix of what is then no longer found
rests on a doubtful word, and is unsafe. Files without such findings, nearly all, do not pay for it.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from gradfix.flow import classes
from gradfix.flow.around import files_below, top_of
from gradfix.flow.connected import connected
from gradfix.flow.derivations import Derivations
from gradfix.flow.frozen import frozen_by
from gradfix.flow.nodes import walk
from gradfix.flow.project import OUTSIDE
from gradfix.flow.stored_lines import Lines
from gradfix.flow.stored_text import stored_in
from gradfix.flow.strangers import read
from gradfix.flow.values import UNKNOWN_MEMORY, Kind, Role, Value, replace, unknown

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.project import Project
    from gradfix.flow.state import Scope, State

_OWN_NAMES = re.compile(r"\bglobals\(\)|\bexec\(|\bvars\(\)|\blocals\(\)")
_HOOKS = re.compile(r"\bregister_(?:module_)?(?:full_)?forward_|\bregister_module_forward")
#: Each begins with what is fast to find.
_MAKES_CLASS = tuple(
    re.compile(rf"{name}\((?<!\w{name}\()[^,()]*,\s*([^\n]*)")
    for name in ("type", "new_class", "make_dataclass")
)
_WORD = re.compile(r"\w+")
_PARAMETERS = frozenset({"Parameter", "UninitializedParameter"})


@dataclass(frozen=True, slots=True)
class Bound:
    """What classes bind to anything, and to Parameters; ``anything``: names that do not show."""

    words: frozenset[str]
    weights: frozenset[str]
    anything: bool


_STORING = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.For, ast.With, ast.Delete)
_NOTHING = Bound(frozenset(), frozenset(), False)
#: The doubts by the files that they come from, and whether there are too many others to be read.
Known = dict[tuple[frozenset[str], bool], "Doubts"]


@dataclass(eq=False)
class Doubts:
    """What may be otherwise; ``texts`` are those of all files that may be loaded together, by path.

    With ``all`` everything is doubted: there are too many files to be read.
    """

    project: Project | None
    texts: Mapping[str, str]
    all: bool = False
    _bound: dict[ast.AST, Bound] = field(default_factory=dict)
    _inside: dict[ast.AST, frozenset[str]] = field(default_factory=dict)
    _mentioning: dict[tuple[str, ...], frozenset[str]] = field(default_factory=dict)
    _frozen: dict[str, frozenset[str] | None] = field(default_factory=dict)
    #: By file, the words of each place that expects an error (see `expected_elsewhere`).
    expecting: dict[str, tuple[frozenset[str], ...]] = field(default_factory=dict)
    _asked: dict[Callable[[str], bool], bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stored: dict[str, set[str]] = {}  # by word, the files that may store to it
        self.anything = self.modules = self.data = False
        patched: set[str] = set()
        self._making: list[str] = []  # the texts that may make classes by calls
        lines = Lines()
        for path, text in self.texts.items():
            stored = stored_in(text, lines)
            for word in stored.words:
                self.stored.setdefault(word, set()).add(path)
            self.anything = self.anything or stored.anything
            self.modules = self.modules or stored.modules
            self.data = self.data or stored.data
            patched |= stored.patched
            self._making += [text] if stored.makes_classes else []
        self.patched = frozenset(patched)
        self._derivations = Derivations(self.texts)

    def any(self, ask: Callable[[str], bool]) -> bool:
        """Whether something is so of any of the texts."""
        if ask not in self._asked:
            self._asked[ask] = any(ask(text) for text in self.texts.values())
        return self._asked[ask]

    def frozen(self, path: str) -> frozenset[str] | None:
        """The attributes whose layers, made in one file, others may freeze; None for any."""
        if self.all:
            return None
        found: set[str] = set()
        for file in self.texts:
            if file not in self._frozen:
                self._frozen[file] = frozen_by(self.project, self.texts, file)
            names = self._frozen[file] if file != path else frozenset()
            if names is None:
                return None  # and the rest need not be read
            found |= names
        return frozenset(found)

    def mentioning(self, words: tuple[str, ...]) -> frozenset[str]:
        """The files in whose text one of some words is."""
        if words not in self._mentioning:
            found = (path for path, text in self.texts.items() if any(w in text for w in words))
            self._mentioning[words] = frozenset(found)
        return self._mentioning[words]

    # -- names of modules ---------------------------------------------------------------------

    def name(self, name: str, value: Value, text: str, path: str) -> bool:
        """Whether a name of a module, of this text, may hold something else when it is read."""
        if value.kind is Kind.REFERENCE and value.name.partition(".")[0] in OUTSIDE:
            return False
        if self.all or self._names_module(self.stored.get(name, ()), path):
            return True
        if value.kind in (Kind.FUNCTION, Kind.CLASS, Kind.REFERENCE):
            return False
        return _is_list(value) or self.anything or _OWN_NAMES.search(text) is not None

    def _names_module(self, files: Iterable[str], path: str) -> bool:
        """Whether one of some files mentions the module at a path, or the package it is in."""
        folder, file = os.path.split(path)
        stem = file.partition(".")[0]
        stem = os.path.basename(folder) if stem == "__init__" else stem
        packages = {stem, os.path.basename(folder)}
        return any(any(word in self.texts[f] for word in packages) for f in files if f != path)

    # -- attributes ---------------------------------------------------------------------------

    def attribute(
        self, flow: ModuleFlow, owner: Value, name: str, node: ast.AST, *, called: bool
    ) -> Value:
        """An attribute, as far as nobody may have changed it."""
        value = classes.as_written(flow, owner, name, node, called=called)
        facts = classes.facts_of(flow, owner)
        if value.kind is Kind.UNKNOWN:
            return value
        if value.parameter and facts is not None:
            value = _rebound(flow, facts, name, value)
        if value.parameter and self.data:
            value = replace(value, shape=None, dtype=None)
        if self._holds(flow, owner, facts, name, value):
            if value.is_tensor and not value.parameter and value.role == Role.UNTRACKED:
                return replace(value, role=Role.UNKNOWN)  # what has a history is written into it
            return value
        bound = _NOTHING if facts is None else self._overriding(flow, owner, facts)
        registered = value.parameter and not (bound.anything or name in bound.words)
        return _changed(value, node) if registered else unknown(node)

    def after_call(self, state: State, scope: Scope) -> None:
        """What attributes hold after a call of code that may bind them to something else.

        And tensors that functions inside this one know: these may write into them.
        """
        for name in self._known_inside(scope.node):
            held = state.get(name)
            if held is not None and held.value.is_tensor and held.value.role == Role.UNTRACKED:
                weaker = replace(held.value, role=Role.UNKNOWN, storages=UNKNOWN_MEMORY)
                state.hold(name, held.definitions, weaker)
        for name in [name for name in state.env if "." in name]:
            binding = state.env[name]
            value = binding.value
            if value.kind is not Kind.UNKNOWN:
                state.hold(name, binding.definitions, _changed(value, value.node))

    def _known_inside(self, node: ast.AST) -> frozenset[str]:
        """The names of a function that functions inside it mention; not those of a module."""
        if node not in self._inside:
            functions = (
                part
                for part in walk(node)
                if part is not node and isinstance(part, (ast.FunctionDef, ast.Lambda))
            )
            whole = isinstance(node, ast.FunctionDef)
            names = (n.id for f in functions if whole for n in walk(f) if isinstance(n, ast.Name))
            self._inside[node] = frozenset(names)
        return self._inside[node]

    def defines(self, flow: ModuleFlow, facts: classes.ClassFacts, name: str) -> bool:
        """Whether a class that is derived from this one has a method or property of a name."""
        return any(
            isinstance(statement, ast.FunctionDef) and statement.name == name
            for node in self._relatives(flow, facts.node.name, {facts.node})
            for statement in node.body
        )

    def method(self, flow: ModuleFlow, owner: Value, name: str) -> bool:
        """Whether a method may be another one than the class says."""
        facts = classes.facts_of(flow, owner)
        return not self._holds(flow, owner, facts, name, Value(Kind.FUNCTION))

    def _holds(
        self,
        flow: ModuleFlow,
        owner: Value,
        facts: classes.ClassFacts | None,
        name: str,
        value: Value,
    ) -> bool:
        if self.all or name in self.stored:
            return False
        plain = value.kind in (Kind.NUMBER, Kind.STRING, Kind.SEQUENCE, Kind.DICT, Kind.FOREIGN)
        if (self.anything and plain) or _is_list(value):
            return False
        if facts is None:
            return True
        if plain:
            if not classes.known_bases(flow, facts) or _is_made_over(flow, facts):
                return False
        bound = self._overriding(flow, owner, facts)
        return not (bound.anything or name in bound.words or name in bound.weights)

    def _overriding(self, flow: ModuleFlow, owner: Value, facts: classes.ClassFacts) -> Bound:
        """What classes that are derived from this one, and their other bases, bind."""
        if owner.op == "instance" and isinstance(owner.node, ast.Call):
            return _NOTHING  # it is of this very class
        bound = self._bound.get(facts.node)
        if bound is None:
            made_of = {entry.node for entry in classes.lineage(flow, facts)}
            others = [bound_by(n) for n in self._relatives(flow, facts.node.name, made_of)]
            if facts.node.name in self._called_bases:
                others.append(Bound(frozenset(), frozenset(), True))
            bound = self._bound[facts.node] = Bound(
                frozenset().union(*(other.words for other in others)),
                frozenset().union(*(other.weights for other in others)),
                any(other.anything for other in others),
            )
        return bound

    @cached_property
    def _called_bases(self) -> frozenset[str]:
        """The names of classes that others may be derived from by a call of ``type``."""
        found = (
            given for made in _MAKES_CLASS for text in self._making for given in made.findall(text)
        )
        return frozenset(word for given in found for word in _WORD.findall(given))

    def _relatives(
        self, flow: ModuleFlow, name: str, but: set[ast.ClassDef]
    ) -> Iterator[ast.ClassDef]:
        """The classes that are derived from one of this name, and their other bases."""
        path = next(iter(self.texts)) if flow.others is None else flow.others.path
        related = self._derivations.around(path, name)
        for place in sorted({file for file, _ in related}):
            for node in self._classes_in(flow, place):
                if (place, node.name) in related and node not in but:
                    yield node

    def _classes_in(self, flow: ModuleFlow, path: str) -> Iterator[ast.ClassDef]:
        tree: ast.AST | None = flow.tree
        if self.project is not None and (flow.others is None or flow.others.path != path):
            other = read(self.project, path)
            tree = None if other is None else other.tree
        for node in walk(tree) if tree is not None else ():
            if isinstance(node, ast.ClassDef):
                yield node


def _rebound(flow: ModuleFlow, facts: classes.ClassFacts, name: str, value: Value) -> Value:
    """A Parameter that the class, too, binds elsewhere; perhaps to what is none."""
    lineage = classes.lineage(flow, facts)
    if sum(entry.written.get(name, 0) for entry in lineage) < 2:
        return value
    bound = [one for entry in lineage for one in entry.assigned.get(name, ())]
    return _changed(value if all(one.parameter for one in bound) else Value(), value.node)


def _changed(value: Value, node: ast.AST | None) -> Value:
    """What somebody else may have bound instead: of a registered name nothing but Parameters."""
    if not value.parameter:
        return unknown(node)
    return replace(value, shape=None, dtype=None, storages=UNKNOWN_MEMORY)


def _is_list(value: Value) -> bool:
    """Whether this is a list or dict of plain things, which anybody may change."""
    parts = [*(value.items or ()), *filter(None, [value.element])]
    plain = not any(part.kind in (Kind.TENSOR, Kind.MODULE, Kind.INSTANCE) for part in parts)
    return value.kind is Kind.DICT or (value.name == "list" and plain)


def hooks(text: str) -> bool:
    """Whether a text may change what layers give, by hooks."""
    return "register_" in text and _HOOKS.search(text) is not None


def doubts_around(project: Project, path: str, known: Known) -> Doubts:
    """The doubts about what a file of a project says; made once for files that go together."""
    top = top_of(project, path)
    files = [path] if top is None else files_below(project, top)
    if top is not None:
        project.looked_around[path] = top
    texts = {file: project.text(file) or "" for file in (*(files or ()), path)}
    near = frozenset({path})
    if top is not None and files is not None:
        if top not in project.connected:
            project.connected[top] = connected(texts)
        near = project.connected[top].get(path, near)
    if (near, files is None) not in known:
        part = {file: texts[file] for file in texts if file in near}
        known[near, files is None] = Doubts(project, part, files is None)
    return known[near, files is None]


def bound_by(node: ast.ClassDef) -> Bound:
    """All names that a class may bind, on itself and on its objects."""
    words: set[str] = set()
    others: set[str] = set()
    anything = any(name.id == "exec" for name in walk(node) if isinstance(name, ast.Name))
    for statement in node.body:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            others.add(statement.name)
            anything |= statement.name in ("__getattr__", "__getattribute__", "__setattr__")
    inside = (child for item in node.body if not _is_method(item) for child in walk(item))
    others |= {n.id for n in inside if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    for part in walk(node):
        if isinstance(part, ast.Assign) and _makes_parameter(part.value):
            words |= {t.attr for t in part.targets if isinstance(t, ast.Attribute)}
        elif isinstance(part, _STORING):
            others |= _attributes(part)
        elif isinstance(part, ast.Call):
            called = part.func
            of = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            strings = {a.value for a in part.args if isinstance(a, ast.Constant)}
            if of in ("setattr", "__setattr__", "delattr") or of.startswith(("register_", "add_")):
                named = {s for s in strings if isinstance(s, str)}
                anything |= not named and "attr" in of
                others |= named
        elif isinstance(part, ast.Attribute) and part.attr == "__dict__":
            anything = True
    return Bound(frozenset(others), frozenset(words), anything)


def _attributes(statement: ast.stmt) -> set[str]:
    """The attributes that a statement itself stores to."""
    return {
        part.attr
        for child in ast.iter_child_nodes(statement)
        if not isinstance(child, ast.stmt)
        for part in walk(child)
        if isinstance(part, ast.Attribute) and not isinstance(part.ctx, ast.Load)
    }


def _is_method(statement: ast.stmt) -> bool:
    return isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))


def _makes_parameter(value: ast.expr) -> bool:
    called = value.func if isinstance(value, ast.Call) else None
    name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
    return name in _PARAMETERS


def _is_made_over(flow: ModuleFlow, facts: classes.ClassFacts) -> bool:
    """Whether a decorator or metaclass makes something of the class: ``@dataclass``, an enum."""
    return any(
        entry.node.decorator_list or entry.node.keywords for entry in classes.lineage(flow, facts)
    )
