"""A comparison of optimizers as its sections see it: problems, methods, what each took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from orchestrator.report.figures.parts import COLOURS
from orchestrator.report.results import Results
from orchestrator.report.second_order import Tuned, bootstrap, trials, tuned
from orchestrator.report.second_order.cost import timed
from orchestrator.report.second_order.profile import as_array
from orchestrator.report.second_order.to_target import interval
from orchestrator.report.text import listed, metric_words, number
from orchestrator.store import Store, StoreError

METRIC, VALUE = "config.train.target.metric", "config.train.target.value"
NAME, BATCH = "config.optimizer.name", "config.train.batch_size"
SECOND_ORDER = frozenset(
    {
        *("newton", "natural_gradient", "gauss_newton", "hessian_free", "lbfgs"),
        *("kfac", "ekfac", "shampoo", "soap", "adahessian", "sophia"),
    }
)
MOST_METHODS = 16
Floats = NDArray[np.float64]
Key = tuple[str, str]
"""(problem, method)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SecondOrder:
    """A study that compares optimizers, each tuned, by what they take to a target."""

    results: Results
    trials: pd.DataFrame
    """See ``second_order.trials``; ``wall`` is what a run took in its stack, ``seconds`` what its
    steps take as measured beforehand, where all methods of a problem were."""
    packs: Sequence[Mapping[str, Any]]
    """As ``Store.packs`` has them; none where there is no store."""
    problems: tuple[str, ...]
    methods: tuple[str, ...]
    """As the study has them."""
    reference: str
    """What the others are compared with: SGD, or else the first method."""
    taken: Mapping[str, Mapping[Key, Tuned]]
    """``steps``, ``examples``, ``seconds`` → (problem, method) → what they took."""
    draws: Mapping[str, Mapping[Key, Floats]]
    """The same of bootstrap resamples, (resamples,)."""

    @property
    def weights(self) -> Floats:
        """Of the problems: the batch sizes of a task share its weight of 1."""
        table = self.trials.drop_duplicates("problem").set_index("problem")["weight"]
        return table.loc[list(self.problems)].to_numpy(dtype=float)

    @property
    def waiting(self) -> int:
        """Runs that have not ended."""
        return int((self.trials["status"] == "incomplete").sum())

    @property
    def twice(self) -> str:
        """A sentence for captions, where colours come again."""
        if len(self.methods) <= COLOURS:
            return ""
        first = listed([f"{method}" for method in self.methods[COLOURS:]], 8)
        return f" Dashed, as there are {COLOURS} colours: {first}."

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(method for method in self.methods if method != self.reference)

    def best(self, value: str) -> Floats:
        """What each takes at its best, (problems, methods); ∞ where it is not reached."""
        found = {key: one.best for key, one in self.taken[value].items()}
        return as_array(found, self.problems, self.methods)

    def resampled(self, value: str) -> Floats:
        """The same of the resamples, (resamples, problems, methods)."""
        return as_array(self.draws[value], self.problems, self.methods)

    def ratio(self, problem: str, method: str, value: str = "steps") -> tuple[float, float, float]:
        """What ``method`` takes as a multiple of the reference: (value, low, high).

        ∞ where only the reference reaches the target, 0 where only the method does, NaN where
        neither does.
        """
        keys = (problem, method), (problem, self.reference)
        if not all(key in self.taken[value] for key in keys):
            return (np.nan, np.nan, np.nan)
        first, second = (self.taken[value][key].best for key in keys)
        if np.isinf(first) and np.isinf(second):
            return (np.nan, np.nan, np.nan)
        draws = [self.draws[value][key] for key in keys]
        with np.errstate(invalid="ignore"):
            ratios = draws[0] / draws[1]
        ratios = ratios[~np.isnan(ratios)]
        if len(self.trials["seed"].unique()) < 2 or not len(ratios):
            return (first / second, np.nan, np.nan)
        return (first / second, *interval(ratios))


def find_second_order(results: Results) -> SecondOrder | None:
    """None where optimizers do not vary or runs have no target.

    A study of batch sizes with first-order methods on one task is left to its own sections.
    """
    runs = results.runs
    if not {NAME, BATCH, METRIC, VALUE} <= set(runs) or results.networks is not None:
        return None
    runs = runs[runs[METRIC].notna() & runs[BATCH].notna() & runs[NAME].notna()]
    if results.populations or runs[NAME].nunique() < 2:
        return None
    table = trials(runs)
    of_batches = runs[BATCH].nunique() > 1 and table["task"].nunique() == 1
    if of_batches and not SECOND_ORDER & set(runs[NAME]):
        return None
    methods = tuple(dict.fromkeys(table["method"]))[:MOST_METHODS]
    packs = _packs(results)
    table = timed(table[table["method"].isin(methods)].reset_index(drop=True), packs)
    taken = {value: tuned(table, value) for value in ("steps", "examples", "seconds")}
    return SecondOrder(
        results=results,
        trials=table,
        packs=packs,
        problems=tuple(dict.fromkeys(table["problem"])),
        methods=methods,
        reference=_reference(methods),
        taken=taken,
        draws={value: bootstrap(found) for value, found in taken.items()},
    )


def _packs(results: Results) -> Sequence[Mapping[str, Any]]:
    if results.folder is None:
        return []
    try:
        with Store.open(results.folder) as store:
            return store.packs()
    except StoreError:
        return []


def _reference(methods: tuple[str, ...]) -> str:
    return next((method for method in methods if method.partition(",")[0] == "sgd"), methods[0])


def targets_in_words(study: SecondOrder) -> str:
    """``validation loss below 0.3 (digits), …``; of many tasks, how many."""
    runs = study.results.runs.set_index("run_id").loc[study.trials["run_id"]]
    goals: dict[str, str] = {}
    for task, metric, value in zip(study.trials["task"], runs[METRIC], runs[VALUE], strict=True):
        higher = str(metric).endswith(("accuracy", "r2"))
        words = f"{metric_words(str(metric))} {'above' if higher else 'below'} {number(value)}"
        goals.setdefault(task, words)
    if len(goals) == 1:
        return next(iter(goals.values()))
    return ", ".join(f"{words} ({task})" for task, words in goals.items())
