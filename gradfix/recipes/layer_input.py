"""``torch.tensor(x)`` of what a layer is given, written so that the history stays."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.names import spelling
from gradfix.flow.state import Call


def copied_with_history(flow: ModuleFlow, call: Call, data: ast.expr) -> str:
    """``torch.as_tensor(x).clone()``: it keeps a history, takes arrays as well, and is a copy.

    Another caller may give the layer an array or a list, and may write into it afterwards.
    """
    assert isinstance(call.node, ast.Call)
    wrap = spelling(flow, call.scope, "torch.as_tensor")
    if wrap is None:
        raise NotFixable("the file has no name for torch.as_tensor")
    options = [flow.source_of(k) for k in call.node.keywords if k.arg in ("dtype", "device")]
    return f"{wrap}({', '.join([flow.source_of(data), *options])}).clone()"
