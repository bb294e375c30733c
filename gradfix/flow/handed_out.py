"""Lists of layers and Parameters that methods hand out: somebody may train them on purpose."""

from __future__ import annotations

import ast
import re

from gradfix.flow.containers import Container, inside, loop_over
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import is_returned
from gradfix.flow.nodes import walk
from gradfix.flow.strangers import strangers

_YIELDS = (ast.Yield, ast.YieldFrom)


def is_handed_out(flow: ModuleFlow, found: Container, *, parameters: bool) -> bool:
    """Whether a method hands a container, or what is in it, to code that may train it.

    Parameters that are handed out are enough. Layers are where this file, or one that may be loaded
    with it, asks an object for that method.
    """
    if parameters and any(_leaves(flow, read) for read in found.reads):
        return True
    texts = [flow.text, *strangers(flow).values()]
    for name in _handing(flow, found):
        asked = re.compile(rf"(?<!\bself)\.{name}\b")
        if any(name in text and asked.search(text) is not None for text in texts):
            return True
    return False


def _leaves(flow: ModuleFlow, read: ast.AST) -> bool:
    """Whether a container, or one after the other of what is in it, is returned or yielded."""
    if isinstance(flow.parents.get(read), _YIELDS) or is_returned(flow, read):
        return True
    loop = loop_over(flow, read)
    return loop is not None and any(isinstance(node, _YIELDS) for node in inside(loop))


def _handing(flow: ModuleFlow, found: Container) -> set[str]:
    """The methods that return or yield what is in a container, and not what it computes."""
    names = set()
    for read in found.reads:
        method = flow.enclosing(read, ast.FunctionDef)
        at = flow.enclosing(read, (ast.Return, *_YIELDS))
        if method is None or method.name == "forward":
            continue
        if at is not None:
            parts = list(walk(at))
            looped = {ast.unparse(p.target) for p in parts if isinstance(p, ast.comprehension)}
            called = [p.func for p in parts if isinstance(p, ast.Call)]
            if not any(isinstance(f, ast.Subscript) or ast.unparse(f) in looped for f in called):
                names.add(method.name)
        elif _leaves(flow, read):
            names.add(method.name)
    return names
