"""How many threads a pack trains in, on made-up times, and that it is left so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from trainables.arrays import Arrays
from trainables.configs import RunConfig
from trainables.data import DataSet
from trainables.threads import choose_threads, fastest


@pytest.mark.parametrize(
    ("times", "most", "chosen"),
    [
        ({1: 1.0, 2: 0.6}, 2, 2),
        ({1: 1.0, 2: 0.95}, 2, 1),
        ({1: 1.0, 2: 3.0}, 2, 1),
        ({1: 1.0, 2: 0.6, 4: 0.4, 7: 0.3}, 7, 7),
        ({1: 1.0, 2: 0.6, 4: 0.4, 7: 0.39}, 7, 4),
        ({1: 1.0, 2: 0.6, 4: 0.7, 8: 0.1}, 8, 2),
    ],
)
def test_threads_are_added_while_they_pay(times: dict[int, float], most: int, chosen: int) -> None:
    assert fastest(times.__getitem__, most) == chosen


def test_the_first_look_does_not_count() -> None:
    asked: list[int] = []

    def seconds(threads: int) -> float:
        asked.append(threads)
        return 50.0 if len(asked) == 1 else 1.0

    assert fastest(seconds, 2) == 1
    assert asked == [1, 1, 2, 1, 2]


@pytest.mark.parametrize("steps", [99, 400])
def test_torch_is_left_with_the_choice(
    make_run: Callable[..., RunConfig], small_data: DataSet, steps: int
) -> None:
    arrays = Arrays.of(small_data, torch.device("cpu"), torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        chosen = choose_threads(make_run(train={"steps": steps}), arrays, 2)
        assert torch.get_num_threads() == chosen
        assert chosen in ((1,) if steps == 99 else (1, 2))
    finally:
        torch.set_num_threads(before)
