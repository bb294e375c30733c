"""What is shipped: the wheel, also when built from the sdist, holds all that gradfix needs."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BUILD = (
    "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
)


def build(kind: str, project: Path, out: Path) -> Path:
    """Run one build hook in a folder, as a build front end would, without network."""
    out.mkdir()
    subprocess.run(
        [sys.executable, "-c", BUILD, f"build_{kind}", str(out)],
        cwd=project,
        check=True,
        capture_output=True,
    )
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from an sdist built from a copy, so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("packaging")
    copy = folder / "copy"
    copy.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in ("gradfix", "codemods"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    sdist = build("sdist", copy, folder / "sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return build("wheel", unpacked, folder / "wheel")


def expected_files() -> set[str]:
    """Where each file of the two source folders must be found in the wheel."""
    found = set()
    for folder, package in ((ROOT / "gradfix", "gradfix"), (ROOT / "codemods", "gradfix/codemods")):
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found.add(f"{package}/{path.relative_to(folder).as_posix()}")
    return found


def test_the_wheel_holds_every_file(wheel: Path) -> None:
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped == expected_files()


def test_what_must_be_there_is_expected() -> None:
    expected = expected_files()
    assert {"gradfix/py.typed", "gradfix/codemods/__init__.py"} <= expected
    assert any(name.startswith("gradfix/flow/") and name.endswith(".json") for name in expected)


def test_the_wheel_brings_no_top_level_codemods(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"gradfix"}


def test_the_wheel_has_licence_and_command(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    names = {name.partition(".dist-info/")[2]: name for name in archive.namelist()}
    assert "licenses/LICENSE" in names
    assert "gradfix = gradfix.__main__:main" in archive.read(names["entry_points.txt"]).decode()
    assert callable(importlib.import_module("gradfix.__main__").main)


def test_an_installed_wheel_finds_its_codemods(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    program = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import gradfix, gradfix.registry as registry\n"
        "print(gradfix.__file__, *sorted(c.__module__ for c in registry.codemods()), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    origin, *modules = done.stdout.splitlines()
    assert Path(origin).is_relative_to(site)
    wanted = {path.stem for path in (ROOT / "codemods").glob("*.py")} - {"__init__"}
    assert modules == sorted(f"gradfix.codemods.{name}" for name in wanted)


def test_this_environment_uses_the_checkout() -> None:
    package = importlib.import_module("gradfix.codemods")
    assert Path(str(package.__file__)) == ROOT / "codemods" / "__init__.py"
