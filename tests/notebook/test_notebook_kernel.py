"""The tutorial of the legacy project in a real kernel, as it is and after `gradfix apply`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

TUTORIAL = Path(__file__).resolve().parents[2] / "fixtures" / "legacy" / "tutorial.ipynb"
SECTIONS = {5: "name", 7: "slice", 9: "wrap", 13: "rebuild", 15: "fill"}


def gradients(path: Path) -> dict[str, str]:
    """What each section prints about its gradient, or the error that stops it."""
    notebook: Any = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", allow_errors=True)
    client.execute()
    found = {}
    for number, name in SECTIONS.items():
        outputs = notebook.cells[number - 1].outputs
        errors = [o.ename for o in outputs if o.output_type == "error"]
        printed = "".join(o.text for o in outputs if o.get("name") == "stdout")
        found[name] = errors[0] if errors else printed
    return found


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("legacy") / "tutorial.ipynb"
    shutil.copy(TUTORIAL, path)
    done = subprocess.run(
        [sys.executable, "-m", "gradfix", "apply", path.name],
        cwd=path.parent,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return path


def test_before_gradients_are_missing(tmp_path: Path) -> None:
    found = gradients(TUTORIAL)
    assert found["name"] == "gradient: None\n"
    assert found["slice"].startswith("still the pulse: False\n")
    assert found["wrap"] == "gradient: None\n"
    assert found["rebuild"] == "RuntimeError"
    assert found["fill"].startswith("gradient: tensor(")  # slow, not wrong


def test_after_apply_every_section_has_its_gradient(rewritten: Path) -> None:
    found = gradients(rewritten)
    for name, printed in found.items():
        assert "gradient: tensor(" in printed, (name, printed)
    assert found["slice"].startswith("still the pulse: True\n")
    assert found["wrap"].count("],") == 2  # three rows: the matrix is the leaf


def test_only_sources_of_five_cells_change(rewritten: Path) -> None:
    before, after = (json.loads(path.read_text("utf-8")) for path in (TUTORIAL, rewritten))
    changed = [
        number
        for number, (old, new) in enumerate(zip(before["cells"], after["cells"], strict=True), 1)
        if old != new
    ]
    assert changed == [5, 7, 9, 12, 15]
    for old, new in zip(before["cells"], after["cells"], strict=True):
        assert {**old, "source": 0} == {**new, "source": 0}
    assert {**before, "cells": 0} == {**after, "cells": 0}


def test_a_second_run_changes_nothing(rewritten: Path) -> None:
    raw = rewritten.read_bytes()
    done = subprocess.run(
        [sys.executable, "-m", "gradfix", "apply", rewritten], capture_output=True, check=False
    )
    assert (done.returncode, rewritten.read_bytes()) == (0, raw)
