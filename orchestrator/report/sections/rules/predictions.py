"""What range tests say, and what a sweep of peaks found beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from orchestrator.report.labels import Axis
from orchestrator.report.range_tests import middles, read_test
from orchestrator.report.results import Results, candidates, is_range_test
from orchestrator.report.sections.curves import last_level
from orchestrator.report.sections.rules.sensitivity import TOLERANCE, curves_of
from orchestrator.report.sections.rules.trials import OWN_STEP, Trials, trials_of
from orchestrator.report.statistics import Basin, Mode, find_basin

FEWEST_POINTS = 10


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What the sweep found, of the rules whose peak a range test can predict."""

    curves: dict[str, pd.DataFrame]
    """Rule → final value by peak and seed; the best rule first."""
    basins: dict[str, Basin]
    mode: Mode

    @property
    def best(self) -> str:
        return next(iter(self.basins))


def curves_of_tests(results: Results, tests: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A row an evaluation of a range test: run_id, seed, group, rate, x (rate in the middle of the
    interval), loss; in the order of training."""
    named = tests.assign(group=_groups(results, tests))[["run_id", "seed", "group"]]
    rows = last_level(results.history.merge(named, on="run_id")).dropna(subset=["lr"])
    rows = rows.sort_values(["run_id", "step"], kind="stable")
    rows = rows.rename(columns={"lr": "rate"}).assign(loss=rows[metric].astype(float))
    parts = []
    for _, own in rows.groupby("run_id", sort=False):
        rates = own["rate"].to_numpy(dtype=float)
        if (rates > 0).all():
            parts.append(own.assign(x=middles(rates) if metric.startswith("train/") else rates))
    kept = ["run_id", "seed", "group", "step", "rate", "x", "loss"]
    return pd.concat(parts)[kept] if parts else pd.DataFrame(columns=kept)


def _groups(results: Results, tests: pd.DataFrame) -> pd.Series:
    """The configurations of the tests by what varies among them."""
    parts = []
    for axis in results.axes:
        if tests[axis.column].nunique() > 1:
            texts = tests[axis.column].map(axis.texts)
            parts.append(texts + " " + axis.name if axis.numeric else texts)
    label = pd.Series("", index=tests.index, dtype=object)
    for part in parts:
        label = label + ", " + part
    return label.str.removeprefix(", ").replace("", "range test")


def predictions(curves: pd.DataFrame, tests: pd.DataFrame) -> pd.DataFrame:
    """A row a run: group, seed, points and steps (those of the longest run of the group),
    steepest, edge, below_edge, diverged."""
    diverged = dict(zip(tests["run_id"], tests["status"] == "diverged", strict=True))
    rows = []
    for run_id, own in curves.groupby("run_id", sort=False):
        lost = bool(diverged[run_id])
        x, loss = own["x"].to_numpy(dtype=float), own["loss"].to_numpy(dtype=float)
        said = read_test(x, loss, diverged=lost)
        rows.append(
            {
                "group": own["group"].iloc[0],
                "seed": own["seed"].iloc[0],
                "points": len(own),
                "steps": int(own["step"].max()),
                "steepest": said.steepest,
                "edge": said.edge,
                "below_edge": said.below_edge,
                "diverged": lost,
            }
        )
    found = pd.DataFrame(rows)
    # A run that diverged is shorter than its length allows.
    longest = found.groupby("group")[["points", "steps"]].transform("max")
    return found.assign(points=longest["points"], steps=longest["steps"])


def shortest(said: pd.DataFrame) -> str:
    """Of several tests the shortest that has enough points: in a long one the network has learned
    before the rate is large."""
    enough = said[said["points"] >= min(FEWEST_POINTS, said["points"].max())]
    return str(enough.sort_values(["steps", "points"], kind="stable")["group"].iloc[0])


def measured(results: Results) -> Measured | None:
    """None where no grid of learning rates beside the tests has been completed."""
    rest = candidates(results)
    trials, axis = trials_of(rest) or _single(rest), rest.x_axis
    if trials is None or axis is None or not _of_rates(axis) or rest.drawn:
        return None
    table = trials.at(trials.horizons[-1])
    table = table[~table["rule"].str.partition(",")[0].isin(OWN_STEP)]
    curves = curves_of(table, trials)
    basins = {
        rule: find_basin(
            curve.index.to_numpy(dtype=float),
            curve.mean(axis=1).to_numpy(dtype=float),
            mode=trials.mode,
            swept=sorted(table.loc[table["rule"] == rule, "x"].unique()),
            tolerance=TOLERANCE,
        )
        for rule, curve in curves.items()
    }
    sign = 1 if trials.mode == "min" else -1
    ordered = dict(sorted(basins.items(), key=lambda item: sign * item[1].best_y))
    if not ordered:
        return None
    return Measured(curves=curves, basins=ordered, mode=trials.mode)


def _single(results: Results) -> Trials | None:
    """All runs under one rule, where the study compares none."""
    if results.x_axis is None or is_range_test(results.runs).all():
        return None
    runs = results.runs
    names = runs.get("config.schedule.name", pd.Series("the schedule", index=runs.index))
    table = runs[["run_id", "seed", "configuration", "status", "objective"]].assign(
        rule=str(names.iloc[0]), details="", horizon=np.nan, x=runs[results.x_axis.column]
    )
    return Trials(
        table=table,
        rules=(str(names.iloc[0]),),
        horizon=None,
        seeds=results.seeds,
        mode=results.mode,
    )


def _of_rates(axis: Axis) -> bool:
    return axis.path.split(".")[-1] in ("lr", "learning_rate") and axis.log


def within(rate: float, basin: Basin) -> bool:
    return basin.low <= rate <= basin.high
