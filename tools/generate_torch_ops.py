"""Generates ``gradfix/flow/torch_ops.json`` from the tables the torch wheel ships.

Run ``python -m tools.generate_torch_ops`` after a change of the torch version and read the diff;
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
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.torch_derivatives import (
    Backward,
    Tables,
    package,
    renamed,
    tensor_inputs,
    view_of,
)

TARGET = Path(__file__).resolve().parents[1] / "gradfix" / "flow" / "torch_ops.json"
#: Not operations of the Python interface, though PyTorch's generator lists them like ones.
INTERNAL = re.compile(
    r"_.*|sym_.*|.*_backward(_\w+)?|.*_overrideable|(cudnn|miopen|mkldnn|fbgemm|quantized|lift)_.*"
    r"|fake_quantize.*_cachemask|normal_functional|set_data|slice_inverse|q_\w+"
    r"|batch_norm_(stats|elemt|gather|update|backward).*|index|alias|slice|data|is_leaf|output_nr"
)
#: Python spells these properties; the analysis looks them up like methods.
RENAMED = {"numpy_T": "T", "matrix_H": "H"}


@dataclass
class Entry:
    """One operation under construction: all overloads of one name."""

    signatures: list[list[Any]] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    zeros: list[bool] = field(default_factory=list)


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
    keywords = list(arguments.flat_kwarg_only)
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
            if native.python_module == "nn" or native.tags & {"generated", "view_copy"}:
                continue
            entry = entries.setdefault(RENAMED.get(base, base), Entry())
            add_overload(entry, base, function, tables.backward(function))
    return {name: entry for name, entry in entries.items() if entry.signatures}


def add_overload(entry: Entry, base: str, function: Any, backward: Backward) -> None:
    native, schema = function.func, function.func.func
    facts = entry.facts
    variants = {str(v).rpartition(".")[2][0] for v in native.variants}
    if base in ("stack", "range", "copy_", "real", "imag"):
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


def functional_entries(tables: Tables) -> dict[str, Entry]:
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
        if argument.annotation is None and at == 0:
            code = "T"  # ``tanh(input)`` and a few others carry no annotations
        if code[0] in "TL":
            inputs.append(argument.arg)
        words.append(word(argument.arg, code, None if at < required else ""))
    spec = tables.by_hand["functional"].get(name, "unknown")
    found = tables.specified(spec, inputs, "")
    results = (("result", not found.results or found.results[0][1]),)
    kept = None if found.saves is None else renamed(found, inputs, results, f"F.{name}")
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
    for name, row in tables.by_hand["signatures"].items():
        entries[name].signatures.append(row)
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
    functional = functional_entries(tables)
    for flag, names in tables.by_hand["functional_flags"].items():
        for name in names.split():
            functional[name].facts[flag] = True
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
