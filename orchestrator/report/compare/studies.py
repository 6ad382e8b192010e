"""Several studies as one: what they are called, what they share, and each one's best."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from orchestrator.report.results import Results, candidates, dense_only, load_results
from orchestrator.report.second_order.trials import tasks
from orchestrator.report.statistics import Mode, ranking
from orchestrator.report.text import listed


class CompareError(ValueError):
    """The studies cannot be compared; the message says which and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """One of the studies."""

    name: str
    """Unique among them."""
    folder: Path
    results: Results
    """Its objective is the shared metric; runs have a column ``task`` besides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Studies:
    """What is compared, and by which metric."""

    each: tuple[Study, ...]
    metric: str
    mode: Mode

    @property
    def names(self) -> list[str]:
        return [study.name for study in self.each]

    @property
    def tasks(self) -> list[str]:
        """All tasks, in the order of the studies."""
        return list(dict.fromkeys(task for one in self.each for task in one.results.runs["task"]))

    def with_task(self, task: str) -> list[str]:
        """The studies that have it."""
        return [one.name for one in self.each if one.results.runs["task"].eq(task).any()]

    def runs(self) -> pd.DataFrame:
        """The runs of all, with a column ``of`` (name of the study); those of several repeat."""
        return pd.concat(
            [one.results.runs.assign(of=one.name) for one in self.each], ignore_index=True
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Best:
    """A study's best configuration on one task."""

    study: str
    task: str
    configuration: str
    runs: pd.DataFrame
    """Those of the configuration."""
    values: pd.Series
    """seed → final value of the shared metric."""


def load_studies(folders: Sequence[Path]) -> Studies:
    """Reads the studies in these folders.

    Raises:
        CompareError: fewer than two, one twice, one without results, or no metric that all have.
        StoreError: there is no store in one of them, or it is damaged.
    """
    if len(folders) < 2:
        raise CompareError("compare: needs the folders of at least two studies")
    for place, folder in enumerate(folders):
        if folder.resolve() in [other.resolve() for other in folders[:place]]:
            raise CompareError(f"{folder}: is given twice")
    loaded = [candidates(dense_only(load_results(folder))) for folder in folders]
    return combined(folders, loaded)


def combined(folders: Sequence[Path], loaded: Sequence[Results]) -> Studies:
    """Studies from results. Raises CompareError, see ``load_studies``."""
    for folder, results in zip(folders, loaded, strict=True):
        if not _finals(results):
            raise CompareError(f"{folder}: holds no run that has ended with a value yet")
    metric, mode = _shared_metric(folders, loaded)
    ranked = [_by(results, metric, mode) for results in loaded]
    for folder, results in zip(folders, ranked, strict=True):
        if results.runs["objective"].isna().all():
            raise CompareError(f"{folder}: no run has all of its training and a final {metric} yet")
    labels = tasks(pd.concat([results.runs for results in ranked], ignore_index=True)).to_numpy()
    ends = np.cumsum([len(results.runs) for results in ranked])[:-1]
    return Studies(
        each=tuple(
            Study(
                name=name,
                folder=folder,
                results=replace(results, runs=results.runs.assign(task=task)),
            )
            for name, folder, results, task in zip(
                _names(folders, ranked), folders, ranked, np.split(labels, ends), strict=True
            )
        ),
        metric=metric,
        mode=mode,
    )


def _finals(results: Results) -> list[str]:
    """Metrics of which some run has a final value."""
    columns = [str(c) for c in results.runs if str(c).startswith("final/")]
    return [c.removeprefix("final/") for c in columns if results.runs[c].notna().any()]


def _shared_metric(folders: Sequence[Path], loaded: Sequence[Results]) -> tuple[str, Mode]:
    """The first study's objective that all have reported, or else another study's."""
    for own in loaded:
        for objective in own.objectives:
            metric = objective.metric
            if all(metric in _finals(other) for other in loaded):
                modes = {
                    one.mode for other in loaded for one in other.objectives if one.metric == metric
                }
                if len(modes) > 1:
                    raise CompareError(
                        f"{metric}: one study looks for its minimum, another for its maximum"
                    )
                return metric, objective.mode
    has = "; ".join(
        f"{folder} looks for {results.metric} and has {listed(_finals(results), 4)}"
        for folder, results in zip(folders, loaded, strict=True)
    )
    raise CompareError(f"no objective of one study is reported by all: {has}")


def _by(results: Results, metric: str, mode: Mode) -> Results:
    """The study with another metric for its objective."""
    if metric == results.metric:
        return results
    final = results.runs[f"final/{metric}"].astype(float)
    objective = final.where(results.runs["whole"] & np.isfinite(final))
    runs = results.runs.assign(objective=objective)
    return replace(results, runs=runs, metric=metric, mode=mode)


def _names(folders: Sequence[Path], loaded: Sequence[Results]) -> list[str]:
    """Their names; where these are equal, with the folders that they are in."""
    names = [
        str(results.meta.get("study") or folder.name)
        for folder, results in zip(folders, loaded, strict=True)
    ]
    made: list[str] = []
    for name, folder in zip(names, folders, strict=True):
        if names.count(name) > 1:
            path = folder.resolve()
            name = f"{name} ({path.parent.name if path.name == name else path.name})"
        serial, unique = 2, name
        while unique in made:
            unique, serial = f"{name} {serial}", serial + 1
        made.append(unique)
    return made


def best_of(study: Study, task: str) -> Best | None:
    """None where no configuration has every seed on this task."""
    results = study.results
    runs = results.runs[results.runs["task"] == task]
    ranked = ranking(runs, results.seeds, results.mode)
    if ranked.empty:
        return None
    label = str(ranked.index[0])
    own = runs[runs["configuration"] == label]
    values = own.set_index("seed")["objective"].sort_index()
    return Best(study=study.name, task=task, configuration=label, runs=own, values=values)


def bests(studies: Studies) -> dict[str, list[Best]]:
    """Task → the best of each study that has one there, best first; tasks of the first study
    first."""
    sign = 1 if studies.mode == "min" else -1
    made = {}
    for task in studies.tasks:
        found = [best_of(study, task) for study in studies.each]
        known = [one for one in found if one is not None]
        if known:
            made[task] = sorted(known, key=lambda one: sign * float(one.values.mean()))
    return made


def of_task(task: str, tasks: Collection[str]) -> str:
    """How a sentence on one of several tasks begins; empty where it is the only one."""
    return f"{task.capitalize()}: " if len(tasks) > 1 else ""


def shared_runs(studies: Studies) -> pd.DataFrame:
    """Runs that are in several studies, a row each: run_id, configuration (as the first calls it),
    studies (names), differs (whether all training was had in several, with other values)."""
    runs = studies.runs()
    several = runs[runs.duplicated("run_id", keep=False)]
    rows = [
        {
            "run_id": str(run_id),
            "configuration": str(own["configuration"].iloc[0]),
            "studies": tuple(own["of"]),
            "differs": _differ(own["objective"]),
        }
        for run_id, own in several.groupby("run_id", sort=False)
    ]
    return pd.DataFrame(rows, columns=["run_id", "configuration", "studies", "differs"])


TOLERANCE = 1e-3
"""Relative: packs and machines round differently, and training makes more of it."""


def _differ(values: pd.Series) -> bool:
    known = values.dropna()
    low, high = (float(known.min()), float(known.max())) if len(known) > 1 else (0.0, 0.0)
    return not math.isclose(low, high, rel_tol=TOLERANCE)
