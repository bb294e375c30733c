"""Baselines: old findings are hidden and left alone, new ones fail, gone ones are told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import FAULTY, MENDED, PYTHON_2, UNFIXABLE, Renames, Result, put

Gradfix = Callable[..., Result]
HIDDEN = "Nothing new found in 1 file. 1 finding is in the baseline.\n"


def test_what_was_there_is_hidden_and_what_is_new_fails(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    wrote = gradfix("check", "--write-baseline", "known.json")
    assert wrote == (0, "", "Wrote 1 finding to known.json.\n")
    assert gradfix("check", "--baseline", "known.json") == (0, "", HIDDEN)
    put(project, m="# moved\n\n" + FAULTY, n=FAULTY)
    result = gradfix("check", "--baseline", "known.json", "--output-format", "concise")
    assert result.code == 1
    assert [line.partition(":")[0] for line in result.out.splitlines()] == ["n.py"]
    assert result.err.endswith(" 1 finding is in the baseline.\n")


def test_a_second_copy_of_a_known_line_is_new(
    project: Path, gradfix: Gradfix, only_codemods: Callable[..., None]
) -> None:
    only_codemods(Renames)
    put(project, m="old(1)\nold(1)\n")
    gradfix("check", "--write-baseline", "known.json")
    put(project, m="old(1)\nold(1)\nold(1)\n")
    result = gradfix("check", "--baseline", "known.json", "--output-format", "concise")
    assert (result.code, len(result.out.splitlines())) == (1, 1)
    assert "2 findings are in the baseline" in result.err


def test_the_file_is_sorted_and_ends_with_a_newline(project: Path, gradfix: Gradfix) -> None:
    put(project, b=FAULTY, a=FAULTY + UNFIXABLE)
    gradfix("check", "--write-baseline", "known.json")
    text = (project / "known.json").read_text()
    document = json.loads(text)
    assert text == json.dumps(document, indent=2, sort_keys=True) + "\n"
    assert document["version"] == 1
    assert {name: list(codes) for name, codes in document["findings"].items()} == {
        "a.py": ["GF301", "GF900"],
        "b.py": ["GF301"],
    }
    gradfix("check", "--write-baseline", "known.json")
    assert (project / "known.json").read_text() == text
    assert sorted(path.name for path in project.glob("known*")) == ["known.json"]


def test_apply_leaves_alone_what_a_baseline_knows(
    project: Path, gradfix: Gradfix, only_codemods: Callable[..., None]
) -> None:
    only_codemods(Renames)
    put(project, m="a = old(1)\nb = old(2)\n")
    gradfix("check", "--write-baseline", "known.json")
    put(project, m="a = old(1)\nx = old(3)\nb = old(2)\n")
    dry = gradfix("apply", "--dry-run", "--baseline", "known.json")
    assert dry.out.count("\n+") == 2  # the header and one line
    result = gradfix("apply", "--baseline", "known.json")
    assert (project / "m.py").read_text() == "a = old(1)\nx = new(3)\nb = old(2)\n"
    assert result == (
        0,
        "",
        "Fixed 1 finding in 1 file. 2 findings are in the baseline.\n",
    )
    gradfix("apply")
    assert "old" not in (project / "m.py").read_text()


def test_standard_input_has_a_baseline_too(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project, m=FAULTY)
    gradfix("check", "--write-baseline", "known.json")
    with open(project / "m.py") as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        result = gradfix("check", "-", "--stdin-filename", "m.py", "--baseline", "known.json")
    assert result == (0, "", HIDDEN)


def test_one_baseline_wherever_gradfix_is_started(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".git").mkdir()
    (project / "src").mkdir()
    put(project / "src", m=FAULTY)
    gradfix("check", "--write-baseline", "known.json")
    monkeypatch.chdir(project / "src")
    assert gradfix("check", "--baseline", "../known.json") == (0, "", HIDDEN)
    assert gradfix("check", "m.py", "--baseline", "../known.json").code == 0


# -- the configuration ----------------------------------------------------------------------------


def test_the_configuration_names_a_baseline_beside_itself(
    project: Path, gradfix: Gradfix, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "gradfix.toml").write_text('baseline = "ci/known.json"\n')
    (project / "ci").mkdir()
    (project / "src").mkdir()
    put(project / "src", m=FAULTY)
    # It cannot be there before it is written.
    assert gradfix("check", "--write-baseline", "ci/known.json").code == 0
    assert gradfix("check") == (0, "", HIDDEN)
    assert gradfix("check", "--no-baseline").code == 1
    assert gradfix("check", "--isolated").code == 1
    (project / "empty.json").write_text('{"version": 1, "findings": {}}')
    assert gradfix("check", "--baseline", "empty.json").code == 1


def test_a_baseline_that_is_no_string_is_an_error(project: Path, gradfix: Gradfix) -> None:
    (project / "gradfix.toml").write_text("baseline = 3\n")
    put(project, m=FAULTY)
    assert gradfix("check") == (2, "", "error: gradfix.toml: 'baseline' must be a string\n")


# -- entries that are gone ------------------------------------------------------------------------


def test_entries_that_are_gone_are_told(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, n=FAULTY, other=FAULTY)
    gradfix("check", "--write-baseline", "known.json")
    put(project, m=MENDED)
    (project / "n.py").unlink()
    result = gradfix("check", "--baseline", "known.json")
    assert result.code == 0
    assert result.err.splitlines()[1:] == [
        "note: 2 entries of known.json are not found any more;"
        " `gradfix check --write-baseline known.json` leaves them out"
    ]
    assert gradfix("check", "--baseline", "known.json", "-q").err == ""


def test_a_run_over_a_part_says_nothing_about_the_rest(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, n=FAULTY)
    gradfix("check", "--write-baseline", "known.json")
    put(project, m=MENDED)
    assert "note:" not in gradfix("check", "n.py", "--baseline", "known.json").err
    assert "note:" not in gradfix("check", "--select", "GF1", "--baseline", "known.json").err
    put(project, m=PYTHON_2)
    broken = gradfix("check", "m.py", "--baseline", "known.json")
    assert (broken.code, "note:" in broken.err) == (2, False)


# -- what goes wrong ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (None, "known.json: no such baseline; "),
        (b'{"version": 1,\n<<<<<<< ours\n', "known.json:2: no baseline of gradfix: "),
        (b"\xff\xfe\x00", "known.json: no baseline of gradfix; "),
        (b"[" * 100_000, "known.json: no baseline of gradfix; "),
        (b"[]", "known.json: no baseline of gradfix; "),
        (b'{"version": 1}', "known.json: no baseline of gradfix; "),
        (b'{"version": 1, "findings": {"m.py": {"GF301": [3]}}}', "known.json: no baseline of "),
        (b'{"version": 7, "findings": {}}', "known.json: written by a newer gradfix; "),
    ],
)
@pytest.mark.parametrize("command", ["check", "apply"])
def test_a_missing_or_damaged_baseline_stops_the_run(
    command: str, raw: bytes | None, complaint: str, project: Path, gradfix: Gradfix
) -> None:
    put(project, m=FAULTY)
    if raw is not None:
        (project / "known.json").write_bytes(raw)
    result = gradfix(command, "--baseline", "known.json")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"error: {complaint}")
    assert result.err.endswith("`gradfix check --write-baseline known.json` writes it\n")
    assert result.err.count("\n") == 1
    assert (project / "m.py").read_text() == FAULTY


@pytest.mark.parametrize("target", ["nowhere/known.json", "folder"])
def test_a_baseline_that_cannot_be_written_is_said(
    target: str, project: Path, gradfix: Gradfix
) -> None:
    (project / "folder").mkdir()
    put(project, m=FAULTY)
    result = gradfix("check", "--write-baseline", target)
    assert result.code == 2
    assert result.err.startswith(f"error: {target}: ")
    assert sorted(path.name for path in project.glob("[!.]*")) == ["folder", "m.py"]


def test_errors_still_count_when_a_baseline_is_written(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY, bad=PYTHON_2)
    result = gradfix("check", "--write-baseline", "known.json")
    assert result.code == 2
    assert result.err.splitlines()[-1] == "Wrote 1 finding to known.json."


def test_programs_learn_how_many_are_hidden(project: Path, gradfix: Gradfix) -> None:
    put(project, m=FAULTY)
    gradfix("check", "--write-baseline", "known.json")
    document = json.loads(
        gradfix("check", "--baseline", "known.json", "--output-format", "json").out
    )
    assert (document["baselined"], document["findings"]) == (1, [])
