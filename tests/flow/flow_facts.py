"""Facts stated beside the lines of a program, and the same program watched while torch runs it."""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import torch

from gradfix import flow
from gradfix.flow import ModuleFlow
from gradfix.flow.explain import Fact, facts_at
from gradfix.flow.state import GradMode
from gradfix.flow.values import SOMEWHERE, Kind, Role, Value, element_of

PROGRAMS = Path(__file__).parents[2] / "fixtures" / "flow"
_COMPOUND = (ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.Try, ast.While, ast.If, ast.Match)


@dataclass(frozen=True)
class Stated:
    """One stated fact: the line, what it is about and the phrases."""

    row: int
    subject: str
    phrases: tuple[str, ...]


def stated(text: str) -> Iterator[Stated]:
    """The facts in the comments behind code; a comment on a line of its own is prose."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type != tokenize.COMMENT or not token.line[: token.start[1]].strip():
            continue
        for part in token.string.lstrip("# ").split("; "):
            subject, colon, rest = part.partition(": ")
            assert colon, f"line {token.start[0]}: {part!r} is no fact"
            phrases = re.split(r", (?![^(\[]*[)\]])", rest)
            yield Stated(token.start[0], subject.strip(), tuple(map(str.strip, phrases)))


def disagreements(text: str) -> list[str]:
    """Stated facts that the analysis does not give, one line each."""
    facts = flow.analyse(text)
    found = []
    for fact in stated(text):
        known = about(facts_at(facts, fact.row), fact.subject)
        missing = [phrase for phrase in fact.phrases if known is None or phrase not in known]
        if missing:
            said = "nothing" if known is None else ", ".join(known)
            found.append(f"line {fact.row}: {fact.subject}: {', '.join(missing)} -- says: {said}")
    return found


def about(facts: list[Fact], subject: str) -> tuple[str, ...] | None:
    """The phrases about a subject: what is bound counts more than what is read."""
    if subject.startswith("writes "):
        kinds, subject = ("writes",), subject.removeprefix("writes ")
    else:
        kinds = ("reads", "gives", "binds", "")
    known = {fact.how: fact.phrases for fact in facts if fact.subject == subject}
    return next((known[how] for how in reversed(kinds) if how in known), None)


# -- in torch -----------------------------------------------------------------------------------


@dataclass
class _Held:
    """What a name held when it was last seen, and what the analysis says about it."""

    value: Value
    thing: object


@dataclass
class _Frame:
    row: int = 0
    before: int = 0
    failed: bool = False
    done: set[int] = field(default_factory=set)
    held: dict[str, _Held] = field(default_factory=dict)


class Watch:
    """Runs a program in torch and compares every fact of every line with what is there.

    ``contradictions`` are certain facts that are not true; ``compared`` counts the comparisons.
    """

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self.text = text
        self.flow: ModuleFlow = flow.analyse(text)
        self.contradictions: dict[str, None] = {}
        self.compared = 0
        self._frames: dict[FrameType, _Frame] = {}
        self._facts: dict[int, list[Fact]] = {}
        self._stated: dict[int, list[Stated]] = {}
        for fact in stated(text):
            self._stated.setdefault(fact.row, []).append(fact)
        self._inner = {
            node: {n.id for part in of.generators for n in ast.walk(part.target)
                   if isinstance(n, ast.Name)}
            for of in ast.walk(self.flow.tree)
            if isinstance(of, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp))
            for node in ast.walk(of)
        }  # fmt: skip
        self._headers = {
            node.lineno: node for node in ast.walk(self.flow.tree) if isinstance(node, _COMPOUND)
        }

    def run(self) -> Watch:
        """Run the program from the top."""
        code = compile(self.text, self.name, "exec")
        before = sys.gettrace()
        torch.manual_seed(0)
        sys.settrace(self._call)
        try:
            exec(code, {"__name__": "fixture"})
        finally:
            sys.settrace(before)
            torch.set_grad_enabled(True)
        return self

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != self.name:
            return None
        self._frames.setdefault(frame, _Frame())  # a generator's frame is entered again
        self._arguments(frame, frame.f_code)
        return self._line

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        at = self._frames[frame]
        if event == "exception":
            at.failed = True
        elif event == "line":
            self._after(frame, at, frame.f_lineno)
            at.failed = False
            at.before, at.row = at.row, frame.f_lineno
            self._before(frame, at)
        elif event == "return":
            self._after(frame, at, 0)
            at.failed = True
        return self._line

    def facts(self, row: int) -> list[Fact]:
        """The facts about a line."""
        if row not in self._facts:
            self._facts[row] = facts_at(self.flow, row)
        return self._facts[row]

    def _arguments(self, frame: FrameType, code: CodeType) -> None:
        for scope in self.flow.scopes:
            lines = [d.lineno for d in getattr(scope.node, "decorator_list", [])]
            if min([*lines, getattr(scope.node, "lineno", 0)]) == code.co_firstlineno:
                for name, value in scope.arguments.items():
                    if name in frame.f_locals:
                        self._compare(frame, scope.node.lineno, name, value)  # type: ignore[attr-defined]

    def _before(self, frame: FrameType, at: _Frame) -> None:
        for node, mode in self.flow.modes.items():
            if getattr(node, "lineno", 0) == at.row and mode is not GradMode.UNKNOWN:
                if isinstance(node, _COMPOUND) and self._enters(node, at.before):
                    continue  # the end of a ``with`` is on its first line again
                self.compared += 1
                if torch.is_grad_enabled() is not (mode is GradMode.ON):
                    self._wrong(at.row, f"grad mode is not {mode.value}")
        for fact in self.facts(at.row):
            if fact.how == "reads" and fact.value is not None:
                self._see(frame, at, at.row, fact)

    def _after(self, frame: FrameType, at: _Frame, following: int) -> None:
        header = self._headers.get(at.row)
        if not at.row or at.failed:
            return
        if header is not None and not self._enters(header, following):
            return
        if at.row in at.done:  # in another turn of a loop the same line makes other memory
            made = {fact.value for fact in self.facts(at.row) if fact.value is not None}
            memory = frozenset().union(*(value.storages for value in made))
            at.held = {n: held for n, held in at.held.items() if not held.value.storages & memory}
        at.done.add(at.row)
        for fact in self.facts(at.row):
            if fact.how == "binds" and fact.value is not None:
                self._see(frame, at, at.row, fact)
        for told in self._stated.get(at.row, ()):
            self._depends(frame, told)

    def _enters(self, header: ast.stmt, row: int) -> bool:
        return header.lineno < row <= (header.end_lineno or 0)

    def _see(self, frame: FrameType, at: _Frame, row: int, fact: Fact) -> None:
        assert fact.value is not None
        if fact.subject.partition(".")[0] in self._inner.get(fact.node, ()):
            return  # a comprehension's own name, which may be spelled like one outside
        if isinstance(fact.node, ast.arg):
            return
        thing = _look(frame, fact.subject)
        if thing is _MISSING:
            return
        self._compare(frame, row, fact.subject, fact.value)
        for name, held in at.held.items():
            if name != fact.subject and _look(frame, name) is held.thing:
                self._memory(row, (fact.subject, fact.value, thing), (name, held.value, held.thing))
        at.held[fact.subject] = _Held(fact.value, thing)

    def _compare(self, frame: FrameType, row: int, subject: str, value: Value) -> None:
        thing = _look(frame, subject)
        self.compared += 1
        for trouble in contradictions(value, thing):
            self._wrong(row, f"{subject}: {trouble}")

    def _memory(
        self, row: int, one: tuple[str, Value, object], two: tuple[str, Value, object]
    ) -> None:
        """Two values in certainly different memory share nothing, in the same memory they do."""
        (a, first, x), (b, second, y) = one, two
        if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor):
            return
        if not (first.is_tensor and second.is_tensor and x.numel() and y.numel()):
            return
        shares = x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr()
        union = first.storages | second.storages
        if SOMEWHERE not in union and not first.storages & second.storages:
            self.compared += 1
            if shares:
                self._wrong(row, f"{a} and {b} share memory")
        elif first.storage is not None and first.storage is second.storage:
            self.compared += 1
            if not shares:
                self._wrong(row, f"{a} and {b} share no memory")

    def _depends(self, frame: FrameType, told: Stated) -> None:
        """``from v and w``: exactly the leaves that are reached through the graph."""
        for phrase in told.phrases:
            if not phrase.startswith("from "):
                continue
            thing = _look(frame, told.subject)
            leaves = [_look(frame, n) for n in phrase.removeprefix("from ").split(" and ")]
            if isinstance(thing, torch.Tensor) and all(isinstance(t, torch.Tensor) for t in leaves):
                self.compared += 1
                if {id(leaf) for leaf in leaves} != {id(leaf) for leaf in reached(thing)}:
                    self._wrong(told.row, f"{told.subject}: not {phrase}")

    def _wrong(self, row: int, what: str) -> None:
        self.contradictions[f"{self.name}:{row}: {what}"] = None


_MISSING = object()


def _look(frame: FrameType, subject: str) -> object:
    """What a name or a dotted name holds now, without running any property."""
    first, *rest = subject.split(".")
    thing = frame.f_locals.get(first, frame.f_globals.get(first, _MISSING))
    for name in rest:
        held = getattr(thing, "__dict__", {})
        inner = [held, held.get("_parameters", {}), held.get("_buffers", {}),
                 held.get("_modules", {})]  # fmt: skip
        thing = next((space[name] for space in inner if name in space), _MISSING)
    return thing


def reached(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The leaves that the backward graph of a tensor ends in."""
    if tensor.grad_fn is None:
        return [tensor] if tensor.requires_grad else []
    found, queue, seen = [], [tensor.grad_fn], set()
    while queue:
        node = queue.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.append(node.variable)
        queue += [inner for inner, _ in node.next_functions if inner is not None]
    return found


def contradictions(value: Value, thing: object) -> Iterator[str]:
    """What is certain about a value and not true of the object."""
    wanted = _TYPES.get(value.kind)
    if value.kind is Kind.TENSOR:
        if not isinstance(thing, torch.Tensor):
            yield f"no tensor but {type(thing).__name__}"
        else:
            yield from _tensor(value, thing)
    elif value.kind in (Kind.UNKNOWN, Kind.REFERENCE):
        return
    elif isinstance(thing, torch.Tensor):
        yield f"a tensor and no {value.kind.value}"
    elif wanted is not None and not isinstance(thing, wanted):
        yield f"{type(thing).__name__} is no {value.kind.value}"
    elif value.kind in (Kind.NUMBER, Kind.STRING):
        if value.const is not None and value.const != thing:
            yield f"{thing!r} and not {value.const!r}"
    elif value.kind in (Kind.SEQUENCE, Kind.DICT):
        yield from _container(value, thing)
    elif value.kind is Kind.INSTANCE:
        if value.name not in {kind.__name__ for kind in type(thing).__mro__}:
            yield f"no instance of {value.name}"
    elif value.kind is Kind.MODULE:
        if value.name and type(thing).__name__ != value.name.rpartition(".")[2]:
            yield f"{type(thing).__name__} and not {value.name}"
        for name, inner in (value.attributes or {}).items():
            if getattr(thing, name, None) is not None:
                yield from (
                    f"{name}: {what}" for what in contradictions(inner, getattr(thing, name))
                )


_TYPES: dict[Kind, type | tuple[type, ...]] = {
    Kind.NUMBER: (int, float, complex),
    Kind.STRING: str,
    Kind.DICT: dict,
    Kind.MODULE: torch.nn.Module,
    Kind.OPTIMIZER: torch.optim.Optimizer,
    Kind.DISTRIBUTION: torch.distributions.Distribution,
    Kind.CLASS: type,
}


def _named(role: Role) -> str:
    names = ("LEAF", "TRACKED", "UNTRACKED", "UNKNOWN")
    return " or ".join(name for name in names if role & getattr(Role, name))


def _tensor(value: Value, tensor: torch.Tensor) -> Iterator[str]:
    role = Role.UNTRACKED
    if tensor.requires_grad:
        role = Role.LEAF if tensor.is_leaf else Role.TRACKED
    if role == Role.LEAF and tensor._is_view() and tensor._base.requires_grad:  # type: ignore[union-attr]
        # A view taken without grad mode has no history; torch's flag is that of the base.
        role = Role.UNTRACKED
    if not value.role & (role | Role.UNKNOWN):
        yield f"{_named(role)} and not {_named(value.role)}"
    if value.shape is not None:
        same = len(value.shape) == tensor.dim() and all(
            size == dim or not isinstance(dim, int)
            for dim, size in zip(value.shape, tensor.shape, strict=True)
        )
        if not same:
            yield f"shape {tuple(tensor.shape)} and not {value.shape}"
    if value.dtype is not None:
        dtype = torch.get_default_dtype() if value.dtype == "default" else None
        if tensor.dtype is not (dtype or getattr(torch, value.dtype, None)):
            yield f"{tensor.dtype} and not {value.dtype}"
    if value.parameter and not isinstance(tensor, torch.nn.Parameter):
        yield "no Parameter"


def _container(value: Value, thing: object) -> Iterator[str]:
    if isinstance(thing, dict):
        for key, inner in (value.attributes or {}).items():
            if key not in thing:
                yield f"no key {key!r}"
            else:
                yield from (f"[{key!r}]: {what}" for what in contradictions(inner, thing[key]))
        things = list(thing.values())
    elif isinstance(thing, (list, tuple, set, range)):
        if isinstance(value.length, int) and value.length != len(thing):
            yield f"length {len(thing)} and not {value.length}"
        if value.items is not None and len(value.items) == len(thing):
            for at, (inner, one) in enumerate(zip(value.items, thing, strict=True)):
                yield from (f"[{at}]: {what}" for what in contradictions(inner, one))
        things = list(thing)
    else:
        return
    element = element_of(value)
    for one in things[:20] if element is not None else ():
        assert element is not None
        yield from (f"element: {what}" for what in contradictions(element, one))
