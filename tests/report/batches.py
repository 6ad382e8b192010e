"""Synthetic large-batch studies with planted results, written through the store itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.report.results import Results, load_results
from orchestrator.store import Outcome, Store

BATCHES = (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
RATES = tuple(0.01 * 2**k for k in range(-3, 10))
SGD = {"name": "sgd", "momentum": 0.0}
ROWS = 7
CRITICAL, SLOWEST = 211.0, 101.0
"""Planted B_crit (examples) and S_min (steps)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """One run to be planted."""

    batch: int
    lr: float
    optimizer: Mapping[str, Any]
    warmup: float
    seed: int


Planted = Callable[[Trial], float | str]
"""→ the steps to the target (beyond the budget: unreached), or a status."""


def wobble(trial: Trial, size: float = 0.02) -> float:
    """A factor near 1 that differs from run to run."""
    turn = trial.seed + math.log2(trial.batch) + 3 * math.log2(trial.lr) + 5 * trial.warmup
    return 1 + size * math.sin(2.1 * turn + len(str(trial.optimizer)))


def scaling(
    *,
    critical: float = CRITICAL,
    slowest: float = SLOWEST,
    exponent: float = 1.0,
    base: float = 0.0016,
    sharpness: float = 1.5,
    noise: float = 0.02,
    limit: float = 4.0,
) -> Planted:
    """S = (S_min + E_min / B) · 10^(sharpness · log10²(lr / lr*)), lr* = base · B^exponent.

    Rates above ``limit`` · lr* diverge.
    """

    def planted(trial: Trial) -> float | str:
        off = math.log10(trial.lr / (base * trial.batch**exponent))
        if off > math.log10(limit):
            return "diverged"
        steps = slowest * (1 + critical / trial.batch) * 10 ** (sharpness * off**2)
        return steps * wobble(trial, noise)

    return planted


def plant_batches(
    folder: Path,
    planted: Planted,
    *,
    batches: Sequence[int] = BATCHES,
    rates: Sequence[float] = RATES,
    optimizers: Sequence[Mapping[str, Any]] = (SGD,),
    warmups: Sequence[float] = (0.0,),
    seeds: int = 3,
    budget: int = 3000,
    noise_scale: Callable[[Trial, float], float] | None = None,
    gap: Callable[[Trial], float] = lambda trial: 0.1,
    jitter: Callable[[Trial, int], float] = lambda trial, row: 0.0,
    target: bool = True,
    seconds: Callable[[Trial], float] = lambda trial: 0.001 + trial.batch / 50_000,
    **meta: Any,
) -> Results:
    """Writes a store with every run of a large-batch study; reads it.

    Args:
        noise_scale: (trial, share of training) → the noise scale in examples.
        gap: validation loss − training loss.
        jitter: (trial, evaluation) → noise of the training loss.
        seconds: wall-clock seconds of a step.
    """
    runs, rows, outcomes = [], [], []
    for batch, rate, optimizer, warmup, seed in itertools.product(
        batches, rates, optimizers, warmups, range(seeds)
    ):
        trial = Trial(batch=batch, lr=rate, optimizer=optimizer, warmup=warmup, seed=seed)
        run_id = f"run{len(runs):05d}"
        runs.append((run_id, seed, _config(trial, budget, target)))
        result = planted(trial)
        if result == "pending":
            continue
        steps = min(math.ceil(result), budget) if not isinstance(result, str) else 7
        points = (
            []
            if isinstance(result, str)
            else _history(trial, result, steps, noise_scale, gap, jitter)
        )
        rows += [{"run_id": run_id, **point} for point in points]
        outcomes.append(_outcome(trial, run_id, result, steps, points, seconds(trial), target))
    with Store.create(folder) as store:
        store.set_meta(
            study="batches",
            axes=_axes(batches, rates, optimizers, warmups),
            seeds=list(range(seeds)),
            objective={"metric": "valid/loss", "mode": "min"},
            **meta,
        )
        store.plan_runs(runs)
        store.start_pack("pack", [outcome.run_id for outcome in outcomes], {})
        store.record("pack", rows, outcomes)
    return load_results(folder)


def _axes(
    batches: Sequence[int],
    rates: Sequence[float],
    optimizers: Sequence[Mapping[str, Any]],
    warmups: Sequence[float],
) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {"train.batch_size": list(batches), "optimizer.lr": list(rates)}
    if len(optimizers) > 1:
        axes["optimizer"] = [dict(one) for one in optimizers]
    if len(warmups) > 1:
        axes["schedule.warmup"] = list(warmups)
    return axes


def _config(trial: Trial, budget: int, target: bool) -> dict[str, Any]:
    """A resolved configuration, as a launch stores it."""
    goal = {"metric": "valid/loss", "value": 0.3} if target else None
    train = {"epochs": None, "steps": budget, "batch_size": trial.batch, "accumulate": 1}
    return {
        "optimizer": dict(trial.optimizer) | {"lr": trial.lr},
        "schedule": {"name": "constant", "warmup": trial.warmup, "warmup_shape": "linear"},
        "train": train | {"target": goal},
        "seed": trial.seed,
    }


def _history(
    trial: Trial,
    result: float,
    steps: int,
    noise_scale: Callable[[Trial, float], float] | None,
    gap: Callable[[Trial], float],
    jitter: Callable[[Trial, int], float],
) -> list[dict[str, float]]:
    points: list[dict[str, float]] = []
    before = 0.0
    for row in range(1, ROWS + 1):
        step = max(1, round(steps * row / ROWS))
        # Validation loss falls to the target, 0.3, at the planted step; training loss is the mean
        # of the interval before.
        valid = 0.3 * (result / step) ** 0.5
        middle = (before + valid) / 2 if points else valid
        before = valid
        point = {
            "level": 0,
            "step": step,
            "epoch": step * trial.batch / 4096,
            "examples": step * trial.batch,
            "seconds": 0.1 * row,
            "train/loss": middle - gap(trial) + jitter(trial, row),
            "valid/loss": valid,
            "valid/accuracy": 0.9,
            "test/accuracy": 0.9,
            "lr": trial.lr,
        }
        if noise_scale is not None:
            point["probe/noise_scale"] = noise_scale(trial, row / ROWS)
        points.append(point)
    return points


def _outcome(
    trial: Trial,
    run_id: str,
    result: float | str,
    steps: int,
    points: list[dict[str, float]],
    seconds: float,
    target: bool,
) -> Outcome:
    final = {k: v for k, v in points[-1].items() if "/" in k} if points else {}
    status = result if isinstance(result, str) else "completed"
    reached = target and not isinstance(result, str) and result <= steps
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
        final=final,
        best=final,
    )
