"""What the options of a project are by default: command lines, and assignments to a configuration.

Read with ``ast`` alone. They stand in for the configuration that a class is built with.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gradfix.verify.elsewhere import parsed, sources

_MAX_PARSED = 8
_MAX_JSON = 20_000
#: Numbers above this make networks that take too long for what they would show.
_LARGEST = 600


def options_of(root: Path, path: Path) -> dict[str, Any]:
    """Plain default values by name, from the files nearest to the given one."""
    files = [
        file
        for file, data in sources(root)
        if b".add_argument(" in data or b"CfgNode" in data or b"CN()" in data
    ]
    files.sort(key=lambda file: (-len(set(file.parts) & set(path.parts)), str(file)))
    found: dict[str, Any] = {}
    for file in files[:_MAX_PARSED]:
        tree = parsed(file)
        for node in ast.walk(tree) if tree is not None else ():
            pair = _of_parser(node) if isinstance(node, ast.Call) else _of_config(node)
            if pair is not None and _is_small(pair[1]):
                found.setdefault(*pair)
    settings = [*sorted(root.glob("*.json")), *sorted(root.glob("*/*.json"))]
    for file in settings[:_MAX_PARSED]:
        for name, value in _of_json(file):
            found.setdefault(name, value)
    return found


def _of_json(file: Path) -> Iterator[tuple[str, Any]]:
    """The plain values of a settings file, those of its sections too; nothing of other files."""
    try:
        if file.stat().st_size > _MAX_JSON:
            return
        todo = [json.loads(file.read_bytes())]
    except (OSError, ValueError, RecursionError):  # not readable, or no JSON: no settings
        return
    while todo:
        section = todo.pop(0)
        for name, value in section.items() if isinstance(section, dict) else ():
            if isinstance(value, dict):
                todo.append(value)
            elif name.isidentifier() and value is not None and _is_small(value):
                yield name, value


def _of_parser(node: ast.Call) -> tuple[str, Any] | None:
    """``parser.add_argument("--hidden-size", type=int, default=64)``."""
    func = node.func
    if not isinstance(func, ast.Attribute) or func.attr != "add_argument":
        return None
    names = [a.value for a in node.args if isinstance(a, ast.Constant)]
    texts = [n for n in names if isinstance(n, str)]
    given = {k.arg: k.value for k in node.keywords if k.arg}
    name = max((t.lstrip("-") for t in texts), key=len, default="").replace("-", "_")
    if "dest" in given and isinstance(given["dest"], ast.Constant):
        name = str(given["dest"].value)
    if not name.isidentifier():
        return None
    if "default" in given:
        value = _literal(given["default"])
        return None if value is None else (name, value)
    action = _literal(given["action"]) if "action" in given else None
    if action in ("store_true", "store_false"):
        return name, action == "store_false"
    choices = _literal(given["choices"]) if "choices" in given else None
    if isinstance(choices, (list, tuple)) and choices:
        return name, choices[0]
    return None


def _of_config(node: ast.AST) -> tuple[str, Any] | None:
    """``_C.MODEL.DEPTH = 50``."""
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return None
    target = node.targets[0]
    if not isinstance(target, ast.Attribute) or not target.attr.isupper():
        return None
    value = _literal(node.value)
    return None if value is None else (target.attr, value)


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _is_small(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return len(value) <= 16 and all(_is_small(item) for item in value)
    return isinstance(value, (bool, float, str)) or (type(value) is int and value <= _LARGEST)
