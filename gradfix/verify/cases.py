"""Cases written by the user, as Python (``gradfix_cases.py``) or as text in the configuration.

A case is a function ``case_<Class>()`` (several: ``case_<Class>__<label>()``). It returns a built
module; or ``(module, args)``; or ``(module, args, kwargs)``; or ``(module, function)``, and the
function is called with the module and returns the tensors to check.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import nn

from gradfix.verify.drive import Drive, DriveError, Maker, Prepared, describe


def cases_module(path: Path | None) -> ModuleType | None:
    """The user's cases file, imported; None without one. Raises DriveError when it fails."""
    if path is None:
        return None
    spec = importlib.util.spec_from_file_location("gradfix_cases", path)
    if spec is None or spec.loader is None:
        raise DriveError(f"{path.name} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gradfix_cases"] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's file; its error is the reason for every target
        raise DriveError(f"{path.name} cannot be imported: {describe(error)}") from error
    return module


def python_cases(module: ModuleType | None, name: str) -> Iterator[Drive]:
    """The drives for one class from the cases file."""
    for key, function in vars(module or ModuleType("none")).items():
        if callable(function) and (key == f"case_{name}" or key.startswith(f"case_{name}__")):
            yield Drive(functools.partial(_called, function, key), "case", f"{key}()")


def _called(function: Callable[[], Any], name: str) -> Prepared:
    return unpack(function(), name)


def unpack(value: Any, name: str) -> Prepared:
    """Turn what a case returned into a call. Raises DriveError when it is none of the forms."""
    if isinstance(value, nn.Module):
        return Prepared(value)
    if isinstance(value, tuple) and value and isinstance(value[0], nn.Module):
        module, *rest = value
        if len(rest) == 1 and callable(rest[0]) and not isinstance(rest[0], torch.Tensor):
            function = rest[0]
            return Prepared(module, invoke=lambda m, args, kwargs: function(m))
        args = rest[0] if rest else ()
        kwargs = rest[1] if len(rest) > 1 else {}
        if isinstance(args, torch.Tensor):
            args = (args,)
        if len(rest) <= 2 and isinstance(args, (tuple, list)) and isinstance(kwargs, dict):
            return Prepared(module, tuple(args), kwargs)
    raise DriveError(
        f"{name} must return a module, (module, args), (module, args, kwargs) "
        f"or (module, function), not {type(value).__name__}"
    )


def text_case(spec: dict[str, Any], name: str, namespace: dict[str, Any]) -> Drive:
    """The drive for a case from the configuration, evaluated in the module's own namespace."""
    init = spec.get("init") or f"{name}()"
    inputs, kwargs = list(spec.get("inputs", ())), dict(spec.get("kwargs", {}))

    def prepare() -> Prepared:
        scope = evaluation_scope(namespace)
        module = eval(init, scope)
        args = tuple(eval(text, scope) for text in inputs)
        named = {key: eval(text, scope) for key, text in kwargs.items()}
        return unpack((module, args, named), f"init of {name}")

    return Drive(prepare, "case", call_text(init, inputs, kwargs))


def site_drives(sites: list[dict[str, Any]], namespace: dict[str, Any]) -> Iterator[Drive]:
    """The drives that repeat how the project's own code builds and calls the class."""
    for site in sites:
        if site["inputs"] is None:
            continue

        def prepare(site: dict[str, Any] = site) -> Prepared:
            scope = _site_scope(site, namespace)
            module = eval(site["init"], scope)
            # The call stands behind the construction; a starred list is evaluated as one.
            args = eval(f"({', '.join([*site['inputs'], ''])})", scope) if site["inputs"] else ()
            kwargs = {key: eval(text, scope) for key, text in site["kwargs"]}
            return unpack((module, args, kwargs), site["init"])

        text = call_text(site["init"], site["inputs"], dict(site["kwargs"]))
        yield Drive(prepare, "doc" if site.get("doc") else "call-site", text)


def site_makers(sites: list[dict[str, Any]], namespace: dict[str, Any]) -> Iterator[Maker]:
    """The constructions found in the project's own code, without the calls."""
    for init, site in {site["init"]: site for site in reversed(sites)}.items():

        def build(site: dict[str, Any] = site) -> nn.Module:
            module = eval(site["init"], _site_scope(site, namespace))
            if not isinstance(module, nn.Module):
                raise DriveError(f"{site['init']} is no nn.Module")
            return module

        yield Maker(init, build)


def _site_scope(site: dict[str, Any], namespace: dict[str, Any]) -> dict[str, Any]:
    """The names a site needs, its setup done; those of another file know nothing of this one."""
    if not site.get("elsewhere"):
        scope = evaluation_scope(namespace)
    else:
        scope = {**evaluation_scope({}), "__package__": site["package"] or None}
        scope["__name__"] = f"{site['package']}.example" if site["package"] else "example"
    for statement in site["setup"]:
        exec(statement, scope)
    if site.get("elsewhere"):
        name = site["init"].partition("(")[0]
        scope[name] = namespace[name]
    return scope


def evaluation_scope(namespace: dict[str, Any]) -> dict[str, Any]:
    """The module's names over the usual ones; a copy, so that evaluation changes no module."""
    usual = {"torch": torch, "nn": nn, "F": nn.functional}
    return {**usual, **namespace}


def call_text(init: str, inputs: list[str], kwargs: dict[str, str]) -> str:
    """The call as a user would write it."""
    inside = [*inputs, *(f"{key}={value}" for key, value in kwargs.items())]
    return f"{init}({', '.join(inside)})"
