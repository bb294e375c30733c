"""From one run to verdicts: is each Parameter's gradient there, finite, non-zero and right?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from gradfix.verify import blame as lines
from gradfix.verify.blame import Places
from gradfix.verify.deliberate import Question, is_sampled, wrong_or_question
from gradfix.verify.examine import Hidden, Run
from gradfix.verify.graph import Edge
from gradfix.verify.inplace import is_overwritten, overwritten
from gradfix.verify.numeric import Comparison
from gradfix.verify.results import Blame, ParameterResult


@dataclass(frozen=True, slots=True)
class Context:
    """What the judge knows beside the run: where lines are, who chose the inputs, what is read."""

    places: Places
    chosen_by_user: bool
    attributes_read: frozenset[str]
    own_backward: str | None = None
    trained_elsewhere: Callable[[Run, str, torch.nn.Parameter], str | None] = lambda *_: None


@dataclass(slots=True)
class Judge:
    """Judges every Parameter of one run."""

    run: Run
    context: Context
    numbers: Comparison | None = None
    no_numbers: str | None = None

    def verdicts(self) -> tuple[ParameterResult, ...]:
        """One verdict per registered Parameter, then one per hidden leaf that is trained."""
        incomplete = self._incomplete()
        found = [self._registered(n, p, incomplete) for n, p in self.run.parameters.items()]
        return (*found, *self._unregistered())

    def _incomplete(self) -> str | None:
        """Why the trace cannot be trusted, if it cannot."""
        run = self.run
        if run.tracer.gaps:
            return run.tracer.gaps[0]
        if run.backward_error is not None or run.forward_error is not None:
            return None
        for name, parameter in run.parameters.items():
            if parameter.grad is not None and not self.reaches(parameter):
                return f"the gradient of {name} came through code that cannot be followed"
        return None

    def reaches(self, tensor: torch.Tensor) -> bool:
        graph = self.run.tracer.graph
        return bool(graph.live_from(self.run.nodes(tensor)) & self.run.roots)

    def _result(
        self,
        name: str,
        tensor: torch.Tensor,
        verdict: str,
        message: str = "",
        blame: list[Blame] | tuple[Blame, ...] = (),
        confidence: str = "proven",
        *,
        exercised: bool = True,
    ) -> ParameterResult:
        shape = () if _uninitialized(tensor) else tuple(tensor.shape)
        return ParameterResult(
            name, shape, tensor.requires_grad, verdict, confidence, message, exercised, tuple(blame)
        )

    def _registered(
        self, name: str, parameter: torch.nn.Parameter, incomplete: str | None
    ) -> ParameterResult:
        if not parameter.requires_grad:
            return self._result(name, parameter, "ok", "frozen")
        if self.run.backward_error is not None:
            return self._broken_backward(name, parameter, self.run.backward_error)
        if parameter.grad is None:
            if incomplete:
                message = f"no gradient, and the trace is incomplete: {incomplete}"
                return self._result(name, parameter, "inconclusive", message)
            return self.missing(name, parameter)
        if not bool(torch.isfinite(parameter.grad).all()):
            return self._nonfinite(name, parameter)
        return self._present(name, parameter, incomplete)

    # -- no gradient ---------------------------------------------------------------------------

    def missing(self, name: str, parameter: torch.nn.Parameter) -> ParameterResult:
        """The verdict on a Parameter without a gradient; the trace must be complete."""
        run, places = self.run, self.context.places
        graph, nodes = run.tracer.graph, run.nodes(parameter)
        reached = graph.live_from(nodes)
        if self.reaches(parameter):
            message = "the trace shows a way for the gradient, but none arrived"
            return self._result(name, parameter, "inconclusive", message)
        used = any(e.call.phase == "run" for n in nodes for e in graph.outgoing[n])
        if not used:
            return self._unused(name, parameter)
        cuts = graph.cuts(nodes, run.roots)
        if cuts:
            cuts = lines.telling(cuts)
            blames = lines.cut_blames(graph, cuts, places)
            if all(is_sampled(graph, edge, run.roots) for edge in cuts):
                message = "no gradient arrives: what is returned was drawn at random: intended?"
                return self._result(name, parameter, "inconclusive", message, blames)
            if not self.context.chosen_by_user and all(map(_by_choice, cuts)):
                rows = ", ".join(str(b.row) for b in blames)
                message = f"no gradient arrives; stop-gradient at line {rows}, in code that an \
argument chooses: intended? give a case"
                return self._result(
                    name, parameter, "inconclusive", message, blames, exercised=False
                )
            if self.context.own_backward:
                message = (
                    f"no gradient arrives; {self.context.own_backward} may compute it: intended?"
                )
                return self._result(name, parameter, "inconclusive", message, blames)
            if who := self._inference(name, parameter, cuts):
                rows = ", ".join(str(b.row) for b in blames)
                message = f"no gradient arrives; it is stopped at line {rows}, and {who}: \
meant for inference only?"
                return self._result(name, parameter, "inconclusive", message, blames)
            verdict = "escaped" if {b.code for b in blames} == {"GF305"} else "severed"
            return self._result(name, parameter, verdict, "no gradient arrives", blames)
        spread = graph.spread(nodes)
        escapes = [c for c in run.tracer.escapes if c.phase == "run" and set(c.inputs) & spread]
        if escapes:
            blames = [b for c in escapes if (b := lines.describe_cut(c, places))]
            message = "its value leaves for Python, and no gradient arrives"
            return self._result(name, parameter, "escaped", message, blames, "likely")
        return self._discarded(name, parameter, reached)

    def _inference(self, name: str, parameter: torch.nn.Parameter, cuts: list[Edge]) -> str | None:
        """Who trains a Parameter, where all that is returned is detached or without history."""
        if self.run.root is None or self.run.root.requires_grad:
            return None
        if not all(lines.is_stop(edge.call) for edge in cuts):
            return None
        return self.context.trained_elsewhere(self.run, name, parameter)

    def _unused(self, name: str, parameter: torch.nn.Parameter) -> ParameterResult:
        head = name.partition(".")[0]
        if not self.context.chosen_by_user and head in self.context.attributes_read:
            message = "not reached with these inputs; give a case that uses it"
            return self._result(name, parameter, "inconclusive", message, exercised=False)
        message = "nothing computes with it"
        return self._result(name, parameter, "unused", message, exercised=False)

    def _discarded(
        self, name: str, parameter: torch.nn.Parameter, reached: set[int]
    ) -> ParameterResult:
        graph = self.run.tracer.graph
        calls = [e.call for n in reached for e in graph.outgoing[n] if e.call.phase == "run"]
        last = max(calls, key=lambda call: call.index)
        text = "this result never reaches what is returned"
        blame = lines.discarded(last, self.context.places, text)
        if not self.context.chosen_by_user and lines.may_be_used(last.site):
            message = "what is computed from it is not used with these inputs; give a case"
            return self._result(name, parameter, "inconclusive", message, exercised=False)
        return self._result(
            name,
            parameter,
            "discarded",
            "what is computed from it is not returned",
            [blame] if blame else [],
            "proven" if self.context.chosen_by_user else "likely",
            exercised=False,
        )

    # -- a gradient ----------------------------------------------------------------------------

    def _nonfinite(self, name: str, parameter: torch.nn.Parameter) -> ParameterResult:
        finite = all(bool(torch.isfinite(t).all()) for t in self.run.outputs)
        if not finite and not self.context.chosen_by_user:
            message = "the made-up inputs give a result that is not finite; give a case"
            return self._result(name, parameter, "inconclusive", message, exercised=False)
        return self._result(name, parameter, "nonfinite", "its gradient holds NaN or infinity")

    def _present(
        self, name: str, parameter: torch.nn.Parameter, incomplete: str | None
    ) -> ParameterResult:
        zero = parameter.grad is not None and not bool((parameter.grad != 0).any())
        if zero and not (self.numbers and name in self.numbers.nonzero):
            return self._zero(name, parameter)
        if self.numbers is None:
            message = f"there is a gradient, but it could not be checked: {self.no_numbers}"
            return self._result(name, parameter, "inconclusive", message)
        if name in self.numbers.wrong:
            return self._wrong(name, parameter, incomplete)
        if name in self.numbers.unclear:
            return self._unclear(name, parameter)
        if name not in self.numbers.right:
            message = "there is a gradient in float32 but none in float64"
            return self._result(name, parameter, "inconclusive", message)
        return self._result(name, parameter, "ok")

    def _zero(self, name: str, parameter: torch.nn.Parameter) -> ParameterResult:
        graph = self.run.tracer.graph
        path = graph.on_path(self.run.nodes(parameter), self.run.roots)
        flat = [call for call in path if call.name in lines.ZERO_GRADIENT]
        if flat:
            blames = [
                b
                for c in flat
                if (
                    b := self.context.places.blame(
                        c.site, f".{c.name}()", f".{c.name}() has a gradient of zero", "GF306"
                    )
                )
            ]
            return self._result(name, parameter, "zero", "its gradient is zero", blames)
        message = "its gradient is zero, also after moving every Parameter"
        if self.context.chosen_by_user:
            return self._result(
                name, parameter, "zero", message, confidence="likely", exercised=False
            )
        message = f"{message}; give a case"
        return self._result(name, parameter, "inconclusive", message, exercised=False)

    def _wrong(
        self, name: str, parameter: torch.nn.Parameter, incomplete: str | None
    ) -> ParameterResult:
        assert self.numbers is not None
        expected, got = self.numbers.wrong[name]
        message = f"along a random direction backward says {got:.6g}, the forward {expected:.6g}"
        if incomplete:
            message += f"; no line can be named: {incomplete}"
            return self._result(name, parameter, "inconclusive", message)
        verdict = wrong_or_question(self.run, parameter, self.context.places)
        return self._answered(name, parameter, verdict, message)

    def _unclear(self, name: str, parameter: torch.nn.Parameter) -> ParameterResult:
        assert self.numbers is not None
        verdict = wrong_or_question(self.run, parameter, self.context.places)
        if verdict.kind == "straight-through":
            return self._answered(name, parameter, verdict, "")
        message = f"there is a gradient; {self.numbers.unclear[name]}"
        return self._result(name, parameter, "inconclusive", message)

    def _answered(
        self, name: str, parameter: torch.nn.Parameter, verdict: Question, message: str
    ) -> ParameterResult:
        if verdict.kind == "straight-through":
            text = f"{verdict.text}; its gradient is a stand-in by design"
            return self._result(name, parameter, "ok", text, confidence="likely")
        if verdict.kind == "wrong":
            return self._result(name, parameter, "wrong", message, verdict.blame)
        text = f"{message}; {verdict.text}"
        return self._result(name, parameter, "inconclusive", text, verdict.blame)

    # -- errors --------------------------------------------------------------------------------

    def _broken_backward(
        self, name: str, parameter: torch.nn.Parameter, error: Exception
    ) -> ParameterResult:
        text = f"backward raises {lines_of(error)}"
        if not self.reaches(parameter):
            if any(self.run.nodes(parameter)):
                return self.missing(name, parameter)
            return self._unused(name, parameter)
        if is_overwritten(error) and self.run.root is not None:
            blames = overwritten(self.run.root, self.run.tracer, self.context.places)
            return self._result(name, parameter, "inplace", text, blames)
        return self._result(name, parameter, "inconclusive", text)

    # -- leaves that are not registered ---------------------------------------------------------

    def _unregistered(self) -> list[ParameterResult]:
        """Hidden leaves that take part in training; teachers kept aside on purpose do not."""
        found = []
        for hidden in self.run.hidden:
            if hidden.leaf.grad is None:
                found += self._hidden_unused(hidden)
                continue
            if hidden.derived is None:
                message = "trained, but parameters() does not list it: no optimizer will see it"
                confidence = "proven" if isinstance(hidden.leaf, torch.nn.Parameter) else "likely"
                blames = self._made_at(hidden.leaf, "hidden", "GF105")
            else:
                message = "a result computed from the Parameter is kept, not the Parameter"
                confidence = "proven"
                blames = self._made_at(hidden.derived, "transformed", "GF102")
            found.append(
                self._result(hidden.name, hidden.leaf, "unregistered", message, blames, confidence)
            )
        return found

    def _hidden_unused(self, hidden: Hidden) -> list[ParameterResult]:
        """A hidden Parameter that the call never touched may still be a lost one."""
        nodes, graph = self.run.nodes(hidden.leaf), self.run.tracer.graph
        touched = any(e.call.phase == "run" for n in nodes for e in graph.outgoing[n])
        if touched or hidden.derived is not None:
            return []
        if not isinstance(hidden.leaf, torch.nn.Parameter):
            return []
        message = "not registered, and not reached with these inputs; give a case that uses it"
        return [self._result(hidden.name, hidden.leaf, "inconclusive", message, exercised=False)]

    def _made_at(self, tensor: torch.Tensor, kind: str, code: str) -> list[Blame]:
        """The line that made the kept value."""
        graph = self.run.tracer.graph
        nodes = self.run.nodes(tensor)
        calls = [c for c in graph.calls if c.phase == "build" and set(c.outputs) & nodes]
        if not calls:
            return []
        text = (
            "made here and kept where the module does not look"
            if code == "GF105"
            else "this makes a new tensor; the leaf it came from is lost"
        )
        blame = self.context.places.blame(calls[-1].site, kind, text, code)
        return [blame] if blame else []


def lines_of(error: Exception) -> str:
    """The first sentence of an error."""
    text = " ".join(str(error).split()).partition(": [")[0]
    return f"{type(error).__name__}: {text[:240]}"


def _by_choice(cut: Edge) -> bool:
    """Whether a gradient is stopped explicitly, where another argument takes another way."""
    call = cut.call
    stops = call.name in ("detach", "detach_") or not call.grad_mode
    return stops and lines.flag_decides(call.site)


def _uninitialized(tensor: torch.Tensor) -> bool:
    return bool(torch.nn.parameter.is_lazy(tensor))
