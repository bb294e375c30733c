"""The child: loads the user's file, drives its modules and says what it found. Imports torch.

Everything it says goes over the private pipe, one JSON object per line behind the token. Standard
output belongs to the user's code and is only overheard.
"""

from __future__ import annotations

import fcntl
import inspect
import json
import os
import random
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from gradfix.verify.blame import Places
from gradfix.verify.cases import cases_module, python_cases, site_drives, text_case
from gradfix.verify.drive import Drive, DriveError, describe
from gradfix.verify.examine import Run, examine
from gradfix.verify.forward import forward_failure
from gradfix.verify.infer import attempts, case_for, inferred
from gradfix.verify.judge import Context, Judge
from gradfix.verify.load import Loaded, LoadError, StubUsed, load
from gradfix.verify.merge import merged
from gradfix.verify.numeric import Comparison, NumericError, compare
from gradfix.verify.results import NOT_VERIFIED, PASSED, ParameterResult, TargetResult, status_of


class Channel:
    """The way back to the parent; only the process that opened it may speak."""

    def __init__(self, fd: int, token: str) -> None:
        # A high number survives code that closes "all" descriptors in the usual low range.
        self._fd = fcntl.fcntl(
            fd, fcntl.F_DUPFD_CLOEXEC, 500 + random.SystemRandom().randrange(400)
        )
        os.close(fd)
        self._token = token
        self._owner = os.getpid()

    def say(self, stage: str, **fields: Any) -> None:
        """Send one message. A process forked by the user's code ends here instead of repeating."""
        if os.getpid() != self._owner:
            os._exit(0)
        data = f"{self._token} {json.dumps({'stage': stage, **fields})}\n".encode()
        while data:
            data = data[os.write(self._fd, data) :]


def main(job: dict[str, Any]) -> None:
    """Do one job and leave; the exit code means nothing, the messages do."""
    channel = Channel(job.pop("result_fd"), job.pop("token"))
    channel.say("started")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path, entry = Path(job["path"]), Path(job["entry"])
    os.chdir(job["project"])
    sys.argv = [str(path)]
    for folder in (job["project"], str(path.parent), str(entry)):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    try:
        loaded = load(path, job["module"], entry, definitions=job["definitions"])
    except LoadError as error:
        channel.say("imported")
        for target in job["targets"]:
            _answer(channel, job, target, _unverified(job, target, f"cannot be imported: {error}"))
    else:
        channel.say("imported", how=loaded.how)
        _verify_all(channel, job, loaded)
    channel.say("done")
    os._exit(0)


def _verify_all(channel: Channel, job: dict[str, Any], loaded: Loaded) -> None:
    cases: ModuleType | None = None
    problem: str | None = None
    try:
        cases = cases_module(Path(job["cases_file"]) if job["cases_file"] else None)
    except DriveError as error:
        problem = str(error)
    for target in job["targets"]:
        channel.say("target", name=target["name"])
        value = _lookup(loaded.module, target["name"])
        if value is None:
            why = f"cannot be found in the module ({'; '.join(loaded.notes) or 'not defined'})"
            _answer(channel, job, target, _unverified(job, target, why))
        elif not target["asked"] and not _is_target(value, loaded.module):
            channel.say("skipped", name=target["name"])
        elif problem is not None:
            _answer(channel, job, target, _unverified(job, target, problem))
        else:
            _answer(channel, job, target, _Target(job, target, loaded, cases, value).result())


def _lookup(module: ModuleType, name: str) -> Any:
    value: Any = module
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def _is_target(value: Any, module: ModuleType) -> bool:
    """Whether a class is a concrete nn.Module; the plan could not always tell."""
    return (
        inspect.isclass(value)
        and issubclass(value, nn.Module)
        and not inspect.isabstract(value)
        and not getattr(value, "_is_protocol", False)
    )


def _unverified(
    job: dict[str, Any], target: dict[str, Any], reason: str, case: str | None = None
) -> TargetResult:
    name = f"{job['shown']}:{target['name']}"
    return TargetResult(name, NOT_VERIFIED, reason, case=case)


def _answer(
    channel: Channel, job: dict[str, Any], target: dict[str, Any], result: TargetResult
) -> None:
    channel.say("result", name=target["name"], data=result.to_json())


class _Target:
    """One class: find ways to drive it, run each, judge, and merge."""

    def __init__(
        self,
        job: dict[str, Any],
        target: dict[str, Any],
        loaded: Loaded,
        cases: ModuleType | None,
        value: Any,
    ) -> None:
        self.job, self.target, self.loaded, self.cases, self.value = (
            job,
            target,
            loaded,
            cases,
            value,
        )
        self.seed = int(job["seed"])
        self.properties = tuple(target.get("properties", ()))

    def result(self) -> TargetResult:
        """The verdict on the class; whatever stands in the way becomes the reason."""
        try:
            drives = self._drives()
            judged = [(drive, self._judge(drive)) for drive in drives]
        except DriveError as error:
            return _unverified(self.job, self.target, str(error), error.case)
        except StubUsed as error:
            return _unverified(self.job, self.target, str(error))
        except MemoryError:
            return _unverified(self.job, self.target, self._no_memory())
        except Exception as error:  # building runs the user's code again; this one was not expected
            return _unverified(self.job, self.target, describe(error))
        parameters = merged([found for _, found in judged])
        call = "; ".join(drive.text for drive, _ in judged)
        reason = self._reason(parameters)
        return TargetResult(
            f"{self.job['shown']}:{self.target['name']}",
            status_of(parameters),
            reason,
            judged[0][0].driven_by,
            call,
            parameters=parameters,
        )

    def _no_memory(self) -> str:
        return f"ran out of memory (limit {self.job['memory_mb']} MiB)"

    def _reason(self, parameters: tuple[ParameterResult, ...]) -> str | None:
        if not any(p.trainable for p in parameters):
            return "it has no trainable Parameter"
        status = status_of(parameters)
        if status == PASSED:
            return None
        unclear = [p for p in parameters if p.verdict == "inconclusive" and p.trainable]
        if status == NOT_VERIFIED and unclear:
            return f"{unclear[0].name}: {unclear[0].message}"
        return None

    def _drives(self) -> list[Drive]:
        """Every case the user wrote, else the first other recipe that runs."""
        name, namespace = self.target["name"], vars(self.loaded.module)
        written: list[Drive] = list(python_cases(self.cases, name))
        if self.target.get("case"):
            written.append(text_case(self.target["case"], name, namespace))
        if written:
            return written
        if not inspect.isclass(self.value):
            return [self._function()]
        sites = site_drives(self.target.get("sites", []), namespace, self.properties)
        found, _ = attempts(sites, self.seed)
        if found is not None:
            return [found]
        if not issubclass(self.value, nn.Module):
            raise DriveError("it is not an nn.Module")
        return [inferred(self.value, self.properties, self.seed)]

    def _function(self) -> Drive:
        from gradfix.verify.cases import unpack

        name = self.target["name"]
        return Drive(lambda: unpack(self.value(), name), "inferred", f"{name}()")

    def _judge(self, drive: Drive) -> tuple[ParameterResult, ...]:
        places = Places(self.job["project"], self.job["root"], self.job["base"])
        run = examine(drive, self.seed, (self.job["project"],))
        chosen = drive.driven_by == "case"
        context = Context(places, chosen, frozenset(self.target.get("attributes_read", ())))
        if run.forward_error is not None:
            failed = forward_failure(run, run.forward_error, places)
            if failed is not None:
                return failed
            raise DriveError(
                f"{drive.text} raises {describe(run.forward_error)}",
                None if chosen else case_for(self.value, {}, None),
            )
        if not run.outputs and not any(True for _ in run.roots):
            raise DriveError(f"{drive.text} returns no tensor")
        judge = Judge(run, context)
        judge.numbers, judge.no_numbers = self._numbers(drive, run)
        return judge.verdicts()

    def _numbers(self, drive: Drive, run: Run) -> tuple[Comparison | None, str | None]:
        has_gradient = any(p.grad is not None for p in run.parameters.values())
        if run.backward_error is not None or not has_gradient:
            return None, "there was nothing to compare"
        try:
            return compare(drive.prepare, self.seed), None
        except NumericError as error:
            return None, str(error)
