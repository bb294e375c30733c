"""Made-up sources of growing size, each of one shape that may be costly to analyse."""

from __future__ import annotations

from collections.abc import Callable

HEAD = "import torch\nfrom torch import nn\n\n\n"
Shape = Callable[[int], str]


def literal(count: int) -> str:
    """A list of numbers, as generated tables have it."""
    rows = "".join(f"    {n}.5, {n}.25, -{n}.125, 0x{n:x},\n" for n in range(count))
    return f"{HEAD}TABLE = [\n{rows}]\nweights = torch.tensor(TABLE)\n"


def functions(count: int) -> str:
    """Small functions with an in-place write each."""
    one = """\
def f{n}(x: torch.Tensor) -> torch.Tensor:
    y = torch.exp(x)
    y[0] = y[1] * {n}
    return y.sum()


"""
    return HEAD + "".join(one.format(n=n) for n in range(count // 6 + 1))


def modules(count: int) -> str:
    """Small Modules that fill a buffer."""
    one = """\
class M{n}(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.rand(3))

    def forward(self, x):
        out = torch.zeros(3)
        for i in range(3):
            out[i] = self.w[i] * x
        return out


"""
    return HEAD + "".join(one.format(n=n) for n in range(count // 11 + 1))


def writes(count: int) -> str:
    """One function: in-place writes and operations that save what is written to."""
    one = (
        "    y = torch.sigmoid(x * {n})\n    y[0] = y[1] * x\n    x = x + y\n    z[{n}] = x.sum()\n"
    )
    body = "".join(one.format(n=n) for n in range(count // 4))
    start = f"    w = nn.Parameter(w)\n    z = torch.zeros({count})\n"
    return f"{HEAD}def f(x, w):\n{start}{body}    return z\n"


def same_tensor(count: int) -> str:
    """One function that reads and writes one tensor again and again."""
    one = "    t = p[{n}] * 2\n    p[{n}] = t\n"
    body = "".join(one.format(n=n) for n in range(count // 2))
    return f"{HEAD}def f(w):\n    p = nn.Parameter(w) * 1\n{body}    return p.sum()\n"


def rebound(count: int) -> str:
    """One function that binds one name, made of a leaf, again and again."""
    body = "".join(f"    w = w * {n}\n" for n in range(count))
    return f"{HEAD}def f(x):\n    w = nn.Parameter(torch.rand(3))\n{body}    return w * x\n"


def leaves(count: int) -> str:
    """One function with a leaf on every line, and a loss of all of them."""
    made = "".join(f"    w{n} = torch.rand(3, requires_grad=True)\n" for n in range(count // 2))
    used = "".join(f"    loss = loss + w{n}.sum()\n" for n in range(count // 2))
    return f"{HEAD}def f():\n{made}    loss = 0\n{used}    loss.backward()\n    return w0.grad\n"


def attributes(count: int) -> str:
    """A Module with many Parameters, all of which forward reads and writes to a buffer."""
    made = "".join(f"        self.w{n} = nn.Parameter(torch.rand(3))\n" for n in range(count // 2))
    used = "".join(f"        out[{n}] = self.w{n} * x\n" for n in range(count // 2))
    return (
        f"{HEAD}class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n{made}\n"
        f"    def forward(self, x):\n        out = torch.zeros({count // 2}, 3)\n{used}"
        "        return out\n"
    )


def branches(count: int) -> str:
    """One long chain of if and elif."""
    one = "    elif kind == {n}:\n        y = torch.exp(x) * {n}\n        y[0] = x[0]\n"
    chain = "".join(one.format(n=n) for n in range(count // 3))
    start = "    y = nn.Parameter(w) * x\n    if kind is None:\n        pass\n"
    return f"{HEAD}def f(x, w, kind):\n{start}{chain}    return y\n"


def conditions(count: int) -> str:
    """One `if` after the other, each of which may or may not write."""
    one = "    if kind == {n}:\n        y = torch.exp(y) * x\n        y[0] = x[0]\n"
    body = "".join(one.format(n=n) for n in range(count // 3))
    return f"{HEAD}def f(x, w, kind):\n    y = nn.Parameter(w) * x\n{body}    return y\n"


def expression(count: int) -> str:
    """A sum with one term on every line."""
    terms = "".join(f"        + torch.exp(x[{n}]) * w\n" for n in range(count))
    return f"{HEAD}def f(x, w):\n    y = (\n        x\n{terms}    )\n    y[0] = x\n    return y\n"


def call_chain(count: int) -> str:
    """A value sent through one method after the other in a single expression."""
    calls = "".join(f"        .add({n})\n" for n in range(count))
    start = "    y = (\n        nn.Parameter(w)\n"
    return f"{HEAD}def f(x, w):\n{start}{calls}    )\n    y[0] = x\n    return y\n"


def loops(count: int) -> str:
    """Loops one after the other, each carrying what the one before has left."""
    one = "    for i in range(3):\n        y[i] = y[i] * w\n        y = y + torch.exp(x)\n"
    body = "".join(one.format(n=n) for n in range(count // 3))
    return (
        f"{HEAD}def f(x, w):\n    w = nn.Parameter(w)\n    y = torch.zeros(3)\n{body}    return y\n"
    )


def appended(count: int) -> str:
    """A list that grows line by line and is stacked."""
    body = "".join(f"    parts.append(torch.exp(w[{n}]))\n" for n in range(count))
    start = "    w = nn.Parameter(w)\n    parts = []\n"
    return f"{HEAD}def f(w):\n{start}{body}    return torch.tensor(parts)\n"


def callers(count: int) -> str:
    """Functions that each call the two before."""
    one = "def f{n}(x):\n    y = f{a}(x) + f{b}(x)\n    y[0] = 0\n    return y\n\n\n"
    first = "def f0(x):\n    return torch.exp(x)\n\n\ndef f1(x):\n    return torch.sigmoid(x)\n\n\n"
    rest = "".join(one.format(n=n, a=n - 1, b=n - 2) for n in range(2, count // 6))
    return f"{HEAD}{first}{rest}w = nn.Parameter(torch.rand(3))\nloss = f{count // 6 - 1}(w)\n"


def training(count: int) -> str:
    """A script: training steps one after the other at the top level."""
    one = (
        "opt.zero_grad()\nloss{n} = model(x).sum()\nloss{n}.backward()\nopt.step()\n"
        "history.append(loss{n}.item())\n"
    )
    body = "".join(one.format(n=n) for n in range(count // 5))
    return (
        f"{HEAD}model = nn.Linear(3, 3)\nx = torch.rand(3)\nhistory = []\n"
        f"opt = torch.optim.SGD(model.parameters(), lr=0.1)\n{body}"
    )


def dictionary(count: int) -> str:
    """A nested dictionary of settings, with tensors in it."""
    rows = "".join(f'    "k{n}": {{"a": [{n}], "t": torch.rand({n})}},\n' for n in range(count))
    return f"{HEAD}SETTINGS = {{\n{rows}}}\n"


def ignoring(count: int) -> str:
    """Functions that each call the one before, and not with what they are given."""
    one = "def f{n}(x):\n    y = f{a}(w) * 2\n    y[0] = 0\n    return y\n\n\n"
    rest = "".join(one.format(n=n, a=n - 1) for n in range(1, count // 6))
    first = "w = nn.Parameter(torch.rand(3))\n\n\ndef f0(x):\n    return torch.exp(w)\n\n\n"
    return f"{HEAD}{first}{rest}loss = f{count // 6 - 1}(w)\n"


def methods(count: int) -> str:
    """A Module whose methods each call the one before."""
    one = (
        "    def m{n}(self, x):\n        y = self.m{a}(x) * self.w\n        y[0] = 0\n"
        "        return y\n\n"
    )
    rest = "".join(one.format(n=n, a=n - 1) for n in range(1, count // 5))
    return (
        f"{HEAD}class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = nn.Parameter(torch.rand(3))\n\n    def m0(self, x):\n"
        f"        return torch.exp(x)\n\n{rest}    def forward(self, x):\n"
        f"        return self.m{count // 5 - 1}(x)\n"
    )


def inheriting(count: int) -> str:
    """Modules that are each derived from the one before."""
    one = """\
class C{n}(C{a}):
    def __init__(self):
        super().__init__()
        self.w{n} = nn.Parameter(torch.rand(3))

    def forward(self, x):
        y = super().forward(x) * self.w{a}
        y[0] = 1
        return y


"""
    first = one.replace("super().forward(x) * self.w{a}", "x * self.w0").format(n=0, a="")
    rest = "".join(one.format(n=n, a=n - 1) for n in range(1, count // 11 + 1))
    return f"{HEAD}{first.replace('C0(C)', 'C0(nn.Module)')}{rest}"


def layers(count: int) -> str:
    """A Module with many plain lists of layers."""
    made = "".join(f"        self.l{n} = [nn.Linear(3, 3)]\n" for n in range(count // 2))
    used = "".join(f"        x = self.l{n}[0](x)\n" for n in range(count // 2))
    return (
        f"{HEAD}class M(nn.Module):\n    def __init__(self):\n        super().__init__()\n{made}\n"
        f"    def forward(self, x):\n{used}        return x\n"
    )


def closures(count: int) -> str:
    """One function with many others in it, which use its leaf."""
    one = "    def g{n}(z):\n        y = torch.exp(w) * z\n        y[0] = 1\n        return y\n\n"
    body = "".join(one.format(n=n) for n in range(count // 5))
    return f"{HEAD}def f(x):\n    w = nn.Parameter(x)\n{body}    return w\n"


def comprehensions(count: int) -> str:
    """One function with a comprehension on every line."""
    one = "    y{n} = torch.stack([torch.exp(w[i]) * v for i, v in enumerate(x)])\n"
    body = "".join(one.format(n=n) for n in range(count))
    return f"{HEAD}def f(x):\n    w = nn.Parameter(x)\n{body}    return w\n"


def yields(count: int) -> str:
    """A generator that overwrites what backward needs, again and again."""
    body = "".join(
        f"    y = torch.exp(w)\n    y[0] = {n}\n    yield y\n" for n in range(count // 3)
    )
    return f"{HEAD}def f(x):\n    w = nn.Parameter(x)\n{body}"


def long_loop(count: int) -> str:
    """Loops in each other, around all lines of the function."""
    body = "".join(
        f"            y{n} = torch.exp(w) + y\n            y{n}[{n}] = w\n"
        for n in range(count // 2)
    )
    start = "    w = nn.Parameter(x)\n    y = x\n    for i in range(3):\n        while x:\n"
    return f"{HEAD}def f(x):\n{start}{body}    return y\n"


def updates(count: int) -> str:
    """Updates by hand, one after the other."""
    one = "    with torch.no_grad():\n        w -= {n} * w.grad\n    w.grad.zero_()\n"
    body = "".join(one.format(n=n) for n in range(count // 3))
    start = "    w = nn.Parameter(x)\n    (w * x).sum().backward()\n"
    return f"{HEAD}def f(x):\n{start}{body}    return w\n"


def optimizers(count: int) -> str:
    """A leaf, its optimizer and one step, again and again."""
    one = (
        "    w{n} = nn.Parameter(x)\n    o{n} = torch.optim.SGD([w{n}], lr=0.1)\n"
        "    w{n} = w{n} * 2\n    (w{n} * x).sum().backward()\n    o{n}.step()\n"
    )
    return f"{HEAD}def f(x):\n" + "".join(one.format(n=n) for n in range(count // 5))


def slices(count: int) -> str:
    """Views of one leaf, each written to."""
    body = "".join(f"    v{n} = w[{n}]\n    v{n} += 1\n" for n in range(count // 2))
    return f"{HEAD}def f(x):\n    w = nn.Parameter(x)\n{body}    return w\n"


def views_used(count: int) -> str:
    """Views of one tensor, each written to, and all of them in the loss."""
    made = "".join(f"    v{n} = w[{n}]\n    v{n} += x\n" for n in range(count // 3))
    used = "".join(f"    t = t + v{n}\n" for n in range(count // 3))
    start = "    w = nn.Parameter(x) * 1\n"
    return f"{HEAD}def f(x):\n{start}{made}    t = 0\n{used}    t.sum().backward()\n"


def views_on_paths(count: int) -> str:
    """Views of one tensor, each written to on one of two paths."""
    one = "    v{n} = w[{n}]\n    if k == {n}:\n        v{n} += x\n"
    body = "".join(one.format(n=n) for n in range(count // 3))
    return f"{HEAD}def f(x, k):\n    w = nn.Parameter(x) * 1\n{body}    return w\n"


def cases(count: int) -> str:
    """One ``match`` with many cases, each with names of its own."""
    one = (
        "        case {n}:\n            z{n} = torch.sigmoid(y)\n"
        "            z{n} += 1\n            y = z{n}\n"
    )
    body = "".join(one.format(n=n) for n in range(count // 4))
    start = "    y = nn.Parameter(w) * x\n    match kind:\n"
    return f"{HEAD}def f(x, w, kind):\n{start}{body}    return y\n"


def tries(count: int) -> str:
    """One ``try`` after the other, each of which may leave a value as it was."""
    one = "    try:\n        y = torch.exp(y) * {n}\n    except ValueError:\n        y[{n}] = x\n"
    body = "".join(one.format(n=n) for n in range(count // 4))
    return f"{HEAD}def f(x, w):\n    y = nn.Parameter(w) * x\n{body}    return y\n"


def filled_dictionary(count: int) -> str:
    """A dictionary of tensors that is filled, and written to, line by line."""
    one = "    d['k{n}'] = torch.exp(w * {n})\n    d['k{n}'][0] = x\n"
    body = "".join(one.format(n=n) for n in range(count // 2))
    return f"{HEAD}def f(x, w):\n    w = nn.Parameter(w)\n    d = {{}}\n{body}    return d\n"


def silenced(count: int) -> str:
    """A finding and a comment that silences it, again and again."""
    one = "y{n} = torch.sigmoid(w)\ny{n}[0] = 1  # gradfix: ignore[GF201]\nprint(y{n})\n"
    body = "".join(one.format(n=n) for n in range(count // 3))
    return f"{HEAD}w = nn.Parameter(torch.rand(3))\n{body}"


def detached(count: int) -> str:
    """Values that are detached and made tensors again, one after the other, in one loss."""
    one = "    d{n} = (w * {n}).detach()\n    loss = loss + torch.tensor(d{n} * w)\n"
    body = "".join(one.format(n=n) for n in range(count // 2))
    start = "    w = nn.Parameter(x)\n    loss = 0\n"
    return f"{HEAD}def f(x):\n{start}{body}    loss.backward()\n"


#: By name, what makes a source of about so many lines.
LONG: dict[str, Shape] = {
    shape.__name__.replace("_", " "): shape
    for shape in (
        literal, dictionary, functions, modules, writes, same_tensor, rebound, leaves, attributes,
        branches, conditions, expression, call_chain, loops, appended, callers, training,
        ignoring, methods, inheriting, layers, closures, comprehensions, yields, long_loop, updates,
        optimizers, slices, views_used, views_on_paths, cases, tries, filled_dictionary, silenced,
        detached,
    )
}  # fmt: skip


def nested(kind: str, depth: int) -> str:
    """Blocks in each other, ``depth`` deep, each with an operation and a write."""
    lines = []
    for level in range(depth):
        indent = "    " * (level + 1)
        lines += [f"{indent}{kind.format(n=level)}", f"{indent}    y = torch.exp(y) * x"]
        lines += [f"{indent}    y[{level}] = x"]
    body = "\n".join(lines)
    return f"{HEAD}def f(x, w, kind):\n    y = nn.Parameter(w) * x\n{body}\n    return y\n"


#: By name, the first line of a block, and how deep Python lets it lie in others of its kind.
NESTED = {
    "if": ("if kind == {n}:", 96),
    "for": ("for i{n} in range(3):", 19),
    "while": ("while x[{n}] > 0:", 19),
    "with": ("with torch.no_grad():", 19),
    "def": ("def g{n}(x, y):", 19),
}
