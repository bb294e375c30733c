"""Constructor arguments that the code tells: words it knows, arguments it names, its files."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from gradfix.verify.compared import choices, names_in_check
from gradfix.verify.slots import Arguments, names_at_fault, nearness, slots_of, value_at, with_value

_MOST = 4
_WORD = re.compile(r"[A-Za-z_]\w+")
_SETTINGS = (".cfg", ".yaml", ".yml", ".json", ".ini", ".toml")
_NO_FILE = (OSError, ValueError, TypeError)
_FOLDERS = frozenset({"config", "configs", "cfg", "cfgs", "conf", "hparams", "models"})
_LARGEST = 60_000


def of_choices(cls: type[nn.Module], kwargs: Arguments, error: Exception) -> list[Arguments]:
    """With one of the values that the code compares an argument with where it gives up."""
    parameters = inspect.signature(cls).parameters
    found: list[Arguments] = []
    for name, value, known in choices(error):
        slots = [s for s in slots_of(kwargs) if s[-1] == name]
        if not slots and name in parameters:  # one that has a default, which does not do
            found += [{**kwargs, name: each} for each in known[:_MOST]]
        elif not slots:  # it has another name where it is given
            slots = [s for s in slots_of(kwargs) if _is(value_at(kwargs, s), value)]
        for slot in slots:
            others = [each for each in known if not _is(value_at(kwargs, slot), each)]
            found += [with_value(kwargs, slot, each) for each in others[:_MOST]]
    return found


def _is(one: Any, other: Any) -> bool:
    return type(one) is type(other) and isinstance(one, (str, int, float)) and one == other


def asked_for(cls: type[nn.Module], kwargs: Arguments, error: Exception) -> list[str]:
    """Arguments, None by default, that the message or the condition of a failed check names."""
    told = {*_WORD.findall(str(error)), *names_in_check(error)}
    parameters = inspect.signature(cls).parameters.values()
    return [p.name for p in parameters if p.default is None and p.name in told - set(kwargs)]


def of_settings_files(kwargs: Arguments, error: Exception) -> list[Arguments]:
    """With a settings file of the project where a made-up value was taken for the name of one."""
    text = str(error)
    names = names_at_fault(error)
    opened = "open" in names or "path" in text.lower() or isinstance(error, OSError)
    if not isinstance(error, _NO_FILE) or not opened:
        return []
    slots = [s for s in slots_of(kwargs) if nearness(names, s[-1]) < len(names)]
    slots = [s for s in slots if type(value_at(kwargs, s)) in (int, str)]
    files = list(_settings_files(Path.cwd())) if slots else []
    return [with_value(kwargs, slot, file) for slot in slots[:2] for file in files[:_MOST]]


def _settings_files(root: Path) -> Iterator[str]:
    """Small settings files of a project, as paths from its root; folders of such come first."""
    found: list[tuple[bool, int, str]] = []
    for pattern in ("*", "*/*", "*/*/*"):
        for path in sorted(root.glob(pattern)):
            inside = path.relative_to(root)
            if path.suffix not in _SETTINGS or any(p.startswith(".") for p in inside.parts):
                continue
            if path.is_file() and 0 < path.stat().st_size < _LARGEST:
                listed = bool(_FOLDERS & set(inside.parts[:-1]))
                found.append((not listed, len(inside.parts), str(inside)))
    yield from (name for *_, name in sorted(found))
