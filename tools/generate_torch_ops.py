"""Generates ``gradfix/flow/torch_ops.json`` from the tables the torch wheel ships.

Run ``python tools/generate_torch_ops.py`` after a change of the torch version and read the diff;
``--check`` only compares. torch itself is not imported: ``torchgen`` holds PyTorch's operator
schemas and derivative formulas and the very parser its own code generator uses.

Terms: an operation's *signature* is one overload. It *saves* a tensor when its backward formula
needs that tensor's value, not merely its shape or dtype. ``saves`` maps every differentiable input
to what is kept when that input requires grad; null means that nobody knows.

NOTE [what the tables cannot say]: a composite operation is written in terms of others and has no
formula of its own. ``torch_composites.yaml`` beside this file says which kernel does its work;
whatever neither states stays null.
"""

from __future__ import annotations

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "gradfix" / "flow" / "torch_ops.json"
COMPOSITES = HERE / "torch_composites.yaml"
#: Not operations of the Python interface, though PyTorch's generator lists them like ones.
INTERNAL = re.compile(
    r"_.*|sym_.*|.*_backward(_\w+)?|.*_overrideable|(cudnn|miopen|mkldnn|fbgemm|quantized|lift)_.*"
    r"|fake_quantize.*_cachemask|normal_functional|set_data|slice_inverse|.*_copy|q_\w+"
    r"|batch_norm_(stats|elemt|gather|update|backward).*|index|alias|slice|data|is_leaf|output_nr"
)
#: Python spells these properties; the analysis looks them up like methods.
RENAMED = {"numpy_T": "T", "matrix_H": "H"}

Saves = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Backward:
    """What one signature keeps, and which of its results have a gradient at all."""

    saves: Saves | None
    results: tuple[tuple[str, bool], ...]
    zero: bool = False


@dataclass
class Entry:
    """One operation under construction: all overloads of one name."""

    signatures: list[list[Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    zeros: list[bool] = field(default_factory=list)


class Tables:
    """PyTorch's operators with their derivatives, and the hand-written composite map."""

    def __init__(self) -> None:
        from torchgen.api.autograd import match_differentiability_info
        from torchgen.gen import parse_native_yaml
        from torchgen.packaged.autograd.gen_variable_type import DONT_REQUIRE_DERIVATIVE
        from torchgen.packaged.autograd.load_derivatives import load_derivatives

        folder = package("torchgen") / "packaged"
        native = str(folder / "ATen/native/native_functions.yaml")
        tags = str(folder / "ATen/native/tags.yaml")
        infos, _ = load_derivatives(str(folder / "autograd/derivatives.yaml"), native, tags)
        functions = parse_native_yaml(native, tags).native_functions
        self.functions: dict[str, list[Any]] = {}
        for function in match_differentiability_info(functions, infos):
            schema = function.func.func
            if not schema.is_out_fn() and "Dimname" not in str(schema):
                self.functions.setdefault(str(schema.name.name), []).append(function)
        self.without_gradient = frozenset(DONT_REQUIRE_DERIVATIVE)
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
            return Backward({name: () for name in tensor_inputs(schema)}, results)
        if info is None and not native.has_composite_implicit_autograd_kernel:
            # Without a formula autograd records a node that raises in backward; it keeps nothing.
            return Backward({name: () for name in tensor_inputs(schema)}, results)
        return Backward(None, results)

    def composite(self, function: Any, spec: Any) -> Backward:
        """The facts of an overload whose work is done by the kernel ``spec`` names."""
        schema = function.func.func
        results = result_names(schema)
        found = self.specified(spec, tensor_inputs(schema), schema.name.overload_name)
        if found.saves is None:
            return Backward(None, results)
        kept = renamed(found, parameters=[a.name for a in schema.arguments.flat_all], to=results)
        if str(schema.name.name).endswith("_"):
            # An in-place operation saves a clone of the value it is about to overwrite.
            kept = {name: tuple(v for v in values if v != "self") for name, values in kept.items()}
        flags = dict(enumerate(good for _, good in found.results))
        graded = tuple((name, flags.get(at, True)) for at, (name, _) in enumerate(results))
        return Backward(kept, graded, found.zero)

    def specified(self, spec: Any, inputs: list[str], overload: str) -> Backward:
        """Reads one value of the composite map; see the head of ``torch_composites.yaml``."""
        if spec == "nothing":
            return Backward({name: () for name in inputs}, ())
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
        return self.backward((exact or candidates)[0])


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
    return Backward(saves, tuple((n, flag is not False) for n, flag in zip(names, flags)), zero)


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
    found: Backward, parameters: list[str], to: tuple[tuple[str, bool], ...]
) -> dict[str, tuple[str, ...]]:
    """A kernel's saves in the names of its caller; what the caller cannot reach is left out."""
    other = {"self": "input", "input": "self", "indices": "input", "weight": "weight"}
    names = {name: name for name in parameters}
    for name, alias in other.items():
        if name not in names and alias in parameters and alias != name:
            names.setdefault(name, alias)
    for (kernel, _), (own, _) in zip(found.results, to):
        names[kernel] = own
    if not found.results:
        names.update((name, name) for name, _ in to)
    kept: dict[str, tuple[str, ...]] = {}
    for name, values in (found.saves or {}).items():
        if name in names:
            kept[names[name]] = tuple(sorted({names[one] for one in values if one in names}))
    return kept


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


def type_code(text: str) -> str:
    """The one-letter kind of a schema type; ``?`` marks an optional tensor."""
    if text.startswith("Tensor"):
        return "L" if "[" in text else "T?" if text.endswith("?") else "T"
    if "[" in text:
        return "i"
    plain = text.rstrip("?")
    codes = {"int": "n", "SymInt": "n", "float": "n", "Scalar": "n", "bool": "b", "str": "s"}
    return codes.get(plain, "d" if plain == "ScalarType" else "x")


def parameters(schema: Any) -> str:
    """A signature as text: ``self:T other:T * alpha:n=``; ``=`` marks a default."""
    words: list[str] = []
    arguments = schema.arguments
    for argument in arguments.flat_positional:
        words.append(word(argument.name, type_code(str(argument.type)), argument.default))
    keywords = [a for a in arguments.flat_kwarg_only]
    if keywords:
        words.append("*")
        words += [word(a.name, type_code(str(a.type)), a.default) for a in keywords]
        if arguments.tensor_options is not None:
            words.append("requires_grad:b=")
    return " ".join(words)


def word(name: str, code: str, default: object) -> str:
    return f"{name}:{code}{'' if default is None else '='}"


def native_entries(tables: Tables) -> dict[str, Entry]:
    """Entries for ``torch.X``, ``torch.<module>.X`` and ``Tensor.X``."""
    entries: dict[str, Entry] = {}
    for base, overloads in tables.functions.items():
        if INTERNAL.fullmatch(base) and base not in tables.by_hand["keep"]:
            continue
        for function in overloads:
            native = function.func
            if native.python_module == "nn" or "generated" in native.tags:
                continue
            entry = entries.setdefault(RENAMED.get(base, base), Entry())
            add_overload(entry, base, function, tables.backward(function))
    return {name: entry for name, entry in entries.items() if entry.signatures}


def add_overload(entry: Entry, base: str, function: Any, backward: Backward) -> None:
    native, schema = function.func, function.func.func
    facts = entry.facts
    variants = {str(v).rpartition(".")[2][0] for v in native.variants}
    if base in ("stack", "embedding", "range", "to", "item", "copy_"):
        variants |= {"f", "m"}  # bound by hand in python_torch_functions / python_variable_methods
    facts["as"] = "".join(sorted(set(facts.get("as", "")) | variants))
    if native.python_module:
        facts["module"] = native.python_module
    source = view_of(schema)
    tensors = [r for r in schema.returns if r.type.is_tensor_like()]
    if base.endswith("_") and not base.endswith("__"):
        facts["inplace"] = True
    elif source is not None:
        facts["view"] = source
        if any("[" in str(r.type) for r in tensors):
            facts["multi"] = True
    if not tensors:
        facts["tensor"] = False
    options = schema.arguments.tensor_options is not None
    if tensors and not tensor_inputs(schema):
        facts["factory"] = True
    elif options and re.fullmatch(r".*_like|new_.*", base):
        facts["like"] = True
    entry.zeros.append(backward.zero)
    entry.signatures.append(signature(parameters(schema), backward))


def signature(params: str, backward: Backward) -> list[Any]:
    kept = backward.saves
    row: list[Any] = [params, None if kept is None else {k: list(v) for k, v in kept.items()}]
    results = " ".join(name if good else f"{name}!" for name, good in backward.results)
    return row if results == "result" else [*row, results]


def functional_entries(tables: Tables, native: dict[str, Entry]) -> dict[str, Entry]:
    """Entries for ``torch.nn.functional.X``, read from that module's source."""
    tree = ast.parse((package("torch") / "nn" / "functional.py").read_text(encoding="utf-8"))
    defs = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef) and not overload(n)}
    entries: dict[str, Entry] = {}
    for name, target in [(d, d) for d in defs] + list(assigned(tree)):
        if name.startswith("_"):
            continue
        if target in defs:
            entries[name] = python_entry(tables, name, defs[target])
        elif target in tables.functions:
            entries[name] = entry = Entry()
            for function in tables.functions[target]:
                add_overload(entry, target, function, tables.backward(function))
            entry.facts.pop("as", None)
            entry.facts.pop("module", None)
    return entries


def overload(node: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and "overload" in d.id for d in node.decorator_list)


def assigned(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """``gelu = _add_docstr(torch._C._nn.gelu, ...)`` and its kin, as (name, target) pairs."""
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)):
            continue
        value: ast.expr = node.value
        if isinstance(value, ast.Call) and ast.unparse(value.func) == "boolean_dispatch":
            value = next(k.value for k in value.keywords if k.arg == "if_false")
        elif isinstance(value, ast.Call) and value.args:
            value = value.args[0]
        if isinstance(value, (ast.Name, ast.Attribute)):
            yield node.targets[0].id, ast.unparse(value).rpartition(".")[2]


def python_entry(tables: Tables, name: str, node: ast.FunctionDef) -> Entry:
    """The entry of a functional written in Python: its work is done by the kernel named by hand."""
    arguments = node.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    required = len(names) - len(arguments.defaults)
    words: list[str] = []
    inputs: list[str] = []
    annotated = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    for at, argument in enumerate(annotated):
        if at == len(names):
            words.append("*")
        code = annotation_code(argument.annotation)
        if code[0] in "TL":
            inputs.append(argument.arg)
        words.append(word(argument.arg, code, None if at < required else ""))
    spec = tables.by_hand["functional"].get(name, "unknown")
    found = tables.specified(spec, inputs, "")
    results = (("result", not found.results or found.results[0][1]),)
    kept = None if found.saves is None else renamed(found, [a.arg for a in annotated], results)
    entry = Entry(zeros=[found.zero])
    entry.signatures.append(signature(" ".join(words), Backward(kept, results, found.zero)))
    return entry


def annotation_code(node: ast.expr | None) -> str:
    text = "" if node is None else ast.unparse(node).strip("'\"")
    if "Tensor" in text and not re.search(r"Callable|List|list|Tuple|tuple", text):
        return "T?" if "None" in text or "Optional" in text else "T"
    if "Tensor" in text and "Callable" not in text:
        return "L"
    if re.search(r"List|list|Tuple|tuple|Size", text):
        return "i"
    for kind, code in (("bool", "b"), ("int", "n"), ("float", "n"), ("str", "s"), ("dtype", "d")):
        if kind in text.lower():
            return code
    return "x"


def apply_supplement(entries: dict[str, Entry], tables: Tables) -> None:
    """Adds methods that only Python defines, and the flags no schema carries."""
    for name, row in tables.by_hand["methods"].items():
        facts = {k: v for k, v in row.items() if k not in ("params", "saves", "results")}
        entry = entries[name] = Entry(facts={"as": "m", **facts})
        for params in row["params"]:
            saves = row.get("saves", {"self": []} if row.get("results") != "result!" else {})
            results = [row["results"]] if "results" in row else []
            entry.signatures.append([params, saves, *results])
    for flag, names in tables.by_hand["flags"].items():
        for name in names.split():
            entries[name].facts[flag] = flag != "writes"
    for name, parameter in tables.by_hand["views"].items():
        entries[name].facts.update(view=parameter, multi=True)


def as_json(entry: Entry) -> dict[str, Any]:
    facts = dict(entry.facts)
    if entry.zeros and all(entry.zeros):
        facts["zero"] = True
    # Overloads with the same parameters differ only in types that Python cannot tell apart.
    unique = {row[0]: row for row in reversed(entry.signatures)}
    return {**facts, "sigs": [row for row in entry.signatures if unique[row[0]] is row]}


def render() -> str:
    """The whole file: sorted, one operation per line so that diffs can be read."""
    tables = Tables()
    native = native_entries(tables)
    apply_supplement(native, tables)
    functional = functional_entries(tables, native)
    version = importlib.metadata.version("torch").partition("+")[0]
    parts = [f'{{"torch": "{version}",\n"ops": {{\n', lines(native)]
    parts += ['\n},\n"functional": {\n', lines(functional), "\n}}\n"]
    return "".join(parts)


def lines(entries: dict[str, Entry]) -> str:
    def line(name: str) -> str:
        return f"{json.dumps(name)}: " + json.dumps(as_json(entries[name]), separators=(",", ":"))

    return ",\n".join(line(name) for name in sorted(entries))


def main(arguments: Iterable[str] | None = None) -> int:
    """Write the table, or with ``--check`` return 1 where the file differs."""
    parser = argparse.ArgumentParser(description="Generate gradfix/flow/torch_ops.json.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args(None if arguments is None else list(arguments))
    text = render()
    if not options.check:
        TARGET.write_text(text, encoding="utf-8", newline="\n")
        return 0
    if TARGET.read_text(encoding="utf-8") == text:
        return 0
    print(f"{TARGET} differs from the tables of the installed torch", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
