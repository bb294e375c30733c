"""GF311: ``requires_grad`` is set on a Module, which has no such flag."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod
from gradfix.flow import ModuleFlow
from gradfix.flow.module_flags import ignored_flags
from gradfix.model import Edit, EditKind, Finding, Values


class IgnoredFlag(Codemod):
    """A Module is to be frozen by a flag that only tensors have.

    What it does
    ------------
    Finds ``module.requires_grad = False`` for layers, Modules of the project, what ``.modules()``
    and ``.children()`` yield, and whatever is called or asked for its ``parameters()`` as well.

    Why is this bad?
    ----------------
    It binds a new attribute that nobody reads. All Parameters of the Module still require grad:
    what was to stay as it is gets gradients, and an optimizer that holds it trains it.

    Example
    -------
    ```python
    import torch
    from torch import nn

    backbone = nn.Linear(3, 3)
    backbone.requires_grad = False
    head = nn.Linear(3, 1)
    head(backbone(torch.ones(3))).sum().backward()
    trained = backbone.weight.grad is not None
    ```

    Use instead
    -----------
    ```python
    import torch
    from torch import nn

    backbone = nn.Linear(3, 3)
    backbone.requires_grad_(False)
    head = nn.Linear(3, 1)
    head(backbone(torch.ones(3))).sum().backward()
    trained = backbone.weight.grad is not None
    ```

    Fix safety
    ----------
    Unsafe: from then on the Module is frozen, which is what the code says and not what it does
    today; results of training change. Classes that define the flag themselves, and files that read
    it, are left alone.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.requires_grad_
    """

    code = "GF311"
    trigger = re.compile(r"\.requires_grad\s*=(?!=)")

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Every flag that is set on a Module."""
        for store, module in ignored_flags(flow):
            statement, fix, why_not = store.statement, None, None
            assert isinstance(store.node, ast.Attribute)
            on = bool(store.value.const)
            if isinstance(statement, ast.Assign) and statement.targets == [store.node]:
                text = f"{flow.source_of(store.node.value)}.requires_grad_({on})"
                edit = Edit(EditKind.STATEMENT, flow.span(statement), text)
                title = f"{'train' if on else 'freeze'} the Module's Parameters"
                doubt = "other Parameters are trained then than today"
                fix = self.fix(title, edit, doubt=doubt, values=Values.CHANGED)
            else:
                why_not = "several targets are assigned at once"
            yield self.finding(
                flow.span(store.node),
                f"a Module has no flag `requires_grad`: nothing is {'trained' if on else 'frozen'}",
                because=(flow.note(module, "the Module comes from here"),),
                help=f"call `requires_grad_({on})`, which goes through all Parameters",
                fix=fix,
                why_not=why_not,
            )
