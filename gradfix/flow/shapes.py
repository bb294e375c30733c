"""Shapes through operations: numbers and symbols in and out, None where unknown."""

from __future__ import annotations

from collections.abc import Sequence

from gradfix.flow.values import Dim, Kind, Shape, Value, dim_of


def broadcast(a: Shape | None, b: Shape | None) -> Shape | None:
    """The shape of an elementwise operation.

    Two different symbols may still be equal or one of them may be 1, so their dimension is unknown.
    (https://docs.pytorch.org/docs/stable/notes/broadcasting.html)
    """
    if a is None or b is None:
        return None
    rank = max(len(a), len(b))
    left: Shape = (1,) * (rank - len(a)) + a
    right: Shape = (1,) * (rank - len(b)) + b
    return tuple(_broadcast_dim(x, y) for x, y in zip(left, right, strict=True))


def _broadcast_dim(x: Dim, y: Dim) -> Dim:
    if x == 1:
        return y
    if y == 1 or x == y:
        return x
    if isinstance(x, int) and isinstance(y, int):
        return None
    # A known number above 1 wins: the other dimension can only be 1 or the same.
    if isinstance(x, int):
        return x
    if isinstance(y, int):
        return y
    return None


def normalise(dim: int, rank: int) -> int | None:
    """A dimension number in ``0 .. rank - 1``, or None when it is out of range."""
    if -rank <= dim < rank:
        return dim % rank
    return None


def length_of_slice(size: Dim, lower: Value | None, upper: Value | None, step: Value | None) -> Dim:
    """How many elements ``[lower:upper:step]`` takes out of ``size``."""
    if lower is None and upper is None and step is None:
        return size
    parts: list[int | None] = []
    for part in (lower, upper, step):
        if part is None or part.kind is Kind.FOREIGN:
            parts.append(None)
        elif isinstance(part.const, int):
            parts.append(part.const)
        else:
            if part is upper and lower is None and step is None:
                return None
            return None
    if isinstance(size, int):
        return len(range(*slice(*parts).indices(size)))
    return None


def index(
    shape: Shape | None, parts: Sequence[Value | tuple[Value | None, ...] | None]
) -> Shape | None:
    """The shape of ``tensor[parts]``.

    A part is a number (drops the dimension), a triple (a slice), the value of ``...`` or ``None``
    given as Python constants, or None for an index that is not understood.
    """
    if shape is None:
        return None
    known: list[Value | tuple[Value | None, ...]] = []
    for part in parts:
        if part is None:
            return None
        known.append(part)
    consuming = sum(not _is_const(part, None) and not _is_const(part, ...) for part in known)
    if consuming > len(shape):
        return None
    result: list[Dim] = []
    at = 0
    for part in known:
        if isinstance(part, tuple):
            lower, upper, step = part
            result.append(length_of_slice(shape[at], lower, upper, step))
            at += 1
        elif _is_const(part, ...):
            skip = len(shape) - consuming
            result += shape[at : at + skip]
            at += skip
        elif _is_const(part, None):
            result.append(1)
        elif isinstance(part.const, bool):
            return None  # a mask of no dimensions
        elif part.kind is Kind.NUMBER:
            at += 1
        else:
            return None
    return (*result, *shape[at:])


def _is_const(part: object, const: object) -> bool:
    return (
        isinstance(part, Value)
        and part.kind is Kind.FOREIGN
        and part.const is const
        and part.name == "constant"
    )


def reduce(shape: Shape | None, dims: Sequence[int] | None, keepdim: bool) -> Shape | None:
    """The shape after reducing ``dims`` (all of them when None)."""
    if dims is None:
        return () if not keepdim else None
    if shape is None:
        return None
    gone = {normalise(dim, len(shape)) for dim in dims}
    if None in gone:
        return None
    if keepdim:
        return tuple(1 if at in gone else size for at, size in enumerate(shape))
    return tuple(size for at, size in enumerate(shape) if at not in gone)


def matmul(a: Shape | None, b: Shape | None) -> Shape | None:
    """The shape of ``a @ b`` (https://docs.pytorch.org/docs/stable/generated/torch.matmul.html)."""
    if a is None or b is None or not a or not b:
        return None
    if len(a) == 1 and len(b) == 1:
        return ()
    if len(b) == 1:
        return a[:-1]
    if len(a) == 1:
        return (*b[:-2], b[-1])
    batch = broadcast(a[:-2], b[:-2])
    return None if batch is None else (*batch, a[-2], b[-1])


def sizes(values: Sequence[Value]) -> Shape | None:
    """The shape given by call arguments: ``zeros(2, 3)``, ``zeros([2, 3])``, ``zeros(x.shape)``."""
    if len(values) == 1 and values[0].kind is Kind.SEQUENCE:
        items = values[0].items
        return None if items is None else tuple(dim_of(item) for item in items)
    if any(value.kind is Kind.SEQUENCE for value in values):
        return None
    if len(values) == 1 and values[0].kind is not Kind.NUMBER:
        return None
    return tuple(dim_of(value) for value in values)


def view(shape: Shape | None, wanted: Shape | None) -> Shape | None:
    """The shape after ``view``/``reshape``; one ``-1`` is worked out where all else is known."""
    if wanted is None or -1 not in wanted:
        return wanted
    known = 1
    for dim in wanted:
        if not isinstance(dim, int):
            return tuple(None if dim == -1 else dim for dim in wanted)
        known *= dim if dim != -1 else 1
    total = numel(shape)
    rest = total // known if isinstance(total, int) and known and total % known == 0 else None
    if len(wanted) == 1 and shape is not None and len(shape) == 1:
        rest = None
        return shape
    return tuple(rest if dim == -1 else dim for dim in wanted)


def numel(shape: Shape | None) -> int | None:
    """How many elements a tensor of this shape has, where it is known."""
    if shape is None:
        return None
    total = 1
    for dim in shape:
        if not isinstance(dim, int):
            return None
        total *= dim
    return total


def equal(a: Shape | None, b: Shape | None) -> bool:
    """Whether two shapes are certainly the same."""
    return a is not None and a == b and None not in a
