"""What the text of a whole file says, where looking closer would cost more than it tells."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from gradfix.flow.facts import Facts
from gradfix.flow.nodes import BLOCKS
from gradfix.flow.state import Scope
from gradfix.words import mentions

if TYPE_CHECKING:
    from gradfix.flow.doubts import Doubts

_FREEZES = re.compile(r"requires_grad\s*=\s*False|requires_grad_\(\s*(?:mode\s*=\s*)?False")
_DTYPE_WORDS = (
    "float64", "float16", "autocast", "set_default_dtype", "set_default_tensor_type",
    "DoubleTensor", "HalfTensor", "BFloat16Tensor",
)  # fmt: skip
#: ``x.half()``, ``torch.double`` by whatever name, and the names that are imported by themselves.
_HALF_OR_DOUBLE = (
    (".half", re.compile(r"\.half\b")),
    (".double", re.compile(r"\.double\b")),
    (" half", re.compile(r"import [^\n]*\bhalf\b")),
    (" double", re.compile(r"import [^\n]*\bdouble\b")),
)
#: Names of types that ``getattr(model, "double")()`` takes from somewhere.
_NAMED_TYPES = re.compile(r"[\"'](?:double|half)\\?[\"']")
_MOVED = tuple(
    (f".{name}(", re.compile(rf"\.{name}\(([^()\n]*(?:\([^()\n]*\)[^()\n]*)*)\)"))
    for name in ("to", "type")
)
_RECEIVER = re.compile(r"([A-Z]\w*\([^()\n]*\)|\w+)\Z")
_OF_MODULE = re.compile(r"\.(?:(?:named_)?parameters|train|eval|(?:load_)?state_dict)\(")
_NAME = re.compile(r"\w+\Z")
_IS_MODULE = re.compile(r"\w*(?:net|model|module)|self\Z|(?-i:[A-Z])\w*\(", re.I)
_DEVICE = re.compile(r"dev|cuda|cpu|gpu|rank|mps|xpu|accel|float32|float\b|non_blocking", re.I)
_CALLED = re.compile(r"[\w.]+\Z")
_MAKE_TENSORS = frozenset("Parameter nn.Parameter torch.nn.Parameter".split()) | {
    f"torch.{name}"
    for name in "tensor rand randn zeros ones full empty arange linspace eye stack cat".split()
}
_REDUCTIONS = re.compile(r"\.reduc(?:e|tion)\s*=(?!=)|setattr\(")
_SHARES = re.compile(r"\n[ \t]*(?:global|nonlocal)\b")
#: What switches grad mode, by any of its names.
_OWN_CALL = re.compile(r"self\.(\w+)\(")
SWITCHES = re.compile(r"no_grad|enable_grad|inference_mode|set_grad_enabled|GradMode")


Order = tuple[int, int]


class TextFacts(Facts):
    """Facts about one file that its text alone gives; words before patterns, which cost more."""

    doubts: Doubts | None

    @cached_property
    def freezes_parameters(self) -> bool:
        """Whether something switches ``requires_grad`` of Parameters of the file off."""
        return _freezes(self.text) or self._frozen is None or bool(self._frozen)

    @cached_property
    def _frozen(self) -> frozenset[str] | None:
        """The attributes whose layers other files may freeze; None where that is any."""
        return (
            frozenset()
            if self.doubts is None
            else self.doubts.frozen("" if self.others is None else self.others.path)
        )

    def may_freeze(self, layer: ast.AST | None) -> bool:
        """Whether something may freeze a layer that is made here."""
        if not self.freezes_parameters:
            return False
        if _freezes(self.text) or self._frozen is None or layer not in self.parents:
            return True
        at: ast.AST | None = layer
        while at is not None and not isinstance(at, ast.stmt):
            at = self.parents.get(at)
        targets = at.targets if isinstance(at, ast.Assign) else []
        names = {t.attr for t in targets if isinstance(t, ast.Attribute)}
        return not names or not names.isdisjoint(self._frozen)

    @cached_property
    def changes_reductions(self) -> bool:
        """Whether the file may change how a loss object reduces."""
        return self.is_so(_changes_reductions)

    @cached_property
    def changes_dtypes(self) -> bool:
        """Whether something in the file may make tensors of another float type."""
        return self.is_so(_changes_dtypes)

    def is_so(self, ask: Callable[[str], bool]) -> bool:
        """Whether something is so of this text or, in doubt, of any text of the project."""
        return ask(self.text) or (self.doubts is not None and self.doubts.any(ask))

    @cached_property
    def shares_names(self) -> bool:
        """Whether a function of the file may rebind names of outside."""
        some = mentions(self.text, "global ") or mentions(self.text, "nonlocal ")
        return some and _SHARES.search(f"\n{self.text}") is not None

    def order_of(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: Scope) -> Order:
        """When a function has its turn: constructors first, then what fills containers.

        What a constructor calls comes right after it: it binds what the other methods read.
        """
        if not isinstance(scope.node, ast.ClassDef):
            return (4, node.lineno)
        if node.name == "__init__":
            return (0, node.lineno)
        if node.name in self._called_by_constructor(scope.node):
            return (1, node.lineno)
        body = self.text_of(node)
        return (2 if ".append(" in body or ".extend(" in body else 3, node.lineno)

    def _called_by_constructor(self, node: ast.ClassDef) -> frozenset[str]:
        known: dict[ast.ClassDef, frozenset[str]] = self.__dict__.setdefault("_constructing", {})
        if node not in known:
            made = (one for one in node.body if isinstance(one, ast.FunctionDef))
            text = "".join(self.text_of(one) for one in made if one.name == "__init__")
            known[node] = frozenset(_OWN_CALL.findall(text))
        return known[node]

    @cached_property
    def makes_functions(self) -> bool:
        """Whether functions are made without ``def``: lambdas, or ``functools.partial``."""
        return mentions(self.text, "lambda") or mentions(self.text, "partial")

    @cached_property
    def expects_errors(self) -> bool:
        """Whether something in the file may be meant to raise."""
        return any(
            mentions(self.text, word)
            for word in ("raises", "assertRaises", "RuntimeError", "except", "__exit__")
        )

    @cached_property
    def switching(self) -> frozenset[str]:
        """The context managers of this file that may switch the grad mode, by name."""
        if not mentions(self.text, "contextmanager") and not mentions(self.text, "__enter__"):
            return frozenset()
        if SWITCHES.search(self.text) is None:
            return frozenset()
        return frozenset(
            node.name
            for node in self._definitions_with(SWITCHES)
            if "grad" in (source := self.source_of(node))
            if "contextmanager" in "".join(map(ast.unparse, node.decorator_list))
            or "__enter__" in source
        )

    def _definitions_with(
        self, pattern: re.Pattern[str]
    ) -> Iterator[ast.FunctionDef | ast.ClassDef]:
        """The functions and classes in whose source a pattern is found."""
        blocks: list[list[ast.stmt]] = [self.tree.body]
        for block in blocks:  # which grows
            for node in block:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    if pattern.search(self.source_of(node)) is None:
                        continue  # nor is it in what is defined inside
                    yield node
                blocks += [getattr(node, name) for name in BLOCKS.get(node.__class__, ())]
                for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
                    blocks.append(part.body)


def _freezes(text: str) -> bool:
    return mentions(text, "requires_grad") and _FREEZES.search(text) is not None


def _changes_reductions(text: str) -> bool:
    some = mentions(text, ".reduc") or mentions(text, "setattr(")
    return some and _REDUCTIONS.search(text) is not None


def _changes_dtypes(text: str) -> bool:
    return (
        any(mentions(text, word) for word in _DTYPE_WORDS)
        or any(
            not _is_of_tensor(text, found.start())
            for word, pattern in _HALF_OR_DOUBLE
            if mentions(text, word)
            for found in pattern.finditer(text)
        )
        or _gives_modules_types(text)
    )


def _gives_modules_types(text: str) -> bool:
    """Whether a Module gets a type whose name does not show: ``net.to(data)``, ``"double"``."""
    if (mentions(text, "double") or mentions(text, "half")) and _NAMED_TYPES.search(text):
        return True
    moved = [
        receiver[1]
        for word, pattern in _MOVED
        if mentions(text, word)
        for found in pattern.finditer(text)
        if found[1] and _DEVICE.search(found[1]) is None
        if (receiver := _RECEIVER.search(text, max(found.start() - 80, 0), found.start()))
    ]
    if any(_IS_MODULE.match(name) is not None for name in moved):
        return True
    asked = (found.start() for found in _OF_MODULE.finditer(text)) if moved else ()
    owners = (_NAME.search(text, max(end - 80, 0), end) for end in asked)
    return any(name is not None and name[0] in moved for name in owners)


def _is_of_tensor(text: str, end: int) -> bool:
    """Whether what ends here is a call that makes a tensor: no Module changes its type with it."""
    depth, at = 0, end
    while at > max(end - 2_000, 0):
        at -= 1
        depth += (text[at] == ")") - (text[at] == "(")
        if depth <= 0:
            break
    made = _CALLED.search(text, max(at - 40, 0), at)
    return at < end - 1 and made is not None and made[0] in _MAKE_TENSORS


def rebound_inside(tree: ast.Module) -> dict[ast.AST, set[str]]:
    """For the module and each function the names that functions inside it rebind."""
    found: dict[ast.AST, set[str]] = {}
    _note_rebound(found, tree.body, (tree,))
    return found


def _note_rebound(
    found: dict[ast.AST, set[str]], body: Iterable[ast.stmt], around: tuple[ast.AST, ...]
) -> None:
    for node in body:
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            for outer in around[:-1]:
                found.setdefault(outer, set()).update(node.names)
            continue
        function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        inner = (*around, node) if function else around
        for name in ("body", "orelse", "finalbody"):
            _note_rebound(found, getattr(node, name, ()), inner)
        for part in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
            _note_rebound(found, part.body, inner)
