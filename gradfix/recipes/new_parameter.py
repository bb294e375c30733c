"""An attribute becomes a Parameter: whether all code that changes it lets that happen."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.rebound import rebound
from gradfix.flow.values import Value
from gradfix.model import Safety


def safety_of(flow: ModuleFlow, kept: ast.expr, leaf: Value) -> Safety:
    """How sure it is that what gets ``kept`` here may become a Parameter, if the leaf is one.

    Raises NotFixable where other code certainly changes the attribute as no Parameter can be.
    """
    changed = rebound(flow, kept) if leaf.parameter else None
    if changed is not None and changed.sure:
        raise NotFixable(changed.how)
    return Safety.SAFE if changed is None else Safety.UNSAFE
