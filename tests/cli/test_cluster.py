"""A dask cluster: the same answers in the same order, whatever dies, and only the client writes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradfix.cluster import client
from gradfix.job import Item

from .conftest import ALONE, ALONE_MENDED, FAULTY, MENDED, PYTHON_2, Result, put
from .dask_cluster import DaskCluster, until
from .test_cache import NET

pytest.importorskip("distributed")

Gradfix = Callable[..., Result]
LAYER = """\
from torch import nn


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 3)

    def forward(self, x):
        return self.line(x)
"""


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    cluster = DaskCluster(tmp_path_factory.mktemp("machines"), tmp_path_factory.getbasetemp() / "u")
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def cluster(machines: DaskCluster, tmp_path_factory: pytest.TempPathFactory) -> DaskCluster:
    """The cluster, with all of its machines running."""
    machines.forget()
    machines.start()
    return machines


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that workers have no business in: under the one that they report."""
    users = tmp_path_factory.getbasetemp() / "u"
    users.mkdir(exist_ok=True)
    number = len(list(users.iterdir()))
    folder = users / f"project{number}"
    folder.mkdir()
    return folder


@pytest.fixture
def tree(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Part of a repository: files need others, some of which are not searched, or not there."""
    (project / ".git").mkdir()
    here = project / "part"
    for folder in ("src/net", "src/left_out", "lib/deep"):
        (here / folder).mkdir(parents=True)
    monkeypatch.chdir(here)
    (here / "gradfix.toml").write_text('extend-exclude = ["left_out/"]\n')
    put(here / "src/net", __init__="", cells=LAYER, near=NET.format(module=".cells"))
    put(here / "src/net", far=NET.format(module="deep.cells"), bad=PYTHON_2)
    put(here / "src/net", out=NET.format(module="left_out.cells"), none=NET.format(module="gone"))
    put(here / "src/left_out", __init__="", cells="from .more import Cell\n", more=LAYER)
    put(here / "lib/deep", __init__="", cells=LAYER)
    for number in range(12):
        put(here / "src", **{f"m{number:02}": [ALONE, "x = 1\n", ALONE_MENDED][number % 3]})
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    cells = [{**cell, "source": ALONE.splitlines(keepends=True)}]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    (here / "src/n.ipynb").write_text(json.dumps(notebook, indent=1))
    return here


PATHS = ("src", "lib", "nowhere.py")
JSON = ("--output-format", "json")


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gradfix", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(running: subprocess.Popen[str]) -> Result:
    out, err = running.communicate(timeout=120)
    return Result(running.returncode, out, err)


# -- the same as one process --------------------------------------------------------------------


def test_check_says_the_same(
    tree: Path, gradfix: Gradfix, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is asked for, and with a cache that only the client reads and keeps."""
    handed: list[str] = []
    abroad = client._Run._abroad

    def noted(run: client._Run, item: Item) -> Item:
        handed.append(item.filename)
        return abroad(run, item)

    monkeypatch.setattr(client._Run, "_abroad", noted)
    one, full = (gradfix("check", *PATHS, "-j", "1", "--no-cache", *more) for more in (JSON, ()))
    assert one.code == 2
    assert one.out.count("GF105") >= 3, one.out
    assert gradfix("check", *PATHS, "--scheduler", cluster.address, *JSON) == one
    assert {"src/m00.py", "src/net/near.py", "src/net/out.py"} < set(handed)
    handed.clear()
    assert gradfix("check", *PATHS, "--scheduler", cluster.address) == full
    assert gradfix("check", *PATHS, "-j", "1") == full
    # A notebook and a file that does not parse are looked at each time.
    # (The notebook is handed out again once files are there that it depends on.)
    assert sorted(set(handed)) == ["src/n.ipynb", "src/net/bad.py"]
    put(tree / "src/left_out", more="class Cell:\n    pass\n")
    now = gradfix("check", *PATHS, "--scheduler", cluster.address)
    assert now.out.count("GF105") == full.out.count("GF105") - 1
    assert cluster.trespasses() == ""


def test_apply_writes_here_and_can_be_undone(
    tree: Path, gradfix: Gradfix, cluster: DaskCluster
) -> None:
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tree.rglob("*.*y*")}

    line = ("apply", *PATHS, "--show-fixes", "--output-format", "json", "--no-cache")
    before = contents()
    one = gradfix(*line, "-j", "1")
    after = contents()
    assert len([path for path in before if before[path] != after[path]]) > 6
    assert gradfix("undo").code == 0
    assert contents() == before
    assert gradfix(*line, "--scheduler", cluster.address) == one
    assert contents() == after
    assert gradfix("undo").code == 0
    assert contents() == before
    assert cluster.trespasses() == ""


def test_trespassing_would_be_seen(tree: Path, cluster: DaskCluster) -> None:
    cluster.forget()
    program = f"open({str(tree / 'src/m00.py')!r}).close()"
    subprocess.run([sys.executable, "-c", program], env=cluster._environment, check=True)
    assert "m00.py" in cluster.trespasses()


def test_a_local_cluster(tree: Path, gradfix: Gradfix) -> None:
    line = ("check", *PATHS, "--no-cache", "--output-format", "json")
    assert gradfix(*line, "--scheduler", "local", "-j", "2") == gradfix(*line, "-j", "1")


# -- what goes wrong with files -----------------------------------------------------------------


def test_hostile_files_fail_alone(project: Path, gradfix: Gradfix, cluster: DaskCluster) -> None:
    put(project, **{f"m{number:02}": FAULTY for number in range(8)})
    put(project, m03=f"# is killed\n{FAULTY}", m05=f"# never ends\n{FAULTY}")
    result = gradfix("check", "--scheduler", cluster.address, "--timeout", "4", *JSON)
    assert result.code == 2
    assert [
        (error["filename"], error["message"]) for error in json.loads(result.out)["errors"]
    ] == [
        ("m03.py", "internal error: its process died twice (killed by signal 9, SIGKILL)"),
        ("m05.py", "took longer than 4 s and was given up (--timeout)"),
    ]
    others = [f"m{number:02}.py" for number in range(8) if number not in (3, 5)]
    assert [finding["filename"] for finding in json.loads(result.out)["findings"]] == others


# -- what goes wrong with machines --------------------------------------------------------------


def one_waits(project: Path, gradfix: Gradfix) -> Result:
    """Files of which one waits; returns what one process finds in them."""
    put(project, **{f"m{number:02}": FAULTY for number in range(24)})
    put(project, m12=f"# waits\n{FAULTY}")
    return gradfix("check", "-j", "1", "--no-cache", "--output-format", "json")


def test_a_killed_worker_loses_nothing(
    project: Path, gradfix: Gradfix, cluster: DaskCluster
) -> None:
    one = one_waits(project, gradfix)
    running = command("check", "--scheduler", cluster.address, "--output-format", "json")
    worker, _ = cluster.waiting()
    (cluster.folder / "waiting").unlink()
    os.kill(worker, signal.SIGKILL)
    assert cluster.waiting()[0] != worker
    cluster.go_on()
    assert ended(running) == one


def test_a_restarted_scheduler_loses_nothing(
    project: Path, gradfix: Gradfix, cluster: DaskCluster
) -> None:
    one = one_waits(project, gradfix)
    running = command("check", "--scheduler", cluster.address, "--output-format", "json")
    cluster.waiting()
    cluster.kill_scheduler()
    cluster.go_on()
    cluster.start()
    result = ended(running)
    assert result[:2] == one[:2]
    assert result.err == (
        f"the scheduler at {cluster.address} is gone: waiting up to 60 s for it\n"
        f"the scheduler at {cluster.address} is back\n{one.err}"
    )


def test_an_interrupt_ends_what_is_going_on(
    project: Path, gradfix: Gradfix, cluster: DaskCluster
) -> None:
    one_waits(project, gradfix)
    running = command("apply", "--scheduler", cluster.address)
    _, child = cluster.waiting()
    until(lambda: (project / "m03.py").read_text() == MENDED)
    running.send_signal(signal.SIGINT)
    result = ended(running)
    assert result.code == 130
    assert result.err.startswith("interrupted\nwhat was rewritten (at least ")
    assert result.err.endswith(
        "run the same command again to go on, or `gradfix undo 1` to go back\n"
    )
    until(lambda: not is_alive(child))
    assert gradfix("undo").code == 0
    assert (project / "m03.py").read_text() == FAULTY


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_with_another_version_is_refused(
    project: Path, gradfix: Gradfix, cluster: DaskCluster
) -> None:
    put(project, a=FAULTY)
    other = cluster.folder / "other"
    (other / "gradfix").mkdir(parents=True)
    (other / "gradfix" / "__init__.py").write_text('__version__ = "0.0.1"\n')
    worker = cluster.worker("--no-nanny", "--name", "old", path=str(other))
    try:
        until(lambda: b"name: old" in (cluster.folder / "log").read_bytes())
        result = gradfix("check", "--scheduler", cluster.address)
    finally:
        worker.kill()
        worker.wait()
    assert result.code == 2
    assert result.out == ""
    (line,) = result.err.splitlines()
    assert line.startswith("error: the worker tcp://127.0.0.1:")
    assert "has gradfix 0.0.1, this machine has gradfix 0.1.0; both sides need the same" in line


def test_a_scheduler_that_stays_away(
    project: Path, gradfix: Gradfix, cluster: DaskCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_waits(project, gradfix)
    monkeypatch.setattr(client, "PATIENCE", 1.0)

    def kill() -> None:
        cluster.waiting()
        until(lambda: (project / "m03.py").read_text() == MENDED)
        cluster.kill_scheduler()

    killer = threading.Thread(target=kill)
    killer.start()
    result = gradfix("apply", "--scheduler", cluster.address)
    killer.join()
    assert result.code == 2
    first, second, third = result.err.splitlines()
    assert first == f"the scheduler at {cluster.address} is gone: waiting up to 1 s for it"
    assert second == (
        f"error: the scheduler at {cluster.address} did not come back in 1 s; "
        "what is done is kept: run the same command again to go on"
    )
    assert "or `gradfix undo 1` to go back" in third
    assert gradfix("apply").code == 0
    assert {path.read_text() for path in project.glob("m0?.py")} == {MENDED}
    assert gradfix("undo").code == gradfix("undo").code == 0
    assert {path.read_text() for path in project.glob("m0?.py")} == {FAULTY}


# -- addresses ----------------------------------------------------------------------------------


def test_nobody_listens(project: Path, gradfix: Gradfix) -> None:
    put(project, a=FAULTY)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        result = gradfix("check", "--scheduler", address)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: no dask scheduler at {address}: ")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize("address", ["10.0.0.1:8786", "tcp://host", "http://host:1", "localhost"])
def test_what_is_no_address(address: str, gradfix: Gradfix) -> None:
    result = gradfix("check", "--scheduler", address)
    assert result.code == 2
    assert f"{address!r} is neither 'local' nor an address such as tcp://" in result.err


def test_without_dask(project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project, a=FAULTY)
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = gradfix("check", "--scheduler", "local")
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert line.startswith("error: --scheduler needs dask")
    assert line.endswith("pip install 'gradfix[cluster]'")


@pytest.mark.parametrize("line", [["check", "-"], ["apply", "--verify", "a.py"]])
def test_what_needs_this_process(line: list[str], project: Path, gradfix: Gradfix) -> None:
    put(project, a=FAULTY)
    result = gradfix(*line, "--scheduler", "local")
    assert result.code == 2
    assert "cluster" in result.err
