"""Made-up git repositories, campaigns over them, and the command line in process."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from gradfix import cli
from gradfix.migrate import applying
from gradfix.migrate.process import Limits

#: One GF301 with a safe fix.
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
MENDED = FAULTY.replace("torch.tensor([", "torch.stack([")
FINE = "import torch\n\nx = torch.rand(3)\n"
UNFIXABLE = "x = 1  # noqa: GF301\n"  # a finding without a fix
PYTHON_2 = "import torch\nprint 'torch.tensor'\n"

WHO = ("-c", "user.name=Tess Ter", "-c", "user.email=tess@example.org")


class Ran(NamedTuple):
    code: int
    out: str
    err: str


def git(folder: Path, *arguments: str) -> str:
    """What a git command says in a repository."""
    done = subprocess.run(
        ["git", *WHO, *arguments], cwd=folder, check=True, capture_output=True, timeout=60
    )
    return done.stdout.decode()


def repository(folder: Path, files: Mapping[str, str | bytes] | None = None) -> Path:
    """A repository with one commit of these files (by default, of the faulty one)."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    put(folder, files if files is not None else {"m.py": FAULTY})
    commit(folder, "first")
    return folder


def put(folder: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def commit(folder: Path, message: str) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "--allow-empty", "-m", message)
    return git(folder, "rev-parse", "HEAD").strip()


def branches(folder: Path) -> list[str]:
    return git(folder, "for-each-ref", "--format=%(refname:short)", "refs/heads").split()


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of the test is the working folder; the developer's git is out of sight."""
    for variable in ("NO_COLOR", "FORCE_COLOR", "GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(variable, raising=False)
    config = tmp_path / "gitconfig"
    config.write_text("[user]\n\tname = Uma User\n\temail = uma@example.org\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def quick(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """In process, `gradfix apply` is replaced by what it does with FAULTY, unless ``really``."""
    if "really" not in request.fixturenames:
        monkeypatch.setattr(applying, "_run", mended)


@pytest.fixture
def really() -> None:
    """For tests of what only the real `gradfix apply` does; it takes a second each time."""


def mended(arguments: list[str], checkout: Path, limits: Limits) -> dict[str, Any]:
    """Mend the one fault of FAULTY in a checkout, and report it as `gradfix apply` does."""
    findings = []
    cut = arguments.index("--")
    tops = [checkout / path for path in arguments[cut + 1 :]]
    files = sorted(path for top in tops for path in top.rglob("*.py") if not path.is_symlink())
    for path in files if "--ignore" not in arguments[:cut] else ():
        before = path.read_bytes()
        after = before.replace(b"torch.tensor([", b"torch.stack([")
        if after != before:
            path.write_bytes(after)
            fix = {"applicability": "safe", "applied": True, "verification": None, "title": "keep"}
            findings.append(
                {
                    "code": "GF301",
                    "name": "tensor-rewrap",
                    "cell": None,
                    "fix": fix,
                    "filename": path.relative_to(checkout).as_posix(),
                    "message": "cut",
                    "location": {"row": 12, "column": 9},
                    "not_fixed_reason": None,
                }
            )
    return {"findings": findings, "errors": [], "summary": {"files": len(files)}}


@pytest.fixture
def migrate(capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs ``gradfix migrate`` in process."""

    def run(*arguments: str) -> Ran:
        capfd.readouterr()
        code = cli.run(["migrate", *arguments])
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def outcome(migrate: Callable[..., Ran]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Runs ``gradfix migrate`` and reads its JSON, the repositories under their names."""

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        ran = migrate(*arguments, "--output-format", "json", "-q")
        document = json.loads(ran.out)
        return ran.code, {**document, **{r["name"]: r for r in document["repositories"]}}

    return run


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it has just ended, unless there is no such folder at all
        return not Path("/proc/self").exists()


def campaign(tmp_path: Path, text: str) -> str:
    (tmp_path / "c.toml").write_text(text)
    return "c.toml"


def everything(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with its content and the time it was written."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
