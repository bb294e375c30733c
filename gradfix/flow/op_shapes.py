"""The shape of an operation's result, where the shapes and arguments that go in are known."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from gradfix.flow import shapes
from gradfix.flow.values import Dim, Kind, Shape, Value, dim_of

if TYPE_CHECKING:
    from gradfix.flow.operands import Argument
    from gradfix.flow.torch_ops import Op

Bound = Mapping[str, list[tuple[ast.AST, Value]]]

SAME_SHAPE = frozenset(
    """abs neg exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square sin cos tan asin acos atan
    sinh cosh tanh sigmoid relu gelu elu selu silu mish leaky_relu softplus softsign hardtanh
    hardswish hardsigmoid softmax log_softmax dropout clone detach contiguous to round floor
    ceil trunc sign reciprocal erf clamp clamp_min clamp_max cumsum cumprod flip roll zeros_like
    ones_like rand_like randn_like full_like empty_like normalize layer_norm tril triu
    requires_grad_ type_as alias nan_to_num logit softmin celu threshold relu6 float double half
    bfloat16 cuda cpu long int""".split()
)
ELEMENTWISE = frozenset(
    """add sub mul div true_divide pow maximum minimum where eq ne lt le gt ge fmod remainder atan2
    multiply subtract divide lerp addcmul addcdiv rsub floor_divide logical_and
    logical_or""".split()
)
_REDUCTIONS = frozenset(
    "sum mean prod std var norm logsumexp amax amin any all max min median nansum nanmean".split()
)
_FACTORIES = frozenset(
    "zeros ones empty rand randn full new_zeros new_ones new_empty new_full".split()
)
_SCALARS = frozenset("dot mse_loss l1_loss cross_entropy nll_loss binary_cross_entropy".split())


def result_shape(op: Op, bound: Bound, arguments: Sequence[Argument]) -> Shape | None:
    """The shape of ``op``'s (first) result, or None."""
    name = op.name.rstrip("_")
    tensors = [value for values in bound.values() for _, value in values if value.is_tensor]
    if name in SAME_SHAPE:
        return tensors[0].shape if tensors else None
    if name in ELEMENTWISE:
        return _elementwise(bound)
    if name in _FACTORIES:
        return shapes.sizes(_values(bound, "size"))
    if name in _REDUCTIONS:
        return _reduction(name, bound)
    if name in _SCALARS:
        return () if name == "dot" or is_reduced(arguments, 3) else None
    if name in _JOINS:
        return _JOINS[name](bound, _joined(arguments))
    rule = _RULES.get(name)
    return rule(bound) if rule is not None else None


def _joined(arguments: Sequence[Argument]) -> Dim:
    """How many tensors a function that takes one list of them is given."""
    given = next((a.value for a in arguments if a.keyword in (None, "tensors")), None)
    if given is None or given.kind is not Kind.SEQUENCE or given.name == "starred":
        return None
    return given.length if given.items is None else len(given.items)


def is_reduced(arguments: Sequence[Argument], plain: int) -> bool:
    """Whether a loss is one number: what it is given says nothing else (``reduce=False``).

    At most ``plain`` arguments come without a keyword, before those that change the reduction.
    """
    given = {argument.keyword: argument.value for argument in arguments}
    reduction = given.get("reduction")
    if len([argument for argument in arguments if argument.keyword is None]) > plain:
        return False
    if (
        "reduce" in given
        or "**" in given
        or any(isinstance(a.node, ast.Starred) for a in arguments)
    ):
        return False
    return reduction is None or reduction.const in ("mean", "sum")


def pieces(op: Op, bound: Bound) -> int | None:
    """How many views a multi-view operation (``chunk``, ``unbind``, ...) certainly returns."""
    if op.name == "unbind":
        shape = _shape(bound)
        dim = _int(bound, "dim", 0)
        at = shapes.normalise(dim, len(shape)) if shape is not None and dim is not None else None
        size = shape[at] if shape is not None and at is not None else None
        return size if isinstance(size, int) else None
    if op.name == "chunk":
        # ``chunk(n)`` returns fewer pieces only for sizes below n; unpacking them would raise.
        return _int(bound, "chunks", None)
    return None


def _values(bound: Bound, name: str) -> list[Value]:
    return [value for _, value in bound.get(name, ())]


def _shape(bound: Bound, name: str = "self") -> Shape | None:
    for key in (name, "input", "self"):
        values = _values(bound, key)
        if values:
            return values[0].shape if values[0].is_tensor else None
    return None


def _int(bound: Bound, name: str, default: int | None) -> int | None:
    values = _values(bound, name)
    if not values:
        return default
    const = values[0].const
    return const if isinstance(const, int) and not isinstance(const, bool) else None


def _dims(bound: Bound, name: str) -> list[int] | None:
    """The reduced dimensions; an empty list when they are given but not known."""
    values = _values(bound, name)
    if not values or (values[0].kind is Kind.FOREIGN and values[0].const is None):
        return None
    given = values[0].items if values[0].kind is Kind.SEQUENCE else tuple(values)
    dims = [value.const for value in given or ()]
    known = [dim for dim in dims if isinstance(dim, int)]
    return known if len(known) == len(dims) else []


def _elementwise(bound: Bound) -> Shape | None:
    shape: Shape | None = ()
    for values in bound.values():
        for _, value in values:
            if value.kind is Kind.TENSOR:
                shape = shapes.broadcast(shape, value.shape)
            elif value.kind is not Kind.NUMBER:
                return None
    return shape


def _reduction(name: str, bound: Bound) -> Shape | None:
    if name in ("max", "min") and "other" in bound:
        return _elementwise(bound)
    dims = _dims(bound, "dim")
    if dims == []:
        return None
    keep = bound.get("keepdim")
    if keep and not isinstance(keep[0][1].const, bool):
        return None
    return shapes.reduce(_shape(bound), dims, bool(keep and keep[0][1].const))


def _reshape(bound: Bound) -> Shape | None:
    sizes = _values(bound, "size") or _values(bound, "shape")
    return shapes.view(_shape(bound), shapes.sizes(sizes))


def _expand(bound: Bound) -> Shape | None:
    wanted = shapes.sizes(_values(bound, "size"))
    return None if wanted is None or -1 in wanted else wanted


def _matmul(bound: Bound) -> Shape | None:
    other = next((k for k in ("other", "mat2", "vec", "vec2", "tensor2") if k in bound), "other")
    right = _values(bound, other)
    return shapes.matmul(_shape(bound), right[0].shape) if right and right[0].is_tensor else None


def _stack(bound: Bound, count: Dim) -> Shape | None:
    items = _values(bound, "tensors")
    dim = _int(bound, "dim", 0)
    first = items[0].shape if items else None
    if first is None or dim is None or any(item.shape != first for item in items):
        return None
    at = shapes.normalise(dim, len(first) + 1)
    return None if at is None else (*first[:at], count, *first[at:])


def _cat(bound: Bound, count: Dim) -> Shape | None:
    items = _values(bound, "tensors")
    dim = _int(bound, "dim", 0)
    first = items[0].shape if items else None
    at = shapes.normalise(dim, len(first)) if first is not None and dim is not None else None
    if first is None or at is None:
        return None
    total: Dim = 0
    for item in items:
        if item.shape is None or len(item.shape) != len(first):
            return None
        size = item.shape[at]
        total = total + size if isinstance(total, int) and isinstance(size, int) else None
    if count != len(items):  # one stands for all of them
        total = total * count if isinstance(total, int) and isinstance(count, int) else None
    return (*first[:at], total, *first[at + 1 :])


def _unsqueeze(bound: Bound) -> Shape | None:
    shape, dim = _shape(bound), _int(bound, "dim", None)
    at = shapes.normalise(dim, len(shape) + 1) if shape is not None and dim is not None else None
    return None if shape is None or at is None else (*shape[:at], 1, *shape[at:])


def _squeeze(bound: Bound) -> Shape | None:
    shape = _shape(bound)
    if shape is None or any(not isinstance(size, int) for size in shape):
        return None
    if "dim" not in bound:
        return tuple(size for size in shape if size != 1)
    dim = _int(bound, "dim", None)
    at = shapes.normalise(dim, len(shape)) if dim is not None else None
    if at is None:
        return None
    return shape if shape[at] != 1 else (*shape[:at], *shape[at + 1 :])


def _transpose(bound: Bound) -> Shape | None:
    shape, a, b = _shape(bound), _int(bound, "dim0", None), _int(bound, "dim1", None)
    if shape is None or a is None or b is None:
        return None
    one, two = shapes.normalise(a, len(shape)), shapes.normalise(b, len(shape))
    if one is None or two is None:
        return None
    swapped = list(shape)
    swapped[one], swapped[two] = swapped[two], swapped[one]
    return tuple(swapped)


def _t(bound: Bound) -> Shape | None:
    shape = _shape(bound)
    return shape[::-1] if shape is not None and len(shape) <= 2 else None


def _flatten(bound: Bound) -> Shape | None:
    shape = _shape(bound)
    if "start_dim" in bound or "end_dim" in bound:
        return None
    return (shapes.numel(shape),)


def _linear(bound: Bound) -> Shape | None:
    shape, weight = _shape(bound), _values(bound, "weight")
    rows = weight[0].shape[0] if weight and weight[0].shape else None
    return None if shape is None else (*shape[:-1], rows)


def _arange(bound: Bound) -> Shape | None:
    start, end = _values(bound, "start"), _values(bound, "end")
    if start or not end or "step" in bound:
        return (None,)
    const = end[0].const
    if isinstance(const, float) and const.is_integer():
        return (int(const),)
    return (dim_of(end[0]) if end[0].kind is Kind.NUMBER else None,)


def _eye(bound: Bound) -> Shape | None:
    rows, columns = _values(bound, "n"), _values(bound, "m")
    size = dim_of(rows[0]) if rows else None
    return (size, dim_of(columns[0]) if columns else size)


def _linspace(bound: Bound) -> Shape | None:
    steps = _values(bound, "steps")
    return (dim_of(steps[0]),) if steps else None


_JOINS: dict[str, Callable[[Bound, Dim], Shape | None]] = {
    "stack": _stack,
    "cat": _cat,
    "concat": _cat,
    "concatenate": _cat,
}
_RULES: dict[str, Callable[[Bound], Shape | None]] = {
    "view": _reshape,
    "reshape": _reshape,
    "expand": _expand,
    "matmul": _matmul,
    "mm": _matmul,
    "mv": _matmul,
    "bmm": _matmul,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "t": _t,
    "flatten": _flatten,
    "ravel": _flatten,
    "linear": _linear,
    "arange": _arange,
    "eye": _eye,
    "linspace": _linspace,
}
