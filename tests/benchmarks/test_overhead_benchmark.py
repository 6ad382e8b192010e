"""The overhead benchmark: its studies are Regatta's, and its straight line is straight."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import overhead
from orchestrator.spec import load_study


@pytest.mark.parametrize("name", overhead.WORKLOADS)
def test_the_studies_have_as_many_runs_as_asked(name: str, tmp_path: Path) -> None:
    spec = tmp_path / "overhead.yaml"
    spec.write_text(overhead.WORKLOADS[name].study(230))
    assert len(load_study(spec).runs()) == 230


def test_a_cost_that_grows_in_a_straight_line_is_carried_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def measured(contender: str, workload: str, runs: int) -> overhead.Cost:
        return overhead.Cost(
            contender=contender,
            workload=workload,
            runs=runs,
            measured_runs=runs,
            seconds=7 + 2 * runs,
            overhead=(7 + 1.5 * runs) / runs,
            driver_mb=200 + 0.5 * runs,
            results_mb=0.1 * runs,
        )

    monkeypatch.setattr(overhead, "_measured", measured)
    cost = overhead._extrapolated("step", 10_000, 300)
    assert cost.measured_runs == 300
    assert cost.seconds == pytest.approx(20_007)
    assert cost.overhead == pytest.approx(15_007 / 10_000)
    assert cost.driver_mb == pytest.approx(5_200)
    assert cost.results_mb == pytest.approx(1_000)
