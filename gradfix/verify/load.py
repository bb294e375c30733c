"""Imports the file under test: plainly, else with stand-ins, else its definitions only.

A verdict never rests on a stand-in: using one while a target is built or run raises, and the
target is then not verified.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from gradfix.verify.define import define
from gradfix.verify.drive import describe

_MAX_STUBS = 25
_NO_SUCH_NAME = re.compile(r"cannot import name '(\w+)' from '\w+'")
#: What a project is called whose own folder is the package that its files import from.
ABOVE = "project_above"


class StubUsed(RuntimeError):
    """A target used a stand-in for a package that is not installed."""


class LoadError(Exception):
    """The file could not be imported in any way; the text is the first reason."""


@dataclass(slots=True)
class Loaded:
    """An imported module and what had to be done for it."""

    module: ModuleType
    how: str = "import"
    notes: list[str] = field(default_factory=list)


class Stub:
    """Stands in for anything a missing package would have offered, at import time only."""

    importing = True

    def __init__(self, name: str) -> None:
        self.__dict__["_name"] = name

    def _use(self) -> None:
        if not Stub.importing:
            raise StubUsed(f"needs {self._name.partition('.')[0]!r}, which is not installed")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self._use()
        return Stub(f"{self._name}.{name}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._use()
        # As a decorator it must hand back what it decorates, or the class itself would be lost.
        if len(args) == 1 and not kwargs and callable(args[0]) and not isinstance(args[0], Stub):
            return args[0]
        return Stub(self._name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (StubBase,)

    def __getitem__(self, key: object) -> Any:
        return self

    def __setitem__(self, key: object, value: object) -> None:
        self._use()

    # Python would look for an end by index, and find none.
    def __contains__(self, key: object) -> bool:
        self._use()
        return False

    def __iter__(self) -> Iterator[Any]:
        self._use()
        return iter(())

    def __len__(self) -> int:
        self._use()
        return 0


class StubBase:
    """The base of a class whose real base is missing; it cannot be built."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise StubUsed("derives from a class of a package that is not installed")


class _StubFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Last on ``sys.meta_path``: finds the packages that nothing else found."""

    def __init__(self, project: Path, path: Path) -> None:
        self.packages: set[str] = set()
        self.project, self.path = project, path
        self.folders: set[str] = set()

    def finds_in_project(self, name: str) -> bool:
        """Whether another folder of the project holds the module; it is then importable.

        Research code puts such folders on ``sys.path`` in the script that is run.
        """
        for folder in _folders_with(self.project, self.path, name):
            if folder not in self.folders:
                self.folders.add(folder)
                sys.path.append(folder)
                return True
        return False

    def finds_namesake(self, error: ImportError) -> bool:
        """Whether another module of the project has a name that the one of this name lacks.

        It then comes first: ``src/utils`` may be a package and ``src/utils/utils.py`` be meant.
        """
        match = _NO_SUCH_NAME.search(str(error))
        module = error.name or ""
        if match is None or not module.isidentifier():
            return False
        for file in namesakes(self.project, module):
            folder = str(file.parent)
            if folder in self.folders or not _defines(file, match[1]):
                continue
            self.folders.add(folder)
            sys.path.insert(0, folder)
            for name in [n for n in sys.modules if n.partition(".")[0] == module]:
                del sys.modules[name]
            return True
        return False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] in self.packages:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__path__ = []
        name = spec.name

        def attribute(key: str) -> Any:
            if key == "__version__":  # compared at import time all over
                return "0.0.0"
            if key.startswith("__"):
                raise AttributeError(key)
            return Stub(f"{name}.{key}")

        module.__getattr__ = attribute  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: every attribute is made when it is asked for."""


def load(
    path: Path, dotted: str, entry: Path, project: Path, *, definitions: bool = False
) -> Loaded:
    """Import the file as ``dotted``. Raises LoadError with the first failure when nothing works.

    ``definitions`` skips straight to running only imports, definitions and constants, for files
    whose import has been seen not to come back.
    """
    finder = _StubFinder(project, path)
    sys.meta_path.append(finder)
    first: str | None = None
    called = dotted
    for how in () if definitions else ("import", "without packages", "as a package"):
        if how == "without packages" and not _without_packages(path, dotted, entry):
            continue
        if how == "as a package":
            if not any(words in (first or "") for words in _ABOVE_TOP) or _is_ours(dotted):
                break
            called = _as_package(dotted, entry)
        module, why = _with_stubs(path, called, entry, finder)
        first = first or why
        if module is not None:
            Stub.importing = False
            if how == "import" and finder.packages:
                how = "stubs"
            return Loaded(module, how, sorted(finder.packages) or ([first] if first else []))
    try:
        module, notes = define(path, dotted, entry)
    except (Exception, SystemExit) as error:  # as above; the plain import's reason says more
        raise LoadError(first or describe(error)) from error
    Stub.importing = False
    return Loaded(module, "definitions", [first, *notes] if first else notes)


def _with_stubs(
    path: Path, dotted: str, entry: Path, finder: _StubFinder
) -> tuple[ModuleType | None, str | None]:
    """The file, imported with stand-ins for what is missing; what went wrong first."""
    first: str | None = None
    while len(finder.packages) < _MAX_STUBS:
        try:
            return _import(path, dotted, entry), first
        except ImportError as error:
            first = first or describe(error)
            if finder.finds_namesake(error):
                continue
            missing = _missing(error)
            if missing in ("", ABOVE, *finder.packages) or _is_local(missing, entry):
                break
            if not finder.finds_in_project(missing):
                finder.packages.add(missing)
        except (Exception, SystemExit) as error:  # a script may do anything, even exit
            first = first or describe(error)
            break
    return None, first


def _folders_with(project: Path, path: Path, name: str) -> list[str]:
    """The folder of the project that holds the module or package of this name; none if unclear.

    Of several the one around the file is meant. There it may also be a folder of modules that has
    no ``__init__``.
    """
    found: list[str] = []
    around: list[str] = []
    for folder, below, files in os.walk(project):
        below[:] = sorted(b for b in below if not b.startswith((".", "__")))[:200]
        package = Path(folder) / name if name in below else None
        if f"{name}.py" in files or (package is not None and (package / "__init__.py").exists()):
            found.append(folder)
        elif package is None or not any(package.glob("*.py")):
            continue
        if path.is_relative_to(folder):
            around.append(folder)
    if len(found) == 1:
        return found
    return around if len(around) == 1 else []


def namesakes(project: Path, name: str) -> list[Path]:
    """The files of the project that may be imported as the module of this name."""
    found = (file.relative_to(project) for file in project.rglob(f"{name}.py"))
    shown = (file for file in found if not any(part.startswith(".") for part in file.parts))
    return [project / file for file in sorted(shown)[:_MAX_STUBS]]


def _defines(file: Path, name: str) -> bool:
    text = file.read_text("utf-8", "replace")
    return re.search(rf"^(?:def|class)\s+{name}\b|^{name}\b.*=", text, re.MULTILINE) is not None


def _missing(error: ImportError) -> str:
    """The package that is not there, also behind a friendlier error that the project raises."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ModuleNotFoundError):
        cause = cause.__context__
    name = cause.name if isinstance(cause, ModuleNotFoundError) else None
    return (name or "").partition(".")[0]


def _is_ours(dotted: str) -> bool:
    """Whether this process cannot do without the package that a file is in."""
    return dotted.partition(".")[0] in ("torch", "gradfix")


def _without_packages(path: Path, dotted: str, entry: Path) -> bool:
    """Let the packages around the file be empty; whether there are any.

    An ``__init__`` often imports a whole library, of which the file needs little. What only the
    ``__init__`` defines is then missing, and whoever imports it fails: nothing is made up.
    """
    parents = dotted.split(".")[:-1]
    if path.name == "__init__.py" or _is_ours(dotted):
        return False
    for name in [n for n in sys.modules if parents and n.partition(".")[0] == parents[0]]:
        del sys.modules[name]
    for depth in range(1, len(parents) + 1):
        name, folder = ".".join(parents[:depth]), entry.joinpath(*parents[:depth])
        spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return bool(parents)


_ABOVE_TOP = ("beyond top-level package", "with no known parent package")


def _as_package(dotted: str, entry: Path) -> str:
    """Let the folder that all is imported from be a package itself; the file's name in it.

    ``from ..utils import f`` in ``models/net.py`` means a package around ``models``.
    """
    for name in [n for n in sys.modules if n.partition(".")[0] == dotted.partition(".")[0]]:
        del sys.modules[name]
    spec = importlib.machinery.ModuleSpec(ABOVE, None, is_package=True)
    spec.submodule_search_locations = [str(entry)]
    sys.modules[ABOVE] = importlib.util.module_from_spec(spec)
    return f"{ABOVE}.{dotted}"


def _is_local(name: str, entry: Path) -> bool:
    return (entry / name).is_dir() or (entry / f"{name}.py").is_file()


def _import(path: Path, dotted: str, entry: Path) -> ModuleType:
    name = dotted if dotted not in sys.modules else f"gradfix_target_{path.stem}"
    if dotted in sys.stdlib_module_names:
        name = f"gradfix_target_{path.stem}"
    if "." in name:
        module = importlib.import_module(name)
        if Path(module.__file__ or "").resolve() == path:
            return module
        name = f"gradfix_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path.name} is not importable")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module
