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
import traceback
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from gradfix.verify.calls import WRITTEN, recorded_calls
from gradfix.verify.cases import cases_module
from gradfix.verify.drive import DriveError
from gradfix.verify.exits import exits_raise
from gradfix.verify.limits import LOST_CHANNEL
from gradfix.verify.load import Loaded, LoadError, load
from gradfix.verify.renamed import answer_old_names
from gradfix.verify.results import TargetResult
from gradfix.verify.subject import Subject, unverified
from gradfix.verify.witness import witness


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
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            os._exit(LOST_CHANNEL)


def main(job: dict[str, Any]) -> None:
    """Do one job and leave; the exit code means nothing, the messages do."""
    channel = Channel(job.pop("result_fd"), job.pop("token"))
    channel.say("started")
    _work(channel, job)
    channel.say("done")
    os._exit(0)


def _work(channel: Channel, job: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    path, entry = Path(job["path"]), Path(job["entry"])
    os.chdir(job["project"])
    sys.argv = [str(path)]
    exits_raise()
    for folder in (job["project"], str(path.parent), str(entry)):
        if folder in sys.path:
            sys.path.remove(folder)
        sys.path.insert(0, folder)
    if not job["cases_file"] and not any(target.get("case") for target in job["targets"]):
        answer_old_names(job["project"])  # who wrote a case wants the errors of the code
    try:
        project = Path(job["project"])
        loaded = load(path, job["module"], entry, project, definitions=job["definitions"])
    except LoadError as error:
        channel.say("imported", how="not", why=str(error))
        for target in job["targets"]:
            _answer(channel, job, target, unverified(job, target, f"cannot be imported: {error}"))
    else:
        channel.say("imported", how=loaded.how, why=loaded.notes[0] if loaded.notes else "")
        _verify_all(channel, job, loaded)


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
            # What raised while the rest was defined was left out: the class is not there.
            why = "cannot be found in the module (not defined)"
            if loaded.notes:
                why = f"cannot be imported: {'; '.join(loaded.notes)}"
            _answer(channel, job, target, unverified(job, target, why))
        elif not target["asked"] and not _is_target(value, loaded.module):
            channel.say("skipped", name=target["name"])
        elif problem is not None:
            _answer(channel, job, target, unverified(job, target, problem))
        else:
            _examine(channel, Subject(job, target, loaded, cases, value))


def _examine(channel: Channel, subject: Subject) -> None:
    try:
        result = subject.result()
    except MemoryError:
        result = unverified(subject.job, subject.target, "out of memory")
    except Exception:  # the user's code was caught further in: this is a bug of ours, and said so
        channel.say("bug", name=subject.target["name"], traceback=traceback.format_exc())
        return
    if subject.job.get("record"):
        _record(channel, subject)
    if subject.job.get("witness"):
        channel.say("judged")  # what follows has its own time
        path, name = subject.job["path"], subject.target["name"]
        said = [witness(drive, subject.seed, path) for drive in subject.driven]
        channel.say("witness", name=name, data=said)
    _answer(channel, subject.job, subject.target, result)


def _record(channel: Channel, subject: Subject) -> None:
    """Say what the project's functions were given, where somebody wrote the inputs."""
    for drive in subject.driven:
        if drive.driven_by in WRITTEN and not subject.names:
            channel.say("judged")  # what follows has its own time
            found = recorded_calls(drive, subject.seed, subject.job["project"])
            channel.say("facts", name=subject.target["name"], data=found)


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


def _answer(
    channel: Channel, job: dict[str, Any], target: dict[str, Any], result: TargetResult
) -> None:
    channel.say("result", name=target["name"], data=result.to_json())
