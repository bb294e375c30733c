"""`--facts FILE`: what recorded calls may prove, and what they may not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradfix.assumed import combined
from gradfix.model import Edit, EditKind, Finding, Fix, Note, Safety, Span
from gradfix.recorded import Recording

from .conftest import FAULTY, Result, put

Gradfix = Callable[..., Result]

NET = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.n = n
        self.w = nn.Parameter(torch.rand(4))

    def forward(self, z):
        a = torch.zeros_like(z)
        for i in range(self.n):
            a[i, :] = self.w[i] * z[i]
        return a
"""
MENDED = """\
        a_parts = []
        for i in range(self.n):
            a_parts.append(self.w[i] * z[i])
        a = torch.stack(a_parts){reshape}.to(dtype=z.dtype)
        return a
"""


def tensor(*shape: int) -> dict[str, Any]:
    return {"kind": "tensor", "shape": list(shape), "dtype": "float32", "roles": ["untracked"]}


def record(project: Path, *shapes: tuple[int, ...], n: int = 3, text: str = NET) -> None:
    """A facts file as `verify` writes it."""
    calls: list[dict[str, Any]] = []
    for shape in shapes:
        calls.append(
            {"name": "__init__", "row": 6, "arguments": {"n": {"kind": "int", "value": n}}}
        )
        calls.append({"name": "forward", "row": 11, "arguments": {"z": tensor(*shape)}})
    recording = Recording()
    recording.add("net.py", text, calls)
    (project / "facts.json").write_text(recording.as_json())


def findings(result: Result) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(result.out)["findings"]
    return found


JSON = ("--output-format", "json")


def test_recorded_sizes_make_an_unsafe_fix(project: Path, gradfix: Gradfix) -> None:
    put(project, net=NET)
    record(project, (3, 2))
    assert findings(gradfix("check", *JSON, "net.py")) == []
    [found] = findings(gradfix("check", *JSON, "--facts", "facts.json", "net.py"))
    assert (found["code"], found["fix"]["applicability"]) == ("GF302", "unsafe")
    rests = "this rests on recorded calls only, in which z was float32 [3, 2]"
    assert rests in [note["message"] for note in found["because"]]
    assert gradfix("apply", "--facts", "facts.json", "net.py").code == 1
    assert (project / "net.py").read_text() == NET
    assert gradfix("apply", "--unsafe-fixes", "--facts", "facts.json", "net.py").code == 0
    assert (project / "net.py").read_text().endswith(MENDED.format(reshape=""))


def test_no_configuration_makes_it_safe(project: Path, gradfix: Gradfix) -> None:
    put(project, net=NET)
    (project / "gradfix.toml").write_text('extend-safe-fixes = ["ALL"]\n')
    record(project, (3, 2))
    [found] = findings(gradfix("apply", *JSON, "--facts", "facts.json", "net.py"))
    assert (found["fix"]["applicability"], found["fix"]["applied"]) == ("unsafe", False)
    assert (project / "net.py").read_text() == NET


@pytest.mark.parametrize("shapes", [[(3, 2), (4, 2)], [(3, 2), (3, 2, 1)], []])
def test_what_differs_between_calls_proves_nothing(
    shapes: list[tuple[int, ...]], project: Path, gradfix: Gradfix
) -> None:
    put(project, net=NET)
    record(project, *shapes)
    found = findings(gradfix("check", *JSON, "--facts", "facts.json", "net.py"))
    assert all(f["fix"] is None for f in found)


def test_what_is_the_same_in_all_calls_is_enough(project: Path, gradfix: Gradfix) -> None:
    put(project, net=NET)
    record(project, (3, 2), (3, 4))  # as many rows, of different widths
    assert gradfix("apply", "--unsafe-fixes", "--facts", "facts.json", "net.py").code == 0
    assert (project / "net.py").read_text().endswith(MENDED.format(reshape=".reshape(z.shape)"))


def test_a_size_that_does_not_fit_keeps_the_fix_away(project: Path, gradfix: Gradfix) -> None:
    put(project, net=NET)
    record(project, (3, 2), n=2)  # the last row is never filled
    found = findings(gradfix("check", *JSON, "--facts", "facts.json", "net.py"))
    assert all(f["fix"] is None for f in found)


def test_stale_facts_are_ignored_and_said(project: Path, gradfix: Gradfix) -> None:
    put(project, net=NET + "# one more line\n")
    record(project, (3, 2))
    result = gradfix("check", *JSON, "--facts", "facts.json", ".")
    assert findings(result) == []
    assert "net.py: recorded facts ignored: the file has changed since" in result.err


def test_what_is_found_with_facts_and_without_is_kept_apart(
    project: Path, gradfix: Gradfix
) -> None:
    put(project, net=NET)
    for shapes in ((), ((3, 4),), ((3, 5),)):
        if shapes:
            record(project, *shapes)
        flags = ("--facts", "facts.json") if shapes else ()
        for _ in range(2):
            kept = gradfix("check", *flags)
            assert kept == gradfix("check", "--no-cache", *flags)


def test_facts_about_other_files_do_no_harm(project: Path, gradfix: Gradfix) -> None:
    put(project, faulty=FAULTY, net=NET)
    record(project, (3, 2))
    alone = findings(gradfix("check", *JSON, "faulty.py"))
    assert findings(gradfix("check", *JSON, "--facts", "facts.json", "faulty.py")) == alone
    assert [f["fix"]["applicability"] for f in alone] == ["safe"]


def test_facts_lie_where_their_paths_start(project: Path, gradfix: Gradfix) -> None:
    (project / "deep").mkdir()
    put(project / "deep", net=NET)
    record(project / "deep", (3, 2))
    assert len(findings(gradfix("check", *JSON, "--facts", "deep/facts.json", "."))) == 1


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (None, ("net.py",), "--facts facts.json: No such file"),
        ("no json", ("net.py",), "--facts facts.json: not a file of recorded facts"),
        ('{"version": 9, "files": {}}', ("net.py",), "facts of version 9 are not known"),
        ('{"version": 1, "files": {}}', ("-",), "--facts are about files"),
    ],
)
@pytest.mark.parametrize("command", ["check", "apply"])
def test_wrong_use(
    command: str,
    content: str | None,
    arguments: tuple[str, ...],
    said: str,
    project: Path,
    gradfix: Gradfix,
) -> None:
    put(project, net=NET)
    if content is not None:
        (project / "facts.json").write_text(content)
    result = gradfix(command, "--facts", "facts.json", *arguments)
    assert (result.code, result.out) == (2, "")
    assert said in result.err


# -- with and without ----------------------------------------------------------------------------

SPAN = Span(3, 1, 3, 9)
NOTE = Note(SPAN, "recorded")


def finding(safety: Safety | None, content: str = "x", span: Span = SPAN) -> Finding:
    edits = (Edit(EditKind.REPLACE, span, content),)
    doubt = "it may be meant" if safety is Safety.UNSAFE else ""
    fix = None if safety is None else Fix.of("t", edits, doubt)
    reason = "no" if fix is None else None
    return Finding("GF302", "n", span, "m", fix=fix, not_fixed_reason=reason)


@pytest.mark.parametrize(
    ("alone", "assuming", "left", "rests"),
    [
        # proven alone: stays
        (finding(Safety.SAFE), finding(Safety.SAFE), Safety.SAFE, False),
        (finding(Safety.SAFE), finding(None), Safety.SAFE, False),
        (finding(Safety.SAFE), finding(Safety.SAFE, "y"), Safety.SAFE, False),
        (finding(Safety.UNSAFE), finding(Safety.SAFE), Safety.UNSAFE, False),
        (finding(None), finding(None), None, False),
        (finding(Safety.UNSAFE), None, Safety.UNSAFE, False),
        # shown by the facts only: unsafe at best
        (finding(None), finding(Safety.SAFE), Safety.UNSAFE, True),
        (finding(Safety.UNSAFE), finding(Safety.SAFE, "y"), Safety.UNSAFE, True),
        (None, finding(Safety.SAFE), Safety.UNSAFE, True),
        (None, finding(None), None, True),
        # shown to be wrong by the facts: gone
        (finding(Safety.UNSAFE), finding(None), None, True),
    ],
)
def test_findings_with_and_without(
    alone: Finding | None, assuming: Finding | None, left: Safety | None, rests: bool
) -> None:
    [found] = combined([alone] if alone else [], [assuming] if assuming else [], {SPAN: NOTE})
    assert (found.fix.safety if found.fix else None) is left
    assert (NOTE in found.because) is rests
    assert found.fix is None or found.fix.assumes is rests
