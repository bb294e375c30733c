"""Codemods are known by their texts before they are imported, and the texts say the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gradfix import cache, engine, registry

PLAIN = '''\
"""GF990: one."""
from gradfix.codemod import Codemod


class Plain(Codemod):
    """What it does: code = "GF1".

    code = "GF998"
    mentions = "nothing"
    """

    code{annotation} = "GF990"{rest}

    def find(self, flow):
        code = "GF2"
        yield from ()
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is all there is of codemods."""
    package = tmp_path / f"codemods_of_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(registry, "_PACKAGE", package.name)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield package
    registry.entries.cache_clear()
    registry.codemods.cache_clear()


@pytest.fixture(autouse=True)
def afresh(folder: Path) -> None:
    registry.entries.cache_clear()
    registry.codemods.cache_clear()


def known(path: Path, text: str) -> tuple[str, str, str]:
    path.write_text(text)
    registry.entries.cache_clear()
    [entry] = registry.entries()
    assert entry.path == str(path)
    return entry.code, entry.name, entry.mentions


@pytest.mark.parametrize("annotation", ["", ": ClassVar[str]"])
@pytest.mark.parametrize(
    ("rest", "mentions"), [("", "torch"), ('\n    mentions = "volatile"', "volatile")]
)
def test_the_text_says_it(annotation: str, rest: str, mentions: str, folder: Path) -> None:
    text = PLAIN.format(annotation=annotation, rest=rest)
    assert known(folder / "plain_one.py", text) == ("GF990", "plain-one", mentions)
    assert registry.codemods.cache_info().currsize == 0  # nothing was imported


@pytest.mark.parametrize(
    ("old", "new", "mentions"),
    [
        ('code = "GF990"', 'code = "GF" + "990"', "torch"),
        ('code = "GF990"', 'code = "GF99\\x30"', "torch"),
        ('code = "GF990"', 'code = "GF991"\n    code = "GF990"', "torch"),
        ('code = "GF990"', 'code, mentions = "GF990", "jax"', "jax"),
        ('code = "GF990"', 'code = "GF990"\n    mentions = "ja" "x"', "jax"),
        ("import Codemod\n", "import Codemod\nX = '''\n    mentions = \"no\"\n'''\n", "torch"),
    ],
)
def test_where_the_text_is_not_plain_the_class_says_it(
    old: str, new: str, mentions: str, folder: Path
) -> None:
    text = PLAIN.format(annotation="", rest="")
    assert old in text
    expected = ("GF990", "other-one", mentions)
    assert known(folder / "other_one.py", text.replace(old, new)) == expected
    assert registry.codemods.cache_info().currsize == 1


def test_what_a_file_has_to_mention_is_what_its_codemods_say(folder: Path) -> None:
    text = PLAIN.format(annotation="", rest='\n    mentions = "volatile"')
    known(folder / "plain_one.py", text)
    assert engine.concerns(b"x.volatile")
    assert not engine.concerns(b"import torch")


def test_a_changed_codemod_is_another_gradfix(folder: Path) -> None:
    path, text = folder / "plain_one.py", PLAIN.format(annotation="", rest="")
    known(path, text)
    before = cache.source_stamp(registry.entries())
    assert cache.source_stamp(registry.entries()) == before
    known(path, text.replace("yield from ()", "yield 1"))
    assert cache.source_stamp(registry.entries()) != before
    known(path, text)
    assert cache.source_stamp(registry.entries()) == before
    (folder / "second.py").write_text(text.replace("GF990", "GF989"))
    registry.entries.cache_clear()
    assert [entry.code for entry in registry.entries()] == ["GF989", "GF990"]
    assert cache.source_stamp(registry.entries()) != before
