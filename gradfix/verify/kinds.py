"""Other kinds of inputs: integers, masks, lists, sizes, as the text of an error asks for them."""

from __future__ import annotations

import re
from dataclasses import replace

from gradfix.verify.guess import SIDE, Spec
from gradfix.verify.operands import types_at_odds

_WANTS_INT = re.compile(
    r"must be (?:a )?tuple of ints|cannot be interpreted as an integer|must be int|"
    r"integers? .*Tensor"
)
_INTEGERS = re.compile(
    r"indices to have one of the following scalar types|expected scalar type Long|"
    r"tensors used as indices must be long|must be .*integer|only integer tensors|"
    r"LongTensor|[Ee]xpected .*(?:int64|Long)|dtype int32 or int64"
)
_LISTS = re.compile(r"(?:must|should) be (?:either |a )*(?:tuples?|lists?)\b(?! of ints)")
_NO_BOOL = re.compile(
    r"with a bool tensor is not supported|not implemented for 'Bool'|got Bool|Bool but|and Bool"
)
_BOOL = re.compile(r"boolean masks|expected.* Bool|must be bool|dtype of bool|bool tensor but")
_COMPLEX = re.compile(r"non-complex dtype|only supported for complex|(?:must|to) be (?:a )?complex")
_RANGE = re.compile(r"index out of range|out of bounds|index \d+ is out of")
_FLOATING = re.compile(r"Expected a floating point|expected scalar type Float|got Long|Got Long")
_WANTS_INTS = re.compile(
    r"must be (?:a )?tuple of ints|after \* must be an iterable, not int|non-iterable int|"
    r"'int' object is not (?:subscriptable|iterable)|must be a single integer or|spatial dimensions"
)
_UNIT = re.compile(
    r"should be between 0 and 1|Interval\(lower_bound=0.0, upper_bound=1.0\)|Simplex\(\)|"
    r"values? (?:in|within) (?:the range |the interval )?\[0(?:\.0)?, ?1"
)
_POSITIVE = re.compile(r"GreaterThan(?:Eq)?\(lower_bound=0\.0\)|must be (?:strictly )?positive")
_AMBIGUOUS = re.compile(r"Boolean value of Tensor with (?:more than one|no) value")
_SEVERAL = ("list", "pair")
_WANTS_TENSOR = re.compile(
    r"must be (?:a )?Tensor, not (?:int|NoneType)|"
    r"'int' object has no attribute '(?:size|shape|dim|view|device|dtype|float|unsqueeze|clone)'"
)


def of_other_kinds(specs: list[Spec], text: str) -> list[list[Spec]]:
    """With integers, masks, complex numbers or plain numbers in them."""
    found: list[list[Spec]] = []
    if _LISTS.search(text):
        found += [[replace(s, kind="list") if s.kind == "float" else s for s in specs]]
        found += [_kind(specs, i, "list") for i, s in enumerate(specs) if s.kind == "float"]
    if _INTEGERS.search(text):
        found += [_kind(specs, i, "long") for i in range(len(specs))]
        found += [
            [replace(s, kind="long") if i == j else s for j, s in enumerate(specs)]
            for i in range(len(specs))
        ]
    if _WANTS_INT.search(text):
        found += [_number(specs, i, 4) for i in range(len(specs) - 1, -1, -1)]
    if _AMBIGUOUS.search(text):  # a flag or a count, perhaps one that is in a tensor
        places = [i for i, s in enumerate(specs) if s.kind != "int" and s.shape]
        found += [_number(specs, i, 2) for i in places]
        found += [[*specs[:i], Spec(()), *specs[i + 1 :]] for i in places]
    if _WANTS_INTS.search(text):
        pair = Spec((SIDE, SIDE), "ints")
        places = [i for i, s in enumerate(specs) if s.kind == "int" or "of ints" in text]
        found += [[*specs[:i], pair, *specs[i + 1 :]] for i in reversed(places)]
    if _NO_BOOL.search(text):
        found += [_kind(specs, i, "mask") for i, s in enumerate(specs) if s.kind == "bool"]
    if _BOOL.search(text):
        found += [_kind(specs, i, "bool") for i, s in enumerate(specs) if s.kind != "bool"]
    if _COMPLEX.search(text):
        found += [[replace(s, kind="complex") if s.kind == "float" else s for s in specs]]
        found += [_kind(specs, i, "complex") for i, s in enumerate(specs) if s.kind == "float"]
    if _RANGE.search(text):
        found += [[replace(s, high=1) if s.kind == "long" else s for s in specs]]
    if _FLOATING.search(text):
        found += [_kind(specs, i, "float") for i, s in enumerate(specs) if s.kind == "long"]
    if _WANTS_TENSOR.search(text):
        model = next((s for s in specs if s.kind == "float" and s.shape), Spec((2, 8)))
        plain = [i for i, s in enumerate(specs) if s.kind in ("int", "none")]
        found += [[*specs[:i], model, *specs[i + 1 :]] for i in plain]
    for pattern, kind in ((_UNIT, "unit"), (_POSITIVE, "positive")):
        if pattern.search(text):
            found += [[replace(s, kind=kind) if s.kind == "float" else s for s in specs]]
            found += [_kind(specs, i, kind) for i, s in enumerate(specs) if s.kind == "float"]
    if {"Tensor", "float"} & set(odd := types_at_odds(text)) and {"list", "tuple"} & set(odd):
        found += [_kind(specs, i, "float") for i, s in enumerate(specs) if s.kind in _SEVERAL]
    return found


def _number(specs: list[Spec], index: int, value: int) -> list[Spec]:
    return [Spec((), "int", value) if i == index else s for i, s in enumerate(specs)]


def _kind(specs: list[Spec], index: int, kind: str) -> list[Spec]:
    changed = [replace(s, kind=kind) if i == index else s for i, s in enumerate(specs)]
    return [replace(s, shape=s.shape[:2]) if s.kind == "long" else s for s in changed]
