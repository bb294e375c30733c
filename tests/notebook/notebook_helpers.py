"""Notebooks made for a test, spelled in the many ways that JSON allows."""

from __future__ import annotations

import json
from typing import Any

#: The numbers count every cell, so the fault is in cell 4, on its second row.
HEAD = "import torch\nfrom torch.nn import Parameter"
LEAVES = "a = Parameter(torch.rand(()))\nb = Parameter(torch.rand(()))"
FAULT = "x = 3\nw = torch.tensor([a, b])\n(w * x).sum().backward()"
MENDED = FAULT.replace("torch.tensor(", "torch.stack(")


def code(source: str, *outputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": 1,
        "metadata": {},
        "outputs": list(outputs),
        "source": source.splitlines(True),
        **more,
    }


def markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source.splitlines(True)}


def stream(text: str) -> dict[str, Any]:
    return {"name": "stdout", "output_type": "stream", "text": text.splitlines(True)}


def document(*cells: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"cells": list(cells), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def spelled(*sources: str, **metadata: Any) -> str:
    """A notebook of code cells, as Jupyter writes it."""
    found = document(*map(code, sources), **metadata)
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def faulty(**more: Any) -> dict[str, Any]:
    """A heading and three cells; the last holds a fault whose leaves are in another cell."""
    last = code(FAULT, stream("old\n"))
    return document(markdown("# Title"), code(HEAD), code(LEAVES), {**last, **more})
