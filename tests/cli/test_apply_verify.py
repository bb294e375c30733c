"""`gradfix apply --verify`: what is kept, what is not, and how it is said.

The codemods are made for the test: each calls another function of `ops.py` instead.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gradfix import cli, journal, registry, rules

from .conftest import FAULTY, MENDED, PYTHON_2, Renames, Result, put

OPS = """\
import torch
from torch import stack, tensor

def twice(x):
    return x * 2

def thrice(x):
    return x * 3

def breaks(x):
    raise ValueError("broken on purpose")

def hangs(x):
    while True:
        pass

def cut(x):
    return (x * 2).detach()

def halved(x):
    return x / 2

def half(x):
    return x * 0.5
"""
NET = """\
import torch
from torch import nn
from ops import *


class Net(nn.Module):
    def __init__(self{arguments}):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))

    def forward(self):
        return {call}
"""


def net(call: str, arguments: str = "") -> str:
    return NET.format(call=call, arguments=arguments)


def renaming(number: int, before: str, after: str, doubt: str = "") -> type[Renames]:
    name = f"Renames{number}"
    parts = {"code": f"GF99{number}", "old": before, "new": after, "doubt": doubt}
    return type(name, (Renames,), {**parts, "__module__": f"renames_{number}"})


CODEMODS = (
    renaming(1, "tensor", "stack"),
    renaming(2, "twice", "thrice"),
    renaming(3, "half", "halved", "it may be another function"),
    renaming(4, "breaking", "breaks"),
    renaming(5, "hanging", "hangs"),
    renaming(6, "setting", "missing"),
    renaming(7, "cutting", "cut"),
)
ALIAS = "breaking = hanging = cutting = twice_ = lambda x: x * 2\nsetting = lambda: 1\n"
TENSOR = "tensor([self.w[0], self.w[1]])"
FILES = {
    "accepted": net(TENSOR),
    "wrong_value": net("twice(self.w)"),
    "wrong_gradient": net("cutting(self.w)"),
    "crash": net("breaking(self.w)"),
    "hang": net("hanging(self.w)"),
    "no_import": net("self.w * 2") + "\nx = setting()\n",
    "odd": net(TENSOR, ", words, /, *, size: dict[str, int]").replace("rand(3)", "rand(words.z)"),
    "odd_unsafe": net("half(self.w)", ", words").replace(
        "rand(3)", "rand(words.n if words.key == chr(x.shape[0]) * 9 else words.gone)"
    ),
    "unsafe": net("half(self.w)"),
    "mixed": net(TENSOR) + "\n    def other(self):\n        return half(self.w)\n",
    "no_class": "from ops import *\n\ndef f(a):\n    return tensor([a])\n",
    "broken": PYTHON_2,
}
MENDED_FILES = {
    "accepted": FILES["accepted"].replace("tensor(", "stack("),
    "odd": FILES["odd"].replace("tensor(", "stack("),
    "unsafe": FILES["unsafe"].replace("half(", "halved("),
    "mixed": FILES["mixed"].replace("tensor(", "stack("),
    "no_class": FILES["no_class"].replace("tensor(", "stack("),
}


class Done(NamedTuple):
    folder: Path
    code: int
    said: str
    report: dict[str, Any]

    def finding(self, name: str, code: str) -> dict[str, Any]:
        [found] = [
            f for f in self.report["findings"] if (f["filename"], f["code"]) == (f"{name}.py", code)
        ]
        return dict(found)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """One run over all files."""
    folder = tmp_path_factory.mktemp("project")
    put(folder, ops=OPS + ALIAS, **FILES)
    (folder / "pyproject.toml").write_text("[tool.gradfix.verify]\ntimeout = 12\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(registry, "codemods", lambda: CODEMODS)
        patch.setattr(registry, "entries", lambda: registry.entries_of(CODEMODS))
        rules.rules.cache_clear()
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            code = cli.run(
                "apply --verify --unsafe-fixes --exclude ops.py "
                "--output-format json -o out.json .".split()
            )
    rules.rules.cache_clear()
    return Done(folder, code, said.getvalue(), json.loads((folder / "out.json").read_text()))


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_as_it_was_or_mended(name: str, done: Done) -> None:
    assert (done.folder / f"{name}.py").read_text() == MENDED_FILES.get(name, FILES[name])


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("wrong_value", "GF992", r"verification: Net: output 0 differs: .* became "),
        ("wrong_gradient", "GF997", r"verification: Net: w was ok and is severed: .*ops.py:18"),
        ("crash", "GF994", r"verification: Net cannot be run any more: .*broken on purpose"),
        ("hang", "GF995", r"verification: Net cannot be run any more: timed out after 12 s"),
        ("no_import", "GF996", r"verification: the file cannot be imported any more: .*missing"),
        (
            "odd_unsafe",
            "GF993",
            r"verification: an unsafe fix needs proof: Net: .*Error",
        ),
        ("mixed", "GF993", r"verification: an unsafe fix needs proof: line 15 was not run"),
    ],
)
def test_what_is_refused_says_why(name: str, code: str, why: str, done: Done) -> None:
    found = done.finding(name, code)
    assert re.search(why, found["not_fixed_reason"]), found["not_fixed_reason"]
    assert found["fix"]["applied"] is False
    assert found["not_fixed_reason"] in done.said
    assert f"{name}.py: " in done.said


@pytest.mark.parametrize(
    ("name", "code", "verification"),
    [
        ("accepted", "GF991", "verified"),
        ("unsafe", "GF993", "verified"),
        ("mixed", "GF991", "verified"),
        ("odd", "GF991", "not verified: Net: "),
        ("no_class", "GF991", "not verified: the file defines no nn.Module class to run"),
    ],
)
def test_what_is_kept_says_whether_it_was_proven(
    name: str, code: str, verification: str, done: Done
) -> None:
    fix = done.finding(name, code)["fix"]
    assert fix["applied"] is True
    assert fix["verification"].startswith(verification)
    said = f"{name}.py: applied, not verified: " in done.said
    assert said == (verification != "verified")


def test_the_rest_is_reported_as_always(done: Done) -> None:
    assert done.code == 2  # broken.py does not parse
    assert "broken.py:2: error: invalid syntax" in done.said
    assert "Verification: 3 verified, 2 not verified, 6 refused." in done.said
    assert done.report["summary"]["fixed"] == 5


def test_working_copies_are_gone_and_nothing_else_was_written(done: Done) -> None:
    names = {path.name for path in done.folder.iterdir()}
    others = {"ops.py", "pyproject.toml", "out.json", journal.FOLDER}
    assert names == {*(f"{name}.py" for name in FILES), *others}


# -- the command ---------------------------------------------------------------------------------


def test_a_dry_run_shows_only_what_would_be_kept(
    project: Path, gradfix: Callable[..., Result], only_codemods: Callable[..., None]
) -> None:
    only_codemods(*CODEMODS)
    put(project, ops=OPS + ALIAS, good=FILES["accepted"], bad=FILES["wrong_value"])
    result = gradfix("apply", "--verify", "--dry-run", "good.py", "bad.py")
    assert result.code == 1
    assert "+++ b/good.py" in result.out and "bad.py" not in result.out
    assert "bad.py: not changed: verification: Net: output 0 differs" in result.err
    assert (project / "good.py").read_text() == FILES["accepted"]


def test_real_codemods(project: Path, gradfix: Callable[..., Result]) -> None:
    put(project, m=FAULTY)
    assert gradfix("apply", "--verify", ".").code == 0
    assert (project / "m.py").read_text() == MENDED
    assert gradfix("undo").code == 0
    assert (project / "m.py").read_text() == FAULTY


def test_wrong_use(
    project: Path, gradfix: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, m=FAULTY)
    piped = gradfix("apply", "--verify", "-")
    assert (piped.code, piped.out) == (2, "")
    assert "--verify runs files" in piped.err
    guarded = gradfix("apply", "--verify", "--timeout", "5", "m.py")
    assert (guarded.code, guarded.out) == (2, "")
    assert "--verify works in one process" in guarded.err
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    without = gradfix("apply", "--verify", "m.py")
    assert (without.code, without.out) == (2, "")
    assert "--verify needs torch" in without.err
    assert (project / "m.py").read_text() == FAULTY
