"""An attribute becomes a Parameter: whether all code that changes it lets that happen."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.classes import facts_of, is_module
from gradfix.flow.neighbours import gets_saved_weights
from gradfix.flow.rebound import rebound
from gradfix.flow.registered import all_parameters_changed
from gradfix.flow.values import Value
from gradfix.model import Safety


def safety_of(flow: ModuleFlow, kept: ast.expr, leaf: Value) -> Safety:
    """How sure it is that what gets ``kept`` here may become a Parameter, if the leaf is one.

    Raises NotFixable where other code certainly changes the attribute as no Parameter can be.
    """
    if not leaf.parameter:
        return Safety.SAFE
    changed = rebound(flow, kept)
    if changed is not None and changed.sure:
        raise NotFixable(changed.how)
    return Safety.SAFE if changed is None and not _is_met(flow, kept) else Safety.UNSAFE


def _is_met(flow: ModuleFlow, kept: ast.expr) -> bool:
    """Whether other code meets the new Parameter of the Module that gets ``kept``.

    It gives such Modules saved weights, which do not have it, or the class fills or freezes all of
    its Parameters.
    """
    statement = flow.parents.get(kept)
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    for target in targets:
        if isinstance(target, ast.Attribute) and is_module(flow, flow.value(target.value)):
            facts = facts_of(flow, flow.value(target.value))
            if facts is not None and (
                all_parameters_changed(flow, facts) is not None
                or gets_saved_weights(flow, facts, target.attr)
            ):
                return True
    return False
