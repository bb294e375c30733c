"""Facts that were seen when code ran: what functions were given. Written by ``verify``, read by
``check`` and ``apply``, and kept in a JSON file.

NOTE what recorded facts can prove. They hold for the calls that were made and for no other: a size
that was 3 today may be 5 tomorrow. So a finding or a fix that rests on them is never better than
unsafe, says so, and may keep an unsafe fix from being made, never a safe one. Only calls whose
inputs somebody wrote are recorded (cases, call sites), not those that gradfix made up. Facts carry
the hash of the file, and of the function: where a file has changed they are stale and ignored; in
the later rounds of a rewrite the functions that are still the same keep theirs.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gradfix.errors import ConfigError
from gradfix.lines import bare, split_lines

VERSION = 1
_KINDS = frozenset({"tensor", "int", "float", "bool", "other", "several"})


@dataclass(frozen=True, slots=True)
class Seen:
    """What one argument was in all recorded calls; None where calls differ.

    ``kind`` is "tensor", "int", "float", "bool", "other", or "several" where calls differ, and
    "tensors" for a list of them, which the text of the file alone says;
    ``shape`` and ``dtype`` (without ``torch.``) are those of a tensor; ``value`` is a number's;
    ``roles`` are "leaf", "tracked" and "untracked", for people: how a tensor is used elsewhere
    proves nothing. ``requires_grad`` is never recorded: the text of the file says so (see
    `gradfix.flow.callers`).
    """

    kind: str
    shape: tuple[int | None, ...] | None = None
    dtype: str | None = None
    value: int | float | bool | None = None
    roles: tuple[str, ...] = ()
    requires_grad: bool = False

    def joined(self, other: Seen) -> Seen:
        """What holds in the calls of both."""
        if self.kind != other.kind:
            return Seen("several")
        shape = None
        if self.shape is not None and other.shape is not None:
            if len(self.shape) == len(other.shape):
                pairs = zip(self.shape, other.shape, strict=True)
                shape = tuple(a if a == b else None for a, b in pairs)
        return Seen(
            self.kind,
            shape,
            self.dtype if self.dtype == other.dtype else None,
            self.value if self.value == other.value else None,
            tuple(sorted({*self.roles, *other.roles})),
        )

    @property
    def proves(self) -> bool:
        """Whether the analysis can use it."""
        return self.shape is not None if self.kind == "tensor" else self.value is not None

    def text(self) -> str:
        """In words."""
        if self.kind == "tensor":
            dims = "?" if self.shape is None else ", ".join(
                "?" if dim is None else str(dim) for dim in self.shape
            )  # fmt: skip
            return f"{self.dtype or 'a tensor'} [{dims}]"
        return str(self.value) if self.value is not None else self.kind


@dataclass(slots=True)
class Function:
    """One function: the hash of its source, how often it was called, and its arguments."""

    digest: str
    calls: int
    arguments: dict[str, Seen]


@dataclass(slots=True)
class FileFacts:
    """One file: the hash of its text, and its functions by `key_of`."""

    digest: str
    functions: dict[str, Function] = field(default_factory=dict)

    def of(self, key: str, source: str) -> Function | None:
        """The facts about a function with this source; None where there are none, or stale ones."""
        found = self.functions.get(key)
        return found if found is not None and found.digest == digest_of(source) else None


def digest_of(text: str) -> str:
    """The hash that tells whether text has changed."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def key_of(owner: str | None, name: str) -> str:
    """How a function is called in the facts: ``Class.method`` or ``function``."""
    return f"{owner}.{name}" if owner else name


def source_of(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: Sequence[str]) -> str:
    """The lines of a function, without their ends, which its hash is made of."""
    return "\n".join(bare(line) for line in lines[node.lineno - 1 : node.end_lineno])


class Recording:
    """Facts of several files, by path relative to the folder of the facts file."""

    def __init__(self, files: Mapping[str, FileFacts] | None = None) -> None:
        self.files: dict[str, FileFacts] = dict(files or {})

    def add(self, path: str, text: str, calls: Iterable[Mapping[str, Any]]) -> None:
        """Add recorded calls of one file with this text.

        A call is ``{"name", "row", "arguments": {name: {...}}}``; ``row`` is where its function
        begins, with decorators. What is known of another text of the file is dropped.
        """
        digest, lines = digest_of(text), split_lines(text)
        if path not in self.files or self.files[path].digest != digest:
            self.files[path] = FileFacts(digest)
        functions = {(row, node.name): (key, node) for row, key, node in _functions(text)}
        for call in calls:
            key, node = functions.get((call["row"], call["name"]), (None, None))
            if key is None or node is None:
                continue
            seen = {name: _seen(data) for name, data in call["arguments"].items()}
            known = self.files[path].functions.get(key)
            source = digest_of(source_of(node, lines))
            if known is None or known.digest != source:
                self.files[path].functions[key] = Function(source, 1, seen)
            else:
                known.calls += 1
                for name, value in seen.items():
                    old = known.arguments.get(name)
                    known.arguments[name] = value if old is None else old.joined(value)

    def as_json(self) -> str:
        """The text of a facts file."""
        files = {
            path: {
                "sha256": facts.digest,
                "functions": {
                    key: {
                        "sha256": function.digest,
                        "calls": function.calls,
                        "arguments": {n: _listed(s) for n, s in function.arguments.items()},
                    }
                    for key, function in sorted(facts.functions.items())
                },
            }
            for path, facts in sorted(self.files.items())
        }
        return json.dumps({"version": VERSION, "files": files}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, origin: str) -> Recording:
        """The inverse of `as_json`. Raises ConfigError, with ``origin``, for anything else."""
        try:
            document = json.loads(text)
            if document["version"] != VERSION:
                version = document["version"]
                raise ConfigError(f"{origin}: facts of version {version!r} are not known")
            files = {
                path: FileFacts(
                    _text(facts["sha256"]),
                    {
                        key: Function(
                            _text(function["sha256"]),
                            int(function["calls"]),
                            {n: _seen(data) for n, data in function["arguments"].items()},
                        )
                        for key, function in facts["functions"].items()
                    },
                )
                for path, facts in document["files"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            problem = f"{type(error).__name__}: {error}"
            raise ConfigError(f"{origin}: not a file of recorded facts ({problem})") from error
        return cls(files)


def _functions(
    text: str,
) -> Iterable[tuple[int, str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function with its first row and its key; those of nested classes too."""
    todo: list[tuple[ast.AST, str | None]] = [(ast.parse(text), None)]
    while todo:
        node, owner = todo.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                row = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                yield row, key_of(owner, child.name), child
                todo.append((child, None))
            else:
                todo.append((child, child.name if isinstance(child, ast.ClassDef) else owner))


def _seen(data: Mapping[str, Any]) -> Seen:
    shape, value = data.get("shape"), data.get("value")
    if data["kind"] not in _KINDS:
        raise ValueError(f"unknown kind {data['kind']!r}")
    if shape is not None and not all(dim is None or type(dim) is int for dim in shape):
        raise ValueError(f"wrong shape {shape!r}")
    if value is not None and not isinstance(value, (int, float)):
        raise ValueError(f"wrong value {value!r}")
    return Seen(
        data["kind"],
        None if shape is None else tuple(shape),
        None if data.get("dtype") is None else _text(data["dtype"]),
        value,
        tuple(_text(role) for role in data.get("roles", ())),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no text")
    return value


def _listed(seen: Seen) -> dict[str, Any]:
    data: dict[str, Any] = {"kind": seen.kind}
    if seen.kind == "tensor":
        data["shape"] = None if seen.shape is None else list(seen.shape)
        data["dtype"], data["roles"] = seen.dtype, list(seen.roles)
    elif seen.value is not None:
        data["value"] = seen.value
    return data
