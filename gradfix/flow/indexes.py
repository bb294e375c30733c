"""Events of a whole file put in order once, for what is asked of each of many places."""

from __future__ import annotations

from gradfix.flow.module import ModuleFlow
from gradfix.flow.queries import leaf_uses
from gradfix.flow.state import Backward, GradRead, OptimizerMade, Scope
from gradfix.flow.versions import Definition
from gradfix.model import Span


def used_as_leaves(flow: ModuleFlow) -> frozenset[Definition]:
    """The definitions that reach a place where a tensor is used as a leaf."""

    def find() -> frozenset[Definition]:
        bases = {use.base for _, use in leaf_uses(flow)}
        used = [scope.uses[base] for scope in flow.scopes for base in bases & scope.uses.keys()]
        return frozenset().union(*used)

    size = len(flow.all(GradRead)) + len(flow.all(OptimizerMade)) + len(flow.scopes)
    return flow.worked_out("_used_as_leaves", size, find)


def places(flow: ModuleFlow, kind: type[Backward | GradRead]) -> dict[Scope, list[Span]]:
    """By scope, in order, where backward is called or a gradient is stored."""

    def find() -> dict[Scope, list[Span]]:
        found: dict[Scope, list[Span]] = {}
        for event in flow.all(kind):
            if not isinstance(event, GradRead) or event.store:
                found.setdefault(event.scope, []).append(flow.span(event.node))
        return {scope: sorted(spans) for scope, spans in found.items()}

    return flow.worked_out(f"_places_of_{kind.__name__}", len(flow.all(kind)), find)
