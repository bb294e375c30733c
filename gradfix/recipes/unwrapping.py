"""``Variable(x)`` becomes ``x``, a leaf, or code under ``no_grad``; imports stay as they are."""

from __future__ import annotations

import ast
import textwrap

from gradfix.codemod import NotFixable
from gradfix.flow import ModuleFlow
from gradfix.flow.apart import together
from gradfix.flow.legacy import is_never_none, went_through_numpy
from gradfix.flow.names import uses_of
from gradfix.flow.nodes import last_name, walk
from gradfix.flow.source_text import bracketed, replaced
from gradfix.flow.state import Backward, Call, GradMode, Write
from gradfix.flow.told_apart import is_indistinguishable, is_new
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Role
from gradfix.model import Edit, EditKind, Fix
from gradfix.recipes.no_grad import no_grad_in

_NO = Certainty.NO
_TOLD_APART = "the wrapper is another object than what it wraps, and may be told apart"
_NONE = "what is wrapped may be None, of which `Variable` makes an empty tensor"
_HISTORY = "whether what is wrapped has a history is not known"
_TRAIN = ("backward", "step", "grad", "fit")
#: What belongs to one tensor object, and not to the memory that it shares with others.
_OF_THE_OBJECT = frozenset(
    """requires_grad_ t_ transpose_ swapaxes_ swapdims_ squeeze_ unsqueeze_ resize_ resize_as_ set_
    detach_ register_hook retain_grad""".split()
)
_SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Return)


def unwrap(flow: ModuleFlow, call: Call) -> Fix:
    """The rewrite of one call of ``Variable``. Raises NotFixable with the reason why not."""
    node = call.node
    assert isinstance(node, ast.Call)
    data, options = _arguments(node)
    _must_keep_its_history(flow, data)
    flag, volatile = options.get("requires_grad"), options.get("volatile")
    if volatile is not None and not _is(volatile, False):
        if not _is(volatile, True) or flag is not None:
            raise NotFixable("whether the graph is needed depends on an expression")
        if call.mode is not GradMode.OFF:
            return _without_graph(flow, call, node, data)
    if flag is not None and not _is(flag, False):
        text, doubt = _leaf(flow, data, flag)
        edit = _replacement(flow, node, text)
        return Fix.of("use a tensor that requires grad", (edit,), doubt)
    doubt = _HISTORY
    if flow.value(data).needs_grad is Certainty.NO:
        doubt = "" if is_indistinguishable(flow, call.scope, data, node) else _TOLD_APART
    if doubt and flag is not None:
        return _detached(flow, node, data)
    _must_not_be_written(flow, call, data)
    if doubt:
        _must_not_be_another(flow, call, data)
    return Fix.of("use the tensor itself", (_plain(flow, node, data),), doubt)


def _is(node: ast.expr, constant: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is constant


def _arguments(node: ast.Call) -> tuple[ast.expr, dict[str, ast.expr]]:
    """The data and the options of ``Variable``. Raises NotFixable for anything unusual."""
    options = {k.arg: k.value for k in node.keywords if k.arg is not None}
    given = [*node.args, *([options.pop("data")] if "data" in options else [])]
    for name in ("requires_grad", "volatile"):
        if len(given) > 1 and len(node.args) > 1 and name not in options:
            options[name] = given.pop(1)
    understood = len(given) == 1 and all(k.arg is not None for k in node.keywords)
    if not understood or not set(options) <= {"requires_grad", "volatile"}:
        raise NotFixable("the arguments of the call are not understood")
    if any(isinstance(argument, ast.Starred) for argument in node.args):
        raise NotFixable("the arguments of the call are not understood")
    return given[0], options


def _must_keep_its_history(flow: ModuleFlow, data: ast.expr) -> None:
    value = flow.value(data)
    carried = value.is_tensor and bool(value.role & Role.TRACKED)  # from an earlier turn, perhaps
    if value.needs_grad is Certainty.YES or carried:
        raise NotFixable("use .detach() if the history is to be cut, and the tensor itself if not")
    if value.kind not in (Kind.TENSOR, Kind.UNKNOWN):
        raise NotFixable("what is wrapped is no tensor")
    if went_through_numpy(value):
        raise NotFixable("the value comes from a tensor by way of NumPy: its history is lost")


def _must_not_be_written(flow: ModuleFlow, call: Call, data: ast.expr) -> None:
    """What is written into a wrapper has its history there, and not in the data that is kept."""
    if not isinstance(data, (ast.Attribute, ast.Subscript)):
        return
    made = [d for d in call.scope.definitions if d.statement is call.statement]
    uses = {use for definition in made for use in uses_of(call.scope, definition)}
    for write in flow.all(Write):
        if write.base in uses and (write.value is None or write.value.needs_grad is not _NO):
            raise NotFixable(
                f"what is written into the wrapper would go into `{flow.source_of(data)}`,"
                " too, with its history"
            )


def _must_not_be_another(flow: ModuleFlow, call: Call, data: ast.expr) -> None:
    """``v = Variable(x); v.t_()``: shape and flags belong to one object, and ``x`` is another."""
    made = [d for d in call.scope.definitions if d.statement is call.statement]
    for use in (use for definition in made for use in uses_of(call.scope, definition)):
        asked = flow.parents.get(use)
        same = isinstance(use, ast.Name) and isinstance(data, ast.Name) and use.id == data.id
        if same or not isinstance(asked, ast.Attribute):
            continue
        if isinstance(asked.ctx, ast.Store) or asked.attr in _OF_THE_OBJECT:
            name, row = flow.source_of(data), flow.span(asked).row
            raise NotFixable(f"what line {row} changes would change for `{name}`, too")


# -- a plain wrapper, a leaf -----------------------------------------------------------------------


def _plain(flow: ModuleFlow, node: ast.Call, data: ast.expr) -> Edit:
    """The data instead of the call; ``x = Variable(x)`` goes."""
    statement = flow.parents.get(node)
    if isinstance(statement, ast.Tuple):
        statement = flow.parents.get(statement)
    if isinstance(statement, ast.Assign) and _rebinds(statement, data, node):
        alone = len(flow.block_of(statement)) == 1
        return Edit(EditKind.STATEMENT, flow.span(statement), "pass" if alone else "")
    return _replacement(flow, node, flow.source_of(data))


def _replacement(flow: ModuleFlow, node: ast.Call, text: str) -> Edit:
    return Edit(EditKind.REPLACE, flow.span(node), text)


def _detached(flow: ModuleFlow, node: ast.Call, data: ast.expr) -> Fix:
    """``Variable(x, requires_grad=False)`` is ``x.detach()``, to the letter.

    Both make a new tensor over the same memory, with its version counter and without a history.
    """
    text = f"{bracketed(flow.source_of(data), data)}.detach()"
    doubt = "" if is_never_none(flow, data) else _NONE
    return Fix.of("detach as the wrapper does", (_replacement(flow, node, text),), doubt)


def _rebinds(statement: ast.Assign, data: ast.expr, node: ast.Call) -> bool:
    """Whether nothing happens any more once the data stands for the call: ``x = Variable(x)``."""
    if len(statement.targets) != 1 or not isinstance(data, ast.Name):
        return False
    target, value = statement.targets[0], statement.value
    if isinstance(value, ast.Tuple) and isinstance(target, ast.Tuple):
        right = [data if item is node else item for item in value.elts]
        return all(isinstance(item, ast.Name) for item in right) and (
            [ast.unparse(item) for item in right] == [ast.unparse(item) for item in target.elts]
        )
    return value is node and ast.unparse(target) == ast.unparse(data)


def _leaf(flow: ModuleFlow, data: ast.expr, flag: ast.expr) -> tuple[str, str]:
    """The source of a new leaf over the data, and what is not proven of it."""
    always = _is(flag, True)
    text = flow.source_of(data)
    doubt = "" if flow.value(data).needs_grad is _NO else _HISTORY
    if not always:
        doubt = "what `requires_grad` is set to is worked out"
    if not is_new(flow, data):
        # The wrapper is another tensor over the same memory: its flag is not the flag of the data.
        text = f"{bracketed(text, data)}.detach()"
    elif always and isinstance(data, ast.Call) and _takes_flag(flow, data):
        parts = [flow.source_of(part) for part in (*data.args, *data.keywords)]
        return f"{flow.source_of(data.func)}({', '.join([*parts, 'requires_grad=True'])})", doubt
    else:
        text = bracketed(text, data)
    return f"{text}.requires_grad_({'' if always else flow.source_of(flag)})", doubt


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


# -- volatile --------------------------------------------------------------------------------------


def _without_graph(flow: ModuleFlow, call: Call, node: ast.Call, data: ast.expr) -> Fix:
    """What is computed from a volatile tensor moves under ``no_grad``."""
    no_grad = no_grad_in(flow, call.scope)
    statement = call.statement
    if not isinstance(statement, _SIMPLE) or together(statement):
        raise NotFixable("what is computed from the volatile tensor cannot be told apart")
    region = _region(flow, call, node)
    _must_not_differentiate(flow, call, region)
    body = _lines(flow, statement, region[1:])
    if not isinstance(statement, ast.Assign) or not _rebinds(statement, data, node):
        first = textwrap.dedent(_line_of(flow, statement, {node: flow.source_of(data)}))
        body = f"{first}\n{body}".rstrip("\n")
    content = f"with {no_grad}():\n{textwrap.indent(body, '    ')}" if body else ""
    if not body and len(flow.block_of(statement)) == 1:
        content = "pass"
    edits = [Edit(EditKind.STATEMENT, flow.span(statement), content)]
    edits += [Edit(EditKind.STATEMENT, flow.span(later), "") for later in region[1:]]
    return Fix.of(
        "evaluate under no_grad",
        tuple(edits),
        "something else may need the graph that is not built",
    )


def _region(flow: ModuleFlow, call: Call, node: ast.Call) -> list[ast.stmt]:
    """The statements from the volatile tensor to the end of its block, where all its uses are."""
    statement = call.statement
    if isinstance(statement, (ast.Expr, ast.Return)):
        if statement.value is node:
            raise NotFixable("what is computed from the volatile tensor cannot be told apart")
        return [statement]
    block = flow.block_of(statement)
    if statement not in block:
        raise NotFixable("what is computed from the volatile tensor cannot be told apart")
    region = block[block.index(statement) :]
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    else:
        assert isinstance(statement, (ast.AnnAssign, ast.AugAssign))
        targets = [statement.target]
    names = [n for t in targets for n in (t.elts if isinstance(t, ast.Tuple) else [t])]
    if not all(isinstance(name, ast.Name) for name in names):
        raise NotFixable("the volatile tensor is kept in an attribute")
    inside = {part for later in region for part in walk(later)}
    made = [d for d in call.scope.definitions if d.statement is statement]
    if not made or any(use not in inside for d in made for use in uses_of(call.scope, d)):
        raise NotFixable("the volatile tensor is also used elsewhere")
    return region


def _must_not_differentiate(flow: ModuleFlow, call: Call, region: list[ast.stmt]) -> None:
    """Nothing that needs a graph may move under ``no_grad``, and nothing that runs elsewhere."""
    if any(b.scope is call.scope for b in flow.all(Backward)):
        raise NotFixable("the same function computes gradients")
    training = _training_functions(flow.tree)
    for part in (part for statement in region for part in walk(statement)):
        if isinstance(part, (ast.Yield, ast.YieldFrom, ast.Await)):
            raise NotFixable("other code can run before the block ends")
        if isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            raise NotFixable("functions or classes are defined further down in the block")
        if isinstance(part, ast.Call) and part is not call.node:
            if last_name(part.func) == "Variable" and not _is_volatile(part):
                raise NotFixable("a Variable with a graph of its own is made further down")
        if isinstance(part, ast.Call) and _trains(part.func, training):
            raise NotFixable("what is called further down in the block computes gradients")


def _is_volatile(node: ast.Call) -> bool:
    return any(k.arg == "volatile" and _is(k.value, True) for k in node.keywords)


def _trains(called: ast.expr, training: set[str]) -> bool:
    """Whether a call is one of those; ``.train()`` of an object is no function of that name."""
    dotted = isinstance(called, ast.Attribute)
    return f".{last_name(called)}" in training if dotted else last_name(called) in training


def _training_functions(tree: ast.Module) -> set[str]:
    """The functions that compute gradients or make a step, or call one that does.

    Names of functions as they are, those of methods with a dot in front.
    """
    found = {name for plain in _TRAIN for name in (plain, f".{plain}")}
    methods = {item for node in walk(tree) if isinstance(node, ast.ClassDef) for item in node.body}
    functions = [
        (
            f".{node.name}" if node in methods else node.name,
            [c.func for c in walk(node) if isinstance(c, ast.Call)],
        )
        for node in walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    while more := {n for n, calls in functions if any(_trains(c, found) for c in calls)} - found:
        found |= more
    return found


def _line_of(flow: ModuleFlow, statement: ast.stmt, parts: dict[ast.expr, str]) -> str:
    _must_be_plain(flow, [statement])
    return replaced(flow, statement, parts)


def _lines(flow: ModuleFlow, after: ast.stmt, statements: list[ast.stmt]) -> str:
    """The source of the statements that follow one, without their indentation."""
    if not statements:
        return ""
    _must_be_plain(flow, statements)
    begin, last = flow.span(after), flow.span(statements[-1])
    return textwrap.dedent("\n".join(flow.lines[begin.end_row : last.end_row])).strip("\n")


def _must_be_plain(flow: ModuleFlow, statements: list[ast.stmt]) -> None:
    """Whether the lines of the statements can be indented without changing what they say."""
    for node in (part for statement in statements for part in walk(statement)):
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and node.lineno != node.end_lineno:
            raise NotFixable("a string spans several lines")
    first, last = flow.span(statements[0]), flow.span(statements[-1])
    row, end = flow.lines[first.row - 1], flow.lines[last.end_row - 1]
    if row[: first.column - 1].strip() or end[last.end_column - 1 :].lstrip()[:1] == ";":
        raise NotFixable("several statements stand on one line")
