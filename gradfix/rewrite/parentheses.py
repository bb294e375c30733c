"""When a new expression needs parentheses where an old one stood.

*Binding* is how tightly an expression holds together, from 0 (a bare tuple or yield) to 17 (a name,
a call). A place has a *room*: the loosest binding it accepts without parentheses. Where the grammar
would accept more than the table below says, the extra parentheses are harmless.
"""

from __future__ import annotations

from collections.abc import Sequence

import libcst as cst

_BARE, _WALRUS, _LAMBDA, _TERNARY, _OR, _AND, _NOT, _COMPARE = range(8)
_UNARY, _POWER, _AWAIT, _ATOM = 14, 15, 16, 17

_OPERATORS: dict[type[cst.CSTNode], int] = {
    cst.BitOr: 8,
    cst.BitXor: 9,
    cst.BitAnd: 10,
    cst.LeftShift: 11,
    cst.RightShift: 11,
    cst.Add: 12,
    cst.Subtract: 12,
    cst.Multiply: 13,
    cst.MatrixMultiply: 13,
    cst.Divide: 13,
    cst.FloorDivide: 13,
    cst.Modulo: 13,
    cst.Power: _POWER,
    cst.Or: _OR,
    cst.And: _AND,
    cst.Not: _NOT,
}

_BINDINGS: dict[type[cst.CSTNode], int] = {
    cst.Tuple: _BARE,
    cst.Yield: _BARE,
    cst.GeneratorExp: _BARE,
    cst.NamedExpr: _WALRUS,
    cst.Lambda: _LAMBDA,
    cst.IfExp: _TERNARY,
    cst.Comparison: _COMPARE,
    cst.Await: _AWAIT,
}

# Places that take ``a, b`` and a bare yield: a whole statement or one side of it.
_STATEMENT_PLACES = (cst.Expr, cst.Assign, cst.AugAssign, cst.AnnAssign)
# Places that take ``a, b`` but neither a bare yield nor a bare walrus.
_TUPLE_PLACES = (cst.Return, cst.AssignTarget, cst.For, cst.Yield, cst.Del)

_ROOMS: dict[type[cst.CSTNode], int] = {
    cst.Attribute: _ATOM,
    cst.Call: _ATOM,
    cst.Subscript: _ATOM,
    cst.Await: _ATOM,
    cst.Comparison: 8,
    cst.ComparisonTarget: 8,
    cst.StarredElement: 8,
    cst.StarredDictElement: 8,
    cst.Lambda: _LAMBDA,
    cst.NamedExpr: _LAMBDA,
    cst.DictElement: _LAMBDA,
    cst.DictComp: _LAMBDA,
    cst.ListComp: _WALRUS,
    cst.SetComp: _WALRUS,
    cst.GeneratorExp: _WALRUS,
    cst.CompFor: _OR,
    cst.CompIf: _OR,
    cst.Slice: _LAMBDA,
    cst.Index: _LAMBDA,
    cst.Annotation: _LAMBDA,
    cst.Param: _LAMBDA,
    cst.If: _WALRUS,
    cst.While: _WALRUS,
    cst.Decorator: _WALRUS,
    cst.Assert: _LAMBDA,
    cst.Raise: _LAMBDA,
    cst.WithItem: _LAMBDA,
    cst.ExceptHandler: _LAMBDA,
    cst.Match: _LAMBDA,
    cst.From: _LAMBDA,
    # A lambda's colon would start the format.
    cst.FormattedStringExpression: _TERNARY,
}


def binding(node: cst.BaseExpression) -> int:
    """How tightly an expression without outer parentheses holds together."""
    if isinstance(node, cst.UnaryOperation):
        return _OPERATORS.get(type(node.operator), _UNARY)
    if isinstance(node, (cst.BinaryOperation, cst.BooleanOperation)):
        return _OPERATORS.get(type(node.operator), _BARE)
    return _BINDINGS.get(type(node), _ATOM)


def needed(parents: Sequence[cst.CSTNode], old: cst.CSTNode, new: cst.BaseExpression) -> bool:
    """Whether ``new`` must be put in parentheses to stand where ``old`` stood.

    ``parents`` are the nodes around ``old``, the nearest last.
    """
    parent = parents[-1]
    loose = binding(new)
    if isinstance(new, (cst.Tuple, cst.Yield, cst.GeneratorExp)):
        return not _takes_bare(parents, old, new)
    if isinstance(new, cst.Integer) and isinstance(parent, cst.Attribute):
        return True  # ``1.real`` reads as a number
    return loose < _room(parents, old)


def _takes_bare(parents: Sequence[cst.CSTNode], old: cst.CSTNode, new: cst.BaseExpression) -> bool:
    parent = parents[-1]
    if isinstance(new, cst.GeneratorExp):
        return _is_only_argument(parents)
    if isinstance(parent, _STATEMENT_PLACES):
        return not (isinstance(parent, cst.AnnAssign) and parent.target is old)
    if isinstance(new, cst.Yield):
        return False
    if isinstance(parent, cst.CompFor):
        return parent.target is old
    if isinstance(parent, cst.Index):
        return _is_only_index(parents)
    return isinstance(parent, _TUPLE_PLACES)


def _room(parents: Sequence[cst.CSTNode], old: cst.CSTNode) -> int:
    parent = parents[-1]
    if isinstance(parent, cst.BinaryOperation):
        own = _OPERATORS.get(type(parent.operator), _ATOM)
        if isinstance(parent.operator, cst.Power):
            return _AWAIT if parent.left is old else _UNARY
        return own if parent.left is old else own + 1
    if isinstance(parent, cst.BooleanOperation):
        # Strictly tighter on both sides: ``a and (b and c)`` is not the tree of ``a and b and c``.
        return _OPERATORS.get(type(parent.operator), _ATOM) + 1
    if isinstance(parent, cst.UnaryOperation):
        return _OPERATORS.get(type(parent.operator), _UNARY)
    if isinstance(parent, cst.IfExp):
        return _LAMBDA if parent.orelse is old else _OR
    if isinstance(parent, cst.Arg):
        return _LAMBDA if parent.keyword is not None or parent.star else _WALRUS
    if isinstance(parent, cst.Element):
        bare = len(parents) > 1 and isinstance(parents[-2], cst.Tuple) and not parents[-2].lpar
        return _LAMBDA if bare else _WALRUS
    if isinstance(parent, (*_STATEMENT_PLACES, *_TUPLE_PLACES)):
        return _LAMBDA
    return _ROOMS.get(type(parent), _ATOM)


def _is_only_argument(parents: Sequence[cst.CSTNode]) -> bool:
    call = parents[-2] if len(parents) > 1 else None
    return (
        isinstance(parents[-1], cst.Arg)
        and not parents[-1].star
        and parents[-1].keyword is None
        and isinstance(call, cst.Call)
        and len(call.args) == 1
    )


def _is_only_index(parents: Sequence[cst.CSTNode]) -> bool:
    subscript = parents[-3] if len(parents) > 2 else None
    return (
        isinstance(subscript, cst.Subscript)
        and len(subscript.slice) == 1
        and not isinstance(subscript.slice[0].comma, cst.Comma)
    )


def in_brackets(parents: Sequence[cst.CSTNode]) -> bool:
    """Whether brackets around this place allow newlines in it."""
    for parent in reversed(parents):
        if isinstance(parent, (cst.BaseStatement, cst.BaseSmallStatement)):
            return False
        if isinstance(parent, _BRACKETS):
            return True
        if isinstance(parent, cst.BaseExpression) and parent.lpar:
            return True
    return False


_BRACKETS = (
    cst.Arg,
    cst.List,
    cst.Set,
    cst.Dict,
    cst.ListComp,
    cst.SetComp,
    cst.DictComp,
    cst.SubscriptElement,
)


def plain(pairs: Sequence[tuple[cst.LeftParen, cst.RightParen]]) -> bool:
    """Whether parentheses hold no newline and no comment, so that they may be dropped."""
    return all(
        isinstance(left.whitespace_after, cst.SimpleWhitespace)
        and isinstance(right.whitespace_before, cst.SimpleWhitespace)
        for left, right in pairs
    )


def pairs_of(node: cst.BaseExpression) -> list[tuple[cst.LeftParen, cst.RightParen]]:
    """The parentheses around an expression, the outermost first."""
    return list(zip(node.lpar, reversed(node.rpar), strict=True))


def with_pairs(
    node: cst.BaseExpression, pairs: Sequence[tuple[cst.LeftParen, cst.RightParen]]
) -> cst.BaseExpression:
    """The expression with exactly these parentheses, the outermost first."""
    left = [pair[0] for pair in pairs]
    right = [pair[1] for pair in reversed(pairs)]
    return node.with_changes(lpar=left, rpar=right)
