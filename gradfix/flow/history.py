"""Does the history of one value lead back to another? Through calls of models, too.

Terms: a value *leads back* to others when, whichever path was taken, it was computed from one of
them by operations that keep the history. A call of something unknown keeps it only if what is
called certainly is a model: its ``parameters()`` are asked for, or it is a Module of this file.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from gradfix.flow import classes
from gradfix.flow.module import ModuleFlow
from gradfix.flow.state import GradMode
from gradfix.flow.torch_ops import op_facts
from gradfix.flow.values import Certainty, Kind, Value, parts_of

_CUTS = re.compile(r"detach|\.data\b|no_grad|inference_mode|grad_enabled|\.item\(|numpy|Variable\(")


class History:
    """The questions about one file; answers are kept."""

    def __init__(self, flow: ModuleFlow) -> None:
        self.flow = flow
        self._models = _models(flow)

    def leads_back(self, value: Value, targets: Iterable[Value]) -> bool:
        """Whether ``value`` was computed from one of ``targets``, its history kept all the way."""
        wanted = {id(target) for target in targets}
        known: dict[int, bool] = {}

        def reaches(at: Value) -> bool:
            if id(at) in wanted:
                return True
            if id(at) not in known:
                known[id(at)] = False  # what is being looked at proves nothing
                parts = self._parts(at)
                every = at.op == "join" and bool(parts)
                known[id(at)] = self.keeps(at) and (
                    all(map(reaches, parts)) if every else any(map(reaches, parts))
                )
            return known[id(at)]

        return reaches(value)

    def behind(self, value: Value) -> list[Value]:
        """Everything that the history of ``value`` may hold, itself included."""
        found: list[Value] = []
        queue, seen = [value], set()
        while queue:
            at = queue.pop()
            if id(at) not in seen and self.keeps(at):
                seen.add(id(at))
                found.append(at)
                queue += self._parts(at)
        return found

    def _parts(self, value: Value) -> list[Value]:
        """What a value was made from; what was called to make it is none of that."""
        called = self.flow.value(value.node.func) if isinstance(value.node, ast.Call) else None
        return [part for part in (*value.inputs, *parts_of(value)) if part is not called]

    def saves(self, value: Value) -> bool:
        """Whether the history of ``value`` certainly holds something that backward frees."""
        return any(self._is_model_call(at) or _saves(at) for at in self.behind(value))

    def keeps(self, value: Value) -> bool:
        """Whether this value has the history of what it was made from."""
        if value.op == "call" and not self._call_keeps(value.node):
            return False
        if value.kind is Kind.TENSOR:
            return value.needs_grad is not Certainty.NO and not value.cut
        if value.kind in (Kind.SEQUENCE, Kind.DICT):
            return True
        if value.kind is not Kind.UNKNOWN:
            return False
        node = value.node
        if node is None or value.op == "join":
            return True
        if isinstance(node, ast.Attribute):
            return node.attr not in ("data", "grad", "shape", "device", "dtype")
        if isinstance(node, ast.Call):
            return self._call_keeps(node)
        return isinstance(node, (ast.Name, ast.Subscript, ast.BinOp, ast.UnaryOp, ast.Starred))

    def _call_keeps(self, node: ast.AST | None) -> bool:
        if not isinstance(node, ast.Call) or self._mode_of(node) is not GradMode.ON:
            return False
        function = self.flow.value(node.func)
        if function.kind is Kind.REFERENCE:
            return function.name.startswith("torch.") and "detach" not in function.name
        if self.is_model(node.func) or self._is_given_model(node, function):
            return True
        if isinstance(node.func, ast.Attribute) and function.kind is Kind.UNKNOWN:
            op = op_facts(node.func.attr, "method")
            return op is not None and not op.inplace and op.returns_tensor
        return isinstance(function.definition, ast.FunctionDef) and self.is_plain(function)

    def _mode_of(self, node: ast.AST) -> GradMode:
        statement = self.flow.enclosing(node, ast.stmt)
        return self.flow.modes.get(statement, GradMode.UNKNOWN) if statement else GradMode.UNKNOWN

    def is_model(self, node: ast.expr) -> bool:
        """Whether calling ``node`` runs a model with Parameters, as far as the file shows."""
        value = self.flow.value(node)
        if value.kind is Kind.MODULE:
            return True
        if value.kind is Kind.INSTANCE:
            return classes.is_module(self.flow, value) and self.is_plain(value)
        if isinstance(node, ast.Attribute) and node.attr == "forward":
            return self.is_model(node.value)
        if value.kind is not Kind.UNKNOWN or not isinstance(node, (ast.Name, ast.Attribute)):
            return False
        return self.flow.source_of(node) in self._models

    def is_plain(self, value: Value) -> bool:
        """Whether nothing in the text of a class or function can cut a history."""
        text = self.flow.definition_text(value)
        return text is not None and not _CUTS.search(text)

    def _is_model_call(self, value: Value) -> bool:
        if value.op == "layer" and value.kind is Kind.TENSOR:
            return value.is_tracked
        return (
            value.kind is Kind.UNKNOWN
            and isinstance(node := value.node, ast.Call)
            and bool(node.args)  # without arguments it may hand out its Parameters
            and (self.is_model(node.func) or self._is_given_model(node, self.flow.value(node.func)))
        )

    def _is_given_model(self, node: ast.Call, function: Value) -> bool:
        """Whether an argument of the function around is called like a recurrent model: ``f(x, h)``.

        What only detaches is given nothing but what it detaches.
        """
        is_argument = isinstance(function.node, ast.arg) and function.kind is Kind.UNKNOWN
        return is_argument and isinstance(node.func, ast.Name) and len(node.args) > 1


def _models(flow: ModuleFlow) -> frozenset[str]:
    """The texts that name models: somebody asks for their ``parameters()`` or trains them."""
    return frozenset(
        flow.source_of(node.value)
        for name in ("parameters", "zero_grad", "train")
        for node in flow.attributes(name)
        if isinstance(node.value, (ast.Name, ast.Attribute))
    )


def _saves(value: Value) -> bool:
    """Whether a recorded operation certainly keeps something for its backward."""
    if not value.is_tracked or value.op in ("join", "write"):
        return False
    op = op_facts(value.op, "function") or op_facts(value.op, "method")
    if op is None:
        return False
    tracked = sum(source.needs_grad is Certainty.YES for source in value.inputs)
    tensors = sum(source.is_tensor for source in value.inputs)
    if value.op in ("mul", "matmul", "mm", "bmm", "div"):
        return tracked >= 1 and tensors >= 2
    return any(s.saves and any(s.saves.values()) for s in op.signatures) and value.op in _ALWAYS


#: Operations of one tensor that keep their input or result whatever else they are given.
_ALWAYS = frozenset(
    """exp log sqrt tanh sigmoid softmax log_softmax relu gelu silu pow square sin cos
    logsumexp norm prod abs""".split()
)
