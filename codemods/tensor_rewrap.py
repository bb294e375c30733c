"""GF301: ``torch.tensor([a, b])`` of graph tensors copies their values and cuts the graph."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.codemod import Codemod
from gradfix.flow import ModuleFlow
from gradfix.flow.queries import bracketed, reaches_graph, replaced, spelling
from gradfix.flow.state import Backward, Call, GradMode
from gradfix.flow.values import Certainty, Kind, Value, element_of
from gradfix.model import Edit, EditKind, Finding, Note, Safety


class TensorRewrap(Codemod):
    """Graph tensors are copied into a new tensor by torch.tensor and its kin.

    What it does
    ------------
    Finds ``torch.tensor([a, b])`` (also nested lists, tuples, comprehensions, appended lists,
    ``torch.FloatTensor``, ``torch.as_tensor``) where the elements require grad and the result goes
    on towards the loss.

    Why is this bad?
    ----------------
    The constructor reads plain numbers out of the tensors. The result has no history, so nothing
    that the elements were computed from gets a gradient; no error is raised.

    Example
    -------
    ```python
    import torch
    from torch import nn


    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.tensor(0.5))
            self.b = nn.Parameter(torch.tensor(-1.0))

        def forward(self, x):
            gates = torch.tensor([torch.sigmoid(self.a), torch.sigmoid(self.b)])
            return x * gates
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn


    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Parameter(torch.tensor(0.5))
            self.b = nn.Parameter(torch.tensor(-1.0))

        def forward(self, x):
            gates = torch.stack([torch.sigmoid(self.a), torch.sigmoid(self.b)])
            return x * gates
    ```

    Fix safety
    ----------
    Safe where the elements are written out and their shapes and element types are known. Unsafe
    where the length or the shapes are not known: ``torch.stack`` of an empty list raises, and
    elements of different shapes do not stack. Manual where numbers were taken out on purpose
    cannot be told apart.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.tensor.html
    - https://docs.pytorch.org/docs/stable/generated/torch.stack.html
    """

    code = "GF301"
    trigger = re.compile(r"tensor\s*\(|asarray\s*\(|Tensor\s*\(")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every copy of graph tensors that goes on towards the loss."""
        for call in flow.all(Call):
            if not isinstance(call.node, ast.Call) or not call.result.cut or call.mode is GradMode.OFF:
                continue
            if call.result.cut != call.name or not call.name.startswith("torch."):
                continue
            place = reaches_graph(flow, call.node)
            if place is None or _is_only_a_report(flow, call):
                continue
            yield self._report(flow, call, place)

    def _report(self, flow: ModuleFlow, call: Call, place: ast.AST) -> Finding:
        assert isinstance(call.node, ast.Call)
        data = _data_node(call.node)
        source = _first_tracked(flow.value(data))
        because = [] if source is None or source.node is None else [
            flow.note(source.node, "this value has a gradient history")
        ]
        because.append(Note(flow.span(call.node), "only its numbers are copied here"))
        if place is not call.node:
            because.append(flow.note(place, "and the copy goes on from here, without history"))
        plan = _rewrite(flow, call, data)
        return self.finding(
            flow.span(call.node),
            f"`{flow.source_of(call.node.func)}` copies graph tensors and cuts the graph",
            because=tuple(because),
            help="join graph tensors with torch.stack or torch.cat",
            fix=None if isinstance(plan, str) else self.fix(plan.safety, plan.title, *plan.edits),
            why_not=plan if isinstance(plan, str) else None,
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    safety: Safety
    title: str
    edits: tuple[Edit, ...]


def _data_node(call: ast.Call) -> ast.expr | None:
    if call.args:
        return call.args[0]
    return next((k.value for k in call.keywords if k.arg == "data"), None)


def _first_tracked(value: Value) -> Value | None:
    """A value inside the data whose history is lost."""
    if value.is_tensor:
        return value if value.needs_grad is Certainty.YES else None
    for part in (*(value.items or ()), *((value.element,) if value.element else ())):
        found = _first_tracked(part)
        if found is not None:
            return found
    return None


def _is_only_a_report(flow: ModuleFlow, call: Call) -> bool:
    """Whether the copy is returned as it is beside a value that still has its history.

    ``return loss, torch.tensor([a, b])`` hands out numbers for logging; the gradient flows through
    the other value.
    """
    parent = flow.parents.get(call.node)
    names = {call.node}
    if isinstance(parent, ast.Assign) and len(parent.targets) == 1:
        names |= {node for node, definitions in call.scope.uses.items()
                  if any(d.statement is parent for d in definitions)}
    for node in names:
        around = flow.parents.get(node)
        if isinstance(around, ast.Tuple) and isinstance(flow.parents.get(around), ast.Return):
            others = [flow.value(item) for item in around.elts if item is not node]
            if any(other.needs_grad is Certainty.YES for other in others):
                return True
    return False


def _rewrite(flow: ModuleFlow, call: Call, data: ast.expr | None) -> _Plan | str:
    """The edits that keep the graph, or the reason why there are none."""
    assert isinstance(call.node, ast.Call)
    known = {"dtype", "device", "requires_grad", "data", None}
    if data is None or any(k.arg not in known for k in call.node.keywords) or any(
        k.arg is None for k in call.node.keywords
    ):
        return "the arguments of the call are not understood"
    later = _requires_grad_later(flow, call)
    if isinstance(later, str):
        return later
    value = flow.value(data)
    if value.is_tensor:
        joined = _single(flow, call, data, value)
    elif isinstance(data, (ast.List, ast.Tuple)):
        joined = _literal(flow, call, data)
    else:
        joined = _container(flow, call, data, value)
    if isinstance(joined, str):
        return joined
    text, safety = joined
    return _Plan(safety, "keep the graph", (Edit(EditKind.REPLACE, flow.span(call.node), text), *later))


def _requires_grad_later(flow: ModuleFlow, call: Call) -> tuple[Edit, ...] | str:
    """``y.requires_grad = True`` on the copy would raise on a tensor with history: remove it."""
    edits = []
    reached = {call.node} | {v.node for v in flow.consumers(call.node) if v.is_tensor and v.node}
    for node in ast.walk(call.scope.node):
        target: ast.expr | None = None
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            if node.targets[0].attr == "requires_grad":
                target = node.targets[0].value
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            func = node.value.func
            if isinstance(func, ast.Attribute) and func.attr == "requires_grad_":
                target = func.value
        if target is not None and (found := flow.value(target).node) in reached and found is not None:
            if not isinstance(node, ast.stmt):
                return "requires_grad is set on the copy later"
            edits.append(Edit(EditKind.STATEMENT, flow.span(node), ""))
    return tuple(edits)


def _single(flow: ModuleFlow, call: Call, data: ast.expr, value: Value) -> tuple[str, Safety] | str:
    """``torch.tensor(x)`` of one tensor."""
    assert isinstance(call.node, ast.Call)
    options = [flow.source_of(k) for k in call.node.keywords if k.arg in ("dtype", "device")]
    flags = [k for k in call.node.keywords if k.arg == "requires_grad"]
    if flags and any(b.loss.node is call.node or call.node in {i.node for i in b.loss.inputs}
                     for b in flow.all(Backward)):
        return "the loss itself is wrapped again (see loss-rewrap)"
    text = bracketed(flow.source_of(data), data)
    if options:
        text = f"{text}.to({', '.join(options)})"
    else:
        text = f"{text}.clone()"
    return text, Safety.SAFE if value.needs_grad is Certainty.YES else Safety.UNSAFE


def _literal(flow: ModuleFlow, call: Call, data: ast.List | ast.Tuple) -> tuple[str, Safety] | str:
    """A list or tuple written out."""
    stack = spelling(flow, call.scope, "torch.stack")
    if stack is None:
        return "the file has no name for torch.stack"
    items = [flow.value(item) for item in data.elts]
    if any(isinstance(item, ast.Starred) for item in data.elts):
        return "the list unpacks another one"
    if all(isinstance(item, (ast.List, ast.Tuple)) for item in data.elts):
        rows = []
        safety = Safety.SAFE
        for item in data.elts:
            row = _joined(flow, item, stack, call)
            if isinstance(row, str):
                return row
            rows.append((item, row[0]))
            safety = max(safety, row[1], key=_RANK.__getitem__)
        inner = replaced(flow, data, dict(rows))
        return _with_options(flow, call, f"{stack}({inner})", safety, items)
    row = _joined(flow, data, stack, call)
    if isinstance(row, str):
        return row
    return _with_options(flow, call, row[0], row[1], items)


_RANK = {Safety.SAFE: 0, Safety.UNSAFE: 1, Safety.MANUAL: 2}


def _joined(
    flow: ModuleFlow, data: ast.expr, stack: str, call: Call
) -> tuple[str, Safety] | str:
    """``stack([...])`` of one row whose elements are one number each."""
    if not isinstance(data, (ast.List, ast.Tuple)):
        return "rows of different kinds"
    items = [flow.value(item) for item in data.elts]
    tensors = [item for item in items if item.is_tensor]
    if not tensors or any(item.kind not in (Kind.TENSOR, Kind.NUMBER) for item in items):
        return "it is not known what some of the elements are"
    parts: dict[ast.AST, str] = {}
    shapes = {item.shape for item in tensors}
    module = stack.rpartition(".")[0]
    tensor = f"{module}.tensor" if module else spelling(flow, call.scope, "torch.tensor")
    for node, item in zip(data.elts, items, strict=True):
        if item.kind is Kind.NUMBER:
            if tensor is None:
                return "the file has no name for torch.tensor"
            if item.cut:
                return "one element was taken out of the graph before"
            like = _device_source(flow, data, items)
            parts[node] = f"{tensor}({flow.source_of(node)}{like})"
    text = replaced(flow, data, parts)
    if shapes == {()}:
        return f"{stack}({text})", Safety.SAFE
    if shapes == {(1,)} and len(tensors) == len(items):
        cat = spelling(flow, call.scope, "torch.cat")
        return (f"{cat}({text})", Safety.SAFE) if cat else "the file has no name for torch.cat"
    if None in shapes and len(tensors) == len(items):
        # One-element tensors of any shape count as numbers in torch.tensor.
        return f"{stack}({text}).reshape({len(items)})", Safety.UNSAFE
    one = {node: f"{bracketed(flow.source_of(node), node)}.reshape(())"
           for node, item in zip(data.elts, items, strict=True) if item.is_tensor and item.shape != ()}
    return f"{stack}({replaced(flow, data, {**parts, **one})})", (
        Safety.UNSAFE if None in shapes else Safety.SAFE)


def _device_source(flow: ModuleFlow, data: ast.List | ast.Tuple, items: list[Value]) -> str:
    """Numbers join tensors of a known float type as they are; otherwise of the tensor's own type."""
    dtypes = {item.dtype for item in items if item.is_tensor}
    if dtypes == {"default"}:
        return ", dtype=torch.get_default_dtype()" if any(
            isinstance(i.const, int) or i.const is None for i in items if i.kind is Kind.NUMBER
        ) else ""
    first = next(n for n, i in zip(data.elts, items, strict=True) if i.is_tensor)
    return f", dtype={bracketed(flow.source_of(first), first)}.dtype"


def _with_options(
    flow: ModuleFlow, call: Call, text: str, safety: Safety, items: list[Value]
) -> tuple[str, Safety]:
    """Add ``.to(dtype=..., device=...)`` where the result would differ without it."""
    assert isinstance(call.node, ast.Call)
    options = [flow.source_of(k) for k in call.node.keywords if k.arg in ("dtype", "device")]
    legacy = call.name.rpartition(".")[2]
    if legacy.endswith("Tensor") and _dtypes_of(items) - {"default", "float32"}:
        torch = flow.source_of(call.node.func).rpartition(".")[0]
        dtype = {"FloatTensor": "float32", "DoubleTensor": "float64"}.get(legacy)
        if dtype and torch:
            options.append(f"dtype={torch}.{dtype}")
    if options:
        text = f"{text}.to({', '.join(options)})"
    return text, safety


def _dtypes_of(items: list[Value]) -> set[str | None]:
    found: set[str | None] = set()
    for item in items:
        if item.is_tensor:
            found.add(item.dtype)
        elif item.kind is Kind.SEQUENCE:
            inner = element_of(item)
            found |= {inner.dtype} if inner is not None and inner.is_tensor else set()
    return found


def _container(flow: ModuleFlow, call: Call, data: ast.expr, value: Value) -> tuple[str, Safety] | str:
    """A list held by a name, or a comprehension: its length and elements are known only as a whole."""
    element = element_of(value)
    if element is None or not element.is_tensor:
        return "it is not known what the list holds"
    stack = spelling(flow, call.scope, "torch.stack")
    if stack is None:
        return "the file has no name for torch.stack"
    if isinstance(data, ast.GeneratorExp):
        return "the data is a generator"
    text = f"{stack}({flow.source_of(data)})"
    safety = Safety.SAFE if isinstance(value.length, int) and value.length > 0 else Safety.UNSAFE
    if element.shape != ():
        text, safety = f"{text}.reshape(-1)", Safety.UNSAFE
    return _with_options(flow, call, text, safety, [element])
