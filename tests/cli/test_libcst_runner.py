"""Codemods run under LibCST's own runner, which knows nothing of gradfix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .conftest import FAULTY, MENDED


def test_libcst_s_runner_rewrites_files(tmp_path: Path) -> None:
    names = ["m.py", "n.py"]
    for name in names:
        (tmp_path / name).write_text(FAULTY)
    command = [
        "codemod",
        "--no-format",
        "-x",
        "gradfix.codemods.tensor_rewrap.TensorRewrap",
        *names,
    ]
    done = subprocess.run(
        [sys.executable, "-m", "libcst.tool", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / name).read_text() for name in names] == [MENDED, MENDED]
