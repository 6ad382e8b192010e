"""What measuring the noise scale costs stays within what the defaults promise."""

from __future__ import annotations

import pytest

from benchmarks.noise_scale import EVERY, measured_steps
from benchmarks.workloads import WORKLOADS


@pytest.mark.timed
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_measurement_takes_a_step_or_two(accumulate: int) -> None:
    """5 % of training at most; parts that training has anyway cost a fraction of a step."""
    steps = measured_steps(WORKLOADS["digits-mlp"], 16, accumulate=accumulate)
    assert steps / EVERY < (0.05 if accumulate == 1 else 0.02)
