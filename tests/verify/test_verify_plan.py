"""Reading without running: which classes, which call sites, where a file is importable from."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from gradfix.verify.merge import merged, settled
from gradfix.verify.plan import ClassPlan, plan
from gradfix.verify.results import ParameterResult, TargetResult, status_of
from gradfix.verify.targets import locate
from gradfix.verify.workspace import workspace


def planned(text: str) -> dict[str, ClassPlan]:
    return {c.name: c for c in plan(ast.parse(textwrap.dedent(text)))}


@pytest.mark.parametrize(
    ("text", "certain"),
    [
        ("import torch\nclass A(torch.nn.Module): pass", True),
        ("import torch as t\nclass A(t.nn.Module): pass", True),
        ("from torch import nn\nclass A(nn.Module): pass", True),
        ("import torch.nn as nn\nclass A(nn.Sequential): pass", True),
        ("from torch.nn import Module as M\nclass A(M): pass", True),
        ("from torch import nn\nclass B(nn.Module): pass\nclass A(B): pass", True),
        ("from torch import nn\ntry:\n    class A(nn.Module): pass\nexcept E: pass", True),
        ("from .base import Net\nclass A(Net): pass", False),
        ("import lightning.pytorch as pl\nclass A(pl.LightningModule): pass", True),
        ("class A(make_base()): pass", False),
        ("class A: pass", None),
        ("class A(dict): pass", None),
        ("import torch\nclass A(torch.autograd.Function): pass", None),
        ("import torch\nclass A(torch.utils.data.Dataset): pass", None),
        ("import enum\nclass A(enum.Enum): pass", None),
        ("class A(A): pass", None),
    ],
)
def test_which_classes_are_modules(text: str, certain: bool | None) -> None:
    found = planned(text).get("A")
    assert (found.certain if found else None) == certain


def test_abstract_classes_and_what_they_offer() -> None:
    found = planned("""
        from torch import nn
        class Base(nn.Module):
            def forward(self, x):
                "To be defined."
                raise NotImplementedError
        class Real(Base):
            @property
            def scale(self):
                return self.raw.exp()
            def forward(self, x):
                return x
            def loss(self, x):
                return x.sum()
            def predict(self, x):
                return x
            def reset_parameters(self):
                return None
    """)
    assert found["Base"].abstract
    assert not found["Real"].abstract
    assert found["Real"].properties == ("scale",)
    assert found["Real"].methods == ("loss",)


def test_call_sites_bring_what_they_need() -> None:
    found = planned("""
        from torch import nn
        class Net(nn.Module):
            pass
        WIDTH = 3
        def main():
            noise = load()
            batch = 2 * WIDTH
            x = torch.randn(batch, 4)
            net = Net(WIDTH, deep=True)
            y = net(x, scale=0.5)
    """)
    [site] = found["Net"].sites
    assert site.init == "Net(WIDTH, deep=True)"
    assert site.setup == ("batch = 2 * WIDTH", "x = torch.randn(batch, 4)")
    assert (site.inputs, site.kwargs) == (("x",), (("scale", "0.5"),))


def make(folder: Path, *files: str) -> None:
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


@pytest.mark.parametrize(
    ("files", "path", "text", "module", "entry", "root"),
    [
        (["m.py"], "m.py", "", "m", ".", "."),
        (["a/__init__.py", "a/b/__init__.py"], "a/b/m.py", "", "a.b.m", ".", "."),
        (["pyproject.toml", "src/a/__init__.py"], "src/a/m.py", "", "a.m", "src", "."),
        (["pyproject.toml", "tools/x.py"], "tools/m.py", "", "m", "tools", "."),
        (["pyproject.toml"], "a/m.py", "from .x import y", "a.m", ".", "."),
        (["a/__init__.py"], "a/__init__.py", "", "a", ".", "."),
    ],
)
def test_where_a_file_is_importable_from(
    tmp_path: Path, files: list[str], path: str, text: str, module: str, entry: str, root: str
) -> None:
    make(tmp_path, *files, path)
    found = locate(tmp_path / path, ast.parse(text))
    assert found.module == module
    assert found.entry == (tmp_path / entry).resolve()
    assert found.root == (tmp_path / root).resolve()


def test_a_working_copy_comes_and_goes(tmp_path: Path) -> None:
    make(tmp_path, "a/m.py", ".git/config", "env/pyvenv.cfg", "env/lib.py", "a/__pycache__/m.pyc")
    with workspace(tmp_path) as space:
        copy = space.project
        assert space.copied and space.complete
        assert [p.relative_to(copy).as_posix() for p in copy.rglob("*.*")] == ["a/m.py"]
        assert space.inside(tmp_path / "a" / "m.py") == copy / "a" / "m.py"
        assert space.inside(Path("/elsewhere/x.py")) == Path("/elsewhere/x.py")
    assert not copy.exists()


def verdict(name: str, word: str, exercised: bool = True) -> ParameterResult:
    return ParameterResult(name, (), True, word, exercised=exercised)


@pytest.mark.parametrize(
    ("runs", "word"),
    [
        ([("ok", True), ("severed", True)], "ok"),
        ([("ok", True), ("wrong", True)], "wrong"),
        ([("unused", False), ("ok", True)], "ok"),
        ([("inconclusive", False), ("ok", True)], "ok"),
        ([("inconclusive", True), ("ok", True)], "inconclusive"),
        ([("zero", False), ("severed", True)], "severed"),
    ],
)
def test_several_runs_make_one_verdict(runs: list[tuple[str, bool]], word: str) -> None:
    found = merged([(verdict("w", w, e),) for w, e in runs])
    assert [p.verdict for p in found] == [word]
    assert merged([(verdict("w", w, e),) for w, e in reversed(runs)]) == found


def test_status_follows_from_the_verdicts() -> None:
    frozen = ParameterResult("f", (), False, "inconclusive")
    assert status_of(()) == "passed"
    assert status_of((frozen, verdict("w", "ok"))) == "passed"
    assert status_of((verdict("v", "inconclusive"), verdict("w", "ok"))) == "not_verified"
    assert status_of((verdict("v", "inconclusive"), verdict("w", "zero"))) == "failed"
    assert settled((frozen, verdict("w", "ok"))) and not settled((verdict("w", "ok", False),))


def test_results_survive_the_pipe() -> None:
    result = TargetResult("m.py:A", "failed", parameters=(verdict("w", "severed"),))
    assert TargetResult.from_json(result.to_json()) == result
