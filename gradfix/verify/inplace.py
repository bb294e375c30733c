"""Explains in-place errors: which line saved the value, which line overwrote it."""

from __future__ import annotations

from typing import Any

import torch

from gradfix.verify.blame import Places
from gradfix.verify.graph import Call
from gradfix.verify.results import Blame
from gradfix.verify.trace import Tracer
from gradfix.verify.values import version_of

_MODIFIED = "modified by an inplace operation"


def is_overwritten(error: BaseException | None) -> bool:
    """Whether backward failed because a saved value was overwritten."""
    return error is not None and _MODIFIED in str(error)


def overwritten(root: torch.Tensor, tracer: Tracer, places: Places) -> list[Blame]:
    """The lines that saved and overwrote each lost value; empty where they cannot be told."""
    found: dict[Blame, None] = {}
    for node in _broken_nodes(root):
        saver = _call_of(node._sequence_nr(), tracer)
        if saver is None:
            continue
        for writer in _writers_after(saver, tracer):
            for call, kind, text in (
                (
                    writer,
                    "overwritten",
                    f"overwrites what {_name(saver)} saved for backward",
                ),
                (saver, "saved", f"{_name(saver)} saves this value for backward"),
            ):
                blame = places.blame(call.site, kind, text, "GF202")
                if blame is not None:
                    found[blame] = None
    return list(found)


def _broken_nodes(root: torch.Tensor) -> list[Any]:
    """Autograd nodes whose saved values refuse to be read, nearest to the root first."""
    broken: list[Any] = []
    seen: set[Any] = set()
    todo: list[Any] = [root.grad_fn]
    while todo:
        node = todo.pop(0)
        if node is None or node in seen:
            continue
        seen.add(node)
        if any(_is_lost(node, name) for name in dir(node) if name.startswith("_saved_")):
            broken.append(node)
        todo += [following for following, _ in node.next_functions]
    return broken


def _is_lost(node: Any, name: str) -> bool:
    try:
        getattr(node, name)
    except RuntimeError as error:
        return _MODIFIED in str(error)
    return False


def _call_of(sequence: int, tracer: Tracer) -> Call | None:
    for call in tracer.graph.calls:
        if call.first_seq <= sequence < call.last_seq:
            return call
    return None


def _writers_after(saver: Call, tracer: Tracer) -> list[Call]:
    """In-place writes after the saving call to memory that call read or made."""
    used = {}
    for seen in tracer.versions:
        if seen.call is saver:
            tensor = seen.tensor()
            if tensor is None or version_of(tensor) not in (-1, seen.version):
                used[seen.storage] = seen.version
    return [
        call
        for call, storage, version in tracer.writes
        if call.index > saver.index and storage in used and version > used[storage]
    ][:1]


_OPERATORS = {
    "__truediv__": "/",
    "__rtruediv__": "/",
    "div": "/",
    "__mul__": "*",
    "__rmul__": "*",
    "mul": "*",
    "__pow__": "**",
    "pow": "**",
    "__getitem__": "indexing",
}


def _name(call: Call) -> str:
    return _OPERATORS.get(call.name, f"{call.name}()")
