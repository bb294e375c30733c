"""The lattice: what the analysis knows about one value.

Terms
-----
role
    Where a tensor stands in the autograd graph. A *leaf* requires grad and was made by the user
    (``Parameter``, ``requires_grad=True``); a *tracked* tensor was computed from a leaf with grad
    mode on; an *untracked* one carries no history. Roles are sets: after a join a value may be
    "leaf or tracked", and *unknown* is a member like the others.
    (https://docs.pytorch.org/docs/stable/notes/autograd.html)
storage
    One piece of memory. Views of a tensor live in the same storage. A value may live in one of
    several storages; `SOMEWHERE` stands for memory the analysis knows nothing about.
symbol
    A name for a value that is not known but fixed: two values with the same symbol are equal.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field, fields
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enum import Enum, IntFlag
else:
    from gradfix.flow.constants import Enum, IntFlag

from gradfix.flow.grown import united

#: One dimension: a number, a symbol, or None where nothing is known.
Dim = int | str | None
Shape = tuple[Dim, ...]


class Role(IntFlag):
    """The possible places of a tensor in the autograd graph; a value holds a set of them."""

    LEAF = 1
    TRACKED = 2
    UNTRACKED = 4
    UNKNOWN = 8


NEEDS_GRAD = Role.LEAF | Role.TRACKED


class Certainty(Enum):
    """The answer to a yes-or-no question about a value."""

    YES = "yes"
    NO = "no"
    MAYBE = "maybe"


class Kind(Enum):
    """What sort of object a value is, as far as autograd is concerned."""

    TENSOR = "tensor"
    NUMBER = "number"
    STRING = "string"
    SEQUENCE = "sequence"
    DICT = "dict"
    MODULE = "module"
    OPTIMIZER = "optimizer"
    DISTRIBUTION = "distribution"
    INSTANCE = "instance"  # an object of a class defined in the analysed file
    FUNCTION = "function"  # a function or method defined in the analysed file
    CLASS = "class"  # a class defined in the analysed file
    REFERENCE = "reference"  # something imported, known by its qualified name
    CONTEXT = "context"  # a grad-mode context manager
    FOREIGN = "foreign"  # certainly not a tensor (NumPy arrays, devices, dtypes, ...)
    UNKNOWN = "unknown"


class Elsewhere(ast.AST):
    """Stands in this file for a node of another one.

    It lies where the other file is imported, so that it can be pointed at; it is no expression and
    no statement, so that nothing is rewritten there. ``where`` says in words what it stands for.
    """

    def __init__(
        self, origin: ast.AST, path: str, where: str, place: Callable[[], ast.AST]
    ) -> None:
        super().__init__()
        self.origin = origin
        self.path = path
        self.where = where
        self.owner: ast.ClassDef | None = None  # the class that a method belongs to
        self._place = place

    def __getattr__(self, name: str) -> int:
        # Which import leads to a file costs much to say, and is asked for by findings alone.
        if name not in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            raise AttributeError(name)
        place = self._place()
        for part in ("lineno", "col_offset", "end_lineno", "end_col_offset"):
            setattr(self, part, getattr(place, part))
        found: int = getattr(place, name)
        return found


@dataclass(eq=False, slots=True)
class Storage:
    """One piece of memory, named by the place that allocates it."""

    node: ast.AST | None
    leaf: Leaf | None = None


SOMEWHERE = Storage(None)
UNKNOWN_MEMORY = frozenset({SOMEWHERE})


@dataclass(eq=False, slots=True)
class Leaf:
    """One leaf tensor: where it was made and whether it is an ``nn.Parameter``."""

    node: ast.AST | None
    parameter: bool


@dataclass(frozen=True, slots=True)
class Counter:
    """The values a loop variable runs through: ``range(start, stop, step)``."""

    start: Dim
    stop: Dim
    step: Dim
    loop: ast.AST


@dataclass(eq=False, slots=True)
class Value:
    """Everything known about one value; compared by identity, treated as immutable once bound.

    ``leaves`` are the leaves a tensor depends on through recorded operations; ``inputs`` the values
    it was made from, recorded or not; ``cut`` says how history was lost on the way, if it was.
    """

    kind: Kind = Kind.UNKNOWN
    role: Role = Role.UNKNOWN
    node: ast.AST | None = None
    op: str = ""
    inputs: tuple[Value, ...] = ()
    storages: Set[Storage] = UNKNOWN_MEMORY
    view: bool = False
    shape: Shape | None = None
    dtype: str | None = None
    leaves: Set[Leaf] = frozenset()
    cut: str = ""
    parameter: bool = False
    retains_grad: bool = False
    const: object = None
    symbol: str | None = None
    items: tuple[Value, ...] | None = None
    element: Value | None = None
    length: Dim = None
    name: str = ""
    counter: Counter | None = None
    attributes: dict[str, Value] | None = None
    definition: ast.AST | None = None
    owner: Value | None = field(default=None, repr=False)
    path: tuple[ast.AST, ...] | None = field(default=None, repr=False)  # see `Recorder.place`
    cell: Storage | None = field(default=None, repr=False)  # see `versions.memory`

    @property
    def is_tensor(self) -> bool:
        """Whether this is certainly a tensor."""
        return self.kind is Kind.TENSOR

    @property
    def is_none(self) -> bool:
        """Whether this is the constant None, or nothing at all."""
        return self.kind is Kind.FOREIGN and self.name == "constant" and self.const is None

    @property
    def is_leaf(self) -> bool:
        """Whether this is certainly a leaf that requires grad."""
        return self.kind is Kind.TENSOR and self.role == Role.LEAF

    @property
    def is_tracked(self) -> bool:
        """Whether this certainly has a history and is no leaf."""
        return self.kind is Kind.TENSOR and self.role == Role.TRACKED

    @property
    def needs_grad(self) -> Certainty:
        """Whether backward passes through this value."""
        if self.kind is Kind.TENSOR:
            return needs_grad(self.role)
        if self.kind is Kind.UNKNOWN:
            return Certainty.MAYBE
        return Certainty.NO

    @property
    def storage(self) -> Storage | None:
        """The one storage this certainly lives in, else None."""
        if len(self.storages) == 1:
            (storage,) = self.storages
            return None if storage is SOMEWHERE else storage
        return None


def needs_grad(role: Role) -> Certainty:
    """Whether a tensor of this role requires grad."""
    return _NEEDS_GRAD[role]


def _answer(role: Role) -> Certainty:
    if role and not role & ~NEEDS_GRAD:
        return Certainty.YES
    return Certainty.NO if role == Role.UNTRACKED else Certainty.MAYBE


#: The answers for every set of roles: they are asked too often to work with flags each time.
_NEEDS_GRAD = tuple(_answer(Role(bits)) for bits in range(16))
_UNITED = tuple(tuple(Role(one | two) for two in range(16)) for one in range(16))


UNKNOWN = Value()


_fields_of = attrgetter(*(part.name for part in fields(Value)))


def replace(value: Value, **changes: Any) -> Value:
    """A copy with some changes, in a third of the time of `dataclasses.replace`."""
    made = Value(*_fields_of(value))
    for name, new in changes.items():
        setattr(made, name, new)
    return made


def moved(value: Value) -> Value:
    """A leaf whose ``data`` is replaced: it lies elsewhere now, and may have another shape."""
    return replace(value, storages=UNKNOWN_MEMORY, shape=None, symbol=None)


def unknown(node: ast.AST | None = None, inputs: Iterable[Value] = ()) -> Value:
    """A value nothing is known about, except what it was made from."""
    return Value(Kind.UNKNOWN, Role.UNKNOWN, node, "", tuple(inputs))


def number(const: object = None, symbol: str | None = None, node: ast.AST | None = None) -> Value:
    """A Python number, known (``const``), named (``symbol``) or neither."""
    made = Value(Kind.NUMBER, Role.UNTRACKED, node)
    made.const, made.symbol = const, symbol
    return made


def foreign(node: ast.AST | None = None, name: str = "", inputs: Iterable[Value] = ()) -> Value:
    """Something that is certainly not a tensor."""
    return Value(Kind.FOREIGN, Role.UNTRACKED, node, name=name, inputs=tuple(inputs))


@lru_cache(maxsize=1_000)
def reference(name: str) -> Value:
    """Something imported, known by its qualified name; nothing about it ever changes."""
    return Value(Kind.REFERENCE, name=name, symbol=name)


def sequence(
    items: Iterable[Value] | None,
    *,
    element: Value | None = None,
    length: Dim = None,
    node: ast.AST | None = None,
    name: str = "list",
) -> Value:
    """A list or tuple with known items, or only the join of them (``element``)."""
    known = tuple(items) if items is not None else None
    return Value(
        Kind.SEQUENCE,
        Role.UNTRACKED,
        node,
        items=known,
        element=element,
        length=len(known) if known is not None else length,
        name=name,
        inputs=known or ((element,) if element is not None else ()),
    )


def dim_of(value: Value) -> Dim:
    """The dimension a Python number stands for."""
    if value.kind is Kind.NUMBER and isinstance(value.const, int):
        return int(value.const)
    return value.symbol if value.kind in (Kind.NUMBER, Kind.UNKNOWN) else None


def join_shapes(a: Shape | None, b: Shape | None) -> Shape | None:
    """What is common to two shapes."""
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(x if x == y else None for x, y in zip(a, b, strict=True))


def join(a: Value, b: Value) -> Value:
    """The least value that both ``a`` and ``b`` are instances of.

    The join of two different objects forgets what is not common to both; roles, storages and leaves
    are united, so that "certainly" questions stay honest.
    """
    if a is b:
        return a
    if a.kind is not b.kind:
        role = _UNITED[a.role if a.is_tensor else Role.UNKNOWN][
            b.role if b.is_tensor else Role.UNKNOWN
        ]
        return Value(
            role=role,
            op="join",
            inputs=(a, b),
            storages=united(a.storages, b.storages),
            leaves=united(a.leaves, b.leaves),
            view=a.view or b.view,
        )
    items = None
    if a.items is not None and b.items is not None and len(a.items) == len(b.items):
        items = tuple(join(x, y) for x, y in zip(a.items, b.items, strict=True))
    return Value(
        a.kind,
        _UNITED[a.role][b.role],
        a.node if a.node is b.node else None,
        "join",
        (a, b),
        a.storages if a.storages is b.storages else united(a.storages, b.storages),
        a.view or b.view,
        None if a.shape is None else join_shapes(a.shape, b.shape),
        a.dtype if a.dtype == b.dtype else None,
        united(a.leaves, b.leaves),
        a.cut if a.cut == b.cut else "",
        a.parameter and b.parameter,
        a.retains_grad or b.retains_grad,
        a.const if a.const == b.const and type(a.const) is type(b.const) else None,
        a.symbol if a.symbol == b.symbol else None,
        items,
        None if items is not None else join_elements(a, b),
        a.length if a.length == b.length else None,
        a.name if a.name == b.name else "",
        a.counter if a.counter == b.counter else None,
        a.attributes if a.attributes is b.attributes else None,
        a.definition if a.definition is b.definition else None,
        a.owner if a.owner is b.owner else None,
    )


def element_of(container: Value) -> Value | None:
    """The join of everything a list, tuple or dict holds; None when it is empty or not known."""
    if container.items is None:
        return container.element
    joined = container.element
    for item in container.items:
        joined = item if joined is None else join(joined, item)
    return joined


def parts_of(value: Value) -> tuple[Value, ...]:
    """What a container is known to hold, item by item or as a whole; nothing for other values."""
    return (*(value.items or ()), *((value.element,) if value.element is not None else ()))


def grow(container: Value, added: Value | None) -> None:
    """A list gains an element (or loses one): from now on only the join of its items is known."""
    element = element_of(container)
    if added is not None:
        element = added if element is None else join(element, added)
        container.inputs += (added,)
    container.element, container.items, container.length = element, None, None


def join_elements(a: Value, b: Value) -> Value | None:
    """The join of what two containers hold; an empty one adds nothing."""
    first = a.element if a.items is None else element_of(a)
    second = b.element if b.items is None else element_of(b)
    if first is None or second is None:
        return first or second
    return join(first, second)


def join_all(values: Iterable[Value]) -> Value:
    """The join of several values; unknown for none."""
    result: Value | None = None
    for value in values:
        result = value if result is None else join(result, value)
    return result if result is not None else UNKNOWN
