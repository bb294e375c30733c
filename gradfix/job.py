"""What is to be done with every file of a run, in this process or in others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from gradfix import batch, files
from gradfix.batch import Processed
from gradfix.cache import Cache
from gradfix.model import Failure, Source
from gradfix.unwritten import Unwritten

Item = files.Found | Failure


@dataclass(frozen=True, slots=True)
class Job:
    """What to do with every file; ``timeout`` in seconds, None where none was asked for.

    ``cache`` is the folder that results are kept in, None where they are not.
    """

    rewriting: bool
    roots: tuple[str, ...] = ()
    unwritten: Unwritten = field(default_factory=Unwritten)
    timeout: float | None = None
    cache: str | None = None

    def run(
        self,
        items: Iterator[Item],
        review: batch.Review | None = None,
        cache: Cache | None = None,
    ) -> Iterator[Processed]:
        """Process files in this process."""
        return batch.run(
            items,
            rewriting=self.rewriting,
            roots=self.roots,
            cache=cache,
            review=review,
            read=self.unwritten.text_of,
        )

    def answers(self, given: Iterator[Item]) -> Iterator[Processed]:
        """Process files in a worker process: one answer for each, as it is sent to the parent."""
        cache = None if self.cache is None else Cache(Path(self.cache), _quiet)
        try:
            for done in self.run(given, cache=cache):
                yield light(done)
        finally:
            if cache is not None:
                cache.close()


def _quiet(message: str) -> None:
    """The parent has the same folder, and says what is wrong with it."""


def light(done: Processed) -> Processed:
    """A result without the texts that nobody asks for."""
    outcome = done.outcome
    if done.before != done.after or outcome.findings or outcome.fixed or outcome.failures:
        return done
    return replace(
        done, outcome=replace(outcome, source=Source(outcome.source.filename, ""), text="")
    )
