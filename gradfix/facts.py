"""``--facts FILE``: recorded facts are read for `check` and `apply`, and written by `verify`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradfix import files
from gradfix.errors import ConfigError, SourceError
from gradfix.model import Failure
from gradfix.recorded import Recording, digest_of


def load_facts(path: str) -> Recording:
    """The facts in a file. Raises ConfigError when it cannot be read or is none."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--facts {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"--facts {path}: not a file of recorded facts") from error
    return Recording.from_json(text, f"--facts {path}")


def with_facts(
    found: Sequence[files.Found | Failure], path: str, say: Callable[[str], None]
) -> list[files.Found | Failure]:
    """The files with the facts that are recorded about them; says which facts are stale."""
    recording, folder = load_facts(path), os.path.dirname(os.path.abspath(path))
    facts = {
        os.path.realpath(os.path.join(folder, name)): known
        for name, known in recording.files.items()
    }
    result: list[files.Found | Failure] = []
    for item in found:
        known = None if isinstance(item, Failure) else facts.get(os.path.realpath(item.path))
        if known is None or isinstance(item, Failure):
            result.append(item)
        elif files.text_of(item.path) is None or digest_of(_text(item.path)) != known.digest:
            say(f"{item.filename}: recorded facts ignored: the file has changed since")
            result.append(item)
        else:
            result.append(replace(item, settings=replace(item.settings, recorded=known)))
    return result


def _text(path: str) -> str:
    return files.text_of(path) or ""


def save_facts(path: str, recorded: Iterable[tuple[str, list[dict[str, Any]]]]) -> int:
    """Add recorded calls (by absolute path of their file) to a facts file; how many were added.

    Raises ConfigError when the file is there and holds no facts, SourceError when it cannot be
    written.
    """
    recording = load_facts(path) if os.path.exists(path) else Recording()
    folder, added = os.path.dirname(os.path.abspath(path)), 0
    for name, calls in recorded:
        text = files.text_of(name)
        if text is not None and calls:
            relative = os.path.relpath(name, folder).replace(os.sep, "/")
            recording.add(relative, text, calls)
            added += len(calls)
    try:
        Path(path).write_text(recording.as_json(), encoding="utf-8")
    except OSError as error:
        raise SourceError(f"--facts {path}: cannot be written: {error.strerror}") from error
    return added
