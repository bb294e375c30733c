"""The project as it was before ``apply`` wrote to it.

What is found in one file may depend on others. If those changed while the run goes on, the result
would depend on who was first. So every file is judged by the project as it was at the start: apply
writes what a dry run shows, with any number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gradfix import files
from gradfix.errors import SourceError


@dataclass(frozen=True, slots=True)
class Unwritten:
    """Old contents of written files, in a folder that all processes see; None keeps none."""

    folder: str | None = None

    def keep(self, path: str, raw: bytes) -> None:
        """Keep the content of a file that is about to be written. Raises SourceError."""
        if self.folder is None:
            return
        try:
            with open(self._copy(path), "wb") as stream:
                stream.write(raw)
        except OSError as error:
            reason = f"no temporary copy can be made: {error.strerror or error}"
            raise SourceError(reason) from error

    def text_of(self, path: str) -> str | None:
        """The text of a file that something imports; None where there is none that can be read."""
        raw = self.raw_of(path)
        try:
            return None if raw is None else files.decode(raw).text
        except SourceError:
            return None

    def raw_of(self, path: str) -> bytes | None:
        """The bytes of a file that something imports; None where there is none to be read."""
        raw = _raw_of(path)
        if self.folder is None or raw is None:
            return raw
        # In this order: a file that was read when it was written already has its copy by now.
        copy = self._copy(path)
        return _raw_of(copy) if os.path.exists(copy) else raw

    def _copy(self, path: str) -> str:
        import hashlib

        name = hashlib.sha256(os.fsencode(os.path.realpath(path))).hexdigest()
        return os.path.join(self.folder or "", name)


def _raw_of(path: str) -> bytes | None:
    try:
        return files.read_bytes(path) if os.path.isfile(path) else None
    except SourceError:
        return None


@contextmanager
def unwritten(*, writing: bool) -> Iterator[Unwritten]:
    """Where nothing is written, nothing has to be kept."""
    if not writing:
        yield Unwritten()
        return
    import tempfile  # slow to import

    with tempfile.TemporaryDirectory(prefix="gradfix-apply-") as folder:
        yield Unwritten(folder)
