"""Reading and rewriting code never imports torch, and starting up imports next to nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FAULTY = """\
import torch
from torch import nn


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.rand(()))
        self.b = nn.Parameter(torch.rand(()))

    def forward(self, x):
        w = torch.tensor([self.a, self.b])
        return (w * x).sum()
"""

#: What a run needs that analyses nothing new is none of these.
ANALYSIS = (
    "gradfix.flow.module",
    "gradfix.codemods.slice_aliasing",
    "gradfix.notebook",
    "gradfix.recorded",
    "gradfix.suppress",
    "multiprocessing",
    "pathspec",
    "hashlib",
)
HEAVY = ("torch", "numpy", "libcst", "black", "rich", "dask", "distributed", "gradfix.verify")

PROBE = """\
import sys
{before}
from gradfix.cli import run
code = run(sys.argv[1:])
sys.stdout.flush()
print("loaded:", *sorted(set({heavy!r}) & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def loaded(
    folder: Path, *arguments: str, before: str = "", heavy: tuple[str, ...] = HEAVY
) -> tuple[int, set[str]]:
    """The exit code of a command, and which heavy modules its process has imported at the end."""
    probe = PROBE.format(before=before, heavy=heavy)
    done = subprocess.run(
        [sys.executable, "-c", probe, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("loaded:"), done.stderr
    return done.returncode, set(last.split()[1:])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "m.py").write_text(FAULTY)
    return tmp_path


def test_apply_rewrites_without_torch(project: Path) -> None:
    code, modules = loaded(project, "apply", ".")
    assert code == 0
    assert (project / "m.py").read_text() != FAULTY
    assert not modules & {"torch", "numpy", "dask", "distributed", "gradfix.verify"}


def test_apply_verify_leaves_torch_to_its_children(project: Path) -> None:
    code, modules = loaded(project, "apply", "--verify", ".")
    assert code == 0
    assert (project / "m.py").read_text() != FAULTY
    assert not modules & {"torch", "numpy"}


def test_check_reads_without_torch_and_without_libcst(project: Path) -> None:
    code, modules = loaded(project, "check", ".")
    assert code == 1
    assert modules == set()


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["check", "--help"], ["migrate", "--help"], ["rules"]]
)
def test_starting_up_is_light(arguments: list[str], project: Path) -> None:
    assert loaded(project, *arguments) == (0, set())


def test_what_is_found_in_the_cache_needs_no_analysis(project: Path) -> None:
    code, modules = loaded(project, "check", ".", heavy=ANALYSIS)
    assert {"gradfix.flow.module", "gradfix.codemods.slice_aliasing"} <= modules
    assert loaded(project, "check", ".", heavy=ANALYSIS) == (code, set()) == (1, set())


def test_a_tree_without_torch_needs_no_analysis(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("print('nothing to do with it')\n")
    assert loaded(tmp_path, "check", "--no-cache", ".", heavy=ANALYSIS) == (0, set())


def test_only_a_cluster_needs_dask(project: Path) -> None:
    pytest.importorskip("distributed")
    _, modules = loaded(project, "check", "--scheduler", "tcp://127.0.0.1:1", ".")
    assert {"dask", "distributed"} <= modules


@pytest.mark.parametrize("arguments", [["check", "."], ["apply", "."]])
def test_the_probe_sees_an_import_that_happens_while_checking(
    arguments: list[str], project: Path
) -> None:
    (project / "torch.py").write_text("")
    injected = (
        "sys.path.insert(0, '')\n"
        "from gradfix import engine\n"
        "def wrapped(work):\n"
        "    def inner(*arguments):\n"
        "        import torch\n"
        "        return work(*arguments)\n"
        "    return inner\n"
        "engine.check, engine.fix = wrapped(engine.check), wrapped(engine.fix)"
    )
    _, modules = loaded(project, *arguments, "--exclude", "torch.py", before=injected)
    assert "torch" in modules
