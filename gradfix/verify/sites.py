"""How the project itself builds and calls its classes, read with ``ast`` alone.

A *call site* is a place where the file, or an example in a docstring, builds or calls a class. Its
*setup* is the slice of earlier simple assignments and imports that the call needs, so the child can
run it without the rest.
"""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class CallSite:
    """One use of a class: setup statements, the construction, the inputs of a call.

    One found ``elsewhere`` stands in another file, of the given package, and needs no names but
    the class.
    """

    setup: tuple[str, ...]
    init: str
    inputs: tuple[str, ...] | None = None
    kwargs: tuple[tuple[str, str], ...] = ()
    doc: bool = False
    elsewhere: bool = False
    package: str = ""


def call_sites(tree: ast.Module, classes: Mapping[str, ast.ClassDef]) -> dict[str, list[CallSite]]:
    """The uses of the given classes of a file, by class; those with a call first, examples last."""
    names = set(classes)
    scopes: list[list[ast.stmt]] = [tree.body]
    scopes += [n.body for n in ast.walk(tree) if isinstance(n, _SCOPES)]
    found: dict[str, list[CallSite]] = {}
    makers = {name: name for name in names} | _factories(tree, names)
    for body in scopes:
        flat = flattened(body)
        for index, statement in enumerate(flat):
            for call in calls_in(statement):
                if isinstance(call.func, ast.Name) and call.func.id in makers:
                    site = _site(call, statement, flat, index)
                    found.setdefault(makers[call.func.id], []).append(site)
    for name, node in classes.items():
        found.setdefault(name, []).extend(_examples(node))
    for sites in found.values():
        sites.sort(key=lambda site: site.inputs is None)
    return found


def _examples(node: ast.ClassDef) -> list[CallSite]:
    """What the ``>>>`` examples in the docstrings of a class do with it."""
    found: list[CallSite] = []
    owners: list[ast.ClassDef | ast.FunctionDef] = [
        node,
        *(n for n in node.body if isinstance(n, ast.FunctionDef)),
    ]
    for owner in owners:
        try:
            examples = doctest.DocTestParser().get_examples(ast.get_docstring(owner) or "")
            flat = flattened(ast.parse("".join(e.source for e in examples)).body)
        except (ValueError, SyntaxError):  # prose that only looks like an example
            continue
        known = {node.name} | {
            alias.asname
            for statement in flat
            for alias in (statement.names if isinstance(statement, ast.ImportFrom) else ())
            if alias.name == node.name and alias.asname
        }
        for index, statement in enumerate(flat):
            for call in calls_in(statement):
                if ast.unparse(call.func).rpartition(".")[2] in known:
                    call.func = ast.Name(node.name)  # the class at hand, however it is imported
                    found.append(replace(_site(call, statement, flat, index), doc=True))
    return found


def _factories(tree: ast.Module, names: set[str]) -> dict[str, str]:
    """Functions of the file that return a new object of a class, with the class."""
    found: dict[str, str] = {}
    for node in tree.body:
        for part in ast.walk(node) if isinstance(node, ast.FunctionDef) else ():
            value = part.value if isinstance(part, ast.Return) else None
            if isinstance(node, ast.FunctionDef) and isinstance(value, ast.Call):
                if isinstance(value.func, ast.Name) and value.func.id in names:
                    found[node.name] = value.func.id
    return found


def flattened(body: list[ast.stmt]) -> list[ast.stmt]:
    """The statements of one scope in order, without nested functions and classes."""
    flat: list[ast.stmt] = []
    for node in body:
        if isinstance(node, (*_SCOPES, ast.ClassDef)):
            continue
        flat.append(node)
        for name in ("body", "orelse", "finalbody"):
            flat += flattened(getattr(node, name, []))
    return flat


def calls_in(statement: ast.stmt) -> list[ast.Call]:
    """Calls in the statement's own expressions, not in the statements nested below it."""
    calls: list[ast.Call] = []
    todo: list[ast.AST] = [statement]
    while todo:
        node = todo.pop()
        calls += [node] if isinstance(node, ast.Call) else []
        todo += [c for c in ast.iter_child_nodes(node) if not isinstance(c, ast.stmt)]
    return calls


def _site(call: ast.Call, statement: ast.stmt, flat: list[ast.stmt], index: int) -> CallSite:
    setup = _slice(call, flat[:index])
    init = ast.unparse(call)
    for use, at in uses_of_object(call, statement, flat, index):
        both = _slice(use, [s for s in flat[:at] if s is not statement or at == index])
        return _called(use, init, tuple(dict.fromkeys((*setup, *both))))
    return CallSite(setup, init)


def is_call_of(call: ast.Call, name: str) -> bool:
    """Whether a class of this name is called, also as an attribute of a module."""
    func = call.func
    return name == (func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", None))


def uses_of_object(
    call: ast.Call, statement: ast.stmt, flat: list[ast.stmt], index: int
) -> Iterator[tuple[ast.Call, int]]:
    """Calls of what ``call`` builds, and the statement of ``flat`` that holds them."""
    for use in calls_in(statement):
        if _unwrapped(use.func) is call:
            yield use, index
    if isinstance(statement, ast.Assign) and _unwrapped(statement.value) is call:
        target = statement.targets[0]
        if isinstance(target, (ast.Name, ast.Attribute)):
            name = ast.unparse(target)
            for later, node in enumerate(flat[index + 1 :], index + 1):
                for use in calls_in(node):
                    if ast.unparse(use.func) in (name, f"{name}.forward"):
                        yield use, later


_KEEPERS = frozenset(
    "to cuda cpu eval train float double half requires_grad_ type apply forward".split()
)


def _unwrapped(node: ast.expr) -> ast.expr:
    """What stands before ``.to(device)``, ``.eval()`` and the like, which return the module."""
    while True:
        if isinstance(node, ast.Attribute) and node.attr == "forward":
            node = node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in _KEEPERS
        ):
            node = node.func.value
        else:
            return node


def _called(use: ast.Call, init: str, setup: tuple[str, ...]) -> CallSite:
    inputs = tuple(ast.unparse(a) for a in use.args)
    kwargs = tuple((k.arg, ast.unparse(k.value)) for k in use.keywords if k.arg)
    return CallSite(setup, init, inputs, kwargs)


def _slice(expression: ast.expr, before: list[ast.stmt], depth: int = 6) -> tuple[str, ...]:
    """The assignments before a call that give its names their values, in order."""
    needed = {n.id for n in ast.walk(expression) if isinstance(n, ast.Name)}
    kept: list[str] = []
    for statement in reversed(before):
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            bound = {a.asname or a.name.partition(".")[0] for a in statement.names}
            kept += [ast.unparse(statement)] if bound & needed else []
            continue
        if not isinstance(statement, ast.Assign) or depth == 0:
            continue
        written = {n.id for t in statement.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        if written & needed:
            needed = (needed - written) | {
                n.id for n in ast.walk(statement.value) if isinstance(n, ast.Name)
            }
            kept.append(ast.unparse(statement))
            depth -= 1
    return tuple(reversed(kept))
