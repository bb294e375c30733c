"""One class under verification: find ways to drive it, judge each run, merge what was seen."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

from torch import nn

from gradfix.verify.blame import Places
from gradfix.verify.build import Offer, case_for, file_of
from gradfix.verify.cases import python_cases, site_drives, site_makers, text_case, unpack
from gradfix.verify.drive import IN_OBJECTS, Drive, DriveError, describe
from gradfix.verify.examine import BuildError, Run, examine, uninitialized
from gradfix.verify.forward import constructor_failure, forward_failure
from gradfix.verify.functions import function_drives
from gradfix.verify.guess import required
from gradfix.verify.harvest import harvested
from gradfix.verify.infer import inferred, runnable
from gradfix.verify.judge import Context, Judge
from gradfix.verify.load import Loaded
from gradfix.verify.machine import left_out, make_do, names_gpu
from gradfix.verify.merge import merged, settled
from gradfix.verify.numeric import Comparison, NumericError, compare
from gradfix.verify.refused import is_autograd_error
from gradfix.verify.renamed import old_names
from gradfix.verify.results import FAILING, NOT_VERIFIED, ParameterResult, TargetResult, status_of
from gradfix.verify.skipped import fill_in, take_back
from gradfix.verify.source import globals_of, names_read_in
from gradfix.verify.trained import trained_elsewhere

_MAX_DRIVES = 5
Judged = tuple[Drive, tuple[ParameterResult, ...]]


def unverified(
    job: dict[str, Any], target: dict[str, Any], reason: str, case: str | None = None
) -> TargetResult:
    """The result for a target that nothing can be said about."""
    name = f"{job['shown']}:{target['name']}"
    return TargetResult(name, NOT_VERIFIED, reason, case=case)


class Subject:
    """One target in the child."""

    def __init__(
        self,
        job: dict[str, Any],
        target: dict[str, Any],
        loaded: Loaded,
        cases: ModuleType | None,
        value: Any,
    ) -> None:
        self.job, self.target, self.loaded = job, target, loaded
        self.cases, self.value = cases, value
        self.seed = int(job["seed"])
        # The parent's clock ends the child; what can be said before that is worth saying.
        self.started, self.limit = time.monotonic(), float(job["timeout"])
        self.places = Places(job["project"], job["root"], job["base"])
        #: The recipes that the result rests on.
        self.driven: list[Drive] = []
        take_back(loaded.module)
        made_up = not self._written()  # who wrote a case wants its values, and its errors
        make_do(made_up, names_gpu=names_gpu(job["path"]))
        self.names = fill_in(loaded.module, job.get("options", {})) if made_up else {}

    def result(self) -> TargetResult:
        """The verdict on the class; whatever stands in the way becomes the reason."""
        try:
            judged = self._judged()
        except DriveError as error:
            return unverified(self.job, self.target, str(error), error.case)
        self.driven = [drive for drive, _ in judged]
        parameters = merged([found for _, found in judged])
        if left_out():
            parameters = tuple(map(_perhaps_fixed, parameters))
        return TargetResult(
            f"{self.job['shown']}:{self.target['name']}",
            status_of(parameters),
            _reason(parameters),
            judged[0][0].driven_by,
            "; ".join(drive.text for drive, _ in judged) + self._remarks(),
            parameters=parameters,
        )

    def _remarks(self) -> str:
        """As a comment behind the call: what was made up around it."""
        read = globals_of(self.value)
        made = [f"{name} = {value!r}" for name, value in self.names.items() if name in read]
        made += [f"without the weights of {name}" for name in left_out()]
        made += [f"{name} as it was" for name in old_names()]
        return f"  # {', '.join(made)}" if made else ""

    def _judged(self) -> list[Judged]:
        """Every written case; else recipes until all Parameters have been put to the test."""
        same = self._the_same(self.target.get("drives") or [])
        if same:
            return same
        written = self._written()
        if written:
            return [(drive, self._judge(drive)) for drive in written]
        judged: list[Judged] = []
        problem: DriveError | None = None
        drives = self._made_up()
        while len(judged) < _MAX_DRIVES:
            before = time.monotonic()
            try:
                drive = next(drives, None)
                if drive is None:
                    break
                judged.append((drive, self._judge(drive)))
            except DriveError as error:
                problem = problem or error
                continue
            now = time.monotonic()
            late = now > self.started + 0.4 * self.limit
            late |= 2 * now - before > self.started + 0.7 * self.limit  # another would take as long
            if late or settled(merged([found for _, found in judged])):
                break
        if not judged:
            raise problem or DriveError("no way to run it was found")
        return judged

    def _the_same(self, wanted: list[list[str]]) -> list[Judged]:
        """The recipes that were used on another version of the file, as far as they are found."""
        judged: list[Judged] = []
        left = [tuple(each) for each in wanted]
        if not left:
            return judged
        drives = itertools.chain(self._written(), self._made_up())
        with contextlib.suppress(DriveError):  # raised where the search ends
            for drive in drives:
                if (drive.driven_by, drive.text) in left:
                    left.remove((drive.driven_by, drive.text))
                    with contextlib.suppress(DriveError):  # what is missing is seen by its absence
                        judged.append((drive, self._judge(drive)))
                if not left:
                    break
        return judged

    def _written(self) -> list[Drive]:
        name = self.target["name"]
        drives = list(python_cases(self.cases, name))
        if self.target.get("case"):
            drives.append(text_case(self.target["case"], name, vars(self.loaded.module)))
        return drives

    def _made_up(self) -> Iterator[Drive]:
        """Call sites of the project, then inference."""
        name, namespace = self.target["name"], vars(self.loaded.module)
        if not inspect.isclass(self.value):
            if inspect.isfunction(self.value) and required(self.value):
                late = self.started + 0.4 * self.limit
                yield from function_drives(self.value, name, self.seed, late)
                return
            yield Drive(lambda: unpack(self.value(), name), "inferred", f"{name}()")
            return
        if not issubclass(self.value, nn.Module):
            raise DriveError("it is not an nn.Module")
        deadline = self.started + 0.4 * self.limit
        yield from runnable(site_drives(self.target.get("sites", []), namespace), self.seed)
        middle = self.started + 0.25 * self.limit
        try:
            yield from inferred(self.value, self._offer(self.target), self.seed, middle)
            return
        except DriveError as error:
            problem = error
        known = {each["name"]: self._offer(each) for each in self.job.get("siblings", ())}
        space = vars(sys.modules.get(self.value.__module__, self.loaded.module))
        count = 0
        for drive in harvested(self.value, space, known, self.seed, deadline):
            count += 1
            yield drive
        if not count:
            raise problem

    def _offer(self, target: dict[str, Any]) -> Offer:
        """What is known of a class of the file."""
        return Offer(
            tuple(target.get("properties", ())),
            tuple(target.get("methods", ())),
            tuple(site_makers(target.get("sites", []), vars(self.loaded.module))),
            self.job.get("options", {}),
        )

    def _judge(self, drive: Drive) -> tuple[ParameterResult, ...]:
        try:
            run = examine(drive, self.seed, (self.job["project"],))
        except BuildError as error:
            if is_autograd_error(error.cause):
                return constructor_failure(error.cause, self.places, self.job["project"])
            raise DriveError(f"{drive.text} raises {describe(error.cause)}") from error
        chosen = drive.driven_by == "case"
        if run.forward_error is not None:
            failed = forward_failure(run, run.forward_error, self.places)
            if failed is not None:
                return failed
            case = None if chosen else case_for(self.value, f"{self.target['name']}(...)", None)
            raise DriveError(f"{drive.text} raises {describe(run.forward_error)}", case)
        if not run.roots:
            raise DriveError(f"{drive.text} returns no tensor")
        read = frozenset(self.job["attributes_read"]) | read_by_parts(run.module)
        own = _own_backward(run.module)
        context = Context(self.places, chosen, read, own, trained_elsewhere)
        judge = Judge(run, context)
        judge.numbers, judge.no_numbers = self._numbers(drive, run)
        found = judge.verdicts()
        found = tuple(_of_argument(p, run) for p in found)
        if any(p.verdict == "nonfinite" for p in found) and uninitialized(drive, self.seed):
            found = tuple(map(_by_chance, found))
        return found

    def _numbers(self, drive: Drive, run: Run) -> tuple[Comparison | None, str | None]:
        has_gradient = any(p.grad is not None for p in run.parameters.values())
        if run.backward_error is not None or not has_gradient:
            return None, "there was nothing to compare"
        try:
            found = compare(
                drive.prepare,
                self.seed,
                move_inputs=drive.driven_by != "case",
                deadline=self.started + 0.7 * self.limit,
            )
            return found, None
        except NumericError as error:
            return None, str(error)


def _of_argument(found: ParameterResult, run: Run) -> ParameterResult:
    """No fault of what an object of the project holds that was made up as an argument."""
    if found.verdict not in FAILING or id(run.parameters.get(found.name)) not in IN_OBJECTS:
        return found
    message = f"{found.message}; it belongs to an argument that was made up: intended? give a case"
    return replace(found, verdict="inconclusive", message=message, exercised=False)


def _by_chance(found: ParameterResult) -> ParameterResult:
    """Nothing is known of numbers that come from memory that was never written to."""
    if found.verdict != "nonfinite":
        return found
    message = f"{found.message}, and the module holds values that nothing initialized; give a case"
    return replace(found, verdict="inconclusive", message=message, exercised=False)


def _perhaps_fixed(found: ParameterResult) -> ParameterResult:
    """No fault where weights were to be loaded: what is trained already may be used in part."""
    if found.verdict not in FAILING:
        return found
    message = f"{found.message}; the weights that it loads were not there: intended?"
    return replace(found, verdict="inconclusive", message=message)


def read_by_parts(module: nn.Module) -> set[str]:
    """Attributes read in the files of all classes that the parts of a module are made of."""
    classes = {base for part in module.modules() for base in type(part).__mro__}
    own = [c for c in classes if c.__module__.partition(".")[0] not in ("torch", "builtins")]
    return {name for file in {file_of(c) for c in own} for name in names_read_in(file)}


def _own_backward(module: nn.Module) -> str | None:
    """A method by which a part of the module computes gradients by hand, as reversible nets do."""
    for part in module.modules():
        cls = type(part)
        if not cls.__module__.startswith("torch."):
            for name, value in vars(cls).items():
                if "backward" in name and callable(value):
                    return f"{cls.__name__}.{name}"
    return None


def _reason(parameters: tuple[ParameterResult, ...]) -> str | None:
    """Why the status is what it is, where no Parameter's own message says it all."""
    if not any(p.trainable for p in parameters):
        return "it has no trainable Parameter"
    unclear = [p for p in parameters if p.verdict == "inconclusive" and p.trainable]
    if status_of(parameters) == NOT_VERIFIED and unclear:
        return f"{unclear[0].name}: {unclear[0].message}"
    return None
