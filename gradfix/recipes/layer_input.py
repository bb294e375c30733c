"""``torch.tensor(x)`` of what a layer is given, written so that the history stays."""

from __future__ import annotations

import ast

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.queries import flow_sinks, spelling
from gradfix.flow.state import Call
from gradfix.flow.values import UNKNOWN_MEMORY
from gradfix.model import Safety


def as_tensor(flow: ModuleFlow, call: Call, data: ast.expr) -> tuple[str, Safety]:
    """``torch.tensor(x)`` of a layer's input, which another caller may give as an array.

    ``torch.as_tensor`` keeps a history and takes arrays as well; it may return its argument, which
    must not be seen.
    """
    assert isinstance(call.node, ast.Call)
    wrap = spelling(flow, call.scope, "torch.as_tensor")
    if wrap is None:
        raise NotFixable("the file has no name for torch.as_tensor")
    options = [flow.source_of(k) for k in call.node.keywords if k.arg in ("dtype", "device")]
    parts = [flow.source_of(data), *options]
    mine = call.result.storages
    alone = call.node not in flow_sinks(flow) and all(
        value.is_tensor and not value.storages & (mine | UNKNOWN_MEMORY)
        for value in flow.consumers(call.node, lambda _: True)
        if any(source.node is call.node for source in value.inputs)
    )
    return f"{wrap}({', '.join(parts)})", Safety.SAFE if alone else Safety.UNSAFE
