"""What the analysis leaves undone, and what it lets go: neither changes what it says."""

from __future__ import annotations

import ast
import gc
import os
import weakref
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from gradfix import batch, engine, flow, registry, words
from gradfix.config import settings_from
from gradfix.files import Found
from gradfix.flow import project as project_module
from gradfix.flow.callers import facts_of_callers
from gradfix.flow.facts import Parents
from gradfix.flow.nodes import children
from gradfix.flow.project import Project
from gradfix.flow.telling import Telling
from gradfix.model import Source

MODEL = """\
import torch
from torch import nn

OFFSETS = {"a": 1}


class Net(nn.Module):
    def __init__(self, size: int):
        super().__init__()
        self.layer = nn.Linear(size, size)
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, x, names=("a",)):
        out = {}
        count = 0
        for name in names:
            count += 1
            out[name] = self.layer(x) * self.scale + OFFSETS[name]
        return out

    @torch.no_grad()
    def reset(self):
        nn.init.ones_(self.scale)

    def spoil(self, x):
        y = torch.exp(self.layer(x))
        y += 1
        return y
"""


#: Parts of one statement, and writes to arguments, that might know of each other.
HANDED = "import torch\n" + "".join(f"""
def spread{number}(x, rows):
    x.mul_(2)
    low, high = x.min() - rows, x.max() + rows
    return low, high


def use{number}(w):
    y = torch.exp(w)
    spread{number}(y, 1)
    return y
""" for number in range(20))


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_functions_that_only_compute_are_left_out_until_somebody_asks() -> None:
    facts = flow.analyse(MODEL)
    told = [scope.name for scope in facts.scopes if isinstance(scope.node, ast.FunctionDef)]
    # The constructor says what ``self.layer`` is.
    assert sorted(told) == ["__init__", "spoil"]
    facts.complete()
    everything = {scope.name for scope in facts.scopes}
    assert {"forward", "reset"} <= everything


@pytest.mark.parametrize(("more", "asked"), [("", False), ("from torch import optim\n", True)])
def test_callers_are_interpreted_only_where_a_leaf_may_be_known(more: str, asked: bool) -> None:
    text = f"import torch\n{more}" + """
def added(x, y):
    x += y
    return x

def use(x):
    return added(x, x)
"""
    facts = flow.analyse(text)
    assert facts_of_callers(facts) is None
    assert any(scope.name == "use" for scope in facts.scopes) is asked


def test_facts_are_taken_apart_without_a_collector(uncollected: None) -> None:
    facts = flow.analyse(MODEL)
    trees = weakref.ref(facts)
    facts.release()
    del facts
    assert trees() is None


def test_a_run_leaves_nothing_for_a_collector(uncollected: None, tmp_path: Path) -> None:
    for path, text in TEXTS.items():
        tmp_path.joinpath(os.path.basename(path)).write_text(text, encoding="utf-8")
    model = MODEL.replace("y += 1", "self.parts = [self.layer]")
    tmp_path.joinpath("model.py").write_text(model, encoding="utf-8")
    tmp_path.joinpath("handed.py").write_text(HANDED, encoding="utf-8")
    found = [Found(str(path), path.name, settings_from()) for path in sorted(tmp_path.iterdir())]
    done = list(batch.run(found, rewriting=False, roots=[str(tmp_path)]))
    assert sum(len(each.outcome.findings) for each in done) >= 6
    gc.collect()  # what importing the analysis leaves
    done = list(batch.run(found, rewriting=False, roots=[str(tmp_path)]))
    assert not any(each.crash for each in done)
    assert gc.collect() < 100  # a tree alone has thousands of nodes and lists


class Searched(str):
    """A text that counts how often a word is looked for in all of it."""

    counts: ClassVar[Counter[str]] = Counter()

    def __contains__(self, word: str) -> bool:  # type: ignore[override]
        self.counts[word] += 1
        return super().__contains__(word)


def test_a_word_that_many_filters_want_is_looked_for_once() -> None:
    Searched.counts.clear()
    words.mentions.cache_clear()
    text = Searched(MODEL + "# as no other text\n")
    for codemod in registry.codemods():
        codemod.trigger.search(text)
    telling = Telling(text, text.split("\n"))
    for node in ast.walk(ast.parse(MODEL)):
        if isinstance(node, ast.FunctionDef):
            telling.function(node)
    assert words.mentions.cache_info().misses > 50
    assert set(Searched.counts.values()) == {1}
    assert len(Searched.counts) < 20  # the others in what the text is made up of


@pytest.mark.parametrize("before", [0, words._OFTEN, 20])
@pytest.mark.parametrize(
    "word", ["a.b(", "b(c", ") d", " d", "d\te", "e\nf", "f", "f\n", "", "\n", "af", "x y", "f x"]
)
def test_a_word_is_found_however_many_were_looked_for(word: str, before: int) -> None:
    text = "a.b(c) d\te\nf x  y\n"
    words.mentions.cache_clear()
    words._asked.cache_clear()
    assert not any(words.mentions(text, f"no{number}") for number in range(before))
    assert words.mentions(text, word) == (word in text)


def test_parents_are_found_by_function() -> None:
    tree = ast.parse(MODEL)
    (net,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    *_, reset, spoil = (node for node in net.body if isinstance(node, ast.FunctionDef))
    parents = Parents(tree)
    assert parents[spoil.body[0]] is spoil and parents[spoil] is net and parents[net] is tree
    known = len(parents._known)
    assert not any(node in parents._known for node in ast.walk(reset) if node is not reset)
    assert (
        dict(parents) == {child: node for node in ast.walk(tree) for child in children(node)}
        and len(parents) > known
    )


# -- a project larger than what may be kept ----------------------------------------------------

BASE = "import torch\nfrom torch import nn\n\nclass Base(nn.Module):\n{pad}    pass\n"
CHILD = """\
from base{number} import Base
from common import squash
import torch


class Net(Base):
    def __init__(self):
        super().__init__()
        self.parts = [torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)]

    def forward(self, x):
        y = squash(self.parts[1](self.parts[0](x)))
        return y
"""
TEXTS = {
    "/p/common.py": "import torch\n\ndef squash(x):\n    return torch.sigmoid(x)\n",
    **{f"/p/base{n}.py": BASE.format(pad=f"    '{n:0200}'\n") for n in range(6)},
    **{f"/p/m{n}.py": CHILD.format(number=n) for n in range(6)},
}


def checked(kept: int, monkeypatch: pytest.MonkeyPatch) -> tuple[list[list[str]], list[str], int]:
    """Codes by file, every file that was parsed for others, and the most text held at once."""
    monkeypatch.setattr(project_module, "_KEPT", kept)
    parsed: list[str] = []
    original = project_module._parsed

    def counted(path: str, text: str) -> object:
        parsed.append(path)
        return original(path, text)

    monkeypatch.setattr(project_module, "_parsed", counted)
    project, held, codes = Project(TEXTS.get, ["/p"]), 0, []
    for number in range(6):
        path = f"/p/m{number}.py"
        outcome = engine.check(Source(path, TEXTS[path]), settings_from(), view=project.at(path))
        assert not outcome.failures
        codes.append([finding.code for finding in outcome.findings])
        held = max(held, project.held)
    monkeypatch.setattr(project_module, "_parsed", original)
    return codes, parsed, held


def test_cold_files_go_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    everything, once, most = checked(10**6, monkeypatch)
    assert everything == [["GF105"]] * 6
    assert len(once) == len(set(once))
    few, parsed, held = checked(700, monkeypatch)
    assert few == everything
    assert held < most
    # What all of them use is always in use; a cold file is not asked for again.
    assert sorted(parsed) == sorted(once)
