"""The programs in ``fixtures/<codemod>/<case>``: before.py becomes after.py, and torch agrees.

A case whose name ends with ``_unsafe`` needs ``--unsafe-fixes``.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import check_transformed
from snippets import Case

from gradfix import registry

FIXTURES = Path(__file__).parents[2] / "fixtures"
#: What the programs of a codemod suffer from, if no gradient is None; see `harness.FAULTS`.
FAULTS = {
    "self_reassignment": "none",
    "transform_after_wrap": "none",
    "manual_update": "raises",
    "slice_aliasing": "values",
    "overwritten_saved_tensor": "raises",
    "inplace_on_leaf": "raises",
    "tensor_rewrap": "raises",
    "fill_assembly": "works",
    "legacy_variable": "raises",
}
FOLDERS = sorted(path.parent for path in FIXTURES.glob("*/*/before.py"))


def case_in(folder: Path) -> Case:
    """A folder's two programs as a case; the variants of other tables do not apply to programs."""
    flags = {FAULTS.get(folder.parent.name, "none"), "plain"}
    if folder.name.endswith("_unsafe"):
        flags.add("unsafe")
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("before.py", "after.py")]
    return Case(folder.name, frozenset(flags), *texts)


def code_of(folder: Path) -> str:
    codemod = registry.codemod_for(folder.parent.name.replace("_", "-"))
    assert codemod is not None, "the folder is not named after a codemod"
    return codemod.code


def test_every_listed_codemod_has_a_fixture() -> None:
    assert {folder.parent.name for folder in FOLDERS} >= FAULTS.keys()


@pytest.mark.parametrize(
    "folder", FOLDERS, ids=lambda folder: f"{folder.parent.name}-{folder.name}"
)
def test_fixture(folder: Path) -> None:
    check_transformed(case_in(folder), code_of(folder))
