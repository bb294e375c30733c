"""What a campaign is: its repositories, and what is to be done with each."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from gradfix import __version__

BRANCH, PATCH = "branch", "patch"
#: Seconds that everything about one repository may take.
TIMEOUT = 900.0
MESSAGE = "Mend gradient faults found by gradfix"

_NO_MATTER = ("name", "timeout")  # what does not change the result of a repository


@dataclass(frozen=True, slots=True)
class Repository:
    """One repository and what is to be done with it. ``timeout`` is in seconds.

    ``source`` is an absolute path (``local``) or a URL; ``ref`` the commit to start from.
    ``test`` is a command with its arguments, None without tests. ``author`` is ``Name <mail>``,
    empty for whoever git says the user is.
    """

    name: str
    source: str
    local: bool = True
    ref: str = "HEAD"
    paths: tuple[str, ...] = ()
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    unsafe_fixes: bool = False
    verify: bool = False
    isolated: bool = False
    test: tuple[str, ...] | None = None
    deliver_untested: bool = False
    output: str = BRANCH
    branch: str = "gradfix/migrate"
    message: str = ""
    author: str = ""
    push: bool = False
    timeout: float = TIMEOUT

    @property
    def settings(self) -> str:
        """Changes whenever a finished repository has to be done again for what was asked."""
        asked = {k: v for k, v in asdict(self).items() if k not in _NO_MATTER}
        text = json.dumps([__version__, asked], sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Campaign:
    """Repositories in the order they are listed, and the folder that holds the campaign's state."""

    file: Path
    folder: Path
    repositories: tuple[Repository, ...]
    jobs: int | None = None

    @property
    def title(self) -> str:
        """The campaign as reports call it."""
        return self.file.stem
