"""A large-batch study as its sections see it: trials, the best of each batch size, curves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from orchestrator.report import large_batch
from orchestrator.report.labels import Axis
from orchestrator.report.large_batch import Fit
from orchestrator.report.large_batch.trials import NOT_APART
from orchestrator.report.results import Results
from orchestrator.report.text import metric_words, number

BATCH = "config.train.batch_size"
METRIC, VALUE = "config.train.target.metric", "config.train.target.value"
REACHED, UNREACHED, INFEASIBLE, INCOMPLETE = "reached", "unreached", "infeasible", "incomplete"
MOST_GROUPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class LargeBatch:
    """A study that varies the batch size and trains to a target."""

    results: Results
    trials: pd.DataFrame
    """See ``large_batch.trials``; groups are never empty text."""
    points: pd.DataFrame
    best: pd.DataFrame
    """See ``large_batch.best``."""
    fits: Mapping[str, Fit | None]
    """Group → its curve, None where fewer than two batch sizes reached the target."""
    order: tuple[str, ...]
    """All groups, as the study has them."""
    ranked: tuple[str, ...]
    """The same, by how many batch sizes reach the target, and then by their steps."""
    group_title: str
    target: str
    """In words: ``validation loss below 0.3``."""
    waiting: int
    """Runs that have not ended."""

    def of(self, group: str) -> pd.DataFrame:
        """The best points of a group, by batch size."""
        return self.best[self.best["group"] == group]

    def reached(self, group: str) -> pd.DataFrame:
        own = self.of(group)
        return own[own["status"] == REACHED]

    @property
    def several(self) -> bool:
        return len(self.order) > 1

    @property
    def shown(self) -> tuple[str, ...]:
        """The groups that are drawn, at most ``MOST_GROUPS``."""
        kept = set(self.ranked[:MOST_GROUPS])
        return tuple(group for group in self.order if group in kept)

    @property
    def leading(self) -> str:
        """The group that is told of in words."""
        return self.ranked[0]

    @property
    def not_shown(self) -> str:
        """A sentence on groups that are left out."""
        left = len(self.order) - len(self.shown)
        return f" Shown: the {len(self.shown)} best of {len(self.order)}." if left else ""

    def whose(self, group: str) -> str:
        return f" of {group}" if self.several else ""


def find_large_batch(results: Results) -> LargeBatch | None:
    """None where the batch size does not vary or runs have no target."""
    runs = results.runs
    if not {BATCH, METRIC, VALUE} <= set(runs) or results.networks is not None:
        return None
    runs = runs[runs[METRIC].notna() & runs[BATCH].notna()]
    if results.populations or runs[BATCH].nunique() < 2:
        return None
    meta = results.meta
    trials = large_batch.trials(
        runs, meta.get("axes") or {}, conditional=meta.get("conditional") or ()
    )
    trials = trials.assign(group=trials["group"].replace("", "all runs"))
    points = large_batch.points(trials)
    best = large_batch.best(points)
    order = tuple(dict.fromkeys(trials["group"]))
    return LargeBatch(
        results=results,
        trials=trials,
        points=points,
        best=best,
        fits={group: large_batch.fit(trials, group) for group in order},
        order=order,
        ranked=_ranked(best, order),
        group_title=" × ".join(axis.name for axis in results.axes if _tells_apart(axis)) or "group",
        target=_target(runs),
        waiting=int((trials["status"] == INCOMPLETE).sum()),
    )


def _ranked(best: pd.DataFrame, order: tuple[str, ...]) -> tuple[str, ...]:
    reached = best[best["status"] == REACHED]
    steps = {str(group): np.log(own) for group, own in reached.groupby("group")["steps"]}

    def key(group: str) -> tuple[int, float]:
        own = steps.get(group)
        return (0, math.inf) if own is None else (-len(own), float(own.mean()))

    return tuple(sorted(order, key=key))


def at_best(study: LargeBatch) -> Results:
    """The best runs of each batch size of the leading group alone, as a study of their own."""
    best = study.reached(study.leading)
    keys = ["group", "batch_size", "point"]
    ids = study.trials.merge(best[keys], on=keys)["run_id"]
    runs = study.results.runs[study.results.runs["run_id"].isin(ids)]
    history = study.results.history[study.results.history["run_id"].isin(ids)]
    return replace(study.results, runs=runs, history=history, top=MOST_GROUPS)


def _tells_apart(axis: Axis) -> bool:
    """As ``large_batch.trials`` tells groups apart."""
    tuned = axis.numeric and axis.path.startswith("optimizer.")
    return not tuned and axis.path not in NOT_APART


def _target(runs: pd.DataFrame) -> str:
    goals = runs[[METRIC, VALUE]].drop_duplicates()
    metric, value = str(goals.iloc[0, 0]), float(goals[VALUE].iloc[0])
    higher = metric.endswith(("accuracy", "r2"))
    words = f"{metric_words(metric)} {'above' if higher else 'below'} {number(value)}"
    return words if len(goals) == 1 else f"{words} and {len(goals) - 1} more"
