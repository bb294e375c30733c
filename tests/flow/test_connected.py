"""Which files may be loaded together, as their imports tell."""

from __future__ import annotations

import pytest

from gradfix.flow.connected import connected

OTHERS = {"/p/utils.py": "", "/p/data/__init__.py": "", "/p/models/net.py": "", "/p/lonely.py": ""}


def loads(text: str, path: str = "/p/main.py") -> set[str]:
    """What a file of this text is connected with."""
    return set(connected({path: text, **OTHERS})[path]) - {path}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import utils", {"/p/utils.py"}),
        ("import os, utils as u", {"/p/utils.py"}),
        ("import torch, utils", {"/p/utils.py"}),
        ("from utils import *", {"/p/utils.py"}),
        ("from . import utils", {"/p/utils.py"}),
        ("from data import x", {"/p/data/__init__.py"}),
        ("from own.models import (\n    net as n,\n    more)", {"/p/models/net.py"}),
        ("from torch import nn; import utils", {"/p/utils.py"}),
        ("import torch.nn; import utils", {"/p/utils.py"}),
        ('"from torch import nn\\n", "import utils\\n"', {"/p/utils.py"}),
        ("if True: import utils", {"/p/utils.py"}),
        ("import runpy\nrunpy.run_path(path)", set(OTHERS)),
        ("from runpy import run_path\nrun_path(path)", set(OTHERS)),
        ("import_module(name)", set(OTHERS)),
        ("@mock.patch('models.net.Net')\ndef test(): pass", set(OTHERS)),
        ("def test(monkeypatch):\n    monkeypatch.setattr('utils.N', 3)", set(OTHERS)),
        ('"%run utils.py\\n"', {"/p/utils.py"}),
        ('"%run {name}.py\\n"', set(OTHERS)),
    ],
)
def test_what_is_loaded(text: str, expected: set[str]) -> None:
    assert loads(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "import torch.utils.data as data",
        "from torch.utils.data import DataLoader",
        "from torchvision import (\n    models,\n    utils,\n)",
        "from torch.utils import data; x = 1",
        "import numpy as utils",
        "from math import pi as lonely",
        "patch_size = 4\npatches = embed(patch)",
        "self.dispatch(x)",
    ],
)
def test_what_libraries_bring(text: str) -> None:
    assert loads(text) == set()


def test_a_file_or_folder_called_like_a_library() -> None:
    files = {"/p/main.py": "from torchvision.utils import x", **OTHERS}
    assert connected(files)["/p/main.py"] == {"/p/main.py"}
    files["/p/torchvision/fork.py"] = ""
    assert "/p/utils.py" in connected(files)["/p/main.py"]
