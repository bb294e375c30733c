"""What IPython understands in a cell and Python does not: magics, shell commands, help.

Such lines are *masked*: names that nobody else uses stand where they were, over as many rows. What
a masked line may read or bind is said in Python, so that the analysis knows what it does not know.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from gradfix.lines import bare, split_lines

#: Cell magics that run the cell as part of the program; ``%%gradfix`` shows what it would be.
_RUN_HERE = frozenset({"time", "capture", "prun", "debug", "gradfix"})
#: Cell magics whose text is for others, and which change nothing in the program.
_FOR_OTHERS = frozenset(
    """bash sh script html HTML javascript js latex markdown svg SVG writefile file cmd perl ruby
    system sx ! python python2 python3 pypy""".split()
)
#: Line magics that neither run code of the program nor bind its names.
_HARMLESS = frozenset(
    """matplotlib pip conda mamba uv cd ls ll pwd mkdir rmdir cat cp mv rm less more man env set_env
    config load_ext reload_ext unload_ext autoreload aimport tensorboard wandb precision who whos
    who_ls lsmagic magic history hist notebook pinfo pinfo2 pdoc pdef psource pfile psearch colors
    xmode pdb gui alias bookmark logstart logstop system sx sc quickref page pprint pycat
    gradfix_verify alias_magic autosave connect_info dirs popd pushd doctest_mode""".split()
)
#: Line magics after which any name may mean something else.
_RUN_ANYTHING = frozenset("run load pylab reset reset_selective store rerun recall macro".split())

_LINE = re.compile(r"\s*(?:%|!|\?|[,;/][A-Za-z_])")
_HELP = re.compile(r"\s*%{0,2}[\w.*:\[\]]+\?{1,2}\s*;?\s*(?:#.*)?$")
_ASSIGNED = re.compile(r"(\s*[^=!%#()'\"]+?=\s*)[!%]")
_CELL_MAGIC = re.compile(r"\s*%%(!|\w+)(?![\w?])")
_MAGIC_NAME = re.compile(r"\s*%{1,2}\s*(\w+)")
_WORD = re.compile(r"[^\W\d]\w*")
_INTERPOLATED = re.compile(r"\{([^{}]*)\}|\$([^\W\d]\w*)")
_TRIPLE = ('"""', "'''")
_TOKEN = re.compile(r"#|\\.|\"\"\"|'''|[\"'()\[\]{}]", re.S)


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a cell that are not for Python; ``target`` is ``"x = "`` in ``x = !ls``.

    ``reads`` are words that may be names of the program which are read, ``binds`` whether those may
    be bound anew as well, ``anything`` whether any name may be.
    """

    first: int  # from 0
    rows: int
    text: str
    indent: str = ""
    target: str = ""
    reads: frozenset[str] = frozenset()
    binds: bool = False
    anything: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """The text of a cell (newlines are LF) and what in it is not for Python.

    ``tree`` is that of the rest; where that does not parse either, all of the cell is left out and
    ``trouble`` says why, with its row.
    """

    text: str
    parts: tuple[Part, ...] = ()
    tree: ast.Module | None = None
    trouble: tuple[str, int] | None = None

    def masked(self, placeholder: Callable[[Part], str]) -> str:
        """The text with every part replaced, each by text of as many rows."""
        lines = split_lines(self.text)
        for part in reversed(self.parts):
            last = lines[part.first + part.rows - 1]
            end = last[len(bare(last)) :]
            lines[part.first : part.first + part.rows] = [placeholder(part) + end]
        return "".join(lines)


def read_body(source: str) -> Body:
    """What Python, and what only IPython understands in the source of one cell."""
    text = source.replace("\r\n", "\n")
    try:
        return Body(text, tree=_parse(text))  # no line that is for IPython parses as Python
    except SyntaxError:
        pass
    magic = _CELL_MAGIC.match(text)
    if magic and magic[1] not in _RUN_HERE:
        others = magic[1] in _FOR_OTHERS
        return _left_out(text, frozenset() if others else _words(text), None)
    body = Body(text, tuple(_parts(split_lines(text))))
    try:
        tree = _parse(body.masked(_blank))
    except SyntaxError as error:
        row = min(error.lineno or 1, max(1, len(split_lines(text))))
        return _left_out(text, _words(text), (f"invalid syntax: {error.msg}", row))
    return Body(text, body.parts, tree)


def _parse(text: str) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "nested too deeply") from None


def _left_out(text: str, reads: frozenset[str], trouble: tuple[str, int] | None) -> Body:
    rows = max(1, len(split_lines(text)))
    part = Part(0, rows, text.removesuffix("\n"), reads=reads, binds=bool(reads))
    return Body(text, (part,), trouble=trouble)


def _words(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text))


def _blank(part: Part) -> str:
    return f"{part.indent}{part.target}(_{chr(10) * (part.rows - 1)})"


# -- finding the lines -------------------------------------------------------------------------


def _parts(lines: list[str]) -> list[Part]:
    """The lines for IPython; they can only stand where a statement could."""
    found = []
    depth, quote, continued, at = 0, "", False, 0
    while at < len(lines):
        line = lines[at]
        if depth <= 0 and not quote and not continued and _is_for_ipython(line):
            first = at
            while bare(lines[at]).endswith("\\") and at + 1 < len(lines):
                at += 1
            found.append(_part(first, lines[first : at + 1]))
            depth = 0
        else:
            depth, quote, continued = _scan(line, depth, quote)
        at += 1
    return found


def _is_for_ipython(line: str) -> bool:
    return any(pattern.match(line) for pattern in (_LINE, _HELP, _ASSIGNED))


def _scan(line: str, depth: int, quote: str) -> tuple[int, str, bool]:
    """Open brackets, the open string's quotes, and whether a backslash joins the next line."""
    continued = False
    for token in _TOKEN.finditer(line):
        what = token[0]
        continued = what == "\\\n"
        if what[0] == "\\":
            continue
        if quote:
            if what == quote or (len(quote) == 1 and what in _TRIPLE and what[0] == quote):
                quote = ""
        elif what == "#":
            break
        elif what[0] in "\"'":
            quote = what
        else:
            depth += 1 if what in "([{" else -1
    if len(quote) == 1 and not continued:
        quote = ""
    return depth, quote, continued and not quote


def _part(first: int, lines: list[str]) -> Part:
    text = "".join(lines).removesuffix("\n")
    indent = text[: len(text) - len(text.lstrip())]
    assigned = _ASSIGNED.match(text) if not _LINE.match(text) else None
    target = assigned[1][len(indent) :] if assigned else ""
    command = text[len(indent) + len(target) :]
    name = _MAGIC_NAME.match(command)
    rows = len(lines)
    if name is None or name[1] in _HARMLESS or _HELP.match(command):
        inner = " ".join(a or b for a, b in _INTERPOLATED.findall(command))
        autocall = command[0] in ",;/"
        reads = _words(command if autocall else inner) if "?" not in command[-2:] else frozenset()
        return Part(first, rows, text, indent, target, reads, binds=autocall)
    anything = name[1] in _RUN_ANYTHING
    rest = _words(command[name.end() :])
    return Part(first, rows, text, indent, target, rest, True, anything)
