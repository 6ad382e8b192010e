"""Synthetic comparisons of optimizers with planted results, written through the store itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.report.results import Results, load_results
from orchestrator.store import Outcome, Store

RATES = (0.01, 0.03, 0.1, 0.3, 1.0)
DAMPINGS = (0.001, 0.01, 0.1)
TASKS = ("digits", "least_squares")
METHODS = ("sgd", "adam", "kfac")
SECONDS = {"sgd": "momentum", "adam": "eps", "kfac": "damping"}
"""What a method's second hyperparameter is called."""
BUDGET = 3000


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One run to be planted."""

    task: str
    batch: int
    method: str
    rate: float
    second: float
    seed: int


Planted = Callable[[Trial], float | str]
"""→ the steps to the target (beyond the budget: unreached), or a status."""


def wobble(trial: Trial, size: float = 0.02) -> float:
    """A factor near 1 that differs from seed to seed."""
    return 1 + size * math.sin(2.1 * trial.seed + len(trial.method) + math.log2(trial.batch))


def bowl(
    fewest: Mapping[str, float] | float = 100.0,
    *,
    width: float = 1.0,
    noise: float = 0.02,
) -> Planted:
    """The fewest steps at rate 0.1 and the middle second value, more away from there."""

    def planted(trial: Trial) -> float | str:
        least = fewest if isinstance(fewest, float) else fewest[trial.method]
        off = math.log10(trial.rate / 0.1) ** 2 + math.log10(trial.second / 0.01) ** 2
        return least * 10 ** (off / width) * wobble(trial, noise)

    return planted


def plant_optimizers(
    folder: Path,
    planted: Planted,
    *,
    tasks: Sequence[str] = TASKS,
    methods: Sequence[str] = METHODS,
    batches: Mapping[str, Sequence[int]] | Sequence[int] = (64,),
    rates: Sequence[float] = RATES,
    seconds: Sequence[float] = DAMPINGS,
    seeds: int = 3,
    budget: int = BUDGET,
    step_seconds: Callable[[Trial], float] = lambda trial: 0.001,
    measured: Callable[[str, str], float | None] = lambda task, method: None,
    target: bool = True,
    **meta: Any,
) -> Results:
    """Writes a store with every run of a comparison, a pack a task, batch size and method.

    Args:
        step_seconds: wall-clock seconds of a step.
        measured: (task, method) → what ``auto`` measured a step to take, or None.
    """
    runs, rows = [], []
    packs: dict[tuple[str, int, str], list[Outcome]] = {}
    for task, method in itertools.product(tasks, methods):
        sizes = batches[task] if isinstance(batches, Mapping) else batches
        for batch, rate, second, seed in itertools.product(sizes, rates, seconds, range(seeds)):
            trial = Trial(
                task=task, batch=batch, method=method, rate=rate, second=second, seed=seed
            )
            run_id = f"run{len(runs):05d}"
            runs.append((run_id, seed, _config(trial, budget, target)))
            result = planted(trial)
            if result == "pending":
                continue
            outcome = _outcome(trial, run_id, result, budget, step_seconds(trial), target)
            packs.setdefault((task, batch, method), []).append(outcome)
            rows += [{"run_id": run_id, **row} for row in _rows(trial, outcome, result)]
    with Store.create(folder) as store:
        store.set_meta(
            study="optimizers",
            axes={"optimizer.name": list(methods), "optimizer.lr": list(rates)},
            seeds=list(range(seeds)),
            objective={"metric": "valid/loss", "mode": "min"},
            **meta,
        )
        store.plan_runs(runs)
        for (task, batch, method), outcomes in packs.items():
            pack, ids = f"{task}-{batch}-{method}", [outcome.run_id for outcome in outcomes]
            choice = {"seconds_per_step": measured(task, method), "width": len(ids)}
            store.start_pack(pack, ids, {"choices": [choice]})
            own = [row for row in rows if row["run_id"] in set(ids)]
            store.record(pack, own, outcomes)
    return load_results(folder)


def _config(trial: Trial, budget: int, target: bool) -> dict[str, Any]:
    """A resolved configuration, as a launch stores it."""
    optimizer = {"name": trial.method, "lr": trial.rate, SECONDS[trial.method]: trial.second}
    return {
        "data": {"name": trial.task},
        "model": {"name": "mlp" if trial.task == "digits" else "linear"},
        "optimizer": optimizer,
        "schedule": {"name": "constant"},
        "train": {
            "steps": budget,
            "batch_size": trial.batch,
            "loss": "cross_entropy" if trial.task == "digits" else "quadratic",
            "target": {"metric": "valid/loss", "value": 0.3} if target else None,
        },
        "seed": trial.seed,
    }


def _rows(trial: Trial, outcome: Outcome, result: float | str) -> list[dict[str, float]]:
    """Halfway and at the end; the loss is 0.3 at the planted step, and falls as 1 / √step."""
    if isinstance(result, str):
        return []
    steps = sorted({max(1, outcome.steps // 2), outcome.steps})
    return [
        {
            "level": 0,
            "step": step,
            "epoch": step * trial.batch / 4096,
            "examples": step * trial.batch,
            "seconds": outcome.wall_seconds * step / outcome.steps,
            "valid/loss": 0.3 * (result / step) ** 0.5,
            "train/loss": 0.2,
            "lr": trial.rate,
        }
        for step in steps
    ]


def _outcome(
    trial: Trial, run_id: str, result: float | str, budget: int, seconds: float, target: bool
) -> Outcome:
    steps = 7 if isinstance(result, str) else min(math.ceil(result), budget)
    reached = target and not isinstance(result, str) and result <= budget
    status = result if isinstance(result, str) else "completed"
    reasons = {"diverged": "loss above 1e6", "completed": "trained to the end"}
    return Outcome(
        run_id=run_id,
        lane=0,
        status=status,
        reason="target reached" if reached else reasons.get(status, ""),
        steps=steps,
        epochs=steps * trial.batch / 4096,
        examples=steps * trial.batch,
        wall_seconds=steps * seconds,
        final={} if isinstance(result, str) else {"valid/loss": 0.3 * (result / steps) ** 0.5},
        best={},
    )
