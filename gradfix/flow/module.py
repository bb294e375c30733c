"""One analysed source file: all scopes interpreted, and everything codemods may ask about them."""

from __future__ import annotations

import ast
import builtins
import heapq
from functools import cached_property

from gradfix.flow import classes, layers
from gradfix.flow.constructors import decorated_mode
from gradfix.flow.cut_inside import CutInside, FromArguments
from gradfix.flow.elsewhere import Others
from gradfix.flow.given import assumed, given
from gradfix.flow.interpreter import Interpreter
from gradfix.flow.kept_results import kept_by_calls
from gradfix.flow.qualified import canonical
from gradfix.flow.recorder import E
from gradfix.flow.session import Session
from gradfix.flow.state import GradMode, Saved, Scope, State, Turn
from gradfix.flow.telling import Telling
from gradfix.flow.text_facts import SWITCHES, TextFacts, rebound_inside
from gradfix.flow.values import Elsewhere, Kind, Role, Value, join_all, reference, sequence, unknown
from gradfix.flow.versions import Definition
from gradfix.recorded import FileFacts
from gradfix.words import mentions

_BUILTIN_NAMES = frozenset(dir(builtins))
#: Decorators that leave what a function returns alone.
_TRANSPARENT = frozenset(
    """staticmethod classmethod property cached_property abstractmethod override final cache
    lru_cache no_grad enable_grad inference_mode set_grad_enabled script script_method export
    ignore unused compile typechecked jaxtyped""".split()
)
#: How many statements the analysis may interpret again for the sake of function summaries.
_SUMMARY_BUDGET = 20_000


class ModuleFlow(TextFacts):
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
    ) -> None:
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
        self.definitions: dict[tuple[Scope, ast.AST, str], Definition] = {}
        self.scopes: list[Scope] = []
        self.rebound_inside = rebound_inside(tree) if self.shares_names else {}
        self.shared_names: set[str] = set().union(*self.rebound_inside.values())
        self.read_from_inside: set[tuple[Scope, str]] = set()  # what summaries depend on
        self._classes: dict[ast.AST, classes.ClassFacts] = {}
        self._selves: dict[ast.AST, Value] = {}
        self._scope_of: dict[ast.AST, Scope] = {}
        self._ends: dict[Scope, State] = {}
        self._defined_in: dict[ast.AST, Scope] = {}
        self._summaries: dict[ast.AST, Value | None] = {}
        self.kept_results: dict[ast.AST, Saved | None] = {}  # of the functions with a summary
        self._queue: list[tuple[tuple[int, int], int, classes.Method, Scope]] = []
        self._found: list[tuple[classes.Method, Scope]] = []
        self._untold: list[tuple[classes.Method, Scope]] = []
        self._constructors: dict[ast.ClassDef, tuple[classes.Method, Scope]] = {}
        self._budget = _SUMMARY_BUDGET
        self.others = None if session is None else Others(self, session, path)
        self._run_body(Scope(tree, "", None), State(), tree.body)
        if not source:
            # Constructors first: they say what the other methods find in ``self``. Then methods
            # that fill containers, since their elements are what other methods read.
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
        With ``words`` those functions alone whose text has one.
        """
        while wanted := [
            (node, scope)
            for node, scope in self._untold
            if words is None or any(word in self.text_of(node) for word in words)
        ]:
            for node, scope in wanted:
                heapq.heappush(self._queue, ((4, node.lineno), len(self._queue), node, scope))
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
        state = self._entry(node, scope)
        self._run_body(scope, state, node.body)
        self._summaries[node] = scope.result
        self.kept_results[node] = kept_by_calls(scope)

    def _entry(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> State:
        """The state at the beginning of a function: arguments, and the decorators' grad mode."""
        decorators = [(d, self.values.get(d, unknown())) for d in node.decorator_list]
        state = State(mode=decorated_mode(decorators) or GradMode.ON)
        names = {_name_of(d) for d in node.decorator_list}
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        facts = given(self, node, scope.class_node)
        for at, argument in enumerate(arguments):
            value = unknown(argument)
            if at == 0 and scope.class_node is not None and "staticmethod" not in names:
                value = self.self_of(scope) if "classmethod" not in names else value
            elif argument.annotation is not None:
                value = self._annotated(argument, scope)
            value = assumed(facts.get(argument.arg), argument, value) if facts else value
            if value.symbol is None and value.const is None:
                value.symbol = f"{argument.arg}@{scope.name}:{node.lineno}"
            self._bind_argument(state, scope, argument.arg, argument, value)
        if node.args.vararg is not None:
            value = sequence(None, node=node.args.vararg, name="tuple")
            self._bind_argument(state, scope, node.args.vararg.arg, node.args.vararg, value)
        if node.args.kwarg is not None:
            value = unknown(node.args.kwarg)
            self._bind_argument(state, scope, node.args.kwarg.arg, node.args.kwarg, value)
        return state

    def _bind_argument(
        self, state: State, scope: Scope, name: str, node: ast.AST, value: Value
    ) -> None:
        definition = Definition(name, node, None, value, "argument")
        scope.define(definition)
        scope.arguments[name] = value
        state.put(name, frozenset({definition}), value)

    def _annotated(self, argument: ast.arg, scope: Scope) -> Value:
        """What an annotation promises about an argument."""
        annotation = argument.annotation
        if annotation is None or isinstance(annotation, ast.Subscript):
            return unknown(argument)
        # Most are plain names, and `ast.unparse` is slow.
        text = annotation.id if isinstance(annotation, ast.Name) else ast.unparse(annotation)
        name = text.strip("'\"")
        if name in ("int", "float", "bool"):
            return Value(Kind.NUMBER, Role.UNTRACKED, argument)
        if name == "str":
            return Value(Kind.STRING, Role.UNTRACKED, argument)
        if name in ("Tensor", "torch.Tensor") or self._is_tensor_class(name, scope):
            return Value(Kind.TENSOR, Role.UNKNOWN, argument)
        if name.rpartition(".")[2] in ("ndarray", "DataFrame"):
            return Value(Kind.FOREIGN, Role.UNTRACKED, argument, name="numpy")
        return self._instance_of(name, argument, scope) or unknown(argument)

    def _is_tensor_class(self, name: str, scope: Scope) -> bool:
        """Whether an annotation is that of tensors, whatever torch is called in this file."""
        first, _, rest = name.rpartition(".")
        if rest != "Tensor" or not first.isidentifier():
            return False
        return self.outer_name(scope, first).name == "torch"

    def _instance_of(self, name: str, argument: ast.arg, scope: Scope) -> Value | None:
        """What an annotation with a Module class of this file, or a layer, promises."""
        first, *rest = name.split(".")
        if not name.replace(".", "").isidentifier():
            return None
        named = self.outer_name(scope, first)
        if named.kind is Kind.REFERENCE and named.name:
            layer = self.imported(".".join((named.name, *rest))).name
            if not layers.is_layer(layer):
                return None
            made = layers.build(argument, layer, (), frozen=self.freezes_parameters)
            return made if made.attributes else None
        if named.kind is Kind.CLASS and not rest and classes.is_module(self, named):
            return classes.instantiate(self, named, argument, ())
        return None

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
        return reference(canonical(name))

    def outer_name(self, scope: Scope, name: str) -> Value:
        """The value of a name that the scope does not bind itself."""
        outer = scope.parent
        while outer is not None:
            if not isinstance(outer.node, ast.ClassDef):
                if outer not in self._ends:
                    self.read_from_inside.add((outer, name))
                found = self._name_in(outer, name)
                if found is not None:
                    return found
            outer = outer.parent
        starred = self.others.from_star(name) if self.others is not None else None
        if starred is not None:
            return starred
        if name == "torch" and mentions(self.text, "import *"):
            return reference(name)  # the one name that means the same wherever it comes from
        return reference(f"builtins.{name}") if name in _BUILTIN_NAMES else unknown()

    def _name_in(self, scope: Scope, name: str) -> Value | None:
        """What a closure sees: the join of all definitions, since it may run at any time."""
        values = [definition.value for definition in scope.by_name.get(name, ())]
        if not values:
            return None
        if name in self.shared_names:
            return unknown()
        end = self._ends.get(scope)
        bound = end.get(name) if len(values) == 1 and end is not None else None
        return bound.value if bound is not None else join_all(values)

    def definition_text(self, value: Value) -> str | None:
        """The source of a class or function of any file; None where it is not known."""
        elsewhere = self.others.text_of(value) if self.others is not None else None
        if elsewhere is not None or value.definition is None:
            return elsewhere
        if self.others is not None and self.others.home_of(value.definition) is not None:
            return None
        return None if isinstance(value.definition, Elsewhere) else self.source_of(value.definition)

    def summary(self, function: Value) -> Value | None:
        """What a function of the project returns, whatever it is given; None for nothing."""
        node = function.definition
        if isinstance(node, Elsewhere):
            return unknown() if self.others is None else self.others.summary(function)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            return unknown()
        if node in self._summaries:
            return self._summaries[node]
        if isinstance(node, ast.AsyncFunctionDef) or self._budget <= 0:
            return unknown()
        if any(_name_of(decorator) not in _TRANSPARENT for decorator in node.decorator_list):
            return unknown()
        self._budget -= len(node.body) * 5 + 10
        self._summaries[node] = unknown()
        owner = function.owner.definition if function.owner is not None else None
        parent = self._scope_of.get(owner) if owner is not None else self._defined_in.get(node)
        if parent is None:
            return unknown()
        scope = Scope(node, node.name, parent, owner if isinstance(owner, ast.ClassDef) else None)
        run = Interpreter(self, scope, self._entry(node, scope))
        run.loud = False
        run.run(node.body)
        self._summaries[node] = scope.result
        self.kept_results[node] = kept_by_calls(scope)
        return self._summaries[node]

    def forget_summaries(self) -> None:
        """A name that functions read from outside has got another value."""
        self._summaries.clear()
        self.kept_results.clear()
        self.read_from_inside.clear()

    def switches_mode(self, context: ast.expr) -> bool:
        """Whether a context manager of this file may switch the grad mode."""
        called = context.func if isinstance(context, ast.Call) else context
        if self.others is not None:
            text = self.others.text_of(self.value(called))
            if text is not None:
                return bool(SWITCHES.search(text))
        return _name_of(called) in self.switching


def _name_of(decorator: ast.expr) -> str:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (
        node.attr
        if isinstance(node, ast.Attribute)
        else node.id if isinstance(node, ast.Name) else ""
    )
