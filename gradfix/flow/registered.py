"""What a Module registers: which values are Modules or Parameters, and what a container may hold.

A Module finds what is assigned to its attributes, and nothing inside plain lists and dicts.
(https://docs.pytorch.org/docs/stable/notes/modules.html)
"""

from __future__ import annotations

import ast
import enum

from gradfix.flow import classes
from gradfix.flow.layers import has_weights
from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import walk
from gradfix.flow.state import Call
from gradfix.flow.values import Certainty, Kind, Role, Value, element_of

#: Layers that have weights unless they are told not to.
_AFFINE = frozenset(
    """BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm GroupNorm SyncBatchNorm RMSNorm""".split()
)
_CONTAINERS = frozenset(
    {"Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
)
#: Attributes of every ModuleDict: names that cannot be keys (torch 2.13; a test compares).
RESERVED_KEYS = frozenset(
    """T_destination add_module apply bfloat16 buffers call_super_init children clear compile cpu
    cuda double dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter
    get_submodule half ipu items keys load_state_dict modules mtia named_buffers named_children
    named_modules named_parameters parameters pop register_backward_hook register_buffer
    register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
    set_submodule share_memory state_dict to to_empty train training type update values xpu
    zero_grad copy fromkeys get popitem setdefault""".split()
)
_REGISTERING = frozenset({"add_module", "register_module", "register_parameter", "_modules",
                          "_parameters", "__setattr__", "__dict__"})  # fmt: skip
#: Functions of Python that look at what they are given, and keep nothing.
_LOOKS = frozenset(
    f"builtins.{name}" for name in "len print isinstance type id repr str bool".split()
)
_WALKS = frozenset({"apply", "children", "modules", "named_children", "named_modules"})
_PARAMETERS = frozenset({"parameters", "named_parameters"})
_FILLS = frozenset({".append", ".insert", ".extend"})
_OVERRIDES = frozenset({"parameters", "named_parameters", "state_dict", "_apply", "__getattr__",
                        "named_modules", "modules", "__setattr__"})  # fmt: skip


class Held(enum.Enum):
    """What an element of a container is, as far as a Module is concerned."""

    MODULE = "module"
    PARAMETER = "parameter"
    OTHER = "other"
    UNKNOWN = "unknown"


def held(flow: ModuleFlow, node: ast.expr) -> tuple[Held, bool]:
    """What an element is, and whether it certainly has weights to train."""
    value = _copied(flow, node)
    if value.kind is Kind.TENSOR:
        if value.parameter:
            return Held.PARAMETER, value.role == Role.LEAF
        return (Held.UNKNOWN if value.role & Role.UNKNOWN else Held.OTHER), False
    if value.kind is Kind.MODULE or classes.is_module(flow, value):
        return Held.MODULE, is_weighted(flow, value) and not _put_to_rest(node)
    if value.kind in (Kind.SEQUENCE, Kind.DICT):
        inner = element_of(value)
        made = any(
            isinstance(part, ast.Call) and is_weighted(flow, flow.value(part))
            for part in _parts(node)
            if not _put_to_rest(part)
        )
        return Held.OTHER, made or (inner is not None and is_weighted(flow, inner))
    return (Held.UNKNOWN if value.kind is Kind.UNKNOWN else Held.OTHER), False


def _parts(node: ast.expr) -> list[ast.expr]:
    """What a list, tuple or dict that is written out holds."""
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        return node.elts
    return node.values if isinstance(node, ast.Dict) else []


def _copied(flow: ModuleFlow, node: ast.expr) -> Value:
    """The value of an expression; a deep copy is like what it was made from."""
    value = flow.value(node)
    if isinstance(node, ast.Call) and node.args and value.kind is Kind.UNKNOWN:
        function = flow.value(node.func)
        if function.kind is Kind.REFERENCE and function.name == "copy.deepcopy":
            return flow.value(node.args[0])
    return value


def _put_to_rest(node: ast.expr) -> bool:
    """``net().eval()``, ``net().requires_grad_(False)``: made for use, not for training."""
    return any(
        isinstance(part, ast.Attribute) and part.attr in ("eval", "requires_grad_")
        for part in walk(node)
    )


def is_weighted(flow: ModuleFlow, value: Value, depth: int = 0) -> bool:
    """Whether a Module or tensor certainly brings Parameters of its own."""
    if value.kind is Kind.TENSOR:
        return value.parameter and value.role == Role.LEAF
    if value.kind is Kind.MODULE:
        layer = value.name.rpartition(".")[2]
        if layer in _AFFINE:
            return isinstance(value.node, ast.Call) and not any(
                k.arg in ("affine", "elementwise_affine", None) for k in value.node.keywords
            )
        if layer in _CONTAINERS:
            inner = (value.element,) if value.element is not None else ()
            parts = (*(value.items or inner), *value.inputs)  # those that were added, one by one
            return depth < 5 and any(is_weighted(flow, part, depth + 1) for part in parts)
        return has_weights(value) is Certainty.YES
    facts = classes.facts_of(flow, value) if value.kind is Kind.INSTANCE else None
    if facts is None or depth > 5 or not classes.is_module(flow, value):
        return False  # a class is only the plan of a Module
    entries = [
        entry
        for entry in classes.lineage(flow, facts)
        if entry is facts
        or entry.path is None
        or not classes.may_be_overridden(flow, value, entry.node, "__init__")
    ]
    for entry in entries:
        flow.construct(entry.node)
    return any(
        is_weighted(flow, own, depth + 1)
        for entry in entries
        for found in entry.assigned.values()
        for own in found
        if own.kind is not Kind.INSTANCE or own.definition is not value.definition
    )


def registers_by_hand(flow: ModuleFlow, facts: classes.ClassFacts) -> bool:
    """Whether a class registers or reports its Parameters in a way that cannot be followed."""
    known: dict[int, bool] = flow.__dict__.setdefault("_registering", {})
    if id(facts) not in known:
        known[id(facts)] = _registers_by_hand(flow, facts)
    return known[id(facts)]


def _registers_by_hand(flow: ModuleFlow, facts: classes.ClassFacts) -> bool:
    for entry in classes.lineage(flow, facts):
        if _OVERRIDES & set(entry.methods):
            return True
        for node in walk(entry.node):
            if isinstance(node, ast.Attribute) and node.attr in _REGISTERING:
                return True
            if isinstance(node, ast.Name) and node.id in ("setattr", "vars", "exec", "eval"):
                return True
    return False


def is_registered(flow: ModuleFlow, facts: classes.ClassFacts, node: ast.expr) -> bool:
    """Whether an element is an attribute of the Module, or handed to something that keeps it."""
    if isinstance(node, ast.Attribute):
        return flow.value(node).kind is not Kind.REFERENCE
    if isinstance(node, ast.Subscript):
        return is_registered(flow, facts, node.value)
    if not isinstance(node, ast.Name):
        return any(is_registered(flow, facts, part) for part in _parts(node))
    value = flow.value(node)
    if any(value is own for found in facts.assigned.values() for own in found):
        return True
    for call in flow.all(Call):
        given = (*call.arguments, *(v for _, v in call.keywords))
        parts = [part for v in given for part in (v, *(v.items or ()))]
        if (
            call.name in _LOOKS
            or call.name in _FILLS
            or call.name.startswith(("torch.nn.init.", "torch.nn.utils."))
        ):
            continue
        if any(part is value for part in parts):
            return True
    return False


def constructed_before(flow: ModuleFlow, facts: classes.ClassFacts, node: ast.AST) -> str | None:
    """Why ``Module.__init__`` may not have run before ``node``; None when it certainly has."""
    init = facts.methods.get("__init__")
    method = flow.enclosing(node, ast.FunctionDef)
    if init is None:
        return "the class has no constructor of its own"
    place: ast.AST = node
    if method is not init:
        calls = [
            part
            for part in walk(init)
            if method is not None
            and isinstance(part, ast.Call)
            and isinstance(part.func, ast.Attribute)
            and part.func.attr == method.name
            and isinstance(part.func.value, ast.Name)
            and part.func.value.id == "self"
        ]
        if not calls:
            return "this is not done when the Module is made"
        place = min(calls, key=flow.span)
    for statement in init.body:
        if flow.span(statement) < flow.span(place) and _calls_base(statement):
            return None
    return "`super().__init__()` comes later"


def _calls_base(statement: ast.stmt) -> bool:
    call = statement.value if isinstance(statement, ast.Expr) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "__init__"
    )


def walked_over(flow: ModuleFlow, facts: classes.ClassFacts) -> ast.AST | None:
    """Where code goes through the parts of a Module, and would meet those it registers from now on.

    ``self.apply(init)`` fills them, ``children()`` yields the container itself.
    """
    for name in sorted(_WALKS):
        for node in flow.attributes(name):
            call = flow.parents.get(node)
            if isinstance(call, ast.Call) and call.func is node and _may_be_module(flow, node):
                return call
    return all_parameters_changed(flow, facts)


def all_parameters_changed(flow: ModuleFlow, facts: classes.ClassFacts) -> ast.AST | None:
    """Where a class fills Parameters one by one, or freezes all of its own."""
    for entry in classes.lineage(flow, facts):
        for node in walk(entry.node):
            loops = isinstance(node, ast.For) and (_fills_parameters(node) or _freezes(node))
            if loops or (isinstance(node, ast.Call) and _is_frozen_whole(node)):
                return node if entry.path is None else entry.node
    return None


def lists_children(flow: ModuleFlow, facts: classes.ClassFacts) -> bool:
    """Whether a class goes through its own children, and would meet a new container there."""
    return any(
        isinstance(node, ast.Attribute) and node.attr in ("children", "named_children")
        for entry in classes.lineage(flow, facts)
        for node in walk(entry.node)
    )


def _may_be_module(flow: ModuleFlow, node: ast.Attribute) -> bool:
    owner = flow.value(node.value)
    if owner.kind is Kind.INSTANCE:
        return classes.is_module(flow, owner)
    if owner.kind is Kind.UNKNOWN:  # a class with a capital letter is a Function, `df` a table
        return not (isinstance(node.value, ast.Name) and node.value.id[:1].isupper())
    return owner.kind is Kind.MODULE and owner.name.rpartition(".")[2] in _CONTAINERS


def _fills_parameters(loop: ast.For) -> bool:
    """``for p in self.parameters(): init.uniform_(p)``: writes that are no step of training."""
    asked = [n.attr for n in walk(loop.iter) if isinstance(n, ast.Attribute)]
    if not _PARAMETERS & set(asked):
        return False
    names = {n.attr for part in loop.body for n in walk(part) if isinstance(n, ast.Attribute)}
    filled = "data" in names or any(n.endswith("_") and n != "requires_grad_" for n in names)
    return filled and "grad" not in names


def _freezes(loop: ast.For) -> bool:
    """``for p in self.parameters(): p.requires_grad = False``."""
    asked = loop.iter.func if isinstance(loop.iter, ast.Call) else None
    if not isinstance(asked, ast.Attribute) or asked.attr not in _PARAMETERS:
        return False
    if not isinstance(asked.value, ast.Name) or asked.value.id != "self":
        return False
    names = {n.attr for part in loop.body for n in walk(part) if isinstance(n, ast.Attribute)}
    return not names.isdisjoint({"requires_grad", "requires_grad_"})


def _is_frozen_whole(call: ast.Call) -> bool:
    """``self.requires_grad_(False)``."""
    func = call.func
    return (
        isinstance(func, ast.Attribute)
        and func.attr == "requires_grad_"
        and isinstance(func.value, ast.Name)
        and func.value.id == "self"
    )


# -- keys ---------------------------------------------------------------------------------------


def key_trouble(flow: ModuleFlow, node: ast.expr) -> tuple[str, bool]:
    """Why an expression cannot be a key of a ModuleDict (or ""), and whether that is certain."""
    if isinstance(node, ast.Constant):
        return _name_trouble(node.value), True
    if isinstance(node, ast.JoinedStr):
        fixed = [part.value for part in node.values if isinstance(part, ast.Constant)]
        if any("." in str(part) for part in fixed):
            return "a key has a dot", True
        inserted = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        return "", bool(fixed) and all(_is_count(flow, part) for part in inserted)
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
        left = node.left.value if isinstance(node.left, ast.Constant) else None
        if isinstance(left, str):
            right = _in_str(flow, node.right) or node.right
            return ("a key has a dot", True) if "." in left else ("", _is_count(flow, right))
    inner = _in_str(flow, node)
    if inner is not None:
        return "", _is_count(flow, inner)
    names = _iterated_names(flow, node)
    if names is not None:
        troubles = [_name_trouble(name) for name in names]
        return next(filter(None, troubles), ""), not isinstance(names, list)
    kind = flow.value(node).kind
    if kind is Kind.STRING:
        return "", False
    if kind in (Kind.NUMBER, Kind.SEQUENCE, Kind.FOREIGN):
        return "its keys are no strings", True
    return "it is not known whether its keys are strings", True


def _name_trouble(name: object) -> str:
    if not isinstance(name, str):
        return "its keys are no strings"
    if not name or "." in name:
        return "a key is empty or has a dot"
    if name.startswith("_"):
        return f"`{name}` may be an attribute of ModuleDict"
    return f"`{name}` is an attribute of every ModuleDict" if name in RESERVED_KEYS else ""


def _in_str(flow: ModuleFlow, node: ast.expr) -> ast.expr | None:
    """``x`` of ``str(x)``."""
    if not isinstance(node, ast.Call) or len(node.args) != 1:
        return None
    function = flow.value(node.func)
    is_str = function.kind is Kind.REFERENCE and function.name == "builtins.str"
    return node.args[0] if is_str else None


def _is_count(flow: ModuleFlow, node: ast.expr) -> bool:
    """Whether an expression is a whole number, whose text has no dot."""
    value = flow.value(node)
    return value.kind is Kind.NUMBER and (value.counter is not None or isinstance(value.const, int))


def _iterated_names(flow: ModuleFlow, node: ast.expr) -> tuple[object, ...] | list[object] | None:
    """The literals a loop variable runs through; a list where they are an argument's default."""
    if not isinstance(node, ast.Name):
        return None
    for loop in walk(flow.tree):
        if isinstance(loop, (ast.For, ast.comprehension)) and isinstance(loop.target, ast.Name):
            if loop.target.id == node.id and _encloses(flow, loop, node):
                literal = loop.iter
                if isinstance(literal, (ast.List, ast.Tuple)):
                    return tuple(_constant(item) for item in literal.elts)
                default = _default_of(flow, literal)
                if isinstance(default, (ast.List, ast.Tuple)):
                    return [_constant(item) for item in default.elts]
    return None


def _constant(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _encloses(flow: ModuleFlow, loop: ast.For | ast.comprehension, node: ast.AST) -> bool:
    around = flow.parents.get(loop) if isinstance(loop, ast.comprehension) else loop
    return around is not None and node in set(walk(around))


def _default_of(flow: ModuleFlow, node: ast.expr) -> ast.expr | None:
    """The default of the argument that a plain name is."""
    function = flow.enclosing(node, ast.FunctionDef)
    if not isinstance(node, ast.Name) or function is None:
        return None
    arguments = [*function.args.posonlyargs, *function.args.args]
    defaults = function.args.defaults
    for argument, default in zip(
        arguments[len(arguments) - len(defaults) :], defaults, strict=True
    ):
        if argument.arg == node.id:
            return default
    return None
