"""Ranges: how their numbers are distributed, against closed forms."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.spec.ranges import Range, RangeKind

SHARES = [(i + 0.5) / 9973 for i in range(9973)]


@pytest.mark.parametrize("share", [0.0, 0.25, 0.7, 1.0])
def test_the_inverse_of_the_uniform_distributions(share: float) -> None:
    uniform = Range(kind="uniform", low=-3, high=7)
    assert uniform.at(share) == pytest.approx(-3 + 10 * share, abs=1e-5)
    log = Range(kind="log_uniform", low=1e-4, high=1.0)
    assert log.at(share) == pytest.approx(1e-4 * 1e4**share, rel=1e-5)


def test_whole_numbers_and_steps_are_equally_likely() -> None:
    integer = Range(kind="integer", low=3, high=9)
    counts = [sum(integer.at(s) == k for s in SHARES) for k in range(3, 10)]
    assert max(counts) - min(counts) <= 1
    assert all(type(integer.at(s)) is int for s in SHARES[:50])
    stepped = Range(kind="uniform", low=0.5, high=0.95, step=0.1)
    assert sorted({stepped.at(s) for s in SHARES}) == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert stepped.points() == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert Range(kind="uniform", low=0.0, high=0.3, step=0.1).points() == [0.0, 0.1, 0.2, 0.3]
    even = Range(kind="integer", low=2, high=11, step=3)
    assert even.points() == [2, 5, 8, 11]
    assert (even.count(), stepped.count(), integer.count()) == (4, 5, 7)


def test_log_integers_have_the_probability_of_their_surroundings() -> None:
    """P(k) = log((k + 1/2) / (k − 1/2)) / log((high + 1/2) / (low − 1/2))."""
    numbers = Range(kind="log_integer", low=2, high=31)
    drawn = [numbers.at(s) for s in SHARES]
    for k in (2, 3, 17, 31):
        share = math.log((k + 0.5) / (k - 0.5)) / math.log(31.5 / 1.5)
        assert drawn.count(k) / len(drawn) == pytest.approx(share, abs=2e-4)
    assert min(drawn) == 2
    assert max(drawn) == 31


def test_numbers_can_be_read() -> None:
    assert Range(kind="log_uniform", low=0.001, high=1.0).at(1 / 3) == 0.01
    assert Range(kind="uniform", low=0.0, high=1.0).at(1 / 3) == 0.333333
    narrow = Range(kind="log_uniform", low=1.0, high=1.0000001)
    assert len({narrow.at(i / 97) for i in range(97)}) == 97


ENDS = st.lists(
    st.floats(-1e300, 1e300, allow_subnormal=True), min_size=2, max_size=2, unique=True
).map(sorted)


@given(kind=st.sampled_from(["uniform", "log_uniform"]), ends=ENDS, share=st.floats(0, 1))
def test_numbers_never_leave_the_range(kind: RangeKind, ends: list[float], share: float) -> None:
    if kind == "log_uniform":
        ends = sorted(abs(end) or 1e-9 for end in ends)
        if ends[0] == ends[1]:
            return
    found = Range(kind=kind, low=ends[0], high=ends[1])
    assert ends[0] <= found.at(share) <= ends[1]
    assert found.holds(found.at(share))
