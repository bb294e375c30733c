"""Which files of a project may be loaded together, as far as imports tell: too many, never too few.

Scripts that lie side by side and import nothing of each other change nothing in each other.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping

_FROM = re.compile(r"\bfrom\s+([.\w]+)\s+\Z")
_FAR = 200  # characters, in which the name of a module has its place
#: What stands behind the word ``import``, in brackets or not; in the text of a notebook ``"`` and
#: a backslash end a line.
IMPORTED = re.compile(r"import(?:\s*\(([^)]*)\)|\b([^\n(;\\\"]*))")
_RUN = re.compile(r"%run\b([^\n]*)")
_WORD = re.compile(r"\w+")
#: ``as name`` loads nothing of that name.
_ALIAS = re.compile(r"\bas\s+\w+")
#: What these bring is nobody's file, unless the project has a file or folder that is called so.
_LIBRARIES = sys.stdlib_module_names | frozenset(
    """torch torchvision torchaudio torchtext numpy scipy pandas sklearn skimage matplotlib seaborn
    PIL cv2 tqdm tensorflow keras jax tensorboard tensorboardX wandb yaml requests pytest gym h5py
    gymnasium transformers datasets timm einops networkx nltk""".split()
)
#: Files with one of these may load any other, or name it in a string; files that are called so are
#: loaded by nobody that says so.
_ANY_FILE = re.compile(
    r"import_module|__import__|spec_from|\brunpy\b|\bexec\(|\bexecfile\b|sys\.modules"
    r"|%run\b[^\n]*[{$]|\bpatch(?:\.\w+)?\(|\bmonkeypatch\b"
)
#: One of these is in what it finds; to look for them takes a tenth of the time.
_ANY_WORDS = (
    "import_module", "__import__", "spec_from", "runpy", "exec(", "execfile", "sys.modules", "%run",
    "patch(", "patch.", "monkeypatch",
)  # fmt: skip
_ANY_NAMED = frozenset({"conftest", "sitecustomize", "usercustomize"})


def connected(texts: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """For each path the paths, its own among them, of the files that may be loaded with it."""
    if any(_name_of(path) in _ANY_NAMED or _loads_any(text) for path, text in texts.items()):
        return dict.fromkeys(texts, frozenset(texts))
    by_name: dict[str, list[str]] = {}
    for path in texts:
        by_name.setdefault(_name_of(path), []).append(path)
    groups = {path: {path} for path in texts}
    libraries = _libraries(texts)
    for path, text in texts.items():
        for other in _loaded(path, text, by_name, libraries):
            _join(groups, path, other)
    frozen = {id(group): frozenset(group) for group in groups.values()}
    return {path: frozen[id(group)] for path, group in groups.items()}


def _libraries(paths: Iterable[str]) -> frozenset[str]:
    """The libraries that no file or folder of the project is called like."""
    paths = list(paths)
    root = os.path.commonpath(paths) if paths else ""
    own: set[str] = set()
    for path in paths:
        own.update(_WORD.findall(os.path.relpath(path, root) if path != root else path))
    return _LIBRARIES - own


def _name_of(path: str) -> str:
    """What a file is called by those who import it."""
    folder, file = os.path.split(path)
    name = file.partition(".")[0]
    return os.path.basename(folder) if name == "__init__" else name


def _loaded(
    path: str, text: str, by_name: Mapping[str, list[str]], libraries: frozenset[str]
) -> Iterable[str]:
    words: set[str] = set()
    for found in IMPORTED.finditer(text):
        before = _FROM.search(text, max(0, found.start() - _FAR), found.start())
        names = _ALIAS.sub(" ", found[1] or found[2] or "")
        if before is None:
            names = " ".join(n for n in names.split(",") if _root_of(n) not in libraries)
        elif _root_of(before[1]) in libraries:
            continue
        else:
            words.update(_WORD.findall(before[1]))
            if before[1].startswith("."):  # of the package around it
                words.add(os.path.basename(os.path.dirname(path)))
        words.update(_WORD.findall(names))
    for script in _RUN.findall(text) if "%run" in text else ():
        words.update(_WORD.findall(script))
    return [other for word in words for other in by_name.get(word, ())]


def _loads_any(text: str) -> bool:
    return any(word in text for word in _ANY_WORDS) and _ANY_FILE.search(text) is not None


def _root_of(module: str) -> str:
    """``torch`` of ``torch.utils.data``; empty for the package around."""
    return module.strip().partition(".")[0]


def _join(groups: dict[str, set[str]], one: str, two: str) -> None:
    """Make one group of two, the smaller one going into the larger."""
    large, small = groups[one], groups[two]
    if large is small:
        return
    if len(large) < len(small):
        large, small = small, large
    large |= small
    for path in small:
        groups[path] = large
