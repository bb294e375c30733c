"""Which files of a project may be loaded together, as far as imports tell: too many, never too few.

Scripts that lie side by side and import nothing of each other change nothing in each other.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping

_FROM = re.compile(r"from\s+([.\w]+)\s+import")
#: What stands behind the word ``import``, in brackets or not.
IMPORTED = re.compile(r"import(?:\s*\(([^)]*)\)|\b([^\n(]*))")
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
_ANY_NAMED = frozenset({"conftest", "sitecustomize", "usercustomize"})


def connected(texts: Mapping[str, str]) -> dict[str, frozenset[str]]:
    """For each path the paths, its own among them, of the files that may be loaded with it."""
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


def _libraries(paths: Iterable[str]) -> re.Pattern[str]:
    """Finds the imports of libraries, which lie outside of the project: ``torch.utils.data``."""
    paths = list(paths)
    root = os.path.commonpath(paths) if paths else ""
    own: set[str] = set()
    for path in paths:
        own.update(_WORD.findall(os.path.relpath(path, root) if path != root else path))
    roots = "|".join(sorted(_LIBRARIES - own))
    return re.compile(
        rf"\bfrom[ \t]+(?:{roots})\b[.\w]*[ \t]+import(?:[ \t]*\([^)]*\)|[^\n;(]*)"
        rf"|(?<=import )[ \t]*(?:{roots})\b[.\w]*(?:[ \t]+as[ \t]+\w+)?"
    )


def _name_of(path: str) -> str:
    """What a file is called by those who import it."""
    folder, file = os.path.split(path)
    name = file.partition(".")[0]
    return os.path.basename(folder) if name == "__init__" else name


def _loaded(
    path: str, text: str, by_name: Mapping[str, list[str]], libraries: re.Pattern[str]
) -> Iterable[str]:
    if _name_of(path) in _ANY_NAMED or _ANY_FILE.search(text) is not None:
        return [other for paths in by_name.values() for other in paths]
    text = libraries.sub(" ", text)
    words: set[str] = set()
    for module in _FROM.findall(text):
        words.update(_WORD.findall(module))
        if module.startswith("."):  # of the package around it
            words.add(os.path.basename(os.path.dirname(path)))
    for names in IMPORTED.findall(text):
        words.update(_WORD.findall(_ALIAS.sub(" ", " ".join(names))))
    for script in _RUN.findall(text):
        words.update(_WORD.findall(script))
    return [other for word in words for other in by_name.get(word, ())]


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
