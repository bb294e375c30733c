"""GF204: weights are kept as a snapshot without a copy, and the update changes the snapshot."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow
from gradfix.flow.collected import Collected, collected_in_place
from gradfix.flow.kept_states import kept_models, kept_states
from gradfix.flow.names import spelling
from gradfix.flow.nodes import walk
from gradfix.flow.snapshots import Snapshot, only_compared, stale_snapshots
from gradfix.flow.source_text import bracketed
from gradfix.flow.state import Scope
from gradfix.model import Edit, EditKind, Finding, Fix, Values

_MEANT = "the present values may be meant"


class StaleSnapshot(Codemod):
    """Weights are kept for later without a copy; the next update changes what was kept.

    What it does
    ------------
    Finds ``old = w.detach()`` (also ``.data``, ``.numpy()``, a list over ``net.parameters()``,
    ``net.state_dict()``) where the weights are then updated in place and ``old`` is used as if it
    still had the former values: it is compared with the weights, loaded back into the same module,
    taken a second time, or collected in a list turn by turn. Finds ``best_model = model`` where a
    loop keeps the best one and goes on training it, too, and states that an object keeps for a
    Module that is passed to it. Finds tensors that a loop writes in place and collects in a list.

    Why is this bad?
    ----------------
    All of these share the memory of the weights. The difference is always zero, the best weights
    are the last ones, and every entry of the history is the same. Nothing raises.

    Example
    -------
    ```python
    import torch
    from torch import nn

    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    before = net.weight.detach()
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    loss = (net.weight - before).abs().sum()
    grad = net.weight.grad
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn

    net = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    before = net.weight.detach().clone()
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    loss = (net.weight - before).abs().sum()
    grad = net.weight.grad
    ```

    Fix safety
    ----------
    Unsafe: values change, which is the purpose, and code may have come to rely on the present ones.
    Manual where the kept Parameters are used for other things, too. Left alone: views that are
    written through, what is only read before the update, what is compared with another module, and
    functions that give tensors other memory (``p.data = ...``), because then the kept one stays.

    References
    ----------
    - https://docs.pytorch.org/tutorials/beginner/saving_loading_models.html
    """

    code = "GF204"
    trigger = Words(
        "state_dict(", "parameters(", ".weight", ".bias", "requires_grad", "Parameter(", ".append("
    )

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every snapshot that an update changes."""
        for scope, found in (*stale_snapshots(flow), *kept_states(flow), *kept_models(flow)):
            fix, why_not = None, None
            try:
                fix = self._copy(flow, scope, found)
            except NotFixable as reason:
                why_not = str(reason)
            taken, update = found.memory.taken, found.update
            yield self.finding(
                flow.span(taken),
                f"`{found.name}` is no copy: it changes with the weights",
                because=(
                    flow.note(taken, "this shares the memory of the weights"),
                    *(
                        (flow.note(update.node, "which are updated in place here"),)
                        if update is not None
                        else ()
                    ),
                    flow.note(found.reads[0], "so this finds the present values, not the former"),
                ),
                help="keep a copy",
                fix=fix,
                why_not=why_not,
            )

        for entry in collected_in_place(flow):
            yield self._collected(flow, entry)

    def _collected(self, flow: ModuleFlow, entry: Collected) -> Finding:
        name = entry.name.id
        edit = Edit(EditKind.REPLACE, flow.span(entry.name), f"{name}.clone()")
        return self.finding(
            flow.span(entry.name),
            f"`{name}` is collected without a copy: all entries hold what the last turn leaves",
            because=(
                flow.note(entry.write.node, "the tensor is written in place here, in every turn"),
                flow.note(entry.read, "so this finds the same values in all entries"),
            ),
            help="keep a copy",
            fix=self.fix("keep a copy", edit, doubt=_MEANT, values=Values.CHANGED),
        )

    def _copy(self, flow: ModuleFlow, scope: Scope, found: Snapshot) -> Fix:
        memory = found.memory
        live = memory.how in ("leaf", "parameters", "named_parameters")
        if live and not only_compared(flow, scope, found):
            raise NotFixable(f"`{found.name}` holds the Parameters themselves and is used as such")
        node = memory.taken
        text = flow.source_of(node)
        if memory.how == "numpy":
            text = f"{text}.copy()"
        elif memory.how == "model":
            deepcopy = spelling(flow, scope, "copy.deepcopy")
            if deepcopy is None:
                raise NotFixable("the file has no name for copy.deepcopy")
            text = f"{deepcopy}({text})"
        elif memory.how in ("leaf", "tensor"):
            detach = ".detach()" if memory.how == "leaf" else ""
            text = f"{bracketed(text, node)}{detach}.clone()"
        else:
            text = self._listing(flow, scope, found)
        edit = Edit(EditKind.REPLACE, flow.span(node), text)
        return self.fix("keep a copy", edit, doubt=_MEANT, values=Values.CHANGED)

    def _listing(self, flow: ModuleFlow, scope: Scope, found: Snapshot) -> str:
        """A copy of everything that ``parameters()`` or ``state_dict()`` lists."""
        memory = found.memory
        text = next(
            flow.source_of(node)
            for node in walk(memory.taken)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == memory.how
        )
        root = memory.path.partition(".")[0]
        name, value = ("k", "v") if root not in ("k", "v") else ("key", "value")
        if memory.how == "parameters":
            return f"[{value}.detach().clone() for {value} in {text}]"
        if memory.how == "named_parameters" and _makes_dict(memory.taken):
            return f"{{{name}: {value}.detach().clone() for {name}, {value} in {text}}}"
        if memory.how == "named_parameters":
            return f"[({name}, {value}.detach().clone()) for {name}, {value} in {text}]"
        deepcopy = spelling(flow, scope, "copy.deepcopy")
        if deepcopy is not None:
            return f"{deepcopy}({text})"
        return f"{{{name}: {value}.clone() for {name}, {value} in {text}.items()}}"


def _makes_dict(node: ast.expr) -> bool:
    """Whether the expression is ``dict(...)`` or the like, not the listing itself."""
    name = node.func if isinstance(node, ast.Call) else None
    return isinstance(name, ast.Name) and name.id.lower().endswith("dict")
