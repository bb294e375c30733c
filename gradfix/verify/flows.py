"""The shapes of inputs, from the layers that they are handed to."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from gradfix.verify.arguments import Argument, arguments_of
from gradfix.verify.documented import Dims, documented, sizes
from gradfix.verify.guess import BATCH, LENGTH, Input, Spec, for_layer, for_state, with_rank
from gradfix.verify.source import tree_of
from gradfix.verify.structure import parts_beside

_DEEP = 5


def shapes_by_input(module: nn.Module, method: str) -> dict[str, list[Spec]]:
    """For each parameter of a method, the inputs that its first layers accept; some have none."""
    found: dict[str, list[Spec]] = {}
    for name, argument in _arguments(module, method).items():
        specs = _specs(module, argument, 0)
        if argument.rank:
            specs = _ranked(specs, argument.rank)
        specs = specs or _by_recurrence(module, name)
        if specs:
            found[name] = list(dict.fromkeys(specs))
    return found


_STATES = re.compile(r"(^|_)(hidden|state|states|hx|h0|h_0|hiddens|prev_h|cell)(_|$)")
_OUTPUTS = re.compile(r"^(encoder_outputs?|enc_outputs?|encoder_out|annotations)$")


def _by_recurrence(module: nn.Module, name: str) -> list[Spec]:
    """A state, or what an encoder gave for each step, where a recurrent layer is at hand."""
    if not _STATES.search(name) and not _OUTPUTS.match(name):
        return []
    for part in module.modules():
        if isinstance(part, (nn.RNNBase, nn.RNNCellBase)):
            size = part.hidden_size
            if _STATES.search(name):
                return for_state(part)
            return [Spec((LENGTH, BATCH, size)), Spec((BATCH, LENGTH, size))]
    return []


def documented_inputs(
    module: nn.Module, method: str, known: Mapping[str, list[Spec]]
) -> dict[str, tuple[int, ...]]:
    """Shapes that the docstrings and comments of a method or its class state, by parameter."""
    names = list(_arguments(module, method))
    function: Any = getattr(type(module), method, None)
    function = getattr(function, "__wrapped__", function)
    try:
        texts = [inspect.getsource(function), inspect.getdoc(type(module)) or ""]
    except (OSError, TypeError):  # made by code that is not there
        return {}
    found: dict[str, Dims] = {}
    for text in texts:
        found = documented(text, [n for n in names if n not in found]) | found
    shapes = {name: [spec.shape for spec in specs] for name, specs in known.items()}
    numbers = {n: v for n, v in vars(module).items() if type(v) is int}
    return sizes(found, shapes, numbers)


def beside_parts(
    module: nn.Module, method: str, inputs: list[Input], known: Mapping[str, list[Spec]]
) -> tuple[list[Input], dict[str, list[Spec]]]:
    """Elements of lists under names of their own, with what the part beside each accepts."""
    found, changed = dict(known), list(inputs)
    for owner in dict.fromkeys(each.owner for each in inputs if each.way in ("list", "tuple")):
        parts = parts_beside(module, method, owner)
        places = [i for i, each in enumerate(inputs) if each.owner == owner]
        for number, (place, part) in enumerate(zip(places, parts, strict=False)):
            name = f"{owner}[{number}]"
            changed[place] = replace(inputs[place], name=name)
            if isinstance(part, nn.Module) and (specs := _into(part, 0, 0)):
                found[name] = specs
    return changed, found


def _arguments(module: nn.Module, method: str) -> dict[str, Argument]:
    function = getattr(type(module), method, None)
    tree = tree_of(getattr(function, "__wrapped__", function))
    node = tree.body[0] if tree is not None and tree.body else None
    return arguments_of(node) if isinstance(node, ast.FunctionDef) else {}


def _ranked(specs: list[Spec], rank: int) -> list[Spec]:
    """Those of the right number of dimensions first, then the others brought to it."""
    right = [s for s in specs if len(s.shape) == rank]
    changed = [(s, with_rank(s.shape, rank)) for s in specs or [Spec((2, 8))]]
    return right or [replace(s, shape=shape) for s, shape in changed if shape is not None]


def _specs(module: nn.Module, argument: Argument, depth: int) -> list[Spec]:
    found: list[Spec] = []
    for path, position in (*argument.layers, *argument.behind):
        part = _part(module, path)
        if isinstance(part, nn.Module):
            found += _into(part, position, depth)
        elif callable(part) and depth < _DEEP:
            found += _into_method(module, path, position, depth)
        if found:
            break
    return found


def _part(module: nn.Module, path: str) -> Any:
    """A part of the module by its path; None for what is none, or not to be looked up."""
    value: Any = module
    for name in re.sub(r"\[(\d+)\]", r".\1", path).split("."):
        if isinstance(value, (nn.ModuleList, nn.Sequential)) and name.isdigit():
            value = value[int(name)] if int(name) < len(value) else None
        elif isinstance(value, nn.Module) and name.isidentifier():
            value = value._modules.get(name) or getattr(type(value), name, None)
        else:
            return None
    return value


def _into(part: nn.Module, position: int, depth: int) -> list[Spec]:
    own = for_layer(part)
    if position == 1 and (state := for_state(part)):
        return state
    if own and (position == 0 or isinstance(part, nn.MultiheadAttention)):
        return own
    if depth >= _DEEP:
        return []
    if isinstance(part, (nn.Sequential, nn.ModuleList)):
        first = next(iter(part), None)
        return [] if first is None else _into(first, position, depth + 1)
    if type(part).__module__.startswith("torch."):
        return _first_layer(part)
    return _into_method(part, "forward", position, depth) or _first_layer(part)


def _into_method(module: nn.Module, method: str, position: int, depth: int) -> list[Spec]:
    arguments = list(_arguments(module, method).values())
    if position >= len(arguments):
        return []
    argument = arguments[position]
    specs = _specs(module, argument, depth + 1)
    return _ranked(specs, argument.rank) if argument.rank else specs


def _first_layer(part: nn.Module) -> list[Spec]:
    for layer in part.modules():
        if found := for_layer(layer):
            return found
    return []
