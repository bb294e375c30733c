"""What repositories and branches may be called, and what a repository is called unasked."""

from __future__ import annotations

import re
from collections.abc import Sequence

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://.")
_SCP = re.compile(r"(?:[\w.-]+@)?[\w.-]{2,}:(?!/?/)\S")  # user@host:path, as git has it
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_LONGEST = 100
_NO_BRANCH = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/]|[/.]$|\.lock(/|$)|(^|/)\.|^@$|^HEAD$"
)


def is_url(source: str) -> bool:
    """Whether git would take this for the address of a repository elsewhere, not for a folder."""
    return bool(_URL.match(source) or _SCP.match(source))


def wrong_name(name: str) -> str:
    """What is wrong with a repository's name, which also names folders and files; empty if fine."""
    if _NAME.fullmatch(name) and len(name) <= _LONGEST:
        return ""
    return f"{name!r} is no name of letters, digits and any of _.+- (give the repository a 'name')"


def wrong_branch(name: str) -> str:
    """What is wrong with the name of a new branch; empty if nothing is.

    The rules are those of git (https://git-scm.com/docs/git-check-ref-format).
    """
    return f"{name!r} is no name for a branch" if not name or _NO_BRANCH.search(name) else ""


def named(sources: Sequence[str]) -> list[str]:
    """A name for each source: its last part, or as many of its last parts as tell it apart."""
    parts = [_parts(source) for source in sources]
    lengths = [1] * len(sources)
    for _ in range(max(map(len, parts), default=0)):
        names = ["-".join(p[-n:]) for p, n in zip(parts, lengths, strict=True)]
        twice = {name for name in names if names.count(name) > 1}
        if not twice:
            break
        lengths = [n + (name in twice) for n, name in zip(lengths, names, strict=True)]
    return ["-".join(p[-n:]) for p, n in zip(parts, lengths, strict=True)]


def _parts(source: str) -> list[str]:
    """What a source is called, from the outermost folder in; what names may not hold is ``-``."""
    path = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://", "", source).replace(":", "/")
    found = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if len(found) > 1 and found[-1] == ".git":
        found.pop()
    if found:
        found[-1] = found[-1].removesuffix(".git") or found[-1]
    clean = [re.sub(r"[^A-Za-z0-9_.+-]", "-", part).lstrip(".+-") for part in found]
    return [part for part in clean if part] or ["repository"]
