"""GF301: ``torch.tensor([a, b])`` of graph tensors copies their values and cuts the graph."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.assembly import tensor_root
from gradfix.flow.classes import is_module
from gradfix.flow.constructors import REWRAPS
from gradfix.flow.dtypes import LEGACY_TYPES, is_integer
from gradfix.flow.loss_terms import idle_terms
from gradfix.flow.names import own_nodes, spelling
from gradfix.flow.queries import leaf_use_of, loss_made_leaf, reaches_graph
from gradfix.flow.shapes import numel
from gradfix.flow.source_text import bracketed, replaced
from gradfix.flow.stacked import gets_history, input_of_forward
from gradfix.flow.state import Call, GradMode
from gradfix.flow.values import Certainty, Kind, Value, element_of
from gradfix.model import Edit, EditKind, Finding, Fix, Safety
from gradfix.recipes.layer_input import copied_with_history


class TensorRewrap(Codemod):
    """Graph tensors are copied into a new tensor by torch.tensor and its kin.

    What it does
    ------------
    Finds ``torch.tensor([a, b])`` (also nested lists, tuples, comprehensions, appended lists,
    ``torch.FloatTensor``, ``torch.as_tensor``) where the elements require grad and the result goes
    on towards the loss. Finds ``torch.tensor(x)`` of a layer's input in ``forward`` where the file
    gives the layer what other layers computed.

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
    elements of different shapes do not stack. Safe for a layer's input, which becomes
    ``torch.as_tensor(x).clone()``: a copy, as before, and arrays are taken, too. Manual where
    numbers were taken out on purpose cannot be told apart.

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
            if call.name not in REWRAPS or not isinstance(call.node, ast.Call):
                continue
            data = _data_node(call.node)
            if data is None or call.mode is not GradMode.ON or not _cuts(flow, call, data):
                continue
            if loss_made_leaf(flow, call) is not None:
                continue  # loss-rewrap
            if leaf_use_of(flow, call.result) is not None:
                continue  # a copy that is meant to be a leaf of its own
            place = reaches_graph(flow, call.node)
            if place is not None and not _is_only_a_report(flow, call):
                yield self._report(flow, call, data, place)

    def _report(self, flow: ModuleFlow, call: Call, data: ast.expr, place: ast.AST) -> Finding:
        assert isinstance(call.node, ast.Call)
        source = _inside(flow.value(data))
        because = []
        if source is not None and source.node is not None and hasattr(source.node, "lineno"):
            because.append(flow.note(source.node, "this value is a graph tensor"))
        elif input_of_forward(flow, call.scope, flow.value(data)):
            given = gets_history(flow, call.scope)
            if given is not None:
                because.append(flow.note(given, "the layer is given a graph tensor here"))
        because.append(flow.note(call.node, "only its numbers are copied here"))
        if place is not call.node:
            because.append(flow.note(place, "and the copy goes on from here, without history"))
        fix, why_not = None, None
        try:
            fix = _rewrite(flow, call, data)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(call.node),
            f"`{flow.source_of(call.node.func)}` copies graph tensors and cuts the graph",
            because=tuple(because),
            help="join graph tensors with torch.stack or torch.cat",
            fix=fix,
            why_not=why_not,
        )


def _cuts(flow: ModuleFlow, call: Call, data: ast.expr) -> bool:
    """Whether history is certainly lost, or what is done with the copy shows that it was wanted."""
    value = flow.value(data)
    if call.name != "torch.tensor" and value.is_tensor:
        return False  # the others keep the history of a whole tensor
    content = history_in(value)
    if content is Certainty.YES:
        return True
    if content is Certainty.NO or is_integer(call.result.dtype):
        return False
    if input_of_forward(flow, call.scope, value):
        return _cuts_input(flow, call)
    if any(call.node in idle.cut_nodes for idle in idle_terms(flow)):
        return True
    if is_unreachable_leaf(flow, call):
        return True  # nobody can train this leaf: the gradient was meant for the elements
    if _inside(value) is None:
        return False
    return bool(_flags_set_later(flow, call)) or _is_forward(flow, call)


def _cuts_input(flow: ModuleFlow, call: Call) -> bool:
    """Whether a layer makes a new tensor of what other layers computed."""
    if call.keyword("requires_grad") is not None:
        return False
    return call.name == "torch.tensor" and gets_history(flow, call.scope) is not None


def _is_forward(flow: ModuleFlow, call: Call) -> bool:
    """Whether the copy is made in the ``forward`` of an ``nn.Module``."""
    scope = call.scope
    return (
        scope.name == "forward"
        and scope.class_node is not None
        and is_module(flow, flow.self_of(scope))
    )


def is_unreachable_leaf(flow: ModuleFlow, call: Call) -> bool:
    """``torch.tensor(..., requires_grad=True).sum()``: a leaf that nothing ever holds."""
    flag = call.keyword("requires_grad")
    if flag is None or flag.const is not True:
        return False
    parent = flow.parents.get(call.node)
    return isinstance(parent, (ast.Attribute, ast.BinOp))


def _data_node(call: ast.Call) -> ast.expr | None:
    if call.args:
        return call.args[0]
    return next((k.value for k in call.keywords if k.arg == "data"), None)


def history_in(value: Value) -> Certainty:
    """Whether a tensor, or anything in a container, requires grad."""
    if value.kind is not Kind.SEQUENCE:
        return value.needs_grad
    found = {history_in(part) for part in _parts(value)}
    if Certainty.YES in found:
        return Certainty.YES
    return Certainty.NO if found == {Certainty.NO} else Certainty.MAYBE


def _parts(value: Value) -> tuple[Value, ...]:
    return (*(value.items or ()), *((value.element,) if value.element is not None else ()))


def _inside(value: Value) -> Value | None:
    """A tensor inside the data that may require grad."""
    if value.is_tensor:
        return value if value.needs_grad is not Certainty.NO else None
    for part in _parts(value):
        found = _inside(part)
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
        names |= {
            node
            for node, definitions in call.scope.uses.items()
            if any(d.statement is parent for d in definitions)
        }
    for node in names:
        around = flow.parents.get(node)
        if isinstance(around, ast.Tuple) and isinstance(flow.parents.get(around), ast.Return):
            others = [flow.value(item) for item in around.elts if item is not node]
            if any(other.needs_grad is Certainty.YES for other in others):
                return True
    return False


def _rewrite(flow: ModuleFlow, call: Call, data: ast.expr) -> Fix:
    """The edits that keep the graph."""
    assert isinstance(call.node, ast.Call)
    known = {"dtype", "device", "requires_grad", "data"}
    if any(k.arg not in known for k in call.node.keywords):
        raise NotFixable("the arguments of the call are not understood")
    for array in flow.consumers(call.node, _stays_attached):
        if array.op == "numpy" or array.name.startswith("numpy."):
            raise NotFixable(
                "the result is converted to NumPy, which needs a tensor without history"
            )
    value = flow.value(data)
    if input_of_forward(flow, call.scope, value):
        text, safety = copied_with_history(flow, call, data), Safety.SAFE
    elif value.is_tensor:
        text, safety = _single(flow, call, data, value)
    elif isinstance(data, (ast.List, ast.Tuple)):
        text, safety = _literal(flow, call, data)
    else:
        text, safety = _container(flow, call, data, value)
    later = [Edit(EditKind.STATEMENT, flow.span(s), "") for s in _flags_set_later(flow, call)]
    return Fix(
        safety, "keep the graph", (Edit(EditKind.REPLACE, flow.span(call.node), text), *later)
    )


def _stays_attached(value: Value) -> bool:
    """Whether a value would have the history that the rewrite gives to what it is made from."""
    return value.op not in ("detach", "data", "item", "tolist", "format")


def _flags_set_later(flow: ModuleFlow, call: Call) -> list[ast.stmt]:
    """Statements that set ``requires_grad`` on the copy; with a history they would raise."""
    reached = {call.node} | {
        v.node for v in flow.consumers(call.node, lambda v: v.is_tensor) if v.node is not None
    }
    found: list[ast.stmt] = []
    for node in own_nodes(call.scope):
        target: ast.expr | None = None
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
            if node.targets[0].attr == "requires_grad":
                target = node.targets[0].value
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            func = node.value.func
            if isinstance(func, ast.Attribute) and func.attr == "requires_grad_":
                target = func.value
        if target is not None and isinstance(node, ast.stmt) and flow.value(target).node in reached:
            found.append(node)
    return found


def _single(flow: ModuleFlow, call: Call, data: ast.expr, value: Value) -> tuple[str, Safety]:
    """``torch.tensor(x)`` of one tensor."""
    assert isinstance(call.node, ast.Call)
    options = [flow.source_of(k) for k in call.node.keywords if k.arg in ("dtype", "device")]
    if any(k.arg == "requires_grad" for k in call.node.keywords):
        raise NotFixable("a tensor is wrapped again as a leaf (see loss-rewrap)")
    text = bracketed(flow.source_of(data), data)
    if options:
        text = f"{text}.to({', '.join(options)})"
    else:
        text = f"{text}.clone()"
    return text, Safety.SAFE if value.needs_grad is Certainty.YES else Safety.UNSAFE


def _literal(flow: ModuleFlow, call: Call, data: ast.List | ast.Tuple) -> tuple[str, Safety]:
    """A list or tuple written out."""
    stack = spelling(flow, call.scope, "torch.stack")
    if stack is None:
        raise NotFixable("the file has no name for torch.stack")
    items = [flow.value(item) for item in data.elts]
    if any(isinstance(item, ast.Starred) for item in data.elts):
        raise NotFixable("the list unpacks another one")
    if all(isinstance(item, (ast.List, ast.Tuple)) for item in data.elts):
        rows = []
        safety = Safety.SAFE
        for item in data.elts:
            row = _joined(flow, item, stack, call)
            rows.append((item, row[0]))
            safety = max(safety, row[1], key=_RANK.__getitem__)
        inner = replaced(flow, data, dict(rows))
        return _with_options(flow, call, f"{stack}({inner})", safety, items)
    row = _joined(flow, data, stack, call)
    return _with_options(flow, call, row[0], row[1], items)


_RANK = {Safety.SAFE: 0, Safety.UNSAFE: 1, Safety.MANUAL: 2}


def _joined(flow: ModuleFlow, data: ast.expr, stack: str, call: Call) -> tuple[str, Safety]:
    """``stack([...])`` of one row whose elements are one number each."""
    if not isinstance(data, (ast.List, ast.Tuple)):
        raise NotFixable("the rows are of different kinds")
    items = [flow.value(item) for item in data.elts]
    tensors = [item for item in items if item.is_tensor]
    if not tensors or any(item.kind not in (Kind.TENSOR, Kind.NUMBER) for item in items):
        raise NotFixable("it is not known what some of the elements are")
    if any(item.cut for item in items if item.kind is Kind.NUMBER):
        raise NotFixable("one element was taken out of the graph before")
    if any((numel(item.shape) or 1) != 1 for item in tensors):
        raise NotFixable("an element holds more than one number, so the call raises")
    numbers = {
        node: _number(flow, call, data, node)
        for node, item in zip(data.elts, items, strict=True)
        if item.kind is Kind.NUMBER
    }
    shapes = {item.shape for item in tensors}
    if shapes == {(1,)} and not numbers:
        cat = spelling(flow, call.scope, "torch.cat")
        if cat is not None:
            return f"{cat}({flow.source_of(data)})", Safety.SAFE
    if shapes == {()}:
        return f"{stack}({replaced(flow, data, numbers)})", Safety.SAFE
    if None in shapes and not numbers:
        # One-element tensors of any shape count as numbers in torch.tensor.
        return f"{stack}({flow.source_of(data)}).reshape({len(items)})", Safety.UNSAFE
    scalars = {
        node: f"{bracketed(flow.source_of(node), node)}.reshape(())"
        for node, item in zip(data.elts, items, strict=True)
        if item.is_tensor and item.shape != ()
    }
    safety = Safety.UNSAFE if None in shapes else Safety.SAFE
    return f"{stack}({replaced(flow, data, {**numbers, **scalars})})", safety


def _number(flow: ModuleFlow, call: Call, data: ast.List | ast.Tuple, node: ast.expr) -> str:
    """A Python number as a tensor on the device of its neighbours.

    ``torch.stack`` promotes element types as ``torch.tensor`` does, so its type needs no care.
    """
    for other in data.elts:
        root = tensor_root(flow, other, flow.value(other).dtype)
        if root is not None:
            return f"{flow.source_of(root)}.new_tensor({flow.source_of(node)})"
    raise NotFixable("on which device its numbers are to be made is not known")


def _with_options(
    flow: ModuleFlow, call: Call, text: str, safety: Safety, items: list[Value]
) -> tuple[str, Safety]:
    """Add a conversion where element type or device would differ without it."""
    assert isinstance(call.node, ast.Call)
    if is_integer(call.result.dtype):
        raise NotFixable("a tensor of an integer type cannot carry a gradient")
    legacy = LEGACY_TYPES.get(call.name)
    same = {"default", legacy} if legacy in ("default", "float32") else {legacy}
    if legacy is not None and _dtypes_of(items) - same:
        convert = {"float32": "float", "float64": "double", "float16": "half"}.get(legacy)
        if convert is None:
            raise NotFixable("the element type of the parts is not known")
        return f"{text}.{convert}()", safety
    options = [flow.source_of(k) for k in call.node.keywords if k.arg in ("dtype", "device")]
    return (f"{text}.to({', '.join(options)})" if options else text), safety


def _dtypes_of(items: list[Value]) -> set[str | None]:
    found: set[str | None] = set()
    for item in items:
        if item.is_tensor:
            found.add(item.dtype)
        elif item.kind is Kind.SEQUENCE:
            found |= _dtypes_of(list(_parts(item)))
    return found


def _container(flow: ModuleFlow, call: Call, data: ast.expr, value: Value) -> tuple[str, Safety]:
    """A named list or a comprehension: its length and elements are known only as a whole."""
    element = element_of(value)
    if element is None or not (element.is_tensor or element.kind is Kind.UNKNOWN):
        raise NotFixable("it is not known what the list holds")
    if value.name == "filtered":
        raise NotFixable("the list may be empty, and nothing cannot be stacked")
    stack = spelling(flow, call.scope, "torch.stack")
    if stack is None:
        raise NotFixable("the file has no name for torch.stack")
    if isinstance(data, ast.GeneratorExp):
        raise NotFixable("the data is a generator")
    text = f"{stack}({flow.source_of(data)})"
    safety = Safety.SAFE if isinstance(value.length, int) and value.length > 0 else Safety.UNSAFE
    if not element.is_tensor or element.shape != ():
        text, safety = f"{text}.reshape(-1)", Safety.UNSAFE
    return _with_options(flow, call, text, safety, [element])
