"""Runs a script or a module as ``python`` would: in a real ``__main__``, with its argv and path.

The user's exceptions are the user's: our frames are taken out of the traceback, then the hook
that the program may have set shows it.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import io
import os
import signal
import sys
import traceback
import zipfile
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

from gradfix.errors import GradfixError, SourceError

_OURS = str(Path(__file__).resolve().parent.parent) + os.sep


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: a path, or a module's name, with its arguments."""

    name: str
    arguments: tuple[str, ...] = ()
    module: bool = False

    @property
    def shown(self) -> str:
        """The program as reports name it."""
        return self.name if self.module else os.path.relpath(self.name).replace(os.sep, "/")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a program ended: its exit code, and the exception it ended with, if any."""

    code: int
    error: BaseException | None = None

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return isinstance(self.error, KeyboardInterrupt)


def prepare(program: Program) -> None:
    """Check what can be told before anything runs.

    Raises SourceError for a script that is missing, unreadable or not Python.
    """
    if program.module:
        return
    path = Path(program.name)
    if path.is_dir() or zipfile.is_zipfile(path):
        return
    try:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except OSError as error:
        raise SourceError(f"{program.name}: {error.strerror or error}") from error
    except SyntaxError as error:
        raise SourceError(f"{program.shown}:{error.lineno}: {error.msg}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise SourceError(f"{program.shown}: cannot be parsed: {error}") from error


def execute(program: Program) -> Ending:
    """Run the program to its end; whatever it raises ends it as it would end ``python``."""
    try:
        _run(program)
    except SystemExit as error:
        return Ending(_exit_code(error), error)
    except KeyboardInterrupt as error:
        _show(error)
        return Ending(128 + signal.SIGINT, error)
    except GradfixError:
        raise
    except BaseException as error:  # whatever the user's program raises is its own ending
        _show(error)
        return Ending(1, error)
    return Ending(0)


def die_of_interrupt() -> None:
    """End this process by SIGINT, as Python does after a KeyboardInterrupt nobody caught."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)


def _run(program: Program) -> None:
    if program.module:
        code, module = _from_module(program.name, first_path=os.getcwd())
        sys.argv = [module.__file__ or program.name, *program.arguments]
    elif os.path.isdir(program.name) or zipfile.is_zipfile(program.name):
        sys.argv = [program.name, *program.arguments]
        code, module = _from_module("__main__", first_path=os.path.abspath(program.name))
    else:
        sys.argv = [program.name, *program.arguments]
        code, module = _from_file(program.name)
    sys.modules["__main__"] = module
    exec(code, vars(module))


def _set_first_path(folder: str) -> None:
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = folder


def _from_file(name: str) -> tuple[CodeType, ModuleType]:
    path = os.path.abspath(name)
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    module = _blank_main(path)
    module.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    with io.open_code(path) as file:
        return compile(file.read(), path, "exec", dont_inherit=True), module


def _blank_main(path: str) -> ModuleType:
    module = ModuleType("__main__")
    vars(module).update(
        __builtins__=sys.modules["builtins"], __file__=path, __cached__=None, __annotations__={}
    )
    return module


def _from_module(name: str, first_path: str) -> tuple[CodeType, ModuleType]:
    """Find the code of ``-m name``; raises GradfixError where there is none."""
    if name == "__main__":  # a folder or an archive
        if sys.path[0] != first_path:
            sys.path[0] = first_path
        spec = importlib.machinery.PathFinder.find_spec(name, [first_path])
    else:
        _set_first_path(first_path)
        spec = _spec(name)
    code = None
    if spec is not None and spec.loader is not None and hasattr(spec.loader, "get_code"):
        code = spec.loader.get_code(spec.name)
    if spec is None or code is None:
        raise GradfixError(f"no module named {name!r} that can be run")
    module = _blank_main(spec.origin or "")
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__package__ = spec.parent
    vars(module)["__cached__"] = spec.cached
    return code, module


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            return None
        raise
    if spec is not None and spec.submodule_search_locations is not None:
        return _spec(f"{name}.__main__")
    return spec


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code
    print(error.code, file=sys.stderr)
    return 1


def without_our_frames(trace: TracebackType | None) -> TracebackType | None:
    """A traceback that shows the user's program as if nobody watched it."""
    kept: list[TracebackType] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_OURS):
            # torch's own functions ask the tracer first, which calls them again.
            if len(kept) > 1 and _asks(kept[-1]) and kept[-2].tb_frame.f_code is code:
                del kept[-2:]
            kept.append(trace)
        trace = trace.tb_next
    following: TracebackType | None = None
    for link in reversed(kept):
        link.tb_next = following
        following = link
    return following


def _asks(trace: TracebackType) -> bool:
    return trace.tb_frame.f_code.co_name == "handle_torch_function"


def strip(error: BaseException, seen: set[int] | None = None) -> None:
    """Take our frames out of an exception and of those it came from."""
    seen = set() if seen is None else seen
    if id(error) in seen:
        return
    seen.add(id(error))
    error.__traceback__ = without_our_frames(error.__traceback__)
    for other in (error.__cause__, error.__context__):
        if other is not None:
            strip(other, seen)


def causes(error: BaseException | None) -> list[BaseException]:
    """An exception and all it came from."""
    found: list[BaseException] = []
    todo = [error]
    while todo:
        here = todo.pop()
        if here is not None and not any(here is other for other in found):
            found.append(here)
            todo += [here.__cause__, here.__context__, *getattr(here, "exceptions", ())]
    return found


def _show(error: BaseException) -> None:
    strip(error)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and not stream.closed:
            stream.flush()
    sys.last_type, sys.last_value = type(error), error
    sys.last_traceback = error.__traceback__
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except Exception:  # the hook is the user's; Python falls back to its own as well
        traceback.print_exc()
        sys.__excepthook__(type(error), error, error.__traceback__)
