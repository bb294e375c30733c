"""The op facts, proven by running the operations in torch.

A tensor is saved exactly if backward refuses to run once that tensor was overwritten in place.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import pytest

from gradfix.flow.torch_ops import ArgKind, Op, Signature, op_facts, torch_version

torch = pytest.importorskip("torch")
if torch.__version__.partition("+")[0] != torch_version():
    pytest.skip(f"the op facts are of torch {torch_version()}", allow_module_level=True)

from torch_op_cases import UNKNOWN, Case, all_cases  # noqa: E402

CASES = {str(case): case for case in all_cases()}
pytestmark = pytest.mark.filterwarnings("ignore")


class Run:
    """One call on fresh tensors; inputs are non-leaf copies, so that they can be overwritten."""

    def __init__(self, case: Case, signature: Signature, requiring: frozenset[str]) -> None:
        torch.manual_seed(0)
        self.inputs: dict[str, list[Any]] = {}
        params = iter(p for p in signature.params if not p.keyword_only)
        arguments = []
        name = ""
        for argument in case.arguments:
            param = next(params, None)
            name = name if param is None else param.name  # sizes or tensors given one by one
            arguments.append(self.make(argument, name, requiring))
        self.outputs = call(case, arguments)

    def make(self, argument: Any, name: str, requiring: frozenset[str]) -> Any:
        if isinstance(argument, list):
            return [self.make(one, name, requiring) for one in argument]
        if not (callable(argument) and not isinstance(argument, torch.dtype)):
            return argument
        tensor = argument()
        if tensor.is_floating_point() and name in requiring:
            tensor = tensor.requires_grad_().clone()
        self.inputs.setdefault(name, []).append(tensor)
        return tensor

    def results(self) -> list[Any]:
        return list(self.outputs) if isinstance(self.outputs, tuple | list) else [self.outputs]

    def backward(self) -> None:
        graded = [
            abs_sum(r) for r in self.results() if isinstance(r, torch.Tensor) and r.requires_grad
        ]
        if graded:
            functools.reduce(operator.add, graded).backward()


def abs_sum(tensor: Any) -> Any:
    return torch.view_as_real(tensor).sum() if tensor.is_complex() else tensor.sum()


def call(case: Case, arguments: list[Any]) -> Any:
    if case.kind == "functional":
        return getattr(torch.nn.functional, case.name)(*arguments, **case.keywords)
    if case.kind == "method":
        found = getattr(arguments[0], case.name)
        return found(*arguments[1:], **case.keywords) if callable(found) else found
    module: Any = torch
    name = case.name
    for prefix in ("linalg", "special", "fft"):
        if name.startswith(prefix + "_"):
            module, name = getattr(torch, prefix), name[len(prefix) + 1 :]
    return getattr(module, name)(*arguments, **case.keywords)


def kind_of(argument: Any) -> ArgKind:
    if isinstance(argument, torch.dtype):
        return "unknown"
    if callable(argument):
        return "tensor"
    kinds: dict[type, ArgKind] = {
        bool: "bool", int: "number", float: "number", str: "string", tuple: "sequence",
        list: "sequence", type(None): "none",
    }  # fmt: skip
    return kinds[type(argument)]


def facts(case: Case) -> tuple[Op, Signature]:
    op = op_facts(case.name, case.kind)
    assert op is not None, f"no facts about {case}"
    signature = op.bind([kind_of(one) for one in case.arguments], case.keywords)
    assert signature is not None, f"no overload takes {case}"
    return op, signature


def survives(case: Case, signature: Signature, requiring: frozenset[str], tensor: str) -> bool:
    """Whether backward still runs after the named tensor was overwritten with its own values."""
    run = Run(case, signature, requiring)
    named = dict(zip(signature.results, run.results(), strict=False))
    targets = run.inputs.get(tensor, []) or [named[tensor]]
    with torch.no_grad():
        for target in targets:
            target.copy_(target.clone())
    try:
        run.backward()
    except RuntimeError as error:
        if "modified by an inplace operation" not in str(error):
            raise
        return False
    return True


def observed(case: Case, op: Op, signature: Signature, requiring: frozenset[str]) -> set[str]:
    """What turns out to be saved when the given inputs require grad."""
    run = Run(case, signature, requiring)
    names = set(run.inputs) | (set() if op.multi_view else set(signature.results))
    if op.view or op.may_return_self:
        names -= {"result"}  # the result lives in the input's memory
    if op.inplace:
        names -= {"self"}
    if op.multi_view and op.view is not None:
        names -= {op.view}  # that error is about the views, not about saved tensors
    return {name for name in names if not survives(case, signature, requiring, name)}


@pytest.mark.parametrize("name", CASES)
def test_saved_tensors(name: str) -> None:
    case = CASES[name]
    op, signature = facts(case)
    saves = signature.saves
    assert saves is not None
    probe = Run(case, signature, frozenset(saves))
    tracked = [one.requires_grad for one in probe.results() if isinstance(one, torch.Tensor)]
    if not any(tracked):
        assert not op.differentiable or not any(signature.differentiable_results)
        return
    assert any(signature.differentiable_results)
    floats = {n for n, ts in probe.inputs.items() if ts[0].is_floating_point()}
    reachable = set(probe.inputs) | set(signature.results)
    subsets = [frozenset({one}) for one in sorted(saves) if one in floats]
    for requiring in [*subsets, frozenset(saves) & floats]:
        expected = {one for name in requiring for one in saves[name]} & reachable
        assert observed(case, op, signature, requiring) == expected, sorted(requiring)


def test_the_proof_can_fail() -> None:
    case = CASES["function:mul(T,T)"]
    op, signature = facts(case)
    assert observed(case, op, signature, frozenset({"self"})) == {"other"}
    case = CASES["function:add(T,T)"]
    op, signature = facts(case)
    assert observed(case, op, signature, frozenset({"self", "other"})) == set()


@pytest.mark.parametrize("case", UNKNOWN, ids=str)
def test_unknown_is_not_nothing(case: Case) -> None:
    assert facts(case)[1].saves is None


def storage(tensor: Any) -> int:
    return int(tensor.untyped_storage().data_ptr())


@pytest.mark.parametrize("name", CASES)
def test_shared_memory_and_writes(name: str) -> None:
    case = CASES[name]
    op, signature = facts(case)
    run = Run(case, signature, frozenset())
    tensors = [t for ts in run.inputs.values() for t in ts]
    results = [one for one in run.results() if isinstance(one, torch.Tensor)]
    assert len(results) == len(signature.results) or op.multi_view
    shared = any(storage(r) == storage(t) for r in results for t in tensors)
    assert not shared or op.view or op.may_return_self or op.inplace
    if op.view and not op.maybe_copy:
        assert all(storage(r) in map(storage, run.inputs[op.view]) for r in results)
    if any(r is t for r in results for t in tensors):
        assert op.inplace or op.may_return_self
    written = {name for name, ts in run.inputs.items() if any(t._version for t in ts)}
    assert len(written) == (1 if op.writes else 0)
    assert written <= {signature.params[0].name}
