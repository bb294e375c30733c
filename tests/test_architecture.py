"""The house rules of docs/architecture.md, checked on the imports that are written in the source.

Every import counts, also one inside a function or under TYPE_CHECKING: a rule that can be got
around by indenting is none.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pytest

LONGEST = 400  # lines of a file that one can still hold in the head
ROOT = Path(__file__).resolve().parent.parent
WORKER, WATCH = "gradfix.verify.worker", "gradfix.run.watch"
#: The doors behind which torch is: the child process, the user's own process where it is asked for
#: by name, and where the user's program has imported torch itself.
TORCH_SIDE = frozenset({WORKER, "gradfix.verify.inprocess", WATCH})

#: Parts of gradfix from the bottom up. A part may import itself and what stands in lower layers.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "guard", "lines", "model", "repository", "threads", "words"}),
    frozenset({"recorded"}),
    frozenset({"flow", "rewrite"}),
    frozenset({"codemod"}),
    frozenset({"recipes"}),
    frozenset({"codemods"}),
    frozenset({"assumed", "registry"}),
    frozenset({"rules"}),
    frozenset({"grounds"}),
    frozenset({"baseline", "config_types", "fingerprints", "records", "suppress"}),
    frozenset({"config", "formatting"}),
    frozenset({"cache", "engine", "files"}),
    frozenset({"facts"}),
    frozenset({"notebook"}),
    frozenset({"batch", "journal", "report", "unwritten", "verify"}),
    frozenset({"job"}),
    frozenset({"jobs", "migrate", "run", "testing", "undo"}),
    frozenset({"cluster", "pytest_session"}),
    frozenset({"cli", "ipython", "pytest_plugin"}),
    frozenset({"__main__"}),
)
#: Narrower than the layers: all that these parts may import of gradfix besides themselves.
ONLY: Mapping[str, frozenset[str]] = {
    "errors": frozenset(),
    "model": frozenset(),
    "guard": frozenset(),
    "lines": frozenset(),
    "words": frozenset(),
    "repository": frozenset(),
    "flow": frozenset({"model", "errors", "recorded", "words"}),
    "recipes": frozenset({"codemod", "flow", "model"}),
    "codemods": frozenset({"codemod", "flow", "model", "recipes", "rewrite"}),
}
#: LibCST's runner calls the codemod, which needs the engine: the one import against the stream.
AGAINST_THE_STREAM = {("gradfix.codemod", "gradfix.engine")}

Tree = Mapping[str, str]  # module name -> source text


def project() -> dict[str, str]:
    """The modules of gradfix under their installed names."""
    modules = {}
    for folder, package in ((ROOT / "gradfix", "gradfix"), (ROOT / "codemods", "gradfix.codemods")):
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            modules[name] = path.read_text(encoding="utf-8")
    return modules


def imports(module: str, text: str, tree: Tree) -> Iterator[str]:
    """Names of the modules that a module imports, own modules in full."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.split(".")
                keep = len(package) - node.level + is_package(module, tree)
                base = ".".join([*package[:keep], *([base] if base else [])])
            for alias in node.names:
                name = f"{base}.{alias.name}"
                yield name if name in tree else base


def is_package(module: str, tree: Tree) -> bool:
    return any(other.startswith(module + ".") for other in tree)


def part(module: str) -> str:
    """The part of gradfix that a module belongs to; empty for `gradfix` itself."""
    return module.partition(".")[2].partition(".")[0]


def layer(name: str) -> int | None:
    return next((n for n, parts in enumerate(LAYERS) if name in parts), None)


def wrong_imports(tree: Tree) -> list[str]:
    """Every import that points the wrong way, as one readable line."""
    wrong = []
    for module, text in tree.items():
        here = part(module)
        if here and layer(here) is None:
            wrong.append(f"{module}: give {here!r} a place in LAYERS")
            continue
        for target in imports(module, text, tree):
            if not target.startswith("gradfix.") or (module, target) in AGAINST_THE_STREAM:
                continue
            if not may_import(module, target):
                wrong.append(f"{module} imports {target}")
    return sorted(set(wrong))


def may_import(module: str, target: str) -> bool:
    here, there = part(module), part(target)
    if there == "cli":
        return here in ("cli", "__main__")
    if here == "":  # the public API may name anything else
        return True
    if here == "codemods" == there:
        return False
    if here == there:
        return True
    if here in ONLY:
        return there in ONLY[here]
    mine, its = layer(here), layer(there)
    return mine is not None and its is not None and its < mine


def wrong_torch(tree: Tree) -> list[str]:
    """Modules that import torch though they can be loaded from outside the torch side."""
    graph = {module: set(imports(module, text, tree)) for module, text in tree.items()}
    rooms = ("gradfix.verify.", "gradfix.run.")
    outside = reachable({m for m in tree if not m.startswith(rooms)}, graph)
    return sorted(
        f"{module} imports torch"
        for module, targets in graph.items()
        if any(target.partition(".")[0] == "torch" for target in targets)
        and (module in outside or module not in reachable(TORCH_SIDE, graph, into_torch=True))
    )


def reachable(
    roots: Collection[str], graph: Mapping[str, set[str]], *, into_torch: bool = False
) -> set[str]:
    """All own modules that importing the roots loads, by default not those of the torch side."""
    seen: set[str] = set()
    todo = list(roots)
    while todo:
        module = todo.pop()
        if module in seen or module not in graph or (module in TORCH_SIDE and not into_torch):
            continue
        seen.add(module)
        todo += graph[module]
        if "." in module:
            todo.append(module.rpartition(".")[0])
    return seen


def wrong_codemods(tree: Tree) -> list[str]:
    """Codemod files that do not hold exactly one codemod, named like the file."""
    wrong = []
    codes: dict[str, str] = {}
    for module, text in tree.items():
        if not module.startswith("gradfix.codemods."):
            continue
        classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
        classes = [node for node in classes if is_codemod(node)]
        expected = "".join(word.title() for word in module.rpartition(".")[2].split("_"))
        if [node.name for node in classes] != [expected]:
            wrong.append(f"{module}: wants one codemod class, {expected}")
            continue
        code = code_of(classes[0])
        if code is None:
            wrong.append(f"{module}: {expected} has no code")
        elif code in codes:
            wrong.append(f"{module}: {code} is taken by {codes[code]}")
        else:
            codes[code] = module
    return wrong


def is_codemod(node: ast.ClassDef) -> bool:
    return any(ast.unparse(base).rpartition(".")[2] == "Codemod" for base in node.bases)


def code_of(node: ast.ClassDef) -> str | None:
    for statement in node.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name("code")], value=ast.Constant(str(code))
            ) | ast.AnnAssign(target=ast.Name("code"), value=ast.Constant(str(code))):
                return code
    return None


def too_long(tree: Tree) -> list[str]:
    """Modules with more lines than one can hold in the head."""
    return [
        f"{name}: {text.count(chr(10))} lines"
        for name, text in sorted(tree.items())
        if text.count("\n") > LONGEST
    ]


# -- the rules hold ----------------------------------------------------------------------------


def test_the_project_is_seen() -> None:
    tree = project()
    assert {"gradfix", "gradfix.model", "gradfix.flow", "gradfix.codemods", WORKER} <= set(tree)
    assert "gradfix.model" in imports("gradfix.codemod", tree["gradfix.codemod"], tree)


def test_imports_point_one_way() -> None:
    assert wrong_imports(project()) == []


def test_only_the_torch_side_imports_torch() -> None:
    assert wrong_torch(project()) == []


def test_one_file_one_codemod() -> None:
    assert wrong_codemods(project()) == []


def test_files_are_rooms_of_a_size() -> None:
    assert too_long(project()) == []


def test_the_docs_name_every_file_of_the_analysis() -> None:
    docs = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [
        p.name for p in (ROOT / "gradfix" / "flow").glob("[a-z]*.py") if p.name not in docs
    ] == []


# -- and would be missed -----------------------------------------------------------------------

SKELETON = {
    "gradfix": "",
    "gradfix.model": "",
    "gradfix.errors": "",
    "gradfix.flow": "from gradfix.flow.values import Value",
    "gradfix.flow.values": "from ..model import Span",
    "gradfix.codemod": "def run():\n    from gradfix.engine import rewrite_tree",
    "gradfix.codemods": "",
    "gradfix.codemods.slice_aliasing": "class SliceAliasing(Codemod):\n    code = 'GF201'",
    "gradfix.engine": "from gradfix import model, codemod",
    "gradfix.verify": "from gradfix.verify import plan",
    "gradfix.verify.plan": "COMMAND = ['-m', 'gradfix.verify.worker']",
    WORKER: "import torch\nfrom gradfix.verify.drive import drive",
    "gradfix.verify.drive": "from torch import nn",
    "gradfix.run": "",
    "gradfix.run.arrival": "import importlib",
    WATCH: "import torch\nfrom gradfix.run.episode import Episode",
    "gradfix.run.episode": "import torch",
    "gradfix.cli": "from gradfix import engine, verify",
    "gradfix.__main__": "from gradfix.cli import main",
}


def test_a_right_sample_is_accepted() -> None:
    assert wrong_imports(SKELETON) == wrong_torch(SKELETON) == wrong_codemods(SKELETON) == []


@pytest.mark.parametrize(
    ("module", "text", "complaint"),
    [
        ("gradfix.model", "import gradfix.errors", "gradfix.model imports gradfix.errors"),
        (
            "gradfix.flow.values",
            "from ..engine import x",
            "gradfix.flow.values imports gradfix.engine",
        ),
        (
            "gradfix.flow",
            "from . import values\nfrom .. import cli",
            "gradfix.flow imports gradfix.cli",
        ),
        (
            "gradfix.engine",
            "def f():\n    import gradfix.verify",
            "gradfix.engine imports gradfix.verify",
        ),
        ("gradfix.verify", "from gradfix import cli", "gradfix.verify imports gradfix.cli"),
        ("gradfix", "from gradfix.cli import main", "gradfix imports gradfix.cli"),
        (
            "gradfix.codemods.other",
            "from gradfix.codemods.slice_aliasing import SliceAliasing",
            "gradfix.codemods.other imports gradfix.codemods.slice_aliasing",
        ),
        (
            "gradfix.codemods.other",
            "from .slice_aliasing import SliceAliasing",
            "gradfix.codemods.other imports gradfix.codemods.slice_aliasing",
        ),
        (
            "gradfix.codemods.other",
            "from gradfix.errors import GradfixError",
            "gradfix.codemods.other imports gradfix.errors",
        ),
        ("gradfix.surprise", "", "gradfix.surprise: give 'surprise' a place in LAYERS"),
    ],
)
def test_a_wrong_import_is_named(module: str, text: str, complaint: str) -> None:
    assert wrong_imports({**SKELETON, module: text}) == [complaint]


@pytest.mark.parametrize(
    ("module", "text", "complaint"),
    [
        ("gradfix.flow", "import torch", "gradfix.flow imports torch"),
        ("gradfix.engine", "def f():\n    import torch.nn as nn", "gradfix.engine imports torch"),
        ("gradfix.verify.plan", "import torch", "gradfix.verify.plan imports torch"),
        (
            "gradfix.verify.plan",
            "from gradfix.verify.drive import drive",
            "gradfix.verify.drive imports torch",
        ),
        ("gradfix.verify.orphan", "from torch import nn", "gradfix.verify.orphan imports torch"),
        ("gradfix.run.arrival", "import torch", "gradfix.run.arrival imports torch"),
    ],
)
def test_torch_outside_the_torch_side_is_named(module: str, text: str, complaint: str) -> None:
    assert wrong_torch({**SKELETON, module: text}) == [complaint]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "wants one codemod class, TensorRewrap"),
        ("class Other(Codemod):\n    code = 'GF301'", "wants one codemod class, TensorRewrap"),
        (
            "class TensorRewrap(Codemod):\n    code = 'GF301'\nclass B(Codemod):\n    code = 'GF3'",
            "wants one codemod class, TensorRewrap",
        ),
        ("class TensorRewrap(Codemod):\n    pass", "TensorRewrap has no code"),
        (
            "class TensorRewrap(Codemod):\n    code = 'GF201'",
            "GF201 is taken by gradfix.codemods.slice_aliasing",
        ),
    ],
)
def test_a_misplaced_codemod_is_named(text: str, complaint: str) -> None:
    module = "gradfix.codemods.tensor_rewrap"
    assert wrong_codemods({**SKELETON, module: text}) == [f"{module}: {complaint}"]


def test_a_long_file_is_named() -> None:
    assert too_long({"gradfix.engine": "\n" * 400, "gradfix.batch": "\n" * 401}) == [
        "gradfix.batch: 401 lines"
    ]
