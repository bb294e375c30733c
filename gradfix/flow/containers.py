"""Plain lists and dicts that are attributes of Modules: what they hold, and what is done with them.

Terms: a *fill* puts an element in (``append``, ``d[key] = value``, ``+=``); a *read* is every other
use of the attribute.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gradfix.flow import classes
from gradfix.flow.arguments import calls_to
from gradfix.flow.around import files_below, top_of
from gradfix.flow.module import ModuleFlow
from gradfix.flow.names import captured, reaching, uses_of
from gradfix.flow.nodes import walk
from gradfix.flow.rebound import switches_off
from gradfix.flow.returned_lists import hands_out_lists, returned_list
from gradfix.flow.state import AttributeStore, Scope
from gradfix.flow.trained_apart import handed_to_be_trained
from gradfix.flow.values import Kind


@dataclass(eq=False, slots=True)
class Container:
    """One plain container attribute of a Module class.

    ``unseen`` says why some of the contents are not known; ``repeated`` that one object is put in
    several times (``[block] * n``); ``shared`` that a local name of it goes to other code as well.
    ``handed`` is the call of a function in this file that makes the container and returns it.
    """

    store: AttributeStore
    facts: classes.ClassFacts
    node: ast.expr
    mapping: bool
    elements: list[ast.expr] = field(default_factory=list)
    keys: list[ast.expr] = field(default_factory=list)
    reads: list[ast.Attribute] = field(default_factory=list)
    unseen: str = ""
    repeated: bool = False
    shared: bool = False
    filled: bool = False
    handed: ast.Call | None = None

    @property
    def name(self) -> str:
        """The attribute's name."""
        return self.store.name


def containers(flow: ModuleFlow) -> Iterator[Container]:
    """Every plain container that a method of a class binds to an attribute of a Module."""
    if hands_out_lists(flow) and classes.has_modules(flow):
        flow.complete()
    for store in flow.all(AttributeStore):
        if store.value.kind not in (Kind.SEQUENCE, Kind.DICT):
            continue
        if store.value.name not in ("list", "tuple", "dict") or not is_own_store(flow, store):
            continue
        facts = flow.class_facts(store.scope.class_node)
        handed = returned_list(flow, store)
        node = stored(store) if handed is None else handed.node
        if facts is None or node is None:
            continue
        if classes.used_elsewhere(flow, facts, store.name):
            continue  # what a base class in another file does with it is not looked at
        found = Container(store, facts, node, store.value.kind is Kind.DICT)
        if handed is None:
            _contents(flow, found, node)
        else:
            found.handed = handed.call
            if isinstance(handed.returned, ast.Name):
                _local(flow, found, handed.returned, handed.scope)
            else:
                _contents(flow, found, handed.returned)
            if handed.node is not handed.call and len(calls_to(flow, handed.scope.node)) != 1:
                found.unseen = "other calls are given such a list, too"
        for use in attribute_nodes(flow, facts, store.name):
            if use is not store.node:
                _classify(flow, found, use)
        yield found


def is_own_store(flow: ModuleFlow, store: AttributeStore) -> bool:
    """Whether a store binds an attribute of ``self`` in a class that certainly is a Module."""
    return (
        store.scope.class_node is not None
        and store.owner is flow.self_of(store.scope)
        and classes.is_module(flow, store.owner)
    )


def stored(store: AttributeStore) -> ast.expr | None:
    """The expression of ``self.name = expression``; None for any other form."""
    statement = store.statement
    if isinstance(statement, ast.Assign) and statement.targets == [store.node]:
        return statement.value
    if isinstance(statement, ast.AnnAssign) and statement.target is store.node:
        return statement.value
    return None


def attribute_nodes(
    flow: ModuleFlow, facts: classes.ClassFacts, name: str
) -> Iterator[ast.Attribute]:
    """Every ``.name`` in the file that can mean this class's attribute."""
    for node in flow.attributes(name):
        owner = flow.value(node.value)
        if owner.kind not in (Kind.UNKNOWN, Kind.INSTANCE):
            continue
        if owner.kind is Kind.INSTANCE and _is_foreign(flow, facts, owner.definition):
            continue
        if not _is_of_other_self(flow, facts, node):
            yield node


def _is_of_other_self(flow: ModuleFlow, facts: classes.ClassFacts, node: ast.Attribute) -> bool:
    """Whether this is an attribute of ``self`` in a class that has nothing to do with this one."""
    if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
        return False
    around = flow.enclosing(node, ast.ClassDef)
    while around is not None:
        if _is_foreign(flow, facts, around):
            return True
        around = flow.enclosing(around, ast.ClassDef)
    return False


def _is_foreign(flow: ModuleFlow, facts: classes.ClassFacts, node: ast.AST | None) -> bool:
    """Whether a class of this file is neither a base nor a child of the given one."""
    other = flow.class_facts(node)
    if other is None:
        return False
    return facts not in classes.lineage(flow, other) and other not in classes.lineage(flow, facts)


def is_collected_to_be_trained(flow: ModuleFlow, found: Container) -> bool:
    """Whether what is held is given to an optimizer's maker, or put into another list for one."""
    if handed_to_be_trained(flow, found.reads):
        return True
    return "optim" in flow.text_of(found.facts.node) and any(
        _puts_elsewhere(loop) for read in found.reads if (loop := loop_over(flow, read))
    )


def takes_some(flow: ModuleFlow, found: Container) -> bool:
    """Whether code takes single elements, or none on some path: others may get no gradient."""
    single = any(isinstance(flow.parents.get(read), ast.Subscript) for read in found.reads)
    return single or all(flow.enclosing(read, ast.If) is not None for read in found.reads)


def never_recorded(flow: ModuleFlow, found: Container) -> str:
    """Words for it where all that is computed with the container is cut off: nobody trains it."""
    if found.reads and all(_is_cut_off(flow, read) for read in found.reads):
        return f"line {flow.span(found.reads[0]).row} computes with it without a gradient"
    return ""


def _is_cut_off(flow: ModuleFlow, read: ast.AST) -> bool:
    """Whether a use is under ``no_grad``, or its statement detaches what it computes."""
    at: ast.AST | None = read
    while at is not None and not isinstance(at, ast.stmt):
        at = flow.parents.get(at)
    parts = at.body if isinstance(at, ast.For) else [] if at is None else [at]
    if any(_DETACHES.search(flow.text_of(part)) for part in parts):
        return True
    while at is not None and not switches_off(at):
        at = flow.parents.get(at)
    return at is not None


def loop_over(flow: ModuleFlow, read: ast.AST) -> ast.For | None:
    """The loop that runs through a container."""
    loop = flow.enclosing(read, ast.For)
    return loop if loop is not None and read in set(walk(loop.iter)) else None


def _puts_elsewhere(loop: ast.For) -> bool:
    """Whether a loop adds what it runs through to a list."""
    names = {node.id for node in walk(loop.target) if isinstance(node, ast.Name)}
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("append", "extend")
        and any(isinstance(part, ast.Name) and part.id in names for part in node.args)
        for node in inside(loop)
    )


def inside(loop: ast.For) -> Iterator[ast.AST]:
    for statement in loop.body:
        yield from walk(statement)


# -- contents -----------------------------------------------------------------------------------


def _contents(flow: ModuleFlow, found: Container, node: ast.expr) -> None:
    """Add what an expression puts into the container."""
    if isinstance(node, (ast.List, ast.Tuple)):
        for item in node.elts:
            if isinstance(item, ast.Starred):
                _contents(flow, found, item.value)
            else:
                found.elements.append(item)
    elif isinstance(node, (ast.ListComp, ast.GeneratorExp)):
        found.elements.append(node.elt)
        found.filled = True
    elif isinstance(node, ast.DictComp):
        found.keys.append(node.key)
        found.elements.append(node.value)
        found.filled = True
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                _contents(flow, found, value)
            else:
                found.keys.append(key)
                found.elements.append(value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        _contents(flow, found, node.left)
        _contents(flow, found, node.right)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        found.repeated = True
        _contents(flow, found, node.left)
    elif isinstance(node, ast.Call):
        _called(flow, found, node)
    elif isinstance(node, ast.Name):
        _local(flow, found, node, found.store.scope)
    else:
        found.unseen = "it is not known what all of the elements are"


def _called(flow: ModuleFlow, found: Container, node: ast.Call) -> None:
    """``list()``, ``dict(a=x)``, ``list(x for ...)``."""
    function = flow.value(node.func)
    plain = function.kind is Kind.REFERENCE and function.name in (
        "builtins.list", "builtins.dict", "builtins.tuple",
    )  # fmt: skip
    if not plain or any(k.arg is None for k in node.keywords) or len(node.args) > 1:
        found.unseen = "it is not known what all of the elements are"
        return
    for argument in node.args:
        _contents(flow, found, argument)
    for keyword in node.keywords:
        found.keys.append(ast.Constant(keyword.arg))
        found.elements.append(keyword.value)


def _local(flow: ModuleFlow, found: Container, node: ast.Name, scope: Scope) -> None:
    """A list that was built under a local name."""
    definitions = reaching(scope, node)
    unknown = "it is not known what all of the elements are"
    if len(definitions) != 1 or captured(flow, scope, node.id) is not None:
        found.unseen = unknown
        return
    (definition,) = definitions
    statement = definition.statement
    if not isinstance(statement, ast.Assign) or statement.targets != [definition.node]:
        found.unseen = unknown
        return
    if isinstance(statement.value, ast.Name):
        found.unseen = unknown
        return
    _contents(flow, found, statement.value)
    for use in uses_of(scope, definition):
        if use is node:
            continue
        if not _fill(flow, found, use) and not _only_looks(flow, use):
            found.shared = True
        if flow.span(use) > flow.span(node):
            found.unseen = f"`{node.id}` is used after it was stored"


def _only_looks(flow: ModuleFlow, use: ast.AST) -> bool:
    """Whether a use of a local list reads its length or one element."""
    parent = flow.parents.get(use)
    if isinstance(parent, ast.Call) and isinstance(parent.func, ast.Name):
        return parent.func.id == "len"
    return isinstance(parent, ast.Subscript) and isinstance(parent.ctx, ast.Load)


# -- fills and reads ----------------------------------------------------------------------------


def _classify(flow: ModuleFlow, found: Container, use: ast.Attribute) -> None:
    if _fill(flow, found, use):
        return
    if isinstance(use.ctx, ast.Load):
        found.reads.append(use)
    else:
        found.unseen = "the attribute is assigned in several places"


def _fill(flow: ModuleFlow, found: Container, use: ast.AST) -> bool:
    """Add the elements that this use of the container puts into it; whether it does so."""
    parent = flow.parents.get(use)
    if isinstance(parent, ast.AugAssign) and parent.target is use:
        if not isinstance(parent.op, ast.Add) or isinstance(found.node, ast.Tuple):
            return False
        found.filled = True
        _contents(flow, found, parent.value)
        return True
    if isinstance(parent, ast.Subscript) and parent.value is use:
        statement = flow.parents.get(parent)
        if not isinstance(statement, ast.Assign) or parent not in statement.targets:
            return False
        found.filled = True
        found.elements.append(statement.value)
        if found.mapping:
            found.keys.append(parent.slice)
        return True
    call = flow.parents.get(parent) if isinstance(parent, ast.Attribute) else None
    if not isinstance(call, ast.Call) or not isinstance(parent, ast.Attribute):
        return False
    if call.func is not parent or call.keywords:
        return False
    if not found.mapping and parent.attr == "append" and len(call.args) == 1:
        found.elements.append(call.args[0])
    elif not found.mapping and parent.attr == "insert" and len(call.args) == 2:
        found.elements.append(call.args[1])
        found.reads += [use] if isinstance(use, ast.Attribute) else []
    elif parent.attr == ("update" if found.mapping else "extend") and len(call.args) == 1:
        _contents(flow, found, call.args[0])
    else:
        return False
    found.filled = True
    return True


#: A result that is given a name, or handed out, without its history.
_DETACHES = re.compile(r"(?:=|\breturn\b)[^=\n]*\.detach\(\)$")
#: Layers that compute something else after ``eval()``.
_BY_MODE = re.compile(r"(?:Lazy|Sync)?(?:BatchNorm|InstanceNorm|Transformer)|\w*Dropout")
_SWITCHES_MODE = re.compile(r"\.eval\(\)|\.train\(\w")


def mode_changes(flow: ModuleFlow, container: Container) -> bool:
    """Whether ``eval()`` would reach layers from now on that compute something else then."""
    own = {n.name: n for n in walk(flow.tree) if isinstance(n, ast.ClassDef)}
    queue: list[ast.AST] = list(container.elements)
    for node in queue:  # which grows
        for name in _names_in(node):
            if _BY_MODE.match(name):
                return _SWITCHES_MODE.search(flow.text) is not None or _switched_elsewhere(flow)
            if name in own:
                queue.append(own.pop(name))
    return False


def _names_in(node: ast.AST) -> Iterator[str]:
    for part in walk(node):
        if isinstance(part, (ast.Name, ast.Attribute)):
            yield part.id if isinstance(part, ast.Name) else part.attr


def _switched_elsewhere(flow: ModuleFlow) -> bool:
    if flow.others is None:
        return False
    project, path = flow.others.session.project, flow.others.path
    top = top_of(project, path)
    if top is None:
        return False
    project.looked_around[path] = top
    texts = (project.text(other) or "" for other in files_below(project, top) or ())
    return any(_SWITCHES_MODE.search(text) for text in texts)


def is_empty(node: ast.expr) -> bool:
    """Whether a list, tuple or dict is made without anything in it."""
    if isinstance(node, ast.Call):
        return not node.args and not node.keywords
    return isinstance(node, (ast.List, ast.Tuple, ast.Dict)) and not list(
        node.keys if isinstance(node, ast.Dict) else node.elts
    )
