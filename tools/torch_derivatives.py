"""What PyTorch's own derivative formulas say about one overload, for ``generate_torch_ops``.

Terms: an operation *saves* a tensor when its backward formula needs that tensor's value, not
merely its shape or dtype. A *composite* is written in terms of other operations, has no formula of
its own, and is looked up in ``torch_composites.yaml``.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

COMPOSITES = Path(__file__).resolve().with_name("torch_composites.yaml")

#: For every differentiable input what is kept when that input requires grad.
Saves = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Backward:
    """What one signature keeps, and which of its results have a gradient at all."""

    saves: Saves | None
    results: tuple[tuple[str, bool], ...]
    zero: bool = False
    inputs: tuple[str, ...] = ()


class Tables:
    """PyTorch's operators with their derivatives, and the hand-written composite map."""

    def __init__(self) -> None:
        # Not import statements: torchgen carries no types, and would be checked as if it did.
        autograd = importlib.import_module("torchgen.api.autograd")
        gen = importlib.import_module("torchgen.gen")
        variable_type = importlib.import_module("torchgen.packaged.autograd.gen_variable_type")
        derivatives = importlib.import_module("torchgen.packaged.autograd.load_derivatives")
        folder = package("torchgen") / "packaged"
        native = str(folder / "ATen/native/native_functions.yaml")
        tags = str(folder / "ATen/native/tags.yaml")
        infos, _ = derivatives.load_derivatives(
            str(folder / "autograd/derivatives.yaml"), native, tags
        )
        functions = gen.parse_native_yaml(native, tags).native_functions
        self.functions: dict[str, list[Any]] = {}
        for function in autograd.match_differentiability_info(functions, infos):
            schema = function.func.func
            if not schema.is_out_fn() and "Dimname" not in str(schema):
                self.functions.setdefault(str(schema.name.name), []).append(function)
        self.without_gradient = frozenset(variable_type.DONT_REQUIRE_DERIVATIVE)
        self.by_hand: dict[str, Any] = yaml.safe_load(COMPOSITES.read_text(encoding="utf-8"))

    def backward(self, function: Any) -> Backward:
        """The backward facts of one overload, from the first source that has them."""
        native, schema = function.func, function.func.func
        base, overload = str(schema.name.name), schema.name.overload_name
        results = result_names(schema)
        if not any(one.type.is_tensor_like() for one in schema.returns):
            return Backward({}, tuple((name, False) for name, _ in results))
        if base in self.without_gradient:
            return Backward({}, tuple((name, False) for name, _ in results))
        info = (function.info or {}).get("Default")
        by_hand = self.by_hand["composites"]
        functional = base.removesuffix("_")
        spec = by_hand.get(f"{base}.{overload}", by_hand.get(f"{functional}.{overload}"))
        if spec is None and info is not None and not native.has_composite_implicit_autograd_kernel:
            return derived(schema, info)
        spec = spec or by_hand.get(base) or by_hand.get(functional)
        if spec is not None:
            return self.composite(function, spec)
        if info is not None and info.output_differentiability is not None:
            return derived(schema, info)
        if base.endswith("_view") or (not base.endswith("_") and view_of(schema)):
            return Backward(dict.fromkeys(tensor_inputs(schema), ()), results)
        if info is None and not native.has_composite_implicit_autograd_kernel:
            # Without a formula autograd records a node that raises in backward; it keeps nothing.
            return Backward(dict.fromkeys(tensor_inputs(schema), ()), results)
        return Backward(None, results)

    def composite(self, function: Any, spec: Any) -> Backward:
        """The facts of an overload whose work is done by the kernel ``spec`` names."""
        schema = function.func.func
        results = result_names(schema)
        inputs = tensor_inputs(schema)
        if f"{spec}_" in self.functions and str(schema.name.name).endswith("_"):
            spec = f"{spec}_"  # may keep its result where the functional keeps its input
        found = self.specified(spec, inputs, schema.name.overload_name)
        if found.saves is None:
            return Backward(None, results)
        kept = renamed(found, inputs, results, str(schema.name))
        if str(schema.name.name).endswith("_"):
            # An in-place operation saves a clone of the value it is about to overwrite.
            kept = {name: tuple(v for v in values if v != "self") for name, values in kept.items()}
        flags = dict(enumerate(good for _, good in found.results))
        graded = tuple((name, flags.get(at, True)) for at, (name, _) in enumerate(results))
        return Backward(kept, graded, found.zero)

    def specified(self, spec: Any, inputs: list[str], overload: str) -> Backward:
        """Reads one value of the composite map; see the head of ``torch_composites.yaml``."""
        if spec == "nothing":
            return Backward(dict.fromkeys(inputs, ()), ())
        if spec == "none":
            return Backward({}, (("result", False),) * 4)
        if spec == "unknown":
            return Backward(None, ())
        if isinstance(spec, dict):
            return Backward({name: tuple(kept) for name, kept in spec.items()}, ())
        base, _, chosen = spec.partition(".")
        candidates = self.functions[base]
        exact = [f for f in candidates if f.func.func.name.overload_name == (chosen or overload)]
        if not exact and (chosen or len(candidates) != 1):
            exact = [f for f in candidates if not chosen and f.info]
        if not exact and len(candidates) != 1:
            raise SystemExit(f"{COMPOSITES.name}: no overload {overload!r} of kernel {spec!r}")
        kernel = (exact or candidates)[0]
        return replace(self.backward(kernel), inputs=tuple(tensor_inputs(kernel.func.func)))


def package(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed")
    return Path(spec.submodule_search_locations[0])


def derived(schema: Any, info: Any) -> Backward:
    """Reads the derivative formulas of one overload; see ``guard`` for when each part is kept."""
    inputs = [a.name for a in schema.arguments.flat_all if a.name in gradients(info)]
    kept: dict[str, set[str]] = {name: set() for name in inputs}
    lists = any(str(a.type).startswith("Tensor") and "[]" in str(a.type)
                for a in schema.arguments.flat_all if a.name in kept)  # fmt: skip
    written = str(schema.name.name).endswith("_")
    for derivative in info.derivatives:
        for saved in derivative.saved_inputs:
            name = str(getattr(saved.nctype.name, "name", saved.nctype.name))
            if is_tensor(saved) and not (written and name == "self"):
                for owner in guard(info, saved, inputs, lists):
                    kept[owner].add(name)
        for saved in derivative.saved_outputs:
            if is_tensor(saved):
                for owner in inputs:
                    kept[owner].add("result" if written else str(saved.nctype.name))
    flags = info.output_differentiability
    names = [name for name, _ in result_names(schema)]
    single = any(re.search(r"\bgrad\b", d.formula) for d in info.derivatives)
    if flags is None:
        flags = [bool(inputs) and (at == 0 or not single) for at in range(len(names))]
    formulas = [d.original_formula for d in info.derivatives]
    zero = bool(formulas) and all(re.match(r"(at::)?zeros\w*\(", one) for one in formulas)
    saves = {name: tuple(sorted(values)) for name, values in kept.items()} if any(flags) else {}
    return Backward(
        saves, tuple((n, flag is not False) for n, flag in zip(names, flags, strict=True)), zero
    )


def gradients(info: Any) -> set[str]:
    return {name for derivative in info.derivatives for name in derivative.var_names}


def guard(info: Any, saved: Any, inputs: list[str], lists: bool) -> list[str]:
    """The inputs of which one must require grad for ``saved`` to be kept.

    This follows ``guard_for`` in PyTorch's gen_variable_type.py: a plain tensor that exactly one
    single-input formula uses is kept for that input only, everything else whenever any input
    requires grad.
    """
    users = [d for d in info.derivatives if saved in d.saved_inputs]
    plain = str(saved.nctype.type) == "BaseCType(type=BaseCppType(ns='at', name='Tensor'))"
    if lists or "backward" in info.name or len(inputs) <= 1 or not plain or len(users) != 1:
        return inputs
    if len(users[0].var_names) == 1:
        return list(users[0].var_names)
    wrapped = re.search(rf"wrap_opt_if\({saved.nctype.name},(.*?)\)", users[0].formula)
    if wrapped is None:
        return inputs
    return [inputs[int(at)] for at in re.findall(r"grad_input_mask\[(\d+)\]", wrapped.group(1))]


def is_tensor(saved: Any) -> bool:
    """Whether a saved attribute is the tensor itself and not its shape, dtype or options."""
    return bool(re.search(r"name='(Tensor|TensorList|ITensorListRef)'", str(saved.nctype.type)))


def renamed(
    found: Backward, inputs: list[str], results: tuple[tuple[str, bool], ...], where: str
) -> Saves:
    """A kernel's saves in the names of its caller.

    Tensors go by name, those left over in order (``_linalg_det(A)`` serves ``det(self)``). Results
    that the caller keeps to itself are left out: nobody can overwrite them.
    """
    names = {name: name for name in inputs}
    free = [name for name in inputs if name not in found.inputs]
    missing = [name for name in found.inputs if name not in inputs]
    names.update(zip(missing, free, strict=False))
    hidden = {name for name, _ in found.results[len(results) :]}
    names.update((old, new) for (old, _), (new, _) in zip(found.results, results, strict=False))
    if not found.results:
        names.update((name, name) for name, _ in results)
    unresolved = [one for kept in (found.saves or {}).values() for one in kept if one not in names]
    if not set(unresolved) <= hidden | set(missing):
        raise SystemExit(f"{COMPOSITES.name}: {where} does not have {sorted(set(unresolved))}")
    return {
        names[name]: tuple(sorted({names[one] for one in kept if one in names}))
        for name, kept in (found.saves or {}).items()
        if name in names
    }


def result_names(schema: Any) -> tuple[tuple[str, bool], ...]:
    count = len(schema.returns)
    if count == 1 and (str(schema.name.name).endswith("_") or schema.returns[0].name is None):
        return (("result", True),)
    return tuple((r.name or f"result{at}", True) for at, r in enumerate(schema.returns))


def tensor_inputs(schema: Any) -> list[str]:
    return [a.name for a in schema.arguments.flat_all if a.type.is_tensor_like()]


def view_of(schema: Any) -> str | None:
    """The parameter whose memory the result shares, by the schema's alias annotation."""
    for one in schema.returns:
        if one.annotation is not None and not one.annotation.is_write:
            for argument in schema.arguments.flat_all:
                if (
                    argument.annotation
                    and argument.annotation.alias_set == one.annotation.alias_set
                ):
                    return str(argument.name)
    return None
