"""Watches a program train: opens episodes, counts steps, closes them and gets out of the way.

Imported when the program has imported torch. Nothing here may raise into the program: what goes
wrong is noted and makes verdicts inconclusive, and the exit code of gradfix tells it.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils.checkpoint
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from gradfix.run import noticed, patches
from gradfix.run.backward import Listener
from gradfix.run.episode import Episode
from gradfix.run.judge import judged
from gradfix.run.late import Late
from gradfix.run.ledger import Ledger
from gradfix.run.models import Alive
from gradfix.run.owned import Owned
from gradfix.run.tracing import ScriptTracer
from gradfix.verify.blame import Places
from gradfix.verify.results import TargetResult
from gradfix.verify.values import tensors_in

_CALLS = 100_000  # an episode with more operations is judged in parts
_PATIENCE = 10  # times --steps: how many steps the others may make while one optimizer makes none
_RESUMED = 100  # a program that makes new optimizers all the time is not followed for ever


@dataclass(frozen=True, slots=True)
class Settings:
    """How many steps to trace, what the script is called, and whether it is a test runner."""

    steps: int
    script: str
    tests: bool = False


class Watch:
    """The state of watching one program."""

    def __init__(self, settings: Settings, report: Callable[[], None]) -> None:
        self.settings, self._report = settings, report
        self.ledger = Ledger()
        self.problems: list[str] = []
        self.trained = self.failed = False
        self.modules, self.optimizers = Alive(), Alive()
        self.parameters = 0
        self._owner, self._thread = os.getpid(), threading.get_ident()
        self._owns = Owned()
        self.places = Places(os.getcwd(), os.getcwd(), os.getcwd())
        self.tracer = ScriptTracer(self._owns)
        self.tracer.on_refused, self.tracer.on_asked = self._refused, self._asked
        self.episode = self._new_episode()
        self.active = False
        self._done: set[int] = set()
        self._activations = 0
        self._late = Late(self.ledger)
        self._light, self._heavy = patches.Patches(), patches.Patches()
        self._stepping = False
        self._hooks: list[Any] = []
        self._stance: Any = None
        self._leaving = False

    def start(self) -> None:
        """Meet the program at torch's doors, and begin to trace it."""
        light = self._light
        light.wrap(torch.nn.Module, "__init__", patches.after(self._module_made))
        light.wrap(torch.nn.Module, "__setstate__", patches.after(self._module_made))
        light.wrap(torch.optim.Optimizer, "__init__", patches.after(self._optimizer_made))
        light.wrap(torch.optim.Optimizer, "add_param_group", self._adding)
        light.wrap(torch.nn.Parameter, "__new__", self._parameter)
        os.register_at_fork(after_in_child=self._forked)
        self._enter()

    # -- in and out ----------------------------------------------------------------------------

    def _enter(self) -> None:
        self.active, self._leaving = True, False
        self._activations += 1
        heavy, listener = self._heavy, Listener(self)
        heavy.wrap(torch.autograd, "backward", listener.backward)
        heavy.wrap(torch.autograd, "grad", listener.grad)
        heavy.wrap(torch.Tensor, "backward", listener.method)
        heavy.wrap(torch.autograd.Function, "apply", patches.opaque_functions(self.tracer))
        variable = torch.autograd.Variable
        heavy.wrap(variable, "__new__", patches.legacy_variables(self.tracer))
        checkpoint = torch.utils.checkpoint.CheckpointFunction
        heavy.wrap(checkpoint, "backward", patches.traced_recomputation(self.tracer))
        heavy.wrap(torch, "compile", self._compile)
        self._hooks = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]
        self.tracer.paused = 0
        patches.push(self.tracer)

    def settle(self) -> None:
        """Get out of the way if the time has come and this is a place where one can."""
        if self._leaving and patches.pop(self.tracer):
            self._leaving = False
            self._heavy.undo()
            for hook in self._hooks:
                hook.remove()
            if self._stance is not None:
                self._stance.__exit__(None, None, None)
                self._stance = None

    def _leave(self) -> None:
        """Stop tracing: judge, report, and let the program run at its own speed."""
        self.active, self._leaving = False, True
        self.tracer.paused += 1
        self._close([])
        self.settle()
        self._report()

    def _new_episode(self) -> Episode:
        return Episode(self.tracer, self._owns, self.settings.script)

    def _close(self, ending: list[BaseException]) -> None:
        """Judge what was seen so far and start afresh."""
        with self.guarded():
            episode = self.episode
            episode.survey(self.modules, self.optimizers, self.parameters, again=True)
            found = judged(episode, self.places, ending, self.settings.script)
            self.ledger.add(found)
            self._late.wait(found, episode)
            self._done |= {s for s, o in episode.steppers.items() if o.steps >= self.settings.steps}
        self.tracer.restart()
        self.episode = self._new_episode()

    def finish(self, ending: list[BaseException]) -> list[TargetResult]:
        """The program is over: judge the rest, and say everything."""
        self._light.undo()
        self._late.stop()
        if self.active:
            self.active, self._leaving = False, True
            self.tracer.paused += 1
            self._close(ending)
            self.settle()
        return self.ledger.results()

    def _forked(self) -> None:
        """A forked child, such as a DataLoader's worker, is not watched."""
        self.active = False
        self.tracer.paused += 1
        patches.pop(self.tracer)

    def listening(self) -> bool:
        """Whether what happens now belongs to the program that is traced."""
        return self.active and os.getpid() == self._owner

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Do our own work: untraced, and without ever raising into the program."""
        self.tracer.paused += 1
        try:
            with torch._C.DisableTorchFunctionSubclass():
                yield
        except Exception as error:  # ours, never the program's: it becomes exit code 2
            self.tracer.gaps.append(f"{type(error).__name__}: {error}".partition("\n")[0])
            self.problems.append(traceback.format_exc())
        finally:
            self.tracer.paused -= 1

    # -- what is made ----------------------------------------------------------------------------

    def _module_made(self, module: torch.nn.Module) -> None:
        self.modules.add(module)

    def _optimizer_made(self, optimizer: torch.optim.Optimizer) -> None:
        serial = self.optimizers.add(optimizer)
        self._built()
        if self.active:
            self.episode.stepper(serial).made_at = len(self.tracer.graph.calls)

    def _adding(self, original: Any) -> Any:
        """For ``add_param_group``, through which every optimizer gets what it trains."""

        def wrapper(optimizer: Any, group: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                return original(optimizer, group, *args, **kwargs)
            except ValueError as error:
                if self.listening():
                    with self.guarded():
                        given = list(tensors_in([group]))
                        found = noticed.non_leaves(error, given, self.tracer, self._owns)
                        self.episode.refused = [*found]
                raise

        return wrapper

    # -- what cannot give a gradient --------------------------------------------------------------

    def _refused(self, error: BaseException, name: str, inputs: list[torch.Tensor]) -> None:
        with self.guarded():
            found = noticed.refused(error, name, inputs, self.tracer, self._owns)
            self.episode.refused = [found]  # an error keeps its frames alive: the last one only

    def _asked(self, tensor: torch.Tensor) -> None:
        with self.guarded():
            self.episode.asked(tensor)

    def _parameter(self, original: Any) -> Any:
        def wrapper(cls: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            if not self.listening():
                result = original(cls, *args, **kwargs)
            else:
                run = lambda: original(cls, *args, **kwargs)  # noqa: E731
                result = self.tracer.opaque(cls.__name__, run, (args, kwargs), custom=False)
            self.parameters += 1
            self.tracer.on_use = self._used
            if patches.where() == "constructor":
                if self.listening() and self.episode.backwards:
                    self._close([])  # another model begins
                self._built()
            return result

        return wrapper

    def _used(self) -> bool:
        """A new Parameter may be in use: note its model, which may be gone before backward."""
        if patches.where() != "forward":
            return False
        with self.guarded():
            self.episode.survey(self.modules, self.optimizers, self.parameters)
        return True

    def _built(self) -> None:
        """Something that will be trained was made: what came before was building."""
        if os.getpid() != self._owner or threading.get_ident() != self._thread:
            return
        if self.active:
            if not self.episode.backwards:
                self.episode.built_at = len(self.tracer.graph.calls)
        elif not self._leaving and (self.settings.tests or self._activations < _RESUMED):
            self._enter()

    def _compile(self, original: Any) -> Any:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self.listening() and self._stance is None:
                self._stance = torch.compiler.set_stance("force_eager")
            return original(*args, **kwargs)

        return wrapper

    # -- steps ---------------------------------------------------------------------------------

    def _before_step(self, optimizer: Any, args: Any, kwargs: Any) -> Any:
        """An optimizer's own arithmetic is not the model's; its closure is."""
        if not self.listening():
            return None
        self._resume()
        self.tracer.paused += 1
        self._stepping = True
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if not callable(closure):
            return None

        def watched(*a: Any, **k: Any) -> Any:
            __tracebackhide__ = True
            self._resume()
            try:
                return closure(*a, **k)
            finally:
                if self.active:
                    self.tracer.paused += 1
                    self._stepping = True

        if "closure" in kwargs:
            return args, {**kwargs, "closure": watched}
        return (args[0], watched, *args[2:]), kwargs

    def _resume(self) -> None:
        """Back from an optimizer, also from one whose step raised."""
        if self._stepping:
            self.tracer.paused -= 1
            self._stepping = False

    def _after_step(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        if not self.listening():
            return
        self._resume()
        with self.guarded():
            self._count(optimizer)

    def _count(self, optimizer: Any) -> None:
        serial = self.optimizers.add(optimizer)
        episode, wanted = self.episode, self.settings.steps
        episode.stepped(serial)
        episode.survey(self.modules, self.optimizers, self.parameters)
        waiting = [
            s
            for s, _ in self.optimizers.items()
            if s not in self._done and episode.stepper(s).steps < wanted
        ]
        if not waiting or episode.steps >= _PATIENCE * wanted:
            self._leave()
        elif len(self.tracer.graph.calls) > _CALLS:
            self._close([])

    def after_backward(self) -> None:
        """A backward is over: without optimizers, these are the steps."""
        self.trained = True
        self.episode.survey(self.modules, self.optimizers, self.parameters)
        homemade = not self.optimizers.items()
        if homemade and len(self.episode.backwards) >= self.settings.steps:
            self._leave()

    def elsewhere(self) -> None:
        """Note that training runs in a thread whose operations are not seen."""
        if threading.get_ident() != self._thread:
            gap = "training runs in another thread"
            if gap not in self.tracer.gaps:
                self.tracer.gaps.append(gap)
