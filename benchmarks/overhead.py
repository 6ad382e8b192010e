"""What a run costs beside its training: 10,000 short runs by Regatta, fewer by Ray Tune.

Overhead of a run = (seconds from start to end − seconds of training / processes) / runs.
A contender is a fresh process; both train one process a core. Ray Tune's function API, a
trial a run and nearly all by default, does N and N/3 runs and is extrapolated in a straight line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

_STUDY = """
study: overhead
data: {{name: digits}}
model: {{name: mlp, hidden: {hidden}}}
optimizer: {{name: sgd, lr: 0.1}}
train: {{{length}}}
seeds: 10
sweep: {{optimizer.lr: {{log: [0.001, 1.0], points: {points}}}}}
tracking: {{wandb: "off"}}
"""
_SEEDS = 10
_LEAST_RUNS = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """Runs so short that what is around them is what takes time."""

    title: str
    hidden: list[int]
    length: str
    """Of training, as the study writes it."""

    def study(self, runs: int) -> str:
        points = runs // _SEEDS
        return _STUDY.format(hidden=self.hidden, length=self.length, points=points)


WORKLOADS = {
    "step": Workload(title="1 step each", hidden=[8], length="steps: 1"),
    "epoch": Workload(title="1 epoch of the digits MLP each", hidden=[64, 32], length="epochs: 1"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a contender took; ``overhead`` is in seconds a run."""

    contender: str
    workload: str
    runs: int
    measured_runs: int
    seconds: float
    overhead: float
    driver_mb: float
    results_mb: float


def main() -> None:
    given = _arguments()
    costs: list[Cost] = []
    for workload in given.only or WORKLOADS:
        if given.baseline_runs:
            costs.append(_extrapolated(workload, given.runs, given.baseline_runs))
        costs.append(_measured("regatta", workload, given.runs))
    Console().print(show(costs))
    if given.json:
        given.json.write_text(json.dumps([asdict(cost) for cost in costs]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--runs", type=_runs, default=10_000, help="default 10,000")
    parser.add_argument(
        "--baseline-runs", type=int, default=1000, metavar="N", help="default 1,000; 0: none"
    )
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="NAME")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args()


def _runs(text: str) -> int:
    runs = int(text)
    if runs < 2 * _SEEDS or runs % _SEEDS:
        raise argparse.ArgumentTypeError(f"must be a multiple of {_SEEDS} from {2 * _SEEDS}")
    return runs


def _measured(contender: str, workload: str, runs: int) -> Cost:
    """Does the runs in a fresh process.

    Raises:
        subprocess.CalledProcessError: the contender failed.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as root:
        folder = Path(root)
        spec = folder / "overhead.yaml"
        spec.write_text(WORKLOADS[workload].study(runs))
        command = [sys.executable, "-m", f"benchmarks.overhead_{contender}", str(spec)]
        started = time.perf_counter()
        with (folder / "log").open("w") as log:
            subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, cwd=".", check=True)
        seconds = time.perf_counter() - started
        said = json.loads((folder / "said.json").read_text())
    return Cost(
        contender=contender,
        workload=workload,
        runs=runs,
        measured_runs=runs,
        seconds=seconds,
        overhead=(seconds - said["training"] / said["processes"]) / runs,
        driver_mb=said["driver_mb"],
        results_mb=said["results_mb"],
    )


def _extrapolated(workload: str, runs: int, few: int) -> Cost:
    """Ray Tune on ``few`` and a third of as many runs; what grows is carried on to ``runs``."""
    few = max(_LEAST_RUNS, few - few % _SEEDS)
    third = few // 3 - few // 3 % _SEEDS
    short, long = _measured("tune", workload, third), _measured("tune", workload, few)

    def carried(a: float, b: float) -> float:
        return b + (b - a) / (few - third) * (runs - few)

    return Cost(
        contender="tune",
        workload=workload,
        runs=runs,
        measured_runs=few,
        seconds=carried(short.seconds, long.seconds),
        overhead=carried(short.overhead * third, long.overhead * few) / runs,
        driver_mb=carried(short.driver_mb, long.driver_mb),
        results_mb=carried(short.results_mb, long.results_mb),
    )


def show(costs: Sequence[Cost]) -> Table:
    """The table of all that was measured."""
    table = Table(title="what a run costs beside its training; MB of the driver and of its results")
    table.add_column("contender")
    table.add_column("runs")
    for column in ("seconds", "overhead, ms a run", "driver", "results", "× Regatta"):
        table.add_column(column, justify="right")
    own = {cost.workload: cost.overhead for cost in costs if cost.contender == "regatta"}
    for cost in costs:
        some = f", extrapolated from {cost.measured_runs:,}"
        table.add_row(
            {"regatta": "Regatta", "tune": "Ray Tune, function"}[cost.contender],
            f"{cost.runs:,} of {WORKLOADS[cost.workload].title}"
            + (some if cost.measured_runs < cost.runs else ""),
            f"{cost.seconds:,.1f}",
            f"{1e3 * cost.overhead:,.2f}",
            f"{cost.driver_mb:,.0f}",
            f"{cost.results_mb:,.1f}",
            f"{cost.overhead / own[cost.workload]:,.1f}",
        )
    return table


if __name__ == "__main__":
    main()
