"""An attribute becomes a Parameter: whether all code that changes it lets that happen."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.classes import facts_of, is_module, lineage
from gradfix.flow.neighbours import gets_saved_weights, minded_by
from gradfix.flow.nodes import walk
from gradfix.flow.rebound import rebound
from gradfix.flow.registered import all_parameters_changed
from gradfix.flow.said_plain import is_known_as_no_leaf, is_only_read_detached
from gradfix.flow.strangers import binds_any
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Kind, Value

#: What a class does when an attribute is bound, or is not in the ``__dict__`` of an object.
_READS = frozenset({"__getattr__", "__setattr__", "__delattr__", "register_parameter"})


def doubt_of(flow: ModuleFlow, kept: ast.expr, leaf: Value) -> str:
    """Why what gets ``kept`` here should perhaps not become a Parameter, if the leaf is one.

    Empty where nothing speaks against it.

    Raises NotFixable where other code certainly changes the attribute as no Parameter can be.
    """
    changed = rebound(flow, kept) if leaf.parameter else None
    if changed is not None and changed.sure:
        raise NotFixable(changed.how)
    doubt = changed.how if changed is not None else ""
    if is_known_as_no_leaf(flow, flow.value(kept)):
        doubt = "the code asks whether it is a leaf, or says that it is none"
    elif not doubt and leaf.parameter:
        doubt = _met(flow, kept)
    return doubt or _may_be_tensor(flow, kept)


def _may_be_tensor(flow: ModuleFlow, kept: ast.expr) -> str:
    """What may be a tensor with a history among what ``kept`` is computed with, if anything.

    Arguments are numbers where their default is one, or where they are sizes.
    """
    function = flow.enclosing(kept, ast.FunctionDef)
    numbers = set() if function is None else _sizes(flow, function) | _with_defaults(function.args)
    for node in walk(kept):
        parent, value = flow.parents.get(node), flow.values.get(node)
        if not isinstance(node, (ast.Name, ast.Attribute)) or isinstance(parent, ast.Attribute):
            continue
        called = isinstance(parent, ast.Call) and parent.func is node
        plain = isinstance(node, ast.Name) and node.id in numbers
        if value is not None and value.kind is Kind.UNKNOWN and not called and not plain:
            return f"`{flow.source_of(node)}` may be a tensor that needs a gradient"
    return ""


def _sizes(flow: ModuleFlow, function: ast.AST) -> set[str]:
    """The names that new tensors, or layers, are given as their sizes."""
    made = (node for node in walk(function) if isinstance(node, ast.Call))
    found: set[str] = set()
    for call in made:
        value = flow.value(call)
        op = op_facts(value.op, "function") if value.is_tensor and value.node is call else None
        if value.kind is Kind.MODULE or (op is not None and op.factory and value.op != "tensor"):
            found |= {arg.id for arg in call.args if isinstance(arg, ast.Name)}
    return found


def _with_defaults(arguments: ast.arguments) -> set[str]:
    """The arguments whose defaults are numbers."""
    plain = [*arguments.posonlyargs, *arguments.args]
    given = [*zip(plain[::-1], arguments.defaults[::-1], strict=False)]
    given += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d]
    return {
        argument.arg
        for argument, default in given
        if isinstance(default, ast.Constant) and isinstance(default.value, (int, float))
    }


def _met(flow: ModuleFlow, kept: ast.expr) -> str:
    """How other code meets the new Parameter of the Module that gets ``kept``; or nothing.

    It gives such Modules saved weights, which do not have it, the class fills or freezes all of
    its Parameters, or somebody takes them by their place.
    """
    statement = flow.parents.get(kept)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    for target in targets:
        if isinstance(target, ast.Attribute) and is_module(flow, flow.value(target.value)):
            facts = facts_of(flow, flow.value(target.value))
            if facts is None:
                continue
            if any(_READS & set(entry.methods) for entry in lineage(flow, facts)):
                return "the class looks attributes up in its own way"
            if all_parameters_changed(flow, facts) is not None:
                return "the class fills or freezes all of its Parameters"
            if gets_saved_weights(flow, facts, target.attr):
                return "what is loaded may have been saved without it"
            minded = minded_by(flow, facts, target.attr)
            minded = minded or binds_any(flow)
            if minded:
                return minded
            if is_only_read_detached(flow, target.attr):
                return "all that it is used for takes its numbers alone"
    return ""
