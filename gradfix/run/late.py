"""Gradients that arrive after the traced steps: what is warmed up or unfrozen late is no fault."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from gradfix.run.episode import Episode
from gradfix.run.ledger import Ledger
from gradfix.run.refusals import Judged

_MISSING = frozenset({"severed", "escaped", "unused", "discarded"})


class Late:
    """Waits, at no cost until it happens, for gradients of leaves that got none while traced."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._handles: list[Any] = []
        self._seen: set[tuple[str, str]] = set()

    def wait(self, found: list[Judged], episode: Episode) -> None:
        """From now on, a gradient of what was judged to get none corrects the verdict."""
        for judged in found:
            for parameter in judged.parameters:
                facts = judged.facts.get(parameter.name)
                if facts is None or parameter.verdict not in _MISSING:
                    continue
                tensor: Any = episode.tensor(facts)
                if tensor is not None and tensor.is_leaf and tensor.requires_grad:
                    arrived = self._arrived(judged.target, parameter.name)
                    self._handles.append(tensor.register_post_accumulate_grad_hook(arrived))

    def stop(self) -> None:
        """The program is over."""
        while self._handles:
            self._handles.pop().remove()

    def _arrived(self, target: str, name: str) -> Callable[[torch.Tensor], None]:
        def arrived(_: torch.Tensor) -> None:
            if (target, name) not in self._seen:
                self._seen.add((target, name))
                self._ledger.came_late(target, name)

        return arrived
