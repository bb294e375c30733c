"""How code uses what it was given, by name: is it called, iterated, looked up, compared? No torch.

A name stands for every variable, parameter and attribute of that name in the piece of code, so that
``self.sizes = sizes`` needs no special care. That is a guess, and only ever the start of a guess.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

_ITERATES = frozenset({"sum", "list", "tuple", "zip", "enumerate", "len", "sorted", "iter", "prod"})


#: Whose attributes are functions of a library, which have the names of layers and settings.
_LIBRARIES = frozenset({"F", "nn", "torch", "np", "numpy", "math", "functional", "jnp", "tf"})
_STILL_THE_WORD = frozenset({"upper", "lower", "strip"})


@dataclass(slots=True)
class Use:
    """What is done with one name.

    ``highest`` is the number of elements that constant indices need, ``unpacked`` how many names
    it is unpacked into (0: never); ``elements`` are the names that its elements get in a loop;
    ``called`` is the name itself, as a class is, with at most ``given`` arguments;
    ``called_on_self`` is an attribute of that name, as a part of a module is; ``passed`` are
    callables that get it, with the position or keyword; ``tables`` are names of containers it is
    looked up in, ``owners`` those of objects it names an attribute of; ``whole`` is how often the
    name is read other than to take an element by its number; ``sought`` are words that are looked
    for in it, be it a word or a dict; ``parts`` are the names that it is
    unpacked into; ``splats`` are calls with ``**name``: the callable, how many arguments are given
    by place, and which by name.
    """

    attributes: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    highest: int = 0
    unpacked: int = 0
    iterated: bool = False
    indexed: bool = False
    called: bool = False
    given: int = 0
    called_on_self: bool = False
    tested: bool = False
    counted: bool = False
    words: list[str] = field(default_factory=list)
    sought: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    tables: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    elements: list[tuple[str, ...]] = field(default_factory=list)
    passed: list[tuple[str, int | str]] = field(default_factory=list)
    parts: list[tuple[str, ...]] = field(default_factory=list)
    splats: list[tuple[str, int, tuple[str, ...]]] = field(default_factory=list)
    compared_to_none: bool = False
    whole: int = 0

    def join(self, other: Use) -> None:
        """Add what is done under another name."""
        for each in fields(self):
            own, more = getattr(self, each.name), getattr(other, each.name)
            if isinstance(own, list):
                own += [m for m in more if m not in own]
            elif isinstance(own, set):
                own |= more
            else:
                setattr(self, each.name, max(own, more))

    @property
    def is_sequence(self) -> bool:
        """Whether it must be a list or the like."""
        listed = self.iterated or self.highest > 0 or self.unpacked > 0
        return listed or (self.indexed and not self.keys and not self.counted)


Uses = Mapping[str, Use]


def uses_in(tree: ast.AST) -> dict[str, Use]:
    """The uses of every name in a piece of code."""
    found: dict[str, Use] = {}
    for node in ast.walk(tree):
        for name, part in _subjects(node):
            _note(found.setdefault(name, Use()), node, part)
    for name, count in _read_whole(tree).items():
        found.setdefault(name, Use()).whole += count
    for name, other in _renamed(tree):
        if name in found and other in found and name != other:
            found[name].join(found[other])
    return found


def _read_whole(tree: ast.AST) -> Counter[str]:
    """How often each variable is read, but for those times that an element is taken by number."""
    elements = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and _is_number(node.slice)
    }
    return Counter(
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name)
        and isinstance(node.ctx, ast.Load)
        and id(node) not in elements
    )


def _is_number(index: ast.expr) -> bool:
    if isinstance(index, ast.UnaryOp):
        index = index.operand
    return isinstance(index, ast.Constant) and type(index.value) is int


def _renamed(tree: ast.AST) -> list[tuple[str, str]]:
    """Names whose value gets another name, as in ``self.kind = args.net_kind``, with that."""
    pairs = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            name, other = name_of(node.value), name_of(node.targets[0])
            if name and other and not isinstance(node.targets[0], ast.Subscript):
                pairs.append((name, other))
    return pairs


def name_of(node: ast.AST) -> str | None:
    """The name a variable or an attribute goes by; also that of ``d["name"]``."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value if isinstance(node.slice.value, str) else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return name_of(node.func.value) if node.func.attr in _STILL_THE_WORD else None
    return node.attr if isinstance(node, ast.Attribute) else None


def _subjects(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """The named values that a node does something with."""
    parts: list[ast.AST] = []
    if isinstance(node, ast.Attribute):
        parts = [node.value]
    elif isinstance(node, ast.Subscript):
        parts = [node.value, node.slice]
    elif isinstance(node, ast.Call):
        parts = [node.func, *node.args, *(k.value for k in node.keywords)]
    elif isinstance(node, ast.Starred):
        parts = [node.value]
    elif isinstance(node, ast.Compare):
        parts = [node.left, *node.comparators]
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        parts = [node.iter]
        if isinstance(node.iter, ast.Call):  # enumerate(names), zip(firsts, seconds)
            parts = list(node.iter.args)
    elif isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    elif isinstance(node, ast.Assign):
        parts = [node.value]
    elif isinstance(node, (ast.If, ast.IfExp, ast.Assert)):
        parts = [node.test]
    elif isinstance(node, ast.BoolOp):
        parts = list(node.values)
    elif isinstance(node, ast.UnaryOp):
        parts = [node.operand]
    for part in parts:
        name = name_of(part)
        if name is not None and name != "self":
            yield name, part


def _note(use: Use, node: ast.AST, part: ast.AST) -> None:
    if isinstance(node, ast.Attribute):
        use.attributes.add(node.attr)
    elif isinstance(node, ast.Subscript):
        _note_index(use, node, part)
    elif isinstance(node, ast.Starred):
        use.iterated = True
    elif isinstance(node, ast.Call):
        _note_call(use, node, part)
    elif isinstance(node, ast.Compare):
        _note_comparison(use, node, part)
    elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
        _note_loop(use, node, part)
    elif isinstance(node, ast.BinOp):
        if isinstance(node.op, (ast.FloorDiv, ast.Mod, ast.Pow, ast.Div, ast.Sub)):
            use.counted = True
    elif isinstance(node, (ast.If, ast.IfExp, ast.Assert, ast.BoolOp)):
        use.tested = True
    elif isinstance(node, ast.UnaryOp):
        use.tested |= isinstance(node.op, ast.Not)
    elif isinstance(node, ast.Assign):
        target = node.targets[0]
        if isinstance(target, (ast.Tuple, ast.List)):
            use.unpacked = max(use.unpacked, len(target.elts))
            use.parts.append(tuple(name_of(e) or "_" for e in target.elts))


def _note_index(use: Use, node: ast.Subscript, part: ast.AST) -> None:
    index = node.slice
    if part is index:
        if name := name_of(node.value):
            use.tables.append(name)
        return
    use.indexed = True
    if isinstance(index, ast.Constant) and isinstance(index.value, str):
        use.keys.add(index.value)
    elif isinstance(index, ast.Constant) and type(index.value) is int:
        use.highest = max(use.highest, index.value + 1)
    elif isinstance(index, ast.UnaryOp) and isinstance(index.operand, ast.Constant):
        if type(index.operand.value) is int:
            use.highest = max(use.highest, index.operand.value)


def _note_call(use: Use, node: ast.Call, part: ast.AST) -> None:
    if part is node.func:
        if _of_library(part):
            return
        use.called_on_self |= isinstance(part, ast.Attribute)
        use.called |= isinstance(part, ast.Name)
        use.given = max(use.given, len(node.args) + len(node.keywords))
        return
    function = ast.unparse(node.func)
    if function in _ITERATES:
        use.iterated = True
    elif function in ("range", "torch.arange", "torch.linspace"):
        use.counted = True
    elif function in ("getattr", "hasattr") and len(node.args) > 1 and part is node.args[1]:
        use.owners.append(ast.unparse(node.args[0]))
    elif function == "isinstance":
        if part is node.args[0] and len(node.args) > 1:
            use.types.append(ast.unparse(node.args[1]))
    else:
        for position, argument in enumerate(node.args):
            if argument is part:
                use.passed.append((function, position))
        for keyword in node.keywords:
            if keyword.value is part and keyword.arg:
                use.passed.append((function, keyword.arg))
            elif keyword.value is part:
                given = tuple(k.arg for k in node.keywords if k.arg)
                use.splats.append((function, len(node.args), given))


def _of_library(function: ast.AST) -> bool:
    """Whether it is ``F.dropout`` or the like, and says nothing of what else has that name."""
    if not isinstance(function, ast.Attribute):
        return False
    owner = ast.unparse(function.value)
    return owner in _LIBRARIES or owner.startswith(("torch.", "nn."))


def _note_comparison(use: Use, node: ast.Compare, part: ast.AST) -> None:
    others = [p for p in (node.left, *node.comparators) if p is not part]
    sought = isinstance(node.ops[0], (ast.In, ast.NotIn)) and part is not node.left
    for other in others:
        for leaf in ast.walk(other):
            if isinstance(leaf, ast.Constant):
                if isinstance(leaf.value, str) and leaf.value:
                    (use.sought if sought else use.words).append(leaf.value)
                elif type(leaf.value) is int:
                    if isinstance(node.ops[0], (ast.Eq, ast.In)):
                        use.numbers.append(leaf.value)
                    use.counted = True
                elif leaf.value is None:
                    use.compared_to_none = True
        name = name_of(other)
        if name and isinstance(node.ops[0], (ast.In, ast.NotIn)) and part is node.left:
            use.tables.append(name)


def _note_loop(use: Use, node: ast.For | ast.AsyncFor | ast.comprehension, part: ast.AST) -> None:
    function = ast.unparse(node.iter.func) if isinstance(node.iter, ast.Call) else ""
    if function and function not in ("enumerate", "zip", "reversed", "sorted"):
        return
    use.iterated = True
    target: ast.expr | None = node.target
    if function == "enumerate":
        target = target.elts[1] if isinstance(target, ast.Tuple) and len(target.elts) > 1 else None
    elif function == "zip" and isinstance(node.iter, ast.Call):
        place = node.iter.args.index(part) if part in node.iter.args else 0
        elements = target.elts if isinstance(target, ast.Tuple) else []
        target = elements[place] if place < len(elements) else None
    if isinstance(target, ast.Tuple):
        use.elements.append(tuple(name_of(e) or "_" for e in target.elts))
    elif target is not None and (name := name_of(target)):
        use.elements.append((name,))
