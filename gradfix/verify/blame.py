"""Turns calls of the value graph into lines a user can act on; no torch in here."""

from __future__ import annotations

import ast
import functools
import os
from pathlib import Path

from gradfix.verify.graph import Call, Edge, Graph, Site
from gradfix.verify.results import Blame

_ESCAPES = {
    "item": ".item()",
    "__float__": "float()",
    "__int__": "int()",
    "__index__": "int()",
    "__complex__": "complex()",
    "tolist": ".tolist()",
    "numpy": ".numpy()",
    "__array__": "NumPy",
}
_REWRAPS = {"tensor", "as_tensor", "asarray", "new_tensor", "scalar_tensor"}
_TRUNCATING = ("__setitem__", "copy_", "index_copy_", "fill_")
_QUIET = ("no_grad", "inference_mode", "set_grad_enabled")
ZERO_GRADIENT = frozenset(
    {
        "round", "round_", "floor", "floor_", "ceil", "ceil_", "trunc", "trunc_", "fix", "sign",
        "sign_", "floor_divide", "__floordiv__", "heaviside",
    }
)  # fmt: skip


class Places:
    """Where things happened, in the user's own paths: ``project`` is the copy of ``root``."""

    def __init__(self, project: str, root: str, base: str) -> None:
        self.project, self.root, self.base = project, root, base

    def shown(self, filename: str) -> str:
        """The path of the original, relative to where the user stands."""
        if filename.startswith(self.project):
            filename = os.path.join(self.root, os.path.relpath(filename, self.project))
        return os.path.relpath(filename, self.base).replace(os.sep, "/")

    def blame(
        self, site: Site | None, kind: str, message: str, code: str | None = None
    ) -> Blame | None:
        """A blame at a site; None where no line of the user's code was involved."""
        if site is None:
            return None
        return Blame(self.shown(site.filename), site.row, site.function, kind, message, code)


def is_escape(call: Call) -> bool:
    """Whether the call hands a value to Python or NumPy."""
    return call.name in _ESCAPES


def is_smooth_cut(call: Call) -> bool:
    """Whether a value with a derivative went through this dead edge (a comparison has none)."""
    if not call.grad_mode or call.inference or call.hidden_write or call.leaf_write:
        return True
    if call.integer and call.name in _TRUNCATING:
        return True
    return (
        call.name in ("detach", "detach_", "data", "data=", "Parameter", "Variable", "constant")
        or call.name in _REWRAPS
        or is_escape(call)
    )


def is_copy(call: Call) -> bool:
    """Whether the cut makes a new tensor of old values: nobody stops a gradient that way."""
    return call.name in _REWRAPS or call.name in ("Parameter", "tolist")


def telling(edges: list[Edge]) -> list[Edge]:
    """Those cuts that explain a missing gradient best, where there are several.

    Copies come first, then whatever else lost a derivative. A value that never had one (a sampled
    action, a mask) is blamed only where nothing else was cut: no gradient was lost there.
    """
    for kind in (is_copy, is_smooth_cut):
        found = [edge for edge in edges if kind(edge.call)]
        if found:
            return found
    return edges


def is_conversion(call: Call) -> bool:
    """Whether the cut is a side effect of copying values, never a way to stop a gradient."""
    return call.name in _REWRAPS or is_escape(call) or call.name in ("Parameter", "constant")


def is_stop(call: Call) -> bool:
    """Whether somebody wrote down that gradients end here: ``detach``, or a block without them."""
    if call.inference or not call.grad_mode:
        return quiet_block(call.site) is not None
    return call.name in ("detach", "detach_")


def cut_blames(graph: Graph, edges: list[Edge], places: Places) -> list[Blame]:
    """One blame per cut, without repeats."""
    found: dict[Blame, None] = {}
    for edge in edges:
        for call in _told_better(graph, edge):
            for blame in (_made_integer(graph, edge, places), describe_cut(call, places)):
                if blame is not None:
                    found[blame] = None
    return list(found)


def _made_integer(graph: Graph, edge: Edge, places: Places) -> Blame | None:
    """Where the buffer of integers was made, in the function that writes to it."""
    call = edge.call
    if not call.integer or call.name not in _TRUNCATING or call.site is None:
        return None
    node = edge.target
    while old := [e.source for e in graph.incoming[node] if e.call.integer and e.call.outputs]:
        node = min(old)  # the buffer as it was before the write came first
    made = next((c for c in graph.calls if node in c.outputs), None)
    if made is None or made.site is None or made.site.first_row != call.site.first_row:
        return None
    return places.blame(made.site, "integer buffer", "makes a buffer of integers", "GF302")


def _told_better(graph: Graph, edge: Edge) -> list[Call]:
    """``.detach().numpy()`` left for NumPy: the detour over ``detach`` was only asked for by it."""
    onward = [e.call for e in graph.outgoing[edge.target]]
    if edge.call.name in ("detach", "data") and onward and all(is_escape(c) for c in onward):
        return onward
    return [edge.call]


def describe_cut(call: Call, places: Places) -> Blame | None:
    """What a dead edge means in words, with the codemod that deals with it."""
    site, name = call.site, call.name
    if call.hidden_write:
        text = "this in-place write is invisible to autograd"
        return places.blame(site, "in-place", text, "GF304")
    if name in ("detach", "detach_"):
        text = f".{name}() takes the value out of the graph"
        return places.blame(site, f".{name}()", text, "GF304")
    if name in ("data", "data="):
        return places.blame(site, ".data", ".data is not part of the graph", "GF304")
    if is_escape(call):
        kind = _ESCAPES[name]
        if name.startswith("__") and (wrapper := _legacy_call(site)):
            return places.blame(
                site, wrapper, f"{wrapper}(...) copies values, not their gradients", "GF301"
            )
        text = f"{kind} hands the value to Python; what comes back is a constant"
        return places.blame(site, kind, text, "GF305")
    if name in _REWRAPS:
        kind = ".new_tensor" if name == "new_tensor" else f"torch.{name}"
        code = "GF303" if call.scalar else "GF301"
        return places.blame(site, kind, f"{kind}(...) copies values, not their gradients", code)
    if name == "Parameter":
        text = "Parameter(...) makes a new leaf on every call"
        return places.blame(site, "Parameter", text, "GF103")
    if name == "Variable":
        text = "Variable(...) knows nothing of where its value came from"
        return places.blame(site, name, text, "GF303" if call.scalar else "GF401")
    if name == "constant":
        return _describe_constant(site, places)
    if call.integer and name in _TRUNCATING:
        text = "the buffer holds integers: values are truncated and leave the graph"
        return places.blame(site, "integer buffer", text, "GF302")
    if call.inference or not call.grad_mode:
        quiet = quiet_block(site)
        if quiet is None and call.switched is not None:
            text = "grad mode is switched off here and stays off: nothing is recorded"
            return places.blame(call.switched, "set_grad_enabled", text, "GF308")
        kind = quiet[1] if quiet else "grad mode off"
        return places.blame(
            quiet[0] if quiet else site, kind, f"{kind} is in force: nothing is recorded", "GF304"
        )
    kind = f".{name}()" if not name.startswith("__") else _operator(name)
    return places.blame(site, kind, f"{kind} is not differentiable", "GF306")


def _operator(name: str) -> str:
    comparisons = {
        "__eq__": "==", "__ne__": "!=", "__lt__": "<", "__le__": "<=", "__gt__": ">", "__ge__": ">="
    }  # fmt: skip
    return comparisons.get(name, name)


@functools.lru_cache(maxsize=64)
def _tree(filename: str) -> ast.Module:
    return ast.parse(Path(filename).read_bytes())


def quiet_block(site: Site | None) -> tuple[Site, str] | None:
    """The ``with`` statement or decorator that switched gradients off, searched outwards."""
    for frame in (site, *site.outer) if site else ():
        try:
            tree = _tree(frame.filename)
        except (OSError, SyntaxError, ValueError):
            continue
        found: tuple[Site, str] | None = None
        for node in ast.walk(tree):
            if isinstance(node, ast.With) and _covers(node, frame.row):
                for item in node.items:
                    found = _quiet(item.context_expr, frame) or found
            elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                if frame.first_row in (first, node.lineno) and _covers(node, frame.row):
                    for mark in node.decorator_list:
                        found = found or _quiet(mark, frame)
        if found is not None:
            return found
    return None


def _covers(node: ast.stmt | ast.expr, row: int) -> bool:
    return node.lineno <= row <= (node.end_lineno or node.lineno)


def _quiet(expression: ast.expr, frame: Site) -> tuple[Site, str] | None:
    text = ast.unparse(expression)
    for name in _QUIET:
        if name in text:
            return Site(frame.filename, expression.lineno, frame.function, frame.first_row), name
    return None


_LEGACY = ("FloatTensor", "DoubleTensor", "Tensor", "Variable", "from_numpy")


def _legacy_call(site: Site | None) -> str | None:
    """The constructor on this line that asks each element for its number, if there is just one."""
    if site is None:
        return None
    try:
        tree = _tree(site.filename)
    except (OSError, SyntaxError, ValueError):
        return None
    names = {
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _covers(node, site.row)
    }
    if names & {"float", "int", "complex"}:
        return None
    wrappers = [n for n in names if n.rpartition(".")[2] in (*_LEGACY, "tensor", "array")]
    return wrappers[0] if len(wrappers) == 1 else None


def _describe_constant(site: Site | None, places: Places) -> Blame | None:
    """A tensor of unseen origin: blamed only where one legacy constructor in the function fits."""
    if site is None:
        return None
    try:
        tree = _tree(site.filename)
    except (OSError, SyntaxError, ValueError):
        return None
    calls = [
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef) and _covers(function, site.row)
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).rpartition(".")[2] in _LEGACY
        and node.lineno <= site.row
    ]
    if len({(c.lineno, c.col_offset) for c in calls}) != 1:
        return None
    kind = ast.unparse(calls[0].func)
    at = Site(site.filename, calls[0].lineno, site.function, site.first_row)
    code = "GF401" if kind.endswith("Variable") else "GF301"
    return places.blame(at, kind, f"{kind}(...) copies values, not their gradients", code)


def discarded(call: Call, places: Places, text: str) -> Blame | None:
    """A blame for a result that goes nowhere; with its code where the line itself drops it."""
    code = "GF206" if _dropped(call) else None
    return places.blame(call.site, "discarded", text, code)


def may_be_used(site: Site | None) -> bool:
    """Whether a result has a name that other lines read: those of a way that was not taken."""
    for frame in (site, *site.outer) if site else ():
        try:
            nodes = [*ast.walk(_tree(frame.filename))]
        except (OSError, SyntaxError, ValueError):
            return False
        around = [n for n in nodes if isinstance(n, ast.stmt) and _covers(n, frame.row)]
        functions = [n for n in around if isinstance(n, ast.FunctionDef)]
        statement = max(around, key=lambda n: n.lineno, default=None)
        if isinstance(statement, ast.Return):
            continue  # its name is where the function is called
        if not isinstance(statement, ast.Assign) or not functions:
            return False
        names = {n.id for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        own = {id(node) for node in ast.walk(statement)}
        return any(
            isinstance(n, ast.Name) and n.id in names and id(n) not in own
            for n in ast.walk(functions[-1])
            if isinstance(getattr(n, "ctx", None), ast.Load)
        )
    return False


def _dropped(call: Call) -> bool:
    """Whether the line is nothing but the call: the out-of-place method of a tensor."""
    try:
        tree = _tree(call.site.filename) if call.site else ast.Module([], [])
    except (OSError, SyntaxError, ValueError):
        return False
    modules = {
        alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    return any(
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Attribute)
        and node.value.func.attr == call.name
        and ast.unparse(node.value.func.value).partition(".")[0] not in modules
        and call.site is not None
        and _covers(node, call.site.row)
        for node in ast.walk(tree)
    )


def flag_decides(site: Site | None) -> bool:
    """Whether an argument that is compared with a constant decides what the code at a site does.

    ``if step == 0:`` parts two computations, and which one ran says nothing about the other.
    """
    for frame in (site, *site.outer) if site else ():
        try:
            tree = _tree(frame.filename)
        except (OSError, SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name == frame.function.rpartition(".")[2]:
                if _covers(node, frame.row) and _has_flag(node):
                    return True
    return False


def _has_flag(function: ast.FunctionDef) -> bool:
    arguments = function.args
    names = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    names.discard("self")
    for node in ast.walk(function):
        if isinstance(node, (ast.If, ast.IfExp)):
            test = node.test
            if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
                test = test.operand
            if isinstance(test, ast.Compare):
                both = all(
                    isinstance(c, ast.Constant) and c.value is not None for c in test.comparators
                )
                test = test.left if both else test
            if isinstance(test, ast.Name) and test.id in names:
                return True
    return False
