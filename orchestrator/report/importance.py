"""Which axes of a study its results depend on, as Optuna's estimators of importance see it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import FanovaImportanceEvaluator, PedAnovaImportanceEvaluator

from orchestrator.report.labels import Axis
from orchestrator.report.statistics import Mode, thinned

MOST = 300
"""Configurations that the forest of fANOVA is grown on: 1,000 would take ten times as long."""
MOST_NEAR = 2000
"""Configurations that PED-ANOVA counts: Optuna copies each of them several times."""
TREES = 16


def importances(table: pd.DataFrame, axes: Sequence[Axis], mode: Mode) -> pd.DataFrame:
    """Two importances of each axis, each summing to 1.

    ``everywhere``: the share of the variance over the space searched that the axis alone accounts
    for (fANOVA: Hutter, Hoos & Leyton-Brown 2014), from a random forest of 16 trees on at most 300
    configurations, evenly taken from the ranking; shares of main effects, so that they sum to 1.
    ``best``: how much the axis decides whether a configuration is among the best tenth (PED-ANOVA:
    Watanabe, Bansal & Hutter 2023), of at most 2,000 taken in the same way.

    Args:
        table: a row a configuration, best first: a column for each axis, and ``value`` (finite).
        axes: at least two, there in every configuration, of two values or more.

    Returns:
        axis (its name), everywhere, best; the most important everywhere first.
    """
    direction = "minimize" if mode == "min" else "maximize"
    forest = FanovaImportanceEvaluator(n_trees=TREES, seed=0)
    some = _in_numbers(table.iloc[thinned(len(table), MOST)], axes)
    everywhere = _evaluated(some, axes, direction, forest)
    best = _evaluated(
        table.iloc[thinned(len(table), MOST_NEAR)], axes, direction, PedAnovaImportanceEvaluator()
    )
    found = pd.DataFrame(
        {
            "axis": [axis.name for axis in axes],
            "everywhere": [everywhere[axis.path] for axis in axes],
            "best": [best[axis.path] for axis in axes],
        }
    )
    return found.sort_values("everywhere", ascending=False, kind="stable", ignore_index=True)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells the terminal of every study that it makes."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _in_numbers(table: pd.DataFrame, axes: Sequence[Axis]) -> pd.DataFrame:
    """Names as their places by mean value.

    For a tree that loses nothing (Breiman et al. 1984, section 4.2.2), and fANOVA would go through
    all combinations of a name's values otherwise: 2¹⁵ for 15 of them.
    """
    places = {}
    for axis in axes:
        column = table[axis.column]
        means = table.groupby(column)["value"].mean().rank(method="first")
        places[axis.column] = column if axis.numeric else column.map(means)
    return table.assign(**places)


def _distribution(axis: Axis, values: pd.Series) -> BaseDistribution:
    if pd.api.types.is_numeric_dtype(values):
        return FloatDistribution(float(values.min()), float(values.max()), log=axis.log)
    return CategoricalDistribution(sorted(set(values)))


def _evaluated(
    table: pd.DataFrame,
    axes: Sequence[Axis],
    direction: str,
    evaluator: FanovaImportanceEvaluator | PedAnovaImportanceEvaluator,
) -> dict[str, float]:
    with _quiet():
        study = optuna.create_study(direction=direction, storage=optuna.storages.InMemoryStorage())
    distributions = {axis.path: _distribution(axis, table[axis.column]) for axis in axes}
    columns = [table[axis.column].tolist() for axis in axes]
    values = table["value"].to_numpy(np.float64).tolist()
    study.add_trials(
        [
            optuna.trial.create_trial(
                params=dict(zip(distributions, row, strict=True)),
                distributions=distributions,
                value=value,
            )
            for *row, value in zip(*columns, values, strict=True)
        ]
    )
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {path: float(share) for path, share in found.items()}
