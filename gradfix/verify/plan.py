"""What a file offers to verification, read with ``ast`` alone: its module classes."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

from gradfix.verify.sites import CallSite, call_sites

_MODULE_ROOTS = ("torch.nn.", "lightning.", "pytorch_lightning.")
_NOT_MODULES = frozenset({"torch.nn.Parameter", "torch.nn.parameter.Parameter"})


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """One class of the file that is, or may turn out to be, an ``nn.Module``."""

    name: str
    row: int
    certain: bool
    abstract: bool
    properties: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    sites: tuple[CallSite, ...] = field(default=())


def plan(tree: ast.Module) -> list[ClassPlan]:
    """The top-level classes that derive from ``torch.nn.Module``, in source order.

    Bases are followed through the file; a base imported from elsewhere makes the class uncertain
    (the child looks again), and a class with other bases only is left out.
    """
    aliases = _aliases(tree)
    classes = {n.name: n for n in _statements(tree.body) if isinstance(n, ast.ClassDef)}
    sites = call_sites(tree, classes)
    plans = []
    for name, node in classes.items():
        kind = _derives(node, classes, aliases, set())
        if kind is not None:
            plans.append(
                ClassPlan(
                    name,
                    node.lineno,
                    kind,
                    _is_abstract(node),
                    _properties(node, classes),
                    _public_methods(node),
                    tuple(sites.get(name, [])[:6]),
                )
            )
    return plans


def _statements(body: list[ast.stmt]) -> list[ast.stmt]:
    """Statements at module level, through ``if`` and ``try`` as Python would run them."""
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        if isinstance(node, ast.If):
            found += _statements(node.body) + _statements(node.orelse)
        elif isinstance(node, ast.Try):
            found += _statements(node.body)
            for handler in node.handlers:
                found += _statements(handler.body)
    return found


def _aliases(tree: ast.Module) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                source = "." * node.level + (node.module or "")
                names[alias.asname or alias.name] = f"{source}.{alias.name}"
    return names


def _dotted(node: ast.expr, aliases: dict[str, str]) -> str | None:
    if isinstance(node, ast.Subscript):  # Generic[T]
        return _dotted(node.value, aliases)
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value, aliases)
        return None if head is None else f"{head}.{node.attr}"
    return aliases.get(node.id, node.id) if isinstance(node, ast.Name) else None


def _derives(
    node: ast.ClassDef, classes: dict[str, ast.ClassDef], aliases: dict[str, str], seen: set[str]
) -> bool | None:
    """True: certainly a module; False: perhaps, a base is out of sight; None: no."""
    verdict: bool | None = None
    for base in node.bases:
        name = _dotted(base, aliases)
        if name in classes and name not in seen:
            found = _derives(classes[name], classes, aliases, seen | {node.name})
        elif name is None or (name.startswith(_MODULE_ROOTS) and name not in _NOT_MODULES):
            found = name is not None
        elif "." in name and not name.startswith(("torch.", "abc.", "typing.", "enum.")):
            found = False
        else:
            found = None
        if found:
            return True
        verdict = found if verdict is None else verdict
    return verdict


def _methods(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [n for n in node.body if isinstance(n, ast.FunctionDef)]


def _is_abstract(node: ast.ClassDef) -> bool:
    """Whether ``forward`` only says that a subclass must define it."""
    for method in _methods(node):
        marks = {ast.unparse(d).rpartition(".")[2] for d in method.decorator_list}
        if "abstractmethod" in marks:
            return True
        if method.name == "forward":
            body = [s for s in method.body if not isinstance(s, ast.Expr)]
            return all(
                isinstance(s, ast.Pass)
                or (isinstance(s, ast.Raise) and "NotImplemented" in ast.unparse(s))
                for s in body
            )
    return False


_NO_COMPUTATION = ("reset", "init", "load", "save", "configure", "extra_repr", "set_", "update")
_NO_TRAINING = ("predict", "sample", "generate", "infer", "eval", "plot", "log_", "decode", "test")


def _public_methods(node: ast.ClassDef) -> tuple[str, ...]:
    """Methods a class without ``forward`` may do its work in."""
    return tuple(
        m.name
        for m in _methods(node)
        if not m.decorator_list
        and not m.name.startswith(("_", *_NO_COMPUTATION, *_NO_TRAINING))
        and not any(word in ast.unparse(m) for word in ("no_grad", "inference_mode"))
        and m.name != "forward"
        and any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(m))
    )[:6]


def _properties(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> tuple[str, ...]:
    names: dict[str, None] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes and base.id != node.name:
            names.update(dict.fromkeys(_properties(classes[base.id], {})))
    for method in _methods(node):
        marks = {ast.unparse(d).rpartition(".")[2] for d in method.decorator_list}
        if marks & {"property", "cached_property"}:
            names[method.name] = None
    return tuple(names)


def attributes_read(tree: ast.Module) -> list[str]:
    """The names of all attributes that the file reads."""
    found = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)
    }
    return sorted(found)
