"""What the analysis says of a value, compared with what torch says of it when the program runs.

`disagreements` runs a text with a probe around every expression. A fact holds if every value that
was seen there is one of those that the fact allows; what the analysis leaves open always holds.
"""

from __future__ import annotations

import ast
import builtins
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CoroutineType

import numpy as np
import torch

from gradfix.flow import analyse
from gradfix.flow.dtypes import INTEGER, is_integer
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import GradMode
from gradfix.flow.values import SOMEWHERE, Kind, Role, Value

PROBE, ENTER, LEAVE = "probe_", "enter_", "leave_"
_UNPROBED = (ast.Constant, ast.JoinedStr, ast.Slice, ast.Starred, ast.Lambda)
_ROLES = {"leaf": Role.LEAF, "tracked": Role.TRACKED, "untracked": Role.UNTRACKED}
#: The kinds that a value of Python may have, besides unknown and "anything but a tensor".
_KINDS = {
    bool: {Kind.NUMBER},
    int: {Kind.NUMBER},
    float: {Kind.NUMBER},
    str: {Kind.STRING},
    list: {Kind.SEQUENCE},
    tuple: {Kind.SEQUENCE},
    dict: {Kind.DICT, Kind.INSTANCE},
    type(None): set(),
    np.ndarray: set(),
    CoroutineType: set(),
}


#: The kind of an expression and where it begins and ends: the analysis takes statements apart.
Place = tuple[str, int, int, int, int]


def _place(node: ast.expr) -> Place:
    at = (node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0)
    return (type(node).__name__, *at)


@dataclass(frozen=True)
class Seen:
    """One value that an expression had; ``role`` and ``dtype`` are empty for all but tensors."""

    kind: type
    role: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    number: object = None
    grad_mode: bool = True


@dataclass
class Run:
    """What was seen while a program ran, by the places of the expressions."""

    seen: dict[Place, set[Seen]] = field(default_factory=dict)
    shared: set[tuple[Place, Place]] = field(default_factory=set)  # in the memory of one tensor
    calls: list[dict[int, dict[Place, object]]] = field(default_factory=list)

    def probe(self, at: Place, value: object) -> object:
        """Take down the value of one expression."""
        if isinstance(value, torch.Tensor):
            if type(value) in (torch.Tensor, torch.nn.Parameter):
                self.seen.setdefault(at, set()).add(_tensor(value))
                memory = value.untyped_storage().data_ptr()
                if memory and self.calls:
                    others = self.calls[-1].setdefault(memory, {})
                    self.shared |= {(other, at) for other in others if other != at}
                    others[at] = value  # kept alive: no other tensor gets its memory
        elif type(value) in _KINDS or isinstance(value, torch.nn.Module):
            number = value if isinstance(value, int) else None
            self.seen.setdefault(at, set()).add(Seen(type(value), number=number))
        return value


def _tensor(value: torch.Tensor) -> Seen:
    role = "untracked"
    if value.requires_grad:
        role = "leaf" if value.is_leaf else "tracked"
    dtype = str(value.dtype).removeprefix("torch.")
    return Seen(torch.Tensor, role, tuple(value.shape), dtype, None, torch.is_grad_enabled())


class _Probes(ast.NodeTransformer):
    """Puts a probe around every expression that is evaluated, and says where functions begin."""

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, (ast.JoinedStr, ast.pattern, ast.arguments)):
            return node
        if isinstance(node, ast.NamedExpr):
            node.value = self.visit(node.value)  # type: ignore[assignment]
        else:
            self._inside(node)
        if isinstance(node, ast.FunctionDef):
            body = [ast.Expr(_call(ENTER)), *node.body]
            node.body = [ast.Try(body, [], [], [ast.Expr(_call(LEAVE))])]
        if not isinstance(node, ast.expr) or isinstance(node, _UNPROBED):
            return node
        if isinstance(getattr(node, "ctx", None), (ast.Store, ast.Del)):
            return node
        return ast.copy_location(_call(PROBE, ast.Constant(_place(node)), node), node)

    def _inside(self, node: ast.AST) -> None:
        for name, part in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "bases"):
                continue
            if isinstance(part, list):
                part[:] = [self.visit(p) if isinstance(p, ast.AST) else p for p in part]
            elif isinstance(part, ast.AST):
                setattr(node, name, self.visit(part))


def _call(name: str, *arguments: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])


@contextmanager
def _probes(run: Run) -> Iterator[None]:
    """Makes the probes known to every program: names of its own would show in ``globals()``."""
    made = {PROBE: run.probe, ENTER: lambda: run.calls.append({}), LEAVE: run.calls.pop}
    builtins.__dict__.update(made)
    was = torch.is_grad_enabled(), torch.get_default_dtype()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_grad_enabled(was[0])
        torch.set_default_dtype(was[1])
        for name in made:
            delattr(builtins, name)


def observed(text: str) -> Run:
    """Run a program as far as it gets."""
    tree = ast.parse(text)
    program = ast.fix_missing_locations(_Probes().visit(tree))
    run = Run(calls=[{}])
    with _probes(run):
        try:
            exec(compile(program, "snippet", "exec"), {"__name__": "snippet"})
        except Exception:  # many programs are about the error they raise
            return run
    return run


def disagreements(text: str) -> list[str]:
    """The facts about a text that do not hold when it runs."""
    flow, run = analyse(text, doubting=True), observed(text)
    flow.complete()
    nodes = {_place(node): node for node in ast.walk(flow.tree) if isinstance(node, ast.expr)}
    modes = {}
    for statement, mode in flow.modes.items():  # from the outside in
        modes.update(dict.fromkeys(ast.walk(statement), mode))
    found = []
    for at, seen in run.seen.items():
        value = flow.values.get(nodes[at]) if at in nodes else None
        for one in seen if value is not None else ():
            mode = modes.get(nodes[at], GradMode.UNKNOWN)
            if one.role and mode is GradMode.ON and not one.grad_mode:
                continue  # nothing is said of functions that are called without grad mode
            found += [_said(flow, nodes[at], wrong) for wrong in _wrong(flow, value, one)]
    for one, other in run.shared:
        if one not in nodes or other not in nodes:
            continue
        a, b = flow.values.get(nodes[one]), flow.values.get(nodes[other])
        if a is not None and b is not None and _apart(a, b):
            where = f"shares memory with {ast.unparse(nodes[other])}"
            found.append(_said(flow, nodes[one], where))
    return sorted(set(found))


def _said(flow: ModuleFlow, node: ast.AST, wrong: str) -> str:
    return f"line {node.lineno}: {ast.unparse(node)} {wrong}"  # type: ignore[attr-defined]


def _wrong(flow: ModuleFlow, value: Value, seen: Seen) -> Iterator[str]:
    """What the analysis says of an expression and is not so."""
    if value.kind in (Kind.UNKNOWN, Kind.REFERENCE, Kind.CLASS, Kind.FUNCTION):
        return
    if seen.kind is not torch.Tensor:
        yield from _wrong_object(value, seen)
        return
    if value.kind is not Kind.TENSOR:
        yield f"is a tensor, no {value.kind.value}"
        return
    if not value.role & (Role.UNKNOWN | _ROLES[seen.role]):
        yield f"is {seen.role}"
    if value.shape is not None and (
        len(value.shape) != len(seen.shape)
        or any(isinstance(a, int) and a != b for a, b in zip(value.shape, seen.shape, strict=True))
    ):
        yield f"has shape {seen.shape}, not {value.shape}"
    known = "float32" if value.dtype == "default" else value.dtype
    if known == INTEGER:
        known = seen.dtype if is_integer(seen.dtype) else known
    if known not in (None, seen.dtype) and "set_default_" not in flow.text:
        yield f"is {seen.dtype}, not {known}"


def _wrong_object(value: Value, seen: Seen) -> Iterator[str]:
    modules = {Kind.MODULE, Kind.INSTANCE}
    allowed = _KINDS.get(seen.kind, modules)
    if value.kind is Kind.TENSOR and seen.kind is type(None) and _may_be_missing(value):
        return
    if value.kind not in allowed | {Kind.FOREIGN}:
        yield f"is a {seen.kind.__name__}, no {value.kind.value}"
    elif value.kind is Kind.NUMBER and None not in (value.const, seen.number):
        if value.const != seen.number:
            yield f"is {seen.number}, not {value.const}"


def _may_be_missing(value: Value, depth: int = 4) -> bool:
    """Whether this is a gradient: there may be none."""
    if value.op in ("grad", "autograd.grad"):
        return True
    return depth > 0 and any(_may_be_missing(part, depth - 1) for part in value.inputs)


def _apart(a: Value, b: Value) -> bool:
    """Whether two values are said to lie in different memory."""
    if a.kind is not Kind.TENSOR or b.kind is not Kind.TENSOR:
        return False
    if SOMEWHERE in a.storages or SOMEWHERE in b.storages:
        return False
    return not {id(s.node) for s in a.storages} & {id(s.node) for s in b.storages}
