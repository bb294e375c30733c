"""Mends guessed inputs from the text of the error they caused."""

from __future__ import annotations

import math
import re
import traceback
from dataclasses import replace
from pathlib import Path

import torch

from gradfix.verify.compared import compared, raised_by_code, ranks_compared
from gradfix.verify.guess import BATCH, Spec, with_rank, with_shape
from gradfix.verify.kinds import of_other_kinds
from gradfix.verify.states import images_beside, multiplied, of_states, unfolded

_TORCH = str(Path(torch.__file__).parent)
_LONGEST = 1024
_FRAMES, _LONGEST_SIGNAL = 16, 16_384
_SIGNALS = range(2 * _LONGEST, _LONGEST_SIGNAL + 1)
_MOST_ROWS = 256
_SIDES = (8, 16, 24, 28, 32, 36, 48, 56, 64, 84, 96, 112, 128, 160, 192, 224, 256, 299)
_MATMUL = re.compile(r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)")
_VIEW = re.compile(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)")
MISMATCH = re.compile(r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)")
_LETTER = re.compile(
    r"has size (\d+) for operand .* does not broadcast with previously seen size (\d+)"
)
_EXPANDED = re.compile(
    r"expanded size of the tensor \((\d+)\) must match the existing size \((\d+)\)"
)
_CAT = re.compile(r"must match except in dimension \d+\. Expected size (\d+) but got size (\d+)")
_SPLIT = re.compile(
    r"sum exactly to (\d+) .*?at dimension -?\d+\), but got split_sizes=\[([\d, ]+)\]"
)
_PADDED = re.compile(
    r"[Pp]adding size should be less than .*?padding \((\d+), (\d+)\) at dimension"
)
_CHANNELS = re.compile(r"expected input\[([\d, ]+)\] to have (\d+) channels")
_RANKS = re.compile(r"must have same number of dimensions: got (\d) and (\d)")
_LAST = re.compile(r"input\.size\(-1\) must be equal to input_size\. Expected (\d+), got (\d+)")
_NORMALIZED = re.compile(r"expected input with shape \[\*, ([\d, ]+)\]")
_RUNNING = re.compile(r"running_mean should contain (\d+) elements not (\d+)")
_RANK = re.compile(r"[Ee]xpected.*?(\d)D(?: \(unbatched\))?(?: or (\d)D)?.*?(?:got|but)")
_ORDERED = re.compile(r"is not equal to len\(dims\) = (\d)|Expected (\d)-dimensional input for")
_FOLDED = re.compile(r"number of sizes provided \((\d)\) must be .* in the tensor \((\d)\)")
_SUBSCRIPTS = re.compile(r"subscripts in the equation \((\d)\) does not match .*?\((\d)\)")
_VECTOR = re.compile(r"supposed to be a vector|must be a vector|1-?D tensor expected")
_NUMBERS = re.compile(r"(?<![\w.])\d{1,4}(?![\w.])")
_EMBED = re.compile(r"embedding dimension of (\d+), but got (\d+)|embed_dim.*?(\d+)")
_UNPACK = re.compile(r"not enough values to unpack \(expected (\d+), got (\d+)\)")
_TOO_MANY = re.compile(r"too many values to unpack \(expected (\d+)")
_INDICES = re.compile(r"too many indices for tensor of dimension (\d)")
_SMALL = re.compile(
    r"[Kk]ernel size can't be greater|Output size is too small|too small|"
    r"more than 1 (?:value per channel|spatial element)"
)


def lines_reached(error: Exception, file: str) -> tuple[int, ...]:
    """Line numbers from the first frame in the file on, outermost first: how far a run got.

    Lines of torch itself are left out: what it checks first says nothing about progress.
    """
    frames = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    first = next((i for i, (name, _) in enumerate(frames) if name == file), len(frames))
    return tuple(line for name, line in frames[first:] if not name.startswith(_TORCH))


def layer_sizes(text: str) -> list[tuple[int, int]]:
    """The size that a layer was made for and the one it was given, as its error names them."""
    if match := _MATMUL.search(text):
        return [(int(match[3]), int(match[2]))]
    if match := _CHANNELS.search(text):
        shape = [int(n) for n in match[1].split(",")]
        return [(int(match[2]), shape[1] if len(shape) > 1 else shape[0])]
    if match := _LAST.search(text):
        return [(int(match[1]), int(match[2]))]
    return []


def repairs(specs: list[Spec], error: Exception) -> list[list[Spec]]:
    """Changed inputs that may cure the error, most likely first; empty when it says nothing."""
    text = str(error)
    found = _of_other_sizes(specs, text) + _normalized(specs, text) + _other_rank(specs, text)
    found += of_other_kinds(specs, text) + of_states(specs, text)
    if not found:
        found += _as_checked(specs, error)
    if _SMALL.search(text):
        found += [[_larger(s) for s in specs]]
    if match := _PADDED.search(text):
        found += _signals(specs, max(map(int, match.groups())))
    return [f for f in found if f != specs]


def _of_other_sizes(specs: list[Spec], text: str) -> list[list[Spec]]:
    """The same inputs with axes as long as layers, views and other inputs want them."""
    found: list[list[Spec]] = []
    if match := _MATMUL.search(text):
        rows, columns, wanted, _ = map(int, match.groups())
        found += _other_images(specs, columns, wanted)
        found += _swap_last(specs, columns, wanted)
        found += _shared(specs, -1, columns, wanted) + _scaled(specs, -1, columns, wanted)
        found += unfolded(specs, columns, wanted)
        found += _widened(specs, -1, columns, wanted)
        flat = [i for i, s in enumerate(specs) if len(s.shape) < 4 and rows <= _MOST_ROWS]
        found += [with_shape(specs, i, (rows, wanted)) for i in flat]
    found += _of_views(specs, text)
    if match := MISMATCH.search(text) or _LETTER.search(text):
        a, b = map(int, match.groups())
        found += _swap_any(specs, a, b) + _swap_any(specs, b, a)
    if match := _CAT.search(text):
        wanted, got = map(int, match.groups())
        if len(specs) == 1 and len(specs[0].shape) > 3:  # halved and doubled again by layers
            found += [[_larger(specs[0])]]
        found += _swap_any(specs, got, wanted) + _swap_any(specs, wanted, got) + _alike(specs)
        found += images_beside(specs)
    if match := _EXPANDED.search(text):
        found += _swap_all(specs, int(match[2]), int(match[1]))
        found += _swap_any(specs, int(match[1]), int(match[2]))
    if match := _SPLIT.search(text):
        found += _swap_any(specs, int(match[1]), sum(int(n) for n in match[2].split(",")))
    found += _of_channels(specs, text)
    if match := _RANKS.search(text):
        ranks = sorted({int(n) for n in match.groups()}, reverse=True)
        mended = [[_of_rank(s, rank) for s in specs] for rank in ranks]
        found += [m for m in mended if all(len(s.shape) == len(m[0].shape) for s in m)]
        found = [*images_beside(specs), *found]
    return found


def _of_views(specs: list[Spec], text: str) -> list[list[Spec]]:
    """With as many elements as a view asks for; of an image that is about its sides."""
    match = _VIEW.search(text)
    if match is None or not int(match[2]):
        return []
    wanted, size = [int(n) for n in match[1].split(",")], int(match[2])
    found = _fitting(specs, wanted, size)
    product = math.prod(abs(n) for n in wanted)
    for i, spec in enumerate(specs):
        if len(spec.shape) != 4:
            continue
        sides: list[int] = []
        for part in (size, size / max(1, spec.shape[0])):  # of the batch, of one image
            side = round(spec.shape[-1] * (product / part) ** 0.5)
            near = sorted(_SIDES, key=lambda each: abs(each - side))[:2]
            sides += [each for each in (side, *near) if 1 < each < 320]
        found += [with_shape(specs, i, (*spec.shape[:2], s, s)) for s in dict.fromkeys(sides)]
    return found


def _of_channels(specs: list[Spec], text: str) -> list[list[Spec]]:
    """With as many channels as a convolution was made for."""
    match = _CHANNELS.search(text)
    if match is None:
        return []
    found: list[list[Spec]] = []
    shape = tuple(int(n) for n in match[1].split(","))
    for i, spec in enumerate(specs):
        if (1, *spec.shape) == shape:  # taken for one image without a batch
            found.append(with_shape(specs, i, (BATCH, int(match[2]), *spec.shape[1:])))
        if len(spec.shape) == len(shape):
            found.append(with_shape(specs, i, (spec.shape[0], int(match[2]), *spec.shape[2:])))
    if len(shape) > 1:
        found += _swap_any(specs, shape[1], int(match[2]))
    columns, wanted = shape[1 if len(shape) > 1 else 0], int(match[2])
    if any(len(s.shape) == len(shape) for s in specs):
        found += _shared(specs, 1, columns, wanted) + _scaled(specs, 1, columns, wanted)
        found += _widened(specs, 1, columns, wanted)
        if len(shape) == 3 and len(specs) > 1:  # steps first, turned round after they are joined
            found += _widened(specs, -1, columns, wanted)
    elif len(specs) > 1:  # they are folded or grouped before they are joined
        found += _widened(specs, 1, columns, wanted) + _widened(specs, -1, columns, wanted)
    return found


def _normalized(specs: list[Spec], text: str) -> list[list[Spec]]:
    """With the last axes that recurrent, normalizing and attending layers want."""
    found: list[list[Spec]] = []
    if match := _LAST.search(text):
        found += _swap_last(specs, int(match[2]), int(match[1]))
        found += unfolded(specs, int(match[2]), int(match[1]))
    if match := _NORMALIZED.search(text):
        tail = tuple(int(n) for n in match[1].split(","))
        found += [with_shape(specs, i, s.shape[: -len(tail)] + tail) for i, s in enumerate(specs)]
    if match := _RUNNING.search(text):
        got, wanted = map(int, match.groups())  # the layer has the second one
        found += _swap_any(specs, got, wanted) + multiplied(specs, got, wanted)
    if (match := _EMBED.search(text)) and match[1]:
        found += _swap_last(specs, int(match[2]), int(match[1]))
    return found


def _as_checked(specs: list[Spec], error: Exception) -> list[list[Spec]]:
    """As a check of the code itself wants them."""
    found: list[list[Spec]] = []
    for rank in ranks_compared(error):
        mended = [_of_rank(spec, rank) for spec in specs]
        found += [[*specs[:i], spec, *specs[i + 1 :]] for i, spec in enumerate(mended)]
    told = numbers_told(str(error)) if raised_by_code(error) else []
    for a, b in compared(error) or told:
        found += _swap_all(specs, a, b)
        found += _swap_any(specs, a, b) + _swap_any(specs, b, a)
    return found


def numbers_told(text: str) -> list[tuple[int, int]]:
    """The two sizes that a message names, as in "height 16 does not fit 224"; both ways round."""
    numbers = list(dict.fromkeys(int(n) for n in _NUMBERS.findall(text)))
    return [(a, b) for a in numbers for b in numbers if a != b] if len(numbers) == 2 else []


def _swap_all(specs: list[Spec], old: int, new: int) -> list[list[Spec]]:
    """One input with every axis of a length brought to another, as both sides of an image."""
    return [
        with_shape(specs, i, tuple(new if n == old else n for n in s.shape))
        for i, s in enumerate(specs)
        if s.shape.count(old) > 1 and new <= _LONGEST
    ]


def _fitting(specs: list[Spec], wanted: list[int], size: int) -> list[list[Spec]]:
    """One axis of an input made as much longer as a view asks for."""
    product = math.prod(n for n in wanted if n > 0)
    found = []
    for i, spec in enumerate(specs):
        rest = range(1, len(spec.shape))
        for axis in (*rest, 0) if spec.shape else ():  # the batch last
            length = spec.shape[axis]
            longer = length * product // size
            if (
                0 < longer <= _LONGEST
                and size * longer == product * length
                and spec.kind in ("float", "long")
            ):
                found.append(
                    with_shape(specs, i, (*spec.shape[:axis], longer, *spec.shape[axis + 1 :]))
                )
    return found


def _other_images(specs: list[Spec], columns: int, wanted: int) -> list[list[Spec]]:
    """Images of the size that a Linear behind the convolutions was made for."""
    found = []
    for i, spec in enumerate(specs):
        if len(spec.shape) == 4 and columns != wanted:
            near = round(spec.shape[-1] * (wanted / columns) ** 0.5)
            sides = sorted(_SIDES, key=lambda side: abs(side - near))[:3]
            found += [
                with_shape(specs, i, (*spec.shape[:2], s, s)) for s in (*sides, near) if s < 320
            ]
    return found


def _widened(specs: list[Spec], axis: int, old: int, new: int) -> list[list[Spec]]:
    """One input as much wider as a layer asks for: others are joined to it, or a part is taken."""
    found = []
    if axis == 1 and any(old in s.shape[1:] for s in specs):
        return []  # that axis is the one that the layer got
    for i, spec in enumerate(specs):
        shape = list(spec.shape)
        if len(shape) > 1 and spec.kind == "float" and 0 < shape[axis] + new - old <= _LONGEST:
            if len(specs) > 1 or shape[axis] != old:
                shape[axis] += new - old
                found.append(with_shape(specs, i, tuple(shape)))
    return found


def _scaled(specs: list[Spec], axis: int, old: int, new: int) -> list[list[Spec]]:
    """One input as many times wider as a layer asks for, where it is cut or folded before that."""
    found = []
    for i, spec in enumerate(specs):
        width = spec.shape[axis] if len(spec.shape) > 1 and spec.kind == "float" else old
        if 0 < old < width:  # cut into pieces, the last of which may be smaller
            wide = new * -(-width // old)
        elif old > width and old % width == 0 and new % (old // width) == 0:
            wide = new // (old // width)
        else:
            continue
        shape = list(spec.shape)
        shape[axis] = wide
        if 0 < wide <= _LONGEST:
            found.append(with_shape(specs, i, tuple(shape)))
    return found


def _shared(specs: list[Spec], axis: int, old: int, new: int) -> list[list[Spec]]:
    """Inputs of one width that are joined before a layer, with equal shares of what it wants."""
    wide = [s for s in specs if len(s.shape) > 1 and s.kind == "float"]
    if not 1 < len(wide) <= new or sum(s.shape[axis] for s in wide) != old:
        return []
    changed, rest = list(specs), new % len(wide)
    for i, spec in enumerate(specs):
        if spec in wide:
            shape = list(spec.shape)
            shape[axis] = new // len(wide) + rest  # the first one gets what is left over
            changed[i], rest = replace(spec, shape=tuple(shape)), 0
    return [changed]


def _alike(specs: list[Spec]) -> list[list[Spec]]:
    """Inputs that all have the shape of one of them."""
    floats = [s for s in specs if s.kind == "float"]
    return [
        [replace(s, shape=model.shape) if s.kind == "float" else s for s in specs]
        for model in dict.fromkeys(floats)
    ]


def _of_rank(spec: Spec, rank: int) -> Spec:
    shape = with_rank(spec.shape, rank)
    return spec if shape is None else replace(spec, shape=shape)


def _swap_last(specs: list[Spec], old: int, new: int) -> list[list[Spec]]:
    return [
        with_shape(specs, i, (*s.shape[:-1], new))
        for i, s in enumerate(specs)
        if s.shape[-1:] == (old,)
    ]


def _swap_any(specs: list[Spec], old: int, new: int) -> list[list[Spec]]:
    return [
        with_shape(specs, i, (*s.shape[:d], new, *s.shape[d + 1 :]))
        for i, s in enumerate(specs)
        for d in reversed(range(len(s.shape)))
        if s.shape[d] == old
    ]


def _other_rank(specs: list[Spec], text: str) -> list[list[Spec]]:
    """The same inputs with another number of dimensions, where the error asks for one."""
    wanted: set[int] = set()
    if match := _RANK.search(text):
        wanted |= {int(n) for n in match.groups() if n}
    if match := _UNPACK.search(text):
        wanted.add(int(match[1]))
    if match := _ORDERED.search(text):
        wanted |= {int(n) for n in match.groups() if n}
    if match := _TOO_MANY.search(text):
        wanted.add(int(match[1]))
    if _VECTOR.search(text):
        longs = [i for i, s in enumerate(specs) if s.kind == "long" and len(s.shape) != 1]
        return [with_shape(specs, i, specs[i].shape[:1] or (BATCH,)) for i in longs]
    if match := _SUBSCRIPTS.search(text):  # of an input, or of each element of one
        more = int(match[1]) - int(match[2])
        ranks = (int(match[2]), int(match[2]) + 1)
        wanted |= {len(s.shape) + more for s in specs if len(s.shape) in ranks}
    if match := _FOLDED.search(text):  # what is expanded has too many, perhaps one of them new
        less = int(match[2]) - int(match[1])
        wanted |= {len(s.shape) - less for s in specs if len(s.shape) > less}
    if "Dimension out of range" in text:
        wanted |= {len(s.shape) + 1 for s in specs}
    if match := _INDICES.search(text):
        flat = int(match[1])
        longer = [(i, with_rank(s.shape, flat + 1)) for i, s in enumerate(specs)]
        return [
            with_shape(specs, i, shape)
            for i, shape in longer
            if shape is not None and len(specs[i].shape) == flat
        ]
    found = []
    for i, spec in enumerate(specs):
        for rank in sorted(wanted):
            shape = with_rank(spec.shape, rank)
            if shape is not None:
                found.append(with_shape(specs, i, shape))
    return found


def _signals(specs: list[Spec], padding: int) -> list[list[Spec]]:
    """Signals longer than what a transform pads them with, several frames long; without channels
    first, as spectrograms take them."""
    length = _FRAMES * padding
    found: list[list[Spec]] = []
    for i, spec in enumerate(specs):
        if spec.kind == "float" and spec.shape and length <= _LONGEST_SIGNAL:
            found.append(with_shape(specs, i, (BATCH, length)))
            found.append(with_shape(specs, i, (*spec.shape[:-1], length)))
    return found


def _larger(spec: Spec) -> Spec:
    if spec.kind == "float" and len(spec.shape) == 2 and spec.shape[-1] in _SIGNALS:
        return replace(spec, shape=(spec.shape[0], 2 * spec.shape[-1]))
    if spec.kind != "float" or len(spec.shape) < 3 or max(spec.shape) > 256:
        return spec
    kept = spec.shape[:2]
    return replace(spec, shape=(*kept, *(2 * n for n in spec.shape[2:])))
