"""Cells are one program; what only IPython understands stays, and is known to be unknown."""

from __future__ import annotations

import json

import pytest
from notebook_helpers import FAULT, HEAD, LEAVES, MENDED, spelled

from gradfix.config import settings_from
from gradfix.errors import SourceError
from gradfix.model import Outcome
from gradfix.notebook import Notebook

SETTINGS = settings_from()
UNSAFE = settings_from(unsafe_fixes=True)


def read(*sources: str) -> Notebook:
    return Notebook.read(spelled(*sources).encode())


def check(*sources: str) -> Outcome:
    return read(*sources).check("n.ipynb", SETTINGS)


def fixed(*sources: str) -> list[str]:
    """The sources after `apply`; a second run must change nothing."""
    notebook = read(*sources)
    raw = notebook.encode(notebook.fix("n.ipynb", SETTINGS).text)
    again = Notebook.read(raw)
    assert again.encode(again.fix("n.ipynb", SETTINGS).text) == raw
    return ["".join(cell["source"]) for cell in json.loads(raw)["cells"]]


def codes(outcome: Outcome) -> list[tuple[str, int | None, int]]:
    return [(f.code, f.cell, f.span.row) for f in outcome.findings]


# -- one program -----------------------------------------------------------------------------


def test_a_leaf_of_another_cell() -> None:
    outcome = check(HEAD, LEAVES, FAULT)
    assert codes(outcome) == [("GF301", 3, 2)]
    assert {note.cell for note in outcome.findings[0].because} <= {2, 3}
    fix = outcome.findings[0].fix
    assert fix is not None
    assert [(edit.cell, edit.span.row) for edit in fix.edits] == [(3, 2)]
    assert fixed(HEAD, LEAVES, FAULT) == [HEAD, LEAVES, MENDED]


def test_an_order_that_makes_no_leaf_is_no_fault() -> None:
    assert codes(check(HEAD, FAULT, LEAVES)) == []


def test_a_fix_over_two_cells_is_not_made() -> None:
    sources = (HEAD, "w = Parameter(torch.rand(3))\nw = w * 2", "w.sum().backward()\nw.grad")
    outcome = check(*sources)
    assert codes(outcome) == [("GF101", 2, 2)]
    assert outcome.findings[0].fix is None
    assert "several cells" in str(outcome.findings[0].not_fixed_reason)
    assert fixed(*sources) == list(sources)


def test_all_uses_in_one_cell() -> None:
    leaf, loss = "w = Parameter(torch.rand(3))", "w = w * 2\nw.sum().backward()\nprint(w.grad)"
    assert fixed(HEAD, leaf, loss) == [
        HEAD,
        leaf,
        "w_scaled = w * 2\nw_scaled.sum().backward()\nprint(w.grad)",
    ]


def test_rows_in_reasons_are_those_of_cells() -> None:
    outcome = check(
        HEAD,
        "w = Parameter(torch.rand(3))",
        "\nw = w * 2\ndef f():\n    return w\nw.sum().backward()\nw.grad",
    )
    (finding,) = outcome.findings
    assert (finding.cell, finding.span.row) == (3, 2)
    assert finding.not_fixed_reason == "`w` is also used by the nested code on line 3"


def test_rows_of_other_cells_say_so() -> None:
    outcome = check(
        HEAD,
        "T = Parameter(torch.rand(12)).view(3, 4)",
        "\n\nT.mul_(2)",
    )
    (finding,) = [f for f in outcome.findings if f.code == "GF102"]
    assert "on line 3 of cell 3" in str(finding.not_fixed_reason)


def test_what_a_cell_shows_is_not_thrown_away() -> None:
    made = HEAD + "\nw = Parameter(torch.rand(3))\nh = w * 2"
    assert codes(check(made, "h.clamp(0, 1)")) == []
    assert codes(check(made, "if True:\n    h.clamp(0, 1)")) == [("GF206", 2, 2)]
    assert codes(check(made, "h.clamp(0, 1)\nh.sum()")) == [("GF206", 2, 1)]
    assert codes(check(made, "h.clamp(0, 1);  # quiet")) == [("GF206", 2, 1)]
    assert codes(check(made, "h.clamp(0, 1)  # loud", "x = 1")) == []


def test_suppression_comments() -> None:
    assert codes(check(HEAD, LEAVES, FAULT.replace("b])", "b])  # noqa: GF301"))) == []
    assert codes(check("# gradfix: file-ignore[GF301]", HEAD, LEAVES, FAULT)) == []
    assert codes(check("x = 1  # noqa: GF301")) == [("GF900", 1, 1)]


def test_a_cell_that_was_black_clean_stays_so() -> None:
    long = (
        "printed_conductances = torch.tensor([a_long_name * 2, b_long_name * 3, a_long_name])\n"
        "printed_conductances.sum().backward();"
    )
    leaves = LEAVES.replace("a =", "a_long_name =").replace("b =", "b_long_name =")
    assert fixed(HEAD, leaves, "%precision 3\n" + long)[2] == "%precision 3\n" + long.replace(
        "torch.tensor(", "torch.stack("
    )
    source = "w = Parameter(torch.randn(12, 1)).view(3, 4)"
    wide = f"{source}  # {'x' * 40}\nw.sum().backward();"
    assert fixed(HEAD, wide)[1].endswith("\nw.sum().backward();")
    ugly = "w  =  Parameter( torch.randn(12) ).view(3,4)"
    assert fixed(HEAD, ugly)[1] == "w  =  Parameter( torch.randn(12).view(3,4) )"


# -- what is not Python ----------------------------------------------------------------------

LINES = [
    "%matplotlib inline",
    "% precision 3",
    "!pip install torch",
    "!echo {x} $HOME > 'a",
    "!!ls",
    "?print",
    "print?",
    "torch.nn.Linear??  # how?",
    "%timeit -n 1 x + 1",
    "%time y = x + 1",
    "%run other.py",
    "%%time",
    "files = !ls *.py",
    "out = %time 1 + 1",
    "a_, b_ = !ls",
    "%env A=b \\\n   c \\\n   d",
    "!for i in 1 2; do \\\n  echo \\\n done",
    "for i in range(2):\n    !echo {i}\n    %time x + i",
    "if True:\n\t%matplotlib inline\nelse:\n\tx = !ls",
    "/print x",
    ",print x",
    "plt = None;",
    "await_ = '''\n%no magic\n!nor this\n'''",
    "rest = (7\n  % 3)\n%precision 2",
    "tricky = \"it's\" '''a\n%b''' # '''\n%precision 2",
    "back = 7 \\\n  % 3\n%precision 2",
]


@pytest.mark.parametrize("line", LINES)
def test_lines_for_ipython_stay(line: str) -> None:
    before = f"{line}\n{FAULT}" if not line.startswith("%%") else f"{line}\n{FAULT};"
    after = fixed(HEAD, LEAVES, before)[2]
    assert after == before.replace("torch.tensor(", "torch.stack(")
    assert fixed(HEAD, LEAVES, f"{FAULT}\n{line}")[2].startswith(MENDED) or "%%" in line


@pytest.mark.parametrize("magic", ["%%time", "%%capture out", "\n%%time", "%%gradfix --run"])
def test_cell_magics_that_run_the_cell(magic: str) -> None:
    assert fixed(HEAD, LEAVES, f"{magic}\n{FAULT}")[2] == f"{magic}\n{MENDED}"


@pytest.mark.parametrize(
    "magic", ["%%bash", "%%html", "%%writefile m.py", "%%timeit", "%%cython", "%%python3", "%%R"]
)
def test_cells_for_others_are_left_alone(magic: str) -> None:
    cell = f"{magic}\nfi (:\n"
    outcome = check(HEAD, LEAVES, f"{magic}\n{FAULT}", cell)
    assert (codes(outcome), outcome.failures) == ([], ())
    assert fixed(HEAD, LEAVES, cell, FAULT)[2:] == [cell, MENDED]


def test_a_cell_magic_that_runs_elsewhere_may_bind_what_it_names() -> None:
    assert codes(check(HEAD, LEAVES, "%%R -o a -o b\na <- 3", FAULT)) == []
    assert fixed(HEAD, LEAVES, "%%R -o a\na <- 3", FAULT)[3] == FAULT
    assert codes(check(HEAD, LEAVES, "%%bash\necho a", FAULT)) == [("GF301", 4, 2)]


def test_a_cell_that_does_not_parse_is_said_and_the_others_are_read() -> None:
    outcome = check(HEAD, LEAVES, "x = 1\ndef f(:\n    pass", FAULT)
    assert [(f.cell, f.row) for f in outcome.failures] == [(3, 2)]
    assert "invalid syntax" in outcome.failures[0].message
    assert codes(outcome) == [("GF301", 4, 2)]
    assert fixed(HEAD, LEAVES, "def f(:", FAULT) == [HEAD, LEAVES, "def f(:", MENDED]


@pytest.mark.parametrize("text", ["a, b = ? !\nf(:", "%timeit a * b", "%time a = b * 2", "/f a b"])
def test_what_may_be_bound_elsewhere_is_unknown(text: str) -> None:
    """The names are mentioned where gradfix cannot read, so they may hold anything afterwards."""
    assert codes(check(HEAD, LEAVES, text, FAULT)) == []


def test_a_shell_command_reads_what_stands_in_braces_and_binds_nothing() -> None:
    assert codes(check(HEAD, LEAVES, "!echo {a} b", FAULT)) == [("GF301", 4, 2)]


def test_a_magic_that_reads_a_name_keeps_it() -> None:
    source = "w = Parameter(torch.rand(3))\nw = w * 2\n!echo {w}\nw.sum().backward()\nw.grad"
    outcome = check(HEAD, source)
    assert codes(outcome) == [("GF101", 2, 2)]
    assert outcome.findings[0].fix is None
    assert fixed(HEAD, source) == [HEAD, source]


def test_a_backward_inside_a_magic_counts() -> None:
    step = "loss = w.sum()\n%time loss.backward()\nprint(w.grad.norm())"
    assert codes(check(HEAD, "w = Parameter(torch.rand(3))", step)) == []


def test_after_run_any_name_may_mean_something_else() -> None:
    source = "w = Parameter(torch.rand(3))\nw = w * 2\nw.sum().backward()\nw.grad"
    assert fixed(HEAD, source)[1] != source
    assert fixed("%run setup.py", HEAD, source)[2] == source


def test_names_like_placeholders_are_avoided() -> None:
    sources = (HEAD, "_gradfix_1_ = 2\n!ls\n" + LEAVES, FAULT)
    assert fixed(*sources) == [HEAD, sources[1], MENDED]


def test_a_line_like_a_mark_is_refused() -> None:
    with pytest.raises(SourceError, match="cell 2 holds a line that gradfix marks cells with"):
        read(HEAD, "'--- gradfix cell 1 ---'  ")


def test_empty_cells_and_cells_of_comments() -> None:
    assert fixed(HEAD, "", LEAVES, "# nothing", "\n\n", FAULT)[5] == MENDED
