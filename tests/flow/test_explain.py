"""The debugging view: what it prints, and how it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gradfix.cli import run

PROGRAM = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        y = self.w[:2].exp()
        y += 1
        with torch.no_grad():
            self.w.clamp_(0)
        return y
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "net.py"
    path.write_text(PROGRAM)
    return path


def shown(capsys: pytest.CaptureFixture[str], place: str) -> str:
    assert run(["check", "--explain-flow", place]) == 0
    out, err = capsys.readouterr()
    assert not err
    return out


def test_a_leaf(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "net.py:8") == """\
net.py:8 in __init__
  self.w = nn.Parameter(torch.ones(3))
    grad mode: on
    reads self: instance Net
    gives nn.Parameter(torch.ones(3)): leaf, (3,), float, memory of self.w, parameter
    binds self.w: leaf, (3,), float, own, parameter
"""


def test_a_write(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "net.py:12") == """\
net.py:12 in forward
  y += 1
    grad mode: on
    binds y: tracked, (2,), float, own, from self.w
    writes y: augment, overwrites result of exp
"""


def test_grad_mode_and_writes_that_overwrite_nothing(
    program: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(capsys, "net.py:14")
    assert "    grad mode: off\n" in text
    assert "    writes self.w: method\n" in text


def test_a_line_without_facts(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "net.py:3").endswith("nothing is bound, read or written here\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no file can have this name")
def test_colons_in_the_name(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a:b.py").write_text("x = 3\n")
    assert "binds x: number, = 3" in shown(capsys, "a:b.py:1")


def test_twice_the_same(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for row in range(1, 16):
        assert shown(capsys, f"net.py:{row}") == shown(capsys, f"net.py:{row}")


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("net.py", "FILE:LINE"),
        ("net.py:", "FILE:LINE"),
        (":3", "FILE:LINE"),
        ("net.py:three", "FILE:LINE"),
        ("net.py:-1", "FILE:LINE"),
        ("net.py:0", "has no line 0"),
        ("net.py:16", "has no line 16: it has 15"),
        ("nowhere.py:1", "nowhere.py: cannot be read"),
        ("broken.py:1", "broken.py:2: invalid syntax"),
    ],
)
def test_refusals_are_one_line(
    program: Path, capsys: pytest.CaptureFixture[str], place: str, told: str
) -> None:
    Path("broken.py").write_text("x = 1\ny = = 2\n")
    assert run(["check", "--explain-flow", place]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("error: ") and err.count("\n") == 1
    assert told in err


def test_it_goes_with_no_path(program: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", "--explain-flow", "net.py:1", "net.py"]) == 2
    assert "no other path" in capsys.readouterr().err


def test_torch_is_not_imported(program: Path) -> None:
    code = (
        "import sys; from gradfix.cli import run; run(['check', '--explain-flow', 'net.py:11']);"
        "sys.exit('torch' in sys.modules or 'libcst' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "tracked" in done.stdout
