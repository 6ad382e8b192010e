"""From the runs of a study to trials: a task, a batch size, a method, and what was tuned of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.report.large_batch.trials import status_of
from orchestrator.report.text import number

NAME, RATE, BATCH = "config.optimizer.name", "config.optimizer.lr", "config.train.batch_size"
OF_TASKS = ("config.data.", "config.model.", "config.train.loss", "config.train.target.")
"""What tells tasks apart, as far as it varies."""
OF_POINTS = ("config.optimizer.", "config.schedule.")
"""What a trial has of its own, as far as it varies within a method and a task."""
COUNTERPARTS = ("damping", "eps", "rho", "pair_damping", "momentum", "beta1")
"""What damping is called, or comes nearest to it, by preference."""


def trials(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a run, in the order of the study.

    Args:
        runs: in the export schema, each with a target.

    Returns:
        ``run_id``, ``task`` (label), ``batch_size``, ``problem`` (label of these two), ``weight``
        of the problem (those of a task sum to 1), ``method`` (label), ``point`` (label of what was
        tuned), ``rate``, ``other`` (name of the second hyperparameter, empty without one) and
        ``second`` (its value, NaN without one), ``seed``, ``status`` (reached, unreached,
        infeasible, incomplete), ``steps``, ``examples``, ``seconds``.
    """
    task, method = tasks(runs), methods(runs)
    batch = runs[BATCH].astype(int)
    several = batch.groupby(task).transform("nunique")
    problem = task.where(several == 1, task + ", batch " + batch.map("{:,}".format))
    found = pd.DataFrame(
        {
            "run_id": runs["run_id"],
            "task": task,
            "batch_size": batch,
            "problem": problem,
            "weight": 1 / several,
            "method": method,
            "rate": pd.to_numeric(runs[RATE], errors="coerce"),
            "seed": runs["seed"].astype(int),
            "status": [
                status_of(*pair)
                for pair in zip(runs["status"], runs["reason"].astype(str), strict=True)
            ],
            "steps": runs["steps"].astype(float),
            "examples": runs["examples"].astype(float),
            "seconds": runs["wall_seconds"].astype(float),
        }
    )
    parts = [_tuned(runs.loc[own.index], own) for _, own in found.groupby("method", sort=False)]
    return pd.concat(parts).loc[found.index].reset_index(drop=True)


def tasks(runs: pd.DataFrame) -> pd.Series:
    """A label for each run's data, model, loss and target: as short as tells them apart."""
    varied = _varied(runs, OF_TASKS)
    data = runs.get("config.data.name", pd.Series("the task", index=runs.index)).astype(str)
    inputs = runs.get("config.data.targets", pd.Series("", index=runs.index)).eq("inputs")
    plain = data.str.replace("_", " ")
    label: pd.Series[Any] = plain.where(~inputs, plain + " autoencoder").astype(object)
    if not varied:
        return label
    rows = runs[varied].itertuples(index=False)
    key = pd.Series(["\x1f".join(map(str, row)) for row in rows], index=runs.index)
    for more in ("config.model.name", "config.train.target.value"):
        if more in varied and _ambiguous(label, key):
            label = label + ", " + runs[more].map(_text)
    names: dict[str, str] = {}
    taken: dict[str, int] = {}
    for text, own in zip(label, key, strict=True):
        if own not in names:
            taken[text] = taken.get(text, 0) + 1
            names[own] = text if taken[text] == 1 else f"{text} ({taken[text]})"
    return key.map(names)


def methods(runs: pd.DataFrame) -> pd.Series:
    """The optimizer's name, with what else tells it apart and is no number."""
    names = runs[NAME].astype(str)
    label = names.copy()
    for column in _varied(runs, ("config.optimizer.",)):
        if column == NAME or _is_number(runs[column]):
            continue
        several = runs[column].groupby(names).transform(lambda own: own.nunique(dropna=False)) > 1
        key = column.rpartition(".")[2].replace("_", " ")
        texts = runs[column].map(lambda value, key=key: _option(key, value))
        label = label.where(~several, label + texts)
    return label


def _option(key: str, value: Any) -> str:
    if value is True or value is False:
        return f", {key}" if value else ""
    return f", {key} {value}"


def _tuned(runs: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """What was tuned of one method: labels of points, and its second hyperparameter."""
    varied = [c for c in _varied(runs, OF_POINTS) if c != NAME]
    point = pd.Series("", index=own.index)
    for column in varied:
        key = column.rpartition(".")[2].replace("_", " ")
        point = point + ", " + key + " " + runs[column].map(_text)
    numbers = [c for c in varied if c != RATE and _is_number(runs[c])]
    numbers = [c for c in numbers if c.startswith("config.optimizer.")]
    ranked = sorted(numbers, key=lambda column: _preference(column.rpartition(".")[2]))
    other = ranked[0] if ranked else None
    return own.assign(
        point=point.str.removeprefix(", ").replace("", "the only one"),
        other=other.rpartition(".")[2].replace("_", " ") if other else "",
        second=pd.to_numeric(runs[other], errors="coerce") if other else np.nan,
    )


def _preference(name: str) -> int:
    return COUNTERPARTS.index(name) if name in COUNTERPARTS else len(COUNTERPARTS)


def _varied(runs: pd.DataFrame, beginnings: Sequence[str]) -> list[str]:
    columns = [str(c) for c in runs if str(c).startswith(tuple(beginnings))]
    return [c for c in columns if runs[c].astype(str).nunique() > 1]


def _ambiguous(label: pd.Series, key: pd.Series) -> bool:
    return bool(key.groupby(label).nunique().max() > 1)


def _is_number(values: pd.Series) -> bool:
    known = values.dropna()
    return bool(
        len(known)
        and all(isinstance(v, int | float | np.number) and not isinstance(v, bool) for v in known)
    )


def _text(value: Any) -> str:
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return number(float(value))
    return str(value).replace("_", " ")
