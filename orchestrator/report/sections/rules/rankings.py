"""Rankings of rules: by the value at the end, the mean along training, the steps to a target."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pandas as pd

from orchestrator.report.comparisons import first_beyond, mean_along
from orchestrator.report.results import Results
from orchestrator.report.sections.rules.trials import (
    Entry,
    Trials,
    best_of_each,
    compared,
    has_target,
)
from orchestrator.report.statistics import Mode, complete_configurations
from orchestrator.report.text import count, decimals_for, metric_words, number


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """One way to rank the rules, and what came of it."""

    name: str
    """``final value``."""
    words: str
    """What is measured: ``final validation loss``."""
    entries: Sequence[Entry]
    """Best first; those that every seed has a value of."""
    unranked: dict[str, str] = field(default_factory=dict)
    """Rule → why it has no place."""

    whole: bool = False
    """Whether values count something, and are told without decimals."""

    @property
    def decimals(self) -> int:
        return 0 if self.whole else decimals_for([entry.sd for entry in self.entries])

    @property
    def places(self) -> dict[str, int]:
        return {entry.rule: place for place, entry in enumerate(self.entries, start=1)}


def rankings_of(results: Results, trials: Trials, horizon: float) -> tuple[list[Ranking], str]:
    """The rankings that the study allows, and in words which target the last one has."""
    table, history = trials.at(horizon), results.history
    words, rules = metric_words(results.metric), trials.rules
    rankings = []
    along_known = results.metric in history and len(history)
    if not has_target(results):
        rankings.append(
            _ranking("final value", f"final {words}", table, "objective", trials, rules)
        )
        if along_known:
            along = mean_along(history, results.metric)
            means = table["run_id"].map(along).where(table["objective"].notna())
            table = table.assign(along=means)
            name, of = "any-time", f"mean {words} along training"
            rankings.append(_ranking(name, of, table, "along", trials, rules))
    metric, value, mode, why = _target(results, trials, table)
    if math.isfinite(value) and metric in history and len(history):
        clock = _clock(results)
        times = first_beyond(history, metric, value, mode, clock)
        reached = table.assign(time=table["run_id"].map(times))
        of = f"{_CLOCKS[clock]} to {metric_words(metric)} {number(value)}"
        rankings.append(_to_target(of, reached, trials, resolution_of(history, clock)))
    return rankings, why


def _ranking(
    name: str, words: str, table: pd.DataFrame, column: str, trials: Trials, rules: Sequence[str]
) -> Ranking:
    entries = best_of_each(table, column, trials.seeds, trials.mode)
    unranked = {rule: "not with every seed" for rule in rules if rule not in entries}
    return Ranking(name=name, words=words, entries=compared(entries), unranked=unranked)


def _to_target(words: str, table: pd.DataFrame, trials: Trials, resolution: float) -> Ranking:
    """Runs that do not reach the target are censored: no mean over the others stands for them."""
    entries = best_of_each(table, "time", trials.seeds, "min")
    unranked = {}
    for rule in trials.rules:
        if rule not in entries:
            own = table[table["rule"] == rule]
            seeds = own.dropna(subset=["time"]).groupby("configuration")["seed"].nunique()
            most = int(seeds.max()) if len(seeds) else 0
            unranked[rule] = f"reached with {most} of {count(len(trials.seeds), 'seed')} at best"
    return Ranking(
        name="time to target",
        words=words,
        entries=compared(entries, resolution),
        unranked=unranked,
        whole=True,
    )


_CLOCKS = {"step": "steps", "examples": "examples"}


def _clock(results: Results) -> str:
    """What time to a target is counted in: steps, unless they are of several sizes."""
    sizes = results.runs.get("config.train.batch_size")
    return "step" if sizes is None or sizes.nunique() < 2 else "examples"


def resolution_of(history: pd.DataFrame, clock: str) -> float:
    """Steps (or examples) between two evaluations: the median over all runs."""
    gaps = history.sort_values(clock).groupby("run_id", sort=False)[clock].diff()
    return float(gaps.median()) if gaps.notna().any() else 0.0


def _target(results: Results, trials: Trials, table: pd.DataFrame) -> tuple[str, float, Mode, str]:
    """Metric, value and mode of the target, and where it comes from, in words."""
    runs = results.runs
    if has_target(results):
        values = runs["config.train.target.value"].astype(float)
        if values.nunique() == 1:
            metric = str(runs["config.train.target.metric"].dropna().iloc[0])
            mode: Mode = "max" if metric.endswith(("accuracy", "r2")) else "min"
            return metric, float(values.dropna().iloc[0]), mode, "that of the study (train.target)"
        return results.metric, math.nan, results.mode, ""
    complete = complete_configurations(table, trials.seeds)
    means = (
        table[table["configuration"].isin(complete)].groupby("configuration")["objective"].mean()
    )
    value = float(means.median()) if len(means) else math.nan
    why = (
        "the median of what the configurations "
        f"{_of(trials.words(trials.horizons[-1]))}come to at their end, as the study has no target"
    )
    return results.metric, value, results.mode, why


def _of(words: str) -> str:
    return f"of {words} " if words else ""
