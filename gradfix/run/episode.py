"""What happens between the building of models and their first steps, written down as plain facts.

Nothing here keeps a tensor or a module alive: names, node numbers and counts are noted while the
objects live, so that a model may be judged after it is gone.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from gradfix.run import models
from gradfix.run.models import Alive, Model, global_name
from gradfix.run.owned import Owned
from gradfix.run.tracing import ScriptTracer, alive
from gradfix.verify.examine import leaves_of
from gradfix.verify.results import Blame


@dataclass(slots=True)
class Facts:
    """One leaf: its nodes in the graph, and what arrived at it in which backward."""

    nodes: set[int] = field(default_factory=set)
    right: int = 0
    zero: int = 0
    nonfinite: int = 0
    backwards: set[int] = field(default_factory=set)
    nodes_then: int = 0

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
    """One optimizer: how many steps it made in this episode; ``done`` if it made enough before."""

    steps: int = 0
    done: bool = False


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


@dataclass(slots=True)
class ModelFacts:
    """A model as it was when last looked at; ``loose`` are leaves of no module or optimizer."""

    target: str
    leaves: list[LeafFacts]
    loose: bool = False


@dataclass(slots=True)
class Backward:
    """One call of backward: the nodes it started from, and the error it ended with."""

    roots: set[int] = field(default_factory=set)
    error: Exception | None = None
    blame: list[Blame] = field(default_factory=list)


class Episode:
    """The facts of one episode, and the tracer that follows the values in it."""

    def __init__(self, tracer: ScriptTracer, owns: Owned, script: str) -> None:
        self.tracer, self._owns, self._script = tracer, owns, script
        self.backwards: list[Backward] = []
        self.models: dict[int, ModelFacts] = {}
        self.steppers: dict[int, Stepper] = {}
        self.built_at = 0
        self.steps = 0
        self._facts: dict[int, tuple[weakref.ref[torch.Tensor], Facts]] = {}
        self._surveyed = (-1, -1, -1)

    def facts(self, tensor: torch.Tensor) -> Facts:
        """The facts about a leaf, made on first sight."""
        known = self._facts.get(id(tensor))
        if known is not None and alive(known[0]) is tensor:
            return known[1]
        facts = Facts(self.tracer.nodes(tensor))
        self._facts[id(tensor)] = weakref.ref(tensor), facts
        return facts

    # -- backward ------------------------------------------------------------------------------

    def start(self, roots: Iterable[torch.Tensor], *, nested: bool) -> Backward:
        """A backward begins, or one inside another, as checkpointing does."""
        if not nested or not self.backwards:
            self.backwards.append(Backward())
        backward = self.backwards[-1]
        backward.roots |= {self.tracer.node(root) for root in roots}
        return backward

    def arrived(
        self, roots: Iterable[torch.Tensor], only: Iterable[torch.Tensor] | None = None
    ) -> None:
        """Note what arrived at the leaves behind the roots."""
        reached: dict[int, torch.Tensor] = {}
        for root in roots:
            found = [root] if root.grad_fn is None and root.requires_grad else leaves_of(root)
            reached.update((id(leaf), leaf) for leaf in found)
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
        self.models = {**gone, **{m.serial: self._noted(m, holders) for m in found}}

    def stepper(self, serial: int) -> Stepper:
        """The notes about an optimizer."""
        return self.steppers.setdefault(serial, Stepper())

    def _holders(self, optimizers: Alive) -> dict[int, list[Stepper]]:
        found: dict[int, list[Stepper]] = {}
        for serial, optimizer in optimizers.items():
            for group in getattr(optimizer, "param_groups", ()):
                for tensor in group["params"]:
                    found.setdefault(id(tensor), []).append(self.stepper(serial))
        return found

    def _loose(self, known: set[int], optimizers: bool) -> list[torch.Tensor]:
        """Leaves that belong to nothing: those that got a gradient and, where no optimizer says
        what is trained, those that the program's top level has a name for."""
        living = [(alive(ref), facts) for ref, facts in self._facts.values()]
        found = {id(t): t for t, f in living if t is not None and f.backwards}
        if not optimizers:
            found.update((id(leaf), leaf) for leaf in self.tracer.leaves() if global_name(leaf))
        return [leaf for key, leaf in found.items() if key not in known]

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
    return float(torch.linalg.vector_norm(values, float("inf")))
