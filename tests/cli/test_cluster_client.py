"""The client of a cluster and what it ships, with a scheduler that a test plays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gradfix import files
from gradfix.batch import Processed
from gradfix.cluster import client, versions, worker
from gradfix.cluster.line import Lost
from gradfix.cluster.tree import Bundle, Shipper, Tree, bundle
from gradfix.cluster.worker import Group, Refused, hold
from gradfix.config import settings_from
from gradfix.errors import GradfixError
from gradfix.job import Job
from gradfix.unwritten import Unwritten

from .conftest import FAULTY, put

distributed = pytest.importorskip("distributed")


# -- a scheduler that a test plays --------------------------------------------------------------


@dataclass
class Future:
    status: str
    value: Any = None

    def result(self, timeout: float) -> Any:
        return self.value

    def exception(self) -> Any:
        return self.value


@dataclass
class Line:
    """Does the work at once, unless ``play`` says what comes of it."""

    play: Callable[[Group], Future | None] = lambda group: None
    count: int = 2
    address: str = "tcp://stage:1"
    is_alive: bool = True
    groups: list[list[str]] = field(default_factory=list)
    opened: int = 0

    def threads(self) -> int:
        return self.count

    def open(self) -> None:
        self.opened += 1

    def close(self) -> None:
        pass

    def submit(self, work: Any, *arguments: Any, key: str, heard: Callable[[str], None]) -> Future:
        if work is hold:
            return Future("finished", arguments[0])
        group, bundles = arguments
        self.groups.append([item.filename for item in group.items])
        heard(key)
        given = [*(one.value for one in bundles), *group.items]
        return self.play(group) or Future("finished", list(group.job.answers(iter(given))))


def processed(line: Line, say: Callable[[str], None] = print) -> list[Processed]:
    """What comes of all files in the working folder."""
    found = list(files.discover(["."], lambda path: settings_from()))
    run = client._Run(found, Job(rewriting=False, roots=(".",)), None, line, say)  # type: ignore[arg-type]
    return list(run.results())


def named(group: Group, name: str) -> bool:
    return any(item.filename == name for item in group.items)


def test_a_file_that_kills_its_workers_is_found(project: Path) -> None:
    put(project, **{f"m{number:02}": FAULTY for number in range(40)})
    killed = distributed.KilledWorker("key", None, 3)
    line = Line(lambda group: Future("error", killed) if named(group, "m07.py") else None)
    done = processed(line)
    failed = [one.path for one in done if one.outcome.failures]
    assert [os.path.basename(path) for path in failed] == ["m07.py"]
    assert sum(len(one.outcome.findings) for one in done) == 39
    dead = [group for group in line.groups if "m07.py" in group]
    assert [len(group) for group in dead] == [10, 1]


def test_what_was_on_its_way_is_handed_in_again(project: Path) -> None:
    put(project, **{f"m{number:02}": FAULTY for number in range(20)})
    lost = iter([None, Future("cancelled"), Future("lost")])
    said: list[str] = []
    line = Line(lambda group: next(lost, None))
    done = processed(line, said.append)
    assert [one.path for one in done] == [f"./m{number:02}.py" for number in range(20)]
    assert all(len(one.outcome.findings) == 1 for one in done)
    assert line.opened == 1
    assert [line.partition(" is ")[2] for line in said] == [
        "gone: waiting up to 60 s for it",
        "back",
    ]
    handed = [name for group in line.groups for name in group]
    assert len(handed) > len(set(handed)) == 20


@pytest.mark.parametrize(
    ("trouble", "why"),
    [
        (Refused("has gradfix 1, …"), "a worker of tcp://stage:1 has gradfix 1, …"),
        (GradfixError("cannot start a worker process: no"), "cannot start a worker process: no"),
        (
            ModuleNotFoundError("No module named 'gradfix'"),
            "a worker of tcp://stage:1 cannot do the work: "
            "ModuleNotFoundError: No module named 'gradfix'",
        ),
    ],
)
def test_a_worker_that_cannot_go_on_ends_the_run(
    trouble: Exception, why: str, project: Path
) -> None:
    put(project, a=FAULTY)
    with pytest.raises(GradfixError) as raised:
        processed(Line(lambda group: Future("error", trouble)))
    assert str(raised.value) == why


def test_no_workers_for_too_long(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project, a=FAULTY)
    for name, seconds in (("PATIENCE", 0.4), ("_QUIET", 0.1), ("_LOOK", 0.05)):
        monkeypatch.setattr(client, name, seconds)
    said: list[str] = []
    with pytest.raises(
        GradfixError, match=r"has had no workers for 0.4 s; run the same command again"
    ):
        processed(Line(count=0), said.append)
    assert said == ["the scheduler at tcp://stage:1 has no workers: waiting up to 0.4 s for them"]


@pytest.mark.parametrize(("others", "rounds"), [(3, 1), (30, 2)])
def test_imports_come_along_or_on_demand(others: int, rounds: int, project: Path) -> None:
    """What a few files import is not worth shipping all that is there."""
    put(project, **{f"m{number:02}": "x = 1\n" for number in range(others)})
    put(project, a="from b import Base\nimport torch\n" + FAULTY.replace("nn.Module", "Base"))
    put(project, b="from m00 import x as Base\n")
    line = Line()
    processed(line)
    assert line.groups == [["a.py"]] * rounds


def test_no_endless_rounds(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Should a worker miss what it was sent, the file fails and the run ends."""

    class Deaf(Tree):
        def add(self, bundle: Bundle) -> None:
            pass

    put(project, a=FAULTY)
    monkeypatch.setattr(worker, "Tree", Deaf)
    (a,) = processed(Line())
    assert "internal error: what was shipped is missing: " in a.outcome.failures[0].message


# -- what is shipped ----------------------------------------------------------------------------


@pytest.fixture
def shipper(project: Path) -> Shipper:
    for folder in ("pkg/inner", "empty"):
        (project / folder).mkdir(parents=True)
    put(project / "pkg", __init__="", a="A = 1\n", b="B = 2\n")
    put(project / "pkg/inner", c="C = 3\n")
    return Shipper(Unwritten().raw_of, [str(project)])


def learned(bundles: Iterator[Bundle] | list[Bundle]) -> Tree:
    tree = Tree()
    for one in bundles:
        tree.add(one)
    return tree


def test_absence_is_told_by_listings(shipper: Shipper, project: Path) -> None:
    shipper.put(str(project / "pkg/a.py"), b"A = 1\n")
    tree = learned(shipper.bundles())
    assert tree.text_of(f"{project}/pkg/a.py") == "A = 1\n"
    for nothing in ("torch.py", "torch/__init__.py", "torch/nn/deep.py", "pkg/z.py", "a/b/c.py"):
        assert tree.text_of(f"{project}/{nothing}") is None
    assert tree.text_of(f"{os.path.dirname(project)}/__init__.py") is None
    assert tree.take_missed() == ()
    for unknown in ("pkg/b.py", "pkg/inner/c.py", "empty/x.py", "../other.py"):
        path = os.path.normpath(f"{project}/{unknown}")
        assert tree.text_of(path) is None
        assert tree.take_missed() == (path,)


def test_what_is_missing_comes_with_its_folder(shipper: Shipper, project: Path) -> None:
    tree = learned(shipper.bundles())
    found = shipper.found([f"{project}/pkg/a.py"])
    assert found is not None
    tree.add(found)
    assert tree.text_of(f"{project}/pkg/b.py") == "B = 2\n"
    assert tree.text_of(f"{project}/pkg/z.py") is None
    assert tree.take_missed() == ()
    assert shipper.found([f"{project}/pkg/a.py", f"{project}/pkg/z.py"]) is None
    assert tree.text_of(f"{project}/pkg/inner/c.py") is None
    assert tree.take_missed() == (f"{project}/pkg/inner/c.py",)


def test_folders_are_listed_on_demand(shipper: Shipper, project: Path) -> None:
    tree = learned(shipper.bundles())
    assert tree.listing(str(project)) == {"pkg", "empty"}
    assert tree.listing(f"{project}/pkg") == frozenset()
    (missed,) = tree.take_missed()
    found = shipper.found([missed])
    assert found is not None
    tree.add(found)
    assert tree.listing(f"{project}/pkg") == {"__init__.py", "a.py", "b.py", "inner"}
    assert tree.listing("/elsewhere") == frozenset()
    (outside,) = tree.take_missed()
    tree.add(learning(shipper.found([outside])))
    assert tree.listing("/elsewhere") == frozenset()
    assert tree.take_missed() == ()


def learning(found: Bundle | None) -> Bundle:
    assert found is not None
    return found


def test_only_what_is_asked_for_leaves_other_folders(
    shipper: Shipper, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    put(elsewhere, asked="x = 1\n", secret="y = 2\n")
    found = shipper.found([str(elsewhere / "asked.py")])
    assert found is not None
    assert list(found.contents) == [str(elsewhere / "asked.py")]
    assert found.folders == {}


def test_bundles_are_named_by_what_they_hold() -> None:
    names = [
        bundle({"/a.py": b"1"}),
        bundle({"/a.py": b"2"}),
        bundle({"/b.py": b"1"}),
        bundle({"/a.py": None}),
        bundle({"/a.py": b"1"}, {"/": frozenset({"a.py"})}),
        bundle({"/a.py": b"1"}, {"/": frozenset({"a.py", "b.py"})}),
    ]
    assert len({one.name for one in names}) == len(names)
    assert bundle({"/a.py": b"1"}).name == names[0].name


# -- versions -----------------------------------------------------------------------------------


def test_the_probe_tells_what_is_here() -> None:
    assert eval(versions.PROBE) == versions.here()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({}, None),
        ({"Python": "3.9"}, "has Python 3.9, this machine has Python 3."),
        ({"gradfix": None}, "has no gradfix, this machine has gradfix "),
        ({"libcst": "1.0"}, "has libcst 1.0, this machine has libcst "),
        ({versions.SOURCE: "x"}, "has another build of the same gradfix version"),
    ],
)
def test_what_must_be_the_same(change: dict[str, str], why: str | None) -> None:
    theirs = {name: value for name, value in {**versions.here(), **change}.items() if value}
    said = versions.difference(theirs, versions.here())
    assert said is None if why is None else said is not None and said.startswith(why)


def test_a_line_that_breaks_while_handing_out(project: Path) -> None:
    put(project, **{f"m{number:02}": FAULTY for number in range(8)})
    breaks = iter([True])

    def play(group: Group) -> Future | None:
        if next(breaks, False):
            raise Lost("broken pipe")
        return None

    line = Line(play)
    assert len(processed(line, lambda message: None)) == 8
    assert line.opened == 1
