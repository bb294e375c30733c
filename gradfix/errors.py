"""The errors gradfix raises on purpose. Anything else that escapes is a bug in gradfix."""

from __future__ import annotations


class GradfixError(Exception):
    """Base of all errors a user can cause and mend; its text is one line."""


class ConfigError(GradfixError):
    """The configuration or a command-line value is wrong."""


class SourceError(GradfixError):
    """A source file could not be read, decoded, parsed or written."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


class RewriteError(GradfixError):
    """An edit could not be applied faithfully, so nothing of it was applied."""


class PutOff(Exception):
    """A file needs a look at the whole project, which this process leaves to another one."""


def internal(error: BaseException) -> str:
    """How a bug of gradfix's own is told, in one line."""
    summary = str(error).partition("\n")[0]
    return f"internal error: {type(error).__name__}: {summary}"
