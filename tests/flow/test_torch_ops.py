"""The op facts as the analysis reads them, and the file they come from."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gradfix.flow import torch_ops
from gradfix.flow.torch_ops import ArgKind, Op, OpKind, Signature, op_facts

ROOT = Path(__file__).parents[2]
TABLE = Path(torch_ops.__file__).with_name("torch_ops.json")


def facts(name: str, kind: OpKind = "function") -> Op:
    op = op_facts(name, kind)
    assert op is not None
    return op


def bound(name: str, kind: OpKind, *arguments: ArgKind, keywords: str = "") -> Signature:
    signature = facts(name, kind).bind(arguments, keywords.split())
    assert signature is not None
    return signature


def saves(name: str, kind: OpKind, *arguments: ArgKind) -> dict[str, tuple[str, ...]]:
    kept = bound(name, kind, *arguments).saves
    assert kept is not None
    return dict(kept)


def test_the_table_is_what_the_generator_writes() -> None:
    if importlib.util.find_spec("torchgen") is None:
        pytest.skip("torch is not installed")
    installed = importlib.metadata.version("torch").partition("+")[0]
    if installed != torch_ops.torch_version():
        pytest.skip(f"the table is of torch {torch_ops.torch_version()}, installed is {installed}")
    command = [sys.executable, "-m", "tools.generate_torch_ops", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_file_is_small_and_has_one_operation_per_line() -> None:
    text = TABLE.read_text(encoding="utf-8")
    table = json.loads(text)
    assert len(text) < 250_000
    rows = [line for line in text.splitlines() if '"sigs"' in line]
    assert len(rows) == len(table["ops"]) + len(table["functional"])


def test_reading_facts_does_not_import_torch() -> None:
    code = (
        "import sys; from gradfix.flow.torch_ops import op_facts; assert op_facts('mul', 'method');"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_every_row_can_be_loaded() -> None:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    kinds: dict[str, OpKind] = {"f": "function", "m": "method"}
    for name, row in table["ops"].items():
        for letter in row["as"]:
            assert facts(name, kinds[letter]).signatures
    for name in table["functional"]:
        assert facts(name, "functional").signatures


def test_saved_names_are_parameters_or_results() -> None:
    table = json.loads(TABLE.read_text(encoding="utf-8"))
    kinds: dict[str, OpKind] = {"f": "function", "m": "method"}
    ops = [facts(n, kinds[row["as"][0]]) for n, row in table["ops"].items()]
    ops += [facts(name, "functional") for name in table["functional"]]
    for op in ops:
        for signature in op.signatures:
            names = {param.name for param in signature.params if param.tensor}
            for source, kept in (signature.saves or {}).items():
                assert source in names, op.name
                assert set(kept) <= names | set(signature.results), op.name


def test_saves_of_overloads() -> None:
    assert saves("mul", "method", "tensor", "tensor") == {"self": ("other",), "other": ("self",)}
    assert saves("mul", "method", "tensor", "number") == {"self": ()}
    assert saves("div", "function", "tensor", "tensor") == {
        "self": ("other",),
        "other": ("other", "self"),
    }
    assert saves("add", "function", "tensor", "tensor") == {"self": (), "other": ()}
    assert saves("pow", "method", "tensor", "number") == {"self": ("self",)}
    assert saves("sigmoid", "method", "tensor") == {"self": ("result",)}
    assert saves("softmax", "functional", "tensor", "number") == {"input": ("result",)}
    assert saves("exp_", "method", "tensor") == {"self": ("result",)}


def test_an_in_place_operation_does_not_keep_the_value_it_overwrites() -> None:
    assert saves("log_", "method", "tensor") == {"self": ()}
    assert saves("mul_", "method", "tensor", "tensor") == {"self": ("other",), "other": ()}


def test_unknown_saves_are_none() -> None:
    assert bound("interpolate", "functional", "tensor", "number").saves is None


def test_names_belong_to_their_place() -> None:
    assert op_facts("add_", "function") is None
    assert op_facts("mse_loss", "method") is None
    assert op_facts("zeros", "functional") is None
    assert op_facts("nonsense", "function") is None
    assert op_facts("_softmax", "function") is None
    assert op_facts("linalg_norm", "function") is not None


@pytest.mark.parametrize(
    ("name", "multi", "maybe_copy", "same"),
    [
        ("view", False, False, False),
        ("select", False, False, False),
        ("chunk", True, False, False),
        ("unbind", True, False, False),
        ("reshape", False, True, False),
        ("contiguous", False, True, True),
        ("to", False, True, True),
        ("cuda", False, True, True),
        ("detach", False, False, False),
    ],
)
def test_views(name: str, multi: bool, maybe_copy: bool, same: bool) -> None:
    op = facts(name, "method")
    assert op.view == "self"
    assert (op.multi_view, op.maybe_copy, op.may_return_self) == (multi, maybe_copy, same)


def test_no_view() -> None:
    assert all(facts(n, "method").view is None for n in ("clone", "add", "repeat", "sum", "mul_"))


@pytest.mark.parametrize(
    ("name", "writes"),
    [
        ("add_", True),
        ("copy_", True),
        ("zero_", True),
        ("index_put_", True),
        ("set_", True),
        ("requires_grad_", False),
        ("detach_", False),
        ("unsqueeze_", True),
    ],
)
def test_in_place(name: str, writes: bool) -> None:
    op = facts(name, "method")
    assert op.inplace
    assert op.writes is writes
    assert op.view is None


def test_factories() -> None:
    assert all(
        facts(name).factory for name in ["zeros", "rand", "full", "arange", "eye", "randint"]
    )
    assert all(facts(name).like for name in ["zeros_like", "rand_like", "full_like"])
    assert all(facts(f"new_{name}", "method").like for name in ["zeros", "ones", "empty", "full"])
    assert not facts("clone").like
    assert not facts("add").factory


def test_gradients_that_do_not_exist_or_are_zero() -> None:
    cut = ["argmax", "eq", "lt", "isnan", "logical_and", "bincount", "detach", "zeros_like"]
    assert not any(facts(name).differentiable for name in cut)
    assert all(facts(name).zero_grad for name in ["round", "floor", "ceil", "sign", "trunc"])
    assert not any(facts(name).zero_grad for name in ["abs", "relu", "argmax"])
    assert not facts("item", "method").returns_tensor


def test_results_by_name() -> None:
    signature = bound("max", "function", "tensor", "number")
    assert signature.results == ("values", "indices")
    assert signature.differentiable_results == (True, False)
    assert bound("max", "function", "tensor").results == ("result",)


def names(signature: Signature) -> list[str]:
    return [param.name for param in signature.params]


def test_binding_chooses_the_overload() -> None:
    assert names(bound("max", "method", "tensor", keywords="dim"))[:2] == ["self", "dim"]
    assert names(bound("max", "method", "tensor", "tensor")) == ["self", "other"]
    assert bound("max", "method", "tensor", keywords="axis").results == ("values", "indices")
    assert bound("mul", "function", keywords="input other").params[0].name == "self"
    assert names(bound("where", "method", "tensor", "tensor", "number"))[0] == "self"
    assert bound("where", "function", "tensor").results == ("result",)


def test_binding_takes_sizes_and_tensors_one_by_one() -> None:
    for arguments in (("number", "number", "number"), ("sequence",)):
        assert names(bound("zeros", "function", *arguments))[0] == "size"
        assert names(bound("view", "method", "tensor", *arguments))[1] == "size"
    assert bound("einsum", "function", "string", "tensor", "tensor").saves == {
        "tensors": ("tensors",)
    }
    assert bound("zeros", "function", "sequence", keywords="dtype device requires_grad").saves == {}


def test_binding_refuses_what_no_overload_takes() -> None:
    assert facts("relu", "method").bind(["tensor", "tensor", "tensor"], []) is None
    assert facts("mul", "method").bind(["tensor"], []) is None
    assert facts("mul", "method").bind(["tensor", "tensor"], ["nonsense"]) is None
    assert facts("mul", "method").bind(["tensor", "unknown"], []) is not None


def test_facts_are_frozen() -> None:
    op = facts("mul")
    with pytest.raises(AttributeError):
        op.name = "add"  # type: ignore[misc]
    with pytest.raises(TypeError):
        op.signatures[0].saves["self"] = ()  # type: ignore[index]
