"""Which files are read, how they are decoded, and how they are replaced."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gradfix import files, journal
from gradfix.config import Finder
from gradfix.config_types import Overrides
from gradfix.errors import SourceError
from gradfix.model import Failure

from .conftest import FAULTY, MENDED, Result

Gradfix = Callable[..., Result]


def found(*paths: str, **overrides: object) -> list[str]:
    finder = Finder(Overrides(**overrides))  # type: ignore[arg-type]
    items = files.discover(paths, finder.settings)
    return [item.filename for item in items if isinstance(item, files.Found)]


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x = 1\n")


def test_folders_are_searched_in_a_fixed_order(project: Path) -> None:
    make(project, "b.py", "a.py", "sub/c.py", "notes.txt", "book.ipynb", ".hidden/d.py")
    assert found(".") == ["a.py", "b.py", "book.ipynb", ".hidden/d.py", "sub/c.py"]
    assert found("sub", "a.py", ".") == ["sub/c.py", "a.py", "b.py", "book.ipynb", ".hidden/d.py"]


def test_usual_folders_are_left_out_unless_named(project: Path) -> None:
    make(project, "a.py", ".venv/lib/b.py", "build/c.py", "src/node_modules/d.py", "src/dist/e.py")
    assert found(".") == ["a.py"]
    assert found("build", "src/dist/e.py") == ["build/c.py", "src/dist/e.py"]
    assert found("build", "src/dist/e.py", force_exclude=True) == []


def test_exclude_and_extend_exclude(project: Path) -> None:
    make(project, "a.py", "build/b.py", "gen/c.py", "src/gen/d.py", "src/e.py")
    assert found(".", extend_exclude=("gen",)) == ["a.py", "src/e.py"]
    assert found(".", extend_exclude=("/gen/",)) == ["a.py", "src/e.py", "src/gen/d.py"]
    assert found(".", exclude=("src/*.py", "gen")) == ["a.py", "build/b.py"]
    assert found("src", extend_exclude=("src/gen",)) == ["src/e.py"]


def test_nested_gitignore_files_are_honoured(project: Path) -> None:
    make(project, "a.py", "gen/b.py", "src/gen/c.py", "src/keep/d.py", "src/e.py", "src/f.py")
    (project / ".git").mkdir()
    (project / ".gitignore").write_text("gen/\n# comment\n/src/f.py\n")
    (project / "src" / ".gitignore").write_text("e.py\n!gen/\n")
    assert found(".") == ["a.py", "src/gen/c.py", "src/keep/d.py"]
    # From below, the files above still speak, but not about what was asked for by name.
    assert found("src") == ["src/gen/c.py", "src/keep/d.py"]
    assert found("gen", "src/f.py") == ["gen/b.py", "src/f.py"]


def test_links_in_a_circle_come_to_an_end(project: Path, gradfix: Gradfix) -> None:
    make(project, "pkg/a.py")
    (project / "pkg" / "loop").symlink_to(project / "pkg", target_is_directory=True)
    (project / "one").symlink_to("two")
    (project / "two").symlink_to("one")
    (project / "self.py").symlink_to("self.py")
    assert found(".") == ["pkg/a.py"]
    assert gradfix("check", ".").code == 0
    result = gradfix("check", "self.py")
    assert (result.code, "a link to nothing" in result.err) == (2, True)


def test_a_file_under_two_names_is_processed_once(project: Path) -> None:
    make(project, "a.py")
    (project / "b.py").symlink_to("a.py")
    (project / "gone.py").symlink_to("nowhere.py")
    assert found(".", "a.py", str(project / "a.py")) == ["a.py"]


def test_a_folder_with_a_file_s_name_is_a_folder(project: Path) -> None:
    make(project, "x.py/a.py")
    assert found(".") == ["x.py/a.py"]
    assert found("x.py") == ["x.py/a.py"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_no_regular_file_is_not_opened(project: Path) -> None:
    os.mkfifo(project / "pipe.py")
    assert found(".") == []
    (failure,) = files.discover(["pipe.py"], Finder(Overrides()).settings)
    assert failure == Failure("pipe.py", "not a regular file")


@pytest.mark.parametrize(
    ("raw", "message", "row"),
    [
        (b"x = 1\n\0\n", "NUL byte", 2),
        (b"x = 1\n# \xff\n", "cannot be decoded as utf-8", 2),
        (b"# \xff\n", "cannot be decoded", None),
        (b"a\nb\nc = '\xe9'\n", "cannot be decoded as utf-8", 3),
        (b"# coding: klingon\n", "unknown encoding: klingon", None),
        ("x = 1\n".encode("utf-16"), "NUL byte", 1),
    ],
)
def test_what_cannot_be_decoded(raw: bytes, message: str, row: int | None) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        files.decode(raw)
    assert caught.value.row == row


ENCODED = {
    "utf-8": ("# é\n" + FAULTY).encode(),
    "BOM": b"\xef\xbb\xbf" + ("# é\n" + FAULTY).encode(),
    "BOM and cookie": b"\xef\xbb\xbf# coding: utf-8\n" + FAULTY.encode(),
    "latin-1": ("# -*- coding: latin-1 -*-\n# é\n" + FAULTY).encode("latin-1"),
    "CRLF": FAULTY.replace("\n", "\r\n").encode(),
    "mixed newlines": FAULTY.replace("\n", "\r\n", 4).encode(),
    "no final newline": FAULTY.rstrip("\n").encode(),
    "tabs": FAULTY.replace("    ", "\t").encode(),
}


@pytest.mark.parametrize("kind", ENCODED)
def test_apply_keeps_every_byte_but_the_fix(kind: str, project: Path, gradfix: Gradfix) -> None:
    path = project / "m.py"
    path.write_bytes(ENCODED[kind])
    assert gradfix("apply", ".").code == 0
    assert path.read_bytes() == ENCODED[kind].replace(b"torch.tensor(", b"torch.stack(")


def test_a_result_the_encoding_cannot_hold_is_not_written(project: Path) -> None:
    decoded = files.decode(b"# coding: latin-1\n")
    with pytest.raises(SourceError, match="cannot be encoded as iso-8859-1"):
        decoded.encode("# coding: latin-1\n# \N{GREEK SMALL LETTER ALPHA}\n")


def test_write_keeps_mode_and_links(project: Path, gradfix: Gradfix) -> None:
    real = project / "real" / "m.py"
    make(project, "real/m.py")
    real.write_text(FAULTY)
    real.chmod(0o750)
    (project / "link.py").symlink_to(real)
    assert gradfix("apply", "link.py").code == 0
    assert (project / "link.py").is_symlink()
    assert real.read_text() == MENDED
    assert stat.S_IMODE(real.stat().st_mode) == 0o750
    assert sorted(path.name for path in real.parent.iterdir()) == ["m.py"]


def test_a_file_changed_meanwhile_is_not_written(project: Path) -> None:
    path = project / "m.py"
    path.write_text("theirs\n")
    with pytest.raises(SourceError, match="changed while"):
        files.write(str(path), b"ours\n", expected=b"before\n")
    assert path.read_text() == "theirs\n"
    assert os.listdir(project) == ["m.py"]


def test_a_failed_replacement_leaves_nothing_behind(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "m.py").write_text(FAULTY)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result = gradfix("apply", "m.py")
    assert result.code == 2
    assert "m.py: error: nothing was rewritten: cannot be written: No space left" in result.err
    assert "GF301" in result.out
    assert "Fixed" not in result.err
    assert (project / "m.py").read_text() == FAULTY
    assert sorted(os.listdir(project)) == [journal.FOLDER, "m.py"]
