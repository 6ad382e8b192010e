"""Expressions: what Python makes of them, as far as they are allowed."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.expressions import ExpressionError, evaluate, parse_expression

VALUES: dict[str, Any] = {
    "lr": 0.1,
    "train.batch_size": 48,
    "optimizer.name": "sgd",
    "optimizer.nesterov": True,
    "train.ema": None,
}


def value(text: str) -> Any:
    return evaluate(parse_expression(text), VALUES.__getitem__)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1 * train.batch_size / 256", 0.01875),
        ("train.batch_size // 5 + train.batch_size % 5", 12),
        ("-2 ** 2 + +7", 3),
        ("2 ** -1", 0.5),
        ("3 * lr", 0.3),
        ("max(lr, 1) + min(2, 3, train.batch_size)", 3),
        ("round(lr * 7)", 1),
        ("round(lr / 3, 3)", 0.033),
        ("floor(2.5) + ceil(2.5) + abs(-1)", 6),
        ("sqrt(2) * exp(1)", float(f"{math.sqrt(2) * math.e:.12g}")),
        ("log(8) / log(2) + log2(8) + log10(1000)", 9.0),
        ("lr if optimizer.name == 'sgd' else 3", 0.1),
        ("'cosine' if lr > 0.5 else 'rex'", "rex"),
        ("0.05 < lr <= 0.1", True),
        ("0.05 < lr < 0.1", False),
        ("not lr > 0.05", False),
        ("optimizer.name in ('adam', 'sgd')", True),
        ("optimizer.name not in ['adam', 'sgd']", False),
        ("lr > 1 or optimizer.nesterov", True),
        ("lr > 1 and 1 / 0 > 3", False),
        ("optimizer.nesterov != True", False),
    ],
)
def test_values(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1 / 0", "divides by 0"),
        ("lr % 0", "divides by 0"),
        ("10.0 ** 400", "too large"),
        ("9 ** 40", "too large"),
        ("9 ** 9 ** 9 ** 9", "too large"),
        ("(-8) ** (1 / 3)", "no real value"),
        ("log(0)", "has no value"),
        ("lr + optimizer.name", "sgd, which is no number"),
        ("lr * optimizer.nesterov", "true, which is no number"),
        ("train.ema * 2", "null, which is no number"),
        ("(1, 2) + (3, 4)", r"\[1, 2\], which is no number"),
        ("lr and True", "asks whether 0.1 is true"),
        ("1 if lr else 2", "asks whether 0.1 is true"),
        ("lr < optimizer.name", "not supported"),
        ("round(1, -(10 ** 18))", "20 digits"),
        ("max(3)", "has no value"),
        ("(1, 2)", "must be a number, a text, or true or false"),
        ("train.ema", "must be a number, a text, or true or false"),
    ],
)
def test_what_has_no_value(text: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        value(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "lr lr",
        "lr = 3",
        "open('x')",
        "lr.real()",
        "(lr).__class__.__mro__()",
        "[x for x in lr]",
        "lambda: 3",
        "f'{lr}'",
        "lr[0]",
        "{1: 2}",
        "{1, 2}",
        "lr @ lr",
        "lr << 3",
        "~3",
        "3j",
        "b'a'",
        "...",
        "None",
        "lr is lr",
        "max(*lr)",
        "max(lr, key=abs)",
        "(lr := 3)",
        "await lr",
        "yield",
        "(" * 300 + ")" * 300,
        "~" * 400 + "1",
        "lr\x00",
    ],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_expression(text)


def test_names_are_dotted_and_occur_once() -> None:
    expression = parse_expression("lr * train.batch_size + lr ** max(a.b.c, 2)")
    assert expression.names == ("lr", "train.batch_size", "a.b.c")


@given(
    a=st.integers(-99, 99), b=st.integers(-99, 99), c=st.floats(-9, 9), op=st.sampled_from("+-*")
)
def test_arithmetic_is_pythons(a: int, b: int, c: float, op: str) -> None:
    text = f"({a} {op} {b}) {op} {c!r}"
    assert value(text) == pytest.approx(eval(text), rel=1e-11, abs=1e-300)
