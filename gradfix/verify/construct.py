"""Constructor arguments made up from names, annotations and from how the code uses them.

A guess is only a start: `mend` changes it when the constructor raises.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import itertools
import sys
import typing
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import torch
from torch import nn

from gradfix.verify.blocks import elsewhere, factories
from gradfix.verify.drive import GIVEN, IN_OBJECTS
from gradfix.verify.guess import SIDE, annotation, required
from gradfix.verify.names import (
    CONFIGS,
    COUNTS,
    DEEP,
    MODULES,
    NAMED_INTS,
    NO_OBJECTS,
    NUMBER,
    OF_DICTS,
    OF_LISTS,
    OF_LOSSES,
    OF_MODULES,
    OF_TENSORS,
    OF_TORCH,
    OF_WORDS,
    WIDTHS,
    Wanted,
    goes_into_a_layer,
    is_loss,
    losses,
    named,
    of_torch,
    parameter_at,
    resolve,
    tables,
    worded,
)
from gradfix.verify.objects import classes_of_project, classes_with, is_of_project, likeness
from gradfix.verify.parts import part_for
from gradfix.verify.source import attributes_of, uses_of_code, uses_of_file
from gradfix.verify.uses import Use
from gradfix.verify.values import is_numpy

_OF_ANY_TENSOR = frozenset(dir(torch.Tensor))


def values_for(wanted: Wanted) -> list[Any]:
    """Candidates for one value, most likely first; never empty."""
    for rule in (_annotated, worded, tables, _used, _passed_on, elsewhere, named):
        found = rule(wanted)
        if found:
            return found
    return [NUMBER]


def _annotated(w: Wanted) -> list[Any]:
    """What the annotation says, where it says enough."""
    name, kind, note = w.name.lower(), annotation(w.note), w.note
    words = [word for word in typing.get_args(note) if isinstance(word, str)]
    if words:
        return list(dict.fromkeys(words))[:3]
    if kind == "bool" or name.startswith(("use_", "is_", "with_", "bidirectional", "bias")):
        if kind != "bool" and w.use.attributes & OF_TENSORS:
            return [torch.eye(8)]
        return [True, False] if "bias" in name else [False, True]
    if inspect.isclass(note) and note.__module__ not in NO_OBJECTS:
        return _instances(note, w)
    if kind == "float" and not w.use.is_sequence:
        return [0.0 if "drop" in name else 0.5]
    if kind == "str":
        return [*worded(w), "relu", "mean", "sum", "x"]
    return []


def _instances(note: type, w: Wanted) -> list[Any]:
    """Objects of a class of the project, or a module where just any is asked for."""
    if note is nn.Module:
        return [part_for(w.name, w.owner), nn.Identity()]
    if issubclass(note, dict):
        return [MadeUp(w.settings)]
    if issubclass(note, torch.Tensor):
        return [torch.eye(8)]
    if note is torch.device:
        return ["cpu"]
    if note.__module__.partition(".")[0] == "torch" or w.depth >= DEEP:
        return []
    if dataclasses.is_dataclass(note):
        with contextlib.suppress(Exception):  # fields without defaults: made up like the rest
            return [note()]
    for kwargs in itertools.islice(argument_sets(note, w.settings, w.depth + 1), 3):
        with contextlib.suppress(Exception):  # the user's constructor; something else is tried
            return [note(**kwargs)]
    return []


def _used(w: Wanted) -> list[Any]:
    """What the code does with it."""
    use, name = w.use, w.name.lower()
    if use.splats:
        return _splatted(w)
    if annotation(w.note) in ("int", "float") or goes_into_a_layer(w):
        return []
    if name in CONFIGS and not use.is_sequence:
        return [MadeUp(w.settings)]
    if (use.called or use.called_on_self) and (is_loss(name) or use.attributes & OF_LOSSES):
        return losses()
    if use.keys and not use.words:
        return [MadeUp(w.settings)]
    if use.called or annotation(w.note) in ("type", "callable"):
        return factories(w)
    if ducks := _ducks(w):
        return ducks
    if use.called_on_self and (name in MODULES or not use.counted):
        return [part_for(w.name, w.owner), nn.Identity(), nn.ReLU]
    if use.is_sequence:
        return _lists(w)
    read = use.attributes
    if found := _objects(w):
        return found
    if read & OF_TENSORS and not read - _OF_ANY_TENSOR:
        return [torch.eye(8), [8, 8, 8]]
    if read & OF_MODULES:
        return [part_for(w.name, w.owner), nn.Conv2d(8, 8, 3)]
    if read & OF_WORDS:
        return ["relu", "mean"]
    if read & OF_DICTS:
        return [MadeUp(w.settings), {"a": 8, "b": 8}]
    if read & OF_LISTS:
        return [[8, 8, 8]]
    if read and not use.counted:
        return [MadeUp(w.settings)]
    if use.numbers and len(use.numbers) > 1:
        return use.numbers[:3]
    return []


def _splatted(w: Wanted) -> list[Any]:
    """Keyword arguments for what is called with ``**name``, but for those that it gets anyway."""
    for function, count, given in w.use.splats[:2] if w.depth < DEEP else ():
        target = resolve(function, w)
        with contextlib.suppress(Exception):  # no signature, or a stand-in for a missing package
            names = [p.name for p in required(target)][count:]
            made = next(argument_sets(target, w.settings, w.depth + 1))
            return [{name: made[name] for name in names if name not in given}]
    return [{}]


def _ducks(w: Wanted) -> list[Any]:
    """Modules of the project's own classes that have what the code reads of one."""
    wanted = w.use.attributes - set(dir(nn.Module)) - OF_TENSORS - OF_LISTS - OF_DICTS - OF_WORDS
    if not wanted or w.depth >= DEEP or not (w.use.called_on_self or w.name.lower() in MODULES):
        return []
    found: list[Any] = []
    for value in list(w.space.values()):
        if not inspect.isclass(value) or not issubclass(value, nn.Module) or value is w.owner:
            continue
        if not value.__module__.startswith("torch.") and wanted <= attributes_of(value):
            found += _instances(value, w)
        if len(found) > 1:
            break
    return found


def _objects(w: Wanted) -> list[Any]:
    """Objects of the project's class that the argument is named after, if it has what is read."""
    wanted = w.use.attributes
    if not wanted or w.use.counted or w.depth >= DEEP:
        return []
    classes = [each for each in classes_of_project(w.space) if each is not w.owner]
    fitting = [c for c in classes_with(wanted, w.name, classes) if likeness(w.name, c)]
    return [made for c in fitting for made in _instances(c, w)]


def _lists(w: Wanted) -> list[Any]:
    """Lists as long as the code needs them, with elements that it can use."""
    size = max(w.use.highest, w.use.unpacked)
    sizes = [size, 3] if size else [3, 2, 4]
    if isinstance(w.note, str) and "Tuple[int, int]" in w.note:
        sizes = [2]
    name = w.name.lower()
    element: Any = NUMBER
    if "kernel" in name or "window" in name:
        element = 3
    elif "drop" in name or "prob" in name:
        element = 0.0
    elif any(word in name for word in COUNTS) and not any(word in name for word in WIDTHS):
        element = 1
    elif name.endswith(("shape", "size", "resolution")) and "hidden" not in name and size < 4:
        images: list[Any] = [(3, SIDE, SIDE), (3, 84, 84)]  # those of games are of this size
        return images if size == 3 else [(SIDE, SIDE), *images, [8, 8, 8]]
    for names in w.use.elements[:1]:
        made = _element(names[0], w) if len(names) == 1 else tuple(_element(n, w) for n in names)
        element = element if type(made) is int and made == NUMBER else made
    if any(f.endswith(("Sequential", "ModuleList")) for f, _ in w.use.passed):
        element = part_for(w.name, w.owner)
    made_lists = [[element] * n for n in dict.fromkeys(sizes)]
    parts = [[_element(n, w) for n in names] for names in w.use.parts if len(names) == size]
    return [*parts[:1], *made_lists]


def _element(name: str, w: Wanted) -> Any:
    """One value of a list, by the name that it gets in a loop or where the list is unpacked."""
    use = uses_of_code(w.owner).get(name)
    if use is None or w.depth >= DEEP:
        return NUMBER
    if use.called or use.called_on_self:
        return part_for(name, w.owner)
    return values_for(Wanted(name, use=use, space=w.space, owner=w.owner, depth=w.depth + 1))[0]


def _passed_on(w: Wanted) -> list[Any]:
    """What the code that gets it next does with it."""
    if w.depth >= DEEP:
        return []
    chosen = annotation(w.note) == "int"  # only what it is compared with says more
    for function, place in w.use.passed[:6]:
        target = resolve(function, w)
        if target is None:
            continue
        parameter = parameter_at(target, place)
        if parameter is None:
            continue
        if getattr(target, "__module__", "").startswith("torch."):
            if chosen:
                continue
            kind = annotation(parameter.annotation)
            known = any(word in w.name.lower() for words, _ in NAMED_INTS for word in words)
            if kind in OF_TORCH and not known:
                return of_torch(kind, parameter)
            continue
        uses = uses_of_code(target)
        space = getattr(sys.modules.get(getattr(target, "__module__", "")), "__dict__", w.space)
        owner = target if inspect.isclass(target) else None
        inner = Wanted(
            parameter.name,
            parameter.annotation,
            uses.get(parameter.name, Use()),
            space,
            owner,
            w.settings,
            w.depth + 1,
        )
        if chosen and len(inner.use.numbers) > 1:
            return inner.use.numbers[:3]
        for rule in (_passed_on,) if chosen else (_annotated, worded, _used, _passed_on):
            if found := rule(inner):
                return found
    return []


class MadeUp:
    """Stands in for a configuration: every attribute read is made up, and kept.

    What the project's own options give by default comes first, then the use that the reading file
    makes of it, then its name.
    """

    def __init__(
        self, settings: Mapping[str, Any] | None = None, made: dict[str, Any] | None = None
    ) -> None:
        own = {"settings": settings or {}, "made": {} if made is None else made, "mapping": False}
        object.__setattr__(self, "_gradfix", own)

    def __getattr__(self, name: str) -> Any:
        return self._value(name, sys._getframe(1))

    def __getitem__(self, name: str) -> Any:
        if not isinstance(name, str):
            raise TypeError("'int' object is not subscriptable")  # as what stood here otherwise
        self._gradfix["mapping"] = True
        if name in vars(self):
            return vars(self)[name]
        return self._value(name, sys._getframe(1))

    def _value(self, name: str, frame: FrameType) -> Any:
        if name.startswith("__") or name in ("_modules", "shape"):
            raise AttributeError(name)
        made = self._gradfix["made"]
        if name not in made:
            made[name] = self._invent(name, frame)
        value = made[name]
        # Every object that stands for the configuration of one build has modules of its own.
        vars(self)[name] = fresh(value)
        return vars(self)[name]

    def _invent(self, name: str, frame: FrameType) -> Any:
        settings = self._gradfix["settings"]
        if name in settings:
            return settings[name]
        owner = type(frame.f_locals.get("self"))
        use = uses_of_code(owner).get(name)  # the class that reads it, else all of its file
        use = use or uses_of_file(frame.f_code.co_filename).get(name, Use())
        value = values_for(Wanted(name, use=use, space=frame.f_globals, settings=settings))[0]
        plain = value == NUMBER if type(value) is int else isinstance(value, nn.Module)
        if name.isupper() and plain and use.attributes:
            return MadeUp(settings)  # a section, as in ``cfg.MODEL.DEPTH``
        return value

    def __contains__(self, name: object) -> bool:
        return name in self._gradfix["made"] or name in self._gradfix["settings"]

    def __len__(self) -> int:
        return max(1, len(self._gradfix["made"]))

    def keys(self) -> list[str]:
        """As of a dict: what was asked for so far."""
        return list(self._gradfix["made"])

    def get(self, name: str, default: Any = None) -> Any:
        """As of a dict: what is made up for a name that has no default."""
        return self[name] if default is None else default

    def made(self) -> dict[str, Any]:
        """What was asked for, with what was given."""
        return dict(self._gradfix["made"])

    def with_value(self, name: str, value: Any) -> MadeUp:
        """The same configuration with another value under one name."""
        return MadeUp(self._gradfix["settings"], {**self._gradfix["made"], name: value})

    def again(self) -> MadeUp:
        """The same configuration for another build; what it asks for is noted in both."""
        return MadeUp(self._gradfix["settings"], self._gradfix["made"])

    def __deepcopy__(self, memo: dict[int, Any]) -> MadeUp:
        return self.again()

    def __repr__(self) -> str:
        made = self.made()
        if self._gradfix["mapping"]:
            return repr(made)
        inside = ", ".join(f"{name}={value!r}" for name, value in made.items())
        return f"types.SimpleNamespace({inside})"


def fresh(value: Any) -> Any:
    """An argument for one build: a module among the arguments is changed by use."""
    if isinstance(value, MadeUp):
        return value.again()
    own = is_of_project(type(value))
    plain = not is_numpy(value) and not isinstance(value, (nn.Module, torch.Tensor, list, dict))
    if plain and not (own and any(_leaves(value))):
        return value
    copied = copy.deepcopy(value)
    leaves = {id(leaf): leaf for leaf in _leaves(copied)}
    GIVEN.update(leaves)
    IN_OBJECTS.update(leaves if own else {})
    return copied


def _leaves(value: Any) -> Iterator[torch.Tensor]:
    """The Parameters of the modules in an argument."""
    if isinstance(value, nn.Module):
        yield from value.parameters()
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    elif is_of_project(type(value)):
        held = getattr(value, "__dict__", {}).values()
        yield from _leaves([each for each in held if isinstance(each, nn.Module)])


def argument_sets(
    cls: type, settings: Mapping[str, Any] | None = None, depth: int = 0
) -> Iterator[dict[str, Any]]:
    """Keyword arguments to try for a constructor, most likely first.

    Raises TypeError or ValueError where the constructor has no readable signature.
    """
    needed = required(cls)
    uses = uses_of_code(cls)
    space = vars(sys.modules[cls.__module__]) if cls.__module__ in sys.modules else {}
    options = [
        values_for(
            Wanted(p.name, p.annotation, uses.get(p.name, Use()), space, cls, settings or {}, depth)
        )
        for p in needed
    ]
    for values in itertools.islice(itertools.product(*options), 8):
        yield {p.name: v for p, v in zip(needed, values, strict=True)}
    # Layers that divide their width by 16 or so need more than our small numbers.
    first = {p.name: o[0] for p, o in zip(needed, options, strict=True)}
    if any(value == 8 for value in first.values() if type(value) is int):
        yield {n: 64 if type(v) is int and v == 8 else v for n, v in first.items()}
