"""Which rule for the learning rate each run followed, for how long, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from orchestrator.report.comparisons import Comparison, against
from orchestrator.report.labels import Axis, configuration_labels
from orchestrator.report.results import Results
from orchestrator.report.statistics import Mode, complete_configurations

OWN_STEP = ("sps", "sls", "barzilai_borwein", "schedule_free_sgd", "schedule_free_adamw")
"""Optimizers that are a rule of their own, beside schedules."""
MOST_LENGTHS = 12
"""More lengths of training than that were drawn, and are no groups."""
HORIZONS = ("train.epochs", "train.steps")


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The runs of a study that compares at least two rules."""

    table: pd.DataFrame
    """A row a run: run_id, seed, configuration, rule, details (the configuration, but for rule and
    horizon), horizon (NaN where it does not vary), objective (NaN unless whole), status, and
    ``x``, the value of the basin's axis (NaN without one)."""
    rules: tuple[str, ...]
    """In the order of the study."""
    horizon: Axis | None
    seeds: tuple[int, ...]
    mode: Mode

    @property
    def horizons(self) -> list[float]:
        """Ascending; one NaN where all train equally long."""
        return sorted(self.table["horizon"].unique())

    def at(self, horizon: float) -> pd.DataFrame:
        """The runs of this length."""
        if horizon != horizon:
            return self.table
        return self.table[self.table["horizon"] == horizon]

    def words(self, horizon: float) -> str:
        """``90 epochs``; empty where all train equally long."""
        if self.horizon is None or horizon != horizon:
            return ""
        return f"{self.horizon.texts[horizon]} {self.horizon.path.rpartition('.')[2]}"

    def title(self) -> str:
        """What rules are, in a word."""
        return (
            "rule"
            if any(rule.partition(",")[0] in OWN_STEP for rule in self.rules)
            else ("schedule")
        )


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A rule at its best configuration."""

    rule: str
    details: str
    values: pd.Series
    """seed → value."""
    comparison: Comparison | None = None
    """With the best; None for the best itself."""

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @property
    def sd(self) -> float:
        return float(self.values.std())


def trials_of(results: Results) -> Trials | None:
    """None where a study has not at least two rules."""
    schedule = _axis(results, ("schedule", "schedule.name"))
    methods = _own_steps(results)
    if (schedule is None and not methods.any()) or results.trainable:
        return None
    rule, order = _rules(results, schedule, methods)
    if rule.nunique() < 2:
        return None
    horizon = _axis(results, HORIZONS)
    if horizon is not None and (not horizon.numeric or len(horizon.texts) > MOST_LENGTHS):
        horizon = None
    runs = results.runs
    x = results.x_axis
    table = pd.DataFrame(
        {
            **{name: runs[name] for name in ("run_id", "seed", "configuration", "status")},
            "rule": rule,
            "details": _details(results, schedule, horizon, methods),
            "horizon": runs[horizon.column] if horizon else np.nan,
            "objective": runs["objective"],
            "x": runs[x.column] if x else np.nan,
        }
    )
    return Trials(table=table, rules=order, horizon=horizon, seeds=results.seeds, mode=results.mode)


def by_rule(results: Results) -> Results:
    """The study with rules in place of schedules, where methods with their own step vary, too.

    Under ``schedule`` these would hide among the constant rates.
    """
    schedule = _axis(results, ("schedule", "schedule.name"))
    methods = _own_steps(results)
    if schedule is None or not methods.any():
        return results
    rule, order = _rules(results, schedule, methods)
    axis = replace(schedule, texts={text: text for text in order})
    optimizer = _axis(results, ("optimizer", "optimizer.name"))
    said = optimizer is not None and _says_no_more(results, optimizer, methods)
    axes = tuple(
        axis if one is schedule else one for one in results.axes if not (said and one is optimizer)
    )
    return replace(results, runs=results.runs.assign(**{axis.column: rule}), axes=axes)


def best_of_each(
    table: pd.DataFrame, column: str, seeds: Sequence[int], mode: Mode
) -> dict[str, Entry]:
    """Rule → its complete configuration with the best mean of ``column``, best rule first."""
    complete = complete_configurations(table.assign(objective=table[column]), seeds)
    rows = table[table["configuration"].isin(complete)]
    means = rows.groupby(["rule", "configuration"], sort=False)[column].mean()
    ordered = means.sort_values(ascending=mode == "min", kind="stable").reset_index()
    entries = {}
    for rule, configuration in ordered.drop_duplicates("rule")[["rule", "configuration"]].values:
        own = rows[rows["configuration"] == configuration]
        entries[str(rule)] = Entry(
            rule=str(rule),
            details=str(own["details"].iloc[0]),
            values=own.set_index("seed")[column].sort_index(),
        )
    return entries


def compared(entries: dict[str, Entry], resolution: float = 0.0) -> list[Entry]:
    """The entries in their order, each compared with the first."""
    if not entries:
        return []
    first, *others = entries.values()
    found = against({e.rule: e.values for e in others}, first.values, resolution=resolution)
    rest = [
        Entry(rule=e.rule, details=e.details, values=e.values, comparison=found[e.rule])
        for e in others
    ]
    return [first, *rest]


def has_target(results: Results) -> bool:
    """Whether training ends at a target, so that final values do not compare."""
    column = "config.train.target.value"
    return column in results.runs and bool(results.runs[column].notna().any())


def _axis(results: Results, paths: Sequence[str]) -> Axis | None:
    return next((axis for axis in results.axes if axis.path in paths), None)


def _own_steps(results: Results) -> pd.Series:
    """The name of a run's optimizer where that sets its own step; NaN elsewhere."""
    none = pd.Series(None, index=results.runs.index, dtype=object)
    names = results.runs.get("config.optimizer.name", none)
    own: pd.Series = names.where(names.isin(OWN_STEP))
    return own if names.nunique() > 1 else none


def _rules(
    results: Results, schedule: Axis | None, methods: pd.Series
) -> tuple[pd.Series, tuple[str, ...]]:
    """The rule of each run, and all of them in the study's order."""
    runs = results.runs
    names = runs.get("config.schedule.name", pd.Series("constant", index=runs.index)).fillna(
        "constant"
    )
    texts = runs[schedule.column].map(schedule.texts) if schedule else names
    parts = zip(methods, names, texts, strict=True)
    labels = [
        str(text)
        if not isinstance(method, str)
        else method
        if name == "constant"
        else f"{method}, {text}"
        for method, name, text in parts
    ]
    rule = pd.Series(labels, index=runs.index, dtype=object)
    places = {text: i for i, text in enumerate(schedule.texts.values())} if schedule else {}
    present = list(dict.fromkeys(rule))
    return rule, tuple(sorted(present, key=lambda text: places.get(text, len(places))))


def _says_no_more(results: Results, optimizer: Axis, methods: pd.Series) -> bool:
    """Whether the rule says all that this axis does."""
    return bool(results.runs.loc[methods.isna(), optimizer.column].nunique() < 2)


def _details(
    results: Results, schedule: Axis | None, horizon: Axis | None, methods: pd.Series
) -> pd.Series:
    runs = results.runs
    left = [axis for axis in results.axes if axis not in (schedule, horizon)]
    optimizer = _axis(results, ("optimizer", "optimizer.name"))
    if optimizer and methods.notna().any() and _says_no_more(results, optimizer, methods):
        left = [axis for axis in left if axis is not optimizer]
    if not left:
        return pd.Series("", index=runs.index, dtype=object)
    return configuration_labels(left, runs[[axis.column for axis in left]])
