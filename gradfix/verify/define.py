"""Runs only the imports, definitions and constants of a file, for files that cannot be imported.

What a skipped statement would have provided stays undefined, and whoever needs it fails.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

from gradfix.verify.drive import describe

_DEEP = 8
#: Functions that scripts make their constants and options with.
_HARMLESS = frozenset(
    "len int float str bool tuple list dict range set min max sum abs prod device is_available "
    "ArgumentParser add_argument add_argument_group parse_args parse_known_args set_defaults "
    "namedtuple partial getLogger TypeVar NewType sqrt log OrderedDict defaultdict EasyDict".split()
)


def define(path: Path, dotted: str, entry: Path, depth: int = 0) -> tuple[ModuleType, list[str]]:
    """The module, and notes of what could not be run. Raises SyntaxError, OSError.

    Files of the project that cannot be imported either are treated the same way.
    """
    source, notes = path.read_bytes(), []
    module = ModuleType(dotted)
    module.__file__ = str(path)
    is_package = path.name == "__init__.py"
    module.__package__ = dotted if is_package else dotted.rpartition(".")[0]
    if is_package:
        module.__path__ = [str(path.parent)]
    sys.modules[dotted] = module
    for statement in ast.parse(source).body:
        if not _defines(statement):
            continue
        code = compile(ast.Module([statement], []), str(path), "exec")
        for last in (False, True):
            try:
                exec(code, module.__dict__)
                break
            except (
                Exception,
                SystemExit,
            ) as error:  # often a base or a decorator that could not be imported
                if last or depth > _DEEP or not _imported_parts(statement, module, entry, depth):
                    notes.append(f"line {statement.lineno}: {describe(error)}")
                    break
    return module, notes


def _imported_parts(statement: ast.stmt, module: ModuleType, entry: Path, depth: int) -> bool:
    """Define the files of the project that an import names; whether there are any new ones."""
    if not isinstance(statement, ast.ImportFrom):
        return False
    base = (module.__package__ or "").split(".")
    base = base[: len(base) - statement.level + 1] if statement.level else []
    parts = [*base, *(statement.module or "").split(".")]
    parts = [part for part in parts if part]
    found = False
    for size in range(1, len(parts) + 1):
        name = ".".join(parts[:size])
        file = entry.joinpath(*parts[:size])
        file = file / "__init__.py" if file.is_dir() else file.with_suffix(".py")
        if name not in sys.modules and file.is_file():
            define(file, name, entry, depth + 1)
            found = True
    return found


def _defines(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Try):  # ``try: import apex``; what else it holds must define, too
        handlers = [s for handler in statement.handlers for s in handler.body]
        parts = [*statement.body, *handlers, *statement.orelse, *statement.finalbody]
        return all(isinstance(s, (ast.Pass, ast.Raise)) or _defines(s) for s in parts)
    if isinstance(statement, (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)):
        return True
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        return statement.value is None or _is_harmless(statement.value)
    if isinstance(statement, ast.Expr):  # ``parser.add_argument(...)``
        return isinstance(statement.value, ast.Call) and _is_harmless(statement.value)
    return False


def _is_harmless(value: ast.expr) -> bool:
    """Whether it only computes: no calls but of what is known to do nothing else."""
    calls = [n for n in ast.walk(value) if isinstance(n, ast.Call)]
    return all(ast.unparse(c.func).rpartition(".")[2] in _HARMLESS for c in calls)
