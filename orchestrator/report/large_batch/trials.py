"""From the runs of a study to trials, in the protocol of Shallue et al.

Shallue et al. (2019), "Measuring the Effects of Data Parallelism on Neural Network Training", JMLR
20(112). A *trial* is one training run of one batch size. It has reached the target, or not within
its budget, or is *infeasible*: it diverged at any point. Of a batch size, the best trial is the one
that reached the target in the fewest steps; of equals, the first (they order by trial id, we by
the order of the study). What never reached it has no number of steps, only a bound.

We deviate in one thing. Their trial has one seed; here a *point* of hyperparameters has several. A
point has reached the target only if all of its seeds have, for a median over survivors would
flatter what reaches it by luck; its steps are the median over them. It is infeasible if any seed
diverged, and incomplete if any is still to be trained.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.report.labels import Axis, configuration_labels, find_axes

BATCH_SIZE = "train.batch_size"
RATE = "optimizer.lr"
TUNED = ("optimizer",)
STATUSES = ("reached", "unreached", "infeasible", "incomplete")
_WORST_FIRST = ("infeasible", "incomplete", "unreached", "reached")
NOT_APART = (BATCH_SIZE, "train.accumulate", "train.steps", "train.epochs", "train.evaluate_every")
"""What may follow the batch size, and makes no group of its own."""


def trials(
    runs: pd.DataFrame,
    axes: Mapping[str, Any] | None = None,
    *,
    conditional: Collection[str] = (),
    tuned: Sequence[str] = TUNED,
) -> pd.DataFrame:
    """The trials of a study.

    Args:
        runs: in the export schema, in the order of the study.
        axes: the study's axes, path → values as written; where not known, what varies.
        conditional: axes that are there in some configurations only.
        tuned: numbers below these paths are hyperparameters, tuned anew for every batch size. All
            else that varies tells groups apart: optimizers, schedules, rules.

    Returns:
        One row a run: ``run_id``, ``group`` (label), ``batch_size``, ``point`` (label of the
        hyperparameters), ``rate`` (peak learning rate, NaN without one), ``seed``, ``status`` (one
        of STATUSES), ``steps``, ``examples``, ``seconds``, and ``resolution``: steps between two
        evaluations, so that the target was passed in the last ``resolution`` steps.
    """
    keys = {
        str(c): str(c).removeprefix("config.")
        for c in runs
        if str(c).startswith("config.") and str(c) != "config.seed"
    }
    if f"config.{BATCH_SIZE}" not in keys:
        return _empty()
    configs = runs[list(keys)].rename(columns=keys)
    found, values = find_axes(configs, axes or {}, conditional)
    varied = [axis for axis in found if axis.path not in NOT_APART]
    hyper = [axis for axis in varied if _is_tuned(axis, tuned)]
    apart = [axis for axis in varied if axis not in hyper]
    rate = configs.get(RATE, pd.Series(np.nan, index=runs.index))
    return pd.DataFrame(
        {
            "run_id": runs["run_id"],
            "group": configuration_labels(apart, values) if apart else "",
            "batch_size": configs[BATCH_SIZE].astype(int),
            "point": configuration_labels(hyper, values) if hyper else "",
            "rate": pd.to_numeric(rate, errors="coerce"),
            "seed": runs["seed"].astype(int),
            "status": [
                status_of(*pair)
                for pair in zip(runs["status"], runs["reason"].astype(str), strict=True)
            ],
            "steps": runs["steps"].astype(int),
            "examples": runs["examples"].astype(int),
            "seconds": runs["wall_seconds"].astype(float),
            "resolution": _resolution(runs, configs),
        }
    ).reset_index(drop=True)


def status_of(status: str, reason: str) -> str:
    """Of a run in the store, as a trial.

    One that a rule has stopped has not reached the target within what it was given.
    """
    if status == "completed":
        return "reached" if reason == "target reached" else "unreached"
    return {"stopped": "unreached", "diverged": "infeasible"}.get(status, "incomplete")


def points(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each group, batch size and point of hyperparameters, in the order of the study.

    Returns:
        ``group, batch_size, point, rate, seeds, reached`` (how many seeds did), ``status`` (see
        above), ``steps`` (of reached ones: the median over seeds; of others: the most that a seed
        was trained), ``low, high`` (fewest and most over seeds), ``examples`` (= steps ×
        batch_size) and ``resolution``.
    """
    ranks = table["status"].map({name: rank for rank, name in enumerate(_WORST_FIRST)})
    ranked = table.assign(rank=ranks.astype(int), hit=(table["status"] == "reached").astype(int))
    found = (
        ranked.groupby(["group", "batch_size", "point"], sort=False)
        .agg(
            rate=("rate", "first"),
            seeds=("seed", "size"),
            reached=("hit", "sum"),
            status=("rank", "min"),
            steps=("steps", "median"),
            low=("steps", "min"),
            high=("steps", "max"),
            resolution=("resolution", "max"),
        )
        .reset_index()
    )
    statuses = found["status"].map(dict(enumerate(_WORST_FIRST)))
    steps = found["steps"].where(statuses == "reached", found["high"]).astype(float)
    return found.assign(status=statuses, steps=steps, examples=steps * found["batch_size"])


def best(table: pd.DataFrame) -> pd.DataFrame:
    """The best point of each group and batch size: the one that reached the target in the fewest
    steps, of equals the first of the study.

    Args:
        table: trials, or already their :func:`points`.

    Returns:
        Rows as of :func:`points`, by group (in the order of the study) and batch size, and
        ``edge``: ``lower`` or ``upper`` where the best rate is the smallest or largest that was
        tried, so that a better one may lie beyond, else ``inside``. Where no point reached the
        target, ``status`` is that of the most that is known (unreached, then incomplete, then
        infeasible), ``steps`` is how far the longest was trained, and ``point`` is empty.
    """
    judged = table if "reached" in table else points(table)
    rows = [_best(some) for _, some in judged.groupby(["group", "batch_size"], sort=False)]
    found = pd.DataFrame.from_records(rows, columns=[*judged.columns, "edge"])
    order = {name: place for place, name in enumerate(dict.fromkeys(judged["group"]))}
    sort = found.assign(order=found["group"].map(order))
    return sort.sort_values(["order", "batch_size"]).drop(columns="order").reset_index(drop=True)


def _is_tuned(axis: Axis, tuned: Sequence[str]) -> bool:
    return axis.numeric and any(axis.path.startswith(f"{path}.") for path in tuned)


def _resolution(runs: pd.DataFrame, configs: pd.DataFrame) -> pd.Series:
    """Steps between two evaluations, at least 1; 1 where it cannot be told."""
    missing = pd.Series(np.nan, index=runs.index)

    def column(name: str) -> pd.Series:
        return pd.to_numeric(configs.get(name, missing), errors="coerce")

    per_epoch = runs["steps"] / runs["epochs"].where(runs["epochs"] > 0)
    total = column("train.steps").fillna(column("train.epochs") * per_epoch)
    every = column("train.evaluate_every.steps")
    every = every.fillna(column("train.evaluate_every.epochs") * per_epoch)
    every = every.fillna(column("train.evaluate_every") * total)
    return every.round().clip(upper=runs["steps"]).fillna(1).clip(lower=1).astype(int)


def _best(some: pd.DataFrame) -> dict[str, Any]:
    reached = some[some["status"] == "reached"]
    if len(reached):
        first = reached.iloc[int(reached["steps"].to_numpy().argmin())]  # the first of equals
        rates = some["rate"].dropna()
        ends = {rates.min(): "lower", rates.max(): "upper"} if rates.nunique() > 1 else {}
        return {**_as_dict(first), "edge": ends.get(first["rate"], "inside")}
    known = next(
        name for name in ("unreached", "incomplete", "infeasible") if (some["status"] == name).any()
    )
    longest = some[some["status"] == known].sort_values("steps", kind="stable").iloc[-1]
    return {**_as_dict(longest), "point": "", "rate": np.nan, "edge": "inside"}


def _as_dict(row: pd.Series) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}


def _empty() -> pd.DataFrame:
    columns = ["run_id", "group", "batch_size", "point", "rate", "seed", "status", "steps"]
    return pd.DataFrame(columns=[*columns, "examples", "seconds", "resolution"])
