"""GF203: a leaf that requires grad is written in place with grad mode on."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.aliases import multi_view, siblings
from gradfix.flow.argument_writes import HandedWrite
from gradfix.flow.arguments import calls_to, only_called_without_grad, passed_for
from gradfix.flow.classes import is_initialiser
from gradfix.flow.expected import is_meant_to_raise
from gradfix.flow.handed_writes import always_given, handed_writes, is_direct, place_of, story
from gradfix.flow.indexes import used_as_leaves
from gradfix.flow.leaf_aliases import leaf_written, mistaken_copies
from gradfix.flow.names import bound_to, reaching, uses_of
from gradfix.flow.nodes import LOOPS
from gradfix.flow.queries import keeps_dtype, scopes_of
from gradfix.flow.reached import run_by_forward
from gradfix.flow.revealed_leaves import revealed_writes
from gradfix.flow.source_text import OPERATORS, bracketed
from gradfix.flow.state import GradMode, Write
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Role, Value
from gradfix.flow.versions import Definition
from gradfix.model import Edit, EditKind, Finding, Fix
from gradfix.recipes.no_grad import under_no_grad


class InplaceOnLeaf(Codemod):
    """A leaf is written in place while operations are recorded.

    What it does
    ------------
    Finds in-place writes (``w += x``, ``w[i] = x``, ``w.uniform_()``) to a leaf that requires grad,
    or to a view of one, outside ``torch.no_grad()``; leaves that are given as ``out=``, too, and
    leaves that are handed to a function that writes to its argument.

    Why is this bad?
    ----------------
    PyTorch refuses it: "a leaf Variable that requires grad is being used in an in-place operation".

    Example
    -------
    ```python
    import torch

    x = torch.ones(3, requires_grad=True)
    total = torch.zeros(3, requires_grad=True)
    total += x * 2
    total.sum().backward()
    grad = x.grad
    ```

    Use instead
    -----------
    ```python
    import torch

    x = torch.ones(3, requires_grad=True)
    total = torch.zeros(3)
    total += x * 2
    total.sum().backward()
    grad = x.grad
    ```

    Fix safety
    ----------
    Safe where a constant buffer only collects values: it needs no ``requires_grad=True`` (unsafe
    where what it collects is not known). Safe for an initialisation or update of a Parameter, which
    belongs under ``torch.no_grad()``; the code raises today. Unsafe where ``forward`` gives the
    leaf a name and computes with that name: it may have been taken for a copy. Unsafe where only
    the calls in the file say that ``layer.weight`` of an argument is a Parameter, or only that
    ``layer.bias`` is bound to an ``nn.Parameter`` of its values afterwards, and in a function that
    every call in the file hands a leaf. Manual where the written value itself needs a gradient, and
    for constructors that are given the leaf as ``out``. Functions that the file calls under
    ``no_grad`` only are left alone.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/notes/autograd.html#in-place-operations-with-autograd
    """

    code = "GF203"
    trigger = Words(
        "Parameter",
        "requires_grad",
        ".weight",
        ".bias",
        "parameters()",
        pattern=re.compile(r"self\.\w+(?:\[[^\n]*\]\s*[-+*/@%&|^]*=(?!=)|\s*[-+*/]=|\.\w+_\()"),
    )

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every recorded in-place write to a leaf."""
        buffers: set[ast.AST] = set()
        copies = [write for *_, writes in mistaken_copies(flow) for write in writes]
        for write in flow.all(Write):
            leaf = leaf_written(write) or _leaf_passed(flow, write)
            attribute = None if leaf is not None else _attribute_passed(flow, write)
            leaf = leaf or attribute
            if leaf is None or write in copies or is_meant_to_raise(flow, write.node):
                continue
            if only_called_without_grad(flow, write.scope):
                continue
            definition = _definition(write)
            collects = definition is not None and _only_collects(flow, write, definition)
            if collects and definition is not None:
                if definition.node in buffers:
                    continue
                buffers.add(definition.node)
            doubt = "" if attribute is None else "other callers may pass what holds no leaf"
            yield self._report(flow, write, leaf, definition if collects else None, doubt)
        for write, leaf in revealed_writes(flow):
            if is_meant_to_raise(flow, write.node) or only_called_without_grad(flow, write.scope):
                continue
            doubt = "" if write.target is leaf else "that it is a leaf only shows elsewhere"
            yield self._report(flow, write, leaf, None, doubt)

        yield from self._handed(
            flow, {write.node for write in flow.all(Write) if _leaf_passed(flow, write)}
        )

    def _handed(self, flow: ModuleFlow, done: set[ast.AST]) -> Iterator[Finding]:
        """Leaves that are handed to a function which writes to them in place."""
        for handed in handed_writes(flow):
            leaf, place = leaf_written(handed), place_of(handed)
            leaf = leaf or _attribute_passed(flow, handed)
            if leaf is None or place in done or is_meant_to_raise(flow, place):
                continue
            if only_called_without_grad(flow, handed.scope):
                continue
            done.add(place)
            fix, why_not = None, None
            try:
                fix = self._inside(flow, handed, leaf)
            except NotFixable as reason:
                why_not = str(reason)
            made = leaf.node if hasattr(leaf.node, "lineno") else None
            yield self.finding(
                flow.span(place),
                "a leaf that requires grad is written in place; this raises",
                because=(
                    *((flow.note(made, "the leaf is made here"),) if made is not None else ()),
                    *story(flow, handed),
                ),
                help="write under torch.no_grad()",
                fix=fix,
                why_not=why_not,
            )

    def _inside(self, flow: ModuleFlow, handed: HandedWrite, leaf: Value) -> Fix:
        """The write in a function that is handed nothing but leaves, under ``no_grad``."""
        if not is_direct(handed):
            raise NotFixable("the function that writes is not called with the leaf itself")
        if not always_given(flow, handed):
            raise NotFixable("other calls give the function what is no leaf")
        scopes = scopes_of(flow, handed.called.definition)
        if len(scopes) != 1:
            raise NotFixable("the function is not interpreted by itself")
        write = handed.write
        value = write.values[0] if write.values else None
        known = Write(
            write.node, write.statement, scopes[0], write.mode, leaf, write.base, write.how,
            write.op, None, value, (),
        )  # fmt: skip
        return self._no_grad(flow, known, leaf, "code elsewhere may give the function no leaf")

    def _report(
        self,
        flow: ModuleFlow,
        write: Write,
        leaf: Value,
        buffer: Definition | None,
        doubt: str,
    ) -> Finding:
        because = []
        if leaf.node is not None and hasattr(leaf.node, "lineno"):
            because.append(flow.note(leaf.node, "the leaf is made here"))
        because.append(flow.note(write.node, "and written in place here, with grad mode on"))
        fix, why_not = None, None
        try:
            if buffer is not None:
                fix = self._without_flag(flow, write, buffer)
            elif _is_value(write):
                fix = self._out_of_place(flow, write)
            else:
                fix = self._no_grad(flow, write, leaf, doubt)
        except NotFixable as reason:
            why_not = str(reason)
        return self.finding(
            flow.span(write.node),
            "a leaf that requires grad is written in place; this raises",
            because=tuple(because),
            help=(
                "a buffer needs no requires_grad=True" if buffer else "write under torch.no_grad()"
            ),
            fix=fix,
            why_not=why_not,
        )

    def _without_flag(self, flow: ModuleFlow, write: Write, buffer: Definition) -> Fix:
        call = buffer.value.node
        assert isinstance(call, ast.Call)
        if any(keyword.arg is None for keyword in call.keywords):
            raise NotFixable("the keyword arguments of the buffer are not visible")
        arguments = [flow.source_of(argument) for argument in call.args]
        arguments += [flow.source_of(k) for k in call.keywords if k.arg != "requires_grad"]
        text = f"{flow.source_of(call.func)}({', '.join(arguments)})"
        tensor = write.value is not None and write.value.is_tensor
        return self.fix(
            "the buffer needs no requires_grad",
            Edit(EditKind.REPLACE, flow.span(call), text),
            doubt="" if tensor else "what is written may have no history, and so the buffer then",
        )

    def _out_of_place(self, flow: ModuleFlow, write: Write) -> Fix:
        statement = write.statement
        if not isinstance(statement, ast.AugAssign) or not isinstance(statement.target, ast.Name):
            raise NotFixable("the written value has a gradient history; write out of place instead")
        name = statement.target.id
        if write.value is None or not keeps_dtype(write.target, write.value):
            raise NotFixable("out of place the element type could change")
        definition = _definition(write)
        if definition is None or definition.value.node is None or name in flow.shared_names:
            raise NotFixable(f"what else holds `{name}` is not known")
        if isinstance(definition.statement, ast.Assign) and isinstance(
            definition.statement.value, ast.Call
        ):
            raise NotFixable("the leaf itself would be lost; give the new value another name")
        if not _is_read_behind(write, statement.target):
            raise NotFixable(f"nothing reads `{name}` afterwards: out of place the write is lost")
        operator = OPERATORS[type(statement.op)]
        right = bracketed(flow.source_of(statement.value), statement.value)
        return self.fix(
            "write out of place",
            Edit(EditKind.STATEMENT, flow.span(statement), f"{name} = {name} {operator} {right}"),
        )

    def _no_grad(self, flow: ModuleFlow, write: Write, leaf: Value, doubt: str) -> Fix:
        if write.how == "out" and (op := op_facts(write.op, "function")) and op.factory:
            raise NotFixable(f"`{write.op}` with `out` also switches `requires_grad` off")
        if not isinstance(write.statement, (ast.Expr, ast.AugAssign, ast.Assign)):
            raise NotFixable("the write is part of a larger statement")
        if isinstance(write.statement, ast.Assign) and write.how != "setitem":
            raise NotFixable("the result of the write gets a name")
        if isinstance(write.statement, ast.Expr) and write.node is not write.statement.value:
            raise NotFixable("the write is part of a larger expression")
        if multi_view(write.target) is not None and _is_view_read_behind(write):
            raise NotFixable("one of several views is written: to use any of them then raises")
        edit = under_no_grad(flow, write.scope, write.statement)
        # A Parameter is updated or initialised; another leaf may be there to collect values, whose
        # history no_grad would lose.
        if not leaf.parameter and _may_have_history(write):
            doubt = "what is written may have a history, which would be lost"
        elif _is_computed_with(flow, write):
            doubt = "the name may have been taken for that of a copy"
        return self.fix("write under no_grad", edit, doubt=doubt)


def _is_computed_with(flow: ModuleFlow, write: Write) -> bool:
    """Whether ``forward`` writes to a leaf by a name of its own, and goes on with that name.

    The name may have been taken for that of a copy; then the leaf is not to change with each call.
    """
    root: ast.AST = write.base
    while isinstance(root, ast.Subscript):
        root = root.value
    if not isinstance(root, ast.Name) or is_initialiser(write.scope.name):
        return False
    if write.scope.name not in run_by_forward(flow, write.scope.class_node):
        return False
    named = reaching(write.scope, root)
    return all(d.how == "assign" for d in named) and _is_read_behind(write, root)


def _is_read_behind(write: Write, name: ast.Name) -> bool:
    """Whether what a name is bound to where it is written is used behind the statement."""
    last = write.statement.end_lineno or write.statement.lineno
    return any(
        getattr(use, "lineno", 0) > last
        for definition in reaching(write.scope, name)
        for use in uses_of(write.scope, definition)
    )


def _is_view_read_behind(write: Write) -> bool:
    """Whether a view that was made together with the written one is used behind the statement."""
    last = write.statement.end_lineno or write.statement.lineno
    return isinstance(write.base, ast.Name) and any(
        getattr(use, "lineno", 0) > last
        for definition in siblings(write.scope, write.base)
        for use in uses_of(write.scope, definition)
    )


def _is_value(write: Write) -> bool:
    """Whether what is written has a history, so that the write is a computation, no update."""
    return (
        write.value is not None
        and write.value.is_tensor
        and bool(write.value.role & (Role.TRACKED | Role.LEAF))
    )


def _may_have_history(write: Write) -> bool:
    """Whether the written value may be computed from a leaf, but is not certainly so."""
    return write.value is not None and write.value.needs_grad is Certainty.MAYBE


def _leaf_passed(flow: ModuleFlow, write: Write) -> Value | None:
    """A leaf that this file passes for the argument that a function writes to."""
    definition = _definition(write)
    if definition is None or definition.how != "argument" or write.mode is not GradMode.ON:
        return None
    function = write.scope.node
    if not isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) or write.how == "augment":
        return None
    names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    for call in calls_to(flow, function):
        if call.mode is not GradMode.ON or call.receiver is not None:
            continue
        at = names.index(definition.name) if definition.name in names else len(names)
        given = call.arguments[at] if at < len(call.arguments) else call.keyword(definition.name)
        if given is not None and given.is_leaf:
            return given
    return None


def _attribute_passed(flow: ModuleFlow, write: Write | HandedWrite) -> Value | None:
    """The leaf that ``argument.weight`` is, whichever call of this file the function runs for."""
    if write.mode is not GradMode.ON or not isinstance(write.base, ast.Attribute):
        return None
    found = passed_for(flow, write.scope, write.base)
    if not all(value.is_leaf for _, value in found):
        return None
    return next((value for call, value in found if call.mode is GradMode.ON), None)


def _definition(write: Write) -> Definition | None:
    if isinstance(write.base, ast.Name):
        definitions = reaching(write.scope, write.base)
        if len(definitions) == 1:
            return next(iter(definitions))
    return None


def _only_collects(flow: ModuleFlow, write: Write, definition: Definition) -> bool:
    """Whether the leaf is a constant buffer made only to collect values."""
    value = definition.value
    if value.op not in (
        "zeros",
        "ones",
        "empty",
        "full",
        "zeros_like",
        "ones_like",
        "tensor",
        "torch.tensor",
    ):
        return False
    if not isinstance(value.node, ast.Call) or value.node is not bound_to(definition):
        return False
    if is_initialiser(write.scope.name):
        return False
    if write.how == "method" or write.value is None:
        return False  # values of its own: a leaf that is being initialised
    called = isinstance(write.value.node, ast.Call)  # by whom is not known, but not as a constant
    summed = isinstance(write.value.node, ast.BinOp) or bool(flow.enclosing(write.node, LOOPS))
    computed = summed and write.how == "augment"
    if not write.value.is_tensor and not computed and not (called and write.how == "setitem"):
        return False
    if write.value.needs_grad is Certainty.NO:
        return False
    return definition not in used_as_leaves(flow)
