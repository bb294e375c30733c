"""Weights that are kept as they were, but not copied: the updates that follow change them, too.

NOTE: the idea
    Keeping a view of a weight is no fault; much code wants to follow the weight. What tells a
    *snapshot* is a use that makes no sense for anything but a copy: the kept weights are compared
    with the present ones, loaded back into the Module they came from, taken a second time, or put
    into a list in every turn of a loop; and the weights are updated in place in between.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gradfix.flow.iterators import may_follow
from gradfix.flow.memories import (
    Memories,
    Memory,
    added_to,
    assigned_value,
    defined_inside,
    loops_around,
    related,
    root_of,
    within,
)
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import own_nodes, own_text, reaching, uses_of
from gradfix.flow.nodes import last_name, walk
from gradfix.flow.state import AttributeStore, Scope
from gradfix.flow.updates import Update, moves, updates
from gradfix.flow.versions import Definition

#: Functions and methods whose result says how far two tensors or arrays are apart.
_COMPARERS = frozenset(
    """equal allclose isclose array_equal assert_allclose assert_close assert_equal
    assert_array_equal assert_array_almost_equal assertEqual mse_loss l1_loss dist sub eq ne
    subtract not_equal copy_""".split()
)
#: How weights are spoken of where neither a leaf nor an attribute of one is known by name.
_WEIGHTS = ("parameters(", "state_dict(", ".weight", ".bias")


@dataclass(eq=False, slots=True)
class Snapshot:
    """Kept weights that change: ``reads`` are the uses that expect them not to.

    ``update`` is None where the update is made by whoever hands the Module in.
    """

    memory: Memory
    name: str
    update: Update | None
    reads: list[ast.AST] = field(default_factory=list)


def stale_snapshots(flow: ModuleFlow) -> Iterator[tuple[Scope, Snapshot]]:
    """Every snapshot without a copy that is used after an update of the weights."""
    leaves = {f".{store.name}" for store in flow.all(AttributeStore) if store.value.is_leaf}
    for scope in flow.scopes:
        if isinstance(scope.node, ast.ClassDef) or not _names_weights(flow, scope, leaves):
            continue
        made = list(updates(flow, scope))
        if made and not _rebinds_data(scope):
            search = _Search(flow, scope, made)
            search.run()
            for found in search.found.values():
                yield scope, found


def _names_weights(flow: ModuleFlow, scope: Scope, leaves: set[str]) -> bool:
    """Whether weights can be spoken of in a scope at all; a look at its text."""
    text = own_text(flow, scope)
    return (
        any(word in text for word in _WEIGHTS)
        or any(name in text for name in leaves)
        or any(definition.value.is_leaf for definition in scope.definitions)
    )


def _rebinds_data(scope: Scope) -> bool:
    """Whether ``x.data = y`` gives tensors other memory, so that what was kept stays as it was."""
    return any(
        isinstance(target, ast.Attribute) and target.attr == "data"
        for node in own_nodes(scope)
        if isinstance(node, ast.Assign)
        for target in node.targets
    )


class _Search:
    """The search in one scope."""

    def __init__(self, flow: ModuleFlow, scope: Scope, made: list[Update]) -> None:
        self.flow = flow
        self.scope = scope
        self.updates = made
        self.memories = Memories(flow, scope)
        self.found: dict[ast.expr, Snapshot] = {}

    def run(self) -> None:
        for node in own_nodes(self.scope):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
                self._compare(node, [node.left, node.right])
            elif isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
                self._compare(node, [node.left, *node.comparators])
            elif isinstance(node, ast.Call):
                self._called(node)
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
                if isinstance(node.targets[0].slice, ast.Constant):
                    self._put(node, node.targets[0], node.value)
                else:
                    self._kept(node, node.targets[0].value, node.value)
        self._taken_twice()
        self._taken_when_better()

    def _called(self, node: ast.Call) -> None:
        func = node.func
        name = last_name(func)
        if name in _COMPARERS:
            receiver = func.value if isinstance(func, ast.Attribute) else None
            first = [] if receiver is None else [receiver]
            self._compare(node, [*first, *node.args])
        elif name == "load_state_dict" and isinstance(func, ast.Attribute) and node.args:
            self._loaded(node, func.value)
        elif name == "append" and isinstance(func, ast.Attribute) and len(node.args) == 1:
            self._kept(node, func.value, node.args[0])

    # -- what only makes sense for a copy -----------------------------------------------------

    def _compare(self, node: ast.AST, operands: list[ast.expr]) -> None:
        """Kept weights and present ones of the same Module in one comparison."""
        kept = [(o, m) for o in operands for m in self.memories.of(o) if m.origin is not None]
        if not kept or len(operands) < 2:
            return
        for operand, old in kept:
            for other in operands:
                for new in self.memories.of(other, copies=True) if other is not operand else ():
                    same = new.place == old.place and new.each == old.each
                    if same and new.origin is not old.origin and not old.copied:
                        self._judge_pair(node, old, new)

    def _judge_pair(self, node: ast.AST, old: Memory, new: Memory) -> None:
        then = node if new.origin is None else new.taken
        if new.copied and new.origin is not None and self._between(new, node) is not None:
            return  # the copy is the older of the two
        self._judge(old, then, node)

    def _loaded(self, node: ast.Call, model: ast.expr) -> None:
        """``net.load_state_dict(kept)`` of what ``net`` itself shares: it does nothing."""
        root = root_of(model)
        if root is None:
            return
        place = (ast.unparse(model), reaching(self.scope, root))
        for old in self.memories.of(node.args[0]):
            if old.form == "dict" and old.origin is not None and old.place == place:
                if not self._is_placeholder(old.origin, node.args[0]):
                    self._judge(old, node, node)

    def _is_placeholder(self, origin: Definition, read: ast.expr) -> bool:
        """Whether a loop behind a definition that stands in none gives the name a copy."""
        shared = {memory.origin for memory in self.memories.of(read)}
        others = reaching(self.scope, read) - shared
        return not origin.loops and any(other.loops for other in others)

    def _kept(self, node: ast.AST, container: ast.expr, value: ast.expr) -> None:
        """The same weights go into a list again and again while a loop updates them."""
        if not isinstance(container, ast.Name):
            return
        definitions = reaching(self.scope, container)
        walked = [d.node for n in walk(value) for d in reaching(self.scope, n) if d.how == "for"]
        for loop in loops_around(self.flow, node):
            if isinstance(loop, ast.For) and any(within(self.flow, d, loop.target) for d in walked):
                continue  # a loop over the weights: another one in every turn
            if any(d.how != "assign" or within(self.flow, d.node, loop) for d in definitions):
                return
            for new in self.memories.of(value):
                if new.origin is not None or new.how in ("leaf", "parameters", "named_parameters"):
                    continue
                update = next((u for u in self._of(new) if within(self.flow, u.node, loop)), None)
                if update is None or defined_inside(self.flow, new.roots, loop):
                    continue
                reads = [
                    use
                    for d in definitions
                    for use in uses_of(self.scope, d)
                    if not within(self.flow, use, node) and not self._last(use)
                ]
                if reads and definitions and not self._moved(new, node):
                    found = Snapshot(new, container.id, update, reads)
                    self.found.setdefault(new.taken, found)
                    return

    def _last(self, use: ast.AST) -> bool:
        """Whether a use of a list asks for its length or its last element only."""
        parent = self.flow.parents.get(use)
        if isinstance(parent, ast.Call) and getattr(parent.func, "id", "") == "len":
            return True
        if added_to(self.flow, use) is not None:
            return True
        return isinstance(parent, ast.Subscript) and ast.unparse(parent.slice) == "-1"

    def _taken_twice(self) -> None:
        """The same view is taken again after the update, and both are looked at."""
        named: list[tuple[Definition, Memory]] = []
        for definition in self.scope.definitions:
            statement = definition.statement
            if definition.how == "assign" and isinstance(statement, ast.Assign):
                if isinstance(definition.node, ast.Name) and statement.targets == [definition.node]:
                    found = self.memories.of(statement.value)
                    if len(found) == 1 and found[0].origin is None and found[0].how != "leaf":
                        named.append((definition, found[0]))
        for first, old in named:
            for second, new in named:
                same = old.place == new.place and old.form == new.form and first is not second
                if not same or first.name == second.name or old.how in _LIVE or new.how in _LIVE:
                    continue
                seen = uses_of(self.scope, second)
                for use in uses_of(self.scope, first):
                    if seen and self.flow.span(use) > self.flow.span(second.node):
                        kept = Memory(
                            old.path, old.roots, old.form, old.taken, old.how, origin=first
                        )
                        if not loops_around(self.flow, second.node):
                            self._judge(kept, second.node, use)

    def _taken_when_better(self) -> None:
        """``if loss < best: kept = net.state_dict()`` in a loop, used outside of the ``if``."""
        for definition in self.scope.definitions:
            value = assigned_value(definition)
            if definition.how != "assign" or value is None or not definition.loops:
                continue
            branch = self._branch(value)
            if branch is None:
                continue
            for old in self.memories.of(value):
                if old.origin is None and old.how not in _LIVE and not old.each:
                    for use in uses_of(self.scope, definition):
                        if not within(self.flow, use, branch) and self._is_value(use):
                            self._judge(replace(old, origin=definition), use, use)

    def _put(self, node: ast.AST, target: ast.Subscript, value: ast.expr) -> None:
        """The same for ``checkpoint["best"] = net.state_dict()``."""
        branch, container = self._branch(node), target.value
        if branch is None or not isinstance(container, ast.Name):
            return
        key = ast.unparse(target.slice)
        around = loops_around(self.flow, branch)
        for old in self.memories.of(value):
            for definition in reaching(self.scope, container):
                if old.how in _LIVE or any(within(self.flow, definition.node, x) for x in around):
                    continue
                for use in uses_of(self.scope, definition):
                    parent = self.flow.parents.get(use)
                    if isinstance(parent, ast.Subscript) and ast.unparse(parent.slice) != key:
                        continue
                    if isinstance(parent, ast.Attribute) or within(self.flow, use, branch):
                        continue
                    reads = parent if isinstance(parent, ast.Subscript) else use
                    if self._is_value(reads):
                        self._judge(old, use, use, container.id)

    def _branch(self, node: ast.AST) -> ast.If | None:
        """The ``if`` around a node, where it compares values rather than asking once or whether."""
        branch = self.flow.enclosing(node, ast.If)
        loop = next(iter(loops_around(self.flow, node)), None)
        if branch is None or loop is None or not within(self.flow, branch, loop):
            return None
        test = branch.test
        if not isinstance(test, ast.Compare):
            return branch if isinstance(test, ast.Name) else None
        sides = [test.left, *test.comparators]
        plain = isinstance(test.ops[0], (ast.Lt, ast.Gt, ast.LtE, ast.GtE, ast.Eq))
        return branch if plain and not any(isinstance(x, ast.Constant) for x in sides) else None

    def _is_value(self, use: ast.AST) -> bool:
        """Whether a use is for what the kept weights are, not whether there are any."""
        parent = self.flow.parents.get(use)
        if isinstance(parent, (ast.If, ast.BoolOp, ast.UnaryOp, ast.Compare, ast.Delete)):
            return False
        return isinstance(getattr(use, "ctx", None), ast.Load)

    # -- time ---------------------------------------------------------------------------------

    def _judge(self, old: Memory, then: ast.AST, read: ast.AST, name: str = "") -> None:
        """Note a read of kept weights as it was ``then``, if an update came in between."""
        update = self._between(old, then)
        if update is None or self._is_handle(old) or self._moved(old, read):
            return
        name = name or (old.origin.name if old.origin is not None else "")
        known = self.found.setdefault(old.taken, Snapshot(old, name, update))
        if read not in known.reads:
            known.reads.append(read)

    def _of(self, memory: Memory) -> Iterator[Update]:
        for update in self.updates:
            if not update.paths or any(related(path, memory.path) for path in update.paths):
                yield update

    def _between(self, old: Memory, then: ast.AST) -> Update | None:
        """An update that may run after the weights were taken and before ``then``."""
        for update in self._of(old):
            taken, at = old.taken, update.node
            if within(self.flow, then, at):
                continue  # ``net.load_state_dict(kept)`` is no update that it could miss itself
            if may_follow(self.flow, taken, at):
                if may_follow(self.flow, at, then) or self._in_next_turn(old, at, then):
                    return update
            for loop in loops_around(self.flow, taken):
                if not within(self.flow, at, loop) or defined_inside(self.flow, old.roots, loop):
                    continue
                if not may_follow(self.flow, at, then) or may_follow(self.flow, taken, at):
                    continue
                skipped = self._is_conditional(taken, loop, at)
                again = within(self.flow, then, loop) and self.flow.span(taken) > self.flow.span(
                    then
                )
                if skipped or again:
                    return update
        return None

    def _in_next_turn(self, old: Memory, update: ast.AST, then: ast.AST) -> bool:
        """Whether a loop that begins after the weights were taken updates and then comes back."""
        return any(
            within(self.flow, then, loop)
            and not within(self.flow, old.taken, loop)
            and not defined_inside(self.flow, old.roots, loop)
            for loop in loops_around(self.flow, update)
        )

    def _is_conditional(self, node: ast.AST, loop: ast.AST, update: ast.AST) -> bool:
        """Whether some turn of the loop updates without taking the weights anew."""
        at = self.flow.parents.get(node)
        while at is not None and at is not loop:
            if isinstance(at, ast.If) and not within(self.flow, update, at):
                return True
            at = self.flow.parents.get(at)
        return False

    def _is_handle(self, old: Memory) -> bool:
        """Whether the code writes through the kept name: it wants the weights themselves."""
        if old.origin is None:
            return False
        for node in own_nodes(self.scope):
            target = written(node)
            if target is not None:
                known = [m.origin for m in self.memories.of(target)]
                base = root_of(target)
                if old.origin in known:
                    return True
                if base is not None and old.origin in reaching(self.scope, base):
                    if added_to(self.flow, base) is None or old.how == "state_dict":
                        return True
        return False

    def _moved(self, old: Memory, read: ast.AST) -> bool:
        """Whether the Module may get other memory before the read (``net.half()``)."""
        return any(
            related(path, old.path) and not may_follow(self.flow, node, old.taken)
            for path, node in moves(self.scope)
        )


#: Listings that give the Parameters themselves.
_LIVE = frozenset({"parameters", "named_parameters", "leaf"})


def written(node: ast.AST) -> ast.expr | None:
    """The expression whose memory or contents a node changes; None where it changes nothing."""
    if isinstance(node, ast.AugAssign):
        return node.target
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
        return node.targets[0].value
    if isinstance(node, ast.Delete) and isinstance(node.targets[0], ast.Subscript):
        return node.targets[0].value
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        name = node.func.attr
        in_place = name.endswith("_") and not name.startswith("_") and name != "requires_grad_"
        if in_place or name in ("update", "pop", "fill", "sort"):
            return node.func.value
    return None


def only_compared(flow: ModuleFlow, scope: Scope, found: Snapshot) -> bool:
    """Whether every use of the kept name is one of those reads, or the loop around one."""
    origin = found.memory.origin
    for use in uses_of(scope, origin) if origin is not None else ():
        if any(within(flow, use, read) for read in found.reads):
            continue
        at: ast.AST | None = use
        while at is not None and not isinstance(at, (ast.For, ast.comprehension, ast.stmt)):
            at = flow.parents.get(at)
        around = flow.parents.get(at) if isinstance(at, ast.comprehension) else at
        if around is None or not any(within(flow, read, around) for read in found.reads):
            return False
    return True
