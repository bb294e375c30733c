"""Gradients that end where nobody wants them: at a new leaf, or in what an optimizer forgot."""

from __future__ import annotations

from gradfix.run.episode import Episode, LeafFacts
from gradfix.verify import blame as lines
from gradfix.verify.blame import Places
from gradfix.verify.graph import Edge
from gradfix.verify.results import Blame


class Lost:
    """What should have trained although no optimizer says so.

    Without an optimizer nothing tells a model that is to learn from one that is only asked. But
    nobody copies values out of the graph to stop a gradient; and where every backward ended at a
    leaf that was itself made of the models' Parameters, all of their gradients were lost.
    """

    def __init__(self, episode: Episode, needed: set[int]) -> None:
        self.nodes: set[int] = set()
        self.entirely = False
        self._graph = episode.tracer.graph
        if episode.steppers:
            return
        self.entirely = self._ends_at_copies(episode)
        cuts = [edge for node in needed for edge in self._graph.incoming[node] if self.counts(edge)]
        self.nodes = self._graph.sources_of({edge.source for edge in cuts}, live_only=True)

    def counts(self, edge: Edge) -> bool:
        """Whether a cut loses a gradient by accident."""
        dead = not edge.live and edge.call.phase == "run"
        return dead and (self.entirely or lines.is_copy(edge.call))

    def _ends_at_copies(self, episode: Episode) -> bool:
        named = [
            leaf.facts
            for model in episode.models.values()
            if not model.loose
            for leaf in model.leaves
            if leaf.trainable
        ]
        made_of = self._graph.spread({node for facts in named for node in facts.nodes})
        reached = [b.leaves for b in episode.backwards if b.error is None]
        return bool(reached) and all(
            leaves and all(facts.nodes & made_of and facts not in named for facts in leaves)
            for leaves in reached
        )


def stale(episode: Episode, places: Places) -> dict[int, Blame]:
    """By the identity of their facts: Parameters that are trained in place of those which an
    optimizer was given, and those; with the line that replaced them.

    A Parameter counts as the successor if it was made after the optimizer, gets gradients, has no
    optimizer, and its model has other Parameters in that optimizer or one of its own shape was
    there and is not used any more.
    """
    graph = episode.tracer.graph
    found: dict[int, Blame] = {}
    models = [m for s, m in episode.models.items() if s > 0]
    forgotten = [
        leaf
        for serial, model in episode.models.items()
        if serial < 0
        for leaf in model.leaves
        if leaf.trainable and any(h.steps for h in leaf.holders) and not leaf.facts.backwards
    ]
    for old in forgotten:
        for model in models:
            for new in model.leaves:
                if not new.facts.right or new.holders or new.hidden:
                    continue
                kin = any(h in leaf.holders for leaf in model.leaves for h in old.holders)
                made = [c for c in graph.calls if set(c.outputs) & new.facts.nodes]
                late = made and made[0].index >= min(h.made_at for h in old.holders)
                if late and (kin or new.shape == old.shape):
                    text = "made here after the optimizer, which holds what was there before"
                    blame = places.blame(made[0].site, "replaced", text, "GF307")
                    if blame is not None:
                        found[id(new.facts)] = found[id(old.facts)] = blame
    return found


def copied(episode: Episode, places: Places, leaf: LeafFacts) -> Blame | None:
    """Where an optimizer was given a copy of the leaf that shares its memory, not the leaf."""
    graph = episode.tracer.graph
    for serial, model in episode.models.items():
        for other in model.leaves if serial < 0 else ():
            if other.trainable or not other.memory or other.memory != leaf.memory:
                continue
            calls = [c for c in graph.calls if set(c.outputs) & other.facts.nodes]
            text = "the optimizer is given this, which is not the Parameter: it never learns"
            return places.blame(calls[0].site, "copied", text, "GF307") if calls else None
    return None
