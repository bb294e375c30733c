"""``gradfix undo`` and ``gradfix history``: all of a run comes back, or nothing is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gradfix import files, journal, undo
from gradfix.errors import SourceError

from .conftest import FAULTY, MENDED, Result, put

Gradfix = Callable[..., Result]


def kept(project: Path) -> list[str]:
    """The runs in the journal of a project."""
    return sorted(file.name for file in (project / journal.FOLDER).glob("*.jsonl"))


def run_file(project: Path, number: int = 1) -> Path:
    return project / journal.FOLDER / f"{number:06}.jsonl"


# -- back and forth -----------------------------------------------------------------------------


def test_undo_puts_back_every_byte_and_the_mode(project: Path, gradfix: Gradfix) -> None:
    raw = {"a.py": FAULTY.replace("\n", "\r\n").encode(), "clean.py": b"x = 1\n"}
    raw["sub/latin.py"] = ("# coding: latin-1\n# é\n" + FAULTY).encode("latin-1")
    (project / "sub").mkdir()
    for name, data in raw.items():
        (project / name).write_bytes(data)
    (project / "a.py").chmod(0o750)
    assert gradfix("apply").code == 0
    assert (project / "a.py").read_bytes() != raw["a.py"]
    result = gradfix("undo", "-v")
    assert result == Result(
        0, "", "a.py: put back\nsub/latin.py: put back\nPut back 2 files of run 1.\n"
    )
    assert {name: (project / name).read_bytes() for name in raw} == raw
    assert (project / "a.py").stat().st_mode & 0o777 == 0o750
    assert gradfix("undo") == Result(0, "", "Nothing to undo.\n")


def test_a_second_undo_takes_back_the_run_before(project: Path, gradfix: Gradfix) -> None:
    put(project, a=FAULTY)
    gradfix("apply")
    put(project, b=FAULTY)
    gradfix("apply")
    assert gradfix("undo", "1").err == "Put back 1 file of run 1.\n"
    assert (project / "b.py").read_text() == MENDED
    gradfix("apply")
    for run, texts in ((3, (FAULTY, MENDED)), (2, (FAULTY, FAULTY))):
        assert gradfix("undo").err == f"Put back 1 file of run {run}.\n"
        assert ((project / "a.py").read_text(), (project / "b.py").read_text()) == texts


def test_undo_works_from_below_and_after_a_move(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = project / "old", project / "new"
    (old / "src").mkdir(parents=True)
    (old / "gradfix.toml").touch()
    put(old / "src", m=FAULTY)
    monkeypatch.chdir(old / "src")
    assert gradfix("apply", "m.py").code == 0
    assert kept(old) == ["000001.jsonl"]
    old.rename(new)
    monkeypatch.chdir(new)
    assert gradfix("undo").code == 0
    assert (new / "src" / "m.py").read_text() == FAULTY


def test_a_link_is_undone_where_it_leads(project: Path, gradfix: Gradfix) -> None:
    put(project, real=FAULTY)
    (project / "link.py").symlink_to("real.py")
    assert gradfix("apply", "link.py").code == 0
    assert gradfix("undo").code == 0
    assert (project / "real.py").read_text() == FAULTY
    assert (project / "link.py").is_symlink()


@pytest.mark.parametrize("command", ["check", "apply --dry-run", "apply --ignore GF3"])
def test_where_nothing_is_written_there_is_no_journal(
    command: str, project: Path, gradfix: Gradfix
) -> None:
    put(project, m=FAULTY)
    gradfix(*command.split(), "--no-cache")
    assert os.listdir(project) == ["m.py"]


def test_git_does_not_see_the_journal_and_others_cannot_read_it(
    project: Path, gradfix: Gradfix
) -> None:
    put(project, m=FAULTY)
    gradfix("apply")
    folder = project / journal.FOLDER
    assert (folder / ".gitignore").read_text() == "*\n"
    assert (folder.stat().st_mode & 0o777, run_file(project).stat().st_mode & 0o777) == (
        0o700,
        0o600,
    )


# -- refusing -----------------------------------------------------------------------------------


def edited(path: Path) -> None:
    path.write_text("# edited\n" + path.read_text())


def deleted(path: Path) -> None:
    path.unlink()


def linked(path: Path) -> None:
    path.rename("elsewhere")
    path.symlink_to("elsewhere")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (edited, "changed since"),
        (deleted, "is gone"),
        (linked, "is a link now"),
        (a_folder, "cannot be read: Is a directory"),
    ],
)
def test_nothing_is_put_back_where_one_file_has_changed(
    change: Callable[[Path], None], why: str, project: Path, gradfix: Gradfix
) -> None:
    put(project, a=FAULTY, b=FAULTY, c=FAULTY)
    gradfix("apply")
    change(project / "b.py")
    before = {p.name: p.lstat().st_mtime_ns for p in project.iterdir()}
    result = gradfix("undo")
    assert result == Result(
        2,
        "",
        f"b.py: error: {why}\nerror: nothing was put back of run 1, because of 1 file "
        "(--skip-changed puts back the others)\n",
    )
    assert {p.name: p.lstat().st_mtime_ns for p in project.iterdir()} == before
    result = gradfix("undo", "--skip-changed")
    assert (result.code, result.err) == (
        0,
        f"b.py: {why}\nPut back 2 files of run 1; 1 file left alone.\n",
    )
    assert [(project / f"{n}.py").read_text() for n in "ac"] == [FAULTY, FAULTY]


def test_a_later_run_is_named_as_the_reason(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    gradfix("apply")
    (project / "m.py").write_text(MENDED + FAULTY.replace("Mixer", "Other"))
    gradfix("apply")
    assert "m.py: error: changed by run 2\n" in gradfix("undo", "1").err
    assert gradfix("undo").code == 0
    assert "m.py: error: changed since\n" in gradfix("undo", "1").err


def test_what_was_put_back_by_hand_is_fine(project: Path, gradfix: Gradfix) -> None:
    put(project, a=FAULTY, b=FAULTY)
    gradfix("apply")
    put(project, a=FAULTY)
    result = gradfix("undo")
    assert result.err == "Put back 1 file of run 1; 1 file had the old content already.\n"


@pytest.mark.parametrize("number", ["7", "-1", "first", "²"])
def test_an_unknown_run_is_an_error(number: str, project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    gradfix("apply")
    result = gradfix("undo", "--", number)
    assert result.code == 2
    assert result.err == f"error: there is no run {number!r} in the journal (it has: 1)\n"
    assert (project / "m.py").read_text() == MENDED


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        (b'"original": "', b'"original": "AAAA', "damaged"),
        (b'"before": "', b'"before": "00', "damaged: not the content it says it is"),
        (b'{"entry"', b'["entry"', "damaged"),
        (b'"format": 1', b'"format": 99', "written by gradfix 0.1.0"),
    ],
)
def test_a_damaged_journal_is_an_error_and_nothing_is_written(
    old: bytes, new: bytes, why: str, project: Path, gradfix: Gradfix
) -> None:
    put(project, a=FAULTY, b=FAULTY)
    gradfix("apply")
    raw = run_file(project).read_bytes()
    last = raw.rindex(old)
    run_file(project).write_bytes(raw[:last] + new + raw[last + len(old) :])
    result = gradfix("undo")
    assert (result.code, why in result.err) == (2, True), result.err
    assert [(project / f"{n}.py").read_text() for n in "ab"] == [MENDED, MENDED]


def test_other_runs_can_be_undone_beside_a_damaged_one(project: Path, gradfix: Gradfix) -> None:
    put(project, a=FAULTY)
    gradfix("apply")
    put(project, b=FAULTY)
    gradfix("apply")
    run_file(project, 2).write_bytes(b"{}\n")
    assert gradfix("undo").code == 2
    assert "000002.jsonl:1: damaged" in gradfix("undo", "2").err
    assert "000002.jsonl:1: damaged" in gradfix("history").out
    runs = json.loads(gradfix("history", "--output-format", "json").out)["runs"]
    assert ["damaged" in (run["damage"] or "") for run in runs] == [True, False]
    assert gradfix("undo", "1").code == 0
    assert (project / "a.py").read_text() == FAULTY


def test_a_run_that_is_going_on_is_not_undone(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    script = (
        "import sys\nfrom pathlib import Path\nfrom gradfix.journal import Writer\n"
        "with Writer(Path.cwd(), ['.']) as writer:\n"
        "    old = Path('m.py').read_bytes()\n"
        "    writer.write('m.py', b'new', expected=old)\n"
        "    print('written', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=project, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writing:
        assert writing.stdout is not None
        assert writing.stdout.readline() == b"written\n"
        assert gradfix("undo") == Result(2, "", "error: run 1 is still going on\n")
        assert (project / "m.py").read_text() == "new"
        writing.communicate()
    assert gradfix("undo").code == 0
    assert (project / "m.py").read_text() == FAULTY


# -- writing only with a way back ---------------------------------------------------------------


def test_without_a_journal_nothing_is_written_unless_asked_for(
    project: Path, gradfix: Gradfix
) -> None:
    put(project, m=FAULTY)
    (project / journal.FOLDER).touch()  # a file where the folder should be
    result = gradfix("apply")
    assert result.code == 2
    assert "m.py: error: nothing was rewritten: the journal for `gradfix undo`" in result.err
    assert "--no-journal" in result.err
    assert "GF301" in result.out
    assert (project / "m.py").read_text() == FAULTY
    assert gradfix("apply", "--no-journal").code == 0
    assert (project / "m.py").read_text() == MENDED
    assert gradfix("undo") == Result(0, "", "Nothing to undo.\n")


def test_a_line_is_on_the_disk_before_its_file_is_replaced(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, m=FAULTY)
    events = []
    sync, replace = os.fsync, os.replace
    journaled = (project / journal.FOLDER / "000001.jsonl").as_posix()

    def synced(descriptor: int) -> None:
        sync(descriptor)
        events.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    def replaced(old: str, new: str) -> None:
        events.append(f"replaced {Path(new).name}")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs to see which file is synced")
    assert gradfix("apply").code == 0
    last = len(events) - 1 - events[::-1].index(journaled)
    assert last < events.index("replaced m.py")
    assert events.count(journaled) == 2  # what the run is, and the file


def test_a_write_that_fails_is_not_in_the_journal(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, a=FAULTY, b=FAULTY)
    write = files.write

    def failing(path: str, *rest: bytes, **named: bytes) -> None:
        if path.endswith("a.py"):
            (project / "a.py").write_text("theirs\n")
        write(path, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(files, "write", failing)
    assert "a.py: error: nothing was rewritten: changed while" in gradfix("apply").err
    assert gradfix("undo").err == "Put back 1 file of run 1.\n"
    assert (project / "a.py").read_text() == "theirs\n"
    assert (project / "b.py").read_text() == FAULTY


def test_a_full_disk_leaves_no_half_line(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, a=FAULTY, b=FAULTY)
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 4:  # after the first line and two folders: the line about a.py
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    result = gradfix("apply")
    assert result.code == 2
    assert "No space left on device (--no-journal writes without it)" in result.err
    assert [(project / f"{n}.py").read_text() for n in "ab"] == [FAULTY, MENDED]
    assert gradfix("undo").err == "Put back 1 file of run 1.\n"


def test_a_line_that_was_cut_off_belongs_to_a_file_that_is_old(
    project: Path, gradfix: Gradfix
) -> None:
    put(project, a=FAULTY, b=FAULTY)
    gradfix("apply")
    raw = run_file(project).read_bytes()
    put(project, b=FAULTY)
    for cut in (len(raw) - 1, raw.index(b'"entry": 2') + 3):
        run_file(project).write_bytes(raw[:cut])
        put(project, a=MENDED)
        assert gradfix("undo").err == "Put back 1 file of run 1.\n"
        assert (project / "a.py").read_text() == FAULTY
        assert json.loads(gradfix("history", "--output-format", "json").out)["runs"][0]["undone"]


def test_temporary_files_of_a_killed_run_are_removed(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    gradfix("apply")
    token = json.loads(run_file(project).read_bytes().splitlines()[0])["token"]
    (project / f".gradfix-{token}-x1y2.tmp").write_text("half")
    (project / ".gradfix-00000000-x1y2.tmp").write_text("of another run")
    gradfix("undo")
    assert sorted(os.listdir(project)) == [
        ".gradfix-00000000-x1y2.tmp",
        journal.FOLDER,
        "m.py",
    ]


# -- history ------------------------------------------------------------------------------------


def test_history_lists_the_last_run_first(project: Path, gradfix: Gradfix) -> None:
    assert gradfix("history").code == 0
    assert gradfix("history").err.startswith("No run of apply is in the journal of ")
    (project / "src").mkdir()
    put(project, a=FAULTY)
    put(project / "src", b=FAULTY, c=FAULTY)
    gradfix("apply", "a.py")
    gradfix("apply", "src")
    gradfix("undo", "1")
    lines = gradfix("history", "-v").out.splitlines()
    assert [line.split()[0] for line in lines] == ["2", "src/b.py", "src/c.py", "1", "a.py"]
    assert lines[0].endswith("UTC  2 files     apply src")
    assert " apply a.py  undone 20" in lines[3]


def test_history_as_json(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    gradfix("apply")
    data = json.loads(gradfix("history", "--output-format", "json").out)
    (run,) = data["runs"]
    assert set(run) == {"run", "started", "paths", "undone", "damage", "files"}
    assert (run["run"], run["paths"], run["undone"]) == (1, ["."], None)
    hashes = {"before": journal.digest(FAULTY.encode()), "after": journal.digest(MENDED.encode())}
    assert run["files"] == [{"filename": "m.py", **hashes}]
    gradfix("undo")
    data = json.loads(gradfix("history", "--output-format", "json").out)
    assert data["runs"][0]["undone"] >= run["started"]


def test_old_runs_go(project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEPT_RUNS", 3)
    for _ in range(5):
        put(project, m=FAULTY)
        gradfix("apply")
    assert kept(project) == ["000003.jsonl", "000004.jsonl", "000005.jsonl"]
    monkeypatch.setattr(journal, "KEPT_BYTES", run_file(project, 5).stat().st_size)
    put(project, m=FAULTY)
    gradfix("apply")
    assert kept(project) == ["000005.jsonl", "000006.jsonl"]


def test_a_path_of_any_bytes_comes_back(project: Path, gradfix: Gradfix) -> None:
    path = os.fsencode(project) + b"/\xff.py"
    try:
        with open(path, "wb") as stream:
            stream.write(FAULTY.encode())
    except OSError:
        pytest.skip("this file system wants UTF-8")
    gradfix("apply")
    assert gradfix("undo").code == 0
    with open(path, "rb") as stream:
        assert stream.read() == FAULTY.encode()


def test_writing_says_what_went_wrong(project: Path) -> None:
    put(project, m="theirs\n")
    with (
        journal.Writer(project, ["."]) as writer,
        pytest.raises(SourceError, match="changed while"),
    ):
        writer.write("m.py", b"ours\n", expected=b"before\n")
    assert [run.entries for run in journal.runs(project)] == [()]
    assert undo.chosen(journal.runs(project), None) is None
