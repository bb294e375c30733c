"""What a method does first with its inputs: their dimensions, the layers they go to. No torch."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from gradfix.verify.uses import name_of


@dataclass(slots=True)
class Argument:
    """What a method does first with one of its inputs.

    ``rank`` is the number of dimensions that it needs (0: unknown); ``layers`` are paths of parts
    of the module, such as ``encoder.0``, that get the input as it is, with its position, and
    ``behind`` those that get it by way of something else that seldom changes its shape.
    """

    rank: int = 0
    layers: list[tuple[str, int]] = field(default_factory=list)
    behind: list[tuple[str, int]] = field(default_factory=list)


#: Functions and methods of one argument that give something of another shape.
_RESHAPES = frozenset(
    """flatten squeeze sum mean max min prod numel len size view reshape permute transpose t T norm
    item argmax argmin std var unbind split chunk any all det trace diag float int bool str list
    tuple range enumerate zip sorted""".split()
)
#: Methods of tensors that keep the shape, with arguments or without.
_KEEPS = frozenset(
    """float double half long int bool to type cuda cpu contiguous detach clone relu sigmoid tanh
    exp log abs sqrt clamp""".split()
)


def arguments_of(function: ast.FunctionDef) -> dict[str, Argument]:
    """What a method does with its parameters, as far as it can be read off."""
    names = [a.arg for a in (*function.args.posonlyargs, *function.args.args) if a.arg != "self"]
    names += [a.arg for a in function.args.kwonlyargs]
    found = {name: Argument() for name in names}
    until = _rebound(function)
    loops = _loops(function)
    aliases = [(*each, found[each[1]]) for each in _aliases(function) if each[1] in found]
    nodes = [n for n in ast.walk(function) if isinstance(n, (ast.stmt, ast.expr))]
    for node in sorted(nodes, key=lambda n: (n.lineno, n.col_offset)):
        # What a name holds later is something else.
        known = {n: a for n, a in found.items() if node.lineno <= until.get(n, node.lineno)}
        for other, original, first, last, argument in aliases:
            if first < node.lineno <= last and first <= until.get(original, first):
                known[other] = argument
        if isinstance(node, ast.Assign):
            _note_unpacking(known, node)
        elif isinstance(node, ast.Call):
            _note_argument(known, node, loops)
        elif isinstance(node, ast.Subscript):
            _note_index(known, node)
    return found


def _note_index(found: dict[str, Argument], node: ast.Subscript) -> None:
    """``x[:, 0]`` and ``x.shape[2]``."""
    name = name_of(node.value)
    if isinstance(node.value, ast.Name) and name in found:
        if isinstance(node.slice, ast.Tuple):
            parts = [e for e in node.slice.elts if not _is_new_axis(e)]
            if not any(isinstance(getattr(e, "value", 0), type(...)) for e in parts):
                found[name].rank = max(found[name].rank, len(parts))
    elif isinstance(node.value, ast.Attribute) and node.value.attr == "shape":
        owner = name_of(node.value.value)
        if owner in found and isinstance(node.slice, ast.Constant):
            if type(node.slice.value) is int:
                found[owner].rank = max(found[owner].rank, node.slice.value + 1)


def _rebound(function: ast.FunctionDef) -> dict[str, int]:
    """The line on which a name first gets another value."""
    found: dict[str, int] = {}
    for node in ast.walk(function):
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            for part in ast.walk(target):
                if isinstance(part, ast.Name):
                    row = node.end_lineno or node.lineno
                    found[part.id] = min(found.get(part.id, row), row)
    return found


def _aliases(function: ast.FunctionDef) -> list[tuple[str, str, int, int]]:
    """Other names for a value, as in ``h = x``: both names, and from which line to which."""
    bound: dict[str, list[int]] = {}
    pairs: list[tuple[str, str, int]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.setdefault(node.id, []).append(node.lineno)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            target = node.targets[0]
            if len(node.targets) == 1 and isinstance(target, ast.Name):
                pairs.append((target.id, node.value.id, node.lineno))
    end = function.end_lineno or function.lineno
    return [
        (other, name, row, min((r for r in bound[other] if r > row), default=end))
        for other, name, row in pairs
    ]


def _loops(function: ast.FunctionDef) -> dict[str, str]:
    """What a loop over parts of the module calls the first of them: its path."""
    found: dict[str, str] = {}
    for node in ast.walk(function):
        if not isinstance(node, (ast.For, ast.comprehension)):
            continue
        sources: list[ast.expr] = [node.iter]
        targets: list[ast.expr] = [node.target]
        if isinstance(node.iter, ast.Call):
            sources = list(node.iter.args)
            targets = node.target.elts if isinstance(node.target, ast.Tuple) else [node.target]
            if ast.unparse(node.iter.func) == "enumerate":
                targets = targets[1:]
        for source, target in zip(sources, targets, strict=False):
            text = ast.unparse(source)
            if text.startswith("self.") and isinstance(target, ast.Name):
                found[target.id] = f"{text[5:]}.0"
    return found


def _is_new_axis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _note_unpacking(found: dict[str, Argument], node: ast.Assign) -> None:
    """``b, c, h, w = x.shape`` and ``= x.size()``; also after ``*_``."""
    target, value = node.targets[0], node.value
    if isinstance(value, ast.Call):
        value = value.func
    if not isinstance(target, ast.Tuple) or not isinstance(value, ast.Attribute):
        return
    owner = name_of(value.value)
    if value.attr in ("shape", "size") and owner in found:
        if not any(isinstance(e, ast.Starred) for e in target.elts):
            found[owner].rank = max(found[owner].rank, len(target.elts))


def _note_argument(found: dict[str, Argument], node: ast.Call, loops: dict[str, str]) -> None:
    function = ast.unparse(node.func)
    if function in loops:
        function = f"self.{loops[function]}"
    for position, argument in enumerate(node.args):
        name = argument.id if isinstance(argument, ast.Name) else None
        if name not in found:
            through = _passed_on(argument)
            if function.startswith("self.") and through in found:
                found[through].behind.append((function[5:], position))
            continue
        if function.startswith("self."):
            found[name].layers.append((function[5:], position))
        pattern = node.args[1] if function.endswith("rearrange") and len(node.args) > 1 else None
        if isinstance(pattern, ast.Constant) and isinstance(pattern.value, str) and not position:
            left = pattern.value.partition("->")[0]
            if "..." not in left:
                found[name].rank = _axes(left)
    if isinstance(node.func, ast.Attribute) and node.func.attr in ("permute", "size"):
        owner = name_of(node.func.value)
        if isinstance(node.func.value, ast.Name) and owner in found:
            if node.func.attr == "permute":
                found[owner].rank = max(found[owner].rank, len(node.args))
            elif node.args and isinstance(node.args[0], ast.Constant):
                index = node.args[0].value
                if type(index) is int:
                    found[owner].rank = max(found[owner].rank, index + 1)


def _passed_on(node: ast.expr) -> str | None:
    """The name in ``act(x)``, ``self.act(x)`` or ``x.float()``, which likely keeps its shape."""
    while isinstance(node, ast.Call):
        function = node.func
        last = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if last in _KEEPS and isinstance(function, ast.Attribute) and not _is_module(function):
            node = function.value
        elif len(node.args) == 1 and not node.keywords and last not in _RESHAPES:
            node = node.args[0]
        else:
            return None
    return node.id if isinstance(node, ast.Name) else None


def _is_module(function: ast.Attribute) -> bool:
    """Whether this is ``torch.relu``, ``F.relu`` or ``self.relu``, not a method of a tensor."""
    return isinstance(function.value, ast.Name) and function.value.id in (
        "torch",
        "F",
        "nn",
        "self",
    )


def _axes(pattern: str) -> int:
    depth = count = 0
    for word in pattern.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            count += depth == 0
            depth += 1
        elif word == ")":
            depth -= 1
        else:
            count += depth == 0
    return count
