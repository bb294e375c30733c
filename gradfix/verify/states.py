"""Inputs beside the main one: states of recurrent layers, lengths, single indices, labels; and axes
that are folded into one."""

from __future__ import annotations

import re
from dataclasses import replace

from gradfix.verify.guess import BATCH, Spec, with_shape

_BATCHED = re.compile(r"`len\(lengths\)` to be equal to batch_size")
_HIDDEN = re.compile(r"Expected hidden(?:\[\d\])? size \((\d+), (\d+), (\d+)\)")


def of_states(specs: list[Spec], text: str) -> list[list[Spec]]:
    """With states as recurrent layers want them."""
    found: list[list[Spec]] = []
    if _BATCHED.search(text):  # the steps first, then the batch
        turned = [s for s in specs if len(s.shape) > (2 if s.kind == "float" else 1)]
        found += [
            with_shape(specs, specs.index(s), (s.shape[1], s.shape[0], *s.shape[2:]))
            for s in turned
        ]
    if match := _HIDDEN.search(text):
        size = tuple(int(n) for n in match.groups())
        states = range(len(specs) - 1, -1, -1)
        found += [_as_state(specs, i, size) for i in states]
    if "hx" in text and "3-D" in text:
        pairs = [(i, s) for i, s in enumerate(specs) if s.kind == "pair" and len(s.shape) == 2]
        found += [with_shape(specs, i, (1, *s.shape)) for i, s in pairs]
        others = [i for i, s in enumerate(specs) if i and s.kind in ("float", "long")]
        found += [_as_state(specs, i, (1, BATCH, specs[i].shape[-1])) for i in others]
    return found


def _as_state(specs: list[Spec], index: int, shape: tuple[int, ...]) -> list[Spec]:
    kind = "float" if specs[index].kind == "long" else specs[index].kind
    return [replace(s, shape=shape, kind=kind) if i == index else s for i, s in enumerate(specs)]


def unfolded(specs: list[Spec], got: int, wanted: int) -> list[list[Spec]]:
    """Indices one at a time where the rows of all of them came out side by side."""
    times = got // wanted if wanted and got % wanted == 0 else 0
    found: list[list[Spec]] = []
    for i, spec in enumerate(specs):
        if spec.kind == "long" and times > 1 and times == spec.shape[-1]:
            found += [
                with_shape(specs, i, (*spec.shape[:-1], 1)),
                with_shape(specs, i, spec.shape[:-1]),
            ]
    return found


def images_beside(specs: list[Spec]) -> list[list[Spec]]:
    """Labels and the like as images beside an image, which they are joined to as channels."""
    image = next((s for s in specs if s.kind == "float" and len(s.shape) == 4), None)
    others = [s for s in specs if s.kind == "long"]
    if image is None or not others:
        return []
    return [[image if s in others else s for s in specs]]


def multiplied(specs: list[Spec], got: int, wanted: int) -> list[list[Spec]]:
    """One axis of an input of another length, where the product of two of them does not fit."""
    found: list[list[Spec]] = []
    for i, spec in enumerate(specs):
        for axis in range(1, len(spec.shape) if spec.kind == "float" else 0):
            length = spec.shape[axis]
            longer, rest = divmod(wanted * length, got)
            if not rest and got % length == 0 and 0 < longer != length and got != length:
                shape = (*spec.shape[:axis], longer, *spec.shape[axis + 1 :])
                found.append(with_shape(specs, i, shape))
    return found
