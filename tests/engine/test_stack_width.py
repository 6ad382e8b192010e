"""How wide stacks are chosen, on made-up times: nothing here is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import pytest
import torch

from trainables.stack_width import clock, narrowest, time_widths

FUSED_WINS = {1: 0.43, 4: 0.14, 16: 0.07, 32: 0.05, 64: 0.06, 97: 0.09}
SEQUENTIAL_WINS = {1: 12.0, 4: 19.0, 16: 57.0, 32: 60.0, 64: 60.0, 97: 60.0}


def _clock(
    times: Mapping[int, float], disturbed: Mapping[int, float]
) -> tuple[Callable[[int], float], list[int]]:
    """Looks up times; the n-th call (from 0) takes ``disturbed[n]`` times as long."""
    asked: list[int] = []

    def seconds(width: int) -> float:
        asked.append(width)
        return times[width] * disturbed.get(len(asked) - 1, 1.0)

    return seconds, asked


def _best(times: Mapping[int, float], disturbed: Mapping[int, float]) -> int:
    found, _ = time_widths(97, _clock(times, disturbed)[0], lane_steps=10**6)
    return narrowest(found)


@pytest.mark.parametrize("call", range(8))
def test_one_disturbed_look_changes_little(call: int) -> None:
    """Whichever look another program disturbed, the width chosen is as good to 20 %."""
    fused = FUSED_WINS[_best(FUSED_WINS, {call: 5.0})]
    assert fused <= 1.2 * min(FUSED_WINS.values())
    sequential = SEQUENTIAL_WINS[_best(SEQUENTIAL_WINS, {call: 1.4})]
    assert sequential == min(SEQUENTIAL_WINS.values())


def test_a_machine_that_slows_down_for_good_is_not_taken_for_a_slow_width() -> None:
    slow = dict.fromkeys(range(1, 50), 5.0)
    assert FUSED_WINS[_best(FUSED_WINS, slow)] <= 1.2 * min(FUSED_WINS.values())


def test_the_search_ends_where_wider_is_slower() -> None:
    seconds, asked = _clock(SEQUENTIAL_WINS, {})
    time_widths(97, seconds, lane_steps=10**6)
    assert asked == [1, 1, 4, 4, 1]


def test_a_wider_stack_must_be_clearly_faster() -> None:
    assert narrowest({1: 1.40, 4: 1.33, 16: 1.31}) == 1
    assert narrowest({1: 1.40, 4: 1.10, 16: 1.05}) == 4
    assert narrowest({1: 0.43, 4: 0.14, 16: 0.07, 64: 0.05}) == 64


def test_what_is_done_for_the_first_time_does_not_count() -> None:
    """A first look at one lane that takes three times as long must not make it look slow."""
    close = {1: 8.0, 4: 9.3, 16: 9.2, 32: 9.2, 64: 9.2, 97: 9.2}
    assert _best(close, {0: 3.0}) == 1


def test_short_trainings_are_not_timed_for_longer_than_they_are_worth() -> None:
    seconds, asked = _clock(FUSED_WINS, {})
    time_widths(97, seconds, lane_steps=5000)
    spent = sum(FUSED_WINS[width] * width * 10 for width in asked)
    assert spent < 0.05 * FUSED_WINS[1] * 5000


def test_a_width_that_does_not_fit_the_memory_ends_the_search() -> None:
    def seconds(width: int) -> float:
        if width > 16:
            raise torch.OutOfMemoryError
        return FUSED_WINS[width]

    assert time_widths(97, seconds, lane_steps=10**6) == (
        {width: FUSED_WINS[width] for width in (1, 4, 16)},
        32,
    )


def test_time_that_other_work_has_the_core_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread on a CPU is timed by its processor time; several, or a GPU, by the time of day."""
    now = clock(torch.device("cpu"))
    started = now()
    time.sleep(0.1)
    assert now() - started < 0.05
    for device, threads in (("cpu", 2), ("cuda", 1)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        now = clock(torch.device(device))
        started = now()
        time.sleep(0.1)
        assert now() - started > 0.09
