"""Synthetic studies with planted results, written through the store itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.report.results import Results, load_results
from orchestrator.report.sections.model import Section
from orchestrator.store import Outcome, Store

RATES = [0.01, 0.03, 0.1, 0.3, 1.0]
SCHEDULES = [{"name": "constant"}, {"name": "cosine", "warmup": 0.05}]
Planted = Callable[[dict[str, Any], int], float | str]
"""(axis values, seed) → the final objective, or the status of a run that has none."""


def plant(
    folder: Path,
    planted: Planted,
    axes: Mapping[str, Sequence[Any]] | None = None,
    *,
    seeds: int = 3,
    metric: str = "valid/loss",
    rows: int = 4,
    error: str = "",
    curve: Callable[[dict[str, Any], int, float], list[dict[str, float]]] | None = None,
    **meta: Any,
) -> Results:
    """Writes a store with one run for each combination of axis values and seed; reads it.

    Args:
        curve: (axis values, seed, final) → what it changes in each row of the history, from the
            first; NaN for the final of a run that has none. The default curve has ``rows`` rows.
    """
    axes = {"optimizer.lr": RATES, "schedule": SCHEDULES} if axes is None else axes
    mode = "max" if metric.endswith("accuracy") else "min"
    with Store.create(folder) as store:
        store.set_meta(
            study="planted",
            axes={path: list(values) for path, values in axes.items()},
            seeds=list(range(seeds)),
            objective={"metric": metric, "mode": mode},
            **meta,
        )
        runs, history, outcomes = [], [], []
        for values in itertools.product(*axes.values()):
            chosen = dict(zip(axes, values, strict=True))
            for seed in range(seeds):
                run_id = f"run{len(runs):05d}"
                runs.append((run_id, seed, _config(chosen, seed)))
                result = planted(chosen, seed)
                if result == "pending":
                    continue
                points = [] if isinstance(result, str) else _history(result, metric, rows)
                if curve is not None:
                    final = math.nan if isinstance(result, str) else result
                    changed = curve(chosen, seed, final)
                    whole = _history(final, metric, len(changed))
                    points = [a | b for a, b in zip(whole, changed, strict=True)]
                history += [{"run_id": run_id, **point} for point in points]
                outcomes.append(_outcome(run_id, result, points, error))
        store.plan_runs(runs)
        store.start_pack("pack", [outcome.run_id for outcome in outcomes], {})
        store.record("pack", history, outcomes)
    return load_results(folder)


def _config(chosen: Mapping[str, Any], seed: int) -> dict[str, Any]:
    config: dict[str, Any] = {"optimizer": {"name": "sgd", "lr": 0.1}, "seed": seed}
    for path, value in chosen.items():
        *parents, last = path.split(".")
        section = config
        for parent in parents:
            section = section.setdefault(parent, {})
        # The store holds resolved configurations: fields at their default are there, too.
        value = dict(value) if isinstance(value, Mapping) else value  # others add to it
        section[last] = {"warmup": 0.0} | value if path == "schedule" else value
    return config


def _history(final: float, metric: str, rows: int) -> list[dict[str, float]]:
    split, _, what = metric.partition("/")
    other = f"{split}/{'accuracy' if what == 'loss' else 'loss'}"
    return [
        {
            "level": 0,
            "step": 7 * row,
            "epoch": float(row),
            "examples": 77 * row,
            "seconds": 0.1 * row,
            metric: final * (1 + 0.1 * (rows - row)),
            other: 0.5,
            "test/accuracy": 0.25,
            "test/loss": 2 * final,
            "lr": 0.05 / row,
        }
        for row in range(1, rows + 1)
    ]


def _outcome(run_id: str, result: float | str, points: list[Any], error: str) -> Outcome:
    status = result if isinstance(result, str) else "completed"
    final = {k: v for k, v in points[-1].items() if "/" in k} if points else {}
    return Outcome(
        run_id=run_id,
        lane=0,
        status=status,
        reason="loss above 1e6" if status == "diverged" else "",
        steps=28,
        epochs=4.0,
        examples=308,
        wall_seconds=1.5,
        error=error if status == "failed" else "",
        final=final,
        best=final,
    )


def made(section: Section | None) -> Section:
    """A section that is there: its figures can be drawn, and its finding has no NaN."""
    assert section is not None
    for figure in section.figures:
        assert len(figure.data)
        figure.spec({})
    assert "nan" not in section.finding
    return section
