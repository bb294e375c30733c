"""What a file imports from its project: values, functions and classes of other files.

Each case is a small project, given as file names and texts; nothing is on disk.
"""

from __future__ import annotations

import ast
import textwrap

import pytest

from gradfix import engine, flow, registry
from gradfix.config import Settings
from gradfix.flow import ModuleFlow
from gradfix.flow.classes import is_module
from gradfix.flow.places import File, Folder, Outside
from gradfix.flow.project import Project
from gradfix.flow.values import Elsewhere, Kind, Role, Value
from gradfix.model import Source

HEAD = "import torch\nfrom torch import nn\n"
BASE = """
    import torch
    from torch import nn

    class Base(nn.Module):
        def __init__(self, size=3):
            super().__init__()
            self.w = nn.Parameter(torch.rand(3))
            self.size = size

        def squashed(self):
            return torch.sigmoid(self.w)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 3)

        def forward(self, x):
            return self.fc(x)
"""


def project(others: dict[str, str], roots: tuple[str, ...] = ("/p",)) -> Project:
    texts = {f"/p/{name}": textwrap.dedent(text) for name, text in others.items()}
    return Project(texts.get, roots)


def analysed(main: str, path: str = "main.py", **others: str) -> ModuleFlow:
    """The facts about a file; the other files are given as ``name="text"`` (``a__b`` is a/b)."""
    named = {f"{name.replace('__', '/')}.py": text for name, text in others.items()}
    return flow.analyse(textwrap.dedent(main), project(named).at(f"/p/{path}"))


def last(facts: ModuleFlow) -> Value:
    """The value of the last expression of the module."""
    statement = facts.tree.body[-1]
    assert isinstance(statement, ast.Expr)
    return facts.value(statement.value)


def findings(main: str, **others: str) -> list[tuple[str, str]]:
    facts = analysed(HEAD + textwrap.dedent(main), **others)
    kinds = [kind for kind in registry.codemods() if kind.trigger.search(facts.text)]
    found = [finding for kind in kinds for finding in kind().find(facts)]
    return [(f.code, f.fix.safety.value if f.fix else "") for f in found]


# -- constants ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("use", "const"),
    [
        ("from config import N\nN", 3),
        ("import config\nconfig.N", 3),
        ("import config as c\nc.N", 3),
        ("from config import M\nM", 7),
        ("from config import NAME\nNAME", "relu"),
        ("from config import RATE\nRATE", -0.5),
        ("from config import SHAPE\nSHAPE[1]", 5),
        ("from config import eta\neta.shape[0]", 3),
        ("from config import WIDTH\nWIDTH", 3),
        ("from config import TRIED\nTRIED", 4),
    ],
)
def test_constants_are_known(use: str, const: object) -> None:
    config = """
        import torch
        N = 3
        M: int = 2 * N + 1
        NAME = "relu"
        RATE = -0.5
        SHAPE = (4, N + 2)
        eta = torch.tensor([1.0, 2.0, 3.0])
        WIDTH = eta.shape[0]
        try:
            import fast
            TRIED = 4
        except ImportError:
            pass
    """
    assert last(analysed(use, config=config)).const == const


@pytest.mark.parametrize(
    "config",
    [
        "N = 3\nN = 4",
        "N = 3\nN += 1",
        "N = 3\ndef grow():\n    global N\n    N = 5",
        "import sys\nif sys.argv:\n    N = 3",
        "import sys\nif sys.argv:\n    N = 3\nelse:\n    N = 4",
        "for N in range(3):\n    pass",
        "try:\n    import fast\nexcept ImportError:\n    N = 3",
        "N = 3\nglobals()['N'] = 4",
        "N = 3\nfrom other import *",
        "N = 3\nfrom names import *",
        "N = 3 +",
        "import logging\nN = logging.getLogger()",
        "def N():\n    return 3",
        "from main import N",
        "",
    ],
)
def test_what_changes_or_does_not_parse_stays_unknown(config: str) -> None:
    facts = analysed("from config import N\nN", config=config, names="N = 4\n")
    assert last(facts).const is None


@pytest.mark.parametrize(
    "use",
    [
        "import config\nconfig.N = 4\ndef f():\n    pass\nconfig.N",
        "import config\ndef grow():\n    config.N += 1\nconfig.N",
        "import config\nsetattr(config, 'N', 5)\nconfig.N",
        "import config\nimport config as other\nother.N = 4\nconfig.N",
        "from config import Sizes\nSizes.n = 4\ndef f():\n    return Sizes.n\nf()",
    ],
)
def test_what_this_file_assigns_to_a_module_stays_unknown(use: str) -> None:
    config = "N = 3\nclass Sizes:\n    n = 3\n"
    assert last(analysed(use, config=config)).const is None


def test_an_attribute_of_self_is_no_attribute_of_a_module() -> None:
    main = "import config\nclass A:\n    def __init__(self):\n        self.N = config.N\nconfig.N"
    assert last(analysed(main, config="N = 3")).const == 3


@pytest.mark.parametrize("name", ["names", "table", "shared"])
def test_what_anybody_may_change_stays_unknown(name: str) -> None:
    config = """
        class Settings:
            def __init__(self):
                self.n = 3
        names = [1, 2, 3]
        table = {"a": 1}
        shared = Settings()
    """
    assert last(analysed(f"from config import {name}\n{name}", config=config)).kind is (
        Kind.REFERENCE
    )


def test_a_tensor_that_may_become_a_leaf_has_no_certain_role() -> None:
    config = """
        import torch
        w = torch.zeros(3)
        def train():
            w.requires_grad_()
    """
    assert last(analysed("from config import w\nw", config=config)).role == Role.UNKNOWN


# -- from names to files ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "use"),
    [
        ("pkg/main.py", "from .sizes import N\nN"),
        ("pkg/main.py", "from . import sizes\nsizes.N"),
        ("pkg/main.py", "from pkg.sizes import N\nN"),
        ("pkg/main.py", "import pkg.sizes\npkg.sizes.N"),
        ("pkg/main.py", "import pkg.sizes as s\ns.N"),
        ("pkg/sub/main.py", "from ..sizes import N\nN"),
        ("pkg/sub/main.py", "from .. import sizes\nsizes.N"),
        ("pkg/sub/main.py", "from .. import N\nN"),
        ("main.py", "from pkg import N\nN"),
        ("main.py", "from pkg import renamed\nrenamed"),
        ("main.py", "from pkg import starred\nstarred"),
        ("main.py", "import pkg\npkg.N"),
        ("scripts/main.py", "from near import N\nN"),
        ("scripts/deep/main.py", "from near import N\nN"),
        ("main.py", "from inner import N\nN"),
        ("main.py", "from bare.inside import N\nN"),
        ("main.py", "from pkg.sizes import *\nN"),
        ("pkg/main.py", "from .sizes import *\nN"),
        ("main.py", "if True:\n    from pkg import N\nN"),
    ],
)
def test_every_way_to_import(path: str, use: str) -> None:
    files = {
        "pkg/__init__.py": "from .sizes import N, N as renamed\nfrom .more import *\n",
        "pkg/sizes.py": "N = 3\n",
        "pkg/more.py": "starred = 3\n",
        "pkg/sub/__init__.py": "",
        "scripts/near.py": "N = 3\n",
        "src/inner/__init__.py": "N = 3\n",
        "bare/inside.py": "N = 3\n",
    }
    assert last(flow.analyse(use, project(files).at(f"/p/{path}"))).const == 3


@pytest.mark.parametrize(
    ("helpers", "kind"),
    [
        ("def Variable(x): return [x]", Kind.UNKNOWN),
        ("from .more import *", Kind.UNKNOWN),
        ("from torch.autograd import Variable", Kind.REFERENCE),
        ("from math import *\nother = 3", Kind.REFERENCE),
        ("__all__ = ['f']\ndef f(): ...\ndef Variable(x): return [x]", Kind.REFERENCE),
    ],
)
def test_a_star_may_bind_a_name_once_more(helpers: str, kind: Kind) -> None:
    others = {"pkg__helpers": helpers, "pkg__more": "Variable = given()"}
    main = "from torch.autograd import Variable\nfrom pkg.helpers import *\nVariable"
    value = last(analysed(main, **others))
    assert value.kind is kind or (kind is Kind.UNKNOWN and value.kind is Kind.FUNCTION)
    assert (value.name == "torch.autograd.Variable") is (kind is Kind.REFERENCE)


@pytest.mark.parametrize(
    ("head", "length"),
    [
        ("if TYPE_CHECKING:\n    from layers import *", 3),
        ("if typing.TYPE_CHECKING:\n    from layers import *", 3),
        ("if CHECKING:\n    from layers import *", None),
        ("if TYPE_CHECKING:\n    import layers\nelse:\n    from layers import *", None),
    ],
)
def test_a_star_for_type_checkers_binds_nothing_anew(head: str, length: int | None) -> None:
    """Such code never runs: the names keep what they hold."""
    main = f"import typing\nfrom typing import TYPE_CHECKING\nN = 3\n{head}\nN"
    assert last(analysed(main, layers="N = 4")).const == length


def test_a_star_binds_each_name_by_itself() -> None:
    """Functions see what each of the names holds, not what the last one does."""
    others = {"layers": "import torch\nimport torch.nn as nn\nN = 3\nM = 4"}
    main = "import torch\nimport torch.nn as nn\nN = 3\nM = 4\nfrom layers import *\n"
    for name, seen in {"torch": "torch", "nn": "torch.nn", "N": 3, "M": 4}.items():
        value = last(analysed(f"{main}def f():\n    return {name}\nf()", **others))
        assert (value.const if name in "NM" else value.name) == seen


def test_two_files_of_one_name_are_neither() -> None:
    files = {"a/config.py": "N = 3\n", "config.py": "N = 4\n"}
    assert last(flow.analyse("from config import N\nN", project(files).at("/p/a/m.py"))).const is (
        None
    )


def test_modules_that_import_each_other() -> None:
    files = {"a.py": "from b import N\nM = N\n", "b.py": "from a import M\nN = M\n"}
    assert last(flow.analyse("from a import M\nM", project(files).at("/p/m.py"))).const is None
    files = {"a.py": "import b\nM = 3\nK = b.N\n", "b.py": "import a\nN = a.M\n"}
    for first, second in (("a.K", "b.N"), ("b.N", "a.K")):
        view = project(files).at("/p/m.py")
        facts = flow.analyse(f"import a, b\n{first}\n{second}", view)
        known = {statement: facts.value(statement.value).const for statement in facts.tree.body[1:]}  # type: ignore[attr-defined]
        assert set(known.values()) <= {3, None}


def test_the_order_of_questions_does_not_matter() -> None:
    files = {
        "a.py": "from b import N\nK = 3\nM = N\n",
        "b.py": "from a import K\nN = K\n",
        "m1.py": "from a import M\nM\n",
        "m2.py": "from b import N\nN\n",
    }
    answers = []
    for order in (("m1.py", "m2.py"), ("m2.py", "m1.py")):
        shared = project(files)
        answers.append(
            {name: last(flow.analyse(files[name], shared.at(f"/p/{name}"))).const for name in order}
        )
    assert answers[0] == answers[1]


def test_the_text_of_a_notebook_is_that_of_its_file_whoever_was_first() -> None:
    shared = project({"n.ipynb": '{"cells": []}'})
    flow.analyse("import torch\n", shared.at("/p/n.ipynb"))
    assert shared.text("/p/n.ipynb") == '{"cells": []}'


def test_other_libraries_are_not_looked_for() -> None:
    places = project({"logging.py": "x = 1", "torch.py": "x = 1", "mine.py": "x = 1"})
    assert places.resolve("logging.x", "/p/m.py") == Outside("logging.x")
    assert places.resolve("torch.x", "/p/m.py") == Outside("torch.x")
    assert places.resolve("elsewhere.x", "/p/m.py") == Outside("elsewhere.x")
    assert places.resolve("mine", "/p/m.py") == File("/p/mine.py")
    assert project({"k/__init__.py": ""}).resolve("k", "/p/m.py") == Folder("/p/k")


# -- what only looks like torch -----------------------------------------------------------------


def test_a_reexport_of_torch_is_torch() -> None:
    compat = "from torch.nn import Parameter, Module\n"
    main = "import torch\nfrom compat import Parameter\nParameter(torch.rand(3))"
    assert last(analysed(main, compat=compat)).is_leaf


@pytest.mark.parametrize(
    ("main", "mine"),
    [
        ("from mine import Variable\nVariable(1)", "class Variable:\n    pass\n"),
        ("from mine import tensor\ntensor([1.0])", "def tensor(x):\n    return 3\n"),
        (
            "from mine import like as torch\ntorch.zeros(3)",
            "class like:\n    @staticmethod\n    def zeros(n):\n        return n\n",
        ),
        ("from mine import torch\ntorch.zeros(3)", "import numpy as torch\n"),
    ],
)
def test_a_name_of_the_project_is_not_torch(main: str, mine: str) -> None:
    assert not last(analysed(main, mine=mine)).is_tensor


# -- functions ----------------------------------------------------------------------------------


def test_results_of_functions() -> None:
    helpers = """
        import torch

        def build(n):
            return torch.zeros(3)

        def made():
            return torch.ones(2, requires_grad=True)

        def count():
            return 4

        def same(x):
            return x
    """
    use = "from helpers import build, made, count, same\nimport torch\n"
    built = last(analysed(use + "build(5)", helpers=helpers))
    assert built.is_tensor and built.shape == (3,) and built.role == Role.UNTRACKED
    assert last(analysed(use + "made()", helpers=helpers)).is_leaf
    assert last(analysed(use + "count()", helpers=helpers)).const == 4
    assert last(analysed(use + "same(3)", helpers=helpers)).kind is Kind.UNKNOWN


def test_a_shape_that_depends_on_an_argument_is_not_the_same_for_two_calls() -> None:
    helpers = "import torch\ndef build(n):\n    return torch.zeros(n)\n"
    shape = last(analysed("from helpers import build\nbuild(5)", helpers=helpers)).shape
    assert shape in (None, (None,))


def test_a_context_manager_of_another_file_may_switch_the_grad_mode() -> None:
    tools = """
        import contextlib, torch
        @contextlib.contextmanager
        def frozen():
            with torch.no_grad():
                yield
    """
    main = """
        from tools import frozen
        w = torch.ones(3, requires_grad=True)
        with frozen():
            w[0] = 1.0
    """
    assert findings(main, tools=tools) == []


# -- classes ------------------------------------------------------------------------------------


def test_attributes_come_through_a_base_class() -> None:
    main = """
        from base import Base

        class Net(Base):
            def forward(self, x):
                self.w[0] = 1.0
                return self.w * x
    """
    assert findings(main, base=BASE) == [("GF203", "safe")]
    facts = analysed(HEAD + textwrap.dedent(main), base=BASE)
    notes = [note for c in registry.codemods() for f in c().find(facts) for note in f.because]
    assert "the leaf is made here (in base.py, line 8)" in [note.message for note in notes]
    assert all(note.span.end_row <= len(facts.lines) for note in notes)


def test_a_transform_of_an_inherited_parameter_in_a_deeper_base() -> None:
    middle = "from base import Base\nclass Middle(Base):\n    pass\n"
    main = """
        from middle import Middle

        class Net(Middle):
            def forward(self, x):
                self.w.mul_(2.0)
                return self.w * x
    """
    assert findings(main, base=BASE, middle=middle) == [("GF203", "safe")]


def test_an_inherited_parameter_is_rebound() -> None:
    main = """
        from base import Base

        class Net(Base):
            def forward(self, x):
                self.w = self.w.clamp(0.0, 1.0)
                return self.w * x
    """
    assert findings(main, base=BASE) == [("GF101", "safe")]
    assert findings(main, base=BASE.replace("nn.Parameter(torch.rand(3))", "torch.rand(3)")) == []


def test_layers_of_another_file_in_a_plain_list() -> None:
    main = """
        from base import Block

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.blocks = [Block() for _ in range(3)]

            def forward(self, x):
                for block in self.blocks:
                    x = block(x)
                return x
    """
    assert findings(main, base=BASE) == [("GF105", "safe")]
    assert findings(main, base="class Block:\n    pass\n") == []
    assert findings(main, base=BASE.replace("nn.Linear(3, 3)", "nn.ReLU()")) == []
    assert findings(main, base="from library import Block\n") == []


def test_a_list_that_a_base_class_of_another_file_registers() -> None:
    base = BASE + """
    class Stack(nn.Module):
        def finish(self):
            self.kept = nn.ModuleList(self.blocks)
    """
    main = """
        from base import Block, Stack

        class Net(Stack):
            def __init__(self):
                super().__init__()
                self.blocks = [Block() for _ in range(3)]
                self.finish()
    """
    assert findings(main, base=base) == []


def test_methods_that_are_overridden_here_are_not_those_of_the_base() -> None:
    base = """
        import torch
        from torch import nn

        class Base(nn.Module):
            def __init__(self):
                super().__init__()
                self.w = self.make()

            def make(self):
                return nn.Parameter(torch.rand(3))

            def value(self):
                return self.part()

            def part(self):
                return torch.ones(3)
    """
    main = """
        from base import Base

        class Net(Base):
            def make(self):
                return torch.rand(3)

            def part(self):
                return None

            def forward(self):
                self.w[0] = 1.0
                return self.value()
    """
    assert findings(main, base=base) == []
    facts = analysed(HEAD + textwrap.dedent(main), base=base)
    returned = [node for node in ast.walk(facts.tree) if isinstance(node, ast.Return)][-1]
    assert facts.value(returned.value).kind is Kind.UNKNOWN


def test_frozen_here_is_not_certainly_a_leaf() -> None:
    main = """
        from base import Base

        class Net(Base):
            def freeze(self):
                for p in self.parameters():
                    p.requires_grad = False

            def forward(self, x):
                self.w[0] = 1.0
                return x
    """
    assert findings(main, base=BASE) == []


@pytest.mark.parametrize(
    "mine",
    [
        "import torch\nclass Mine(torch.Tensor):\n    pass\n",
        "from torch import nn\nclass Mine(nn.Parameter):\n    pass\n",
        "from library import Thing\nclass Mine(Thing):\n    pass\n",
        "class Mine:\n    def __add__(self, other):\n        return other\n",
        "@register\nclass Mine:\n    pass\n",
        "class Mine(metaclass=Meta):\n    pass\n",
    ],
)
def test_objects_that_may_act_like_tensors_stay_unknown(mine: str) -> None:
    assert last(analysed("from mine import Mine\nMine()", mine=mine)).kind is Kind.UNKNOWN


# -- fills --------------------------------------------------------------------------------------

FILL = """
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.rand(3))

        def forward(self):
            out = torch.zeros(SIZE)
            out[0] = self.w[0] * 2
            out[1] = self.w[1]
            out[2] = self.w[2]
            return out
"""


@pytest.mark.parametrize(
    ("use", "config", "expected"),
    [
        ("from config import SIZE", "SIZE = 3", [("GF302", "safe")]),
        ("from config import SIZES\nSIZE = SIZES[0]", "SIZES = (3, 4)", [("GF302", "safe")]),
        ("import config\nSIZE = config.N", "N = 3", [("GF302", "safe")]),
        ("from config import SIZE", "SIZE = 3\nSIZE = 4", []),  # which of the two is not certain
    ],
)
def test_sizes_from_another_file(use: str, config: str, expected: list[tuple[str, str]]) -> None:
    assert findings(use + textwrap.dedent(FILL), config=config) == expected


# -- the borders --------------------------------------------------------------------------------


def test_no_node_of_another_file_comes_in() -> None:
    main = HEAD + textwrap.dedent("""
        from base import Base, Block

        class Net(Base):
            def __init__(self):
                super().__init__()
                self.block = Block()

            def forward(self, x):
                y = self.block(x) + self.squashed()
                return y * self.block.fc.weight * self.w
    """)
    facts = analysed(main, base=BASE)
    facts.complete()
    own = set(ast.walk(facts.tree))
    queue = [*facts.values.values(), *facts.made]
    seen: set[int] = set()
    foreign = 0
    while queue:
        value = queue.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        places = [value.node, *(s.node for s in value.storages), *(f.node for f in value.leaves)]
        for node in places:
            assert node is None or node in own or isinstance(node, Elsewhere)
            foreign += isinstance(node, Elsewhere)
        queue += [*value.inputs, *(value.items or ()), *(value.attributes or {}).values()]
        queue += [inner for inner in (value.element, value.owner) if inner is not None]
    assert foreign


def test_files_are_read_when_asked_for_and_known_afterwards() -> None:
    read: list[str] = []
    files = {"/p/used.py": "N = 3\n", "/p/unused.py": "M = 3\n"}

    def reads(path: str) -> str | None:
        if path in files:
            read.append(path)
        return files.get(path)

    text = "import torch\nimport unused\nfrom used import N\nx = torch.zeros(N)\n"
    source = Source("main.py", text)
    settings = Settings(frozenset({"GF302"}))
    view = Project(reads, ["/p"]).at("/p/main.py")
    engine.check(source, settings, view=view)
    assert read == ["/p/used.py"]
    assert view.consulted() == ("/p/used.py",)


def test_a_file_nested_too_deeply_is_unknown() -> None:
    config = "N = " + "(" * 150 + "3" + ")" * 150 + "\nM = " + "+".join(["1"] * 3000) + "\n"
    assert last(analysed("from config import M\nM", config=config)).const is None


def test_without_a_project_nothing_is_followed() -> None:
    facts = flow.analyse("from config import N\nN")
    assert last(facts).kind is Kind.REFERENCE


def test_a_class_that_is_not_there_is_no_module() -> None:
    facts = analysed("from base import Missing\nclass Net(Missing):\n    pass\nNet()", base=BASE)
    assert not is_module(facts, last(facts))


# -- loops that call what another file defines ---------------------------------------------------

CELL = """
from torch import nn


# a Module that is longer than the file which uses it
class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(2, 2)
        self.out = nn.Linear(2, 2)

    def forward(self, x):
        mixed = self.mix(x)
        return self.out(mixed)
"""
LOOP = """
from cell import Cell

net = Cell()
h = torch.ones(1, 2)
for _ in range(3):
    h = net(h)
    h.sum().backward()
"""


def test_loops_over_a_module_of_another_file_are_followed_in_that_file_s_text() -> None:
    assert findings(LOOP, cell="\n" * 40 + CELL) == []


def test_torch_may_come_through_a_star_of_anything() -> None:
    assert last(analysed("from somewhere import *\ntorch.zeros(3)")).shape == (3,)
    assert last(analysed("from one import *\nfrom two import *\ntorch.zeros(3)")).shape == (3,)


@pytest.mark.parametrize(
    ("main", "helpers"),
    [
        ("torch.zeros(3)", ""),
        ("from helpers import *\ntorch.zeros(3)", "class torch:\n    zeros = None\n"),
        ("from somewhere import *\ntorch = None\ntorch.zeros(3)", ""),
        ("from somewhere import *\nnn.zeros(3)", ""),
    ],
)
def test_other_names_and_other_values_do_not(main: str, helpers: str) -> None:
    assert not last(analysed(main, helpers=helpers)).is_tensor
