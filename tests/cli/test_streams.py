"""Diffs that other tools take, and standard input."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import FAULTY, PYTHON_2, Result, put

Gradfix = Callable[..., Result]

# -- diffs --------------------------------------------------------------------------------------

SHAPES = {
    "plain": FAULTY,
    "no newline at end": FAULTY + FAULTY[FAULTY.index("class") :].rstrip("\n"),
    "fault in the last line": FAULTY.replace("return (w", "return (1 * w")[: -len("\n")],
    "CRLF": FAULTY.replace("\n", "\r\n"),
    "mixed": FAULTY.replace("\n", "\r\n", 3),
    "separators inside a line": "# \u2028 \x0c \x85\n" + FAULTY,
}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("shape", SHAPES)
def test_git_apply_takes_the_diff(shape: str, project: Path, gradfix: Gradfix) -> None:
    names = ["m.py", "with space.py", "sub/n.py", "latin.py"]
    (project / "sub").mkdir()
    for name in names[:3]:
        (project / name).write_bytes(SHAPES[shape].encode())
    (project / "latin.py").write_bytes(("# coding: latin-1\n# é\n" + FAULTY).encode("latin-1"))
    before = {name: (project / name).read_bytes() for name in names}
    result = gradfix("apply", "--dry-run", "--output-file", "fix.patch")
    assert result.code == 1
    assert result.err.endswith(" in 4 files.\n")
    assert {name: (project / name).read_bytes() for name in names} == before
    subprocess.run(["git", "apply", "fix.patch"], cwd=project, check=True, capture_output=True)
    patched = {name: (project / name).read_bytes() for name in names}
    for name in names:
        (project / name).write_bytes(before[name])
    assert gradfix("apply").code == 0
    assert {name: (project / name).read_bytes() for name in names} == patched
    assert patched != before


def test_the_diff_is_on_standard_output(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    result = gradfix("apply", "--diff")
    assert result.out.startswith("--- a/m.py\n+++ b/m.py\n@@ ")
    assert "\n+        w = torch.stack([self.a, self.b])\n" in result.out
    assert result.err == "Would fix 1 finding in 1 file.\n"


# -- standard input -----------------------------------------------------------------------------


def piped(project: Path, raw: bytes, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "gradfix", *arguments]
    return subprocess.run(command, input=raw, cwd=project, capture_output=True)


def test_standard_input_is_checked_and_rewritten(project: Path) -> None:
    raw = ("# coding: latin-1\n# é\n" + FAULTY).replace("\n", "\r\n").encode("latin-1")
    checked = piped(project, raw, "check", "-", "--stdin-filename", "src/m.py")
    assert checked.returncode == 1
    assert checked.stdout.startswith(b"src/m.py:14:13: GF301")
    applied = piped(project, raw, "apply", "-")
    assert applied.returncode == 0
    assert applied.stdout == raw.replace(b"torch.tensor(", b"torch.stack(")
    assert os.listdir(project) == []


@pytest.mark.parametrize("raw", [PYTHON_2.encode(), b"\0\n", b"x = 1\r\n"])
def test_a_filter_never_swallows_its_input(raw: bytes, project: Path) -> None:
    assert piped(project, raw, "apply", "-").stdout == raw


def test_standard_input_is_configured_by_its_name(project: Path) -> None:
    (project / "gradfix.toml").write_text(
        'force-exclude = true\nexclude = ["gen"]\n[per-file-ignores]\n"tests/*" = ["GF3"]\n'
    )
    for name, code in (("m.py", 1), ("tests/m.py", 0), ("gen/m.py", 0)):
        done = piped(project, FAULTY.encode(), "check", "-", "--stdin-filename", name)
        assert done.returncode == code, name
    done = piped(project, FAULTY.encode(), "apply", "-", "--stdin-filename", "gen/m.py")
    assert done.stdout.decode() == FAULTY
