"""Whatever is rewritten in a random program keeps its values, shapes, types and right gradients."""

from __future__ import annotations

import pytest
import torch
from random_programs import Result, outcome, program

from gradfix import config, engine
from gradfix.model import Source

PROGRAMS = 120
BATCHES = 6


def same(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    if a is None or b is None:
        return a is b
    return (
        a.shape == b.shape
        and a.dtype == b.dtype
        and torch.allclose(a, b, 1e-4, 1e-5, equal_nan=True)
    )


def check_rewrite(text: str, before: Result, unsafe: bool) -> None:
    settings = config.settings_from(select=["ALL"], unsafe_fixes=unsafe)
    done = engine.fix(Source("program.py", text), settings)
    assert not done.failures
    assert engine.fix(Source("program.py", done.text), settings).text == done.text
    after = outcome(done.text)
    if before.error is not None:
        return
    assert after.error is None, done.text
    assert all(map(same, before.values, after.values)), done.text
    if before.gradients is not None:
        assert after.gradients is not None, done.text
        assert all(map(same, before.gradients, after.gradients)), done.text


def check_claims(text: str, before: Result) -> None:
    """ "Backward raises" is said of the programs whose backward raises, and of no other."""
    found = engine.check(Source("program.py", text), config.settings_from(select=["GF2"])).findings
    claims = [finding for finding in found if "backward raises" in finding.message]
    if before.gradients is not None:
        assert not claims, text
    if before.backward_error is not None:
        assert claims, text


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_programs_keep_what_they_compute(batch: int) -> None:
    rewritten = 0
    for seed in range(batch, PROGRAMS, BATCHES):
        text = program(seed)
        before = outcome(text)
        check_claims(text, before)
        for unsafe in (False, True):
            check_rewrite(text, before, unsafe)
        rewritten += before.backward_error is not None or "zeros" in text
    assert rewritten  # a batch in which nothing could be rewritten would prove nothing
