"""Code of other files that takes what a function returns, and needs it to have no history.

``gates(net).numpy()`` works because the function cuts the graph, and raises when it does not any
more; so does a loop of backwards over what was taken once. (Files are read by the names of
functions and classes, as `neighbours` does.)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradfix.flow.around import files_below, top_of
from gradfix.flow.kin import related
from gradfix.flow.later import stays_attached
from gradfix.flow.neighbours import family_of, imports_file
from gradfix.flow.nodes import FUNCTIONS, LOOPS, children, last_name, walk
from gradfix.flow.rebound import switches_off
from gradfix.flow.strangers import read, strangers
from gradfix.flow.values import Certainty, Kind, Value, parts_of

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.project import Project
    from gradfix.flow.state import Call, Scope

_NUMPY = frozenset({"np", "numpy", "onp"})
#: What tells a tensor with a history from one that has none.
_TELLS = frozenset({"grad", "grad_fn", "is_leaf", "requires_grad"})
#: What makes copies of tensors without history only, and what keeps or sends what it is given.
_COPIES = frozenset({"deepcopy", "register_buffer"})
_KEEPS = _COPIES | frozenset("append extend appendleft put send dump dumps save".split())


@dataclass(frozen=True, slots=True)
class Needed:
    """Where a result is needed without history, and whether it certainly is this function's."""

    how: str
    sure: bool


def needed_without_history(flow: ModuleFlow, call: Call) -> Needed | None:
    """Who outside this file needs what is returned of ``call`` to have no history."""
    if flow.others is None:
        return None
    project, path = flow.others.session.project, flow.others.path
    top = top_of(project, path)
    if top is None:
        return None
    flow.complete()
    found: list[Needed] = []
    near = strangers(flow)
    for scope in _handed_out_by(flow, call):
        project.looked_around[path] = top
        facts = flow.class_facts(scope.class_node)
        kin = frozenset() if facts is None else related(project, top, family_of(flow, facts))
        others = [other for other in files_below(project, top) or () if other != path]
        for name in _spellings(project, others, scope.name):
            asked = _Asked(name, kin, is_property=_is_property(scope))
            naming = [project.text(one) or "" for one in (path, *others)]
            naming = [text for text in naming if asked.is_named_in(text)]
            for other in others:
                met = other in near or any(imports_file(text, other) for text in naming)
                found += _needs(project, other, asked, met=met)
    return max(found, key=lambda one: one.sure, default=None)


def _spellings(project: Project, others: list[str], name: str) -> list[str]:
    """What a function is called in other files: ``from gates import both as pair``."""
    found = [name]
    for at in found:  # which grows
        pattern = re.compile(rf"\b{at} as (\w+)")
        texts = (project.text(other) or "" for other in others)
        new = {alias for text in texts if f"{at} as " in text for alias in pattern.findall(text)}
        found += sorted(new - set(found))
    return found


def _is_property(scope: Scope) -> bool:
    decorators = getattr(scope.node, "decorator_list", ())
    return any(last_name(one) == "property" for one in decorators)


def _handed_out_by(flow: ModuleFlow, call: Call) -> Iterator[Scope]:
    """The functions that return what is computed from a copy, and nothing with a history today."""
    nodes = {value.node for value in flow.consumers(call.node, stays_attached)} | {call.node}
    for scope in flow.scopes:
        for _, returned in scope.returns:
            given = list(_tensors_in(returned))
            if any(
                value.node in nodes and value.needs_grad is not Certainty.YES for value in given
            ):
                yield scope
                break


def _tensors_in(value: Value) -> Iterator[Value]:
    if value.kind in (Kind.SEQUENCE, Kind.DICT):
        for part in parts_of(value):
            yield from _tensors_in(part)
    else:
        yield value


# -- one other file -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """A function by its name, and the classes that it may be a method of."""

    name: str
    kin: frozenset[str]
    is_property: bool

    @property
    def called(self) -> str:
        """The name it is called by; nothing where objects are called."""
        return "" if self.name in ("forward", "__call__") else self.name

    def is_named_in(self, text: str) -> bool:
        """Whether a text certainly means this function, or a class that it is a method of."""
        if self.kin:
            return any(re.search(rf"\b{word}\b", text) for word in self.kin)
        return re.search(rf"import [^#]*\b{self.name}\b|\.{self.name}\(", text) is not None


def _needs(project: Project, path: str, asked: _Asked, *, met: bool) -> Iterator[Needed]:
    """What one file needs; ``met``: a file that means the function imports it."""
    text = project.text(path) or ""
    if asked.called not in text:
        return
    other = read(project, path)
    if other is None:
        return
    known = asked.is_named_in(text)
    if not known and not met:
        return
    for node, sure in _needing(other.tree, asked):
        certain = sure and known
        needs = "needs" if certain else "may need"
        how = f"line {node.lineno} of {project.shown(path)} {needs} it without history"
        yield Needed(how, certain)


def _needing(tree: ast.Module, asked: _Asked) -> Iterator[tuple[ast.expr, bool]]:
    """Every place that needs a result, or a name it is put under, without history; how surely.

    Functions are looked at one by one.
    """
    defined = {n.name for n in walk(tree) if isinstance(n, (*FUNCTIONS, ast.ClassDef))}
    for body in (tree, *(n for n in walk(tree) if isinstance(n, FUNCTIONS))):
        nodes = list(_recorded(body))
        taken = {node for node in nodes if _takes(node, asked, defined)}
        names: dict[str, ast.stmt] = {}
        own = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        function = getattr(body, "name", "")
        for node in nodes:
            if isinstance(node, ast.Assign) and node.value in taken:
                names |= {t.id: node for t in node.targets if isinstance(t, ast.Name)}
        for node in nodes:
            for given, sure in _without_history(node, function, own if function else set()):
                if given in taken or getattr(given, "id", None) in names:
                    yield given, sure
        for node in _gone_back_through(nodes, names):
            yield node, True
        yield from ((node, False) for node in _handed_on(nodes, asked))


def _recorded(body: ast.AST) -> Iterator[ast.AST]:
    """The nodes of one function or file, without nested functions and what records nothing."""
    if switches_off(body):
        return
    queue = children(body)
    for node in queue:  # which grows
        yield node
        if not isinstance(node, FUNCTIONS) and not switches_off(node):
            queue += children(node)


def _takes(node: ast.AST, asked: _Asked, defined: set[str]) -> bool:
    if asked.is_property:
        return isinstance(node, ast.Attribute) and node.attr == asked.name
    if not isinstance(node, ast.Call):
        return False
    if asked.called:
        return last_name(node.func) == asked.called
    if isinstance(node.func, (ast.Call, ast.Subscript)):  # ``build()(x)``, ``nets[0](x)``
        return True
    own = isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == "self"
    plain = isinstance(node.func, ast.Name) and node.func.id.islower()
    above = isinstance(node.func, ast.Attribute) and node.func.attr == asked.name
    return above or ((own or plain) and last_name(node.func) not in defined)


def _handed_on(nodes: list[ast.AST], asked: _Asked) -> Iterator[ast.expr]:
    """The function itself, given to somebody who may do anything with what it returns."""
    if not asked.kin and asked.called:
        for node in nodes:
            if isinstance(node, ast.Call):
                given = [*node.args, *(keyword.value for keyword in node.keywords)]
                yield from (one for one in given if last_name(one) == asked.called)


def _without_history(node: ast.AST, function: str, own: set[str]) -> list[tuple[ast.expr, bool]]:
    """What some syntax needs without a history, and whether it certainly does.

    An array is made of it, or a copy; its flag is set or asked for; or it is kept for later, in
    something else than a list or tensor of the function's ``own``.
    """
    if isinstance(node, ast.Assign):
        stored = any(
            isinstance(t, ast.Attribute)
            or (isinstance(t, ast.Subscript) and getattr(t.value, "id", "") not in own)
            for t in node.targets
        )
        flags = [t.value for t in node.targets if last_name(t) == "requires_grad"
                 and isinstance(t, ast.Attribute)]  # fmt: skip
        kept = [(node.value, function == "__init__")] if stored else []
        return [*kept, *((flag, True) for flag in flags)]
    if isinstance(node, ast.Attribute) and node.attr in _TELLS:
        return [(node.value, False)] if isinstance(node.ctx, ast.Load) else []
    if not isinstance(node, ast.Call):
        return []
    name = last_name(node.func)
    if isinstance(node.func, ast.Attribute):
        receiver = node.func.value
        if name == "numpy":
            on_cpu = isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute)
            if on_cpu and last_name(receiver.func) == "cpu":  # type: ignore[attr-defined]
                receiver = receiver.func.value  # type: ignore[attr-defined]
            return [(receiver, True)]
        if name == "requires_grad_":
            return [(receiver, bool(node.args))]
        if getattr(receiver, "id", "") in _NUMPY:
            return [(given, True) for given in node.args]
        if getattr(receiver, "id", "") in own and name not in _COPIES:
            return []
    out = [(keyword.value, True) for keyword in node.keywords if keyword.arg == "out"]
    if name in _KEEPS:
        return [*out, *((given, name in _COPIES) for given in node.args)]
    return out


def _gone_back_through(nodes: list[ast.AST], names: dict[str, ast.stmt]) -> Iterator[ast.expr]:
    """Reads in a loop that goes backward, of what was taken before it."""
    for loop in nodes:
        if not isinstance(loop, LOOPS):
            continue
        inside = list(walk(loop))
        if any(isinstance(n, ast.Attribute) and n.attr == "backward" for n in inside):
            for node in inside:
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                    if node.id in names and names[node.id] not in inside:
                        yield node
