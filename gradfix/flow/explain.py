"""What the analysis knows at one line, in words: the debugging view, and what fixtures state.

A *fact* is a subject (``y``, ``self.w``, ``grad mode``, ``writes x``) and phrases about it, in a
fixed order. The vocabulary is in ``fixtures/README.md``; this module is where it is defined.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.state import Saved, Scope, Write
from gradfix.flow.values import (
    SOMEWHERE,
    Elsewhere,
    Kind,
    Leaf,
    Role,
    Shape,
    Storage,
    Value,
    element_of,
)
from gradfix.flow.versions import Definition

#: Marks that tell apart names of the same spelling; of no use to a reader.
_MARK = re.compile(r"#[\w.]*#\d+|@\w+:\d+|self:\w+(?=\.)")
_ROLES = ((Role.LEAF, "leaf"), (Role.TRACKED, "tracked"),
          (Role.UNTRACKED, "untracked"), (Role.UNKNOWN, "unknown"))  # fmt: skip


@dataclass(frozen=True, slots=True)
class Fact:
    """What is known about one subject on a line; ``how`` is "binds", "reads", "gives", ..."""

    how: str
    subject: str
    phrases: tuple[str, ...]
    value: Value | None = None
    node: ast.AST | None = None

    def __str__(self) -> str:
        return f"{self.how} {self.subject}: {', '.join(self.phrases)}".lstrip()


def explain(flow: ModuleFlow, row: int) -> str:
    """The facts at a line as text, one per line of text."""
    facts = facts_at(flow, row)
    where = _scope_at(flow, row).name
    head = [f"in {where}" if where else "at module level"]
    lines = [f"  {flow.lines[row - 1].strip()}", *(f"    {fact}" for fact in facts)]
    if not facts:
        lines.append("    nothing known: nothing is bound, read or written here")
    return "\n".join([*head, *lines]) + "\n"


def facts_at(flow: ModuleFlow, row: int) -> list[Fact]:
    """Every fact about a line, in a stable order: grad mode, reads, bindings, results, writes."""
    flow.complete()
    words = _Words(flow, _scope_at(flow, row))
    found: list[Fact] = []
    bound = _bound(flow, row)
    for statement in _statements(flow, row):
        mode = flow.modes.get(statement)
        found.append(Fact("", "grad mode", (mode.value if mode else "not reached",)))
    for node in _expressions(flow, row):
        value = flow.values.get(node)
        if node in bound or value is None or value.kind is Kind.REFERENCE:
            continue
        how = "gives" if not isinstance(node, (ast.Name, ast.Attribute)) else "reads"
        found.append(words.fact(how, ast.unparse(node), value, node))
    for target, (name, value) in bound.items():
        found.append(words.fact("binds", name, value, target))
    for write in flow.all(Write):
        if write.node.lineno == row:  # type: ignore[attr-defined]
            found.append(words.write(write))
    unique: dict[tuple[str, str, tuple[str, ...]], Fact] = {}
    for fact in found:
        unique.setdefault((fact.how, fact.subject, fact.phrases), fact)
    return list(unique.values())


def _scope_at(flow: ModuleFlow, row: int) -> Scope:
    """The innermost scope around a line; a ``def`` line belongs to the function it begins."""
    found = flow.scopes[0]
    for scope in flow.scopes[1:]:
        node = scope.node
        if node.lineno <= row <= node.end_lineno:  # type: ignore[attr-defined]
            if found is flow.scopes[0] or node.lineno >= found.node.lineno:  # type: ignore[attr-defined]
                found = scope
    return found


def _statements(flow: ModuleFlow, row: int) -> list[ast.stmt]:
    """The statement that begins on a line, else the innermost one that spans it."""
    spanning = [
        node
        for node in walk(flow.tree)
        if isinstance(node, ast.stmt) and node.lineno <= row <= (node.end_lineno or node.lineno)
    ]
    first = [node for node in spanning if node.lineno == row]
    return first or spanning[-1:]


def _expressions(flow: ModuleFlow, row: int) -> Iterator[ast.expr]:
    """Names and attributes that a line reads, and the results it computes, in source order."""
    nodes: list[ast.expr] = []
    for node in walk(flow.tree):
        if isinstance(node, (ast.Return, ast.Expr)) and node.lineno == row:
            if node.value is not None and not isinstance(node.value, ast.Constant):
                nodes.append(node.value)
        elif isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign)) and node.lineno == row:
            if node.value is not None and not isinstance(node.value, (ast.Constant, ast.Name)):
                nodes.append(node.value)
        elif isinstance(node, (ast.Name, ast.Attribute)) and node.lineno == row:
            nodes.append(node)
    called = {node.func for node in walk(flow.tree) if isinstance(node, ast.Call)}
    seen: set[ast.AST] = set()
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset, node.end_col_offset)):
        if node not in seen and not (node in called and isinstance(node, ast.Attribute)):
            seen.add(node)
            yield node


def _bound(flow: ModuleFlow, row: int) -> dict[ast.AST, tuple[str, Value]]:
    """What a line binds, by target: the name and what it holds afterwards."""
    found: dict[ast.AST, tuple[str, Value]] = {}
    definitions = [d for scope in flow.scopes for d in scope.definitions if d.how != "delete"]
    for definition in sorted(definitions, key=_place):
        if _place(definition)[0] == row:
            value = flow.values.get(definition.node, definition.value)
            if definition.how in ("def", "import", "argument", "except"):
                value = definition.value
            found[definition.node] = (definition.name, value)
    for node in walk(flow.tree):  # ``x += 1`` on a tensor binds the same tensor again
        if isinstance(node, ast.AugAssign) and node.lineno == row and node.target in flow.values:
            found[node.target] = (ast.unparse(node.target), flow.values[node.target])
    return found


def _place(definition: Definition) -> tuple[int, int]:
    node = definition.node
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


class _Words:
    """Turns values into phrases; memory and leaves are called by the names that hold them."""

    def __init__(self, flow: ModuleFlow, scope: Scope) -> None:
        self._storages: dict[Storage, str] = {}
        self._leaves: dict[Leaf, str] = {}
        others = [at for at in flow.scopes if at is not scope]
        known = [d for at in (scope, *others) for d in sorted(at.definitions, key=_place)]
        # The name that a tensor is made under comes first, then those of the scope, then others.
        for made_here in (True, False):
            for definition in known:
                self._name(
                    definition, flow.values.get(definition.node, definition.value), made_here
                )

    def _name(self, definition: Definition, value: Value, made_here: bool) -> None:
        def suits(node: ast.AST | None) -> bool:
            return not made_here or _line(node) == _line(definition.node)

        if value.is_tensor and value.storage is not None and suits(value.storage.node):
            self._storages.setdefault(value.storage, definition.name)
        if value.is_tensor and value.role == Role.LEAF and len(value.leaves) == 1:
            (leaf,) = value.leaves
            if suits(leaf.node):
                self._leaves.setdefault(leaf, definition.name)

    def fact(self, how: str, subject: str, value: Value, node: ast.AST) -> Fact:
        """The fact about one value."""
        return Fact(how, subject, tuple(self.phrases(subject, value)), value, node)

    def phrases(self, subject: str, value: Value) -> Iterator[str]:
        """Everything known about a value: kind or role first."""
        if value.is_tensor:
            yield from self._tensor(subject, value)
        elif value.kind is Kind.SEQUENCE:
            yield "sequence"
            if isinstance(value.length, int):
                yield f"length {value.length}"
            elif value.length is not None:
                yield f"length {_plain(value.length)}"
            element = element_of(value)
            if element is not None:
                yield f"each {next(iter(self.phrases('', element)))}"
        else:
            named = Kind.INSTANCE, Kind.CLASS, Kind.REFERENCE, Kind.MODULE
            name = value.name if value.kind in named else ""
            yield f"{'anything' if value.kind is Kind.UNKNOWN else value.kind.value} {name}".strip()
            if value.kind in (Kind.NUMBER, Kind.STRING):
                if value.const is not None:
                    yield f"= {value.const!r}"
                elif value.symbol is not None:
                    yield f"= {_plain(value.symbol)}"
        if value.counter is not None:
            start, stop, step = value.counter.start, value.counter.stop, value.counter.step
            yield f"counts {_plain(start)}..{_plain(stop)} by {_plain(step)}"
        if value.cut:
            yield f"cut by {value.cut}"

    def _tensor(self, subject: str, value: Value) -> Iterator[str]:
        yield "|".join(word for role, word in _ROLES if value.role & role) or "no role"
        yield "shape?" if value.shape is None else _shape(value.shape)
        yield {None: "dtype?", "default": "float"}.get(value.dtype, value.dtype or "")
        yield self._memory(subject, value)
        if value.role != Role.LEAF and value.leaves:
            yield f"from {' and '.join(sorted(map(self._leaf, value.leaves)))}"
        if value.parameter:
            yield "parameter"
        if value.retains_grad:
            yield "retains grad"

    def _memory(self, subject: str, value: Value) -> str:
        if value.storages == {SOMEWHERE}:
            return "memory?"
        names = {self._storages.get(s, _line(s.node)) for s in value.storages if s.node is not None}
        fresh = {_line(s.node) for s in value.storages if s.node is value.node is not None}
        mine = names & {subject, *fresh}
        others = sorted(names - mine)
        if SOMEWHERE in value.storages:
            others.append("something else")
        if not others:
            return "own"
        text = f"{'view of' if value.view else 'memory of'} {' or '.join(others)}"
        return f"{text} or own" if mine else text

    def write(self, write: Write) -> Fact:
        """What an in-place write does to values that backward needs."""
        base = ast.unparse(write.base)
        phrases = [write.how, *dict.fromkeys(_overwrites(write.overwritten))]
        return Fact("writes", base, tuple(phrases), None, write.node)

    def _leaf(self, leaf: Leaf) -> str:
        return self._leaves.get(leaf, _line(leaf.node))


def _overwrites(kept: Iterable[Saved]) -> Iterator[str]:
    def place(saved: Saved) -> tuple[int, ...]:
        nodes = (saved.node, saved.operand or saved.node)
        return tuple(getattr(n, at, 0) for n in nodes for at in ("lineno", "col_offset"))

    for saved in sorted(kept, key=place):
        what = "result" if saved.operand is None else ast.unparse(saved.operand)
        certainty = "overwrites" if saved.certain else "may overwrite"
        yield f"{certainty} {what} of {saved.op}"


def _shape(shape: Shape) -> str:
    inner = ", ".join(_plain(dim) for dim in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _plain(dim: int | str | None) -> str:
    return "?" if dim is None else _MARK.sub("", str(dim)).replace("self:", "")


def _line(node: ast.AST | None) -> str:
    if isinstance(node, Elsewhere):
        return node.where.removeprefix("in ")
    return f"line {getattr(node, 'lineno', '?')}"
