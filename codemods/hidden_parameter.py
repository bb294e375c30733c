"""GF105: Parameters and layers that a Module cannot find."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.codemod import Codemod, NotFixable, Words
from gradfix.flow import ModuleFlow, classes, neighbours, unregistered
from gradfix.flow.containers import (
    Container,
    containers,
    is_collected_to_be_trained,
    is_empty,
    mode_changes,
    never_recorded,
    takes_some,
)
from gradfix.flow.handed_out import is_handed_out
from gradfix.flow.names import spelling
from gradfix.flow.nodes import walk
from gradfix.flow.queries import stores_of
from gradfix.flow.registered import (
    Held,
    constructed_before,
    held,
    is_registered,
    key_trouble,
    lists_children,
    registers_by_hand,
    walked_over,
)
from gradfix.flow.trained_apart import converted
from gradfix.flow.values import Kind
from gradfix.model import Edit, EditKind, Finding, Fix, Note

_BUILTINS = frozenset(
    """len enumerate zip list tuple reversed iter any all sum max min set map filter bool print str
    dict sorted""".split()
)
_LIST_METHODS = frozenset({"append", "extend", "insert"})
_DICT_METHODS = frozenset({"items", "keys", "values", "pop", "update"})
_OPTIMIZED = {"parameters", "named_parameters", "state_dict", "requires_grad", "requires_grad_"}

_LIKE_A_WEIGHT = "filled like a weight here"
#: Modules that register what they are given.
_KEEPERS = ("ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Sequential")


class HiddenParameter(Codemod):
    """Parameters or layers are kept where a Module does not find them.

    What it does
    ------------
    Finds Parameters and layers in plain lists, tuples and dicts that are attributes of an
    ``nn.Module``, and tensors with ``requires_grad=True`` that are attributes without being
    Parameters. Reports helper classes that hold layers and are no Modules, Parameters and layers
    that belong to a class instead of its objects, and random tensors that are multiplied with
    trained values and are neither Parameters nor buffers.

    Why is this bad?
    ----------------
    ``parameters()`` does not yield them: an optimizer never updates them, ``.to(device)`` does not
    move them, ``state_dict()`` does not save them. Nothing raises.

    Example
    -------
    ```python
    import torch
    import torch.nn as nn


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(3, 3), nn.Linear(3, 1)]

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x


    net = Net()
    net(torch.ones(3)).sum().backward()
    grads = [p.grad for p in net.parameters()] or None
    ```

    Use instead
    -----------
    ```python
    import torch
    import torch.nn as nn


    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 1)])

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return x


    net = Net()
    net(torch.ones(3)).sum().backward()
    grads = [p.grad for p in net.parameters()] or None
    ```

    Fix safety
    ----------
    Safe where all elements are Modules, or all are Parameters, and everything that is done with the
    attribute works with ``ModuleList``, ``ParameterList``, ``ModuleDict`` or ``ParameterDict``,
    too, also in other files of the project. Unsafe where keys are strings whose text is not known,
    where another file may do anything with an attribute of that name, where what is loaded was
    saved without these, where somebody unpacks or changes all Parameters or needs a gradient of
    each, where all that is computed with the list is cut off, where the file goes through the parts
    of Modules (``apply``, or a class that freezes all of its Parameters) or lists what objects hold
    (``vars``), and then meets new ones or misses the list, for Parameters that a method hands out,
    and for plain tensors that require grad: somebody may train those on purpose beside the weights.
    Manual for keys that are no strings or have dots, for functions or None among the elements, for
    ``[layer] * n``, for classes that go through their ``children()``, and for slices, ``.get``,
    ``+``, ``.sort`` and whatever else those classes lack. Lists of layers that are registered
    elsewhere, also in another file that names the class, and a single element hidden in a list, are
    left alone. Registered layers also follow ``to()`` and ``eval()``: unsafe for dropout and batch
    norm where the project calls it, and for ``half()`` in a class that casts what it computes.

    References
    ----------
    - https://docs.pytorch.org/docs/stable/generated/torch.nn.ModuleList.html
    - https://docs.pytorch.org/docs/stable/generated/torch.nn.ParameterList.html
    """

    code = "GF105"
    trigger = Words(
        "Module", pattern=re.compile(r"self\.\w+\s*=\s*(?:[\[({]|list\b|dict\b|tuple\b)")
    )

    def find(self, flow: ModuleFlow) -> Iterator[Finding]:
        """Everything that a Module holds and does not register."""
        for container in list(containers(flow)):
            yield from self._container(flow, container)
            weight = unregistered.initialised_element(flow, container)
            if weight is not None and not _is_deliberate(flow, container):
                yield self._initialised(flow, container.node, flow.note(weight, _LIKE_A_WEIGHT))
        for hidden in unregistered.tensors(flow):
            yield self._tensor(flow, hidden)
        for node, notes in unregistered.random_tensors(flow):
            yield self.finding(
                flow.span(node),
                "a random tensor is neither Parameter nor buffer; it is never trained or saved",
                because=notes,
                help="wrap it in nn.Parameter, or use register_buffer if it is to stay as it is",
                why_not="whether it is to be trained is not known",
            )
        for node, notes in unregistered.initialised_tensors(flow):
            yield self._initialised(flow, node, *notes)
        for node, notes in unregistered.of_classes(flow):
            yield self.finding(
                flow.span(node),
                "this belongs to the class, not to its objects; no Module registers it",
                because=notes,
                help="make it in `__init__` and assign it to `self`",
                why_not="whether all objects are to share it is not known",
            )
        for node, notes in unregistered.helpers(flow):
            yield self.finding(
                flow.span(node),
                "the layers of this object are not registered: its class is no nn.Module",
                because=notes,
                help="derive the class from nn.Module",
                why_not="the class has to become a Module by hand",
            )

    def _initialised(self, flow: ModuleFlow, node: ast.AST, *notes: Note) -> Finding:
        return self.finding(
            flow.span(node),
            "a tensor that is initialised like a weight is no Parameter; it is never trained",
            because=notes,
            help="wrap it in nn.Parameter",
            why_not="whether it is to be trained is not known",
        )

    # -- lists and dicts ----------------------------------------------------------------------

    def _container(self, flow: ModuleFlow, found: Container) -> Iterator[Finding]:
        kinds = [held(flow, node) for node in found.elements]
        weighted = [n for n, (_, sure) in zip(found.elements, kinds, strict=True) if sure]
        alone = len(found.elements) == 1 and not found.filled and not found.repeated
        if not weighted or (alone and not found.mapping) or _is_deliberate(flow, found):
            return
        (use, where), fix, why_not = neighbours.use_of(flow, found.facts, found.name), None, None
        if use is neighbours.Use.TRAINED:
            return
        try:
            flow.complete()
            fix = self._registered(flow, found, {kind for kind, _ in kinds}, use, where)
        except NotFixable as reason:
            why_not = str(reason)
        what = "dict" if found.mapping else "tuple" if isinstance(found.node, ast.Tuple) else "list"
        because = [flow.note(weighted[0], "this has weights, and no Module finds it")]
        if found.handed is not None:
            because.append(flow.note(found.handed, "the Module gets the list here"))
        yield self.finding(
            flow.span(found.store.statement if found.handed is None else found.node),
            f"what is in `self.{found.name}` is not registered: it is a plain {what}",
            because=tuple(because),
            help="use nn.ModuleList, nn.ModuleDict, nn.ParameterList or nn.ParameterDict",
            fix=fix,
            why_not=why_not,
        )

    def _registered(
        self,
        flow: ModuleFlow,
        found: Container,
        kinds: set[Held],
        use: neighbours.Use,
        where: str,
    ) -> Fix:
        if found.unseen:
            raise NotFixable(found.unseen)
        if use is neighbours.Use.BREAKS:
            raise NotFixable(f"what {where} does with `.{found.name}` needs a plain list or dict")
        if found.repeated:
            raise NotFixable("the same object is repeated; whether weights are shared is not known")
        if len(kinds) != 1 or not kinds <= {Held.MODULE, Held.PARAMETER}:
            raise NotFixable("not all elements are layers, or Parameters")
        late = constructed_before(flow, found.facts, found.store.node)
        if late is not None:
            raise NotFixable(late)
        if lists_children(flow, found.facts):
            raise NotFixable("the class goes through its children, and would meet a new one")
        parameters = kinds == {Held.PARAMETER}
        # What a method hands out may be trained beside ``parameters()``, on purpose.
        handed_out = is_handed_out(flow, found, parameters=parameters)
        elsewhere = use is neighbours.Use.UNCLEAR
        walk_over, by_mode = walked_over(flow, found.facts), mode_changes(flow, found)
        new = (flow, found.facts, found.name)
        minded = neighbours.minded_by(*new, unused=takes_some(flow, found), layers=not elsewhere)
        minded = minded or never_recorded(flow, found) or converted(flow, found.facts.node)
        doubt = "what a method hands out may be trained beside `parameters()`" if handed_out else ""
        if elsewhere:
            doubt = f"{where or 'another file'} uses `.{found.name}`, too"
        if walk_over is not None:
            doubt = f"line {flow.span(walk_over).row} goes through all parts of Modules"
        doubt = minded or doubt
        if by_mode:
            doubt = "from now on `eval()` reaches them, and they compute something else then"
        for key in found.keys:
            trouble, certain = key_trouble(flow, key)
            if trouble:
                raise NotFixable(trouble)
            doubt = doubt or ("" if certain else "whether the keys are all strings is not known")
        edits = [
            edit
            for read in found.reads
            if (edit := _adapted(flow, found, read, parameters)) is not None
        ]
        name = ("Parameter" if parameters else "Module") + ("Dict" if found.mapping else "List")
        wrapper = spelling(flow, found.store.scope, f"torch.nn.{name}")
        if wrapper is None:
            raise NotFixable(f"the file has no name for torch.nn.{name}")
        text = "" if is_empty(found.node) else flow.source_of(found.node)
        edits.append(
            Edit(EditKind.REPLACE, flow.span(found.node), f"{wrapper}({text})"),
        )
        return self.fix(f"use {wrapper}", *edits, doubt=doubt)

    # -- tensors ------------------------------------------------------------------------------

    def _tensor(self, flow: ModuleFlow, hidden: unregistered.Hidden) -> Finding:
        fix, why_not = None, None
        wrapper = spelling(flow, hidden.store.scope, "torch.nn.Parameter")
        late = constructed_before(flow, hidden.facts, hidden.store.node)
        if hidden.trouble or late or wrapper is None:
            why_not = hidden.trouble or late or "the file has no name for torch.nn.Parameter"
        else:
            edit = Edit(EditKind.REPLACE, flow.span(hidden.node), f"{wrapper}({hidden.data})")
            doubt = "another file may train it on purpose beside `parameters()`"
            fix = self.fix(f"use {wrapper}", edit, doubt=doubt)
        return self.finding(
            flow.span(hidden.store.statement),
            f"`self.{hidden.store.name}` requires grad, but is no Parameter: it is not registered",
            because=(flow.note(hidden.use, "it is used here, and gets a gradient"),),
            help="wrap it in nn.Parameter",
            fix=fix,
            why_not=why_not,
        )


def _is_deliberate(flow: ModuleFlow, found: Container) -> bool:
    """Whether the elements are registered or trained in another way, or meant to stay hidden."""
    if found.shared or registers_by_hand(flow, found.facts):
        return True
    if any(
        store.scope is found.store.scope
        and store.node is not found.store.node
        and (store.value.kind is Kind.MODULE or classes.is_module(flow, store.value))
        for store in stores_of(flow, found.name)
    ):
        return True  # the list only collects what a Module is made of
    own = [is_registered(flow, found.facts, node) for node in found.elements]
    if any(own):
        return True
    if is_collected_to_be_trained(flow, found):
        return True
    for read in found.reads:
        if any(isinstance(n, ast.Attribute) and n.attr in _OPTIMIZED for n in _around(flow, read)):
            return True
        call = flow.enclosing(read, ast.Call)
        while call is not None and read not in set(walk(call.func)):  # else an element is called
            if _takes(flow, call):
                return True
            call = flow.enclosing(call, ast.Call)
    return False


def _takes(flow: ModuleFlow, call: ast.Call) -> bool:
    """Whether a call registers or trains what it is given, or may do so."""
    name = flow.value(call.func).name
    if name.startswith("torch.nn.") and name.endswith(_KEEPERS):
        outer = flow.parents.get(call)
        if not (isinstance(outer, ast.Call) and outer.func is call):
            return True
    return name.startswith("torch.optim.") or _is_given_self(call)


def _is_given_self(call: ast.Call) -> bool:
    """Whether a call gets the Module itself, and may register what else it gets."""
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return any(isinstance(node, ast.Name) and node.id == "self" for node in given)


def _around(flow: ModuleFlow, read: ast.AST) -> Iterator[ast.AST]:
    """The statement a read stands in, without the bodies of other statements than loops over it."""
    statement = flow.enclosing(read, ast.stmt)
    if isinstance(statement, (ast.For, ast.AsyncFor)):
        inside = read in set(walk(statement.iter))
        yield from walk(statement if inside else statement.iter)
    elif isinstance(statement, (ast.If, ast.While)):
        yield from walk(statement.test)
    elif statement is not None and not isinstance(statement, (ast.With, ast.FunctionDef, ast.Try)):
        yield from walk(statement)


def _adapted(flow: ModuleFlow, found: Container, read: ast.Attribute, params: bool) -> Edit | None:
    """The edit that a read needs, if any. Raises NotFixable where the new class cannot do it."""
    parent = flow.parents.get(read)
    row = flow.span(read).row
    if isinstance(parent, (ast.For, ast.comprehension)) and parent.iter is read:
        return None
    if isinstance(parent, (ast.Starred, ast.BoolOp, ast.UnaryOp, ast.If, ast.While)):
        return None
    if isinstance(parent, ast.IfExp) and parent.test is read:
        return None
    if isinstance(parent, ast.Compare) and isinstance(parent.ops[0], (ast.In, ast.NotIn)):
        if read in parent.comparators:
            return None
    if isinstance(parent, ast.Subscript) and parent.value is read:
        if isinstance(parent.slice, ast.Slice):
            raise NotFixable(f"a slice is taken on line {row}")
        if isinstance(parent.ctx, ast.Load) or found.mapping:
            return None
    if isinstance(parent, ast.keyword) and parent.arg is None and found.mapping:
        return None
    if isinstance(parent, ast.Attribute):
        _must_have_method(flow, found, parent, params)
        return None
    if isinstance(parent, ast.Call) and read in parent.args:
        function = flow.value(parent.func)
        name = function.name if function.kind is Kind.REFERENCE else ""
        if name.removeprefix("builtins.") in _BUILTINS and name.startswith("builtins."):
            return None
        if name.startswith("torch.") and params and not found.mapping:
            # PyTorch's functions take lists and tuples, but no ParameterList.
            return Edit(EditKind.REPLACE, flow.span(read), f"list({flow.source_of(read)})")
    raise NotFixable(f"it is not known whether line {row} works with the new class")


def _must_have_method(
    flow: ModuleFlow, found: Container, node: ast.Attribute, parameters: bool
) -> None:
    """Raise NotFixable unless the new class has the method, and with the same result."""
    known = (
        _DICT_METHODS if found.mapping else _LIST_METHODS - ({"insert"} if parameters else set())
    )
    call = flow.parents.get(node)
    if node.attr not in known or not isinstance(call, ast.Call):
        raise NotFixable(f"`.{node.attr}` is not the same for the new class")
    if found.mapping and node.attr in ("pop", "update") and len(call.args) != 1:
        raise NotFixable(f"`.{node.attr}` is not the same for the new class")
    if found.mapping and parameters and node.attr != "update":
        around = flow.parents.get(call)
        if not (isinstance(around, (ast.For, ast.comprehension)) and around.iter is call):
            # ParameterDict returns generators here.
            raise NotFixable(f"`.{node.attr}` is not the same for the new class")
