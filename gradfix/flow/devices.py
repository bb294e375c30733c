"""What names a device, and nothing else that tensors are moved or cast to."""

from __future__ import annotations

import ast

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import last_name
from gradfix.flow.values import Kind

#: What devices are called (https://docs.pytorch.org/docs/stable/tensor_attributes.html).
_DEVICES = frozenset("cpu cuda mps xpu meta hpu npu".split())


def is_device(flow: ModuleFlow, node: ast.expr) -> bool:
    """Whether an expression is a device, by what it is or by its name."""
    if last_name(node).endswith("device"):
        return True
    value = flow.value(node)
    if value.kind is Kind.STRING:
        return isinstance(value.const, str) and value.const.split(":")[0] in _DEVICES
    called = flow.value(node.func) if isinstance(node, ast.Call) else None
    return called is not None and called.name == "torch.device"


def moves_to_device(flow: ModuleFlow, call: ast.Call) -> bool:
    """Whether a method call moves a tensor to a device, and does nothing else."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr == "to":
        return len(given) == 1 and is_device(flow, given[0])
    return call.func.attr in ("cuda", "cpu") and not given
