"""Names in a scope: where they stand, who shares them, how the file spells what it imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from gradfix.flow.module import ModuleFlow
from gradfix.flow.nodes import FUNCTIONS, children, walk
from gradfix.flow.state import Scope
from gradfix.flow.values import Kind
from gradfix.flow.versions import Definition

_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


def occurrences(scope: Scope, name: str) -> list[ast.Name]:
    """Every ``Name`` node spelled ``name`` in the scope, nested functions not included."""
    return [node for node in own_nodes(scope) if isinstance(node, ast.Name) and node.id == name]


def own_nodes(scope: Scope) -> tuple[ast.AST, ...]:
    """The nodes of a scope without the bodies of nested functions, lambdas and classes."""
    if scope.nodes is None:
        scope.nodes = tuple(_own_nodes(scope))
    return scope.nodes


def own_text(flow: ModuleFlow, scope: Scope) -> str:
    """The source lines of a scope; of a module without its functions and classes."""
    if not isinstance(scope.node, ast.Module):
        return flow.text_of(scope.node)

    def text() -> str:
        own = (at for at in flow.tree.body if not isinstance(at, (*FUNCTIONS, ast.ClassDef)))
        return "\n".join(map(flow.text_of, own))

    return flow.worked_out("_own_text", 0, text)


def is_returned(flow: ModuleFlow, node: ast.AST) -> bool:
    """Whether a function returns a value, at once or by a name that has no other use."""
    parent, function = flow.parents.get(node), flow.enclosing(node, FUNCTIONS)
    if isinstance(parent, ast.Return):
        return True
    targets = parent.targets if isinstance(parent, ast.Assign) else []
    target = targets[0] if len(targets) == 1 else None
    if function is None or not isinstance(target, ast.Name):
        return False
    named = [n for n in walk(function) if isinstance(n, ast.Name) and n.id == target.id]
    return len(named) == 2 and any(isinstance(flow.parents.get(n), ast.Return) for n in named)


def is_in(scope: Scope, node: ast.AST) -> bool:
    """Whether a node is one of the scope's own."""
    if scope.all_nodes is None:
        scope.all_nodes = frozenset(own_nodes(scope))
    return node in scope.all_nodes


def _own_nodes(scope: Scope) -> Iterator[ast.AST]:
    body = (
        scope.node.body
        if isinstance(scope.node, (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))
        else []
    )
    stack: list[ast.AST] = list(reversed(body))
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _NESTED):
            below = children(node)
            below.reverse()
            stack += below
        elif isinstance(node, ast.ClassDef):
            stack += [*node.decorator_list, *node.bases]
        else:
            # Decorators and defaults are evaluated outside of the function.
            stack += [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
            stack += getattr(node, "decorator_list", [])


def captured(flow: ModuleFlow, scope: Scope, name: str) -> ast.AST | None:
    """A nested function, lambda or class that uses the scope's variable ``name``, or None."""
    if scope.captured is None:
        scope.captured = {}
        for node in own_nodes(scope):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
                for used in _used_from_outside(node):
                    scope.captured.setdefault(used, node)
    return scope.captured.get(name)


def _used_from_outside(nested: ast.AST) -> set[str]:
    """The names that a nested function, lambda or class shares with the code around it."""
    mentioned: set[str] = set()
    bound: set[str] = set()
    shared: set[str] = set()
    for node in walk(nested):
        if isinstance(node, ast.Name):
            mentioned.add(node.id)
            if isinstance(node.ctx, ast.Store):
                bound.add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            shared.update(node.names)
    return shared | (mentioned - bound)


def fresh_name(flow: ModuleFlow, wanted: str) -> str:
    """``wanted``, or the first of ``wanted2``, ``wanted3``, ... that the file does not use."""
    name, at = wanted, 2
    while name in flow.names:
        name, at = f"{wanted}{at}", at + 1
    return name


def reaching(scope: Scope, node: ast.AST) -> frozenset[Definition]:
    """The definitions that can reach a use of a name."""
    return scope.uses.get(node, frozenset())


def bound_to(definition: Definition) -> ast.expr | None:
    """The expression an assignment binds a name to, also as one of several; None where unclear."""
    statement = definition.statement
    if definition.how != "assign" or not isinstance(statement, ast.Assign):
        return None
    for target in statement.targets:
        if target is definition.node:
            return statement.value
        several = (target, statement.value)
        if all(isinstance(one, (ast.Tuple, ast.List)) for one in several):
            names, values = (one.elts for one in several)  # type: ignore[attr-defined]
            plain = not any(isinstance(part, ast.Starred) for part in (*names, *values))
            if plain and len(names) == len(values) and definition.node in names:
                found: ast.expr = values[names.index(definition.node)]
                return found
    return None


def shown_with_its_value(flow: ModuleFlow, name: ast.Name) -> bool:
    """Whether an f-string shows an expression and its value, as ``f"{w=}"``: a name is output."""
    string = flow.enclosing(name, ast.JoinedStr)
    while string is not None and (outer := flow.enclosing(string, ast.JoinedStr)) is not None:
        string = outer
    shown = rf"\{{[^{{}}]*\b{name.id}\b[^{{}}]*=\s*(?:[!:][^{{}}]*)?\}}"
    return string is not None and re.search(shown, flow.source_of(string)) is not None


def is_made_for(flow: ModuleFlow, use: ast.expr) -> bool:
    """Whether a name is bound in the function to what a call makes, and used in one place alone."""
    scope = next((scope for scope in flow.scopes if is_in(scope, use)), None)
    definitions = reaching(scope, use) if scope is not None else frozenset()
    if scope is None or not scope.is_function or len(definitions) != 1:
        return False
    (definition,) = definitions
    return uses_of(scope, definition) == [use] and isinstance(bound_to(definition), ast.Call)


def written_out(scope: Scope, node: ast.expr) -> ast.expr:
    """What a name stands for that one assignment binds and that is used here alone; else itself."""
    if not isinstance(node, ast.Name):
        return node
    found = reaching(scope, node)
    definition = next(iter(found)) if len(found) == 1 else None
    if definition is None or uses_of(scope, definition) != [node]:
        return node
    value = bound_to(definition)
    return node if value is None else value


#: By how many names a value is followed that each only hand it on.
_HOPS = 3


def reads_behind(scope: Scope, node: ast.expr, name: str) -> list[ast.Name]:
    """The reads of a name in an expression, and in what its other names are there to hold."""
    found: list[ast.Name] = []
    queue: list[tuple[ast.expr, int]] = [(node, 0)]
    while queue:
        at, hops = queue.pop()
        for part in walk(at):
            if isinstance(part, ast.Name) and part in scope.uses:
                if part.id == name:
                    found.append(part)
                elif hops < _HOPS and (meant := written_out(scope, part)) is not part:
                    queue.append((meant, hops + 1))
    return found


def uses_of(scope: Scope, definition: Definition) -> list[ast.AST]:
    """Every use that a definition can reach."""
    if scope.used is None or scope.used[0] != len(scope.uses):
        found: dict[Definition, list[ast.AST]] = {}
        for node, definitions in scope.uses.items():
            for one in definitions:
                found.setdefault(one, []).append(node)
        scope.used = len(scope.uses), found
    return scope.used[1].get(definition, [])


#: A use of a name, and the definitions that can reach it.
_Use = tuple[ast.AST, frozenset[Definition]]


def uses_of_name(flow: ModuleFlow, scope: Scope, name: str) -> list[_Use]:
    """Every use of a name in a scope, and the definitions that can reach it."""

    def find() -> dict[tuple[Scope, str], list[_Use]]:
        found: dict[tuple[Scope, str], list[_Use]] = {}
        for one in flow.scopes:
            for node, definitions in one.uses.items():
                for used in {definition.name for definition in definitions}:
                    found.setdefault((one, used), []).append((node, definitions))
        return found

    return flow.worked_out("_uses_by_name", len(flow.scopes), find).get((scope, name), [])


def spelling(flow: ModuleFlow, scope: Scope, qualified: str) -> str | None:
    """How the file itself spells ``torch.stack`` (``t.stack``, ``stack``, ...); None if it cannot.

    Only names bound by imports at module level that nothing else in the file rebinds count.
    """
    module, _, last = qualified.rpartition(".")
    imports = _imported_once(flow)
    for name, target in imports.items():
        if target == qualified:
            return name
    for name, target in imports.items():
        if target == module:
            return f"{name}.{last}"
    outer, _, inner = module.rpartition(".")
    for name, target in imports.items():
        if outer and target == outer:
            return f"{name}.{inner}.{last}"
    return None


def _imported_once(flow: ModuleFlow) -> dict[str, str]:
    """What names stand for that the top of the file imports and nothing in it rebinds."""

    def find() -> dict[str, str]:
        imports: dict[str, str] = {}
        for definition in flow.scopes[0].definitions:
            if definition.how == "import" and definition.value.kind is Kind.REFERENCE:
                imports[definition.name] = definition.value.name
        for scope in flow.scopes:
            for definition in scope.definitions:
                if definition.how != "import" or scope is not flow.scopes[0]:
                    imports.pop(definition.name, None)
        return imports

    return flow.worked_out("_imported_once", len(flow.scopes), find)


def places_of(flow: ModuleFlow, scope: Scope, node: ast.expr) -> list[ast.AST] | None:
    """The expressions that stand for the value of ``node``: itself, or the uses of its one name.

    None where it is bound to anything but one plain local name that nothing else shares.
    """
    parent = flow.parents.get(node)
    if isinstance(parent, ast.AnnAssign) and parent.value is node:
        targets: list[ast.expr] = [parent.target]
    elif isinstance(parent, ast.Assign) and parent.value is node:
        targets = parent.targets
    else:
        return [node]
    if len(targets) != 1 or not isinstance(targets[0], ast.Name):
        return None
    name = targets[0].id
    if name in flow.shared_names or captured(flow, scope, name) is not None:
        return None
    return [
        use
        for use, definitions in scope.uses.items()
        if any(d.node is targets[0] for d in definitions)
    ]


def read_alone(scope: Scope, expression: ast.expr) -> dict[Definition, ast.Name]:
    """The definitions that alone reach a name in an expression, with the first such name."""
    found: dict[Definition, ast.Name] = {}
    for node in walk(expression):
        if isinstance(node, ast.Name) and len(definitions := reaching(scope, node)) == 1:
            found.setdefault(next(iter(definitions)), node)
    return found
