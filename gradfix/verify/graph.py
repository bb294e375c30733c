"""The value graph of one run: which value came from which, and whether gradient can follow.

Terms: a *node* is one tensor at one moment (an in-place write starts a new one); a *call* is one
operation the user's code made; an *edge* joins an input node to an output node of a call and is
*live* when autograd recorded it. Edges survive ``detach``, which is the point: where a value went
on and its gradient did not, there is a dead edge, and that is the line to blame.

NOTE blame. Follow live edges from a Parameter, and all edges backwards from the result. Every dead
edge from the first set into the second is a place where the flow was cut. No torch in here.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Site:
    """A line of the user's code; ``outer`` are its callers in the user's code, innermost first."""

    filename: str
    row: int
    function: str
    first_row: int
    outer: tuple[Site, ...] = ()


@dataclass(slots=True)
class Call:
    """One operation: where, what kind, and the autograd sequence numbers it covers.

    ``switched`` is where grad mode was switched off last, if it was off.
    """

    index: int
    name: str
    site: Site | None
    phase: str
    grad_mode: bool = True
    inference: bool = False
    first_seq: int = 0
    last_seq: int = 0
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    custom: bool = False
    hidden_write: bool = False
    leaf_write: bool = False
    integer: bool = False
    scalar: bool = False
    signs: tuple[int, ...] = ()
    switched: Site | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """One input of one call arriving in one output."""

    source: int
    target: int
    call: Call
    live: bool


class Graph:
    """Nodes are integers; the tracer adds, the judge asks."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.outgoing: dict[int, list[Edge]] = defaultdict(list)
        self.incoming: dict[int, list[Edge]] = defaultdict(list)
        self.size = 0

    def node(self) -> int:
        """A new node."""
        self.size += 1
        return self.size

    def connect(self, source: int, target: int, call: Call, live: bool) -> None:
        """Record that the value of one node went into another."""
        edge = Edge(source, target, call, live)
        self.outgoing[source].append(edge)
        self.incoming[target].append(edge)

    def live_from(self, starts: set[int]) -> set[int]:
        """Every node that autograd can reach from the given ones, themselves included."""
        seen, todo = set(starts), list(starts)
        while todo:
            for edge in self.outgoing[todo.pop()]:
                if edge.live and edge.target not in seen:
                    seen.add(edge.target)
                    todo.append(edge.target)
        return seen

    def spread(self, starts: set[int]) -> set[int]:
        """Every node whose value the given ones are part of, themselves included."""
        seen, todo = set(starts), list(starts)
        while todo:
            for edge in self.outgoing[todo.pop()]:
                if edge.target not in seen:
                    seen.add(edge.target)
                    todo.append(edge.target)
        return seen

    def sources_of(self, roots: set[int], *, live_only: bool = False) -> set[int]:
        """Every node whose value is part of the given ones, themselves included."""
        seen, todo = set(roots), list(roots)
        while todo:
            for edge in self.incoming[todo.pop()]:
                if (edge.live or not live_only) and edge.source not in seen:
                    seen.add(edge.source)
                    todo.append(edge.source)
        return seen

    def cuts(self, starts: set[int], roots: set[int]) -> list[Edge]:
        """The dead edges that separate the starts from the roots, in the order they happened.

        Copies made while a module was being built are initialisation, not flow, and do not count.
        """
        needed = self.sources_of(roots)
        found = [
            edge
            for node in self.live_from(starts)
            for edge in self.outgoing[node]
            if not edge.live and edge.target in needed and edge.call.phase != "build"
        ]
        return sorted(found, key=lambda edge: edge.call.index)

    def on_path(self, starts: set[int], roots: set[int]) -> list[Call]:
        """The calls on live paths from the starts to the roots, in order."""
        between = self.live_from(starts) & self.sources_of(roots, live_only=True)
        calls = {
            edge.call.index: edge.call
            for node in between
            for edge in self.outgoing[node]
            if edge.live and edge.target in between
        }
        return [calls[index] for index in sorted(calls)]
