"""What happens between the building of models and their first steps, written down as plain facts.

Nothing here keeps a tensor or a module alive: names, node numbers and counts are noted while the
objects live, so that a model may be judged after it is gone.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import torch

from gradfix.run import models
from gradfix.run.carried import carried
from gradfix.run.models import Alive, Model, global_name, name_of
from gradfix.run.noticed import Asked, Refused, maker
from gradfix.run.owned import Owned
from gradfix.run.tracing import ScriptTracer, alive
from gradfix.verify.blame import Places
from gradfix.verify.examine import leaves_of
from gradfix.verify.results import Blame
from gradfix.verify.values import storage_of


@dataclass(slots=True)
class Facts:
    """One leaf: its nodes in the graph, and what arrived at it in which backward."""

    nodes: set[int] = field(default_factory=set)
    right: int = 0
    zero: int = 0
    nonfinite: int = 0
    backwards: set[int] = field(default_factory=set)
    nodes_then: int = 0
    name: str | None = None
    asked: list[Asked] = field(default_factory=list)

    @property
    def updated(self) -> bool:
        """Whether the program wrote to the leaf by hand after a gradient had arrived."""
        return bool(self.backwards) and len(self.nodes) > self.nodes_then

    def arrived(self, index: int, largest: float) -> None:
        """Note a gradient by its largest magnitude."""
        if not self.backwards:
            self.nodes_then = len(self.nodes)
        self.backwards.add(index)
        if not math.isfinite(largest):
            self.nonfinite += 1
        elif largest == 0:
            self.zero += 1
        else:
            self.right += 1


@dataclass(slots=True)
class Stepper:
    """One optimizer: how many steps it made in this episode, and the backwards these followed."""

    steps: int = 0
    backwards: set[int] = field(default_factory=set)
    seen: int = 0
    made_at: int = 0


@dataclass(slots=True)
class LeafFacts:
    """A named leaf of a model, with who holds it."""

    name: str
    shape: tuple[int, ...]
    trainable: bool
    facts: Facts
    holders: list[Stepper]
    hidden: bool = False
    derived: bool = False
    made: set[int] = field(default_factory=set)
    memory: int = 0


@dataclass(slots=True)
class ModelFacts:
    """A model as it was when last looked at; ``loose`` are leaves of no module or optimizer."""

    target: str
    leaves: list[LeafFacts]
    loose: bool = False


@dataclass(slots=True)
class Backward:
    """One call of backward: the nodes it started from, the leaves behind it, how it failed."""

    roots: set[int] = field(default_factory=set)
    leaves: list[Facts] = field(default_factory=list)
    calls: int = 0
    error: Exception | None = None
    blame: list[Blame] = field(default_factory=list)
    verdict: str = "inplace"

    @property
    def without_history(self) -> bool:
        """Whether it failed because what it started from was not computed from any leaf."""
        return self.error is not None and "does not require grad" in str(self.error)


class Episode:
    """The facts of one episode, and the tracer that follows the values in it."""

    def __init__(self, tracer: ScriptTracer, owns: Owned, script: str) -> None:
        self.tracer, self._owns, self._script = tracer, owns, script
        self.backwards: list[Backward] = []
        self.refused: list[Refused] = []
        self.models: dict[int, ModelFacts] = {}
        self.steppers: dict[int, Stepper] = {}
        self.built_at = 0
        self.steps = 0
        self._facts: dict[int, tuple[weakref.ref[torch.Tensor], Facts]] = {}
        self._surveyed = (-1, -1, -1)
        self._stepped = 0

    def facts(self, tensor: torch.Tensor) -> Facts:
        """The facts about a leaf, made on first sight."""
        known = self._facts.get(id(tensor))
        if known is not None and alive(known[0]) is tensor:
            return known[1]
        facts = Facts(self.tracer.nodes(tensor))
        self._facts[id(tensor)] = weakref.ref(tensor), facts
        return facts

    def tensor(self, facts: Facts) -> torch.Tensor | None:
        """The leaf that facts are about, if it lives."""
        for reference, known in self._facts.values():
            if known is facts:
                return alive(reference)
        return None

    # -- backward ------------------------------------------------------------------------------

    def start(self, roots: Iterable[torch.Tensor], *, nested: bool) -> Backward:
        """A backward begins, or one inside another, as checkpointing does."""
        if not nested or not self.backwards:
            self.backwards.append(Backward(calls=len(self.tracer.graph.calls)))
        backward = self.backwards[-1]
        backward.roots |= {self.tracer.node(root) for root in roots}
        return backward

    def carried(self, failed: Backward, places: Places) -> list[Blame]:
        """The lines that took values from before the last backward along into this one."""
        earlier = [b for b in self.backwards if b is not failed and b.error is None]
        if not earlier:
            return []
        return carried(self.tracer.graph, failed.roots, earlier[-1].calls, places)

    def arrived(
        self, roots: Iterable[torch.Tensor], only: Iterable[torch.Tensor] | None = None
    ) -> None:
        """Note what arrived at the leaves behind the roots."""
        reached: dict[int, torch.Tensor] = {}
        for root in roots:
            found = [root] if root.grad_fn is None and root.requires_grad else leaves_of(root)
            reached.update((id(leaf), leaf) for leaf in found)
        self.backwards[-1].leaves += [self.facts(leaf) for leaf in reached.values()]
        if only is not None:
            wanted = {id(tensor) for tensor in only}
            reached = {key: leaf for key, leaf in reached.items() if key in wanted}
        for leaf in reached.values():
            self.arrival(leaf, leaf.grad)

    def arrival(self, leaf: torch.Tensor, gradient: torch.Tensor | None) -> None:
        """Note one gradient; None was taken away by a hook as soon as it had arrived."""
        facts = self.facts(leaf)
        index = len(self.backwards) - 1
        if facts.right:
            facts.backwards.add(index)
        else:
            facts.arrived(index, 1.0 if gradient is None else _largest(gradient))

    def asked(self, tensor: torch.Tensor) -> None:
        """Note that ``.grad`` of a computed tensor was read, if it is made of one leaf only."""
        made, leaves = maker(tensor, self.tracer), list(leaves_of(tensor))
        if made is None or len(leaves) != 1:
            return
        node, facts = self.tracer.node(tensor), self.facts(leaves[0])
        if all(known.node != node for known in facts.asked):
            after = sum(1 for backward in self.backwards if backward.calls <= made.index)
            facts.asked.append(Asked(node, made, name_of(tensor, self._owns), after))

    # -- who is there --------------------------------------------------------------------------

    def survey(
        self, modules: Alive, optimizers: Alive, parameters: int, *, again: bool = False
    ) -> None:
        """Note which models there are and who holds their leaves, if anything is new."""
        now = (modules.made, optimizers.made, parameters)
        if now == self._surveyed and not again:
            return
        self._surveyed = now
        living = {serial for serial, _ in modules.items()}
        gone = {s: m for s, m in self.models.items() if s > 0 and s not in living}
        found = models.models(modules, self._owns, self._script)
        known = {id(leaf.tensor) for model in found for leaf in model.leaves}
        for serial, optimizer in optimizers.items():
            orphans = models.orphans(serial, optimizer, known, self._owns, self._script)
            found += [orphans] if orphans else []
            known |= {id(leaf.tensor) for leaf in orphans.leaves} if orphans else set()
        holders = self._holders(optimizers)
        rest = models.loose(self._loose(known, bool(optimizers.items())), known, self._script)
        found += [rest] if rest else []
        before = self.models.get(0)
        self.models = {**gone, **{m.serial: self._noted(m, holders) for m in found}}
        self._keep_noticed(before)

    def _keep_noticed(self, before: ModelFacts | None) -> None:
        """A leaf that something was noticed about is judged, also when it is gone."""
        now = self.models.get(0)
        known = {id(leaf.facts) for leaf in now.leaves} if now else set()
        lost = [f for f in before.leaves if id(f.facts) not in known] if before else []
        lost = [f for f in lost if f.facts.asked]
        if lost:
            self.models[0] = ModelFacts(
                self._script, [*lost, *(now.leaves if now else [])], loose=True
            )

    def stepper(self, serial: int) -> Stepper:
        """The notes about an optimizer."""
        return self.steppers.setdefault(serial, Stepper())

    def stepped(self, serial: int) -> None:
        """An optimizer made a step, with what the backwards since the last step gave it.

        Two optimizers may step one right after the other; then their own steps count.
        """
        stepper, now = self.stepper(serial), len(self.backwards)
        stepper.steps += 1
        since = self._stepped if self._stepped < now else stepper.seen
        stepper.backwards |= set(range(since, now))
        self._stepped = stepper.seen = now
        self.steps += 1

    def _holders(self, optimizers: Alive) -> dict[int, list[Stepper]]:
        found: dict[int, list[Stepper]] = {}
        for serial, optimizer in optimizers.items():
            for group in getattr(optimizer, "param_groups", ()):
                for tensor in group["params"]:
                    found.setdefault(id(tensor), []).append(self.stepper(serial))
        return found

    def _loose(
        self, known: set[int], optimizers: bool
    ) -> Iterator[tuple[torch.Tensor, str | None]]:
        """Leaves that belong to nothing: those that got a gradient and, where no optimizer says
        what is trained, those that the program has a name for."""
        living = [(alive(ref), facts) for ref, facts in list(self._facts.values())]
        found = {id(t): t for t, f in living if t is not None and f.backwards}
        lost = bool(self.backwards) and self.backwards[-1].without_history
        if not optimizers:
            for leaf in self.tracer.leaves():
                if id(leaf) in known or id(leaf) in found:
                    continue  # asking for a name looks through the program's variables
                if lost or global_name(leaf):
                    found[id(leaf)] = leaf
        for key, leaf in found.items():
            if key not in known:
                facts = self.facts(leaf)
                facts.name = facts.name or name_of(leaf, self._owns)
                yield leaf, facts.name

    def _noted(self, model: Model, holders: dict[int, list[Stepper]]) -> ModelFacts:
        leaves = []
        for leaf in model.leaves:
            tensor, hidden = leaf.tensor, leaf.hidden
            lazy = torch.nn.parameter.is_lazy(tensor)
            derived = None if hidden is None else hidden.derived
            made = tensor if derived is None else derived
            leaves.append(
                LeafFacts(
                    leaf.name,
                    () if lazy else tuple(tensor.shape),
                    tensor.requires_grad,
                    self.facts(tensor),
                    holders.get(id(tensor), []),
                    hidden is not None,
                    derived is not None,
                    self.tracer.nodes(made) if hidden is not None else set(),
                    0 if lazy else storage_of(tensor),
                )
            )
        return ModelFacts(model.target, leaves, model.serial == 0)


def _largest(gradient: torch.Tensor) -> float:
    """The largest magnitude in a gradient; NaN if it holds one."""
    values = gradient.detach()
    if values.is_sparse:
        values = values.coalesce().values()
    if values.numel() == 0:
        return 1.0
    if values.is_complex():
        return float(torch.linalg.vector_norm(values, float("inf")))
    low, high = torch.aminmax(values)  # on a CPU twenty times faster than the norm
    return max(-float(low), float(high))
