"""What is this value? Flow-sensitive abstract interpretation of code that uses PyTorch.

`analyse` is the entrance; all a codemod may ask is a method of `ModuleFlow` or an event type.

The analysis is imported when it is first needed: a run that finds all it asks for in its cache does
without.
"""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING

from gradfix.errors import PutOff, SourceError
from gradfix.flow.apart import take_apart
from gradfix.flow.project import Project, View

if TYPE_CHECKING:
    from gradfix.flow.doubts import Doubts
    from gradfix.flow.given import told
    from gradfix.flow.module import ModuleFlow
    from gradfix.flow.session import Session
    from gradfix.flow.top_level import Opened
    from gradfix.recorded import FileFacts

__all__ = ["ModuleFlow", "Project", "View", "analyse", "must_parse", "parse", "told"]


if not TYPE_CHECKING:  # type checkers would believe every attribute to be there

    def __getattr__(name: str) -> object:
        if name == "ModuleFlow":
            from gradfix.flow.module import ModuleFlow

            return ModuleFlow
        if name == "told":
            from gradfix.flow.given import told

            return told
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def parse(text: str) -> ast.Module:
    """The syntax tree of ``text``, as it is read: what does several things is taken apart.

    Raises SourceError as `must_parse` does.
    """
    tree = must_parse(text)
    try:
        take_apart(tree, text)
    except RecursionError:
        raise SourceError("the code is nested too deeply to be analysed") from None
    return tree


def must_parse(text: str) -> ast.Module:
    """The syntax tree of ``text``, as it stands there.

    Raises:
        SourceError: when the text is not valid Python, with the row.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        raise SourceError(f"invalid syntax: {error.msg}", error.lineno) from None
    except ValueError as error:
        raise SourceError(f"cannot be parsed: {error}") from None
    except (RecursionError, MemoryError):
        raise SourceError("the code is nested too deeply to be parsed") from None


def analyse(
    text: str,
    view: View | None = None,
    recorded: FileFacts | None = None,
    *,
    doubting: bool = False,
) -> ModuleFlow:
    """All facts about one source text; what it imports is looked up in the project, if any.

    ``recorded`` are facts of calls that were made, to be assumed for all calls. ``doubting``: what
    another place of the project may change is unknown (see `gradfix.flow.doubts`).

    Raises:
        SourceError: when the text is not valid Python, or nested too deeply to be analysed.
        PutOff: when all files of the project would have to be read, and another process does so.
    """
    from gradfix.flow.module import ModuleFlow

    tree = parse(text) if view is None else view.project.tree_of(view.path, text)
    try:
        if view is None:
            doubts = _doubts_within(text) if doubting else None
            return ModuleFlow(text, tree, recorded=recorded, doubts=doubts)
        session = _session(view, doubting=doubting)
        return ModuleFlow(text, tree, session, view.path, recorded=recorded)
    except RecursionError:
        raise SourceError("the code is nested too deeply to be analysed") from None


def _doubts_within(text: str) -> Doubts:
    from gradfix.flow.doubts import Doubts

    return Doubts(None, {"": text})


def _session(view: View, *, doubting: bool) -> Session:
    from gradfix.flow.session import Session

    project = view.project
    project.make_room()
    if not isinstance(project.facts, Session):
        project.facts = Session(project, _source)
    if not doubting:
        return project.facts
    from gradfix.flow.doubts import doubts_around

    if project.hasty and not project.facts.known_doubts:
        raise PutOff(view.path)
    known = project.facts.doubting
    doubts = doubts_around(project, view.path, project.facts.known_doubts)
    if doubts not in known:
        known[doubts] = Session(project, _source, doubts)
    return known[doubts]


def _source(opened: Opened, session: Session) -> ModuleFlow:
    from gradfix.flow.module import ModuleFlow

    return ModuleFlow(opened.text, opened.tree, session, opened.path, source=True)
