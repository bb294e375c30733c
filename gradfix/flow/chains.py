"""Layers in a row: which one overwrites what the one before it keeps for backward."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from gradfix.flow import layers
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import Call
from gradfix.flow.values import Certainty, Kind, Value

#: Layers whose result is a view of what they are given.
_VIEWS = frozenset({"Identity", "Flatten", "Unflatten"})


@dataclass(frozen=True, slots=True)
class Clash:
    """``writer`` works in place on the result that ``keeper`` saved by the operation ``op``."""

    keeper: ast.Call
    writer: ast.Call
    op: str


def clashes(flow: ModuleFlow) -> Iterator[Clash]:
    """Every pair in a ``Sequential`` for which backward certainly raises while it trains."""
    if flow.freezes_parameters:
        return  # without a gradient nothing is saved
    seen: set[ast.AST] = set()
    for call in flow.all(Call):
        if call.name != "torch.nn.Sequential" or call.result.kind is not Kind.MODULE:
            continue
        items = call.result.items or ()
        for at, writer in enumerate(items):
            keeper = _before(items[:at])
            if keeper is None or not layers.writes_in_place(writer) or _is_off(writer):
                continue
            op = layers.saves_result(keeper)
            trained = any(layers.has_weights(item) is Certainty.YES for item in items[:at])
            if not op or not trained or writer.node in seen:
                continue
            if isinstance(keeper.node, ast.Call) and isinstance(writer.node, ast.Call):
                seen.add(writer.node)
                yield Clash(keeper.node, writer.node, op)


def _before(items: tuple[Value, ...]) -> Value | None:
    """The layer whose memory the next one is given; None where that is not known."""
    for item in reversed(items):
        if item.kind is not Kind.MODULE:
            return None
        if item.name.rpartition(".")[2] not in _VIEWS:
            return item
    return None


def _is_off(writer: Value) -> bool:
    """Whether it is a dropout that drops nothing."""
    return writer.name.rpartition(".")[2].endswith("Dropout") and any(
        value.const in (0, 0.0) and not isinstance(value.const, bool) for value in writer.inputs[:1]
    )
