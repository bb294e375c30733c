"""Faults whose step stands in a function that is called, however it is called, and look-alikes."""

from __future__ import annotations

import pytest
from harness import check_transformed, found, table
from snippets import Case, cases

from gradfix import engine, flow
from gradfix.config import settings_from
from gradfix.flow.argument_writes import HandedWrite
from gradfix.flow.project import Project
from gradfix.model import Source

NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)
        self.w = nn.Parameter(torch.ones(3))

    def forward(self, x):
        h = torch.{op}(self.lin(x))
        {call}
        return h
"""

WRITERS = {
    "a function": ("def twice(t):\n    t *= 2\n", "twice(h)"),
    "by its keyword": ("def add(k, t):\n    t.add_(k)\n", "add(t=h, k=1)"),
    "a static method by its class": (
        "class Ops:\n    @staticmethod\n    def hide(t, at):\n        t[:, at] = 0\n",
        "Ops.hide(h, 1)",
    ),
    "a class method by its class": (
        "class Ops:\n    @classmethod\n    def hide(cls, t):\n        t.mul_(0.5)\n",
        "Ops.hide(h)",
    ),
    "a function that hands it on": (
        "def shift(t):\n    t += 1\n\n\ndef move(t):\n    shift(t)\n",
        "move(h)",
    ),
    "a class method that hands it on": (
        "class Ops:\n    @staticmethod\n    def shift(t):\n        t += 1\n\n"
        "    @classmethod\n    def move(cls, t):\n        cls.shift(t)\n",
        "Ops.move(h)",
    ),
    "a lambda": ("halve = lambda t: t.div_(2)\n", "halve(h)"),
    "a partial": (
        "from functools import partial\n\n\ndef scale(t, by):\n    t *= by\n\n\n"
        "third = partial(scale, by=1 / 3)\n",
        "third(h)",
    ),
    "a partial that is given the place": (
        "import functools\n\n\ndef scale(by, t):\n    t *= by\n\n\n"
        "third = functools.partial(scale, 1 / 3)\n",
        "third(h)",
    ),
    "in every turn of a loop": (
        "def clear(t, rows):\n    for row in rows:\n        t[row] = 0\n",
        "clear(h, [0])",
    ),
}

SPARED = {
    "a copy is written": ("def twice(t):\n    t = t.clone()\n    t *= 2\n", "twice(h)"),
    "on one path only": ("def act(t, now=False):\n    if now:\n        t.relu_()\n", "act(h)"),
    "behind a way out": (
        "def act(t, n):\n    if n == 0:\n        return\n    t.mul_(n)\n",
        "act(h, 0)",
    ),
    "what it computes itself": ("def more(t):\n    t = t * 2\n    t += 1\n", "more(h)"),
    "a generator that nobody runs": (
        "def turns(t):\n    t *= 2\n    yield t\n",
        "turns(h)",
    ),
    "only a copy is handed over": ("def twice(t):\n    t *= 2\n", "twice(h.clone())"),
    "a number of the same name": ("def count(t):\n    t += 1\n    return t\n", "n = count(0)"),
    "with grad mode off, and on other memory": (
        "def note(t, x):\n    t.copy_(x)\n",
        "note(torch.empty(2, 3), h.detach())",
    ),
    "what replaces the function": (
        "def twice(t):\n    t *= 2\n\n\ndef twice(t):\n    return t * 2\n",
        "twice(h)",
    ),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_saved_tensor_is_handed_to_what_writes_to_it(name: str) -> None:
    helper, call = WRITERS[name]
    text = f"import torch\nfrom torch import nn\n\n\n{helper}{NET.format(op='exp', call=call)}"
    (finding,) = found(text, "GF202")
    assert finding.fix is None and "who else relies on" in (finding.not_fixed_reason or "")
    row = text[: text.index(call)].count("\n") + 1
    assert row in [note.span.row for note in finding.because]
    assert finding.span.row < row


@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_saved_where_the_operation_keeps_nothing(name: str) -> None:
    helper, call = WRITERS[name]
    text = f"import torch\nfrom torch import nn\n\n\n{helper}{NET.format(op='neg', call=call)}"
    assert not found(text, "GF202")


@pytest.mark.parametrize("name", SPARED)
def test_what_is_handed_over_stays_what_it_is(name: str) -> None:
    helper, call = SPARED[name]
    text = f"import torch\nfrom torch import nn\n\n\n{helper}{NET.format(op='exp', call=call)}"
    assert not found(text, "GF202")


@pytest.mark.parametrize("name", WRITERS)
def test_a_leaf_is_handed_to_what_writes_to_it(name: str) -> None:
    helper, call = WRITERS[name]
    call = call.replace("h)", "self.w)").replace("(h,", "(self.w,").replace("=h", "=self.w")
    text = f"import torch\nfrom torch import nn\n\n\n{helper}{NET.format(op='exp', call=call)}"
    assert found(text, "GF203")
    guarded = text.replace(f"        {call}", f"        with torch.no_grad():\n            {call}")
    assert not found(guarded, "GF203")


DETACHES = """
import torch
from torch import nn


def write_waves(n, out):
    out.detach_()
    out.requires_grad = False
    out[:, 0::2] = torch.arange(n).sin().unsqueeze(1)


class Places(nn.Module):
    def __init__(self, n, size):
        super().__init__()
        self.places = nn.Embedding(n, size)
        write_waves(n, out=self.places.weight)
"""


def test_a_function_that_makes_the_leaf_a_constant_first() -> None:
    assert not found(DETACHES, "GF203")
    assert found(
        DETACHES.replace("    out.detach_()\n    out.requires_grad = False\n", ""), "GF203"
    )


EVALUATION = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(3, 4)
        self.bounded = True

    def bound(self, scores):
        scores[:, 0] = scores.max()
        return scores

    def forward(self, x):
        scores = self.query(x)
        if {test}:
            scores = self.bound(scores)
        return torch.softmax(scores, -1)
"""


@pytest.mark.parametrize(
    ("test", "count"),
    [("not self.training and self.bounded", 0), ("self.training and self.bounded", 1)],
)
def test_what_is_only_called_out_of_training(test: str, count: int) -> None:
    assert len(found(EVALUATION.format(test=test), "GF202")) == count


LEAVES = cases("""
=== a method is handed the leaf | raises unsafe
class Bank(nn.Module):
    def __init__(self):
        super().__init__()
        self.keys = nn.Parameter(torch.ones(2, 2))

    def unit(self, t):
        t /= t.norm()

    def forward(self, x):
        self.unit(self.keys)
        return x @ self.keys


bank = Bank()
out = bank(torch.ones(1, 2))
out.sum().backward()
grad = bank.keys.grad
--->
class Bank(nn.Module):
    def __init__(self):
        super().__init__()
        self.keys = nn.Parameter(torch.ones(2, 2))

    def unit(self, t):
        with torch.no_grad():
            t /= t.norm()

    def forward(self, x):
        self.unit(self.keys)
        return x @ self.keys


bank = Bank()
out = bank(torch.ones(1, 2))
out.sum().backward()
grad = bank.keys.grad
""")


@table(LEAVES)
def test_the_write_goes_under_no_grad(case: Case) -> None:
    check_transformed(case, "GF203")


def test_no_fix_where_another_call_hands_over_what_is_no_leaf() -> None:
    text = LEAVES[0].before.replace("self.unit(self.keys)", "self.unit(self.keys); self.unit(x)")
    (finding,) = found(text, "GF203")
    assert finding.fix is None
    assert finding.not_fixed_reason == "other calls give the function what is no leaf"


def test_a_derived_class_may_have_another_method() -> None:
    text = """
import torch
from torch import nn


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, 3)

    def polish(self, t):
        t += 1

    def forward(self, x):
        y = torch.sigmoid(self.lin(x))
        self.polish(y)
        return y
"""
    assert found(text, "GF202")
    derived = text + "\n\nclass Calm(Base):\n    def polish(self, t):\n        return t + 1\n"
    assert not found(derived, "GF202")


def test_the_function_may_stand_in_another_file() -> None:
    tools = "def shift(t):\n    t += 1\n\n\ndef keep(t):\n    return t\n"
    train = """
import torch
from tools import keep, shift

w = torch.ones(3, requires_grad=True)
y = w.exp()
{call}(y)
y.sum().backward()
"""
    for call, rows in (("shift", [7]), ("keep", [])):
        text = train.format(call=call)
        view = Project({"/p/tools.py": tools, "/p/train.py": text}.get, ["/p"]).at("/p/train.py")
        source = Source("/p/train.py", text)
        outcome = engine.check(source, settings_from(select=["GF202"]), view=view)
        assert [finding.span.row for finding in outcome.findings] == rows
        for finding in outcome.findings:
            assert "tools.py, line 2" in finding.because[-1].message


CUTTERS = {
    "numbers through `.data`": ("GF304", "def of(t):\n    return t.data.clamp(0, 1)\n"),
    "a function inside the function": (
        "GF304",
        "def bare(t):\n    return t.detach()\n\n\ndef of(t):\n    return bare(t) * 2\n",
    ),
    "with grad mode off": (
        "GF304",
        "def of(t):\n    with torch.no_grad():\n        return t.softmax(0)\n",
    ),
    "a lambda": ("GF304", "of = lambda t: t.detach()\n"),
    "a lambda of numbers": ("GF305", "of = lambda t: t.sum().item()\n"),
    "a comparison": ("GF306", "def of(t):\n    return (t > 0.5).float()\n"),
    "a partial comparison": (
        "GF306",
        "from functools import partial\n\n\ndef above(t, at):\n    return (t > at).float()\n\n\n"
        "of = partial(above, at=0.5)\n",
    ),
}
USES = """

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3))
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(x * of(self.w){more})


Net()(torch.ones(3)).sum().backward()
"""


@pytest.mark.parametrize("name", CUTTERS)
def test_a_function_cuts_off_what_it_is_given(name: str) -> None:
    code, helper = CUTTERS[name]
    text = f"import torch\nfrom torch import nn\n\n\n{helper}{USES}"
    (finding,) = found(text.format(more=""), code)
    assert "of(self.w)" in text.split("\n")[finding.span.row - 1]
    kept = text.format(more=" + self.w")
    assert not [f for c in ("GF304", "GF305", "GF306") for f in found(kept, c)]


@pytest.mark.parametrize(
    "helper",
    [
        "def of(t):\n    return t + (t.round() - t).detach()\n",
        "def of(t):\n    return t * (t > 0)\n",
        "def of(t, stop=False):\n    return t.detach() if stop else t\n",
        "of = lambda t: t / t.detach().norm()\n",
    ],
)
def test_a_function_that_keeps_a_way_for_the_gradient(helper: str) -> None:
    text = f"import torch\nfrom torch import nn\n\n\n{helper}{USES.format(more='')}"
    assert not [f for c in ("GF304", "GF305", "GF306") for f in found(text, c)]


PACKED = cases("""
=== a static method packs what it is given | none unsafe
class Tools:
    @staticmethod
    def pack(a, b):
        return torch.tensor([a, b])


class Mix(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.b = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return (x + self.a) * Tools.pack(self.a.exp(), self.b)


net = Mix()
out = net(torch.ones(2))
out.sum().backward()
grad = net.b.grad
--->
class Tools:
    @staticmethod
    def pack(a, b):
        return torch.stack([a, b])


class Mix(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.b = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return (x + self.a) * Tools.pack(self.a.exp(), self.b)


net = Mix()
out = net(torch.ones(2))
out.sum().backward()
grad = net.b.grad
""")


@table(PACKED)
def test_static_methods_are_given_what_requires_grad(case: Case) -> None:
    check_transformed(case, "GF301")


def test_a_list_of_graph_tensors_is_copied_by_a_helper() -> None:
    text = """
import torch
from torch import nn


def total(losses):
    return torch.tensor(losses).mean()


net = nn.Linear(3, 1)
losses = []
for _ in range(3):
    losses.append(net(torch.rand(3)).sum())
loss = total({given})
loss.backward()
"""
    (finding,) = found(text.format(given="losses"), "GF301")
    assert finding.span.row == 7
    assert not found(text.format(given="[one.item() for one in losses]"), "GF301")


RETURNED = """
import torch
from torch import nn


def make(n):
    return nn.Parameter(torch.randn(n)) * 0.1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = make(3)
"""


def test_a_helper_returns_what_is_no_leaf_to_a_module() -> None:
    (finding,) = found(RETURNED, "GF102")
    assert finding.fix is not None and finding.fix.safety.value == "unsafe"
    assert [note.span.row for note in finding.because][-1] == 13
    assert not found(RETURNED + "\n\nprior = make(2).sum()\n", "GF102")


LAYERS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = Net.build(3)

    @staticmethod
    def build(n):
        return [nn.Linear(n, n) for _ in range(2)]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x
"""


def test_a_list_that_is_returned_at_once_is_registered_where_it_is_kept() -> None:
    (finding,) = found(LAYERS, "GF105")
    assert finding.fix is not None
    assert [edit.content for edit in finding.fix.edits] == ["nn.ModuleList(Net.build(3))"]


def test_a_loss_that_only_data_is_left_of_is_not_used_itself() -> None:
    text = """
import torch
from torch.autograd import Variable


def prepare(loss):
    return Variable(loss.data, requires_grad=True)


w = torch.ones(3, requires_grad=True)
loss = prepare((w * w).sum())
loss.backward()
"""
    (finding,) = found(text, "GF303")
    assert finding.fix is None and "history" in (finding.not_fixed_reason or "")


def test_each_call_is_asked_about_once_however_deep_the_helpers_are() -> None:
    helpers = "def f0(t):\n    t += 1\n\n\n" + "".join(
        f"def f{n}(t):\n    f{n - 1}(t)\n    f{n - 1}(t)\n\n\n" for n in range(1, 30)
    )
    facts = flow.analyse(f"import torch\n\n\n{helpers}y = torch.ones(3).exp()\nf29(y)\nf2(y)\n")
    assert len(facts.all(HandedWrite)) <= 2 + 2 * 30
