"""A store as tidy frames: what every section of a report reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.report.labels import Axis, configuration_labels, find_axes
from orchestrator.report.networks import find_networks, is_of_lottery, network_labels
from orchestrator.report.statistics import Mode, ranking
from orchestrator.store import Copied, Store, is_whole

PROBE_COLUMNS = ["run_id", "name", "at", "value"]
DRAWN_SHARE = 0.7
"""An axis with a value of its own in this share of the configurations was drawn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """What a study looks for."""

    metric: str
    mode: Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Results:
    """The results of one study, finished or not."""

    meta: Mapping[str, Any]
    """Facts of the study as launched; any of them may be missing."""
    runs: pd.DataFrame
    """The runs in the export schema, and: ``configuration`` (its label), ``whole`` (whether it
    had all of its training, see ``store.is_whole``), ``objective`` (the final value of such runs,
    NaN for all others), and one column for each axis."""
    history: pd.DataFrame
    """Every evaluation, in the export schema."""
    axes: tuple[Axis, ...]
    seeds: tuple[int, ...]
    metric: str
    mode: Mode
    top: int
    copies: tuple[Copied, ...] = ()
    """Who went on as whom in the study's populations."""
    networks: pd.DataFrame | None = None
    """Where each run stands in its lottery procedure: see ``networks.find_networks``. None where
    none does. ``configuration`` and axes of such runs are those of their dense network."""
    pruning_axes: tuple[Axis, ...] = ()
    """Settings of the pruning that vary."""
    probes: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=PROBE_COLUMNS))
    """Long measurements: run_id, name, at, value."""
    folder: Path | None = None
    """The study's folder, where masks are; None where the frames come from elsewhere."""

    @property
    def populations(self) -> bool:
        """Whether runs are members of populations, so that axes are only what they began with."""
        size = "config.population.size"
        return size in self.runs and bool(self.runs[size].notna().any())

    @property
    def trainable(self) -> str:
        """``module:callable`` of the user's own training; empty where Regatta trained."""
        return str(self.meta.get("trainable") or "")

    @property
    def objectives(self) -> list[Objective]:
        """All that the study looks for; the first of them ranks."""
        named = self.meta.get("objectives") or [{"metric": self.metric, "mode": self.mode}]
        return [
            Objective(metric=str(one["metric"]), mode="max" if one["mode"] == "max" else "min")
            for one in named
        ]

    @property
    def drawn(self) -> bool:
        """Whether the values of the basin's axis were drawn, not those of a grid."""
        axis, search = self.x_axis, self.meta.get("search") or {}
        configurations = self.runs["configuration"].nunique()
        return (
            axis is not None
            and search.get("name", "grid") != "grid"
            and len(axis.texts) > DRAWN_SHARE * configurations
        )

    @property
    def x_axis(self) -> Axis | None:
        """The axis of the basin: the learning rate, or else the first numeric one."""
        numeric = [axis for axis in self.axes if axis.numeric and not axis.gaps]
        rates = [axis for axis in numeric if axis.path == "optimizer.lr"]
        rates += [axis for axis in numeric if axis.path.split(".")[-1] in ("lr", "learning_rate")]
        return next(iter(rates + numeric), None)

    @property
    def group_axis(self) -> Axis | None:
        """What the basin's curves are told apart by: the schedule, or else the first
        categorical axis, or else the second numeric one."""
        others = [axis for axis in self.axes if axis is not self.x_axis and not axis.gaps]
        categorical = [axis for axis in others if not axis.numeric]
        schedules = [axis for axis in categorical if axis.path == "schedule"]
        return next(iter(schedules + categorical + others), None)

    def ranked(self) -> pd.DataFrame:
        """Complete configurations, best first: see :func:`statistics.ranking`."""
        return ranking(self.runs, self.seeds, self.mode)


def load_results(folder: Path) -> Results:
    """Reads the store in ``folder``.

    Raises:
        StoreError: there is no store, or it is damaged or of another version.
    """
    with Store.open(folder) as store:
        meta, runs, history = store.meta(), store.runs(), store.history()
        copies = tuple(store.copies())
        probes = store.probes()
    objective = meta.get("objective") or {}
    metric = objective.get("metric", "valid/loss")
    mode: Mode = "max" if objective.get("mode") == "max" else "min"
    results = build_results(meta, runs, history, metric=metric, mode=mode, copies=copies)
    return replace(results, folder=folder, probes=probes)


def build_results(
    meta: Mapping[str, Any],
    runs: pd.DataFrame,
    history: pd.DataFrame,
    *,
    metric: str,
    mode: Mode,
    copies: tuple[Copied, ...] = (),
) -> Results:
    """Results from frames in the export schema, wherever they come from."""
    named = {str(column): str(column).removeprefix("config.") for column in runs.columns}
    keys = [
        c for c in named if c.startswith("config.") and c != "config.seed" and not is_of_lottery(c)
    ]
    configs = runs[keys].rename(columns=named)
    axes, values = find_axes(configs, meta.get("axes") or {}, meta.get("conditional") or ())
    final = runs.get(f"final/{metric}", pd.Series(np.nan, index=runs.index)).astype(float)
    whole = pd.Series(
        [is_whole(*pair) for pair in zip(runs["status"], runs["reason"].astype(str), strict=True)],
        index=runs.index,
        dtype=bool,
    )
    objective = final.where(whole & np.isfinite(final))
    labels = configuration_labels(axes, values)
    added = {"whole": whole, "configuration": labels, "objective": objective}
    networks, pruning = find_networks(runs, labels, meta.get("axes") or {})
    report = meta.get("report") or {}
    return Results(
        meta=meta,
        runs=pd.concat([runs, values, pd.DataFrame(added, index=runs.index)], axis=1),
        history=history,
        axes=tuple(axes),
        seeds=tuple(sorted(set(meta.get("seeds") or runs["seed"].tolist()))),
        metric=metric,
        mode=mode,
        top=int(report.get("top") or 5),
        copies=copies,
        networks=networks,
        pruning_axes=tuple(pruning),
    )


def time_column(history: pd.DataFrame) -> str:
    """``epoch``; or ``step`` where training is shorter than two epochs."""
    return "epoch" if history["epoch"].max() >= 2 else "step"


RANGE_TEST = "range_test"


def is_range_test(runs: pd.DataFrame) -> pd.Series:
    """Whether each run is a learning-rate range test."""
    names = runs.get("config.schedule.name", pd.Series(None, index=runs.index, dtype=object))
    found: pd.Series = names == RANGE_TEST
    return found


def candidates(results: Results) -> Results:
    """The study without its range tests, which measure and are not meant to end well.

    As it is, where there is nothing else.
    """
    tests = is_range_test(results.runs)
    if not tests.any() or tests.all():
        return results
    own = {"whole", "configuration", "objective", *(axis.column for axis in results.axes)}
    runs = results.runs.loc[~tests, [c for c in results.runs if c not in own]]
    left = build_results(
        results.meta,
        runs,
        results.history[results.history["run_id"].isin(runs["run_id"])],
        metric=results.metric,
        mode=results.mode,
        copies=results.copies,
    )
    return replace(left, folder=results.folder, probes=results.probes)


def dense_only(results: Results) -> Results:
    """The dense networks of a lottery study, as a study of their own."""
    table = results.networks
    if table is None:
        return results
    kept = (table["level"] == 0) & (table["child"] == 0)
    runs = results.runs[kept]
    history = results.history[results.history["run_id"].isin(runs["run_id"])]
    return replace(results, runs=runs, history=history, networks=None)


def each_network(results: Results) -> Results:
    """The same runs, each network of a lottery study as a configuration of its own."""
    if results.networks is None:
        return results
    labels = network_labels(results.networks)
    return replace(results, runs=results.runs.assign(configuration=labels))


def best_over_rest(results: Results, x: Axis, group: Axis | None) -> pd.DataFrame:
    """The runs behind each point (x, group) of a figure, other axes at their best there.

    Where axes beyond the two vary, each point stands for the configuration with the best
    mean over seeds; where none is complete, for the first one.

    Returns:
        One row a run: ``x``, ``group`` (label), ``seed``, ``status``, ``value`` (NaN unless
        whole), ``complete`` (whether every seed of the configuration has a value).
    """
    runs = results.runs
    ranks = {label: rank for rank, label in enumerate(results.ranked().index)}
    labels = runs[group.column].map(group.texts) if group else results.metric
    frame = pd.DataFrame(
        {
            "x": runs[x.column],
            "group": labels,
            "seed": runs["seed"],
            "status": runs["status"],
            "value": runs["objective"],
            "complete": runs["configuration"].isin(list(ranks)),
            "configuration": runs["configuration"],
            "rank": runs["configuration"].map(ranks).fillna(len(ranks)),
        }
    )
    first = frame.sort_values("rank", kind="stable").drop_duplicates(["x", "group"])
    chosen = frame[frame["configuration"].isin(first["configuration"])]
    return chosen.drop(columns=["configuration", "rank"]).reset_index(drop=True)
