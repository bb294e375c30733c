"""Values for what a script binds in statements that were not run, and its classes read.

``state_size = env.observation_space.shape[0]`` is such a statement where the environment is not
there, and so is everything under ``if __name__ == "__main__"``. A class that reads the name gets a
number, a word or a configuration that is made up, as if it were an argument. Never made up are what
an import would have given, functions, modules, tensors and lists of data: no verdict may rest on
these.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

from gradfix.verify.construct import MadeUp, values_for
from gradfix.verify.load import Stub
from gradfix.verify.names import Wanted
from gradfix.verify.source import globals_read, tree_of_file
from gradfix.verify.uses import uses_in

_NOTHING = object()
#: What the names held before they were filled in, in the one file that a child looks at.
_before: dict[str, Any] = {}
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def fill_in(module: ModuleType, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Bind what the classes of a loaded file read and nothing has bound; what was made up.

    ``settings`` are the defaults of the project's own options, by name.
    """
    tree = tree_of_file(module.__file__ or "")
    if tree is None:
        return {}
    definitions = ast.Module([n for n in tree.body if isinstance(n, _DEFINITIONS)], [])
    bound = set(_bound(tree.body))
    read = globals_read(ast.unparse(definitions))
    uses = uses_in(definitions)
    found: dict[str, Any] = {}
    for name in sorted(bound & read & set(uses)):
        there = vars(module).get(name)
        use = uses[name]
        if name in vars(module) and not isinstance(there, Stub):
            # ``dataset = "Cora"``, and below it what the classes mean by the name
            if not isinstance(there, (str, int)) or not use.attributes - set(dir(there)):
                continue
            there = None
        # What chooses a way through the code is not made up either: it may choose the wrong one.
        decides = name not in settings and (use.tested or use.words or use.numbers)
        if use.called or use.called_on_self or decides:
            continue
        wanted = Wanted(name, use=use, space=vars(module), settings=settings)
        plain = name in settings and not use.attributes  # else an object is called like an option
        value = settings[name] if plain else values_for(wanted)[0]
        # A stand-in has attributes, so only what serves as a number is told from the real thing.
        if _is_plain(value) if there is None else type(value) is int and not use.attributes:
            found[name] = value
    _before.update({name: vars(module).get(name, _NOTHING) for name in found})
    vars(module).update(found)
    return found


def take_back(module: ModuleType) -> None:
    """Bind again what the names held before `fill_in`, or nothing."""
    for name, value in _before.items():
        if value is _NOTHING:
            vars(module).pop(name, None)
        else:
            vars(module)[name] = value
    _before.clear()


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """The names that statements of a file bind, but for its imports and definitions."""
    todo: list[ast.AST] = [*body]
    while todo:
        node = todo.pop()
        if isinstance(node, (*_DEFINITIONS, ast.Lambda)):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        todo += ast.iter_child_nodes(node)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, str, MadeUp))
