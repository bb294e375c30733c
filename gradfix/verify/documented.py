"""The shapes of inputs as docstrings and comments state them: ``x: [batch, length, dim]``.

Reads text alone and needs no torch. A dimension that several inputs share has one name there, which
nothing else tells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Dims = tuple[str, ...]

_WORD = r"(?:[A-Za-z_]\w*|\d+)(?:[ ]?[-+*/][ ]?(?:[A-Za-z_]\w*|\d+))*"
_LISTED = re.compile(rf"[\[(]\s*({_WORD}\s*,(?:\s*{_WORD}\s*,)*(?:\s*{_WORD})?)\s*[\])]")
_BARE = re.compile(rf"^\s*[:-]\s*({_WORD}(?:\s*,\s*{_WORD})+)\s*$")
_BY = r"\s+[xX*]\s+"
_TIMES = re.compile(rf"(?<![\w.])(?:[A-Za-z_]\w*|\d+)(?:{_BY}(?:[A-Za-z_]\w*|\d+))+")
#: What stands in brackets behind a name, and is no shape.
_TYPES = frozenset(
    "tensor torch optional int integer float bool boolean str string list tuple dict default none "
    "longtensor floattensor booltensor bytetensor array ndarray long byte sequence required shape "
    "size of a an the e g i see and or if for in is to".split()
)
_MAX_RANK = 6


def documented(text: str, names: list[str]) -> dict[str, Dims]:
    """The dimensions that a text states for some of the names, as it calls them."""
    found: dict[str, Dims] = {}
    lines = text.splitlines()
    for name in names:
        start = re.compile(
            rf"^\W*(?:param\s+|type\s+)?`*\b{re.escape(name)}\b`*(?!\s*[-+*/]?=|\.\w|[\[(])(.*)"
        )
        for row, line in enumerate(lines):
            match = start.match(line)
            if match is None:
                continue
            below = lines[row + 1] if row + 1 < len(lines) else ""
            said = match[1] if _about_another(below, names) else f"{match[1]} {below}"
            dims = next(_dims_in(match[1]), None) or next(_dims_in(said), None)
            if dims is not None:
                found[name] = dims
                break
    return found


def _about_another(line: str, names: list[str]) -> bool:
    first = re.match(r"\W*(?:param\s+|type\s+)?(\w+)", line)
    return first is not None and (first[1] in names or first[1].lower() in ("returns", "return"))


def _dims_in(text: str) -> Iterator[Dims]:
    """The shapes in a line, those in brackets first."""
    for found in _LISTED.finditer(text):
        dims = tuple(part.strip() for part in found[1].split(",") if part.strip())
        if _is_shape(dims):
            yield dims
    if (match := _BARE.match(text)) is not None:
        dims = tuple(part.strip() for part in match[1].split(","))
        if _is_shape(dims):
            yield dims
    for found in _TIMES.finditer(text):
        dims = tuple(re.split(_BY, found[0]))
        if _is_shape(dims):
            yield dims


def _is_shape(dims: Dims) -> bool:
    words = {word for dim in dims for word in re.findall(r"[a-z]+", dim.lower())}
    return len(dims) <= _MAX_RANK and not words & _TYPES and any(not d.isdigit() for d in dims)


_USUAL: tuple[tuple[frozenset[str], int], ...] = (
    (frozenset("b n bs bsz bz batch batchsize batch_size nbatch num_batch".split()), 2),
    (frozenset("h w height width img_size".split()), 16),
    (frozenset("c d e f dim channels channel hidden features in_channels".split()), 8),
)


def sizes(
    documented_dims: Mapping[str, Dims],
    known: Mapping[str, list[tuple[int, ...]]],
    attributes: Mapping[str, int],
) -> dict[str, tuple[int, ...]]:
    """Shapes where every name of a dimension stands for one size.

    ``known`` are shapes that layers accept, by input; ``attributes`` are numbers of the module.
    """
    bound: dict[str, int] = {}
    for name, dims in documented_dims.items():
        for shape in known.get(name, ()):
            if len(shape) == len(dims):
                for dim, size in zip(dims, shape, strict=True):
                    bound.setdefault(dim, size)
                break
    lower = {name.lower(): value for name, value in attributes.items()}
    spare = iter((6, 7, 9, 10, 11, 12, 13))
    found: dict[str, tuple[int, ...]] = {}
    for name, dims in documented_dims.items():
        for dim in dims:
            if dim not in bound:
                bound[dim] = _size_of(dim, lower, bound) or next(spare, 5)
        found[name] = tuple(bound[dim] for dim in dims)
    return found


def _size_of(dim: str, attributes: Mapping[str, int], bound: Mapping[str, int]) -> int | None:
    word = dim.lower()
    if dim.isdigit():
        return int(dim)
    if attributes.get(word, 0) > 0:
        return attributes[word]
    usual = next((size for words, size in _USUAL if word in words), None)
    if usual is not None:
        return usual
    parts = re.fullmatch(r"(\w+)\s?([-+*/])\s?(\w+)", dim)
    if parts is None:
        return None
    one, other = (
        bound.get(p) or (_size_of(p, attributes, bound) if p != dim else None)
        for p in (parts[1], parts[3])
    )
    if one is None or other is None:
        return None
    results = {"+": one + other, "-": one - other, "*": one * other, "/": one // other}
    return max(1, results[parts[2]])
