"""From an episode's facts to verdicts.

NOTE the rules. A Parameter to which a right gradient (finite, not zero) came in any backward is
fine: a discriminator's step does not train the generator. One that got none is judged by the value
graph, as in `verify`, with the backwards that trained its neighbours as roots. Not judged is what
nobody expects to learn: frozen Parameters, models nothing arrived at and no stepping optimizer
holds (teachers, targets), and, where only tests ran a backward, what they did not use.
"""

from __future__ import annotations

from collections.abc import Iterable

from gradfix.run.episode import Backward, Episode, LeafFacts, ModelFacts
from gradfix.run.lost import Lost, copied, stale
from gradfix.run.refusals import Judged, Refusals, sentence
from gradfix.verify import blame as lines
from gradfix.verify.blame import Places
from gradfix.verify.graph import Call, Edge
from gradfix.verify.results import Blame, ParameterResult

_CONVINCING = 3  # backwards with a gradient of zero; a layer that starts at zero needs two or three


def judged(
    episode: Episode, places: Places, ending: list[BaseException], script: str
) -> list[Judged]:
    """The verdicts on every model that took part; ``ending`` is what ended the program, if known.

    A backward that failed counts only if its error ended the program: otherwise it was expected.
    """
    for call in episode.tracer.graph.calls[: episode.built_at]:
        call.phase = "build"
    judge = _Judge(episode, places, ending)
    found = []
    for model in episode.models.values():
        if judge.took_part(model):
            verdicts = judge.model(model)
            found += [verdicts] if verdicts.parameters or not model.loose else []
    return found + judge.refusals.unclaimed(found, script)


class _Judge:
    def __init__(self, episode: Episode, places: Places, ending: list[BaseException]) -> None:
        self.episode, self.graph, self.places = episode, episode.tracer.graph, places
        self.failed = [
            b for b in episode.backwards if b.error and any(b.error is e for e in ending)
        ]
        self.roots = [
            b.roots if b.error is None or b in self.failed else set() for b in episode.backwards
        ]
        self.all_roots = {node for roots in self.roots for node in roots}
        self.needed = self.graph.sources_of(self.all_roots)
        self.live = self.graph.sources_of(self.all_roots, live_only=True)
        self._needed_by: dict[frozenset[int], set[int]] = {}
        self.lost = Lost(episode, self.needed)
        self.refusals = Refusals(episode, places, ending)
        self.stale = stale(episode, places)
        self.needed_last = self.graph.sources_of({node for b in self.failed for node in b.roots})

    def took_part(self, model: ModelFacts) -> bool:
        """Whether somebody expects this model to learn."""
        return any(
            leaf.trainable
            and (
                leaf.facts.backwards
                or any(h.steps for h in leaf.holders)
                or leaf.facts.nodes & (self.needed if model.loose else self.needed_last)
                or leaf.facts.nodes & self.lost.nodes
                or self.refusals.about(leaf)
            )
            for leaf in model.leaves
        )

    def model(self, model: ModelFacts) -> Judged:
        """Judge all leaves of one model."""
        return _ModelJudge(self, model).judged()

    def cuts(self, nodes: set[int], roots: set[int]) -> list[Edge]:
        """Dead edges on the way to the roots; what initialises or updates a leaf is no flow."""
        key = frozenset(roots)
        if key not in self._needed_by:  # hundreds of Parameters may share one cut
            self._needed_by[key] = self.graph.sources_of(roots)
        needed = self._needed_by[key]
        found = [
            edge
            for node in self.graph.live_from(nodes)
            for edge in self.graph.outgoing[node]
            if not edge.live and edge.target in needed and edge.call.phase == "run"
        ]
        found.sort(key=lambda edge: edge.call.index)
        return [e for e in found if not e.call.leaf_write] or found


class _ModelJudge:
    def __init__(self, judge: _Judge, model: ModelFacts) -> None:
        self.judge, self.loose, self.leaves = judge, model.loose, model.leaves
        self.graph, self.places = judge.graph, judge.places
        self.steps = any(h.steps for leaf in model.leaves for h in leaf.holders)
        self.trained = self.steps or any(leaf.facts.updated for leaf in model.leaves)
        self.gap = self._gap()
        self.out = Judged(model.target, ())

    def judged(self) -> Judged:
        verdicts = (self._verdict(leaf) for leaf in self.leaves)
        self.out.parameters = tuple(v for v in verdicts if v is not None)
        self.out.facts = {leaf.name: leaf.facts for leaf in self.leaves}
        return self.out

    def _gap(self) -> str | None:
        """Why the record of this model is incomplete, if it is."""
        gaps = self.judge.episode.tracer.gaps
        if gaps:
            return gaps[0]
        for leaf in self.leaves:
            if leaf.facts.backwards and not self._reaches(leaf):
                return f"the gradient of {leaf.name} came through code that cannot be followed"
        return None

    def _reaches(self, leaf: LeafFacts) -> bool:
        return bool(leaf.facts.nodes & self.judge.live)

    def _leave_out(self, leaf: LeafFacts, why: str) -> None:
        self.out.left_out[leaf.name] = why

    def _verdict(self, leaf: LeafFacts) -> ParameterResult | None:
        facts = leaf.facts
        if not leaf.trainable:
            return None if leaf.hidden else _result(leaf, "ok", "frozen")
        fatal = self._fatal(leaf)
        if fatal is not None:
            return fatal
        if facts.right:
            return self._right(leaf)
        if leaf.hidden and not leaf.holders:
            return None  # kept aside, and nothing was expected of it
        if facts.nonfinite:
            return _result(leaf, "nonfinite", "its gradient holds NaN or infinity")
        if facts.zero:
            return self._zero(leaf)
        return self._missing(leaf)

    # -- an error that ended the program ---------------------------------------------------------

    def _fatal(self, leaf: LeafFacts) -> ParameterResult | None:
        """What an error that ended the program says, whatever had gone well before."""
        if refused := self.judge.refusals.about(leaf):
            verdict, text, blame = self.judge.refusals.verdict(refused)
            return _result(leaf, verdict, text, blame)
        for backward in self.judge.failed:
            text = f"backward raises {sentence(backward.error)}"
            if backward.blame and self._leads_to(leaf, backward):
                return _result(leaf, backward.verdict, text, backward.blame)
            if backward.without_history and leaf.facts.right and leaf.holders:
                cuts = self.judge.cuts(leaf.facts.nodes, backward.roots)
                if cuts and not self.gap:
                    blames = lines.cut_blames(self.graph, lines.telling(cuts), self.places)
                    return _result(leaf, "severed", text, blames)
        return None

    def _leads_to(self, leaf: LeafFacts, backward: Backward) -> bool:
        return bool(self.graph.live_from(leaf.facts.nodes) & backward.roots)

    # -- a gradient ----------------------------------------------------------------------------

    def _right(self, leaf: LeafFacts) -> ParameterResult | None:
        if leaf.holders:
            return _result(leaf, "ok")
        if leaf.hidden:
            return self._unregistered(leaf)
        if leaf.facts.asked and self.loose and (asked := self._asked(leaf)):
            return asked
        blame = self.judge.stale.get(id(leaf.facts)) or copied(
            self.judge.episode, self.places, leaf
        )
        if blame is not None:
            return _result(leaf, "unregistered", "the optimizer does not hold it", [blame])
        if self.steps:
            text = "it gets a gradient, but no optimizer holds it"
            return _result(leaf, "ok", text, confidence="likely")
        return _result(leaf, "ok")

    def _asked(self, leaf: LeafFacts) -> ParameterResult | None:
        """The program looks for the leaf's gradient at what it computed from the leaf."""
        for asked in leaf.facts.asked:
            if asked.node not in self.judge.live:
                continue  # no backward went through it
            made = [c for c in self.graph.calls if set(c.outputs) & leaf.facts.nodes]
            rows = {c.site.row for c in made if c.site}
            code = "GF104" if asked.after else "GF101"
            if asked.made.site is not None and asked.made.site.row in rows:
                code = "GF102"
            why = "this computes a new tensor; its .grad, which is read later, is None"
            blame = self.places.blame(asked.made.site, "rebound", why, code)
            leaf.name = asked.name or leaf.name
            text = "its gradient is looked for at what was computed from it"
            return _result(leaf, "unregistered", text, [blame] if blame else [], "likely")
        return None

    def _unregistered(self, leaf: LeafFacts) -> ParameterResult | None:
        if leaf.derived:
            text, code = "a result computed from the Parameter is kept, not the Parameter", "GF102"
            kind, why = "transformed", "this makes a new tensor; the leaf it came from is lost"
        else:
            text, code = "parameters() does not list it, and no optimizer holds it", "GF105"
            kind, why = "hidden", "made here and kept where the module does not look"
        if leaf.facts.updated:
            return None  # the program updates it by hand, so it knows about it
        calls = [c for c in self.graph.calls if set(c.outputs) & leaf.made]
        blame = self.places.blame(calls[0].site, kind, why, code) if calls else None
        likely = "proven" if self.steps else "likely"
        return _result(leaf, "unregistered", text, [blame] if blame else [], likely)

    def _zero(self, leaf: LeafFacts) -> ParameterResult | None:
        path = self.graph.on_path(leaf.facts.nodes, self._roots_for(leaf))
        flat = [call for call in path if call.name in lines.ZERO_GRADIENT]
        if flat:
            text = "its gradient is zero"
            return _result(leaf, "zero", text, _blames(map(self._flat, flat)))
        text = f"its gradient is zero in {leaf.facts.zero} of {leaf.facts.zero} backwards"
        if not self.trained:
            self._leave_out(leaf, text)
            return None
        if leaf.facts.zero < _CONVINCING:
            return _result(leaf, "inconclusive", f"{text}; trace more with --steps")
        return _result(leaf, "zero", text, confidence="likely")

    def _flat(self, call: Call) -> Blame | None:
        text = f".{call.name}() has a gradient of zero"
        return self.places.blame(call.site, f".{call.name}()", text, "GF306")

    # -- no gradient ---------------------------------------------------------------------------

    def _missing(self, leaf: LeafFacts) -> ParameterResult | None:
        if leaf.holders and not any(h.steps for h in leaf.holders):
            if any(s.steps for s in self.judge.episode.steppers.values()):
                text = "its optimizer made no step while the program was traced; use --steps"
                return _result(leaf, "inconclusive", text)
        if self.gap:
            text = f"no gradient, and the trace is incomplete: {self.gap}"
            return _result(leaf, "inconclusive", text)
        nodes = leaf.facts.nodes
        phases = {e.call.phase for n in nodes for e in self.graph.outgoing[n]}
        if self._reaches(leaf) or (phases - {"build"}) == {"aside"}:
            text = "the trace shows a way for the gradient, but none arrived"
            if self.loose:  # the program asked for the gradients of others only
                self._leave_out(leaf, text)
                return None
            return _result(leaf, "inconclusive", text)
        if blame := self.judge.stale.get(id(leaf.facts)):
            return _result(leaf, "unused", "what it was replaced by is trained", [blame])
        if "run" not in phases:
            return self._idle(leaf, "unused", "nothing computes with it in the traced steps")
        cuts = self.judge.cuts(nodes, self._roots_for(leaf))
        if cuts:
            return self._cut(leaf, cuts)
        return self._discarded(leaf)

    def _roots_for(self, leaf: LeafFacts) -> set[int]:
        """Where the gradient should have come from: the backwards that trained its neighbours."""
        holders = {id(h) for h in leaf.holders}
        near = [o for o in self.leaves if holders & {id(h) for h in o.holders}]
        for others in (near, [] if leaf.holders else self.leaves):
            indices = {i for o in others for i in o.facts.backwards}
            if indices:
                return self._roots(indices)
        followed = {i for holder in leaf.holders for i in holder.backwards}
        return self._roots(followed) or self.judge.all_roots

    def _roots(self, backwards: set[int]) -> set[int]:
        return {node for i in backwards for node in self.judge.roots[i]}

    def _cut(self, leaf: LeafFacts, cuts: list[Edge]) -> ParameterResult | None:
        certain = "proven"
        if not leaf.holders and self._only_lost(leaf):
            cuts, certain = [e for e in cuts if self.judge.lost.counts(e)], "likely"
        converted = any(lines.is_conversion(e.call) for e in cuts)
        if not cuts or (not converted and self.steps and not leaf.holders):
            self._leave_out(leaf, "no optimizer holds it, and its value is used without gradient")
            return None
        blames = lines.cut_blames(self.graph, lines.telling(cuts), self.places)
        verdict = "escaped" if {b.code for b in blames} == {"GF305"} else "severed"
        return _result(leaf, verdict, "no gradient arrives", blames, certain)

    def _only_lost(self, leaf: LeafFacts) -> bool:
        """Whether nothing but a copy on its way says that this leaf should learn."""
        return not (
            self.loose
            or any(o.facts.backwards for o in self.leaves)
            or leaf.facts.nodes & self.judge.needed_last
        )

    def _discarded(self, leaf: LeafFacts) -> ParameterResult | None:
        graph, nodes = self.graph, leaf.facts.nodes
        spread = graph.spread(nodes)
        escapes = [
            c
            for c in self.judge.episode.tracer.escapes
            if c.phase == "run" and set(c.inputs) & spread
        ]
        if escapes and self.trained:
            blames = _blames(lines.describe_cut(c, self.places) for c in escapes)
            text = "its value leaves for Python, and no gradient arrives"
            return _result(leaf, "escaped", text, blames, "likely")
        reached = graph.live_from(nodes)
        calls = [e.call for n in reached for e in graph.outgoing[n] if e.call.phase == "run"]
        last = max(calls, key=lambda call: call.index)
        text = "this result never reaches the loss"
        blame = lines.discarded(last, self.places, text)
        message = "what is computed from it does not reach the loss"
        return self._idle(leaf, "discarded", message, [blame] if blame else [])

    def _idle(
        self, leaf: LeafFacts, verdict: str, text: str, blame: list[Blame] | None = None
    ) -> ParameterResult | None:
        """Not used is a fault in training; a test need not use everything."""
        if not self.trained or (self.steps and not leaf.holders):
            self._leave_out(leaf, text)
            return None
        return _result(leaf, verdict, text, blame or [], exercised=False)


def _result(
    leaf: LeafFacts,
    verdict: str,
    message: str = "",
    blame: list[Blame] | None = None,
    confidence: str = "proven",
    *,
    exercised: bool = True,
) -> ParameterResult:
    return ParameterResult(
        leaf.name,
        leaf.shape,
        leaf.trainable,
        verdict,
        confidence,
        message,
        exercised,
        tuple(blame or ()),
    )


def _blames(found: Iterable[Blame | None]) -> list[Blame]:
    return list(dict.fromkeys(b for b in found if b is not None))


def explained(blames: Iterable[Blame]) -> list[str]:
    """Blames as one line each, for a traceback."""
    return [f"{b.filename}:{b.row} in {b.function}: {b.message}" for b in blames]
