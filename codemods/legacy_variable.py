"""GF401: code written for PyTorch 0.3: ``Variable``, ``volatile``, ``.data[0]``, old Functions."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable
from gradfix.flow import ModuleFlow, legacy
from gradfix.flow.queries import (
    bracketed,
    differentiated_at,
    gradient_asked_at,
    leaf_use_of,
    loss_made_leaf,
    places_of,
    spelling,
    uses_of,
    writes_to,
)
from gradfix.flow.state import Backward, Call, GradMode
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Value
from gradfix.model import Edit, EditKind, Finding, Fix, Note, Safety

_FLAGS = frozenset({"requires_grad", "requires_grad_", "grad", "retain_grad", "detach_", "is_leaf"})


class LegacyVariable(Codemod):
    """Code for PyTorch 0.3 that is out of date, or does something else today.

    What it does
    ------------
    Replaces ``Variable(x)`` by ``x``, ``Variable(x, requires_grad=True)`` by a tensor that requires
    grad, ``volatile=True`` by ``torch.no_grad()`` and ``loss.data[0]`` by ``loss.item()``. Reports
    ``autograd.Function`` classes whose objects are called, and gradients that are zeroed before
    there are any.

    Why is this bad?
    ----------------
    Tensors are Variables since PyTorch 0.4. ``Variable(x)`` of a tensor with a history cuts it,
    ``volatile`` is ignored, so that evaluation builds graphs. ``loss.data[0]`` raises, and so does
    the call of an ``autograd.Function`` object.

    Example
    -------
    ```python
    import torch
    from torch.autograd import Variable

    w = Variable(torch.ones(3), requires_grad=True)
    loss = (w * Variable(torch.ones(3))).sum()
    loss.backward()
    grad = w.grad
    ```

    Use instead
    -----------
    ```python
    import torch

    w = torch.ones(3, requires_grad=True)
    loss = (w * torch.ones(3)).sum()
    loss.backward()
    grad = w.grad
    ```

    Fix safety
    ----------
    Safe where the wrapped tensor certainly has no history and nobody can tell it from the wrapper,
    and for ``.data[0]`` of a tensor without dimensions, which raises today. Unsafe where the
    history of what is wrapped is not known, and for ``volatile``. Manual where ``Variable`` cuts a
    history: whether that is meant is not known.

    References
    ----------
    - https://pytorch.org/blog/pytorch-0_4_0-migration-guide/
    - https://docs.pytorch.org/docs/stable/notes/extending.html
    """

    code = "GF401"
    modernises = True
    trigger = re.compile(r"\bVariable\b|\.data\[0\]|\bFunction\b|\bzero_\(")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Everything that is out of date."""
        early = list(legacy.zeroed_too_early(flow))
        broken = {read.scope for read, _ in early}
        wrapped = [
            call
            for call in flow.all(Call)
            if call.name == "torch.autograd.Variable" and isinstance(call.node, ast.Call)
        ]
        for call in wrapped:
            if not _is_another_fault(flow, call):
                yield self._variable(flow, call, call.scope in broken)
        yield from self._first_elements(flow)
        for node, method in legacy.old_functions(flow):
            yield self.finding(
                flow.span(node),
                f"`{method.name}` is no static method; calling this autograd.Function raises",
                because=(
                    flow.note(
                        method, "it belongs to an instance, and instances are not called any more"
                    ),
                ),
                help="make forward and backward static, with ctx, and call .apply",
                why_not="state kept in self has to move to ctx by hand",
            )
        for read, backward in early:
            yield self.finding(
                flow.span(read.node),
                f"`{flow.source_of(read.node)}` is None here when this runs first",
                because=(flow.note(backward, "the first gradient comes from here"),),
                help="zero the gradient after the update, or set it to None",
                why_not="where the gradient is to be zeroed is not known",
            )

    # -- Variable(x) --------------------------------------------------------------------------

    def _variable(self, flow: ModuleFlow, call: Call, waits: bool) -> Finding:
        assert isinstance(call.node, ast.Call)
        fix, why_not = None, None
        try:
            if waits:
                raise NotFixable("the gradient that is zeroed too early has to be mended first")
            fix = self._modern(flow, call, call.node)
        except NotFixable as reason:
            why_not = str(reason)
        cuts = call.result.cut == "Variable"
        return self.finding(
            flow.span(call.node),
            (
                "`Variable` cuts the history of what it is given"
                if cuts
                else "`Variable` is a legacy wrapper: tensors are Variables"
            ),
            because=(_story(flow, call),),
            help="use the tensor itself",
            fix=fix,
            why_not=why_not,
        )

    def _modern(self, flow: ModuleFlow, call: Call, node: ast.Call) -> Fix:
        data, options = _arguments(node)
        flag, volatile = options.get("requires_grad"), options.get("volatile")
        if isinstance(volatile, ast.Constant) and volatile.value is True and flag is None:
            if call.mode is not GradMode.OFF:
                return self._without_graph(flow, call, node, data)
        elif volatile is not None and not (
            isinstance(volatile, ast.Constant) and volatile.value is False
        ):
            raise NotFixable("whether the graph is needed depends on an expression")
        leaf = flag is not None and not (isinstance(flag, ast.Constant) and flag.value is False)
        if leaf and flag is not None:
            text, safety = _leaf(flow, call, data, flag)
        else:
            text, safety = flow.source_of(data), _plain_safety(flow, call, node, data)
        statement = flow.parents.get(node)
        if isinstance(statement, ast.Tuple):
            statement = flow.parents.get(statement)
        if not leaf and isinstance(statement, ast.Assign) and _rebinds(statement, data, node):
            alone = len(flow.block_of(statement)) == 1
            edit = Edit(EditKind.STATEMENT, flow.span(statement), "pass" if alone else "")
        else:
            edit = Edit(EditKind.REPLACE, flow.span(node), text)
        return self.fix(safety, "use the tensor itself", edit, *_import_edits(flow, node))

    def _without_graph(self, flow: ModuleFlow, call: Call, node: ast.Call, data: ast.expr) -> Fix:
        """``x = Variable(x, volatile=True)`` and what follows it, under ``no_grad``."""
        statement = flow.parents.get(node)
        no_grad = spelling(flow, call.scope, "torch.no_grad")
        if not isinstance(statement, ast.Assign) or no_grad is None:
            raise NotFixable("what is computed from the volatile tensor cannot be told apart")
        if any(b.scope is call.scope for b in flow.all(Backward)):
            raise NotFixable("the same function computes gradients")
        block = flow.block_of(statement)
        rest: list[ast.stmt] = [statement]
        if statement in block:
            rest = block[block.index(statement) :]
        inside = {part for later in rest for part in ast.walk(later)}
        made = [d for d in call.scope.definitions if d.statement is statement]
        if not all(isinstance(target, ast.Name) for target in statement.targets):
            raise NotFixable("the volatile tensor is kept in an attribute")
        if not made or any(use not in inside for d in made for use in uses_of(call.scope, d)):
            raise NotFixable("the volatile tensor is also used elsewhere")
        body = _lines(flow, statement, rest[1:])
        if not _rebinds(statement, data, node):
            targets = " = ".join(flow.source_of(target) for target in statement.targets)
            body = f"{targets} = {flow.source_of(data)}\n{body}".rstrip("\n")
        content = f"with {no_grad}():\n{textwrap.indent(body, '    ')}" if body else ""
        edits = [Edit(EditKind.STATEMENT, flow.span(statement), content)]
        edits += [Edit(EditKind.STATEMENT, flow.span(later), "") for later in rest[1:]]
        return self.fix(Safety.UNSAFE, "evaluate under no_grad", *edits, *_import_edits(flow, node))

    # -- loss.data[0] -------------------------------------------------------------------------

    def _first_elements(self, flow: ModuleFlow) -> Iterator[Finding]:
        for node, owner in legacy.first_elements(flow):
            value = flow.value(owner)
            certain = value.is_tensor and value.shape == ()
            if not certain and (value.shape or differentiated_at(flow, value) is None):
                continue
            text = f"{bracketed(flow.source_of(owner), owner)}.item()"
            fix = self.fix(
                Safety.SAFE if certain else Safety.UNSAFE,
                "use .item()",
                Edit(EditKind.REPLACE, flow.span(node), text),
            )
            yield self.finding(
                flow.span(node),
                "`.data[0]` of a tensor without dimensions raises",
                because=(flow.note(owner, "a loss has no dimensions since PyTorch 0.4"),),
                help="use .item()",
                fix=fix,
            )


def _is_another_fault(flow: ModuleFlow, call: Call) -> bool:
    """Whether this makes a new leaf of a computed tensor: rewrap-in-forward and loss-rewrap."""
    if not call.result.is_leaf:
        return False
    if loss_made_leaf(flow, call) is not None:
        return True
    wanted = leaf_use_of(flow, call.result) or gradient_asked_at(flow, call.result)
    return call.result.cut == "Variable" and wanted is None


def _story(flow: ModuleFlow, call: Call) -> Note:
    assert isinstance(call.node, ast.Call)
    if call.result.cut == "Variable":
        return flow.note(call.node, "what goes in has a history, what comes out has none")
    volatile = next((k for k in call.node.keywords if k.arg == "volatile"), None)
    if volatile is not None:
        return flow.note(volatile.value, "`volatile` is ignored since PyTorch 0.4")
    return flow.note(call.node, "since PyTorch 0.4 this returns a tensor like the one it is given")


def _arguments(node: ast.Call) -> tuple[ast.expr, dict[str, ast.expr]]:
    """The data and the options of ``Variable``. Raises NotFixable for anything unusual."""
    options = {k.arg: k.value for k in node.keywords if k.arg is not None}
    data = options.pop("data", None)
    if len(options) + (data is not None) != len(node.keywords):
        raise NotFixable("the arguments of the call are not understood")
    given = [*node.args, *([data] if data is not None else [])]
    if len(given) != 1 or isinstance(given[0], ast.Starred):
        raise NotFixable("the arguments of the call are not understood")
    if not set(options) <= {"requires_grad", "volatile"}:
        raise NotFixable("the arguments of the call are not understood")
    return given[0], options


def _plain_safety(flow: ModuleFlow, call: Call, node: ast.Call, data: ast.expr) -> Safety:
    """How sure it is that nobody can tell the tensor from the wrapper."""
    value = flow.value(data)
    if value.needs_grad is Certainty.YES:
        raise NotFixable("use .detach() if the history is to be cut, and the tensor itself if not")
    if value.kind not in (Kind.TENSOR, Kind.UNKNOWN):
        raise NotFixable("what is wrapped is no tensor")
    if _left_the_graph(value):
        raise NotFixable("the value comes from a tensor by way of NumPy: its history is lost")
    if value.needs_grad is not Certainty.NO:
        return Safety.UNSAFE
    if _is_fresh(flow, data):
        return Safety.SAFE
    places = places_of(flow, call.scope, node)
    if places is None or writes_to(flow, call.result):
        return Safety.UNSAFE
    for place in places:
        parent = flow.parents.get(place)
        if isinstance(parent, ast.Attribute) and parent.attr in _FLAGS:
            return Safety.UNSAFE
    return Safety.SAFE


def _left_the_graph(value: Value) -> bool:
    """Whether the value was a tensor, then an array, and is a tensor again."""
    queue, seen = [value], set()
    while queue:
        at = queue.pop()
        if at.op == "numpy" and any(source.is_tensor for source in at.inputs):
            return True
        if id(at) not in seen:
            seen.add(id(at))
            queue += at.inputs
    return False


def _leaf(flow: ModuleFlow, call: Call, data: ast.expr, flag: ast.expr) -> tuple[str, Safety]:
    """The source of a new leaf over the data."""
    value = flow.value(data)
    if value.kind not in (Kind.TENSOR, Kind.UNKNOWN):
        raise NotFixable("what is wrapped is no tensor")
    always = isinstance(flag, ast.Constant) and flag.value is True
    text = flow.source_of(data)
    if _is_fresh(flow, data):
        if always and isinstance(data, ast.Call) and _takes_flag(flow, data):
            parts = [flow.source_of(part) for part in (*data.args, *data.keywords)]
            parts.append("requires_grad=True")
            return f"{flow.source_of(data.func)}({', '.join(parts)})", Safety.SAFE
    else:
        # The wrapper is another tensor over the same memory: its flag is not the flag of the data.
        text = f"{bracketed(text, data)}.detach()"
        data = ast.Call(ast.Name("detach"), [], [])
    argument = "" if always else flow.source_of(flag)
    safety = Safety.SAFE if always else Safety.UNSAFE
    return f"{bracketed(text, data)}.requires_grad_({argument})", safety


def _is_fresh(flow: ModuleFlow, data: ast.expr) -> bool:
    """Whether the data is a tensor without history, made right here, that nobody else holds."""
    value = flow.value(data)
    if not value.is_tensor or value.needs_grad is not Certainty.NO or value.node is not data:
        return False
    if value.op in ("data", "detach", "from_numpy"):
        return True
    inside = set(ast.walk(data))
    return all(storage.node in inside for storage in value.storages)


def _takes_flag(flow: ModuleFlow, data: ast.Call) -> bool:
    """Whether the call is a factory that takes ``requires_grad``."""
    function = flow.value(data.func)
    if function.kind is not Kind.REFERENCE or not function.name.startswith("torch."):
        return False
    name = function.name.removeprefix("torch.")
    op = op_facts(name, "function")
    plain = name == "tensor" or (
        op is not None and (op.factory or op.like) and name != "from_numpy"
    )
    return plain and not any(k.arg in (None, "requires_grad", "out") for k in data.keywords)


def _rebinds(statement: ast.Assign, data: ast.expr, node: ast.Call) -> bool:
    """Whether nothing happens any more once the data stands for the call: ``x = Variable(x)``."""
    if len(statement.targets) != 1 or not isinstance(data, (ast.Name, ast.Attribute)):
        return False
    target, value = statement.targets[0], statement.value
    if isinstance(value, ast.Tuple) and isinstance(target, ast.Tuple):
        right = [ast.unparse(data if item is node else item) for item in value.elts]
        return right == [ast.unparse(item) for item in target.elts]
    return value is node and ast.unparse(target) == ast.unparse(data)


def _lines(flow: ModuleFlow, after: ast.stmt, statements: list[ast.stmt]) -> str:
    """The source of the statements that follow one, without their indentation."""
    if not statements:
        return ""
    for node in (part for statement in statements for part in ast.walk(statement)):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and node.lineno != node.end_lineno:
            raise NotFixable("a string spans several lines")
    begin, first, last = flow.span(after), flow.span(statements[0]), flow.span(statements[-1])
    row, end = flow.lines[first.row - 1], flow.lines[last.end_row - 1]
    if row[: first.column - 1].strip() or end[last.end_column - 1 :].lstrip()[:1] == ";":
        raise NotFixable("several statements stand on one line")
    return textwrap.dedent("\n".join(flow.lines[begin.end_row : last.end_row])).strip("\n")


def _import_edits(flow: ModuleFlow, node: ast.Call) -> tuple[Edit, ...]:
    """The edit that removes the import of ``Variable``, when ``node`` is its last use.

    The use that is last in the file claims the import's line already while there are others: fixes
    whose reaches overlap have to wait for each other, so it will be made when it is the only one.
    """
    found = legacy.variable_import(flow)
    if found is None or not found.uses or node.func is not max(found.uses, key=flow.span):
        return ()
    text = flow.source_of(found.statement) if len(found.uses) > 1 else found.without
    return (Edit(EditKind.STATEMENT, flow.span(found.statement), text),)
