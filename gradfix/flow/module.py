"""One analysed source file: all scopes interpreted, and everything codemods may ask about them."""

from __future__ import annotations

import ast
import builtins
import heapq
import re
from functools import cached_property
from typing import TYPE_CHECKING

from gradfix.flow import classes
from gradfix.flow.cut_inside import CutInside, FromArguments
from gradfix.flow.elsewhere import Others
from gradfix.flow.entries import name_of
from gradfix.flow.interpreter import Interpreter
from gradfix.flow.qualified import canonical
from gradfix.flow.recorder import E
from gradfix.flow.session import Session
from gradfix.flow.state import GradMode, Scope, State, Turn
from gradfix.flow.summaries import Summaries
from gradfix.flow.telling import Telling
from gradfix.flow.text_facts import SWITCHES, rebound_inside
from gradfix.flow.values import Elsewhere, Kind, Role, Value, join_all, reference, unknown
from gradfix.flow.versions import Definition
from gradfix.recorded import FileFacts
from gradfix.words import mentions

if TYPE_CHECKING:
    from gradfix.flow.doubts import Doubts

_CALLED, _WORD = re.compile(r"\w+\("), re.compile(r"\w+")
_BUILTIN_NAMES = frozenset(dir(builtins))


class ModuleFlow(Summaries):
    """The facts about one source file.

    ``events`` hold what happened, by type; `all` iterates over one type. ``values`` maps expression
    nodes to what they evaluate to. Positions are converted with `span`, source with `source_of`.

    ``session`` and ``path`` give access to the other files of the project. A file that is only a
    ``source`` of facts for another one is interpreted at its top level, the rest when asked for.
    """

    def __init__(
        self,
        text: str,
        tree: ast.Module,
        session: Session | None = None,
        path: str = "",
        *,
        source: bool = False,
        recorded: FileFacts | None = None,
        doubts: Doubts | None = None,
    ) -> None:
        super().__init__()
        self.doubts = doubts if session is None else session.doubts
        self.text = text
        self.tree = tree
        self.recorded = recorded
        self.events: dict[type, list[object]] = {}
        self.values: dict[ast.AST, Value] = {}
        self.made: list[Value] = []
        self.modes: dict[ast.stmt, GradMode] = {}  # the grad mode each statement begins in
        self.cut_calls: dict[ast.AST, CutInside] = {}  # calls that lose an argument's history
        self.from_arguments = FromArguments()
        self.turns: dict[ast.AST, Turn] = {}  # the loops that were run
        self.definitions: dict[tuple[Scope, ast.AST, str, str], Definition] = {}
        self.scopes: list[Scope] = []
        self.rebound_inside = rebound_inside(tree) if self.shares_names else {}
        self.shared_names: set[str] = set().union(*self.rebound_inside.values())
        self.read_from_inside: set[tuple[Scope, str]] = set()  # what summaries depend on
        self._classes: dict[ast.AST, classes.ClassFacts] = {}
        self._selves: dict[ast.AST, Value] = {}
        self._ends: dict[Scope, State] = {}
        #: What names mean inside of scopes that have been run to their end, and around them.
        self._outer_names: dict[tuple[Scope | None, str], Value] = {}
        self._queue: list[tuple[tuple[int, int], int, classes.Method, Scope]] = []
        self._found: list[tuple[classes.Method, Scope]] = []
        self._untold: list[tuple[classes.Method, Scope]] = []
        self._constructors: dict[ast.ClassDef, tuple[classes.Method, Scope]] = {}
        self.others = None if session is None else Others(self, session, path)
        self._run_body(Scope(tree, "", None), State(), tree.body)
        if not source:
            # Constructors first, and what they call: they say what the other methods find in
            # ``self``. Then methods that fill containers, since others read their elements.
            self._run_queue(everything=False)

    def all(self, kind: type[E]) -> list[E]:
        """Every event of one type, in the order of interpretation."""
        return self.events.get(kind, [])  # type: ignore[return-value]

    # -- running ------------------------------------------------------------------------------

    def _run_queue(self, *, everything: bool) -> None:
        while self._found or self._queue:
            for node, scope in self._found:
                if everything or self._telling.function(node):
                    order = self.order_of(node, scope)
                    heapq.heappush(self._queue, (order, len(self._scope_of), node, scope))
                else:
                    self._untold.append((node, scope))
            self._found.clear()
            if not self._queue:
                break
            _, _, node, scope = heapq.heappop(self._queue)
            if node in self._scope_of:
                continue  # a constructor that was needed before its turn
            if node.name == "__init__":
                self._constructors.pop(scope.node, None)  # type: ignore[call-overload]
            self._run_function(node, scope)

    @cached_property
    def _telling(self) -> Telling:
        return Telling(self.text, self.lines)

    def construct(self, node: ast.ClassDef) -> None:
        """Interpret the constructor of a class, now that somebody asks for an attribute."""
        if self.others is not None and not self.is_own(node):
            self.others.construct(node)
            return
        found = self._constructors.pop(node, None)
        if found is not None:
            if found in self._untold:
                self._untold.remove(found)
            self._run_function(*found)

    def complete(self, words: frozenset[str] | None = None) -> None:
        """Interpret the functions that were left out because nothing in them could be a finding.

        Only who asks what *never* happens in a file needs them; they would cost everybody else.
        With ``words`` those functions alone whose text has one; ``name(`` stands for that call.
        """
        while wanted := [
            (node, scope)
            for node, scope in self._untold
            if words is None or _has_one(self.text_of(node), words)
        ]:
            for node, scope in wanted:
                heapq.heappush(self._queue, ((5, node.lineno), len(self._queue), node, scope))
                self._untold.remove((node, scope))
                if node.name == "__init__":
                    self._constructors.pop(scope.node, None)  # type: ignore[call-overload]
            self._run_queue(everything=words is None)
            self.forget_about_values()

    def _run_body(self, scope: Scope, state: State, body: list[ast.stmt]) -> None:
        self.scopes.append(scope)
        self._scope_of[scope.node] = scope
        run = Interpreter(self, scope, state)
        run.run(body)
        self._ends[scope] = run.state.settled()
        if run.state.alive:
            scope.exits.append((body[-1] if body else scope.node, run.state.switched))

    def _run_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, parent: Scope) -> None:
        class_node = parent.node if isinstance(parent.node, ast.ClassDef) else None
        scope = Scope(node, node.name, parent, class_node)
        state = self.entry(node, scope)
        self._run_body(scope, state, node.body)
        self.summarised(node, scope)

    # -- called by the interpreter ------------------------------------------------------------

    def found_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> None:
        """Remember a function to be interpreted when its surroundings are known."""
        self._defined_in[node] = scope
        if node.name == "__init__" and isinstance(scope.node, ast.ClassDef):
            self._constructors[scope.node] = (node, scope)
        self._found.append((node, scope))

    def found_class(self, node: ast.ClassDef, scope: Scope, bases: list[Value]) -> None:
        """Interpret a class body; its methods are remembered for later."""
        facts = classes.collect(node)
        facts.named, facts.follow = bases, self.followed
        self._classes[node] = facts
        inner = Scope(node, node.name, scope, node)
        self._run_body(inner, State(), node.body)
        for name, binding in self._ends[inner].env.items():
            if name not in facts.methods and "." not in name:
                facts.assigned.setdefault(name, []).append(binding.value)
                facts.written[name] = facts.written.get(name, 0) + 1

    def class_facts(self, node: ast.AST | None) -> classes.ClassFacts | None:
        """The facts about a class of this file, or one that it imports from another."""
        if node is None:
            return None
        found = self._classes.get(node)
        return found if found is not None or self.others is None else self.others.class_facts(node)

    def own_classes(self) -> list[ast.AST]:
        """The classes of this file."""
        return list(self._classes)

    def is_own(self, node: ast.AST | None) -> bool:
        """Whether a class is defined in this file."""
        return node in self._classes

    def noted_import(self, name: str, place: ast.alias) -> None:
        """Remember where a name is imported."""
        if self.others is not None:
            self.others.imports.setdefault(name, place)

    def followed(self, value: Value) -> Value:
        """What an imported name holds, where another file of the project says so."""
        if self.others is None or value.kind is not Kind.REFERENCE:
            return value
        return self.others.follow(value)

    def exported(self, name: str) -> Value | None:
        """What a name of the module holds once all of it has run; None where that changes."""
        found = self._name_in(self.scopes[0], name)
        return self.followed(found) if found is not None else None

    def self_of(self, scope: Scope) -> Value:
        """The ``self`` of a method's class; one value for the whole class."""
        node = scope.class_node
        if node is None:
            return unknown()
        if node not in self._selves:
            self._selves[node] = Value(
                Kind.INSTANCE,
                Role.UNTRACKED,
                definition=node,
                name=node.name,
                symbol=f"self:{node.name}",
            )
        return self._selves[node]

    def imported(self, name: str) -> Value:
        """The value of a qualified name, under the name everybody uses for it."""
        found = reference(canonical(name))
        patched = self.doubts is not None and found.name.rpartition(".")[2] in self.doubts.patched
        return unknown() if patched and name.startswith("torch.") else found

    def outer_name(self, scope: Scope, name: str) -> Value:
        """The value of a name that the scope does not bind itself."""
        outer, key = scope.parent, (scope.parent, name)
        known = self._outer_names.get(key)
        if known is not None and name not in self.shared_names:
            return known
        ended = outer is not None
        while outer is not None:
            if not isinstance(outer.node, ast.ClassDef):
                if outer not in self._ends:
                    ended = False
                    self.read_from_inside.add((outer, name))
                found = self._name_in(outer, name)
                if found is not None:
                    if self.doubts is not None and outer.parent is None:
                        found = self._undoubted(name, found)
                    if ended and len(outer.by_name[name]) == 1:
                        self._outer_names[key] = found
                    return found
            outer = outer.parent
        starred = self.others.from_star(name) if self.others is not None else None
        if starred is not None:
            return self._undoubted(name, starred)
        if name == "torch" and mentions(self.text, "import *"):
            return reference(name)  # the one name that means the same wherever it comes from
        if name not in _BUILTIN_NAMES:
            return unknown()
        builtin = reference(f"builtins.{name}")
        if ended:
            self._outer_names[key] = builtin
        return builtin

    def _undoubted(self, name: str, value: Value) -> Value:
        """What a name of the module holds, where nobody may have changed it."""
        doubted = self.doubts is not None and self.doubts.name(
            name, value, self.text, "" if self.others is None else self.others.path
        )
        return unknown() if doubted else value

    def _name_in(self, scope: Scope, name: str) -> Value | None:
        """What a closure sees: the join of all definitions, since it may run at any time."""
        definitions = scope.by_name.get(name)
        if not definitions:
            return None
        if name in self.shared_names:
            return unknown()
        end = self._ends.get(scope)
        bound = end.get(name) if len(definitions) == 1 and end is not None else None
        if bound is not None:
            return bound.value
        return join_all([definition.value for definition in definitions])

    def definition_text(self, value: Value) -> str | None:
        """The source of a class or function of any file; None where it is not known."""
        elsewhere = self.others.text_of(value) if self.others is not None else None
        if elsewhere is not None or value.definition is None:
            return elsewhere
        if self.others is not None and self.others.home_of(value.definition) is not None:
            return None
        return None if isinstance(value.definition, Elsewhere) else self.source_of(value.definition)

    def switches_mode(self, context: ast.expr) -> bool:
        """Whether a context manager of this file may switch the grad mode."""
        called = context.func if isinstance(context, ast.Call) else context
        if self.others is not None:
            text = self.others.text_of(self.value(called))
            if text is not None:
                return bool(SWITCHES.search(text))
        return name_of(called) in self.switching


def _has_one(text: str, words: frozenset[str]) -> bool:
    """Whether a text has one of some words; names and ``name(`` are not parts of longer names."""
    found = [word for word in words if word in text]
    if not found:
        return False
    for kind in (_CALLED, _WORD):
        if all(map(kind.fullmatch, found)):
            return not words.isdisjoint(kind.findall(text))
    return True
