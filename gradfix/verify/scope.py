"""What an expression of a file needs to be evaluated on its own. Read with ``ast`` alone."""

from __future__ import annotations

import ast
import builtins
import contextlib
from collections.abc import Iterable

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAX_STATEMENTS = 40
_USUAL = {"torch", "nn", "F"}
#: Fixtures of tests that go by these names hold nothing else.
_FIXTURES = {"device": "torch.device('cpu')", "dtype": "torch.float32"}
_PREPARES = ("setUp", "setup", "setup_method", "setUpClass")


class Scope:
    """The names that one function of a file can see, or the file itself.

    ``given`` are names that whoever evaluates the expression binds.
    """

    def __init__(
        self,
        tree: ast.Module,
        function: ast.FunctionDef | ast.AsyncFunctionDef | None,
        owner: ast.ClassDef | None,
        body: list[ast.stmt],
        given: set[str],
    ) -> None:
        self.tree, self.function, self.owner = tree, function, owner
        self.body, self.given = body, given | _USUAL
        self.choices: dict[str, list[str]] = {}

    def has_choice(self, choice: int) -> bool:
        """Whether a parametrisation that was used has this many values."""
        return any(choice < len(values) for values in self.choices.values())

    def setup(
        self, expression: ast.expr, index: int, choice: int = 0, skip: ast.stmt | None = None
    ) -> tuple[str, ...] | None:
        """Statements that give the expression its names, in order; None where one is unknown.

        ``index`` is the statement of the body that holds it; ``choice`` selects among the values
        of a parametrised function.
        """
        found: list[tuple[tuple[int, int], str]] = []
        needed = names_in(expression)
        done = set(self.given)
        before = [s for s in self.body[:index] if s is not skip]
        if not self._inside(needed, done, before, found, choice):
            return None
        if len(found) > _MAX_STATEMENTS:
            return None
        return tuple(dict.fromkeys(text for _, text in sorted(found)))

    def _inside(
        self,
        needed: set[str],
        done: set[str],
        before: list[ast.stmt],
        found: list[tuple[tuple[int, int], str]],
        choice: int,
    ) -> bool:
        own = self.function is not None
        for row in range(len(before) - 1, -1, -1) if own else ():
            bound, text, uses = binding(before[row])
            if bound & needed - done:
                found.append(((2, row), text))
                needed |= uses
        locals_ = {name for s in before for name in binding(s)[0]} if own else set()
        needed -= locals_
        for name in sorted(needed - done) if own else ():
            value = self._parameter(name, choice)
            if value is not None:
                found.append(((1, 0), value))
                done.add(name)
                needed |= names_in(ast.parse(value))
        return self._outside(needed - done, done, found, before)

    def _outside(
        self,
        needed: set[str],
        done: set[str],
        found: list[tuple[tuple[int, int], str]],
        before: list[ast.stmt],
    ) -> bool:
        """Bindings at the level of the file, and what these need in turn."""
        level = before if self.function is None else self.tree.body
        rows = list(enumerate(_through(level)))
        while needed:
            name = needed.pop()
            if name in done or hasattr(builtins, name):
                continue
            done.add(name)
            at = [(row, binding(s)) for row, s in rows if name in binding(s)[0]]
            if not at:
                return False
            last = max((i for i, (_, b) in enumerate(at) if b[1].startswith(name)), default=-1)
            for row, (_, text, uses) in at[
                min(last, len(at) - 1) if ".append" in at[-1][1][1] else -1 :
            ]:
                found.append(((0, row), text))
                needed |= uses
            if len(found) > _MAX_STATEMENTS:
                return False
        return True

    def _parameter(self, name: str, choice: int) -> str | None:
        """An assignment for a parameter: a value it is tested with, a fixture, its default."""
        function = self.function
        if function is None:
            return None
        for target, values in parametrised(function):
            if name in names_bound(target) and values:
                self.choices[target] = values
                return f"{target} = {values[min(choice, len(values) - 1)]}"
        if name == "self" and self.owner is not None:
            return self._prepared()
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = [
            *zip(reversed(positional), reversed(arguments.defaults), strict=False),
            *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
        ]
        for argument, default in pairs:
            if argument.arg == name and default is not None:
                return f"{name} = {ast.unparse(default)}"
        if name in _FIXTURES and name in {a.arg for a in [*positional, *arguments.kwonlyargs]}:
            return f"{name} = {_FIXTURES[name]}"
        return None

    def _prepared(self) -> str | None:
        """What a test class keeps on itself before each test."""
        assert self.owner is not None
        lines = ["import types", "self = types.SimpleNamespace()"]
        for part in self.owner.body:
            if isinstance(part, _FUNCTIONS) and part.name in _PREPARES:
                lines += [ast.unparse(s) for s in part.body if "super()" not in ast.unparse(s)]
        return "\n".join(lines) if len(lines) > 2 else None


def names_in(node: ast.AST) -> set[str]:
    """Names that are read, without those that comprehensions and functions bind themselves."""
    read = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and _reads(n)}
    own = {
        n.id
        for part in ast.walk(node)
        if isinstance(part, ast.comprehension)
        for n in ast.walk(part.target)
        if isinstance(n, ast.Name)
    }
    own |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        own |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not _reads(n)}
        own.add(node.name)
    if isinstance(node, ast.Module):
        own |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not _reads(n)}
        own |= {
            a.asname or a.name
            for n in ast.walk(node)
            if isinstance(n, (ast.Import, ast.ImportFrom))
            for a in n.names
        }
    return read - own


def _reads(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Load)


def binding(statement: ast.stmt) -> tuple[set[str], str, set[str]]:
    """The names a statement binds, a text that binds them, and the names this text needs."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        bound = {a.asname or a.name.partition(".")[0] for a in statement.names}
        return bound, ast.unparse(statement), set()
    if isinstance(statement, (*_FUNCTIONS, ast.ClassDef)):
        return {statement.name}, ast.unparse(statement), names_in(statement)
    if isinstance(statement, (ast.For, ast.AsyncFor)):  # the first round stands for all of them
        names = {n.id for n in ast.walk(statement.target) if isinstance(n, ast.Name)}
        text = f"{ast.unparse(statement.target)} = next(iter({ast.unparse(statement.iter)}))"
        return names, text, names_in(statement.iter)
    if isinstance(statement, ast.Assign):
        names = {
            n.id
            for t in statement.targets
            for n in ast.walk(t)
            if isinstance(n, ast.Name) and not isinstance(t, (ast.Attribute, ast.Subscript))
        }
        roots = {_root(t) for t in statement.targets} - {None}
        uses = names_in(statement.value) | {r for r in roots if r and r not in names}
        return names | {r for r in roots if r}, ast.unparse(statement), uses
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        name = {statement.target.id} if isinstance(statement.target, ast.Name) else set()
        return name, ast.unparse(statement), names_in(statement.value)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        # ``cases.append(...)``: needed where the list is.
        func = statement.value.func
        if isinstance(func, ast.Attribute) and func.attr in ("append", "extend", "update"):
            root = _root(func)
            return ({root} if root else set()), ast.unparse(statement), names_in(statement)
    return set(), "", set()


def _root(node: ast.expr) -> str | None:
    """``self`` of ``self.x.y`` and ``d`` of ``d["k"]``; None for a plain name."""
    if isinstance(node, (ast.Attribute, ast.Subscript)):
        while isinstance(node, (ast.Attribute, ast.Subscript)):
            node = node.value
        return node.id if isinstance(node, ast.Name) else None
    return None


def _through(body: Iterable[ast.stmt]) -> list[ast.stmt]:
    found: list[ast.stmt] = []
    for node in body:
        found.append(node)
        for name in ("body", "orelse"):
            if isinstance(node, (ast.If, ast.Try, ast.With)):
                found += _through(getattr(node, name, []))
    return found


def parametrised(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[tuple[str, list[str]]]:
    """Targets and values to assign to them, of ``parametrize`` and ``parameterized.expand``."""
    found: list[tuple[str, list[str]]] = []
    for mark in function.decorator_list:
        if not isinstance(mark, ast.Call) or not mark.args:
            continue
        name = ast.unparse(mark.func)
        if name.endswith("parametrize") and len(mark.args) > 1:
            with contextlib.suppress(ValueError):
                names = ast.literal_eval(mark.args[0])
                target = names if isinstance(names, str) else ", ".join(names)
                found.append((target, _values(mark.args[1])))
        elif name.endswith("expand"):
            names = [a.arg for a in function.args.args if a.arg != "self"]
            found.append((", ".join(names) + "," * (len(names) == 1), _values(mark.args[0])))
    return found


def names_bound(target: str) -> set[str]:
    """The names in the target of an assignment."""
    return {part.strip() for part in target.strip("()").split(",")}


def _values(node: ast.expr) -> list[str]:
    if isinstance(node, (ast.List, ast.Tuple)):
        return [ast.unparse(_bare(e)) for e in node.elts[:3]]
    return [f"list({ast.unparse(node)})[{i}]" for i in range(2)]


def _bare(node: ast.expr) -> ast.expr:
    """The values of ``pytest.param(a, b, id="x")`` as a plain tuple."""
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("param"):
        return node.args[0] if len(node.args) == 1 else ast.Tuple(node.args, ast.Load())
    return node
