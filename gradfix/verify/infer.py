"""Builds and calls a class with no help from the user: guesses, runs, repairs, runs again."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Iterator

from torch import nn

from gradfix.verify.build import Builder, Offer
from gradfix.verify.calling import Calls, run_once
from gradfix.verify.drive import Drive, Maker, Prepared
from gradfix.verify.refused import is_autograd_error


def inferred(
    cls: type[nn.Module], offer: Offer, seed: int, deadline: float = math.inf
) -> Iterator[Drive]:
    """Recipes that run, found by trying, most likely first.

    Nothing new is tried after ``deadline`` (of ``time.monotonic``). Raises DriveError with the
    nearest miss and a case to fill in when there is none.
    """
    builder = Builder(cls, offer, seed, deadline)
    for made, module in builder.built():
        if module is None:
            yield Drive(functools.partial(_build, made), "inferred", made.text)
            return
        until = time.monotonic() + 0.6 * (deadline - time.monotonic())
        calls = Calls(made, module, offer, seed, until, builder.took)
        yield from calls.drives()
        if calls.ran:
            return
        builder.missed(calls.miss, made, calls.needed, calls.errors())
    raise builder.error()


def _build(made: Maker) -> Prepared:
    return Prepared(made.build())


def runnable(drives: Iterator[Drive], seed: int) -> Iterator[Drive]:
    """Those recipes that run, or fail only by autograd's own complaint."""
    for drive in drives:
        error = run_once(drive, seed)
        if error is None or is_autograd_error(error):
            yield drive
