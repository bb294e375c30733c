"""REPLACE: an expression by an expression, as before/after."""

from __future__ import annotations

import pytest
from rewrite_helpers import apply, apply_edits, fix, replace, statement

from gradfix.errors import RewriteError
from gradfix.model import Edit, EditKind, Span

# text, the expression to replace, its replacement, the new text
CASES = {
    "name": ("y = x\n", "x", "w", "y = w\n"),
    "assignment target": ("x = 1\n", "x", "new", "new = 1\n"),
    "augmented target": ("x += 1\n", "x", "new", "new += 1\n"),
    "annotated target": ("x: int = 1\n", "x", "new", "new: int = 1\n"),
    "annotated target becomes an attribute": ("x: int = 1\n", "x", "s.x", "s.x: int = 1\n"),
    "annotation": ("def f(a: T) -> U: ...\n", "U", "V", "def f(a: T) -> V: ...\n"),
    "keyword value": ("f(a=x)\n", "x", "a, b", "f(a=(a, b))\n"),
    "keyword walrus": ("f(a=x)\n", "x", "(b := 1)", "f(a=(b := 1))\n"),
    "decorator": ("@dec\ndef f(): ...\n", "dec", "other(1)", "@other(1)\ndef f(): ...\n"),
    "del target": ("del x, y\n", "y", "z[0]", "del x, z[0]\n"),
    "for target": ("for i in x: pass\n", "i", "a, b", "for a, b in x: pass\n"),
    "for iterable": ("for i in x: pass\n", "x", "a, b", "for i in a, b: pass\n"),
    "with item": ("with x as f: pass\n", "x", "open(p)", "with open(p) as f: pass\n"),
    "with target": ("with x as f: pass\n", "f", "g", "with x as g: pass\n"),
    "base class": ("class A(B): pass\n", "B", "nn.Module", "class A(nn.Module): pass\n"),
    "default": ("def f(a=x): ...\n", "x", "lambda: 0", "def f(a=lambda: 0): ...\n"),
    "except": ("try: a\nexcept E: b\n", "E", "F, G", "try: a\nexcept (F, G): b\n"),
    # parentheses where the place asks for them
    "attribute": ("x.view(3)\n", "x", "a + b", "(a + b).view(3)\n"),
    "attribute of a call": ("x.view(3)\n", "x", "f(a)", "f(a).view(3)\n"),
    "attribute of a number": ("x.real\n", "x", "1", "(1).real\n"),
    "call": ("x(3)\n", "x", "lambda a: a", "(lambda a: a)(3)\n"),
    "subscript": ("x[3]\n", "x", "-a", "(-a)[3]\n"),
    "power base": ("x ** 2\n", "x", "-a", "(-a) ** 2\n"),
    "power base power": ("x ** 2\n", "x", "a ** b", "(a ** b) ** 2\n"),
    "power exponent": ("2 ** x\n", "x", "-a", "2 ** -a\n"),
    "power exponent power": ("2 ** x\n", "x", "a ** b", "2 ** a ** b\n"),
    "minus": ("-x\n", "x", "a + b", "-(a + b)\n"),
    "minus power": ("-x\n", "x", "a ** b", "-a ** b\n"),
    "left of minus": ("x - c\n", "x", "a - b", "a - b - c\n"),
    "right of minus": ("c - x\n", "x", "a - b", "c - (a - b)\n"),
    "right of minus, tighter": ("c - x\n", "x", "a * b", "c - a * b\n"),
    "factor": ("c * x\n", "x", "a + b", "c * (a + b)\n"),
    "matmul": ("c @ x\n", "x", "a @ b", "c @ (a @ b)\n"),
    "comparison": ("x < c\n", "x", "a < b", "(a < b) < c\n"),
    "comparison right": ("c < x\n", "x", "a | b", "c < a | b\n"),
    "not": ("not x\n", "x", "a and b", "not (a and b)\n"),
    "not of a comparison": ("not x\n", "x", "a < b", "not a < b\n"),
    "and of and": ("x and c\n", "x", "a and b", "(a and b) and c\n"),
    "and of or": ("c and x\n", "x", "a or b", "c and (a or b)\n"),
    "or of and": ("c or x\n", "x", "a and b", "c or a and b\n"),
    "ternary test": ("a if x else b\n", "x", "c if d else e", "a if (c if d else e) else b\n"),
    "ternary else": ("a if b else x\n", "x", "c if d else e", "a if b else c if d else e\n"),
    "await": (
        "async def f():\n    await x\n",
        "x",
        "a + b",
        "async def f():\n    await (a + b)\n",
    ),
    "starred": ("f(*x)\n", "x", "a if b else c", "f(*a if b else c)\n"),
    "starred element": ("[*x]\n", "x", "a if b else c", "[*(a if b else c)]\n"),
    "argument tuple": ("f(x)\n", "x", "a, b", "f((a, b))\n"),
    "argument generator": ("f(x)\n", "x", "(i for i in a)", "f((i for i in a))\n"),
    "element tuple": ("[x, 1]\n", "x", "a, b", "[(a, b), 1]\n"),
    "returned tuple": ("def f(): return x\n", "x", "a, b", "def f(): return a, b\n"),
    "index tuple": ("t[x]\n", "x", "0, i", "t[0, i]\n"),
    "one of several indices": ("t[x, 1]\n", "x", "0, i", "t[(0, i), 1]\n"),
    "comprehension element": ("[x for i in a]\n", "x", "p, q", "[(p, q) for i in a]\n"),
    "comprehension iterable": (
        "[i for i in x]\n",
        "x",
        "a if b else c",
        "[i for i in (a if b else c)]\n",
    ),
    "lambda body": ("f = lambda: x\n", "x", "a, b", "f = lambda: (a, b)\n"),
    # parentheses and comments that are there
    "keeps outer parentheses": ("y = (x)\n", "x", "a + b", "y = (a + b)\n"),
    "keeps spacing": ("y = ( x )\n", "x", "a + b", "y = ( a + b )\n"),
    "no double parentheses": ("y = (x)\n", "x", "(a + b)", "y = (a + b)\n"),
    "comment in kept parentheses": (
        "y = (  # why\n    x\n)\n",
        "x",
        "(a + b)",
        "y = (  # why\n    a + b\n)\n",
    ),
    "tuple in commented parentheses": (
        "y = (  # why\n    x\n)\n",
        "x",
        "(a, b)",
        "y = (  # why\n    (a, b)\n)\n",
    ),
    "tuple with its parentheses": ("y = (a, b)\n", "(a, b)", "c", "y = c\n"),
    "tuple in parentheses": ("y = ((a, b))\n", "(a, b)", "c", "y = (c)\n"),
    "bare tuple": ("y = a, b\n", "a, b", "c, d", "y = c, d\n"),
    "tuple that touches a word": ("def f(): return(a, b)\n", "(a, b)", "c", "def f(): return(c)\n"),
    "string that touches a word": ("y = ''if a else 2\n", "''", "b", "y = (b)if a else 2\n"),
    "only generator argument": ("f(i for i in x)\n", "(i for i in x)", "y", "f(y)\n"),
    "generator for generator": (
        "f(i for i in x)\n",
        "(i for i in x)",
        "(j for j in x)",
        "f(j for j in x)\n",
    ),
    "generator in parentheses": ("g = (i for i in x)\n", "(i for i in x)", "y", "g = y\n"),
    "several indices": ("t[0, :]\n", "0, :", "1, 2:", "t[1, 2:]\n"),
    "one slice": ("t[a:b]\n", "a:b", ":n", "t[:n]\n"),
    "slice by an index": ("t[a:b]\n", "a:b", "n", "t[n]\n"),
    "trailing comment": ("y = x  # keep\n", "x", "w", "y = w  # keep\n"),
    "inner comment moves up": (
        "if c:\n    y = f(\n        a,  # first\n    )\n",
        "f(\n        a,  # first\n    )",
        "g(a)",
        "if c:\n    # first\n    y = g(a)\n",
    ),
    "inner comment carried": (
        "y = f(\n    a,  # first\n)\n",
        "f(\n    a,  # first\n)",
        "g(\n    a,  # first\n)",
        "y = g(\n    a,  # first\n)\n",
    ),
    # places in the text
    "wide characters before": ("é = 'ß𝔘'; y = x\n", "x", "w", "é = 'ß𝔘'; y = w\n"),
    "after a tab": ("if a:\n\ty = x\n", "x", "w", "if a:\n\ty = w\n"),
    "after a continuation": ("y = a + \\\n    x\n", "x", "w", "y = a + \\\n    w\n"),
    "inside an f-string": ("f'{x!r:>{n}}'\n", "x", "a + b", "f'{a + b!r:>{n}}'\n"),
    "f-string and a dict": ("f'{x}'\n", "x", "{1: 2}", "f'{({1: 2})}'\n"),
    "f-string and a lambda": ("f'{x}'\n", "x", "lambda: 1", "f'{(lambda: 1)}'\n"),
    "f-string itself": ("y = f'{x}'\n", "f'{x}'", "w", "y = w\n"),
    "joined strings": ("y = 'a' 'b'\n", "'a' 'b'", "w", "y = w\n"),
    "no final newline": ("y = x", "x", "w", "y = w"),
    "windows newlines": ("a\r\ny = x\r\n", "x", "w", "a\r\ny = w\r\n"),
    "form feed inside": ("a\n\f\ny = x\n", "x", "w", "a\n\f\ny = w\n"),
    "condition in elif": (
        "if a: pass\nelif x: pass\n",
        "x",
        "b := 1",
        "if a: pass\nelif b := 1: pass\n",
    ),
    # replacements over several rows
    "rows get the block's indentation": (
        "if a:\n    y = x\n",
        "x",
        "stack([\n    a,  # one\n\n    b,\n])",
        "if a:\n    y = stack([\n        a,  # one\n\n        b,\n    ])\n",
    ),
    "rows already in the block stay": (
        "if a:\n    y = x\n",
        "x",
        "stack([\n        a,\n    ])",
        "if a:\n    y = stack([\n        a,\n    ])\n",
    ),
    "rows take tabs": (
        "if a:\n\ty = x\n",
        "x",
        "stack([\n    a,\n])",
        "if a:\n\ty = stack([\n\t\ta,\n\t])\n",
    ),
    "rows take windows newlines": (
        "if a:\r\n  y = x\r\n",
        "x",
        "f(\n    a,\n)",
        "if a:\r\n  y = f(\r\n    a,\r\n  )\r\n",
    ),
    "strings over rows stay": (
        "if a:\n    y = x\n",
        "x",
        "'''\nq\n  r'''",
        "if a:\n    y = '''\nq\n  r'''\n",
    ),
    "rows without brackets get some": ("y = x\n", "x", "a +\nb", "y = (a +\nb)\n"),
    "rows inside brackets need none": ("f(x)\n", "x", "a +\nb", "f(a +\nb)\n"),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_replace(case: tuple[str, str, str, str]) -> None:
    text, code, content, after = case
    assert apply(text, lambda text: replace(text, code, content)) == after


REFUSED = {
    "target cannot be a sum": ("x = 1\n", "x", "a + b", "does not parse"),
    "walrus target": ("(x := 1)\n", "x", "a.b", "does not"),
    "does not parse": ("y = x\n", "x", "a +", "the replacement does not parse"),
    "not an expression": ("y = x\n", "x", "a = 1", "does not parse"),
    "empty": ("y = x\n", "x", "", "is empty"),
    "only a comment": ("y = x\n", "x", "# w", "is empty"),
    "two expressions": ("y = x\n", "x", "a)\n(b", "not one expression"),
    "quotes of the f-string": ("f'{x}'\n", "x", "d['k']", "f-string"),
    "debugging f-string": ("f'{x=}'\n", "x", "w", "would not mean"),
    "match pattern": ("match a:\n    case b.c: pass\n", "b.c", "f(1)[0]", "does not"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_replace_refused(case: tuple[str, str, str, str]) -> None:
    text, code, content, reason = case
    with pytest.raises(RewriteError, match=reason) as caught:
        apply(text, lambda text: replace(text, code, content))
    assert "\n" not in str(caught.value)


def test_global_names_are_renamed_where_declared() -> None:
    text = "def f():\n    global a, b\n    b = 1\n"
    declared = Edit(EditKind.REPLACE, Span(2, 15, 2, 16), "c")
    assert apply(text, lambda _: declared, lambda text: replace(text, "b", "c")) == (
        "def f():\n    global a, c\n    c = 1\n"
    )


def test_a_span_without_a_node_is_refused() -> None:
    for span in (Span(1, 1, 1, 3), Span(7, 1, 7, 2), Span(1, 5, 1, 7)):
        with pytest.raises(RewriteError, match="no expression at row"):
            apply_edits("abc = 1\n", [fix(Edit(EditKind.REPLACE, span, "y"))])


def test_several_edits_at_once() -> None:
    text = "y = f(x, x) + x\n"
    edits = [lambda text, n=n: replace(text, "x", f"x{n}", nth=n) for n in range(3)]
    assert apply(text, *edits) == "y = f(x0, x1) + x2\n"


def test_identical_edits_of_two_fixes_collapse() -> None:
    text = "y = x\n"
    once = fix(replace(text, "x", "w"))
    assert apply_edits(text, [once, once]) == "y = w\n"


def test_overlapping_edits_are_refused() -> None:
    text = "y = f(x)\n"
    inner, outer = replace(text, "x", "w"), replace(text, "f(x)", "g(x)")
    for pair in (
        [inner, outer],
        [outer, inner],
        [inner, replace(text, "x", "v")],
        [inner, statement(text, "y", "z = 1")],
    ):
        with pytest.raises(RewriteError, match="overlap"):
            apply_edits(text, [fix(edit) for edit in pair])
