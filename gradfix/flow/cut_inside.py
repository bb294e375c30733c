"""Functions of the file that return what depends on an argument, but not its history.

A Module that computes its result from its argument under ``no_grad`` cuts off what the caller
passes in. The call is then a cut like ``.detach()`` is, made at a place inside the function.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gradfix.flow.methods import ESCAPES
from gradfix.flow.nodes import walk
from gradfix.flow.state import GradMode
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Role, Value, parts_of, replace
from gradfix.flow.walk import united

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.state import Scope


#: What stands before a class that is called for a name or an attribute.
_HOLDER = re.compile(r"\s*(?:\w+\.)*(\w+)\s*=\s*(?:None if [\w.]+ else )?")
#: What stands before a class that something is told about, and that nobody calls there.
_ASKED = re.compile(r".*\bisinstance\([\w.]+, ?\(?(?:[\w.]+, ?)*")
_GIVEN = re.compile(r"(?!\s*class\b).*\b(?!(?:partial|map|super)\()\w+\(")


Function = ast.FunctionDef | ast.Lambda
#: Constructors that copy the numbers out of what they are given.
COPIES = frozenset({"torch.tensor", "torch.FloatTensor", "torch.DoubleTensor", "torch.Tensor"})


@dataclass(frozen=True, slots=True)
class CutInside:
    """A call whose result has lost the history of an argument, and where that happens."""

    function: Function
    place: ast.AST


def with_cuts(
    flow: ModuleFlow, node: ast.AST, function: ast.AST | None, called: Value, given: Sequence[Value]
) -> Value:
    """The result of a call, with a cut where the history of what is ``given`` ends inside."""
    if not isinstance(function, Function):
        return called
    if not any(value.is_tensor and value.needs_grad is Certainty.YES for value in given):
        return called
    if called.kind is Kind.SEQUENCE:
        items = called.items
        known = None if items is None else tuple(_cut(flow, node, function, i) for i in items)
        inner = called.element
        each = None if inner is None else _cut(flow, node, function, inner)
        return replace(called, items=known, element=each)
    return _cut(flow, node, function, called)


def _cut(flow: ModuleFlow, node: ast.AST, function: Function, called: Value) -> Value:
    if called.cut or not called.inputs or called.kind not in _RESULTS:
        return called
    flow.from_arguments.forget()
    found = where_cut(flow.from_arguments, called.inputs[0], function)
    if found is None:
        return called
    place, name = found
    flow.cut_calls[node] = CutInside(function, place)
    cut = replace(called, cut=name)
    flow.made.append(cut)
    return cut


_RESULTS = (Kind.TENSOR, Kind.NUMBER, Kind.FOREIGN)


def callers_of_cuts(flow: ModuleFlow) -> frozenset[str] | None:
    """Words that callers of functions have which return an argument's value without its history.

    None where it is not clear who calls them.
    """
    words: set[str] = set()
    for scope in _cutting(flow):
        if scope.class_node is not None and scope.name in ("forward", "__call__"):
            holders = _holders(flow, scope.class_node.name)
            if holders is None:
                return None
            words |= holders
        else:
            words.add(scope.name)
    return frozenset(words)


def _holders(flow: ModuleFlow, name: str) -> set[str] | None:
    """The names and attributes that hold objects of a class; None where others may, too."""
    holders: set[str] = set()
    text = flow.text
    for found in re.finditer(rf"\b{name}\b", text):
        line = text[text.rfind("\n", 0, found.start()) + 1 : found.start()]
        after = text[found.end() : found.end() + 1]
        if line.strip() != "class" and not _is_only_named(line, after):
            holder = _HOLDER.fullmatch(line)
            if holder is None:
                return None
            holders.add(holder[1])
    return holders


def _is_only_named(before: str, after: str) -> bool:
    """Whether a class is asked for, given to a call, or spelled out, and so nobody holds one."""
    if after in ('"', "'"):
        return before.strip() == after
    return after in (",", ")") and bool(_ASKED.fullmatch(before) or _GIVEN.fullmatch(before))


def _cutting(flow: ModuleFlow) -> Iterator[Scope]:
    flow.from_arguments.forget()
    for scope in flow.scopes:
        result = scope.result if scope.returns else None
        if result is None or not isinstance(scope.node, ast.FunctionDef):
            continue
        for part in (result, *parts_of(result)):
            found = part.kind in _RESULTS and where_cut(flow.from_arguments, part, scope.node)
            if found and found[1] not in COPIES:  # those are looked for in the function itself
                yield scope
                break


def where_cut(made: FromArguments, result: Value, function: Function) -> tuple[ast.AST, str] | None:
    """The place where the result loses the history of an argument, and the operation's name.

    None where it depends on no argument, or keeps the history of one on some way.
    """
    arguments = _arguments(function)
    origin = made.of(result)
    if not arguments.isdisjoint(origin.kept) or arguments.isdisjoint(origin.all):
        return None
    queue, seen = deque([result]), {id(result)}
    while queue:
        value = queue.popleft()
        name = _name_of_cut(value)
        if name and any(not arguments.isdisjoint(made.of(v).kept) for v in value.inputs):
            return (value.node, name) if value.node is not None else None
        if (
            not name
            and value.op == "call"
            and (deeper := _cut_by_call(made, value, arguments)) is not None
        ):
            return deeper
        for made_from in value.inputs:
            if id(made_from) not in seen and not arguments.isdisjoint(made.of(made_from).all):
                seen.add(id(made_from))
                queue.append(made_from)
    return None


def _cut_by_call(
    made: FromArguments, value: Value, arguments: frozenset[ast.AST]
) -> tuple[ast.AST, str] | None:
    """The same for a call of a function that cuts, given something with the history of one."""
    returned = made.returned_to(value)
    if returned is None or made.of(value).kept:
        return None
    if all(arguments.isdisjoint(made.of(v).kept) for v in value.inputs if v is not returned[0]):
        return None
    return where_cut(made, *returned)


#: Without one of these a function passes on the history of what it is given.
_CUTS = re.compile(
    r"detach|\.data\b|no_grad|inference_mode|grad_enabled|\.item\(|numpy|tolist|argm|round|sign"
    r"|floor|ceil|trunc|one_hot|long\(|int\(|float\(|(?<!-)[<>]|[!=]="
)


def may_cut(flow: ModuleFlow, function: ast.AST | None) -> bool:
    """Whether something in the text of a function of this file may cut off what it is given."""
    if not isinstance(function, Function):
        return False
    known: dict[ast.AST, bool] = flow.__dict__.setdefault("_may_cut", {})
    if function not in known:
        known[function] = _CUTS.search(flow.text_of(function)) is not None
    return known[function]


def _arguments(function: Function) -> frozenset[ast.AST]:
    given = function.args
    return frozenset((*given.posonlyargs, *given.args, *given.kwonlyargs))


class Origin(NamedTuple):
    """The arguments that a value was made from: those whose history it may have, and all."""

    kept: frozenset[ast.AST]
    all: frozenset[ast.AST]
    lasts: bool  # or it was made from something that may still change


_NOTHING = Origin(frozenset(), frozenset(), True)
_UNDECIDED = Origin(frozenset(), frozenset(), False)


class FromArguments:
    """The origin of every value that is asked about, worked out once.

    NOTE: why this does not grow with the length of a chain of calls. The result of a call was made
    from what the function returned, and so from the function's own arguments. Nobody asks for these
    but the function itself, about what it returns, so they are left out from there on. What remains
    are arguments that come another way: from the function around it, or through an attribute.
    """

    def __init__(self) -> None:
        self._returned: dict[tuple[ast.AST | None, int], tuple[Value, Function]] = {}
        self._known: dict[int, Origin] = {}
        self._lasting: list[Value] = []  # so that no other value gets their place
        self._for_now: list[int] = []

    def returned(self, node: ast.AST, function: ast.AST | None, result: Value) -> None:
        """Note what a function of this file has returned to a call."""
        if isinstance(function, Function):
            self._returned[node, id(result)] = result, function
            for part in parts_of(result):
                self.returned(node, function, part)

    def returned_to(self, value: Value) -> tuple[Value, Function] | None:
        """What a function has returned to the call that a value is, and the function."""
        if value.op != "call" or not value.inputs:
            return None
        return self._returned.get((value.node, id(value.inputs[0])))

    def _loses(self, value: Value) -> bool:
        """Whether a value is a call of a function that cuts off all that it is given."""
        returned = self.returned_to(value)
        origin = self._known.get(id(value.inputs[0])) if returned is not None else None
        if returned is None or origin is None:
            return False
        own = _arguments(returned[1])
        return own.isdisjoint(origin.kept) and not own.isdisjoint(origin.all)

    def forget(self) -> None:
        """Forget about all values that may have changed since they were asked about."""
        for place in self._for_now:
            del self._known[place]
        self._for_now.clear()

    def of(self, value: Value) -> Origin:
        """The origin of a value; a list that holds itself adds nothing to itself."""
        known = self._known
        if id(value) in known:
            return known[id(value)]
        stack, opened = [value], set()
        while stack:
            at = stack[-1]
            if id(at) in known:
                stack.pop()
            elif id(at) in opened:
                stack.pop()
                origin = known[id(at)] = self._made(at)
                if origin.lasts:
                    self._lasting.append(at)
                else:
                    self._for_now.append(id(at))
            else:
                opened.add(id(at))
                stack += [v for v in at.inputs if id(v) not in opened and id(v) not in known]
        return known[id(value)]

    def _made(self, value: Value) -> Origin:
        """The origin of a value, from those of what it was made from."""
        kept, every = _NOTHING.kept, _NOTHING.all
        lasts = value.kind not in _CHANGING or value.name == "tuple"
        loses = value.op == "call" and self._loses(value)
        for made_from in value.inputs:
            origin = self._known.get(id(made_from), _UNDECIDED)
            lasts = lasts and origin.lasts
            returned = self._returned.get((value.node, id(made_from))) if origin.all else None
            own = _NOTHING.all if returned is None else _arguments(returned[1])
            if not loses or made_from is value.inputs[0]:
                kept = united(kept, origin.kept - own)
            every = united(every, origin.all - own)
        if _name_of_cut(value) or _is_no_tensor(value):
            kept = _NOTHING.kept
        if isinstance(value.node, ast.arg):
            itself: frozenset[ast.AST] = frozenset((value.node,))
            kept, every = united(kept, itself), united(every, itself)
        return Origin(kept, every, lasts)


#: What may be made from more later on.
_CHANGING = (Kind.SEQUENCE, Kind.DICT, Kind.MODULE, Kind.FOREIGN)


def _is_no_tensor(value: Value) -> bool:
    return value.kind not in (Kind.TENSOR, Kind.UNKNOWN, Kind.SEQUENCE, Kind.DICT)


def _name_of_cut(value: Value) -> str:
    """How an operation drops the history of what it computes with; empty where it does not."""
    if value.kind is Kind.TENSOR:
        copies = value.op in COPIES and value.role == Role.UNTRACKED
        if copies or value.op in ("detach", "data"):
            return value.op
        op = op_facts(value.op, "function") or op_facts(value.op, "method")
        if op is not None and op.zero_grad:
            return value.op
        if value.role != Role.UNTRACKED or op is None or op.factory or op.like:
            return "no_grad" if value.role == Role.UNTRACKED and value.op == "select" else ""
        differentiable = [any(s.differentiable_results) for s in op.signatures]
        if not any(differentiable):
            return value.op
        return "no_grad" if all(differentiable) else ""
    node = value.node
    if value.kind is Kind.UNKNOWN:
        if isinstance(node, ast.Attribute):
            return "data" if node.attr == "data" else ""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            op = op_facts(node.func.attr, "method")
            known = node.func.attr in ESCAPES or (op is not None and op.zero_grad)
            return node.func.attr if known else ""
        return ""
    if value.kind in (Kind.NUMBER, Kind.FOREIGN) and value.op in ESCAPES:
        return value.op
    return "float" if value.op == "escape" else ""


#: How many calls inside each other are looked through.
_DEEPEST = 3


def hands_on_nothing(flow: ModuleFlow, function: Function, depth: int = 0) -> bool:
    """Whether what a function is given certainly reaches nothing but its result."""
    for node in walk(function):
        if isinstance(node, (ast.Global, ast.Nonlocal, ast.Yield, ast.YieldFrom)):
            return False
        if isinstance(node, ast.Lambda) and node is not function:
            return False
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            return False
        if isinstance(node, ast.Call) and not _is_known(flow, node, depth):
            return False
    return True


def _is_library(flow: ModuleFlow, node: ast.expr) -> bool:
    """Whether this is PyTorch's or NumPy's by the imports of the file, as in a lambda's body."""
    if not isinstance(node, ast.Attribute):
        return False
    root: ast.expr = node
    while isinstance(root, ast.Attribute):
        root = root.value
    bound = flow.scopes[0].by_name.get(root.id, ()) if isinstance(root, ast.Name) else ()
    names = [d.value.name for d in bound if d.value.kind is Kind.REFERENCE]
    return len(bound) == len(names) == 1 and names[0].partition(".")[0] in ("torch", "numpy")


def _is_known(flow: ModuleFlow, call: ast.Call, depth: int) -> bool:
    """Whether a call neither keeps nor differentiates what it is given."""
    statement = flow.enclosing(call, ast.stmt)
    if statement is not None and flow.modes.get(statement) is GradMode.OFF:
        return True
    function = flow.value(call.func)
    if function.kind is Kind.REFERENCE:
        return function.name.startswith(("torch.", "builtins.", "math.", "numpy."))
    if function.kind is Kind.UNKNOWN and _is_library(flow, call.func):
        return True
    own = flow.functions_called.get(call, function.definition)
    if isinstance(own, Function):
        return depth < _DEEPEST and hands_on_nothing(flow, own, depth + 1)
    if not isinstance(call.func, ast.Attribute):
        return False
    if flow.value(call.func.value).kind is Kind.FOREIGN:
        return True
    return op_facts(call.func.attr, "method") is not None or call.func.attr in ESCAPES
