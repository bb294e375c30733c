"""What codemods may ask about one analysed file: values, places, source, parents, consumers."""

from __future__ import annotations

import ast
import bisect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, TypeVar

from gradfix.flow.apart import together
from gradfix.flow.cells import cells_of
from gradfix.flow.nodes import children, walk
from gradfix.flow.state import Scope
from gradfix.flow.values import Elsewhere, Value, unknown
from gradfix.model import Note, Span

if TYPE_CHECKING:
    from gradfix.flow.elsewhere import Others

N = TypeVar("N", bound=ast.AST)
T = TypeVar("T")

#: Attributes that are searched for where their names stand in the text; then all are collected.
_FEW = 50
#: What is kept that was worked out from all values of the file, here and in `queries`.
_OF_ALL_VALUES = (
    "_all_made", "_made_from", "_by_identity", "_by_node",
    "_sinks", "_differentiated", "_reaching_graph", "_asked_for", "_origins", "_computed_on",
)  # fmt: skip


class Facts:
    """The questions; `ModuleFlow` finds the answers."""

    text: str
    tree: ast.Module
    values: dict[ast.AST, Value]
    made: list[Value]
    scopes: list[Scope]
    others: Others | None

    @cached_property
    def parents(self) -> Parents:
        """The parent of every node, worked out function by function when first asked."""
        return Parents(self.tree)

    def attributes(self, name: str) -> list[ast.Attribute]:
        """Every ``x.name`` of the file, in the order of the text."""
        known: dict[str, list[ast.Attribute]] = self.__dict__.setdefault("_attributes", {})
        if name not in known:
            if len(known) < _FEW:
                # Each part of the file is walked over once, whatever is asked for in it.
                parts = self._parts_with(f".{name}")
                found = [node for part in parts for node in self._attributes_in(part).get(name, ())]
            else:
                found = self._all_attributes.get(name, [])
            known[name] = sorted(found, key=lambda node: (node.lineno, node.col_offset))
        return known[name]

    @cached_property
    def _all_attributes(self) -> dict[str, list[ast.Attribute]]:
        every: dict[str, list[ast.Attribute]] = {}
        for part in self._parts_with(""):
            for name, nodes in self._attributes_in(part).items():
                every.setdefault(name, []).extend(nodes)
        return every

    def _attributes_in(self, part: ast.AST) -> dict[str, list[ast.Attribute]]:
        parts: dict[ast.AST, dict[str, list[ast.Attribute]]]
        parts = self.__dict__.setdefault("_attributes_by_part", {})
        if part not in parts:
            parts[part] = {}
            for node in walk(part):
                if isinstance(node, ast.Attribute):
                    parts[part].setdefault(node.attr, []).append(node)
        return parts[part]

    def nodes_with(self, word: str) -> Iterator[ast.AST]:
        """The nodes of those functions and other statements whose text has a word.

        Walking over the whole tree for a word that is in few functions would cost much more.
        """
        for part in self._parts_with(word):
            yield from walk(part)

    def _parts_with(self, word: str) -> Iterator[ast.AST]:
        queue: list[ast.stmt] = list(self.tree.body) if word in self.text else []
        while queue:
            statement = queue.pop()
            if isinstance(statement, ast.ClassDef):
                yield from (*statement.bases, *statement.keywords, *statement.decorator_list)
                if word in self.text_of(statement):
                    queue += statement.body
            elif word in self.text_of(statement):
                yield statement

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name in the file: of variables, arguments, attributes and what is imported."""
        found: set[str] = set()
        for node in walk(self.tree):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.arg):
                found.add(node.arg)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                found |= {(a.asname or a.name).partition(".")[0] for a in node.names}
        return frozenset(found)

    def worked_out(self, name: str, size: int, work: Callable[[], T]) -> T:
        """What ``work`` gives, worked out again when what it looks through has another ``size``."""
        known: tuple[int, T] | None = self.__dict__.get(name)
        if known is None or known[0] != size:
            known = self.__dict__[name] = size, work()
        return known[1]

    def forget_about_values(self) -> None:
        """Forget what was worked out from all values of the file: now there are more of them."""
        for name in _OF_ALL_VALUES:
            self.__dict__.pop(name, None)

    def release(self) -> None:
        """Forget everything: the findings are made, and no garbage collector has to look for it."""
        if self.others is not None:
            self.others.release()
        for value in self.made:
            value.inputs = ()  # some are made from themselves
        for value in self.values.values():
            value.attributes = None  # and Parameters know their layer
        for scope in self.scopes:
            scope.argument_writes.clear()  # each knows the scope that it is in
        self.__dict__.clear()

    def enclosing(self, node: ast.AST, kind: type[N] | tuple[type[N], ...]) -> N | None:
        """The nearest node of a type, or of one of several, around ``node``."""
        at: ast.AST | None = self.parents.get(node)
        while at is not None and not isinstance(at, kind):
            at = self.parents.get(at)
        return at

    def block_of(self, statement: ast.stmt) -> list[ast.stmt]:
        """The list of statements that a statement stands in."""
        return self.place_of(statement)[0]

    def following(self, statement: ast.stmt) -> Iterator[ast.stmt]:
        """The statements behind one in its block, one by one: most who ask soon stop."""
        block, at = self.place_of(statement)
        return (block[later] for later in range(at + 1, len(block)))

    def place_of(self, statement: ast.stmt) -> tuple[list[ast.stmt], int]:
        """The block of a statement, and which of its statements this is."""
        places: dict[ast.stmt, tuple[list[ast.stmt], int]] = self.__dict__.setdefault("_places", {})
        if statement not in places:
            parent = self.parents[statement]
            for name in ("body", "orelse", "finalbody"):
                block = getattr(parent, name, None)
                if isinstance(block, list):
                    places.update({one: (block, at) for at, one in enumerate(block)})
        return places.get(statement, ([statement], 0))

    def value(self, node: ast.AST | None) -> Value:
        """What an expression evaluates to; unknown where the analysis did not go."""
        return unknown() if node is None else self.values.get(node) or unknown()

    def source_of(self, node: ast.AST) -> str:
        """The source text of a node."""
        if isinstance(node, ast.Assign) and together(node):
            return " = ".join(map(self.source_of, (node.targets[0], node.value)))
        span = self.span(node)
        rows = self.lines[span.row - 1 : span.end_row]
        if not rows:
            return ""
        rows[-1] = rows[-1][: span.end_column - 1]
        rows[0] = rows[0][span.column - 1 :]
        return "\n".join(rows)

    @cached_property
    def lines(self) -> list[str]:
        """The source lines as Python counts them, without line ends."""
        if "\r" not in self.text:
            return self.text.split("\n")
        return re.split(r"\r\n|\r|\n", self.text)

    def span(self, node: ast.AST) -> Span:
        """The place of a node; ``ast`` counts UTF-8 bytes, a `Span` counts characters."""
        row, column = node.lineno, node.col_offset  # type: ignore[attr-defined]
        end_row, end = node.end_lineno, node.end_col_offset  # type: ignore[attr-defined]
        return Span(
            row, self._characters(row, column) + 1, end_row, self._characters(end_row, end) + 1
        )

    def _characters(self, row: int, column: int) -> int:
        line = self.lines[row - 1]
        return column if line.isascii() else len(line.encode()[:column].decode(errors="ignore"))

    def text_of(self, node: ast.AST) -> str:
        """All source lines of a node, as they are; for a look before closer questions."""
        if node is self.tree:
            return self.text
        first, last = node.lineno, node.end_lineno  # type: ignore[attr-defined]
        for decorator in getattr(node, "decorator_list", ()):
            first = min(first, decorator.lineno)
        before = self._characters_before
        if before is None:
            return "\n".join(self.lines[first - 1 : last])
        return self.text[before[first - 1] + first - 1 : before[last] + last]

    @cached_property
    def _characters_before(self) -> list[int] | None:
        """The characters before each line, without line ends; None where those are not usual."""
        if "\r" in self.text:
            return None
        return [0, *accumulate(map(len, self.lines))]

    def function_at(self, row: int) -> ast.AST:
        """The innermost function around a line, or the module."""
        rows = self.worked_out("_functions", len(self.scopes), self._function_by_row)
        return rows.get(row, self.tree)

    def _function_by_row(self) -> dict[int, ast.AST]:
        rows: dict[int, ast.AST] = {}
        nodes = [scope.node for scope in self.scopes]
        functions = [n for n in nodes if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        for node in sorted(functions, key=lambda node: node.lineno):  # inner ones later
            last = node.end_lineno or node.lineno
            rows.update(dict.fromkeys(range(node.lineno, last + 1), node))
        return rows

    def unit_at(self, row: int) -> ast.AST | int:
        """The innermost function around a line; else the number of its cell, else the module."""
        function = self.function_at(row)
        if function is not self.tree:
            return function
        above = [number for mark, number in cells_of(self.text) if mark <= row]
        return above[-1] if above else function

    def note(self, node: ast.AST, message: str) -> Note:
        """One step of the story behind a finding."""
        if isinstance(node, Elsewhere):
            message = f"{message} ({node.where})"
        return Note(self.span(node), message)

    def consumers(self, node: ast.AST, follow: Callable[[Value], bool]) -> Iterator[Value]:
        """Every value made from the value of ``node``, directly or through values to ``follow``."""
        queue = list(self._made_from.get(node, ()))
        done: set[int] = set()
        nodes: set[ast.AST] = {node}
        while queue:
            value = queue.pop()
            if id(value) in done:
                continue
            done.add(id(value))
            if not follow(value):
                continue
            yield value
            queue += self._by_identity.get(id(value), ())
            if value.node is not None and value.node not in nodes:
                nodes.add(value.node)
                queue += self._made_from.get(value.node, ())

    def sources(
        self, ends: Iterable[ast.AST], follow: Callable[[Value], bool]
    ) -> frozenset[ast.AST]:
        """Every node that has a value of one of the nodes ``ends`` among its `consumers`.

        One walk back: to look from every node for the same ends would be quadratic.
        """
        return self._sources((v for node in ends for v in self._by_node.get(node, ())), follow)

    def sources_of(
        self, ends: Callable[[Value], bool], follow: Callable[[Value], bool]
    ) -> frozenset[ast.AST]:
        """Every node that has a value for which ``ends`` holds among its `consumers`."""
        return self._sources(filter(ends, self._all_made), follow)

    def _sources(
        self, ends: Iterable[Value], follow: Callable[[Value], bool]
    ) -> frozenset[ast.AST]:
        found: set[ast.AST] = set()
        queue = list(ends)
        done: set[int] = set()
        while queue:
            value = queue.pop()
            if id(value) in done or not follow(value):
                continue
            done.add(id(value))
            for source in value.inputs:
                if source.node is None:
                    queue.append(source)
                elif source.node not in found:
                    found.add(source.node)
                    queue += self._by_node.get(source.node, ())
        return frozenset(found)

    @cached_property
    def _all_made(self) -> list[Value]:
        """Every value that was made from others, those between two expressions included."""
        found: list[Value] = []
        seen: set[int] = set()
        queue = list(self.made)
        while queue:
            value = queue.pop()
            if id(value) not in seen:
                seen.add(id(value))
                found.append(value)
                queue += value.inputs
        return found

    @cached_property
    def _made_from(self) -> dict[ast.AST, list[Value]]:
        found: dict[ast.AST, list[Value]] = {}
        for value in self._all_made:
            for source in value.inputs:
                if source.node is not None:
                    found.setdefault(source.node, []).append(value)
        return found

    @cached_property
    def _by_node(self) -> dict[ast.AST, list[Value]]:
        found: dict[ast.AST, list[Value]] = {}
        for value in self._all_made:
            if value.node is not None:
                found.setdefault(value.node, []).append(value)
        return found

    @cached_property
    def _by_identity(self) -> dict[int, list[Value]]:
        found: dict[int, list[Value]] = {}
        for value in self._all_made:
            for source in value.inputs:
                if source.node is None:
                    found.setdefault(id(source), []).append(value)
        return found


class Parents(Mapping[ast.AST, ast.AST]):
    """A mapping from nodes to their parents that is built piece by piece.

    Most questions are about a few functions of a file; walking the whole tree for them would cost
    as much as parsing it. A piece is a statement of the module, or of a class of it.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self._pieces: list[ast.stmt] = []
        self._known: dict[ast.AST, ast.AST] = {}
        self._cut_up(tree)
        self._rows = [_first_row(statement) for statement in self._pieces]
        self._built: set[int] = set()

    def _cut_up(self, around: ast.Module | ast.ClassDef) -> None:
        for statement in around.body:
            self._known[statement] = around
            self._pieces.append(statement)
            if isinstance(statement, ast.ClassDef):
                self._cut_up(statement)

    def __getitem__(self, node: ast.AST) -> ast.AST:
        if node not in self._known and node is not self._tree:
            at = bisect.bisect_right(self._rows, getattr(node, "lineno", 0)) - 1
            self._build(at)
            while node not in self._known and at > 0 and self._rows[at - 1] == self._rows[at]:
                at -= 1  # several pieces in one row
                self._build(at)
            if node not in self._known and len(self._built) < len(self._rows):
                for at in range(len(self._rows)):  # nodes without a place of their own
                    self._build(at)
        return self._known[node]

    def _build(self, at: int) -> None:
        if at in self._built or not 0 <= at < len(self._rows):
            return
        self._built.add(at)
        stack: list[ast.AST] = [self._pieces[at]]
        known = self._known
        while stack:
            node = stack.pop()
            for child in children(node):
                if child not in known:  # no piece of its own
                    known[child] = node
                    stack.append(child)

    def __iter__(self) -> Iterator[ast.AST]:
        for at in range(len(self._rows)):
            self._build(at)
        return iter(self._known)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _first_row(statement: ast.stmt) -> int:
    """The first row of a statement, its decorators included."""
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])
