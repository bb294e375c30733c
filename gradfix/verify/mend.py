"""Changes constructor arguments that a constructor, or a call of what it built, did not like."""

from __future__ import annotations

import copy
import functools
import inspect
import re
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gradfix.verify.compared import compared, keys_of_table, lacks_value
from gradfix.verify.construct import MadeUp, values_for
from gradfix.verify.drive import is_out_of_memory
from gradfix.verify.guess import SIDE
from gradfix.verify.instances import of_classes
from gradfix.verify.names import Wanted
from gradfix.verify.operands import other_operands
from gradfix.verify.parts import Part
from gradfix.verify.repair import MISMATCH, layer_sizes, lines_reached
from gradfix.verify.slots import Arguments, names_at_fault, nearness, slots_of, value_at, with_value
from gradfix.verify.source import uses_of_code
from gradfix.verify.told import asked_for, of_choices, of_settings_files
from gradfix.verify.uses import Use
from gradfix.verify.values import is_numpy

_TORCH = str(Path(torch.__file__).parent)
_OF_TENSORS = ("shape", "size", "dim", "ndim", "to", "device", "dtype", "clone", "detach", "float")
_QUOTED = re.compile(r"['\"]([A-Za-z]\w*)['\"]")
_WANTS_LIST = ("not iterable", "not subscriptable", "has no len()", "cannot unpack non-iterable")
_MISSING = re.compile(r"missing \d+ required (?:positional|keyword-only) arguments?: (.+)")
_COUNTED = re.compile(r"values to unpack \(expected (\d)")
_LACKS = re.compile(r"'(\w+)' object has no attribute '(\w+)'")
_DIVISIBLE = re.compile(r"\((\d+)\) must be divisible by \w+ \((\d+)\)")
_NEAR, _FAR = 26, 8
_PLACES = 8


def repaired_constructor(
    cls: type[nn.Module], kwargs: Arguments, error: Exception
) -> list[Arguments]:
    """Other arguments that the constructor's error text asks for."""
    found = [*_of_another_kind(kwargs, error), *_of_another_size(kwargs, str(error))]
    found += of_choices(cls, kwargs, error) + other_operands(kwargs, error)
    found += of_settings_files(kwargs, error)
    found += of_classes(cls, kwargs, error, repaired_constructor)
    found += _with_others(cls, kwargs, error)
    if is_out_of_memory(error):
        found += [larger(kwargs, (8, 16), 2)]
    found += _with_keys(kwargs, error) + _with_placeholders(cls, kwargs, error)
    if not found:
        for a, b in compared(error):
            found += _matching(kwargs, a, b)
    return found


def _of_another_kind(kwargs: Arguments, error: Exception) -> list[Arguments]:
    """With lists, modules, configurations or other words in place of what was there."""
    text, found = str(error), list[Arguments]()
    numbers = functools.partial(_instead_of, kwargs, error, (int,))
    lists = functools.partial(_instead_of, kwargs, error, (list, tuple))
    if "cannot unpack" in text or "(expected 2, got" in text:
        found += numbers((SIDE, SIDE))
    elif any(words in text for words in _WANTS_LIST):
        found += numbers([8, 8, 8])
    if match := _COUNTED.search(text):
        found += lists((SIDE,) * int(match[1]))
    if "must be tuple of ints, but found element of type float" in text or "'float'" in text:
        found += _instead_of(kwargs, error, (float,), 8)
    if "invalid combination of arguments" in text:  # a size that its name took for a share
        found += [
            *_instead_of(kwargs, error, (float,), 1),
            *_instead_of(kwargs, error, (float,), 8),
        ]
    if match := _LACKS.search(text):
        found += _with_what_has(kwargs, error, *match.groups())
    if "'int' object is not callable" in text or "int is not a Module subclass" in text:
        found += [*numbers(Part()), *numbers(nn.Identity)]
    if "indices must be integers" in text:
        found += lists(MadeUp())
    if "index out of range" in text:
        found += [{**kwargs, n: v[:1] * 6} for n, v in kwargs.items() if isinstance(v, list)]
    if words := [w for w in _QUOTED.findall(text) if w not in kwargs][:6]:
        named = [n for n, v in kwargs.items() if isinstance(v, str) and v not in words]
        found += [{**kwargs, n: word} for n in named for word in words]
    if "between 0 and 1" in text or "in range [0, 1]" in text:
        found += numbers(0.0)
    if "called with an iterable, but got int" in text:
        found += numbers([Part()])
    if "must be a mapping" in text:
        found += [{**kwargs, name: {}} for name in kwargs if name.endswith("kwargs")]
    return found


def _instead_of(
    kwargs: Arguments, error: Exception, kinds: tuple[type, ...], value: Any
) -> list[Arguments]:
    """With a value in one of the places that hold a value of these types; the nearest first."""
    names = names_at_fault(error)
    slots = [slot for slot in slots_of(kwargs) if type(value_at(kwargs, slot)) in kinds]
    slots.sort(key=lambda slot: nearness(names, slot[-1]))
    return [with_value(kwargs, slot, value) for slot in slots[:_PLACES]]


def _with_what_has(
    kwargs: Arguments, error: Exception, kind: str, attribute: str
) -> list[Arguments]:
    """With something that has an attribute which what was given lacks."""
    found = [
        {**kwargs, name: _with_attribute(value, attribute)}
        for name, value in kwargs.items()
        if any(type(each).__name__ == kind for each in _modules_in(value))
    ]
    kinds = tuple(each for each in (int, float, str, list, tuple) if each.__name__ == kind)
    made: list[Any] = [MadeUp()]
    if attribute in _OF_TENSORS:
        made.insert(0, torch.eye(8))
    elif attribute in ("items", "keys", "values", "get", "pop"):
        made.insert(0, {})
    elif attribute in dir(str) and kind != "str":
        made = ["0"]
    elif attribute in dir(list) and kind != "list":
        made = [[8, 8, 8]]
    for value in made if kinds else ():
        found += _instead_of(kwargs, error, kinds, value)
    return found


def _of_another_size(kwargs: Arguments, text: str) -> list[Arguments]:
    """With other numbers."""
    found: list[Arguments] = []
    numbers = [name for name, value in kwargs.items() if type(value) is int]
    if match := MISMATCH.search(text):
        found += _matching(kwargs, *map(int, match.groups()))
    for wanted, got in layer_sizes(text):
        found += _fitting(kwargs, wanted, got)
    if "channels, but got" in text or "Kernel size can't be greater" in text:
        images = [n for n, v in kwargs.items() if type(v) is tuple and len(v) in (2, 3)]
        found += [{**kwargs, n: (3, 84, 84)} for n in images if kwargs[n] != (3, 84, 84)]
    if "higher than" in text or "too small" in text or "at least" in text:
        found += [larger(kwargs, (SIDE,), 4 * SIDE)]
    if "must be greater than 0" in text or "by zero" in text:
        found += [larger(kwargs, (8, 16), 64), larger(kwargs, (8, 16, 64), 512)]
    if match := _DIVISIBLE.search(text):
        number, by = map(int, match.groups())
        found += _fitting(kwargs, number, -(-number // max(1, by)) * by)
    if any(words in text for words in ("divisible", "dividable", "multiple of")):
        found += [larger(kwargs, (8, 16), 64), larger(kwargs, (8, 16, 64), 512)]
        found += [{**kwargs, name: 4} for name in numbers if kwargs[name] == 3]
        found += [{**kwargs, name: 12} for name in numbers if kwargs[name] == 8]
        found += [larger(kwargs, (3, 8, 16), 64)]  # also of what comes out
    return found


def _with_others(cls: type[nn.Module], kwargs: Arguments, error: Exception) -> list[Arguments]:
    """With arguments that were not given so far."""
    text, found = str(error), list[Arguments]()
    if match := _MISSING.search(text):
        found += _with_missing(cls, kwargs, _QUOTED.findall(match[1]))
    if named := asked_for(cls, kwargs, error):
        found += _with_optional(cls, kwargs, error, named, only_named=True)
    elif "None" in text or lacks_value(error):
        found += _with_optional(cls, kwargs, error, only_named=lacks_value(error))
    if "CUDA" in text:
        found += _on_cpu(cls, kwargs)
    return found


def _with_keys(kwargs: Arguments, error: Exception) -> list[Arguments]:
    """With keys of the table in which one of the values was looked up in vain."""
    wrong = error.args[0] if isinstance(error, KeyError) and error.args else None
    keys = keys_of_table(error) if wrong is not None else []
    found: list[Arguments] = []
    for slot in slots_of(kwargs) if keys else ():
        value = value_at(kwargs, slot)
        if type(value) is type(wrong) and value == wrong:
            found += [with_value(kwargs, slot, key) for key in keys[:4]]
    return found


def _with_placeholders(
    cls: type[nn.Module], kwargs: Arguments, error: Exception
) -> list[Arguments]:
    """With values in place of defaults that only keep a place, as ``sizes=[]``."""
    if not isinstance(error, (TypeError, ValueError, IndexError)):
        return []
    parameters = inspect.signature(cls).parameters.values()
    empty = [p for p in parameters if p.name not in kwargs and p.default in ([], (), {})]
    uses = uses_of_code(cls)
    made = {
        p.name: values_for(Wanted(p.name, p.annotation, uses.get(p.name, Use()), owner=cls))[0]
        for p in empty
    }
    return [{**kwargs, **made}] if made else []


def _matching(kwargs: Arguments, a: int, b: int) -> list[Arguments]:
    """With one width as large as the other, where what is added to each other differs in size."""
    found: list[Arguments] = []
    for old, new in ((min(a, b), max(a, b)), (max(a, b), min(a, b))):
        for name, value in kwargs.items():
            if type(value) is int and value == old > 1:
                found.append({**kwargs, name: new})
            elif isinstance(value, (list, tuple)) and old in value and old > 1:
                found.append({**kwargs, name: type(value)(new if v == old else v for v in value)})
    return found


def _fitting(kwargs: Arguments, wanted: int, got: int) -> list[Arguments]:
    """With a layer as wide as what it was given; of a list of widths the first one, or the last.

    The layer may be some times as wide as the argument says, as where two things are joined.
    """
    found: list[Arguments] = []
    for slot in slots_of(kwargs):
        value = value_at(kwargs, slot)
        if type(value) is int and value == wanted:
            found.append(with_value(kwargs, slot, got))
        elif type(value) in (list, tuple) and wanted in value[:1]:
            found.append(with_value(kwargs, slot, type(value)((got, *value[1:]))))
    for slot in slots_of(kwargs):
        value = value_at(kwargs, slot)
        if type(value) is int and value > 1 and wanted % value == 0 and 1 < wanted // value < 5:
            if got % (wanted // value) == 0:
                found.append(with_value(kwargs, slot, got // (wanted // value)))
    return found[:4]


def larger(kwargs: Arguments, old: tuple[int, ...], new: int) -> Arguments:
    """The widths among the arguments made larger, also those in lists and configurations."""

    def one(value: Any) -> Any:
        for name, inner in value.made().items() if isinstance(value, MadeUp) else ():
            value = value.with_value(name, one(inner))
        if type(value) in (list, tuple):
            return type(value)(one(item) for item in value)
        return new if type(value) is int and value in old else value

    return {name: one(value) for name, value in kwargs.items()}


def _on_cpu(cls: type[nn.Module], kwargs: Arguments) -> Iterator[Arguments]:
    """With another device where one with a GPU is the default."""
    for each in inspect.signature(cls).parameters.values():
        if isinstance(each.default, (str, torch.device)) and str(each.default).startswith("cuda"):
            yield {**kwargs, each.name: "cpu"}


def _modules_in(value: Any) -> list[nn.Module]:
    values = value if isinstance(value, (list, tuple)) else [value]
    return [each for each in values if isinstance(each, nn.Module)]


def _with_attribute(value: Any, name: str) -> Any:
    """Made-up parts that also have an attribute which their own class does not give them."""
    other = copy.deepcopy(value)
    for module in _modules_in(other):
        setattr(module, name, values_for(Wanted(name))[0])
    return other


def _with_missing(cls: type[nn.Module], kwargs: Arguments, names: list[str]) -> Iterator[Arguments]:
    """With what a base or a part needs, where the class hands on all that it is given."""
    kinds = [p.kind for p in inspect.signature(cls).parameters.values()]
    lacking = [name for name in names if name not in kwargs]
    if lacking and inspect.Parameter.VAR_KEYWORD in kinds:
        uses = uses_of_code(cls)
        wanted = [Wanted(name, use=uses.get(name, Use()), owner=cls) for name in lacking]
        yield {**kwargs, **{w.name: values_for(w)[0] for w in wanted}}


def _asked_inside(error: Exception, kwargs: Arguments) -> list[str]:
    """Parameters that are None in the functions an error passed through, the innermost first."""
    names = names_at_fault(error)
    found: list[str] = []
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        code = frame.f_code
        if not code.co_filename.startswith(_TORCH):
            own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            none = [n for n in own if n in frame.f_locals and frame.f_locals[n] is None]
            found += sorted(none, key=lambda name: name not in names)
    return [n for n in dict.fromkeys(found) if n not in kwargs]


def _with_optional(
    cls: type[nn.Module],
    kwargs: Arguments,
    error: Exception,
    told: Sequence[str] = (),
    *,
    only_named: bool,
) -> Iterator[Arguments]:
    """With one more argument, of those that are None by default; perhaps only what failed there."""
    uses = uses_of_code(cls)
    names = {*told} or {*names_at_fault(error)}
    parameters = inspect.signature(cls).parameters.values()
    notes = {p.name: p.annotation for p in parameters if p.default is None}
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        notes |= dict.fromkeys(_asked_inside(error, kwargs), inspect.Parameter.empty)
    optional = [name for name in notes if name not in kwargs]
    if only_named and not names.isdisjoint(optional):
        optional = [name for name in optional if name in names]
    for name in sorted(optional, key=lambda n: n not in names)[:4]:
        use = uses.get(name, Use())
        yield {**kwargs, name: values_for(Wanted(name, notes[name], use, owner=cls))[0]}


def climb_constructor(
    kwargs: Arguments,
    error: Exception,
    attempt: Callable[[Arguments], Exception | None],
    file: str,
) -> Arguments | None:
    """Arguments that build, reached by changing one value at a time; None without.

    A change is kept where the constructor then gets further, by line numbers. ``attempt`` raises
    OutOfTime, which ends the search, when there is no more time.
    """
    best = lines_reached(error, file)
    frontier, seen = [(kwargs, error)], {str(error)}
    while frontier:
        now, failed = frontier.pop(0)
        for changed in neighbours(now, failed):
            found = attempt(changed)
            if found is None:
                return changed
            reach = lines_reached(found, file)
            if reach > best:
                best, frontier = reach, [(changed, found)]
                break
            if reach == best and str(found) not in seen:  # as far, for another reason
                seen.add(str(found))
                frontier.append((changed, found))
    return None


def neighbours(kwargs: Arguments, error: Exception) -> Iterator[Arguments]:
    """The same arguments with one of them changed: those on the line that failed first."""
    names = names_at_fault(error)
    slots = sorted(slots_of(kwargs), key=lambda s: nearness(names, s[-1]))
    done: set[str] = set()
    for slot in slots:
        near = nearness(names, slot[-1]) < len(names)
        alike = [s for s in slots if s[-1] == slot[-1]]
        for other in _menu(value_at(kwargs, slot))[: _NEAR if near else _FAR]:
            if len(alike) > 1 and slot[-1] not in done:  # all of one name, in their sections
                changed = kwargs
                for each in alike:
                    changed = with_value(changed, each, other)
                yield changed
            yield with_value(kwargs, slot, other)
        done.add(slot[-1])


def _menu(value: Any) -> list[Any]:
    """What else a value may be, likely changes first; what it is now is left out."""
    numbers: list[Any] = [64, 4, 2, 1, 3, 16, 0, 8]
    lists: list[Any] = [[8, 8, 8], [8, 8], [8] * 4, [1, 1, 1, 1], [8] * 6, [8], (SIDE, SIDE)]
    nested: list[Any] = [[[8, 8], [8, 8]], [(8, 8, 1)] * 3, (3, SIDE, SIDE)]
    parts: list[Any] = [
        Part(),
        nn.Identity,
        nn.ReLU,
        nn.BatchNorm2d,
        [Part()] * 3,
    ]
    words: list[Any] = ["relu", "mean", "linear", "none"]
    rest: list[Any] = [None, False, True, 0.5, MadeUp(), torch.eye(8), {}]
    if isinstance(value, bool):
        menu = [not value, *numbers, None, *words, *lists]
    elif isinstance(value, int):
        menu = [*numbers, *lists, *parts[:3], MadeUp(), *nested, *rest, *words, *parts[3:]]
    elif isinstance(value, (list, tuple)):
        first = value[0] if value else 8
        same = [type(value)([first] * n) for n in (1, 2, 3, 4, 5, 6)]
        deep = [[type(value)([first] * n)] * max(1, len(value)) for n in (2, 3)]
        menu = [*same, *deep, *lists, *nested, *numbers, *parts[-1:], {}, *words]
    elif isinstance(value, str):
        menu = [*words, None, *numbers[:4], False, nn.ReLU, nn.Identity]
    elif isinstance(value, float):
        menu = [1.0, 0.0, 0.5, 8, 1, [0.5] * 3, None]
    else:
        menu = [*parts, *numbers, None, *rest[-3:], *lists, *words]
    return [other for other in menu if not _same(other, value)]


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other) or is_numpy(one):
        return False
    if isinstance(one, (torch.Tensor, nn.Module, MadeUp)):
        return False
    if isinstance(one, (list, tuple)):  # what is in them may be tensors, which have no one answer
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
