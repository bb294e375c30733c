"""Listens to backward: what it starts from, where gradients arrive, and why it fails."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from gradfix.run.carried import is_second_time
from gradfix.run.episode import Backward
from gradfix.run.judge import explained
from gradfix.run.patches import is_on
from gradfix.verify.inplace import is_overwritten, overwritten
from gradfix.verify.values import tensors_in

if TYPE_CHECKING:
    from gradfix.run.watch import Watch


class Listener:
    """The wrappers around ``backward`` and ``autograd.grad``."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._depth = 0

    def method(self, original: Any) -> Any:
        """For ``Tensor.backward``, the outermost place: here one can get out of the way."""

        def wrapper(*args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            try:
                return original(*args, **kwargs)
            finally:
                self._watch.settle()

        return wrapper

    def backward(self, original: Any) -> Any:
        """For ``torch.autograd.backward``, through which every backward goes."""

        def wrapper(tensors: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            watch = self._watch
            # While a mode is on, torch calls this again with the mode off: that call is the one.
            if not watch.listening() or is_on(watch.tracer):
                try:
                    return original(tensors, *args, **kwargs)
                finally:
                    watch.settle()
            roots = list(tensors_in([tensors]))
            noted = self._start(roots)
            self._depth += 1
            try:
                result = original(tensors, *args, **kwargs)
            except Exception as error:
                self._failed(noted, roots, error)
                raise
            finally:
                self._depth -= 1
            self._arrived(roots, kwargs.get("inputs", args[4] if len(args) > 4 else None))
            return result

        return wrapper

    def grad(self, original: Any) -> Any:
        """For ``torch.autograd.grad``: part of a loss, or the backward of a home-made optimizer."""

        def wrapper(outputs: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            __tracebackhide__ = True
            watch = self._watch
            if not watch.listening() or is_on(watch.tracer):
                try:
                    return original(outputs, inputs, *args, **kwargs)
                finally:
                    watch.settle()
            result = original(outputs, inputs, *args, **kwargs)
            with watch.guarded():
                self._differentiated(outputs, inputs, result)
            return result

        return wrapper

    def _start(self, roots: list[torch.Tensor]) -> Backward:
        watch = self._watch
        with watch.guarded():
            watch.elsewhere()
            return watch.episode.start(roots, nested=self._depth > 0)
        return Backward()  # something of ours failed, and was noted

    def _arrived(self, roots: list[torch.Tensor], inputs: Any) -> None:
        watch = self._watch
        with watch.guarded():
            only = None if inputs is None else list(tensors_in([inputs]))
            watch.episode.arrived(roots, only)
        if not self._depth:
            with watch.guarded():
                watch.after_backward()

    def _differentiated(self, outputs: Any, inputs: Any, result: Any) -> None:
        watch = self._watch
        roots, given = list(tensors_in([outputs])), list(tensors_in([inputs]))
        results = list(result.values() if isinstance(result, dict) else result)
        if any(r is not None and r.requires_grad for r in results):
            watch.tracer.derived("autograd.grad", (outputs, inputs), result)
            return
        leaves = [t for t in given if t.is_leaf and isinstance(t, torch.nn.Parameter)]
        if not leaves and watch.modules.items():
            return  # a gradient with respect to inputs trains nothing
        watch.elsewhere()
        watch.episode.start(roots, nested=self._depth > 0)
        for tensor, gradient in zip(given, results, strict=False):
            if gradient is not None and tensor.is_leaf:
                watch.episode.arrival(tensor, gradient)
        watch.after_backward()

    def _failed(self, noted: Backward, roots: list[torch.Tensor], error: Exception) -> None:
        watch = self._watch
        if self._depth > 1:
            return
        with watch.guarded():
            watch.failed = True
            noted.error = error
            if is_overwritten(error):
                for root in roots:
                    noted.blame += overwritten(root, watch.tracer, watch.places)
            if not noted.blame and (is_overwritten(error) or is_second_time(error)):
                # An optimizer's step overwrites, too: where the old value was taken along.
                noted.blame = watch.episode.carried(noted, watch.places)
                noted.verdict = "severed" if is_second_time(error) else "inplace"
            watch.episode.survey(watch.modules, watch.optimizers, watch.parameters)
            _annotate(error, explained(noted.blame))


def _annotate(error: Exception, notes: Iterable[str]) -> None:
    """Name the lines where the error is shown, without changing what it says."""
    for note in notes:
        if sys.version_info >= (3, 11):
            error.add_note(f"gradfix: {note}")
        else:
            print(f"gradfix: {note}", file=sys.stderr)
