"""Files that meet a Module without naming its class, and mind what a fix would change.

Each case is a project: ``net.py`` holds a class with a fault, ``main.py`` joins it with others.
"""

from __future__ import annotations

import json
import textwrap

import pytest

from gradfix import config, engine
from gradfix.flow.project import Project
from gradfix.model import Safety, Source

HEAD = "import torch\nfrom torch import nn\n"
MAKE = "\ndef make():\n    return Net()\n"
LAYERS = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.maps = [nn.Linear(3, 3), nn.Linear(3, 3)]

    def forward(self, x):
        for m in self.maps:
            x = m(x)
        return self.body(x)
""" + MAKE
SCALE = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.scale = nn.Parameter(torch.ones(3)) * 0.5

    def forward(self, x):
        return self.body(x) * self.scale
""" + MAKE
COPIED = HEAD + """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.5))
        self.b = nn.Parameter(torch.tensor(-1.0))

    def forward(self, x):
        return x * torch.tensor([self.a, self.b])
""" + MAKE
METHOD = COPIED.replace("torch.tensor([self.a, self.b])", "self.weights()").replace(
    "    def forward",
    "    def weights(self):\n        return torch.tensor([self.a, self.b])\n\n    def forward",
)
REFUSED = (
    HEAD + "def bump(n):\n    w = torch.ones(3, requires_grad=True)\n    w += 1\n    return w\n"
)


def safety(net: str, **others: str) -> Safety | None:
    """The best safety of a fix in ``net.py``, beside some other files; None where there is none."""
    texts = {f"/p/{name}.py": textwrap.dedent(text) for name, text in others.items()}
    return _safety({**texts, "/p/net.py": net})


def _safety(texts: dict[str, str]) -> Safety | None:
    names = frozenset(path.rpartition("/")[2] for path in texts)
    project = Project(texts.get, ("/p",), lambda folder: names if folder == "/p" else None)
    outcome = engine.check(
        Source("net.py", texts["/p/net.py"]),
        config.settings_from(),
        view=project.at("/p/net.py"),
    )
    assert not outcome.failures
    fixes = [finding.fix.safety for finding in outcome.findings if finding.fix is not None]
    return Safety.SAFE if Safety.SAFE in fixes else fixes[0] if fixes else None


HARMLESS = [
    "def fit(model):\n    return torch.optim.SGD(model.parameters(), lr=0.1)",
    "def count(model):\n    return sum(p.numel() for p in model.parameters())",
    "def clip(model):\n    nn.utils.clip_grad_norm_(model.parameters(), 1.0)",
    "first, second = nn.Linear(3, 3).parameters()",
    "layer = nn.Linear(3, 3)\nweight, bias = layer.parameters()",
    "class Own(nn.Module):\n"
    "    def __init__(self, n):\n        super().__init__()\n        self.a = nn.Linear(n, n)\n"
    "        for p in self.parameters():\n            nn.init.uniform_(p)",
    "layer = nn.Linear(3, 3)\nlayer.apply(init)",
    "class Twice(torch.autograd.Function): ...\ny = Twice.apply(x)",
    "def moved(model, best):\n    return {k: v.cpu() for k, v in model.state_dict().items()}",
    "def read(args):\n    return {k: getattr(args, k) for k in names}",
    "shadow = {}\ndef start(model):\n    for name, p in model.named_parameters():\n"
    "        shadow[name] = p.clone()\n"
    "def step(model):\n    for name, p in model.named_parameters():\n        shadow[name].add_(p)",
    "layer = nn.Linear(3, 3)\nlayer.load_state_dict(torch.load('layer.pt'))",
    "def run(optimizer, scheduler):\n    scheduler.load_state_dict(torch.load('s.pt'))",
]
#: What minds new Parameters, whoever has them.
MINDING = [
    "def test(average):\n    assert average.names() == ['body.bias', 'body.weight']",
    "import net\nweight, bias = net.model.parameters()",
    "lin = nn.Linear(3, 3)\nfor lin in given():\n    weight, bias = lin.parameters()",
    "def pair(model):\n    weight, bias = model.parameters()\n    return weight",
    "def rates(model):\n    params = list(model.parameters())\n    return params[0], params[1:]",
    "def fill(model):\n    for p in model.parameters():\n        nn.init.xavier_uniform_(p)",
    "def groups(model):\n    for name, p in model.named_parameters():\n"
    "        yield {'params': [p], 'lr': RATES[name]}",
    "def renamed(model):\n    return {MAP[k]: v for k, v in model.state_dict().items()}",
    "def short(model):\n"
    "    return [SHORT[name.split('.')[1]] for name, _ in model.named_parameters()]",
    "def test():\n    assert sorted(make().state_dict()) == ['body.bias', 'body.weight']",
    "class T(TestCase):\n    def test(self):\n"
    "        self.assertEqual(len(list(self.net.parameters())), 2)",
    "class Trainer:\n    def __init__(self, model):\n        self.model = model\n"
    "    def check(self, saved):\n"
    "        if saved['keys'] != ['body.weight', 'body.bias']:\n            raise ValueError\n"
    "    def save(self):\n        return list(self.model.state_dict())",
    "class Store:\n    def __init__(self, m):\n        self.m = m\n"
    "    def load(self, state):\n        self.m.load_state_dict(state)",
    "def resume(params, state):\n    opt = torch.optim.SGD(params, lr=0.1)\n"
    "    opt.load_state_dict(state)\n    return opt",
    "def shown(model):\n    return [k for k, v in vars(model).items() if isinstance(v, list)]",
    "def shown(model):\n    return inspect.getmembers(model, is_list)",
]
#: What minds new layers.
WALKING = [
    "def prepare(model):\n    model.apply(init)",
    "def watch(model):\n    for m in model.modules():\n        m.register_forward_hook(count)",
    "def parts(model):\n    return nn.Sequential(*model.children())",
    "def show(m):\n    for part in m._modules.values():\n        print(part)\n        show(part)",
    "def train(model):\n    for name in EXTRA:\n        use(getattr(model, name))",
    "def test():\n    assert repr(make()) == 'Net(body)'",
]


def together(text: str) -> dict[str, str]:
    return {"other": HEAD + text, "main": "import net, other\n"}


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_certainly_another_module_is_no_doubt(text: str) -> None:
    assert safety(LAYERS, **together(text)) is Safety.SAFE
    assert safety(SCALE, **together(text)) is Safety.SAFE


@pytest.mark.parametrize("text", MINDING)
def test_what_minds_more_parameters_of_any_module(text: str) -> None:
    assert safety(LAYERS, **together(text)) is Safety.UNSAFE
    assert safety(SCALE, **together(text)) is Safety.UNSAFE
    if "import net" not in text:  # never loaded with it
        assert safety(SCALE, other=HEAD + text) is Safety.SAFE


@pytest.mark.parametrize("text", WALKING)
def test_what_minds_more_layers_of_any_module(text: str) -> None:
    assert safety(LAYERS, **together(text)) is Safety.UNSAFE


def test_gradients_that_are_needed_of_layers_that_are_seldom_used() -> None:
    norm = "def norm(model):\n    return sum(p.grad.norm() for p in model.parameters())"
    seldom = LAYERS.replace(
        "        for m in self.maps:\n            x = m(x)",
        "        if self.training:\n            for m in self.maps:\n                x = m(x)",
    )
    assert safety(LAYERS, **together(norm)) is Safety.SAFE
    assert safety(seldom, **together(norm)) is Safety.UNSAFE


@pytest.mark.parametrize(
    "text",
    [
        "def set_all(model, given):\n    for k, v in given.items():\n        setattr(model, k, v)",
        "def tick(model):\n    s = model.scale\n    s *= 0.9",
    ],
)
def test_attributes_that_are_bound_or_written_under_other_names(text: str) -> None:
    assert safety(SCALE, **together(text)) is not Safety.SAFE


def test_layers_that_a_method_hands_to_another_file() -> None:
    net = LAYERS.replace(
        "    def forward", "    def parts(self):\n        return iter(self.maps)\n\n    def forward"
    )
    train = "def train(n):\n    return [torch.optim.SGD(p.parameters(), 0.1) for p in n.parts()]"
    assert safety(net, **together(train)) is Safety.UNSAFE
    assert safety(net, **together("def use(x):\n    return x.other()")) is Safety.SAFE
    computes = net.replace("iter(self.maps)", "[m(1) for m in self.maps]")
    assert safety(computes, **together(train)) is Safety.SAFE


def test_layers_that_keep_their_element_type() -> None:
    double = "n = net.make().double()"
    casts = LAYERS.replace("x = m(x)", "x = m(x.float())")
    assert safety(casts, **together(f"import net\n{double}")) is Safety.UNSAFE
    assert safety(casts, **together("import net\nn = net.make()")) is Safety.SAFE
    assert safety(LAYERS, **together(f"import net\n{double}")) is Safety.SAFE


def test_a_property_of_the_same_name() -> None:
    has = "class {}(nn.Module):\n    @property\n    def {}(self):\n        return self._held"
    for net, name in ((LAYERS, "maps"), (SCALE, "scale")):
        base = HEAD + has.format("Base", name)
        inherits = "from base import Base\n" + net.replace("(nn.Module)", "(Base)")
        assert safety(inherits, base=base) is not Safety.SAFE
        assert safety(inherits, base=HEAD + has.format("Base", "more")) is Safety.SAFE
        derived = "from net import Net\n" + has.format("Small", name).replace("nn.Module", "Net")
        assert safety(net, **together(derived)) is not Safety.SAFE


def test_a_class_that_looks_attributes_up_itself() -> None:
    base = HEAD + "class Base(nn.Module):\n    def __getattr__(self, name):\n        return 2"
    net = "from base import Base\n" + SCALE.replace("(nn.Module)", "(Base)")
    assert safety(net, base=base) is Safety.UNSAFE
    assert safety(net, base=base.replace("__getattr__", "found")) is Safety.SAFE


def test_the_cells_of_a_notebook() -> None:
    def beside(*cells: str) -> Safety | None:
        code = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
        return _safety({"/p/net.py": LAYERS, "/p/nb.ipynb": json.dumps({"cells": code})})

    assert beside("import net\nn = net.make()", "print(n)") is Safety.SAFE
    minding = "%%time\nweight, bias = n.parameters()"
    assert beside("import net\n%run x.py\nn = net.make()", minding) is Safety.UNSAFE
    assert beside("import net", "%%bash\nls", "x = !ls\nnet?") is Safety.SAFE
    derived = "class Small(net.Net):\n    @property\n    def maps(self):\n        return []"
    assert beside("import net", derived) is Safety.UNSAFE
    assert beside("import net", "what (is\n# net.parameters()") is Safety.UNSAFE


@pytest.mark.parametrize(
    "text",
    [
        "def use(net):\n    w = net.weights()\n    w.requires_grad_()\n    return w",
        "def use(net):\n    w = net.weights()\n    (w * 3).sum().backward()\n    return w.grad",
        "def turn(net, past):\n    past.append(net.weights())",
        "def send(net, queue):\n    queue.put(net.weights())",
        "def add(net, a):\n    w = net.weights()\n    torch.add(a, a, out=w)",
        "from net import make\ndef test():\n    assert not make()(x).requires_grad",
        "from net import make\ndef test():\n    make()(x).numpy()",
        "def test(net):\n    out = net(x)\n    assert out.is_leaf",
    ],
)
def test_results_that_are_asked_for_their_history(text: str) -> None:
    net = METHOD if "weights" in text else COPIED
    assert safety(net, **together(text)) is not Safety.SAFE


@pytest.mark.parametrize(
    "text",
    [
        "def step(net, opt):\n    net(x).sum().backward()\n    opt.step()",
        "def rows(nets, x):\n    out = torch.zeros(3, 2)\n    out[0] = nets[0](x)\n    return out",
        "def rows(net):\n    out = []\n    out.append(net.weights())\n    return torch.stack(out)",
    ],
)
def test_results_that_nobody_asks(text: str) -> None:
    assert safety(COPIED, **together(text)) is Safety.SAFE
    assert safety(METHOD, **together(text)) is Safety.SAFE


@pytest.mark.parametrize(
    "text",
    [
        "def test():\n    with pytest.raises(RuntimeError):\n        net.bump(3)",
        "class T(Case):\n    def test(self):\n        self.assertRaises(ValueError, net.bump, 3)",
        "try:\n    net.bump(3)\nexcept (RuntimeError, OSError):\n    other()",
        "from net import bump\ndef test(fit=bump):\n    with raises(RuntimeError):\n        fit(3)",
    ],
)
def test_an_error_that_another_file_expects(text: str) -> None:
    assert safety(REFUSED, other=f"import net\n{text}") is Safety.UNSAFE


@pytest.mark.parametrize(
    "text",
    [
        "def test():\n    with pytest.raises(KeyError):\n        net.bump(3)",
        "def test():\n    with pytest.raises(ValueError):\n        other()\n    net.bump(3)",
        "def test():\n    with pytest.raises(RuntimeError):\n        other()",
        "try:\n    net.bump(3)\nexcept OSError:\n    other()",
    ],
)
def test_errors_of_something_else(text: str) -> None:
    assert safety(REFUSED, other=f"import net\n{text}") is Safety.SAFE
