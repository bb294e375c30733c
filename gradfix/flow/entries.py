"""What is known when a function begins: its arguments, and the grad mode of its decorators."""

from __future__ import annotations

import ast
from abc import abstractmethod
from typing import TYPE_CHECKING

from gradfix.flow import classes, made_layers
from gradfix.flow.constructors import decorated_mode
from gradfix.flow.given import assumed, given
from gradfix.flow.parameters import Defined
from gradfix.flow.state import GradMode, Scope, State
from gradfix.flow.text_facts import TextFacts
from gradfix.flow.values import Kind, Role, Value, sequence, unknown
from gradfix.flow.versions import Definition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gradfix.flow.module import ModuleFlow
    from gradfix.recorded import FileFacts, Seen


class Entries(TextFacts):
    """The part of `ModuleFlow` that knows with what a function is entered."""

    recorded: FileFacts | None

    @property
    def _whole(self) -> ModuleFlow:
        return self  # type: ignore[return-value]  # this is a part of it

    @abstractmethod
    def self_of(self, scope: Scope) -> Value:
        """The ``self`` of a method's class."""

    @abstractmethod
    def outer_name(self, scope: Scope, name: str) -> Value:
        """The value of a name that the scope does not bind itself."""

    @abstractmethod
    def imported(self, name: str) -> Value:
        """The value of a qualified name."""

    def entry(
        self, node: Defined, scope: Scope, tensors: frozenset[ast.arg] = frozenset()
    ) -> State:
        """The state at the beginning of a function: arguments, and the decorators' grad mode.

        Of arguments in ``tensors`` it is known that they are tensors.
        """
        found = [] if isinstance(node, ast.Lambda) else node.decorator_list
        decorators = [(d, self.values.get(d, unknown())) for d in found]
        state = State(mode=decorated_mode(decorators) or GradMode.ON)
        names = {name_of(d) for d in found}
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        facts: Mapping[str, Seen] = {}
        if self.recorded is not None and not isinstance(node, ast.Lambda):
            facts = given(self._whole, node, scope.class_node)
        for at, argument in enumerate(arguments):
            if at == 0 and scope.class_node is not None and "staticmethod" not in names:
                value = self.self_of(scope) if "classmethod" not in names else self._class_of(scope)
            elif argument.annotation is not None:
                value = self._annotated(argument, scope)
            else:
                value = unknown(argument)
            value = assumed(facts.get(argument.arg), argument, value) if facts else value
            if argument in tensors and value.kind is Kind.UNKNOWN:
                value = Value(Kind.TENSOR, Role.UNKNOWN, argument)
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

    def _class_of(self, scope: Scope) -> Value:
        """The first argument of a class method."""
        node = scope.class_node
        assert node is not None
        return Value(Kind.CLASS, Role.UNTRACKED, definition=node, name=node.name)

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
            if not made_layers.is_layer(layer):
                return None
            made = made_layers.build(argument, layer, (), self)
            return made if made.attributes else None
        if named.kind is Kind.CLASS and not rest and classes.is_module(self._whole, named):
            return classes.instantiate(self._whole, named, argument, ())
        return None


def name_of(decorator: ast.expr) -> str:
    """The plain name of a decorator, or of what is called; empty for other expressions."""
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (
        node.attr
        if isinstance(node, ast.Attribute)
        else node.id if isinstance(node, ast.Name) else ""
    )
