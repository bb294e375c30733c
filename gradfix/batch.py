"""Many sources, each processed on its own, so that trouble in one leaves the rest alone."""

from __future__ import annotations

import gc
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from gradfix import engine, files
from gradfix.config import Settings
from gradfix.errors import PutOff, SourceError, internal
from gradfix.flow.places import Listing
from gradfix.flow.project import Project, View
from gradfix.model import Failure, Outcome, Source
from gradfix.repository import from_root
from gradfix.threads import LastingThread, large_stacks

if TYPE_CHECKING:
    from gradfix.notebook import Notebook

T = TypeVar("T")

_DEPTH = 50_000  # how deep the analysis of a file may recurse
_GARBAGE = 3_000_000  # objects that may wait to be collected
_IN_USE = 0.5  # how many objects of syntax trees and facts come to a character of source text


@dataclass(frozen=True, slots=True)
class Processed:
    """What became of one file: the outcome, its bytes before and after, and a crash's traceback.

    What is ``put_off`` has no outcome yet: it is still to be processed, and not hastily.
    """

    path: str
    outcome: Outcome
    before: bytes = b""
    after: bytes = b""
    crash: str | None = None
    put_off: bool = False


@dataclass(frozen=True, slots=True)
class Opened:
    """A file that has to be analysed: what it holds, and the project as it sees it."""

    item: files.Found
    decoded: files.Decoded | Notebook
    view: View

    @property
    def source(self) -> Source:
        """The unit of work that it is."""
        place = self.item.place or from_root(self.item.filename)
        return Source(self.item.filename, self.decoded.text, place)


class Kept(Protocol):
    """What was found before, as `gradfix.cache.Cache` keeps it."""

    def get(
        self, source: Source, path: str, raw: bytes, settings: Settings, project: Project
    ) -> Outcome | None:
        """What ``check`` finds in the file at an absolute path, if that is known."""

    def put(
        self, outcome: Outcome, path: str, raw: bytes, settings: Settings, project: Project
    ) -> None:
        """Keep what ``check`` has found in the file at an absolute path."""


#: Looks at a file that is to be changed. What it returns counts; it may have the file fixed again
#: under other settings, or checked only (``rewriting=False``).
Again = Callable[[Settings, bool], Processed]
Review = Callable[[files.Found, Processed, Again], Processed]


def run(
    items: Iterable[files.Found | Failure],
    *,
    rewriting: bool,
    roots: Iterable[str] = (),
    cache: Kept | None = None,
    review: Review | None = None,
    read: Callable[[str], str | None] = files.text_of,
    load: Callable[[str], bytes] | None = None,
    listing: Listing = files.listed,
) -> Iterator[Processed]:
    """Process every file, in order; never raises for what is wrong with one of them.

    Files are read with ``load``, if not from the disk. What one imports is looked up around it and
    under ``roots``, and read with ``read``; ``listing`` tells who else is there. All that is taken
    to stay as it is: see `gradfix.unwritten`.
    What ``cache`` knows is not found out again. ``review`` is asked about every file that is to be
    changed.
    """
    project = Project(read, map(os.path.abspath, roots), listing)
    with _uncollected():
        for item in items:
            if isinstance(item, Failure):
                yield failed(item, item)
                continue
            opened = opening(item, project, cache, rewriting=rewriting, load=load)
            if isinstance(opened, Processed):
                yield opened
                continue
            done = _analysed(opened, item.settings, cache, rewriting=rewriting)
            if review is not None and done.before != done.after:

                def again(settings: Settings, rewrite: bool, item: files.Found = item) -> Processed:
                    afresh = opening(item, project, None, rewriting=rewrite, load=load)
                    if isinstance(afresh, Processed):
                        return afresh
                    return _analysed(afresh, settings, None, rewriting=rewrite)

                done = review(item, done, again)
            yield done
            if gc.get_count()[0] > _GARBAGE + _IN_USE * project.held:
                gc.collect()
        project.close()


def failed(item: files.Found | Failure, failure: Failure) -> Processed:
    """What is said of an item that came to nothing."""
    path = item.path if isinstance(item, files.Found) else item.filename
    return Processed(path, Outcome(Source(item.filename, ""), "", failures=(failure,)))


def opening(
    item: files.Found,
    project: Project,
    cache: Kept | None,
    *,
    rewriting: bool,
    load: Callable[[str], bytes] | None = None,
) -> Opened | Processed:
    """A file that is to be analysed; or what becomes of it, where that can be told without."""
    try:
        raw = (load or files.read_bytes)(item.path)
        if not item.named and not engine.concerns(raw):
            source = Source(item.filename, "")
            return Processed(item.path, Outcome(source, ""), raw, raw)
        decoded = _opened(raw, item.filename)
    except SourceError as error:
        return _unreadable(item.path, item.filename, error)
    project.hasty = item.hasty
    opened = Opened(item, decoded, project.at(os.path.abspath(item.path)))
    if cache is not None and isinstance(decoded, files.Decoded):
        known = cache.get(opened.source, opened.view.path, raw, item.settings, project)
        if known is not None and not (rewriting and _to_fix(known, item.settings)):
            return Processed(item.path, known, raw, raw)
    return opened


def _analysed(
    opened: Opened, settings: Settings, cache: Kept | None, *, rewriting: bool
) -> Processed:
    item, decoded, view = opened.item, opened.decoded, opened.view
    done = process(
        item.path, item.filename, decoded, settings,
        rewriting=rewriting, view=view, place=item.place,
    )  # fmt: skip
    # What is said of a notebook's cells is not kept.
    if cache is None or done.put_off or not isinstance(decoded, files.Decoded):
        return done
    if _as_checked(done.outcome, rewriting):
        cache.put(done.outcome, view.path, decoded.raw, settings, view.project)
    return done


def _to_fix(outcome: Outcome, settings: Settings) -> bool:
    return any(engine.applicable(finding, settings) for finding in outcome.findings)


def _as_checked(outcome: Outcome, rewriting: bool) -> bool:
    """Whether this is what ``check`` would say; a failure is looked at again each time."""
    rewritten = rewriting and (outcome.findings or outcome.fixed)
    return not outcome.failures and not rewritten


def process_bytes(
    raw: bytes, filename: str, settings: Settings, *, rewriting: bool, path: str | None = None
) -> Processed:
    """Process source bytes that are in no file; ``path`` is where they are taken to lie."""
    view = None
    if path is not None:
        view = Project(files.text_of, [os.getcwd()], files.listed).at(os.path.abspath(path))
    try:
        decoded = _opened(raw, filename)
    except SourceError as error:
        return replace(_unreadable(filename, filename, error), before=raw, after=raw)
    return process(filename, filename, decoded, settings, rewriting=rewriting, view=view)


def process(
    path: str,
    filename: str,
    decoded: files.Decoded | Notebook,
    settings: Settings,
    *,
    rewriting: bool,
    view: View | None = None,
    place: str = "",
) -> Processed:
    """Check or fix one decoded file; a crash of ours becomes a Failure that names the file."""
    source = Source(filename, decoded.text, place or from_root(filename))
    try:
        return _processed(path, source, decoded, settings, view, rewriting)
    except PutOff:
        return Processed(path, Outcome(source, ""), decoded.raw, decoded.raw, put_off=True)
    except Exception as error:  # a bug of ours: recorded here, exit code 2, the other files go on
        failure = Failure(filename, internal(error))
        outcome = Outcome(source, source.text, failures=(failure,))
        return Processed(path, outcome, decoded.raw, decoded.raw, traceback.format_exc())


def _processed(
    path: str,
    source: Source,
    decoded: files.Decoded | Notebook,
    settings: Settings,
    view: View | None,
    rewriting: bool,
) -> Processed:
    try:
        outcome = _with_room(lambda: _outcome(source, decoded, settings, view, rewriting))
        after = decoded.encode(outcome.text) if outcome.changed else decoded.raw
    except SourceError as error:
        outcome = _without_fixes(source, decoded, settings, str(error), view)
        return Processed(path, outcome, decoded.raw, decoded.raw)
    return Processed(path, outcome, decoded.raw, after)


def _opened(raw: bytes, filename: str) -> files.Decoded | Notebook:
    """What a file holds. Raises SourceError if it cannot be decoded or is no notebook."""
    if not files.is_notebook(filename):
        return files.decode(raw)
    from gradfix.notebook import Notebook

    return Notebook.read(raw)


def _outcome(
    source: Source,
    decoded: files.Decoded | Notebook,
    settings: Settings,
    view: View | None,
    rewriting: bool,
) -> Outcome:
    if not isinstance(decoded, files.Decoded):
        work = decoded.fix if rewriting else decoded.check
        return work(source.filename, settings, view, source.place)
    return (engine.fix if rewriting else engine.check)(source, settings, None, view)


def _without_fixes(
    source: Source,
    decoded: files.Decoded | Notebook,
    settings: Settings,
    trouble: str,
    view: View | None = None,
) -> Outcome:
    if not isinstance(decoded, files.Decoded):
        return decoded.without_fixes(source.filename, settings, trouble, view, source.place)
    return engine.without_fixes(source, settings, trouble, view=view)


def write_back(
    done: Processed, settings: Settings, write: Callable[..., None] = files.write
) -> Processed:
    """Write a changed file; where that fails, the outcome says so and nothing counts as fixed."""
    try:
        write(done.path, done.after, expected=done.before)
    except SourceError as error:
        source = done.outcome.source
        decoded = _opened(done.before, source.filename)
        outcome = _without_fixes(source, decoded, settings, str(error))
        return replace(done, outcome=outcome, after=done.before)
    return done


def _unreadable(path: str, filename: str, error: SourceError) -> Processed:
    failure = Failure(filename, str(error), error.row)
    return Processed(path, Outcome(Source(filename, ""), "", failures=(failure,)))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Do without the garbage collector: the graphs of values are taken apart when done with.

    The collector would look through trees and values that are in use, and find nothing.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


#: The thread with a large stack that belongs to each thread that processes files.
_rooms = threading.local()


def _with_room(work: Callable[[], T]) -> T:
    """Run ``work`` on a thread with a large stack: sums of a thousand terms are deep trees."""
    try:
        room: LastingThread = _rooms.room
    except AttributeError:
        room = _rooms.room = LastingThread("gradfix-source")
    with large_stacks(_DEPTH):
        return room.do(work)
