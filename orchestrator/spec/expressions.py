"""Arithmetic over a study's paths, as ties and constraints have it. Nothing else can be written.

An expression is parsed with ``ast`` and refused unless it is made of numbers, texts, dotted names,
``+ - * / // % **``, comparisons, ``and``, ``or``, ``not``, ``a if c else b``, ``in`` and a few
functions. It is then walked; no code is compiled from it.
"""

from __future__ import annotations

import ast
import math
import operator
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from orchestrator.spec.errors import listed, shortened, shown

MAX_LENGTH = 500
MAX_DEPTH = 40
_BIG = 2**63
_MOST_POWER = 64
"""Whole numbers to a higher power are computed as floats, so that none takes seconds."""

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: lambda a, b: _power(a, b),
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "ceil": math.ceil,
    "exp": math.exp,
    "floor": math.floor,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "round": lambda value, digits=0: _rounded(value, digits),
    "sqrt": math.sqrt,
}
ALLOWED = (
    "numbers, texts, dotted paths, + - * / // % **, comparisons, and, or, not, in, a if c else b, "
    f"and {listed(FUNCTIONS, last='and')}"
)
Lookup = Callable[[str], Any]


class ExpressionError(Exception):
    """Why a text is no expression, or has no value here."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A text that has been parsed, and the dotted names in it."""

    text: str
    tree: ast.expr = field(compare=False, repr=False)
    names: tuple[str, ...]


def parse_expression(text: str) -> Expression:
    """
    Raises:
        ExpressionError: it is none, or holds what is not allowed.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"must have at most {MAX_LENGTH} characters, got {len(text)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ExpressionError(f"must be arithmetic over paths, got {shown(text)}") from None
    names = tuple(dict.fromkeys(_names(tree, 0)))
    return Expression(text, tree, names)


def _names(node: ast.AST, depth: int) -> Iterator[str]:
    """The dotted names below an allowed node."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"is nested more than {MAX_DEPTH} levels deep")
    if (name := _dotted(node)) is not None:
        yield name
        return
    for child in _operands(node):
        yield from _names(child, depth + 1)


def _operands(node: ast.AST) -> list[ast.expr]:
    """What an allowed node is made of."""
    match node:
        case ast.Constant(value=str() | int() | float()):
            return []
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return [left, right]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in (*_UNARY, ast.Not):
            return [operand]
        case ast.Compare(left=left, ops=ops, comparators=right) if {*map(type, ops)} <= {
            *_COMPARISONS
        }:
            return [left, *right]
        case ast.BoolOp(values=items) | ast.Tuple(elts=items) | ast.List(elts=items):
            return items
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return [test, body, otherwise]
        case ast.Call(func=ast.Name(id=name), args=items, keywords=[]) if name in FUNCTIONS:
            return items
    raise ExpressionError(f"{_source(node)} is not allowed; write {ALLOWED}")


def _source(node: ast.AST) -> str:
    try:
        return shortened(ast.unparse(node), 30)
    except RecursionError:
        return "what is nested so deep"


def _dotted(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (above := _dotted(node.value)) is not None:
        return f"{above}.{node.attr}"
    return None


def evaluate(expression: Expression, lookup: Lookup) -> Any:
    """The value, names being looked up: a number, a text, or true or false.

    Raises:
        ExpressionError: it has none.
    """
    try:
        value = _value(expression.tree, lookup)
    except ZeroDivisionError:
        raise ExpressionError("divides by 0") from None
    except OverflowError:
        raise ExpressionError("has a value that is too large") from None
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ExpressionError(f"has no value: {error}") from None
    if isinstance(value, float):
        return float(f"{value:.12g}")
    if isinstance(value, str | int):
        return value
    raise ExpressionError(f"must be a number, a text, or true or false, got {value!r}")


def _value(node: ast.AST, lookup: Lookup) -> Any:
    if (name := _dotted(node)) is not None:
        return lookup(name)
    match node:
        case ast.Constant(value=value):
            return value
        case ast.BoolOp(op=op, values=items):
            values = (_truth(_value(item, lookup)) for item in items)
            return all(values) if isinstance(op, ast.And) else any(values)
        case ast.IfExp(test=test, body=body, orelse=otherwise):
            return _value(body if _truth(_value(test, lookup)) else otherwise, lookup)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return not _truth(_value(operand, lookup))
        case ast.Compare(left=left, ops=ops, comparators=right):
            return _compared(ops, [_value(item, lookup) for item in (left, *right)])
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return tuple(_value(item, lookup) for item in items)
    return _computed(node, lookup)


def _computed(node: ast.AST, lookup: Lookup) -> int | float:
    """Arithmetic: of numbers, and bounded."""
    operands = [_number(_value(item, lookup)) for item in _operands(node)]
    if isinstance(node, ast.BinOp):
        value = _BINARY[type(node.op)](*operands)
    elif isinstance(node, ast.UnaryOp):
        value = _UNARY[type(node.op)](*operands)
    else:
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        value = FUNCTIONS[node.func.id](*operands)
    if isinstance(value, complex):
        raise ExpressionError("has no real value")
    if not abs(value) < (_BIG if isinstance(value, int) else math.inf):
        raise ExpressionError("has a value that is too large")
    return value  # type: ignore[no-any-return]


def _compared(ops: list[ast.cmpop], values: list[Any]) -> bool:
    pairs = zip(ops, values, values[1:], strict=False)
    return all(bool(_COMPARISONS[type(op)](left, right)) for op, left, right in pairs)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        shape = shown(list(value)) if isinstance(value, tuple) else shown(value)
        raise ExpressionError(f"computes with {shape}, which is no number")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ExpressionError(f"asks whether {shown(value)} is true; write a comparison")
    return value


def _power(base: int | float, exponent: int | float) -> Any:
    if isinstance(exponent, int) and 0 <= exponent <= _MOST_POWER:
        return base**exponent
    return float(base) ** float(exponent)


def _rounded(value: int | float, digits: int | float) -> int | float:
    if not -20 <= digits <= 20:
        raise ValueError("round takes at most 20 digits")
    return round(value, int(digits)) if digits else round(value)
