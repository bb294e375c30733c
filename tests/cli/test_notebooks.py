"""`check` and `apply` on notebooks, as users see them."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import FAULTY, Result, put

Gradfix = Callable[..., Result]

LEAVES = "import torch\n\na = torch.nn.Parameter(torch.rand(()))\nb = a * 1"
FAULT = "%precision 3\nw = torch.tensor([a, a])\nw.sum().backward()"
MENDED = FAULT.replace("torch.tensor(", "torch.stack(")


def notebook(*sources: str, outputs: bool = True) -> dict[str, Any]:
    """A heading, then code cells, each with a stored output."""
    shown = [{"name": "stdout", "output_type": "stream", "text": ["1\n"]}] if outputs else []
    cells: list[dict[str, Any]] = [{"cell_type": "markdown", "metadata": {}, "source": "# Title"}]
    for source in sources:
        cell = {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": shown}
        cells.append({**cell, "source": source.splitlines(True)})
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def write(path: Path, *sources: str, **more: Any) -> bytes:
    path.write_text(json.dumps(notebook(*sources, **more), indent=1) + "\n")
    return path.read_bytes()


def test_findings_name_the_cell_and_the_row_in_it(project: Path, gradfix: Gradfix) -> None:
    write(project / "n.ipynb", LEAVES, "x = 1", FAULT)
    result = gradfix("check", ".", "--output-format", "concise")
    assert result.code == 1
    assert result.out.startswith("n.ipynb:cell 4:2:5: GF301 [*] ")
    full = gradfix("check", "n.ipynb").out.splitlines()
    assert full[0].startswith("n.ipynb:cell 4:2:5: GF301 [*] ")
    assert full[2] == "2 | w = torch.tensor([a, a])"
    assert any(line.startswith("  = because: cell 2, line 3: ") for line in full)
    assert "3 | a = torch.nn.Parameter(torch.rand(()))" in full


def test_json(project: Path, gradfix: Gradfix) -> None:
    write(project / "n.ipynb", LEAVES, FAULT, "f(:")
    document = json.loads(gradfix("check", "--output-format", "json").out)
    (finding,) = document["findings"]
    assert (finding["filename"], finding["cell"]) == ("n.ipynb", 3)
    assert finding["location"] == {"row": 2, "column": 5}
    assert finding["because"][0].items() >= {"cell": 2, "row": 3}.items()
    (edit,) = finding["fix"]["edits"]
    assert (edit["cell"], edit["location"]["row"]) == (3, 2)
    (error,) = document["errors"]
    assert (error["filename"], error["cell"], error["row"]) == ("n.ipynb", 4, 1)
    assert document["stale_outputs"] == []
    document = json.loads(gradfix("apply", "--output-format", "json").out)
    assert document["findings"][0]["fix"]["applied"]
    assert document["findings"][0]["cell"] == 3
    assert document["stale_outputs"] == [{"filename": "n.ipynb", "cells": [3, 4]}]


def test_annotations_stand_at_the_top_of_the_file(project: Path, gradfix: Gradfix) -> None:
    write(project / "n.ipynb", LEAVES, FAULT, "f(:")
    first, second = gradfix("check", "--output-format", "github").out.splitlines()
    assert ",file=n.ipynb,line=1,col=1,endLine=1,endColumn=1::GF301 cell 3:2:5: " in first
    assert ",file=n.ipynb,line=1::cell 4:1: invalid syntax" in second


def test_apply_changes_one_line_and_says_what_is_stale(project: Path, gradfix: Gradfix) -> None:
    raw = write(project / "n.ipynb", LEAVES, FAULT, "w")
    result = gradfix("apply", "n.ipynb", "--show-fixes")
    assert result.code == 0
    assert "Fixed in n.ipynb:\n    cell 3:2: GF301 tensor-rewrap" in result.err
    assert (
        "n.ipynb: the stored outputs of cells 3, 4 are older than the code; run the notebook again"
    ) in result.err
    assert (project / "n.ipynb").read_bytes() == raw.replace(b"torch.tensor(", b"torch.stack(")
    again = gradfix("apply", "n.ipynb")
    assert (again.code, again.out) == (0, "")
    assert "stored outputs" not in again.err
    assert "Nothing found in 1 file." in again.err


def test_nothing_is_stale_where_nothing_is_stored(project: Path, gradfix: Gradfix) -> None:
    write(project / "n.ipynb", LEAVES, FAULT, outputs=False)
    assert "stored outputs" not in gradfix("apply").err


def test_a_dry_run_shows_each_cell(project: Path, gradfix: Gradfix) -> None:
    raw = write(
        project / "n.ipynb", LEAVES, FAULT, "x = 1", "T = torch.nn.Parameter(a.data).view(1)"
    )
    put(project, m=FAULTY)
    result = gradfix("apply", "--dry-run")
    assert result.code == 1
    shown = result.out.replace("\t\n", "\n")
    assert (
        "--- a/n.ipynb:cell 3\n+++ b/n.ipynb:cell 3\n@@ -1,3 +1,3 @@\n %precision 3\n"
        "-w = torch.tensor([a, a])\n+w = torch.stack([a, a])\n w.sum().backward()\n"
    ) in shown
    assert "--- a/n.ipynb:cell 5\n" in shown
    assert "No newline" not in shown
    assert "--- a/m.py\n" in shown
    assert "the stored outputs of cells 3, 4, 5 would be older than the code\n" in result.err
    assert (project / "n.ipynb").read_bytes() == raw


def test_a_cell_that_does_not_parse_is_an_error_and_the_rest_is_done(
    project: Path, gradfix: Gradfix
) -> None:
    raw = write(project / "n.ipynb", LEAVES, "x = 1\nprint 'old'", FAULT)
    result = gradfix("apply")
    assert result.code == 2
    assert "n.ipynb:cell 3:2: error: invalid syntax" in result.err
    assert (project / "n.ipynb").read_bytes() == raw.replace(b"torch.tensor(", b"torch.stack(")


def test_what_is_no_notebook_is_an_error(project: Path, gradfix: Gradfix) -> None:
    (project / "n.ipynb").write_text('{"cells":\n torch}')
    result = gradfix("check", ".")
    assert (result.code, "n.ipynb:2: error: not a notebook: " in result.err) == (2, True)


def test_folders_hold_notebooks_that_do_not_concern_us(project: Path, gradfix: Gradfix) -> None:
    (project / "n.ipynb").write_text("{")
    write(project / "sub.ipynb", "%%bash\nls", outputs=False)
    folder = project / ".ipynb_checkpoints"
    folder.mkdir()
    write(folder / "n.ipynb", LEAVES, FAULT)
    assert gradfix("check").code == 0


def test_other_languages_are_left_alone(project: Path, gradfix: Gradfix) -> None:
    document = notebook("torch <- function(x) x")
    document["metadata"] = {"kernelspec": {"language": "R", "name": "ir"}}
    (project / "n.ipynb").write_text(json.dumps(document))
    assert gradfix("check", "n.ipynb").code == 0


def test_standard_input(project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = json.dumps(notebook(LEAVES, FAULT), indent=2).encode()

    def given(*arguments: str) -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        return gradfix(*arguments, "-", "--stdin-filename", "dir/x.ipynb")

    result = given("check", "--output-format", "concise")
    assert (result.code, result.out[:25]) == (1, "dir/x.ipynb:cell 3:2:5: G")
    result = given("apply")
    assert result.code == 0
    assert result.out.encode() == raw.replace(b"torch.tensor(", b"torch.stack(")
    assert "--- a/dir/x.ipynb:cell 3" in given("apply", "--diff").out


def test_a_notebook_that_cannot_be_written_keeps_its_findings(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write(project / "n.ipynb", LEAVES, FAULT)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    result = gradfix("apply", "--output-format", "concise")
    assert result.code == 2
    assert "n.ipynb:cell 3:2:5: GF301 " in result.out
    assert "read-only" in result.err
    assert (project / "n.ipynb").read_bytes() == raw


def test_imports_beside_a_notebook_are_followed(project: Path, gradfix: Gradfix) -> None:
    put(project, leaves="import torch\na = torch.nn.Parameter(torch.rand(()))\n")
    write(project / "n.ipynb", "import torch\nfrom leaves import a", FAULT)
    result = gradfix("check", "--output-format", "concise")
    assert result.out.startswith("n.ipynb:cell 3:2:5: GF301 ")


def test_the_flow_view_says_that_it_reads_no_notebooks(project: Path, gradfix: Gradfix) -> None:
    write(project / "n.ipynb", LEAVES)
    result = gradfix("check", "--explain-flow", "n.ipynb:1")
    assert (result.code, result.err) == (2, "error: --explain-flow does not read notebooks\n")


def test_verification_leaves_notebooks_to_their_kernels(project: Path, gradfix: Gradfix) -> None:
    raw = write(project / "n.ipynb", LEAVES, FAULT)
    result = gradfix("apply", "--verify")
    assert result.code == 0
    assert "n.ipynb: applied, not verified: the cells of a notebook are run by its" in result.err
    assert (project / "n.ipynb").read_bytes() == raw.replace(b"torch.tensor(", b"torch.stack(")
