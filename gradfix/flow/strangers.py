"""Code that may meet a Module without naming its class: a factory or a registry hands it out.

``model = build("net")`` says nothing of a class, and ``weight, bias = model.parameters()`` may mean
any. So where a fix rests on who meets a Module, every file that may be loaded with its own is read,
and any Module counts that is not certainly another one.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeGuard

from gradfix.flow.by_string import LISTED
from gradfix.flow.nodes import last_name, walk
from gradfix.flow.project import OUTSIDE

if TYPE_CHECKING:
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.project import Project

_WALKS = frozenset("apply children modules named_children named_modules _modules".split())
_WALKS_TEXT = re.compile(rf"\.(?:{'|'.join(sorted(_WALKS))})\b")
#: Layers and containers that hold what they are given.
HOLDS = re.compile(r"Sequential|List|Dict|Parallel|Module\Z|Encoder\Z|Decoder\Z|Transformer\Z")
_LIBRARIES = frozenset("nn torch F math np numpy super self cls len range int float print".split())
_OPTIMIZERS = frozenset("SGD Adam AdamW RMSprop Adagrad Adadelta RAdam NAdam LBFGS Rprop".split())
#: Has a state of its own that does not depend on which Parameters there are.
NO_STATE = re.compile(r"sched|scaler|sampler|loader|data", re.I)
#: Lines that only IPython understands, and cells that it runs as Python.
_MAGIC = re.compile(r"^([ \t]*)(?:[%!?].*|[\w.]+\?+[ \t]*)$", re.M)
_MAGIC_VALUE = re.compile(r"=[ \t]*[%!].*$", re.M)
_PYTHON_CELLS = ("%%time", "%%capture", "%%prun", "%%memit")
#: What is set and read by computed names, and is no Module.
_SETTINGS = re.compile(r"arg|opt|conf|cfg|param|parse|setting|flag|hparam|namespace|self\Z|cls\Z")


def strangers(flow: ModuleFlow) -> dict[str, str]:
    """The texts of the other files that may be loaded with this one, by path.

    None are known where nothing is doubted (see `gradfix.flow.doubts`).
    """
    if flow.doubts is None or flow.others is None:
        return {}
    own = flow.others.path
    return {path: text for path, text in flow.doubts.texts.items() if path != own}


@dataclass(slots=True)
class Stranger:
    """One such file: which of its expressions may be a Module of another file's class."""

    tree: ast.Module
    bound: dict[str, list[ast.expr]] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    imported: dict[str, str] = field(default_factory=dict)  # names of modules, and where from

    def __post_init__(self) -> None:
        stored: Counter[str] = Counter()
        for node in walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                stored[node.id] += 1
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, (ast.Name, ast.Attribute)):
                        self.bound.setdefault(ast.unparse(target), []).append(node.value)
            elif isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    self.imported[alias.asname or first] = first
            elif isinstance(node, ast.arg):
                self.bound.setdefault(node.arg, []).append(ast.Name(node.arg))
        for name, times in stored.items():
            plain = [v for v in self.bound.get(name, ()) if not isinstance(v, ast.Name)]
            if len(plain) < times:  # by a loop, ``with`` or several targets: it may be anything
                self.bound.setdefault(name, []).append(ast.Name(name))

    def may_be(self, node: ast.expr, depth: int = 0) -> bool:
        """Whether an expression may be a Module that this file knows nothing of, or holds one."""
        if isinstance(node, ast.Call):
            return not self._is_own(node, depth)
        if isinstance(node, ast.Attribute):
            known = self.bound.get(ast.unparse(node))
            if known is not None and depth < 5:
                return any(self.may_be(value, depth + 1) for value in known)
            root = node.value.id if isinstance(node.value, ast.Name) else ""
            if root in self.imported:  # a Module that another file has made
                return self.imported[root] not in OUTSIDE
            # A base may bind what is not bound here.
            return root == "self" or self.may_be(node.value, depth)
        if not isinstance(node, ast.Name):
            return not isinstance(node, ast.Constant)
        if node.id == "self":
            return any(self._is_open(one) for one in self.classes.values())
        known = self.bound.get(node.id)
        if known is None or depth > 5:
            return node.id not in self.imported
        given = any(isinstance(v, ast.Name) and v.id == node.id for v in known)  # an argument
        return given or any(self.may_be(value, depth + 1) for value in known)

    def _is_own(self, call: ast.Call, depth: int) -> bool:
        """Whether a call certainly makes something without a Module of other files in it."""
        made = last_name(call.func)
        root: ast.expr = call.func
        while isinstance(root, (ast.Attribute, ast.Call)):
            root = root.value if isinstance(root, ast.Attribute) else root.func
        known = self.classes.get(made) if isinstance(call.func, ast.Name) else None
        if known is not None:
            return not self._is_open(known, given=any(map(self._is_handed, call.args)))
        if getattr(root, "id", "") not in ("nn", "torch") or depth > 5:
            return False
        given = (*call.args, *(keyword.value for keyword in call.keywords))
        return HOLDS.search(made) is None or not any(self.may_be(a, depth + 1) for a in given)

    def _is_handed(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Starred) or self.may_be(node)

    def _is_open(self, node: ast.ClassDef, *, given: bool = True) -> bool:
        """Whether objects of a class of this file may hold Modules of other files."""
        for part in walk(node):
            if isinstance(part, ast.Assign) and any(_is_of_self(t) for t in part.targets):
                handed = isinstance(part.value, ast.Name) and given
                called = part.value.func if isinstance(part.value, ast.Call) else None
                while isinstance(called, (ast.Attribute, ast.Subscript)):
                    called = called.value
                made = called is not None and getattr(called, "id", "") not in _LIBRARIES
                if handed or made:
                    return True
        return False

    # -- what is done to Modules -------------------------------------------------------------

    def walking(self) -> Iterator[ast.Attribute]:
        """Where it goes through all parts of a Module: ``model.apply(init)``."""
        for node in walk(self.tree):
            if isinstance(node, ast.Attribute) and node.attr in _WALKS:
                if last_name(node.value)[:1].islower() and self.may_be(node.value):
                    yield node

    def loading(self) -> Iterator[ast.Call]:
        """Where it loads saved values, which all have to be there, into a Module or optimizer."""
        for node in walk(self.tree):
            asked = node.func if isinstance(node, ast.Call) else None
            if isinstance(asked, ast.Attribute) and asked.attr == "load_state_dict":
                assert isinstance(node, ast.Call)
                of = ast.unparse(asked.value)
                if NO_STATE.search(of) or any(k.arg == "strict" for k in node.keywords):
                    continue
                made = [v for v in self.bound.get(of, ()) if isinstance(v, ast.Call)]
                trained = [v for v in made if "optim" in ast.unparse(v.func) or _is_optimizer(v)]
                if self.may_be(asked.value) or any(
                    self.may_be(part) for v in trained for part in walk(v) if _is_name(part)
                ):
                    yield node

    def setting(self) -> Iterator[ast.Call]:
        """Where it binds attributes by names that are not written out."""
        yield from self.by_computed_name("setattr")
        yield from self.by_computed_name("__setattr__")

    def by_computed_name(self, asked: str) -> Iterator[ast.Call]:
        """Where it gives ``asked``, as ``setattr``, names that are not written out."""
        for node in walk(self.tree):
            if isinstance(node, ast.Call) and last_name(node.func) == asked and len(node.args) > 1:
                of, name = node.args[0], node.args[1]
                if isinstance(name, ast.Constant) or _SETTINGS.search(ast.unparse(of).lower()):
                    continue
                if self.may_be(of) and not (isinstance(of, ast.Name) and of.id in self.imported):
                    yield node


def _is_optimizer(call: ast.Call) -> bool:
    return last_name(call.func) in _OPTIMIZERS


def _is_name(node: ast.AST) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and node.id not in _LIBRARIES


def _is_of_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "self"


def read(project: Project, path: str) -> Stranger | None:
    """A file as a stranger to a class; None where it cannot be read."""
    if path.endswith(".ipynb"):
        return _cells(project.text(path) or "")
    opened = project.opened(path)
    if opened is None:
        return None
    known: Stranger | None = opened.__dict__.get("_stranger")
    if known is None:
        known = opened.__dict__["_stranger"] = Stranger(opened.tree)
    return known


def _cells(text: str) -> Stranger | None:
    """The cells of a notebook that are Python, one after the other; None if one does not parse."""
    try:
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        sources = ["".join(cell["source"]) for cell in cells]
    except (ValueError, KeyError, TypeError):
        return None
    body: list[ast.stmt] = []
    for source in sources:
        if source.startswith("%%") and not source.startswith(_PYTHON_CELLS):
            continue
        try:
            body += ast.parse(_MAGIC_VALUE.sub("= None", _MAGIC.sub(r"\1pass", source))).body
        except SyntaxError:
            return None
    return Stranger(ast.Module(body, []))


def meets_parts(flow: ModuleFlow, *, layers: bool) -> str:
    """Which other file lists the attributes, or goes through the ``layers``, of any Module."""
    for path, text in strangers(flow).items():
        assert flow.others is not None
        project = flow.others.session.project
        some = "vars(" in text or "__dict__" in text
        if (some and LISTED.search(text) is not None) or "getmembers(" in text:
            return f"{project.shown(path)} lists what objects hold"
        if not layers or (_WALKS_TEXT.search(text) is None and "getattr(" not in text):
            continue
        other = read(project, path)
        if other is None or next(other.walking(), None) is not None:
            return f"{project.shown(path)} goes through all parts of Modules"
        if next(other.by_computed_name("getattr"), None) is not None:
            return f"{project.shown(path)} takes attributes by names that are worked out"
    return ""


def loads_any(flow: ModuleFlow) -> str:
    """Which other file loads saved values into what may be any Module, or its optimizer."""
    path = _doing(flow, "load_state_dict", Stranger.loading)
    return f"what {path} loads may have been saved without it" if path else ""


def binds_any(flow: ModuleFlow) -> str:
    """Which other file binds attributes of any object by names that do not show; or none."""
    path = _doing(flow, "setattr", Stranger.setting)
    return f"{path} binds attributes by names that are worked out" if path else ""


def _doing(flow: ModuleFlow, word: str, places: Callable[[Stranger], Iterator[ast.AST]]) -> str:
    """The first other file with a word in it where such a place is, or that cannot be read."""
    for path, text in strangers(flow).items():
        if word in text:
            assert flow.others is not None
            project = flow.others.session.project
            other = read(project, path)
            if other is None or next(places(other), None) is not None:
                return project.shown(path)
    return ""
