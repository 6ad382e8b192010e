"""How much each method minds its learning rate and its damping, or what comes nearest to it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_heat_map
from orchestrator.report.second_order import Tuned, bootstrap
from orchestrator.report.second_order.to_target import interval
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.second_order.study import Floats, SecondOrder
from orchestrator.report.text import NONE, distinct_numbers, fixed, number, percent

TITLE = "Sensitivity to learning rate and damping"
FACTOR = 2.0
"""Near the best is what takes at most so many times its steps."""
_LEAST = 0.02


def sensitivity_section(study: SecondOrder) -> Section | None:
    """None where no method has several values of two hyperparameters."""
    grids = {method: cells(study, method) for method in study.methods}
    grids = {m: g for m, g in grids.items() if g["x"].nunique() > 1 and g["y"].nunique() > 1}
    if not grids:
        return None
    room = {method: near(study, method) for method in study.methods}
    room = {method: found for method, found in room.items() if not math.isnan(found[0])}
    grids = {method: grid for method, grid in grids.items() if method in room}
    lead = (
        f"The share of problems on which a pair of learning rate and damping (or what comes "
        f"nearest to it) takes at most {FACTOR:g} times the fewest steps of its method."
    )
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(room) if room else "No method has reached a target yet.",
        figures=[_figure(study, method, grid) for method, grid in grids.items()],
        tables=[_table(study, room)],
        notes=[
            "Each method’s range is ours, so that shares say as much of the range as of the method:"
            " compare them where ranges are as many times as wide. Batch sizes of a task share "
            "its weight. Intervals: seeds drawn anew."
        ],
    )


def _inside(one: Tuned) -> Floats:
    """(points,): 1 where a point is near the best of its method and problem, NaN where there is
    none."""
    if math.isinf(one.best):
        return np.full(len(one.points), np.nan)
    return (one.costs <= FACTOR * one.best).astype(float)


def cells(study: SecondOrder, method: str) -> pd.DataFrame:
    """A row a pair: x (rate), y (the other), value (share of problems), with their labels."""
    own = study.trials[study.trials["method"] == method]
    places = own.drop_duplicates(["problem", "point"])[
        ["problem", "point", "weight", "rate", "second"]
    ]
    near_best = []
    for problem, point in zip(places["problem"], places["point"], strict=True):
        one = study.taken["steps"][str(problem), method]
        near_best.append(_inside(one)[one.points.index(str(point))])
    table = places.assign(value=near_best, x=places["rate"], y=places["second"])
    table = table.dropna(subset=["x", "y"])
    known = table.dropna(subset=["value"])
    part = known.assign(part=known["value"] * known["weight"])
    sums = part.groupby(["x", "y"])[["part", "weight"]].sum()
    grid = table[["x", "y"]].drop_duplicates().sort_values(["y", "x"])
    share = (sums["part"] / sums["weight"]).rename("value").reset_index()
    return grid.merge(share, on=["x", "y"], how="left").reset_index(drop=True)


def near(study: SecondOrder, method: str) -> tuple[float, float, float]:
    """The share of a method's trials near its best: mean over problems, with its interval."""
    shares, weights, draws = [], [], []
    for place, problem in enumerate(study.problems):
        one = study.taken["steps"].get((problem, method))
        if one is None or math.isinf(one.best):
            continue
        shares.append(float(_inside(one).mean()))
        weights.append(float(study.weights[place]))
        draws.append(_drawn(one))
    if not shares:
        return (math.nan, math.nan, math.nan)
    value = float(np.average(shares, weights=weights))
    if study.trials["seed"].nunique() < 2:
        return (value, math.nan, math.nan)
    return (value, *interval(np.average(np.array(draws), axis=0, weights=weights)))


def _drawn(one: Tuned) -> Floats:
    """The share near the best of each resample: 0 where none reaches the target."""
    each = {
        point: Tuned(
            points=(point,), seeds=one.seeds, values=one.values[i : i + 1], budget=one.budget
        )
        for i, point in enumerate(one.points)
    }
    costs = np.array(list(bootstrap(each).values()))  # (points, resamples)
    inside: Floats = (np.isfinite(costs) & (costs <= FACTOR * costs.min(0))).mean(0)
    return inside


def _finding(room: dict[str, tuple[float, float, float]]) -> str:
    wide = max(room, key=lambda method: room[method][0])
    narrow = min(room, key=lambda method: room[method][0])
    if len(room) == 1:
        return f"{wide}: {_share(room[wide])} of its trials are near its best."
    apart = room[wide][1] > room[narrow][2]
    if room[wide][0] - room[narrow][0] < _LEAST or not (apart or math.isnan(room[wide][1])):
        return (
            "Methods are not told apart by how much they mind their hyperparameters: near the "
            f"best are {_share(room[narrow])} ({narrow}) to {_share(room[wide])} ({wide}) of the "
            "trials."
        )
    return (
        f"{wide} minds its hyperparameters least: {_share(room[wide])} of its trials are near its "
        f"best; {narrow} most: {_share(room[narrow])}."
    )


def _share(found: tuple[float, float, float]) -> str:
    value, low, high = found
    text = percent(value, 2)
    if math.isnan(low):
        return text
    return f"{text} [{number(100 * low)}, {number(100 * high)}]"


def _figure(study: SecondOrder, method: str, grid: pd.DataFrame) -> Figure:
    other = str(study.trials.loc[study.trials["method"] == method, "other"].iloc[0])
    texts = {axis: distinct_numbers(grid[axis]) for axis in ("x", "y")}
    data = grid.assign(
        x=grid["x"].map(texts["x"]),
        y=grid["y"].map(texts["y"]),
        text=[fixed(v, 2) if v == v else NONE for v in grid["value"]],
    )
    chart = draw_heat_map(
        data,
        x_title="learning rate",
        y_title=other,
        value_title="problems",
        columns=list(texts["x"].values()),
        rows=[*texts["y"].values()][::-1],
        log=False,
        higher_is_better=True,
        percent=True,
    )
    caption = (
        f"{method}: the share of problems on which a learning rate (across) and {other} (up) take "
        f"at most {FACTOR:g} times its fewest steps."
    )
    name = "sensitivity_" + "".join(c if c.isalnum() else "_" for c in method)
    columns = {"x": "learning_rate", "y": other.replace(" ", "_"), "value": "share"}
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)


def _table(study: SecondOrder, room: dict[str, tuple[float, float, float]]) -> Table:
    rows = []
    for method, (value, low, high) in room.items():
        own = study.trials[study.trials["method"] == method]
        rates, seconds = own["rate"].dropna(), own["second"].dropna()
        rows.append(
            [
                method,
                percent(value, 2),
                f"{percent(low, 2)} – {percent(high, 2)}" if low == low else NONE,
                f"{number(rates.min())} – {number(rates.max())}" if len(rates) else NONE,
                str(own["other"].iloc[0]) or NONE,
                f"{number(seconds.min())} – {number(seconds.max())}" if len(seconds) else NONE,
            ]
        )
    head = ["method", "near its best", "95 %", "learning rates", "other", "its values"]
    return Table(head=head, rows=rows, align="lrrrlr", caption="Room", folded=True)
