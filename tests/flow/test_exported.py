"""Names of a module that other files take keep what they are bound to."""

from __future__ import annotations

import pytest

from gradfix import engine
from gradfix.config import settings_from
from gradfix.flow.project import Project
from gradfix.model import Source

WEIGHTS = """
import torch

w = torch.ones(3, requires_grad=True)
w = w * 2
w.sum().backward()
grad = w.grad
"""


def reason(name: str, text: str) -> str | None:
    """Why `w` of `/p/pkg/weights.py` is not renamed, with another file beside it."""
    texts = {"/p/pkg/weights.py": WEIGHTS, f"/p/{name}": text}

    def listing(folder: str) -> frozenset[str]:
        inside = f"{folder.rstrip('/')}/"
        below = [path[len(inside) :] for path in texts if path.startswith(inside)]
        return frozenset(path.partition("/")[0] for path in below)

    view = Project(texts.get, ("/p",), listing).at("/p/pkg/weights.py")
    outcome = engine.check(
        Source("weights.py", WEIGHTS), settings_from(select=["GF101"]), view=view
    )
    (finding,) = outcome.findings
    return finding.not_fixed_reason


@pytest.mark.parametrize(
    "text",
    [
        "from pkg.weights import w\n",
        "from .weights import grad, w as start\n",
        "from pkg.weights import (\n    grad,\n    w,\n)\n",
        "from pkg.weights import *\nprint(w)\n",
        "from pkg import weights\nprint(weights.w)\n",
        "import pkg.weights\nprint(pkg.weights.w.tolist())\n",
        "import pkg.weights as start\nprint(start.w)\n",
        "import importlib\nprint(importlib.import_module('pkg.weights').w)\n",
        "import runpy\nprint(runpy.run_path('pkg/weights.py')['w'])\n",
        "print(get('pkg.weights', 'w'))\n",
        "exec(open('weights.py').read())\nprint(w)\n",
        "from pkg import weights\nsave({k: v for k, v in vars(weights).items()})\n",
        "import pkg.weights as start\nsave(start.__dict__)\n",
        "from pkg import weights\nfor name in given: print(getattr(weights, name))\n",
    ],
)
def test_another_file_takes_the_name(text: str) -> None:
    found = reason("pkg/use.py", text)
    assert found is not None
    assert "use.py` takes `w`" in found


@pytest.mark.parametrize(
    "text",
    [
        "from pkg.weights import grad\nw = 3\n",
        "from pkg.other import w\n# not that of weights\n",
        "import weights\nprint(weights.www)\n",
        "import weights as start\nw = open('weights.json')\nprint(start.grad)\n",
        "",
    ],
)
def test_nobody_takes_it(text: str) -> None:
    assert reason("pkg/use.py", text) is None
