"""`%load_ext gradfix`, in IPython's own shell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from notebook_helpers import HEAD, LEAVES

Run = Callable[..., str]
MODULES = """\
from torch import nn
SIZE = 3
class Cut(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = Parameter(torch.rand(SIZE))
    def forward(self, x):
        return x * self.w.detach()
class Whole(Cut):
    def forward(self, x):
        return x * self.w
raise RuntimeError("the session's cells are not run again")
"""


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs cells in a new session and returns what the last one printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    shell = InteractiveShell()
    shell.run_cell("%load_ext gradfix", store_history=True)

    def cells(*sources: str) -> str:
        for source in sources:
            capfd.readouterr()
            shell.run_cell(source, store_history=True)
        return "".join(capfd.readouterr())

    yield cells
    shell.history_manager.end_session()


def test_a_cell_is_shown_with_its_diff_and_not_run(run: Run) -> None:
    out = run(HEAD, LEAVES, "%%gradfix\nw = torch.tensor([a, b])\nw.sum().backward()\n")
    assert "notebook:cell 4:2:5: GF301 [*] " in out
    assert "because: cell 3, line 1: " in out
    assert "\n-w = torch.tensor([a, b])\n+w = torch.stack([a, b])\n" in out
    assert "NameError" in run("w")


def test_a_cell_can_be_run_as_it_is(run: Run) -> None:
    out = run(HEAD, "%%gradfix --run\nT = Parameter(torch.rand(4)).view(2, 2)\nprint(T.is_leaf)\n")
    assert "GF102" in out
    assert out.rstrip().endswith("False")
    assert run("T.shape").startswith("Out[4]: torch.Size([2, 2])")


def test_what_ran_before_counts_in_the_order_of_running(run: Run) -> None:
    source = "w = torch.tensor([a, b])\nw.sum().backward()\n"
    out = run(HEAD, LEAVES, "a = b = 1.0", "%%gradfix\n" + source)
    assert out == "Nothing found in this cell.\n"


def test_options_and_errors(run: Run) -> None:
    source = "w = torch.tensor([a, b])\nw.sum().backward()\n"
    assert "Nothing found" in run(HEAD, LEAVES, "%%gradfix --select GF102\n" + source)
    assert "Usage: %%gradfix" in run("%%gradfix --help\nx\n")
    assert "--nope" in run("%%gradfix --nope\nx\n")
    assert "GF999" in run("%%gradfix --select GF999\nx\n")
    assert "notebook:cell 8:2: error: invalid syntax" in run("%%gradfix\ndef f(:\n")


def test_modules_of_the_session_are_verified(run: Run) -> None:
    out = run(HEAD, MODULES, "%gradfix_verify")
    assert "notebook.py:Cut: failed" in out
    assert "notebook.py:Whole: passed" in out
    out = run("%gradfix_verify Whole --output-format json")
    assert '"target": "notebook.py:Whole"' in out
    assert "notebook.py:Cut" not in out


def test_a_session_without_classes(run: Run) -> None:
    assert run(HEAD, "%gradfix_verify") == "error: no class has been defined in this session\n"
