"""How the rest of the project, its tests and examples above all, builds and calls a class.

Read with ``ast`` alone. A site of another file is *self-contained*: its setup holds everything that
the call needs, with imports, constants and helpers of that file, and one value of every parameter
of the function around it. What cannot be told that way is no site.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from gradfix.verify.scope import Scope
from gradfix.verify.sites import CallSite, calls_in, flattened, is_call_of, uses_of_object

_MAX_FILES = 3_000
_MAX_BYTES = 1_000_000
_MAX_TOTAL = 48_000_000
_MAX_PARSED = 12
_MAX_SITES = 8
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SKIPPED = frozenset({"node_modules", "site-packages", "build", "dist"})
_TESTS = re.compile(r"(^|/)(tests?|examples?|demos?)/|(^|/)test_|_test\.py$")


def sites_elsewhere(root: Path, path: Path, names: list[str]) -> dict[str, list[CallSite]]:
    """Uses of the classes of one file in the other files of its project, with a call first."""
    found: dict[str, list[CallSite]] = {}
    for name in names:
        sites: list[CallSite] = []
        for file in _mentioning(root, path, name):
            sites += _sites(file, root, name)
            if len([s for s in sites if s.inputs is not None]) >= _MAX_SITES:
                break
        sites = list(dict.fromkeys(sites))
        found[name] = sorted(sites, key=lambda site: site.inputs is None)[:_MAX_SITES]
    return found


def _mentioning(root: Path, path: Path, name: str) -> list[Path]:
    """Files that seem to build the class: tests and examples first, then by nearness."""
    call = re.compile(rb"\b" + re.escape(name.encode()) + rb"\s*\(")
    own = re.compile(rb"^\s*class\s+" + re.escape(name.encode()) + rb"\b", re.MULTILINE)
    hits = [
        file
        for file, data in sources(root)
        if file != path and call.search(data) and not own.search(data)
    ]

    def rank(file: Path) -> tuple[bool, int, str]:
        shared = len(set(file.parts) & set(path.parts))
        return not _TESTS.search(file.relative_to(root).as_posix()), -shared, str(file)

    return sorted(hits, key=rank)[:_MAX_PARSED]


@functools.lru_cache(maxsize=2)
def sources(root: Path) -> tuple[tuple[Path, bytes], ...]:
    """The Python files of a project with their text, as far as it is not too large."""
    found: list[tuple[Path, bytes]] = []
    total = 0
    for file in _python_files(root):
        try:
            if file.stat().st_size > _MAX_BYTES:
                continue
            data = file.read_bytes()
        except OSError:  # a dangling link, or a file that may not be read
            continue
        total += len(data)
        if len(found) >= _MAX_FILES or total > _MAX_TOTAL:
            break
        found.append((file, data))
    return tuple(found)


def _python_files(root: Path) -> Iterator[Path]:
    todo = [root]
    while todo:
        try:
            entries = sorted(todo.pop().iterdir())
        except OSError:
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name in _SKIPPED or entry.is_symlink():
                continue
            if entry.is_dir():
                todo.append(entry)
            elif entry.suffix == ".py":
                yield entry


def _sites(file: Path, root: Path, name: str) -> Iterator[CallSite]:
    tree = parsed(file)
    if tree is None:
        return
    package = _package(file)
    for function, owner in _scopes(tree):
        body = flattened(tree.body if function is None else function.body)
        for index, statement in enumerate(body):
            for call in calls_in(statement):
                if is_call_of(call, name):
                    call.func = ast.Name(name, ast.Load())  # the class at hand, however imported
                    scope = Scope(tree, function, owner, body, {name})
                    yield from _site(call, statement, body, index, scope, package)


def _site(
    call: ast.Call,
    statement: ast.stmt,
    body: list[ast.stmt],
    index: int,
    scope: Scope,
    package: str,
) -> Iterator[CallSite]:
    """The construction with the first call of what was built, once for each parametrisation."""
    for choice in range(3):
        init = scope.setup(call, index, choice)
        if init is None:
            return
        site = CallSite(init, ast.unparse(call), package=package, elsewhere=True)
        for use, at in uses_of_object(call, statement, body, index):
            given = ast.Tuple([*use.args, *(k.value for k in use.keywords)], ast.Load())
            both = scope.setup(given, at, choice, skip=statement)
            if both is not None:
                inputs = tuple(ast.unparse(a) for a in use.args)
                kwargs = tuple((k.arg, ast.unparse(k.value)) for k in use.keywords if k.arg)
                setup = tuple(dict.fromkeys((*init, *both)))
                site = CallSite(setup, site.init, inputs, kwargs, package=package, elsewhere=True)
                break
        yield site
        if not scope.has_choice(choice + 1):
            return


@functools.lru_cache(maxsize=64)
def parsed(file: Path) -> ast.Module | None:
    """The tree of a file of the project; None where it cannot be read."""
    try:
        return ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


def _package(file: Path) -> str:
    parts: list[str] = []
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


def _scopes(
    tree: ast.Module,
) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef | None, ast.ClassDef | None]]:
    """The module itself, its functions, and the methods of its classes with their class."""
    yield None, None
    for node in tree.body:
        if isinstance(node, _FUNCTIONS):
            yield node, None
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, _FUNCTIONS):
                    yield part, node
