"""STATEMENT and BEFORE: statements by statements, as before/after, with the comments around."""

from __future__ import annotations

import pytest
from rewrite_helpers import apply, apply_edits, before, fix, replace, statement

from gradfix.errors import RewriteError

# text, the statement to replace (how it begins), the new statements, the new text
REPLACED = {
    "one by one": ("x = 1\ny = 2\n", "x", "z = 3\n", "z = 3\ny = 2\n"),
    "one by two": ("x = 1\ny = 2\n", "x", "a = 1\nb = 2", "a = 1\nb = 2\ny = 2\n"),
    "without final newline": ("a\nx = 1", "x", "y = 2\nz = 3\n", "a\ny = 2\nz = 3"),
    "in a block": (
        "def f():\n    x = 1\n    return x\n",
        "x",
        "a = 1\nif a:\n    b = 2",
        "def f():\n    a = 1\n    if a:\n        b = 2\n    return x\n",
    ),
    "in a block of tabs": (
        "def f():\n\tx = 1\n",
        "x",
        "if a:\n    b = g(\n        1,\n    )",
        "def f():\n\tif a:\n\t\tb = g(\n\t\t\t1,\n\t\t)\n",
    ),
    "lines after a backslash stand in the block": (
        "class A:\n    def f(self):\n        x = 1\n",
        "x",
        "if a:\n    b = \\\n        c\nd = e + \\\n    g(h,\n      i)",
        "class A:\n    def f(self):\n        if a:\n            b = \\\n                c\n"
        "        d = e + \\\n            g(h,\n              i)\n",
    ),
    "lines after a backslash, tabs and windows newlines": (
        "if a:\r\n\tx = 1\r\n",
        "x",
        "b = \\\n    c",
        "if a:\r\n\tb = \\\r\n\t    c\r\n",
    ),
    "in a block of two spaces": (
        "def f():\n  x = 1\n",
        "x",
        "if a:\n    b = 2",
        "def f():\n  if a:\n    b = 2\n",
    ),
    "the block's own indentation, not the file's": (
        "if a:\n    b\nif c:\n  x = 1\n",
        "x",
        "if a:\n    b = 2",
        "if a:\n    b\nif c:\n  if a:\n    b = 2\n",
    ),
    "windows newlines": (
        "def f():\r\n    x = 1\r\n",
        "x",
        "if a:\n    b = 2",
        "def f():\r\n    if a:\r\n        b = 2\r\n",
    ),
    "mostly windows newlines": (
        "a\nb\r\nc\r\nx = 1\r\n",
        "x",
        "y = [\n    1\n]",
        "a\nb\r\nc\r\ny = [\r\n    1\r\n]\r\n",
    ),
    "mostly plain newlines": (
        "a\r\nb\nc\nx = 1\n",
        "x",
        "y = [\n    1\n]\nz = 1",
        "a\r\nb\nc\ny = [\n    1\n]\nz = 1\n",
    ),
    "comments above stay": (
        "a\n\n# far\n\n# own\nx = 1\n",
        "x",
        "# new\ny = 2",
        "a\n\n# far\n\n# own\n# new\ny = 2\n",
    ),
    "trailing comment goes to the last line": (
        "x = 1  # why\n",
        "x",
        "a = 1\nb = [\n    2,\n]",
        "a = 1\nb = [\n    2,\n]  # why\n",
    ),
    "trailing comment goes into the block": (
        "x = 1  # why\n",
        "x",
        "with no_grad():\n    x -= 1",
        "with no_grad():\n    x -= 1  # why\n",
    ),
    "trailing comment that the new code has": (
        "x = 1  # why\n",
        "x",
        "# why\ny = 2",
        "# why\ny = 2\n",
    ),
    "two trailing comments": ("x = 1  # why\n", "x", "y = 2  # new", "# why\ny = 2  # new\n"),
    "inner comments are kept above": (
        "x = [\n    1,  # one\n    2,  # two\n]  # end\n",
        "x",
        "y = f()  # two",
        "# one\n# end\ny = f()  # two\n",
    ),
    "a loop": (
        "def f():\n    # fill\n    for i in x:  # all\n        # each\n        a[i] = 1\n"
        "        # foot\n    return\n",
        "for",
        "a = g(x)",
        "def f():\n    # fill\n    # all\n    # each\n    a = g(x)\n    # foot\n" "    return\n",
    ),
    "a loop whose body ends in a comment": (
        "for i in x:\n    a[i] = 1  # each\nb\n",
        "for",
        "a = g(x)",
        "# each\na = g(x)\nb\n",
    ),
    "a loop on one row": ("for i in x: a[i] = 1  # all\n", "for", "a = g(x)", "a = g(x)  # all\n"),
    "a loop by a loop": (
        "for i in x:\n    a[i] = 1  # each\n    # foot\nb\n",
        "for",
        "for j in y:\n    a[j] = 2",
        "for j in y:\n    a[j] = 2  # each\n# foot\nb\n",
    ),
    "decorators belong to the statement": (
        "@a\n@b\ndef f(): pass\ny\n",
        "def f",
        "def g(): pass",
        "def g(): pass\ny\n",
    ),
    "an async loop": (
        "async def f():\n    async for i in x: pass\n",
        "async for",
        "y = 1",
        "async def f():\n    y = 1\n",
    ),
    "blank rows inside": (
        "if a:\n    x = 1\n",
        "x",
        "y = [\n    1,\n\n    2,\n]\n\nz = 3",
        "if a:\n    y = [\n        1,\n\n        2,\n    ]\n\n    z = 3\n",
    ),
    "only comments left": ("x = 1\ny = 2\n", "x", "# gone", "# gone\ny = 2\n"),
    "first of a row": ("x = 1; y = 2  # c\n", "x", "z = 3", "z = 3; y = 2  # c\n"),
    "last of a row": ("x = 1; y = 2  # c\n", "y", "z = 3", "x = 1; z = 3  # c\n"),
    "last of a row with semicolon": ("x = 1; y = 2;\n", "y", "z = 3", "x = 1; z = 3;\n"),
    "suite": ("if a: x = 1  # c\n", "x", "y = 2", "if a: y = 2  # c\n"),
    "suite expands": (
        "if a: x = 1  # c\nelse: b\n",
        "x",
        "y = 2\nz = 3",
        "if a:\n    y = 2\n    z = 3  # c\nelse: b\n",
    ),
    "suite expands for a block": (
        "class A: x = 1\n",
        "x",
        "if b:\n    y = 2",
        "class A:\n    if b:\n        y = 2\n",
    ),
    "suite in a block": (
        "def f():\n\tif a: x = 1\n\treturn\n",
        "x",
        "y = 2\nz = 3",
        "def f():\n\tif a:\n\t\ty = 2\n\t\tz = 3\n\treturn\n",
    ),
    "strings over rows stay": (
        "if a:\n    x = 1\n",
        "x",
        "y = '''\nq\n  r'''",
        "if a:\n    y = '''\nq\n  r'''\n",
    ),
}

REMOVED = {
    "between others": ("a\nx = 1\nb\n", "x", "a\nb\n"),
    "first": ("x = 1\n\nb\n", "x", "b\n"),
    "first below a header": ("# top\n\nx = 1\nb\n", "x", "# top\n\nb\n"),
    "last": ("a\nx = 1\n", "x", "a\n"),
    "last without newline": ("a\nx = 1", "x", "a"),
    "all": ("x = 1\n", "x", ""),
    "all but comments": ("# a\nx = 1  # b\n# c\n", "x", "# a\n# b\n# c\n"),
    "only one of a block": ("def f():\n    x = 1\n", "x", "def f():\n    pass\n"),
    "only one of a block with comments": (
        "def f():\n    # a\n    x = 1  # b\n    # c\ny\n",
        "x",
        "def f():\n    # a\n    # b\n    pass\n    # c\ny\n",
    ),
    "only one of an else": (
        "if a:\n    b\nelse:\n    x = 1\n",
        "x",
        "if a:\n    b\nelse:\n    pass\n",
    ),
    "comments go to the next": (
        "a\n# own\nx = 1  # t\n# next\nb\n",
        "x",
        "a\n# own\n# t\n# next\nb\n",
    ),
    "comments go to the footer": (
        "def f():\n    a\n    # own\n    x = 1  # t\n    # foot\ny\n",
        "x",
        "def f():\n    a\n    # own\n    # t\n    # foot\ny\n",
    ),
    "blank rows do not add up": ("a\n\nx = 1\n\nb\n", "x", "a\n\nb\n"),
    "a blank row stays": ("a\n\nx = 1\nb\n", "x", "a\n\nb\n"),
    "first of a row": ("x = 1; y = 2  # c\n", "x", "y = 2  # c\n"),
    "last of a row": ("x = 1; y = 2  # c\n", "y", "x = 1  # c\n"),
    "suite": ("if a: x = 1\n", "x", "if a: pass\n"),
    "suite with comment": ("if a: x = 1  # c\nb\n", "x", "if a:\n    # c\n    pass\nb\n"),
    "a compound one": ("a\nfor i in x:\n    b\nelse:\n    c\nd\n", "for", "a\nd\n"),
}

BEFORE = {
    "a statement": ("a\nx = 1\n", "x", "y = 2", "a\ny = 2\nx = 1\n"),
    "the first": ("x = 1\n", "x", "y = 2", "y = 2\nx = 1\n"),
    "the first below the top comments": (
        "#!/bin/x\nx = 1\n",
        "x",
        "y = 2",
        "#!/bin/x\ny = 2\nx = 1\n",
    ),
    "the first with its own comment": (
        "# top\n\n# own\nx = 1\n",
        "x",
        "y = 2",
        "# top\n\ny = 2\n# own\nx = 1\n",
    ),
    "own comments stay attached": (
        "a\n\n# far\n\n# own\n# more\nx = 1\n",
        "x",
        "# new\ny = 2",
        "a\n\n# far\n\n# new\ny = 2\n# own\n# more\nx = 1\n",
    ),
    "a loop": (
        "def f():\n    # own\n    for i in x:\n        a\n",
        "for",
        "y = 2",
        "def f():\n    y = 2\n    # own\n    for i in x:\n        a\n",
    ),
    "after a docstring": (
        'def f():\n    """D."""\n    x = 1\n',
        "x",
        "y = 2",
        'def f():\n    """D."""\n    y = 2\n    x = 1\n',
    ),
    "decorators": ("a\n@d\ndef f(): pass\n", "def f", "y = 2", "a\ny = 2\n@d\ndef f(): pass\n"),
    "a nested if": (
        "if a:\n    b\nelse:\n    if c: d\n",
        "if c",
        "y = 2",
        "if a:\n    b\nelse:\n    y = 2\n    if c: d\n",
    ),
    "a block before": ("x = 1\n", "x", "if a:\n    b\n# foot", "if a:\n    b\n# foot\nx = 1\n"),
    "the first of a row": ("x = 1; z\n", "x", "if a: b", "if a: b\nx = 1; z\n"),
    "the last of a row": ("x = 1; z\n", "z", "y = 2", "x = 1; y = 2; z\n"),
    "in a suite": ("if a: x = 1  # c\n", "x", "y = 2", "if a:\n    y = 2\n    x = 1  # c\n"),
    "windows newlines": ("a\r\nx = 1", "x", "y = 2", "a\r\ny = 2\r\nx = 1"),
    "tabs": ("if a:\n\tx = 1\n", "x", "if b:\n    c", "if a:\n\tif b:\n\t\tc\n\tx = 1\n"),
}


@pytest.mark.parametrize("case", REPLACED.values(), ids=REPLACED)
def test_replaced(case: tuple[str, str, str, str]) -> None:
    text, code, content, after = case
    assert apply(text, lambda text: statement(text, code, content)) == after


@pytest.mark.parametrize("case", REMOVED.values(), ids=REMOVED)
def test_removed(case: tuple[str, str, str]) -> None:
    text, code, after = case
    assert apply(text, lambda text: statement(text, code, "")) == after


@pytest.mark.parametrize("case", BEFORE.values(), ids=BEFORE)
def test_before(case: tuple[str, str, str, str]) -> None:
    text, code, content, after = case
    assert apply(text, lambda text: before(text, code, content)) == after


def test_comments_carried_by_another_edit_of_the_fix_are_not_repeated() -> None:
    text = "a = zeros(2)\na[0] = x  # first\na[1] = y  # second\nz = 1  # first\n"
    after = "a = stack([\n    x,  # first\n    y,  # second\n])\nz = 1  # first\n"
    edits = fix(
        statement(text, "a = zeros", "a = stack([\n    x,  # first\n    y,  # second\n])"),
        statement(text, "a[0]", ""),
        statement(text, "a[1]", ""),
    )
    assert apply_edits(text, [edits]) == after


def test_comments_carried_by_another_fix_are_kept() -> None:
    text = "a = 1  # note\nb = 2\n"
    fixes = [fix(statement(text, "a", "")), fix(statement(text, "b", "c = 3  # note"))]
    assert apply_edits(text, fixes) == "# note\nc = 3  # note\n"


def test_removing_neighbours_keeps_their_comments_in_order() -> None:
    text = "def f():\n    # one\n    a = 1\n    # two\n    b = 2  # three\n    return\n"
    edits = fix(statement(text, "a", ""), statement(text, "b", ""))
    assert apply_edits(text, [edits]) == (
        "def f():\n    # one\n    # two\n    # three\n    return\n"
    )


def test_removing_a_whole_row_and_a_whole_block() -> None:
    text = "if c:\n    a = 1; b = 2  # both\n"
    edits = fix(statement(text, "a", ""), statement(text, "b", ""))
    assert apply_edits(text, [edits]) == "if c:\n    # both\n    pass\n"


def test_before_goes_with_other_edits_of_the_same_statement() -> None:
    text = "for i in x:\n    a = w\n"
    fixes = [
        fix(before(text, "for", "n = 1"), replace(text, "w", "v")),
        fix(before(text, "for", "m = 2")),
        fix(before(text, "for", "n = 1")),
    ]
    assert apply_edits(text, fixes) == "n = 1\nm = 2\nfor i in x:\n    a = v\n"


def test_before_and_replacement_of_one_statement() -> None:
    text = "# own\n\n# its\nx = 1  # c\n"
    edits = fix(before(text, "x", "a = 0"), statement(text, "x", "y = 2"))
    assert apply_edits(text, [edits]) == "# own\n\na = 0\n# its\ny = 2  # c\n"


def test_refused_statements() -> None:
    cases = [
        ("if a: b\nelif c: d\n", "elif", before, "y", "elif"),
        ("if a: b\nelif c: d\n", "elif", statement, "y", "elif"),
        ("x = 1; y = 2\n", "x", statement, "a\nb", "shares its row"),
        ("x = 1; y = 2\n", "y", statement, "if a: b", "shares its row"),
        ("x = 1; y = 2\n", "y", statement, "a  # c", "shares its row"),
        ("x = 1; y = 2\n", "y", before, "if a: b", "shares its row"),
        ("x = 1\n", "x", statement, "y = (", "does not parse"),
        ("x = 1\n", "x", statement, "  y = 1", "does not parse"),
    ]
    for text, code, build, content, reason in cases:
        with pytest.raises(RewriteError, match=reason) as caught:
            apply(text, lambda text, b=build, c=code, n=content: b(text, c, n))
        assert "\n" not in str(caught.value)


def test_nothing_is_applied_when_one_edit_fails() -> None:
    text = "a = 1; b = 2\nc = 3\n"
    edits = [fix(statement(text, "c", "d = 4")), fix(statement(text, "a", "x\ny"))]
    with pytest.raises(RewriteError):
        apply_edits(text, edits)


def test_edits_inside_a_replaced_statement_are_refused() -> None:
    text = "@dec(q)\ndef f():\n    x = 1\n"
    whole = statement(text, "def f", "y = 1")
    for inner in (replace(text, "1", "2"), before(text, "x", "z"), replace(text, "q", "w")):
        with pytest.raises(RewriteError):
            apply_edits(text, [fix(whole, inner)])
