"""Who trains a Module whose forward records nothing: the difference between inference and a fault.

NOTE the rules. Where all that is returned was computed with grad mode off, the code alone does not
say whether that was meant. It is *asked about* where somebody else is seen to train the Parameter:
the constructor ran backward from what it computed with it; the module that holds it was made
elsewhere and handed in; or another method, one that forward does not use, computes with it with
grad mode on. Without any of these nothing could train it, and the block is blamed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from torch import nn

from gradfix.verify.drive import has_forward
from gradfix.verify.examine import Run
from gradfix.verify.source import tree_of

_QUIET = ("no_grad", "inference_mode", "set_grad_enabled")
_CONTAINERS = ("ModuleList", "ModuleDict", "Sequential")
#: What is asked of a part without computing anything with it.
_ABOUT = frozenset(
    "parameters named_parameters buffers modules children state_dict load_state_dict train eval to "
    "cpu cuda half float double requires_grad_ zero_grad apply device dtype shape size data "
    "requires_grad grad".split()
)


def trained_elsewhere(run: Run, name: str, parameter: nn.Parameter) -> str | None:
    """Who trains a Parameter other than by the result of forward, in words; None for nobody."""
    cls, head = type(run.module), name.partition(".")[0]
    if run.tracer.graph.live_from(run.nodes(parameter)) & run.tracer.trained_from:
        return f"{cls.__name__}.__init__ trains it"
    if head in _handed_in(cls):
        return f"the part that holds it, {head}, is made elsewhere"
    # Without a forward any method may be what was called.
    method = _another_method(cls, head) if has_forward(cls) else None
    return None if method is None else f"{cls.__name__}.{method} computes with it with gradients"


def _methods(cls: type) -> dict[str, ast.FunctionDef]:
    """The methods of a class and of its bases outside torch, as they are found by name."""
    found: dict[str, ast.FunctionDef] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] not in ("torch", "builtins", "typing", "abc"):
            tree = tree_of(base)
            for node in ast.walk(tree) if tree is not None else ():
                if isinstance(node, ast.ClassDef):
                    found |= {n.name: n for n in node.body if isinstance(n, ast.FunctionDef)}
                    break
    return found


def _handed_in(cls: type) -> set[str]:
    """Attributes that hold arguments of the constructor as they are, or in a list of modules."""
    init = _methods(cls).get("__init__")
    if init is None:
        return set()
    arguments = {a.arg for a in (*init.args.posonlyargs, *init.args.args, *init.args.kwonlyargs)}
    return {
        target.attr
        for node in ast.walk(init)
        if isinstance(node, ast.Assign) and _holds_one_of(node.value, arguments)
        for target in node.targets
        if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self"
    }


def _holds_one_of(value: ast.expr, names: set[str]) -> bool:
    if isinstance(value, ast.Call) and ast.unparse(value.func).endswith(_CONTAINERS):
        return any(_holds_one_of(argument, names) for argument in value.args)
    if isinstance(value, ast.Starred):
        value = value.value
    return isinstance(value, ast.Name) and value.id in names


def _another_method(cls: type, head: str) -> str | None:
    """A method beside forward and what forward uses that computes something with an attribute."""
    methods = _methods(cls)
    reached, todo = {"forward"}, ["forward"]
    while todo:
        for attribute in _of_self(methods.get(todo.pop())):
            if attribute.attr in methods and attribute.attr not in reached:
                reached.add(attribute.attr)
                todo.append(attribute.attr)
    for name, method in methods.items():
        if name in reached or name.startswith("__"):
            continue
        if any(word in ast.unparse(method) for word in _QUIET):
            continue
        if _gives_something(method) and _computes_with(method, head):
            return name
    return None


def _of_self(method: ast.AST | None) -> Iterator[ast.Attribute]:
    for node in ast.walk(method) if method is not None else ():
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "self" and isinstance(node.ctx, ast.Load):
                yield node


def _gives_something(method: ast.FunctionDef) -> bool:
    return any(
        (isinstance(node, ast.Return) and node.value is not None)
        or (isinstance(node, ast.Attribute) and node.attr == "backward")
        for node in ast.walk(method)
    )


def _computes_with(method: ast.FunctionDef, head: str) -> bool:
    about = {
        id(node.value)
        for node in ast.walk(method)
        if isinstance(node, ast.Attribute) and node.attr in _ABOUT
    }
    return any(node.attr == head and id(node) not in about for node in _of_self(method))
