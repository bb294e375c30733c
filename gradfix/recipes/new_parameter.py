"""An attribute becomes a Parameter: whether all code that changes it lets that happen."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.beside import possible_tensors
from gradfix.flow.classes import facts_of, is_module, lineage
from gradfix.flow.neighbours import gets_saved_weights, minded_by
from gradfix.flow.rebound import rebound
from gradfix.flow.registered import all_parameters_changed
from gradfix.flow.said_plain import is_known_as_no_leaf, is_only_read_detached
from gradfix.flow.strangers import binds_any
from gradfix.flow.values import Value

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
    """What may be a tensor with a history among what ``kept`` is computed with, if anything."""
    for node in possible_tensors(flow, kept):
        return f"`{flow.source_of(node)}` may be a tensor that needs a gradient"
    return ""


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
