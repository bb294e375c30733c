"""Writes cases to fill in: one per class that could not be verified, as comments. No torch here.

What is written by hand is never touched: a file that exists is added to, and only for classes that
it has no case for.
"""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gradfix.errors import GradfixError
from gradfix.verify.plan import plan
from gradfix.verify.results import NOT_VERIFIED, TargetResult
from gradfix.verify.targets import Target, locate

_HEAD = '''\
"""How to build and call what `gradfix verify` cannot guess.

A case is a function `case_<Class>()` (several: `case_<Class>__<label>()`). It returns the built
module, or `(module, args)`, `(module, args, kwargs)`, or `(module, function)` where
`function(module)` returns the tensors to check. Uncomment what you need and fill it in.
"""
'''
#: No case helps where the file itself cannot be imported.
_NO_HELP = "cannot be imported"


@dataclass(frozen=True, slots=True)
class Draft:
    """One case to fill in: for which class, why it is needed, and its text."""

    name: str
    shown: str
    reason: str
    text: str


@dataclass(slots=True)
class Drafts:
    """The cases that are needed, and the targets that no case would help."""

    needed: list[Draft] = field(default_factory=list)
    beyond_help: list[str] = field(default_factory=list)


def drafts_for(target: Target, results: Iterable[TargetResult]) -> Drafts:
    """The cases for what could not be verified in one file."""
    found = Drafts()
    static = _static(target)
    for result in results:
        if result.status != NOT_VERIFIED:
            continue
        shown, _, name = result.target.rpartition(":")
        text = result.case or static.get(name, "")
        reason = result.reason or "it could not be verified"
        if not text or reason.startswith(_NO_HELP):
            found.beyond_help.append(f"{result.target}: {reason}")
        else:
            found.needed.append(Draft(name, shown, reason, text))
    return found


def drafts_unseen(target: Target) -> Drafts:
    """The cases for every class of a file, where nothing can be run to see which are needed."""
    names = {
        c: text for c, text in _static(target).items() if not target.names or c in target.names
    }
    reason = "not run yet"
    return Drafts([Draft(name, target.path.name, reason, text) for name, text in names.items()])


def write_drafts(path: Path, drafts: Sequence[Draft]) -> list[str]:
    """Add the cases a file lacks, and make the file if need be; the names of the classes added.

    Raises GradfixError when it cannot be read or written.
    """
    try:
        old = path.read_bytes() if path.exists() else None
        text = "" if old is None else old.decode("utf-8")
        named = {draft.name: draft for draft in reversed(drafts)}  # a case is found by its class
        known = [n for n in named if re.search(rf"\bdef case_{n}(__\w+)?\(", text)]
        missing = [d for d in drafts if d is named[d.name] and d.name not in known]
        if not missing:
            return []
        blocks = [] if old is not None else [_HEAD]
        if not re.search(r"^import torch$", text, re.MULTILINE):
            blocks.append("\nimport torch\n")
        blocks += [_block(draft) for draft in missing]
        gap = "" if text.endswith("\n") or not text else "\n"
        with open(path, "ab") as stream:
            stream.write((gap + "".join(blocks)).encode())
    except UnicodeDecodeError as error:
        raise GradfixError(f"{path} is not UTF-8: {error.reason}") from error
    except OSError as error:
        raise GradfixError(f"{path} cannot be written: {error.strerror or error}") from error
    return [draft.name for draft in missing]


def _block(draft: Draft) -> str:
    words = f"{draft.name} ({draft.shown}): {draft.reason}"
    why = textwrap.wrap(words, 98, break_long_words=False, break_on_hyphens=False)
    lines = [*why, *draft.text.splitlines()]
    return "\n\n" + "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _static(target: Target) -> dict[str, str]:
    """A case with gaps for every class of a file, from its signatures alone."""
    try:
        tree = ast.parse(target.path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    module = locate(target.path, tree).module
    names = {c.name for c in plan(tree) if not c.abstract}
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.ClassDef) and n.name in names]
    return {node.name: _case(module, node) for node in nodes}


def _case(module: str, node: ast.ClassDef) -> str:
    init = ", ".join(f"{name}=..." for name in _needed(node, "__init__"))
    inputs = "".join(f"\n        torch.randn(...),  # {name}" for name in _needed(node, "forward"))
    return (
        f"def case_{node.name}():\n"
        f"    from {module} import {node.name}\n\n"
        f"    return {node.name}({init}), ({inputs}\n    )"
    )


def _needed(node: ast.ClassDef, method: str) -> list[str]:
    for item in node.body:
        if isinstance(item, ast.FunctionDef) and item.name == method:
            plain = [a.arg for a in (*item.args.posonlyargs, *item.args.args)][1:]
            without = len(plain) - len(item.args.defaults)
            named = zip(item.args.kwonlyargs, item.args.kw_defaults, strict=True)
            return plain[: max(without, 0)] + [a.arg for a, value in named if value is None]
    return []
