"""Backward through the graph of an earlier turn of a loop: which line took the old value along."""

from __future__ import annotations

from gradfix.verify.blame import Places
from gradfix.verify.graph import Call, Graph
from gradfix.verify.results import Blame

_AGAIN = "backward through the graph a second time"


def is_second_time(error: BaseException) -> bool:
    """Whether backward failed because an earlier one has freed what it needs."""
    return _AGAIN in str(error)


def carried(graph: Graph, roots: set[int], before: int, places: Places) -> list[Blame]:
    """The lines that go on computing with a value from before the call number ``before``.

    A value is carried from one turn into the next if the line that uses it does not come after
    the line that made it: a value that is only used again further down is another matter.
    """
    makers = {node: call for call in graph.calls for node in call.outputs}
    found: dict[Blame, None] = {}
    for node in sorted(graph.sources_of(roots, live_only=True)):
        for edge in graph.incoming[node]:
            made = makers.get(edge.source)
            if not edge.live or edge.call.index < before or made is None or made.index >= before:
                continue
            if graph.incoming[edge.source] and _goes_back(made, edge.call):
                text = "goes on from a value of an earlier turn, and so does backward"
                blame = places.blame(edge.call.site, "carried", text, "GF309")
                if blame is not None:
                    found[blame] = None
    return list(found)


def _goes_back(made: Call, used: Call) -> bool:
    if made.site is None or used.site is None:
        return False
    same = (made.site.filename, made.site.first_row) == (used.site.filename, used.site.first_row)
    return same and used.site.row <= made.site.row
