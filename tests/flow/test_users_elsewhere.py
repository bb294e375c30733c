"""What other files do with attributes and results decides whether a rewrite may touch them."""

from __future__ import annotations

import re

import pytest

from gradfix import engine
from gradfix.config import settings_from
from gradfix.flow.project import Project
from gradfix.model import Finding, Safety, Source

HEAD = "import torch\nfrom torch import nn\n"
LISTED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = [nn.Linear(3, 3), nn.Linear(3, 3)]

    def forward(self, x):
        for head in self.heads:
            x = head(x)
        return x
"""
SCALED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3)) * 0.1

    def forward(self, x):
        return x * self.w
"""
COPIED = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.b = nn.Parameter(torch.tensor(0.2))

    def gates(self):
        return torch.tensor([self.a * 2, self.b * 2])

    def forward(self, x):
        return x * self.gates()
"""


def found(code: str, net: str, others: dict[str, str]) -> Finding:
    """The one finding in ``/p/net.py`` with other files around it."""
    texts = {"/p/net.py": HEAD + net, **{f"/p/{name}": text for name, text in others.items()}}

    def listing(folder: str) -> frozenset[str]:
        inside = f"{folder.rstrip('/')}/"
        below = [path[len(inside) :] for path in texts if path.startswith(inside)]
        return frozenset(path.partition("/")[0] for path in below)

    view = Project(texts.get, ("/p",), listing).at("/p/net.py")
    outcome = engine.check(Source("net.py", HEAD + net), settings_from(select=[code]), view=view)
    (finding,) = outcome.findings
    return finding


def safety(code: str, net: str, others: dict[str, str]) -> Safety | None:
    fix = found(code, net, others).fix
    return None if fix is None else fix.safety


# -- lists that become ModuleLists ----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "def f(net):\n    return vars(net)['heads']\n",
        "def f(net):\n    return net.__dict__['heads'][0]\n",
        "def f(net):\n    net.heads.reverse()\n",
        "def f(net):\n    heads = net.heads\n    heads.sort(key=id)\n",
        "def f(net):\n    return isinstance(net.heads, (list, tuple))\n",
        "class Mid(Net):\n    pass\nclass Deep(Mid):\n"
        "    def f(self):\n        self.heads.reverse()\n",
    ],
)
def test_what_only_a_list_can_do(text: str) -> None:
    finding = found("GF105", LISTED, {"use.py": f"from net import Net\n{text}"})
    assert finding.fix is None
    assert "use.py" in str(finding.not_fixed_reason)


@pytest.mark.parametrize(
    "others",
    [
        {"use.py": "from net import Net\nheads = getattr(Net(), 'heads')\n"},
        {"use.py": "from net import Net\nf(Net(), 'heads')\n",
         "f.py": "def f(n, k):\n    getattr(n, k)\n"},
        {"mid.py": "from net import Net\nclass Mid(Net):\n    pass\n",
         "deep.py": "from mid import Mid\nclass Deep(Mid):\n    def f(self):\n"
                    "        return self.heads\n"},
        {"store.py": "def load(net, path):\n    net.load_state_dict(torch.load(path))\n",
         "use.py": "from net import Net\nimport store\nstore.load(Net(), 'x')\n"},
        {"use.py": "from net import Net\nnet = Net()\nnet.load_state_dict(saved)\n"},
        {"use.py": "from net import Net\nnet = Net()\nopt = torch.optim.SGD(net.parameters())\n"
                   "opt.load_state_dict(saved)\n"},
        {"use.py": "from net import Net\nweights = list(Net().parameters())\nlast = weights[-1]\n"},
    ],
)  # fmt: skip
def test_what_may_need_a_list_or_the_old_names(others: dict[str, str]) -> None:
    assert safety("GF105", LISTED, others) is Safety.UNSAFE


@pytest.mark.parametrize(
    "others",
    [
        {"use.py": "from net import Net\nheads = options.get('heads')\n"},
        {"use.py": "from net import Net\nprint('heads')\nx['heads'] = 3\n"},
        {"use.py": "from net import Net\nnet = Net()\nopt = torch.optim.SGD(net.parameters())\n"
                   "plan = torch.optim.lr_scheduler.StepLR(opt, 2)\nplan.load_state_dict(saved)\n"
                   "net.load_state_dict(saved, strict=False)\n"},
        {"store.py": "def load(net, path):\n    net.load_state_dict(torch.load(path))\n",
         "use.py": "from net import Net\nnet = Net()\n"},
        {"store.py": "other = nn.Linear(2, 2)\nother.load_state_dict(saved)\n",
         "use.py": "from net import Net\nimport store\n"},
        {"use.py": "class Unlike(nn.Module):\n    def f(self):\n        self.heads.reverse()\n"},
    ],
)  # fmt: skip
def test_what_has_nothing_to_do_with_the_list(others: dict[str, str]) -> None:
    assert safety("GF105", LISTED, others) is Safety.SAFE


def test_a_list_that_the_file_itself_looks_up_by_name() -> None:
    looked_up = "\n\ndef heads_of(net):\n    return vars(net)['heads']\n"
    assert safety("GF105", LISTED + looked_up, {}) is None
    assert safety("GF105", f"{LISTED}\n\nheads = getattr(Net(), 'heads')\n", {}) is Safety.UNSAFE
    assert safety("GF105", f"{LISTED}\n\nNet().load_state_dict(saved)\n", {}) is Safety.UNSAFE


def test_layers_that_compute_something_else_after_eval() -> None:
    normed = LISTED.replace("nn.Linear(3, 3)]", "Block()]")
    normed = f"{normed}\n\nclass Block(nn.Module):\n    def __init__(self):\n"
    normed += "        super().__init__()\n        self.norm = nn.{}\n"
    batch = normed.format("BatchNorm1d(3)")
    evaluates = {"use.py": "def run(model):\n    model.eval()\n"}
    assert safety("GF105", batch, evaluates) is Safety.UNSAFE
    assert safety("GF105", batch + "\n\nNet().train(False)\n", {}) is Safety.UNSAFE
    assert safety("GF105", batch, {"use.py": "def run(model):\n    model.train()\n"}) is Safety.SAFE
    assert safety("GF105", normed.format("LayerNorm(3)"), evaluates) is Safety.SAFE


# -- attributes that become Parameters ----------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "class Sub(Net):\n    def f(self):\n        self.w = self.w.detach() * 2\n",
        "class Sub(Net):\n    def f(self):\n        self.w *= 2\n",
        "def f(net):\n    net.w = net.w * (net.w > 0)\n",
        "def f(net):\n    net.w[0] = 0.0\n",
        "def f(net):\n    net.w.mul_(0.9)\n",
        "def f(net):\n    setattr(net, 'w', torch.zeros(3))\n",
        "def f(net):\n    return vars(net)['w']\n",
    ],
)
def test_an_attribute_that_others_change_stays_no_parameter(text: str) -> None:
    finding = found("GF102", SCALED, {"use.py": f"from net import Net\n{text}"})
    assert finding.fix is None
    assert re.search("use.py (changes|looks) `.w`", str(finding.not_fixed_reason))


@pytest.mark.parametrize(
    "text",
    [
        "def f(net):\n    with torch.no_grad():\n        net.w.mul_(0.9)\n        net.w += 1\n",
        "@torch.no_grad()\ndef f(net):\n    net.w[0] = 0.0\n",
        "def f(net):\n    net.w = nn.Parameter(torch.ones(3))\n    net.w = None\n",
        "def f(net):\n    return net.w * 2, net.w.data, net.w.requires_grad_()\n",
        "class Other(nn.Module):\n    def f(self):\n        self.w = 3\n",
    ],
)
def test_changes_that_a_parameter_lets_happen(text: str) -> None:
    assert safety("GF102", SCALED, {"use.py": f"from net import Net\n{text}"}) is Safety.SAFE


def test_an_attribute_of_that_name_that_may_be_another() -> None:
    other = (
        "class Other:\n    def __init__(self):\n        self.w = 1\n\n\ndef f(x):\n    x.w = 2\n"
    )
    assert safety("GF102", SCALED, {"use.py": other}) is Safety.UNSAFE


def test_weights_that_were_saved_without_the_attribute() -> None:
    loading = "from net import Net\nnet = Net()\nnet.load_state_dict(saved)\n"
    assert safety("GF102", SCALED, {"use.py": loading}) is Safety.UNSAFE
    store = {
        "store.py": "def load(net, path):\n    net.load_state_dict(torch.load(path))\n",
        "use.py": "from net import Net\nimport store\nstore.load(Net(), 'w.pt')\n",
    }
    assert safety("GF102", SCALED, store) is Safety.UNSAFE
    assert safety("GF102", f"{SCALED}\n\nNet().load_state_dict(saved)\n", {}) is Safety.UNSAFE


def test_weights_of_other_models() -> None:
    others = {
        "use.py": "from net import Net\nscaler.load_state_dict(saved)\n"
        "Net().load_state_dict(saved, strict=False)\nscaler = torch.amp.GradScaler()\n",
        "store.py": "other = nn.Linear(2, 2)\nother.load_state_dict(saved)\n",
    }
    assert safety("GF102", SCALED, others) is Safety.SAFE


def test_an_attribute_that_its_own_file_changes() -> None:
    derived = "\n\nclass Sub(Net):\n    def f(self):\n        self.w = self.w.detach() * 2\n"
    assert safety("GF102", SCALED + derived, {}) is None
    assert safety("GF102", f"{SCALED}\n\ndef f(net):\n    net.w = net.w * 2\n", {}) is None


# -- results that get a history -----------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "def f(net):\n    return net.gates().numpy()\n",
        "def f(net):\n    g = net.gates()\n    return np.asarray(g)\n",
        "def f(net):\n    g = net.gates()\n    return g.cpu().numpy()\n",
        "def f(net):\n    return copy.deepcopy(net.gates())\n",
        "g = Net().gates()\nfor x in xs:\n    (lin(x) * g).sum().backward()\n",
        "def f(net):\n    g = net.gates()\n    g.requires_grad_(False)\n",
        "def f(net):\n    g = net.gates()\n    g.requires_grad = False\n",
        "class Plot:\n    def __init__(self, net):\n        self.g = net.gates()\n",
        "class Sub(Net):\n    def f(self):\n        self.register_buffer('g', super().gates())\n",
    ],
)
def test_a_result_that_others_need_without_history(text: str) -> None:
    finding = found("GF301", COPIED, {"use.py": f"from net import Net\n{text}"})
    assert finding.fix is None
    assert "use.py needs it without history" in str(finding.not_fixed_reason)


FUNCTION = """
a = torch.tensor(1.0, requires_grad=True)
def both():
    return torch.tensor([a * 2, a * 3])
"""


def test_a_function_under_another_name() -> None:
    others = {
        "pkg.py": "from net import both as pair\n",
        "use.py": "from pkg import pair\nprint(pair().numpy())\n",
    }
    assert safety("GF301", FUNCTION, others) is None
    others["use.py"] = "from pkg import pair\nprint(pair().detach().numpy())\n"
    assert safety("GF301", FUNCTION, others) is Safety.SAFE


def test_a_function_that_is_handed_on() -> None:
    text = "from net import both\ncall(both)\n"
    assert safety("GF301", FUNCTION, {"use.py": text}) is Safety.UNSAFE
    assert safety("GF301", FUNCTION, {"use.py": "from net import both\ncall(both())\n"}) is (
        Safety.SAFE
    )


def test_a_property_is_read() -> None:
    net = COPIED.replace("    def gates", "    @property\n    def gates").replace(
        "gates())", "gates)"
    )
    net = net.replace("self.gates()", "self.gates")
    use = "from net import Net\nprint(Net().gates{}.numpy())\n"
    assert safety("GF301", net, {"use.py": use.format("")}) is None
    assert safety("GF301", net, {"use.py": use.format(".detach()")}) is Safety.SAFE


def test_two_backwards_go_through_one_copy() -> None:
    once = f"{FUNCTION}t = torch.tensor([a * 2, a * 3])\nlin = nn.Linear(2, 1)\n"
    once = once.replace("def both():\n    return torch.tensor([a * 2, a * 3])\n", "")
    back = "lin(t).sum().backward({})\n"
    assert safety("GF301", once + back.format(""), {}) is Safety.SAFE
    assert safety("GF301", once + 2 * back.format(""), {}) is None
    kept = back.format("retain_graph=True")
    assert safety("GF301", once + 2 * kept, {}) is Safety.SAFE


def test_what_a_model_returns() -> None:
    use = {"use.py": "def f(net, x):\n    return net(x).numpy()\n"}
    assert safety("GF301", COPIED, use) is Safety.SAFE  # who knows what that is given
    use["main.py"] = "from net import Net\nimport use\nuse.f(Net(), 1.0)\n"
    assert safety("GF301", COPIED, use) is Safety.UNSAFE


@pytest.mark.parametrize(
    "text",
    [
        "def f(net):\n    return net.gates().detach().numpy()\n",
        "@torch.no_grad()\ndef f(net):\n    return net.gates().numpy()\n",
        "def f(net):\n    with torch.no_grad():\n        return net.gates().numpy()\n",
        "for x in xs:\n    g = Net().gates()\n    (lin(x) * g).sum().backward()\n",
        "def f(net):\n    return net.other().numpy(), net.gates().tolist()\n",
    ],
)
def test_a_result_that_may_have_a_history(text: str) -> None:
    assert safety("GF301", COPIED, {"use.py": f"from net import Net\n{text}"}) is Safety.SAFE


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (COPIED.replace("    def gates", "    @functools.cache\n    def gates"), "cached"),
        (
            COPIED.replace("        return torch.tensor([self.a * 2, self.b * 2])",
                           "        if self.kept is None:\n"
                           "            self.kept = torch.tensor([self.a * 2, self.b * 2])\n"
                           "        return self.kept"),
            "made once and kept",
        ),
        (
            COPIED.replace("    def gates(self):\n        return torch",
                           "        self.start = torch")
                  .replace("self.gates()", "self.start"),
            "in the constructor",
        ),
    ],
)  # fmt: skip
def test_a_copy_that_serves_several_backwards(net: str, reason: str) -> None:
    finding = found("GF301", net, {})
    assert finding.fix is None
    assert reason in str(finding.not_fixed_reason)


def test_a_copy_made_before_the_loop() -> None:
    once = "a = torch.tensor(0.5, requires_grad=True)\nb = torch.tensor(0.5, requires_grad=True)\n"
    once += "lin = nn.Linear(2, 1)\ndef table():\n    return torch.tensor([a * 2, b * 2])\n"
    loop = "for _ in range(3):\n    lin(t).sum().backward()\n"
    assert safety("GF301", f"{once}t = table()\n{loop}", {}) is None
    again = loop.replace("    lin", "    t = table()\n    lin")
    assert safety("GF301", f"{once}{again}", {}) is Safety.SAFE
