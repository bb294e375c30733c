"""Writes a ``gradfix_cases.py`` to fill in: one commented case per class, read with ``ast``."""

from __future__ import annotations

import ast
from pathlib import Path

from gradfix.errors import GradfixError
from gradfix.verify.plan import plan
from gradfix.verify.targets import CASES_NAME, Target, locate

_HEAD = '''\
"""How to build and call what `gradfix verify` cannot guess.

A case is a function `case_<Class>()` (several: `case_<Class>__<label>()`). It returns the built
module, or `(module, args)`, `(module, args, kwargs)`, or `(module, function)` where
`function(module)` returns the tensors to check. Uncomment what you need and fill it in.
"""

import torch
'''


def write_skeleton(targets: list[Target], folder: Path) -> Path:
    """Write the skeleton for the classes of these files. Raises GradfixError if it exists."""
    path = folder / CASES_NAME
    blocks = [_HEAD]
    for target in targets:
        blocks += _cases(target)
    try:
        with open(path, "x", encoding="utf-8") as stream:
            stream.write("".join(blocks))
    except FileExistsError:
        raise GradfixError(f"{path} exists; it is not overwritten") from None
    except OSError as error:
        raise GradfixError(f"{path} cannot be written: {error.strerror or error}") from error
    return path


def _cases(target: Target) -> list[str]:
    try:
        tree = ast.parse(target.path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return [f"\n# {target.path.name} cannot be read.\n"]
    module = locate(target.path, tree).module
    names = {c.name: c for c in plan(tree) if not c.abstract}
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name in names]
    return [_case(module, n) for n in nodes if not target.names or n.name in target.names]


def _case(module: str, node: ast.ClassDef) -> str:
    init = ", ".join(f"{name}=..." for name in _needed(node, "__init__"))
    args = "".join(f"torch.randn(...),  # {name}\n#         " for name in _needed(node, "forward"))
    return (
        f"\n\n# def case_{node.name}():\n"
        f"#     from {module} import {node.name}\n#\n"
        f"#     return {node.name}({init}), (\n#         {args.rstrip('# ').rstrip()}\n#     )\n"
    )


def _needed(node: ast.ClassDef, method: str) -> list[str]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == method:
            plain = [a.arg for a in (*item.args.posonlyargs, *item.args.args)][1:]
            without = len(plain) - len(item.args.defaults)
            return plain[: max(without, 0)]
    return []
