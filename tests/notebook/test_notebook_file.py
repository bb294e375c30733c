"""What a rewrite leaves of a notebook's file: everything but the lines of code that are new."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Any

import pytest
from notebook_helpers import FAULT, HEAD, LEAVES, MENDED, code, document, faulty, spelled, stream

from gradfix.config import settings_from
from gradfix.errors import SourceError
from gradfix.notebook import Notebook
from gradfix.notebook.stored import read_stored

SETTINGS = settings_from()


def applied(raw: bytes) -> bytes:
    """The file after `gradfix apply`."""
    notebook = Notebook.read(raw)
    return notebook.encode(notebook.fix("n.ipynb", SETTINGS).text)


def mended(raw: bytes) -> bytes:
    """What the file must be: one word is another, and nothing else differs."""
    assert raw.count(b"torch.tensor(") == 1
    return raw.replace(b"torch.tensor(", b"torch.stack(")


SPELLINGS: dict[str, Callable[[Any], str]] = {
    "as Jupyter": lambda d: json.dumps(d, indent=1, ensure_ascii=False) + "\n",
    "indented by two": lambda d: json.dumps(d, indent=2) + "\n",
    "indented by tabs": lambda d: json.dumps(d, indent="\t") + "\n",
    "on one line": lambda d: json.dumps(d),
    "dense": lambda d: json.dumps(d, separators=(",", ":")),
    "keys sorted": lambda d: json.dumps(d, indent=1, sort_keys=True) + "\n",
    "without a final newline": lambda d: json.dumps(d, indent=1),
    "with blank lines around": lambda d: "\n\n" + json.dumps(d, indent=1) + "\n\n\n",
    "CRLF": lambda d: json.dumps(d, indent=1).replace("\n", "\r\n") + "\r\n",
    "slashes escaped": lambda d: json.dumps(d, indent=1).replace("/", "\\/"),
    "angle brackets escaped": lambda d: json.dumps(d, indent=1).replace("<", "\\u003c"),
    "newlines by number": lambda d: json.dumps(d, indent=1).replace("\\n", "\\u000A"),
    "spaces before colons": lambda d: json.dumps(d, indent=1, separators=(" , ", " : ")),
}


@pytest.mark.parametrize("as_list", [True, False], ids=["list", "string"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_only_the_line_changes(spelling: str, as_list: bool) -> None:
    source = FAULT + "  # <µ> a/b \\n \"q\"\nprint('\\\\n')"
    notebook = faulty(source=source.splitlines(True) if as_list else source)
    notebook["metadata"] = {"authors": [{"name": "Ada/Bob <x>"}], "zoom": 1.50, "µ": 1e400}
    raw = SPELLINGS[spelling](notebook).encode()
    after = applied(raw)
    if spelling in ("newlines by number", "slashes escaped", "angle brackets escaped"):
        # The new line is spelled plainly; it is the only one.
        assert json.loads(after) == json.loads(mended(raw))
        old, new = raw.split(b"torch.tensor("), after.split(b"torch.stack(")
        assert old[0] == new[0]
        assert old[1].partition(b"backward")[2] == new[1].partition(b"backward")[2]
    else:
        assert after == mended(raw)
    assert applied(after) == after


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_other_letters_stay_as_they_are_spelled(ensure_ascii: bool) -> None:
    notebook = faulty(source=FAULT.replace("b])", "b])  # größer 😀").splitlines(True))
    raw = json.dumps(notebook, indent=1, ensure_ascii=ensure_ascii).encode()
    assert applied(raw) == mended(raw)


def test_code_with_crlf_keeps_it() -> None:
    crlf = FAULT.replace("\n", "\r\n")
    raw = json.dumps(faulty(source=crlf.splitlines(True)), indent=1).encode()
    assert applied(raw) == mended(raw)


def test_code_with_both_kinds_of_newlines_keeps_them() -> None:
    mixed = FAULT.replace("\n", "\r\n", 1)
    raw = json.dumps(faulty(source=mixed), indent=1).encode()
    assert applied(raw) == mended(raw)


def test_a_byte_order_mark_stays() -> None:
    raw = codecs.BOM_UTF8 + json.dumps(faulty()).encode()
    assert applied(raw) == mended(raw)


def test_items_that_are_no_lines_become_lines() -> None:
    parts = [FAULT[:20], FAULT[20:]]
    raw = json.dumps(faulty(source=parts)).encode()
    after = json.loads(applied(raw))
    assert after["cells"][3]["source"] == MENDED.splitlines(True)


def test_the_number_of_lines_can_change() -> None:
    source = (
        "part = Parameter(torch.rand(3))\nwhole = torch.zeros(2)\nwhole[0] = part[0] * 2\n"
        "whole[1] = part[1]\nwhole.sum().backward()"
    )
    wanted = source.partition("\n")[0] + (
        "\nwhole = torch.stack(\n    [\n        part[0] * 2,\n        part[1],\n    ]\n)"
        "\nwhole.sum().backward()"
    )
    for form in (source, source.splitlines(True)):
        raw = json.dumps(faulty(source=form), indent=1).encode()
        after = json.loads(applied(raw))
        assert after["cells"][3]["source"] == (
            wanted if isinstance(form, str) else wanted.splitlines(True)
        )


def test_a_cell_can_lose_all_its_lines() -> None:
    stored = read_stored(spelled("a = 1\nb = 2", "c = 3").encode())
    assert json.loads(stored.with_sources({1: ""}))["cells"][0]["source"] == []
    assert json.loads(stored.with_sources({1: "b = 2"}))["cells"][0]["source"] == ["b = 2"]
    one = json.loads(stored.with_sources({2: "c = 3\nd = 4\ne = 5"}))["cells"][1]["source"]
    assert one == ["c = 3\n", "d = 4\n", "e = 5"]


def test_outputs_of_any_size_are_not_touched() -> None:
    picture = {"data": {"image/png": "iVBOR" * 200_000}, "output_type": "display_data"}
    notebook = faulty(outputs=[picture, stream("torch.tensor[[[" * 1000)])
    raw = json.dumps(notebook, indent=1).encode()
    assert applied(raw) == mended(raw)


def test_equal_keys_count_once_as_for_every_reader() -> None:
    cell = json.dumps(code(FAULT))
    twice = cell[:-1] + ', "source": "x = 1"}'
    raw = spelled(HEAD, LEAVES).encode()
    raw = raw.replace(b'"cells": [', b'"cells": [' + twice.encode() + b",")
    notebook = Notebook.read(raw)
    assert "x = 1" in notebook.text
    assert "torch.tensor" not in notebook.text


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", "null", '{"nbformat": 4}', "x = 1"])
def test_what_is_no_notebook(text: str) -> None:
    with pytest.raises(SourceError, match="not a notebook"):
        Notebook.read(text.encode())


def test_what_is_wrong_is_said_with_its_row() -> None:
    with pytest.raises(SourceError, match="not a notebook") as trouble:
        Notebook.read(b'{"nbformat": 4,\n "cells": [}')
    assert trouble.value.row == 2
    with pytest.raises(SourceError, match="cell 1 has no source"):
        Notebook.read(json.dumps(document({"cell_type": "code"})).encode())
    with pytest.raises(SourceError, match="utf-8"):
        Notebook.read(b"\xff")
    with pytest.raises(SourceError, match="nested too deeply"):
        Notebook.read(b"[" * 200_000)


def test_old_formats_are_refused() -> None:
    with pytest.raises(SourceError, match="format 3, only 4 is read; `jupyter nbconvert"):
        Notebook.read(b'{"nbformat": 3, "worksheets": []}')


@pytest.mark.parametrize(
    "metadata",
    [
        {"kernelspec": {"language": "R", "name": "ir"}},
        {"language_info": {"name": "julia"}},
        {"kernelspec": {"language": "python"}, "language_info": {"name": "scala"}},
    ],
)
def test_notebooks_in_other_languages_are_left_alone(metadata: dict[str, Any]) -> None:
    raw = spelled(HEAD, LEAVES, FAULT, **metadata).encode()
    notebook = Notebook.read(raw)
    assert notebook.text == ""
    assert applied(raw) == raw


def test_cells_in_other_languages_are_left_alone() -> None:
    other = code("SELECT 1;", metadata={"vscode": {"languageId": "sql"}})
    raw = json.dumps(document(code(HEAD), other)).encode()
    assert "SELECT" not in Notebook.read(raw).text


def test_raw_cells_are_no_code() -> None:
    raw = json.dumps(document({"cell_type": "raw", "metadata": {}, "source": "x ="})).encode()
    assert Notebook.read(raw).text == ""
