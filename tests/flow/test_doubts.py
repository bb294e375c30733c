"""What another place of the project may change is no ground for a safe fix.

Each case is a small project in which a loop that fills a buffer runs as often as a name says. The
buffer has three slots; where another file changes the name, the loop fills fewer.
"""

from __future__ import annotations

import textwrap

import pytest

from gradfix import config, engine
from gradfix.flow.derivations import Derivations
from gradfix.flow.project import Project
from gradfix.flow.stored_lines import Lines
from gradfix.flow.stored_text import stored_in
from gradfix.model import Safety, Source

HEAD = "import torch\nfrom torch import nn\n"
NET = """
class Net(nn.Module):
    n = 3

    def __init__(self):
        super().__init__()
        self.n = 3
        self.w = nn.Parameter(torch.rand(4))

    def prepare(self):
        pass

    def forward(self):
        out = torch.zeros(3)
        for i in range(ROWS):
            out[i] = self.w[i] * 2.0
        return out
"""
BY_CLASS = HEAD + NET.replace("ROWS", "self.n")
BY_CONFIG = HEAD + "import config\n" + NET.replace("ROWS", "config.N")


def is_safe(net: str, **others: str) -> bool:
    """Whether the only finding of ``net.py`` has a fix that is safe, beside some other files."""
    texts = {f"/p/{name}.py": textwrap.dedent(text) for name, text in others.items()}
    texts["/p/net.py"] = net
    names = frozenset(path.rpartition("/")[2] for path in texts)
    project = Project(texts.get, ("/p",), lambda folder: names if folder == "/p" else None)
    outcome = engine.check(
        Source("net.py", net), config.settings_from(), view=project.at("/p/net.py")
    )
    assert not outcome.failures
    (finding,) = [f for f in outcome.findings if f.code == "GF302"] or [None]
    return finding is not None and finding.fix is not None and finding.fix.safety is Safety.SAFE


BOTH = "import net\nimport other"
HARMLESS = [
    "",
    "import config\nprint(config.N)",
    "import config\nassert config.N == 3 and config.N <= 4",
    "def run(n: int = 4, N=5): ...\nrun(n=4)",
    "class Other:\n    def __init__(self):\n        self.n = self.N = 4",
    "x = {'n': 4}\ny = x['n']",
]
ON_CONFIG = [
    "import config\nconfig.N = 2",
    "import config as cfg\ncfg.N -= 1",
    "import config\nif True: config.N = 2",
    "import config\n(config.M,\n config.N) = 1, 2",
    "import config\nx, config.N = 1, 2",
    "import config\nfor config.N in (2,): ...",
    "import config\nwith given() as config.N: ...",
    "import config\ndel config.N",
    "import config\nconfig.N: int = 2",
    "import config\nsetattr(config, 'N', 2)",
    "import config\nfor k, v in given: setattr(config, k, v)",
    "import config\nvars(config)['N'] = 2",
    "import config\nvars(config).update(given)",
    "import config\nknown = vars(config)\nknown['N'] = 2",
    "import config\nconfig.__dict__.update(N=2)",
    "import config\nexec('config.N = 2')",
    "import config\nexec('N = 2', config.__dict__)",
    "import sys\nsys.modules['config'] = given",
    "from unittest import mock\nmock.patch('config.N', 2).start()",
    "from unittest import mock\nimport config\nmock.patch.object(config, 'N', 2).start()",
    "def test(monkeypatch):\n    monkeypatch.setattr('config.N', 2)",
]
ON_CLASS = [
    "from net import Net\nNet.n = 2",
    "def tune(net):\n    net.n = 2",
    "from net import Net\nclass Small(Net):\n    n = 2",
    "from net import Net as Base\nclass Small(Base):\n    n = 2",
    "import net\nclass Net(net.Net):\n    n = 2",
    "from net import Net\nBase = Net\nclass Small(Base):\n    n = 2",
    "from net import Net\nclass Two:\n    n = 2\nclass Small(Two, Net): ...",
    "from net import Net\nclass Small(Net):\n    def prepare(self):\n        self.n = 2",
    "from net import Net\nclass Small(Net):\n    @property\n    def n(self):\n        return 2",
    "from net import Net\nclass Small(Net):\n    def __getattribute__(self, name): ...",
    "from net import Net\nclass Small(Net):\n    def __init__(self, **kw):\n"
    "        for k in kw: setattr(self, k, kw[k])",
    "from net import Net\nSmall = type('Small', (Net,), {'n': 2})",
    "from net import Net\nfor k in given: setattr(Net, k, given[k])",
]


@pytest.mark.parametrize("other", HARMLESS)
def test_what_nobody_changes_is_certain(other: str) -> None:
    assert is_safe(BY_CONFIG, config="N = 3", other=other)
    assert is_safe(BY_CLASS, other=other)


@pytest.mark.parametrize("other", ON_CONFIG)
def test_a_constant_that_another_file_changes(other: str) -> None:
    assert not is_safe(BY_CONFIG, config="N = 3", other=other)


@pytest.mark.parametrize("other", ON_CLASS)
def test_an_attribute_that_another_file_changes(other: str) -> None:
    assert not is_safe(BY_CLASS, other=other, main=BOTH)


def test_a_file_that_is_never_loaded_with_this_one_changes_nothing() -> None:
    alone = "import torch\ndef tune(net):\n    net.n = 2"
    assert is_safe(BY_CLASS, other=alone)
    assert not is_safe(BY_CLASS, other=alone, main="import other\nfrom net import Net")
    assert not is_safe(BY_CLASS, other=alone, a="from b import (\n    f,\n)", b="import other, net")
    assert not is_safe(BY_CLASS, other=f"{alone}\n__import__(given)")
    assert not is_safe(BY_CLASS, conftest=alone)


@pytest.mark.parametrize("other", ["import net\nnet.N = 2", "import net\nsetattr(net, 'N', 2)"])
def test_a_constant_of_the_file_itself(other: str) -> None:
    own = HEAD + "N = 3\n" + NET.replace("ROWS", "N")
    assert is_safe(own, other="")
    assert not is_safe(own, other=other)
    assert not is_safe(own.replace("N = 3\n", "N = 3\nexec(open('given.py').read())\n"), other="")


@pytest.mark.parametrize(
    "change",
    [
        "class Small(Net):\n    n = 2",
        "class Small(Net):\n    def prepare(self):\n        self.n = 2",
    ],
)
def test_a_class_derived_in_the_same_file(change: str) -> None:
    assert not is_safe(BY_CLASS + change)


def test_an_attribute_that_another_method_binds_meanwhile() -> None:
    bound = BY_CLASS.replace("        out = torch", "        self.n = 3\n        out = torch")
    called = bound.replace("        out = torch", "        self.prepare()\n        out = torch")
    assert is_safe(bound)
    assert not is_safe(called.replace("        pass", "        self.n = 2"))
    derived = "from net import Net\nclass Small(Net):\n    def prepare(self):\n        self.n = 2"
    assert not is_safe(called, other=derived)


def test_a_starred_constant() -> None:
    own = HEAD + "from config import *\n" + NET.replace("ROWS", "N")
    assert is_safe(own, config="N = 3")
    assert not is_safe(own, config="N = 3", other="import net\nnet.N = 2")


def test_a_function_that_another_file_replaces() -> None:
    own = HEAD + "def rows():\n    return 3\n" + NET.replace("ROWS", "rows()")
    assert is_safe(own, other="")
    assert not is_safe(own, other="import net\nnet.rows = lambda: 2")


def test_a_decorator_of_the_project_by_a_known_name() -> None:
    own = HEAD + "from deco import export\n@export\ndef rows():\n    return 3\n"
    own += NET.replace("ROWS", "rows()")
    assert not is_safe(own, deco="def export(function):\n    return lambda: 2")


def test_lists_under_another_name() -> None:
    own = BY_CLASS.replace("self.n = 3", "self.n = [0, 1, 2]").replace(
        "range(self.n)", "range(len(self.n))"
    )
    assert not is_safe(own, other="def cut(net):\n    rows = net.n\n    rows.pop()", main=BOTH)


def test_settings_that_a_decorator_makes() -> None:
    own = HEAD + "from dataclasses import dataclass\n@dataclass\nclass Config:\n    n: int = 3\n"
    own += "OTHER = Config(n=2)\n" + NET.replace("ROWS", "OTHER.n")
    assert not is_safe(own)


@pytest.mark.parametrize(
    "other",
    [
        "from net import Net\nnet = Net().double()",
        "import net\ntorch.set_default_dtype(torch.float64)",
        "from net import Net\nnet = getattr(Net(), 'double')()",
        "import net\nKIND = 'half'",
        "from net import Net\nnet = Net().to(data)",
        "from net import Net\nnet = make()\nnet.eval()\nnet.to(dtype=given)",
        "import net\ndef run(model, batch):\n    return model.to(batch.dtype)(batch)",
    ],
)
def test_element_types_that_another_file_changes(other: str) -> None:
    own = HEAD + NET.replace("ROWS", "3")
    assert is_safe(own, other="")
    assert ".to(" in _fixed(own, other) and ".to(" not in _fixed(own, "")


@pytest.mark.parametrize(
    "other",
    [
        "from net import Net\nnet = Net().to(device)",
        "from net import Net\nnet = Net().to(args.device, non_blocking=True)",
        "import net\ndef run(x, y):\n    return x.to(y.dtype)",
        "from net import Net\nnet = Net().to(torch.float32)",
    ],
)
def test_what_is_only_moved_keeps_its_element_type(other: str) -> None:
    assert ".to(" not in _fixed(HEAD + NET.replace("ROWS", "3"), other)


def _fixed(net: str, other: str) -> str:
    texts = {"/p/net.py": net, "/p/other.py": other}
    project = Project(
        texts.get, ("/p",), lambda f: frozenset({"net.py", "other.py"}) if f == "/p" else None
    )
    settings = config.settings_from()
    return engine.fix(Source("net.py", net), settings, view=project.at("/p/net.py")).text


LOOP = "import net\ndef change(net):\n    for n, p in net.named_parameters():\n        p.data = "


def test_parameters_that_get_other_data() -> None:
    own = HEAD + NET.replace("ROWS", "3")
    assert not is_safe(own, other=f"{LOOP}torch.stack([p.data, p.data])")
    for same in ("p.data - 0.1 * p.grad", "p.data.clamp(0, 1)", "shadow[n].clone()", "p * 2"):
        assert is_safe(own, other=LOOP + same), same


def test_words_that_a_text_stores_to() -> None:
    assert stored_in("self.a = x.b.c = 1\nif y: z.d += 1").words == {"c", "d"}
    assert stored_in("def f(x: nn.Module = None, *, y: a.B = 1): ...").words == set()
    assert stored_in("self.a: torch.Tensor = None\nx.a == 1; x.b <= 2").words <= {"Tensor"}
    assert stored_in("net.rows.append(1)\nself.own.append(2)").words == {"rows"}
    assert not stored_in("getattr(x, name)\nvars(args)\nself.__dict__[name]").anything
    assert stored_in("setattr(x, name, 1)").anything
    assert stored_in("torch.zeros = mine\ntorch.backends.cudnn.benchmark = True").patched == {
        "zeros"
    }


@pytest.mark.parametrize(
    ("text", "makes"),
    [
        ("Small = type('Small', (Net,), {'n': 2})", True),
        ("Small = type(\n    'Small',\n    (Net,),\n    {},\n)", True),
        ("Small = types.new_class('Small', (Net,))", True),
        ("type(x) is Net\ndtype(x, y)", False),
    ],
)
def test_texts_that_may_make_classes_by_calls(text: str, makes: bool) -> None:
    assert stored_in(text).makes_classes is makes


def test_a_line_that_many_texts_have_is_read_once_and_counts_for_each() -> None:
    lines = Lines()
    texts = ["net.a = 1\nx = 1", "x = 1\nsetattr(net, 'b', 1)", "net.a = 1\ndel net.c", "x = 1"]
    found = [stored_in(text, lines).words for text in texts]
    assert found == [{"a"}, {"b"}, {"a", "c"}, set()]
    assert found == [stored_in(text).words for text in texts]
    assert stored_in("torch.zeros = mine\nnet.d = 1", lines).patched == {"zeros"}
    assert stored_in("net.d = 1", lines).patched == set()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("model\nnet.a.b", set()),  # neither ``del`` nor one line
        ("the model net.a", set()),
        ("if x: del net.a, net.b", {"a", "b"}),
        ("with f() as net.a: ...", {"a"}),
        ("for net.a in x: ...", {"a"}),
        ("(net.a,\n net.b) = f()", {"a", "b"}),
        ("model.getattr(net, 'a')", set()),  # a look, whatever it is called on
        ("model.set_attr(net, 'a')", {"a"}),
        ("(x,\n y) = f()\nnet.a[\n0] == b[0]", set()),
        ("[net.a,\n (net.b, x)] = f()", {"a", "b"}),
        ("self.layer_norm(x)\nF.batch_norm(x, mean, var)", set()),
        ("weight_norm(net.conv)", {"weight"}),
        ("nn.utils.spectral_norm(layer, name='weight_hh')", {"weight", "weight_hh", "name"}),
        ("from torch.nn.utils import weight_norm as wn\nwn(net.conv)", {"weight"}),
    ],
)
def test_words_of_statements_that_are_no_assignments(text: str, words: set[str]) -> None:
    assert stored_in(text).words == words


def test_classes_of_one_name_in_other_files_are_others() -> None:
    found = Derivations(
        {
            "a.py": "class Net(nn.Module): ...",
            "b.py": "class Net(nn.Module): ...\nclass Mine(Net): ...",
            "c.py": "from a import Net\nclass Yours(Net, Mixin): ...",
            "d.py": "class Mixin: ...",
        }
    )
    assert found.around("a.py", "Net") >= {("c.py", "Yours"), ("d.py", "Mixin")}
    assert ("b.py", "Mine") not in found.around("a.py", "Net")
    assert ("b.py", "Mine") in found.around("b.py", "Net")
