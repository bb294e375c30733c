"""Verifies many targets: reads files, starts children, tries again what a dying child left over."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gradfix.errors import GradfixError, SourceError
from gradfix.files import reported_name
from gradfix.model import Failure
from gradfix.verify.elsewhere import sites_elsewhere
from gradfix.verify.isolate import ChildRun, run_child
from gradfix.verify.options import options_of
from gradfix.verify.plan import ClassPlan, attributes_read, plan
from gradfix.verify.results import NOT_VERIFIED, TargetResult
from gradfix.verify.settings import VerifySettings
from gradfix.verify.targets import Location, Target, cases_file, locate
from gradfix.verify.workspace import workspace

Configure = Callable[[Path], VerifySettings]


@dataclass(slots=True)
class FileReport:
    """What came of one file: results in source order, and what failed that is not the user's code:
    the file could not be read, or gradfix itself has a bug, with its traceback. ``facts`` are calls
    that were recorded, by the path of their file, if the settings ask for them."""

    results: list[TargetResult] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    facts: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)


@dataclass(slots=True)
class Observed(FileReport):
    """What came of one version of a file, kept to be compared with another version.

    ``witnessed`` holds what each class did, recipe by recipe; ``imported`` how the file could be
    imported ("import" if plainly), with the reason where it could not; ``targets`` is what was
    asked for.
    """

    witnessed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    imported: str = ""
    why_not_imported: str = ""
    targets: list[dict[str, Any]] = field(default_factory=list)


def verify(targets: list[Target], configure: Configure) -> Iterator[FileReport]:
    """Verify files, a few at a time, in the order given.

    Raises GradfixError when children cannot be started.
    """
    workers = max(1, min(4, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(verify_file, t, configure(t.path)) for t in targets]
        try:
            for job in jobs:
                yield job.result()
        finally:
            for job in jobs:
                job.cancel()


def verify_file(target: Target, settings: VerifySettings) -> FileReport:
    """Verify one file. A file that cannot be read or parsed is a failure, never an exception."""
    shown = reported_name(str(target.path))
    try:
        tree = _parse(target.path)
    except SourceError as error:
        return FileReport(failures=[Failure(shown, str(error), error.row)])
    wanted = _wanted(plan(tree), target.names)
    if not wanted:
        return FileReport()
    job = _job(target.path, wanted, settings, shown)
    where = locate(target.path, tree)
    _enrich(job, tree, where)
    report = FileReport()
    report.results = _run(job, where, settings, report)
    return report


def observe(
    path: Path,
    settings: VerifySettings,
    changed: Mapping[Path, bytes],
    like: Observed | None = None,
) -> Observed:
    """Verify one version of a file: files in ``changed`` have the given bytes, on a copy only.

    The recipes of ``like``, another version of the same file, are used again where they can be.
    Raises GradfixError where the project is too large to be copied, and SourceError for a file that
    cannot be parsed.
    """
    tree = _parse(path, changed.get(path))
    wanted = [_again(item, like) for item in like.targets] if like else _wanted(plan(tree))
    report = Observed(targets=wanted)
    if wanted:
        job = _job(path, wanted, settings, reported_name(str(path)))
        where = locate(path, tree)
        _enrich(job, tree, where)
        job["witness"] = True
        report.results = _run(job, where, settings, report, changed)
    return report


def _enrich(job: dict[str, Any], tree: ast.Module, where: Location) -> None:
    """Tell the child what else is to be read in the file and in the rest of its project."""
    job["attributes_read"] = attributes_read(tree)
    lacking = [t for t in job["targets"] if not t.get("case")]
    elsewhere = sites_elsewhere(where.root, where.path, [t["name"] for t in lacking])
    for target in lacking:
        found = [asdict(site) for site in elsewhere.get(target["name"], [])]
        target["sites"] = [*target.get("sites", ()), *found]
    job["options"] = options_of(where.root, where.path)
    job["siblings"] = [asdict(each) for each in plan(tree)]


def _again(item: dict[str, Any], like: Observed) -> dict[str, Any]:
    """The same target, to be driven as it was driven before."""
    said = like.witnessed.get(item["name"], [])
    return {**item, "drives": [[each["driven_by"], each["call"]] for each in said]}


def _parse(path: Path, data: bytes | None = None) -> ast.Module:
    try:
        return ast.parse(path.read_bytes() if data is None else data, filename=str(path))
    except OSError as error:
        raise SourceError(f"cannot be read: {error.strerror or error}") from error
    except SyntaxError as error:
        raise SourceError(f"cannot be parsed: {error.msg}", error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise SourceError(f"cannot be parsed: {error}") from error


def _wanted(classes: list[ClassPlan], names: Sequence[str] = ()) -> list[dict[str, Any]]:
    if not names:
        return [{**asdict(c), "asked": False} for c in classes if not c.abstract]
    known = {c.name: c for c in classes}
    return [
        {**(asdict(known[name]) if name in known else {"name": name}), "asked": True}
        for name in names
    ]


def _job(
    path: Path,
    wanted: list[dict[str, Any]],
    settings: VerifySettings,
    shown: str,
) -> dict[str, Any]:
    for item in wanted:
        case = settings.case_for(path, item["name"])
        item["case"] = None if case is None else asdict(case)
    return {
        "targets": wanted,
        "shown": shown,
        "base": os.getcwd(),
        "seed": settings.seed,
        "memory_mb": settings.memory_mb,
        "cpu_seconds": int(settings.timeout * (len(wanted) + 1)) + 10,
        "definitions": False,
        "timeout": settings.timeout,
        "record": settings.record,
    }


@dataclass(slots=True)
class _Reply:
    """A child's messages, sorted."""

    started: bool = False
    imported: bool = False
    done: bool = False
    current: str | None = None
    results: dict[str, TargetResult] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    witnessed: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    how: str = "not"
    why: str = ""
    bugs: dict[str, str] = field(default_factory=dict)
    facts: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)


def _read(run: ChildRun) -> _Reply:
    reply = _Reply()
    for message in run.messages:
        stage, name = message.get("stage"), message.get("name", "")
        if stage == "started":
            reply.started = True
        elif stage == "imported":
            reply.imported = True
            reply.how, reply.why = message["how"], message["why"]
        elif stage == "target":
            reply.current = name
        elif stage == "witness":
            reply.witnessed[name] = message["data"]
        elif stage == "facts":
            reply.facts += message["data"].items()
        elif stage == "result":
            reply.results[name] = TargetResult.from_json(message["data"])
            reply.current = None
        elif stage == "skipped":
            reply.skipped.add(name)
            reply.current = None
        elif stage == "bug":
            reply.bugs[name] = message["traceback"]
            reply.current = None
        elif stage == "done":
            reply.done = True
    return reply


def _run(
    job: dict[str, Any],
    where: Location,
    settings: VerifySettings,
    report: FileReport,
    changed: Mapping[Path, bytes] | None = None,
) -> list[TargetResult]:
    """Run children until every target is settled; each child settles at least one."""
    results: dict[str, TargetResult] = {}
    skipped: set[str] = set()
    shown = job["shown"]
    todo: list[str] = [item["name"] for item in job["targets"]]
    at_import = ""

    def settle(name: str, reason: str) -> None:
        results[name] = TargetResult(f"{shown}:{name}", NOT_VERIFIED, reason)

    while todo:
        wanted = [item for item in job["targets"] if item["name"] in todo]
        asked = {**job, "targets": wanted, "definitions": bool(at_import)}
        run = _child(asked, where, settings, changed or {})
        reply = _read(run)
        results.update(reply.results)
        report.facts += reply.facts
        if isinstance(report, Observed):
            report.witnessed.update(reply.witnessed)
            report.imported, report.why_not_imported = reply.how, at_import or reply.why
        skipped |= reply.skipped | set(reply.bugs)
        for name, traceback in reply.bugs.items():
            last = traceback.strip().rpartition("\n")[2]
            report.failures.append(Failure(shown, f"internal error while verifying {name}: {last}"))
            report.tracebacks.append(traceback)
        ending = run.ending or "ended without a word"
        if not reply.started:
            last = run.output.strip().rpartition("\n")[2]
            raise GradfixError(f"the child process did not start: {ending}: {last}")
        if reply.done:
            break
        if not reply.imported and not at_import:
            # A script may do its work at import; its classes can still be verified without it.
            at_import = f"{ending} while importing"
            continue
        if not reply.imported:
            for name in todo:
                settle(name, at_import)
        else:
            name = reply.current or next(n for n in todo if n not in results and n not in skipped)
            settle(name, f"{ending} while verifying {name}")
        todo = [n for n in todo if n not in results and n not in skipped]
    for item in job["targets"]:
        if item["name"] not in results and item["name"] not in skipped:
            settle(item["name"], "the child said nothing about it")
    return [results[item["name"]] for item in job["targets"] if item["name"] in results]


def _child(
    job: dict[str, Any],
    where: Location,
    settings: VerifySettings,
    changed: Mapping[Path, bytes],
) -> ChildRun:
    with workspace(where.root) as space:
        space.change(changed)
        cases = cases_file(where.path, where.root, settings.cases_file)
        lent = {
            "path": str(space.inside(where.path)),
            "entry": str(space.inside(where.entry)),
            "project": str(space.project),
            "root": str(where.root),
            "module": where.module,
            "cases_file": None if cases is None else str(space.inside(cases)),
        }
        run = run_child({**job, **lent}, space, settings.timeout)
        for message in run.messages:
            if message.get("stage") == "facts":  # the copy is gone when they are read
                data = message["data"]
                message["data"] = {str(space.outside(Path(p))): data[p] for p in data}
        return run
