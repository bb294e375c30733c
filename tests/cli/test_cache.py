"""The cache: it saves work, and never changes what is said."""

from __future__ import annotations

import json
import math
import os
import random
import sqlite3
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import gradfix as package
from gradfix import cache, engine, jobs
from gradfix.model import Edit, EditKind, Finding, Fix, Note, Span
from gradfix.records import plain, restored

from .conftest import ALONE, ALONE_MENDED, FAULTY, MENDED, PYTHON_2, UNFIXABLE, Renames, Result, put

Gradfix = Callable[..., Result]
DATABASE = Path(".gradfix_cache") / "checked-2.sqlite"

#: Whether there is a finding depends on what the import means: a list of layers, or of numbers.
NET = """\
import torch
from torch import nn

from {module} import Cell


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells = [Cell() for _ in range(2)]

    def forward(self, x):
        for cell in self.cells:
            x = cell(x)
        return x
"""
LAYER = """\
import torch
from torch import nn


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 3)

    def forward(self, x):
        return self.line(x)
"""
NO_LAYER = "class Cell:\n    pass\n"


@pytest.fixture
def analysed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were analysed, not taken from the cache."""
    names: list[str] = []
    for work in ("check", "fix"):
        original = getattr(engine, work)

        def watched(source, *rest, original=original, **more):  # type: ignore[no-untyped-def]
            names.append(source.filename)
            return original(source, *rest, **more)

        monkeypatch.setattr(engine, work, watched)
    monkeypatch.setattr(jobs, "PATIENCE", math.inf)  # on a busy machine workers would do some
    return names


def found(gradfix: Gradfix, *arguments: str) -> list[str]:
    """File and code of every finding, with the cache in use."""
    document = json.loads(gradfix("check", "--output-format", "json", *arguments).out)
    return [f"{finding['filename']} {finding['code']}" for finding in document["findings"]]


# -- hits and misses ------------------------------------------------------------------------------


def test_nothing_is_analysed_twice(project: Path, gradfix: Gradfix, analysed: list[str]) -> None:
    put(project, m=FAULTY, n=MENDED, unused=UNFIXABLE)
    first = gradfix("check")
    assert analysed == ["m.py", "n.py", "unused.py"]
    assert gradfix("check") == first
    assert len(analysed) == 3
    assert gradfix("check", "--no-cache") == first
    assert len(analysed) == 6


@pytest.mark.parametrize("kind", ["full", "json", "sarif", "junit"])
def test_reports_are_the_same_from_the_cache(kind: str, project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, net=NET.format(module="cells"), cells=LAYER, bad=PYTHON_2)
    wanted = gradfix("check", "--no-cache", "--output-format", kind)
    assert gradfix("check", "--output-format", kind) == wanted
    assert gradfix("check", "--output-format", kind) == wanted


def test_a_changed_file_is_analysed_again(
    project: Path, gradfix: Gradfix, analysed: list[str]
) -> None:
    put(project, m=ALONE, n=ALONE, clean=LAYER)
    gradfix("check")
    put(project, m=ALONE_MENDED)
    analysed.clear()
    assert gradfix("check").out.startswith("n.py:")
    assert analysed == ["m.py", "n.py"]  # any file may change what a fix rests on
    put(project, m=ALONE)
    assert gradfix("check").out.startswith("m.py:")


def test_other_settings_are_other_results(
    project: Path, gradfix: Gradfix, analysed: list[str]
) -> None:
    put(project, m=FAULTY)
    assert found(gradfix) == ["m.py GF301"]
    assert found(gradfix, "--select", "GF1") == []
    (project / "gradfix.toml").write_text('extend-unsafe-fixes = ["GF301"]\n')
    assert "[*]" not in gradfix("check").out
    (project / "gradfix.toml").write_text('per-file-ignores = { "m.py" = ["GF301"] }\n')
    assert found(gradfix) == []
    (project / "gradfix.toml").write_text('extend-exclude = ["elsewhere/"]\n')
    analysed.clear()
    assert found(gradfix) == ["m.py GF301"]
    assert analysed == []  # what is excluded does not change what is found


def test_another_version_begins_anew(
    project: Path, gradfix: Gradfix, analysed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, m=FAULTY)
    gradfix("check")
    monkeypatch.setattr(package, "__version__", "0.0.1")
    cache._stamp.cache_clear()
    gradfix("check")
    assert analysed == ["m.py", "m.py"]
    monkeypatch.undo()
    cache._stamp.cache_clear()


def test_other_codemods_begin_anew(
    project: Path, gradfix: Gradfix, only_codemods: Callable[..., None]
) -> None:
    class Others(Renames):
        code = "GF992"
        old = "other"

    put(project, m="old(1)\nother(1)\n")
    only_codemods(Renames)
    assert found(gradfix) == ["m.py GF991"]
    only_codemods(Renames, Others)
    assert found(gradfix) == ["m.py GF991", "m.py GF992"]


def test_moved_folders_and_other_working_folders_keep_names_right(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".git").mkdir()
    (project / "src").mkdir()
    put(project / "src", m=FAULTY)
    assert gradfix("check", "src").out.startswith("src/m.py:")
    monkeypatch.chdir(project / "src")
    assert gradfix("check", ".").out.startswith("m.py:")
    assert gradfix("check", "../src").out.startswith("m.py:")
    monkeypatch.chdir(project)
    (project / "src").rename(project / "lib")
    assert gradfix("check", "lib").out.startswith("lib/m.py:")
    assert [path.name for path in project.iterdir() if "cache" in path.name] == [".gradfix_cache"]


# -- what a result depends on ---------------------------------------------------------------------


def test_who_else_is_there_decides_what_is_found(
    project: Path, gradfix: Gradfix, analysed: list[str]
) -> None:
    """A file that trains the layers of a list comes, and goes again."""
    put(project, cells=LAYER, net=NET.format(module="cells"))
    assert found(gradfix) == found(gradfix) == ["net.py GF105"]
    assert analysed.count("net.py") == 1
    train = "from net import Net\nws = [p for c in Net().cells for p in c.parameters()]\n"
    put(project, train=train)
    assert found(gradfix) == found(gradfix) == []
    assert analysed.count("net.py") == 2
    (project / "train.py").unlink()
    assert found(gradfix) == ["net.py GF105"]


def test_an_imported_module_that_changes_goes_or_comes(
    project: Path, gradfix: Gradfix, analysed: list[str]
) -> None:
    put(project, net=NET.format(module="cells"), other=ALONE)
    other = ["other.py GF301"]
    assert found(gradfix) == other  # nobody knows what a Cell is
    put(project, cells=LAYER)
    assert found(gradfix) == ["net.py GF105", *other]
    analysed.clear()
    assert found(gradfix) == ["net.py GF105", *other]
    assert analysed == []
    put(project, cells=NO_LAYER)
    assert found(gradfix) == other
    assert "other.py" in analysed  # it has a fix, and any file may change what that rests on
    put(project, cells=LAYER)
    assert found(gradfix) == ["net.py GF105", *other]
    (project / "cells.py").unlink()
    assert found(gradfix) == other


def test_a_module_behind_a_module_counts_too(project: Path, gradfix: Gradfix) -> None:
    put(project, net=NET.format(module="middle"), middle="from cells import *\n", cells=LAYER)
    assert found(gradfix) == ["net.py GF105"]
    put(project, cells=NO_LAYER)
    assert found(gradfix) == []


def test_a_package_that_hides_a_module_counts_too(project: Path, gradfix: Gradfix) -> None:
    put(project, net=NET.format(module="cells"), cells=LAYER)
    assert found(gradfix) == ["net.py GF105"]
    (project / "cells").mkdir()
    put(project / "cells", __init__=NO_LAYER)
    assert found(gradfix) == []


def test_a_second_meaning_of_an_import_counts_too(project: Path, gradfix: Gradfix) -> None:
    (project / "src").mkdir()
    put(project, net=NET.format(module="cells"), cells=LAYER)
    assert found(gradfix) == ["net.py GF105"]
    put(project / "src", cells=NO_LAYER)  # it might be this one
    assert found(gradfix) == []


def test_where_imports_start_counts_for_every_file_of_a_folder(
    project: Path, gradfix: Gradfix
) -> None:
    inner = project / "a" / "b"
    inner.mkdir(parents=True)
    put(inner, __init__="", one=NET.format(module="cells"), two=NET.format(module="others"))
    put(project / "a", cells=LAYER, others=LAYER)
    assert found(gradfix) == ["a/b/one.py GF105", "a/b/two.py GF105"]
    put(project / "a", __init__="")  # a package now, and no place that imports start from
    assert found(gradfix) == []


MODULES = (
    "cells.py",
    "cells/__init__.py",
    "src/cells.py",
    "pkg/__init__.py",
    "pkg/cells.py",
    "__init__.py",
)
TEXTS = (
    *[LAYER] * 4,
    NO_LAYER,
    "from pkg.cells import *\n",
    "from .cells import Cell\n",
    "from . import *\n",
    "",
)


@pytest.mark.parametrize("seed", range(6))
def test_the_cache_never_changes_what_is_said(seed: int, project: Path, gradfix: Gradfix) -> None:
    """Modules come, go and change at random; with and without the cache it is the same."""
    chance = random.Random(seed)
    nets = {"net.py": "cells", "pkg/net.py": ".cells", "pkg/far.py": "pkg", "src/net.py": "cells"}
    for name, module in nets.items():
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text(NET.format(module=module))
    said = set()
    for _ in range(12):
        path = project / chance.choice(MODULES)
        if path.exists() and chance.random() < 0.4:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(chance.choice(TEXTS))
        wanted = gradfix("check", "--no-cache", "--output-format", "concise")
        assert gradfix("check", "--output-format", "concise") == wanted
        said.add(wanted.out)
    assert len(said) > 1


# -- apply ----------------------------------------------------------------------------------------


def test_apply_mends_what_check_has_kept(
    project: Path, gradfix: Gradfix, analysed: list[str]
) -> None:
    put(project, m=FAULTY, n=MENDED, unused=UNFIXABLE)
    gradfix("check")
    analysed.clear()
    dry = gradfix("apply", "--dry-run")
    assert "+        w = torch.stack(" in dry.out
    result = gradfix("apply")
    assert analysed == ["m.py", "m.py"]
    assert (project / "m.py").read_text() == MENDED
    assert result == (1, gradfix("check", "unused.py").out, result.err)
    assert "Fixed 1 finding in 1 file. Left 1 finding" in result.err
    assert found(gradfix) == ["unused.py GF900"]


def test_check_after_apply_knows_what_was_clean(
    project: Path, gradfix: Gradfix, analysed: list[str]
) -> None:
    put(project, m=MENDED)
    gradfix("apply")
    assert gradfix("check").out == ""
    assert analysed == ["m.py"]


def test_a_file_that_apply_writes_changes_those_that_import_it(
    project: Path, gradfix: Gradfix, only_codemods: Callable[..., None]
) -> None:
    only_codemods(Renames)
    put(project, a="from b import x\nnew(x)\n", b="x = old(1)\n")
    gradfix("check")
    gradfix("apply")
    assert gradfix("check").err == "Nothing found in 2 files.\n"


# -- where it lies --------------------------------------------------------------------------------


def test_it_lies_in_the_repositorys_root_and_out_of_version_control(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".git").mkdir()
    (project / "src").mkdir()
    put(project / "src", m=FAULTY)
    monkeypatch.chdir(project / "src")
    gradfix("check")
    assert sorted(path.name for path in project.iterdir()) == [".git", ".gradfix_cache", "src"]
    assert (project / ".gradfix_cache" / ".gitignore").read_text().splitlines()[-1] == "*"


def test_it_can_lie_elsewhere(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, m=FAULTY)
    gradfix("check", "--cache-dir", "kept/here")
    monkeypatch.setenv("GRADFIX_CACHE_DIR", "there")
    gradfix("check")
    assert sorted(path.name for path in project.iterdir()) == ["kept", "m.py", "there"]
    assert list((project / "kept" / "here").glob("*.sqlite"))


def test_nothing_is_written_where_nothing_is_kept(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, plain="x = 1\n", bad=PYTHON_2)
    gradfix("check")
    put(project, m=FAULTY)
    gradfix("check", "--no-cache")
    with open(project / "m.py") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        gradfix("check", "-", "--stdin-filename", "m.py")
    assert not (project / ".gradfix_cache").exists()


def test_a_file_that_cannot_be_parsed_is_said_each_time(project: Path, gradfix: Gradfix) -> None:
    put(project, bad=PYTHON_2, m=FAULTY)
    first = gradfix("check")
    assert gradfix("check") == first
    assert first.code == 2


# -- trouble --------------------------------------------------------------------------------------


def run_with_trouble(gradfix: Gradfix, project: Path) -> str:
    """One run that must say the right thing; what else it says."""
    wanted = gradfix("check", "--no-cache")
    result = gradfix("check")
    assert (result.code, result.out) == (wanted.code, wanted.out)
    *warnings, summary = result.err.splitlines(keepends=True)
    assert summary == wanted.err
    assert len(warnings) <= 1
    return "".join(warnings)


@pytest.mark.parametrize("damage", ["text", "cut", "pages"])
def test_a_damaged_cache_is_thrown_away(
    damage: str, project: Path, gradfix: Gradfix, analysed: list[str]
) -> None:
    put(project, **{f"m{number}": FAULTY for number in range(30)})
    gradfix("check")
    raw = DATABASE.read_bytes()
    if damage == "text":
        DATABASE.write_bytes(b"this is no database at all" * 100)
    elif damage == "cut":
        DATABASE.write_bytes(raw[:5000])
    else:
        DATABASE.write_bytes(raw[:100] + b"\xa5" * (len(raw) - 100))
    warning = run_with_trouble(gradfix, project)
    assert warning.startswith(f"warning: nothing is cached: {DATABASE}: ")
    assert "thrown away" in warning
    assert run_with_trouble(gradfix, project) == ""
    analysed.clear()
    assert run_with_trouble(gradfix, project) == ""
    assert len(analysed) == 30  # without the cache; with it, none


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"no zlib",
        zlib.compress(b"no json"),
        zlib.compress(b"[]"),
        zlib.compress(b"[{}, [[1, 2]]]"),
        zlib.compress(b'[{"m.py": 3}, []]'),
        zlib.compress(b"[[], [null]]"),
    ],
)
def test_a_damaged_entry_does_not_count(entry: bytes, project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    gradfix("check")
    connection = sqlite3.connect(DATABASE)
    with connection:
        assert connection.execute("UPDATE checked SET entry = ?", (entry,)).rowcount == 1
    connection.close()
    assert run_with_trouble(gradfix, project) == ""


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '[["m.py"], [null], [[7]], [[0, [0]]]]',
        '[["m.py"], [null], [], [[0, [5]]]]',
        '[["m.py"], [null], [[0]], [[0, [0]]]]',
        '[["m.py"], null, [[0]], [[0, [0]]]]',
        '[["other.py"], [null], [], [[0, []]]]',
        '[["m.py"], [null], [], {}]',
    ],
)
def test_damaged_grounds_do_not_count(
    content: str, project: Path, gradfix: Gradfix, analysed: list[str]
) -> None:
    put(project, m=FAULTY)
    gradfix("check")
    content = content.replace("m.py", str(project / "m.py"))
    connection = sqlite3.connect(DATABASE)
    with connection:
        damaged = (zlib.compress(content.encode()),)
        assert connection.execute("UPDATE grounds SET content = ?", damaged).rowcount == 1
    connection.close()
    analysed.clear()
    assert run_with_trouble(gradfix, project) == ""
    assert analysed == ["m.py", "m.py"]  # without the cache, and with it


def test_what_a_run_looked_for_is_written_down_once(
    project: Path, gradfix: Gradfix, analysed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_TOGETHER", 2)  # then four together, then eight
    chain = {
        f"m{n}": f"import torch\nfrom m{n + 1} import N\nx = torch.zeros(N)\n" for n in range(9)
    }
    put(project, **chain, m9="import torch\nN = 3\n")
    gradfix("check")
    connection = sqlite3.connect(DATABASE)
    assert connection.execute("SELECT count(*) FROM grounds").fetchone() == (1,)
    entries = [entry for (entry,) in connection.execute("SELECT entry FROM checked")]
    assert {zlib.decompress(entry) for entry in entries} == {b"[{}, []]"}
    analysed.clear()
    put(project, m5=chain["m5"] + "y = x\n")
    gradfix("check")
    assert analysed == [f"m{n}.py" for n in range(6)]
    assert connection.execute("SELECT count(*) FROM grounds").fetchone() == (2,)
    put(project, m9="import torch\nN = 4\n")
    gradfix("check")
    assert connection.execute("SELECT count(*) FROM grounds").fetchone() == (1,)
    connection.close()


def test_workers_keep_all_that_they_found(project: Path, gradfix: Gradfix) -> None:
    put(project, **{f"m{number}": f"# {number}\n{FAULTY}" for number in range(12)})
    gradfix("check", "-j", "2")
    connection = sqlite3.connect(DATABASE)
    assert connection.execute("SELECT count(*) FROM checked").fetchone() == (12,)
    connection.close()


def test_a_folder_that_cannot_be_made_is_no_trouble(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    (project / ".gradfix_cache").write_text("a file is in the way")
    assert run_with_trouble(gradfix, project).startswith("warning: nothing is cached: ")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_folder_is_no_trouble(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    gradfix("check")
    put(project, n=FAULTY)
    for path in (DATABASE, DATABASE.parent):
        path.chmod(path.stat().st_mode & ~0o222)
    assert run_with_trouble(gradfix, project).startswith("warning: nothing is cached: ")
    DATABASE.parent.chmod(0o755)


class ReadOnly(sqlite3.Connection):
    """A database that can be read and not written, as on a read-only disk."""

    def execute(self, sql, *rest):  # type: ignore[no-untyped-def]
        if sql.startswith("BEGIN"):
            raise sqlite3.OperationalError("attempt to write a readonly database")
        return super().execute(sql, *rest)


def test_a_read_only_database_is_read(
    project: Path, gradfix: Gradfix, analysed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, m=FAULTY)
    gradfix("check")
    connect = sqlite3.connect
    monkeypatch.setattr(
        cache.sqlite3, "connect", lambda *a, **k: connect(*a, **k, factory=ReadOnly)
    )
    analysed.clear()
    assert gradfix("check").err.startswith("Found 1 finding")
    assert analysed == []
    put(project, n=FAULTY)
    warning = run_with_trouble(gradfix, project)
    assert warning.endswith(": attempt to write a readonly database\n")
    assert DATABASE.exists()


def test_a_locked_database_is_no_trouble(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, m=FAULTY)
    gradfix("check")
    put(project, m=FAULTY, n=FAULTY)
    monkeypatch.setattr(cache, "_PATIENCE", 0.05)
    other = sqlite3.connect(DATABASE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert run_with_trouble(gradfix, project).endswith(": database is locked\n")
    other.execute("ROLLBACK")
    other.close()
    assert run_with_trouble(gradfix, project) == ""


def test_runs_at_the_same_time_share_it(project: Path, gradfix: Gradfix) -> None:
    put(project, **{f"m{number}": FAULTY + f"# {number}\n" for number in range(40)})
    command = [sys.executable, "-m", "gradfix", "check", "--output-format", "concise"]
    runs = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [(*process.communicate(timeout=120), process.returncode) for process in runs]
    wanted = gradfix("check", "--no-cache", "--output-format", "concise")
    assert told == [(wanted.out, wanted.err, wanted.code)] * 2
    connection = sqlite3.connect(DATABASE)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT count(*) FROM checked").fetchone() == (40,)
    connection.close()


def test_old_entries_go(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    gradfix("check")
    connection = sqlite3.connect(DATABASE)
    with connection:
        connection.execute("UPDATE checked SET made = 1000")
    put(project, m=MENDED)
    gradfix("check", "--select", "GF2")
    assert connection.execute("SELECT count(*) FROM checked").fetchone() == (1,)
    connection.close()


# -- what is written down -------------------------------------------------------------------------


def test_records_come_back_as_they_were() -> None:
    span = Span(1, 2, 3, 4)
    fix = Fix.of("mend", (Edit(EditKind.BEFORE, span, "x = 1\n\ud800"),), "it may be meant")
    finding = Finding(
        "GF101", "n", span, "m", (Note(span, "b"),), "h", fix, None, "f", 3, "p", True
    )
    for whole in (finding, Finding("GF101", "n", span, "m", not_fixed_reason="no")):
        assert restored(Finding, json.loads(json.dumps(plain(whole)))) == whole


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        "x",
        [],
        [1, 2, 3],
        ["1", 2, 3, 4],
        [1, 2, 3, None],
        [1, 2, 3, 4, 5],
        [1, 2, 3, True],
    ],
)
def test_records_of_another_shape_are_refused(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the kind of error is the contract
        restored(Span, value)
    with pytest.raises(TypeError):
        plain(object())
