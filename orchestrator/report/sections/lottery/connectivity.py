"""Children that differ in their order of data: does a straight line of low error join them?"""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import draw_lines, x_share, x_steps, x_weights_left
from orchestrator.report.networks import DENSE
from orchestrator.report.results import Results
from orchestrator.report.sections.lottery.barriers import (
    THRESHOLD,
    connected_sentences,
    levels_told,
)
from orchestrator.report.sections.lottery.cell import leading, networks, which
from orchestrator.report.sections.lottery.measure import Measure, values_of
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import mean_intervals
from orchestrator.report.text import metric_words, percent

TITLE = "Instability"
MOST_LINES = 8
_CHOICE = ("test/error", "valid/error", "test/loss", "valid/loss")


def connectivity_section(results: Results) -> Section | None:
    """None where no network has children."""
    table = networks(results)
    if not (table["child"] > 0).any():
        return None
    base, setting = leading(results)
    lead = (
        "Children of one network train from the same weights in different orders of data; the error"
        " barrier is what the straight line between two of them rises above its ends."
    )
    own = _children(table, base, setting)
    measure = _measure(results, own)
    if measure is None:
        why = "No child has been trained to its end yet, so no barrier was measured."
        return Section(title=TITLE, lead=lead, finding=why)
    own = own.assign(value=values_of(results, measure.column)[own.index])
    barriers = _barriers(own)
    sentences = connected_sentences(barriers, measure)
    figures = [*_figures(barriers, measure), *_profiles(results, own, barriers, measure)]
    variant = own["variant"].dropna().iloc[:1].tolist()
    shown = which(results, base, variant[0] if variant else "")
    note = (
        "A child and its sibling are one pair; pairs of a seed are averaged first, intervals are "
        "over seeds. The barrier is the highest value along the line minus the mean of its ends."
    )
    return Section(
        title=TITLE, lead=lead, finding=" ".join(sentences) + shown, figures=figures, notes=[note]
    )


def _children(table: pd.DataFrame, base: str, setting: str) -> pd.DataFrame:
    """Children of one configuration and one way of pruning, whatever step they part at.

    Those of the dense network know no way of pruning: they belong to each with their state of
    the optimizer.
    """
    own = table[(table["base"] == base) & (table["child"] > 0)]
    pruned = own[own["level"] > 0]
    chosen = table.loc[(table["base"] == base) & (table["setting"] == setting), "variant"]
    pruned = pruned[pruned["variant"].isin(chosen)]
    dense = own[own["level"] == 0]
    if len(pruned):
        dense = dense[dense["state"].isin(pruned["state"])]
    return pd.concat([dense, pruned])


def _measure(results: Results, own: pd.DataFrame) -> Measure | None:
    for what in _CHOICE:
        measure = Measure(metric=f"probe/barrier/{what}", higher_is_better=False)
        if values_of(results, measure.column)[own.index].notna().any():
            return measure
    return None


def _barriers(own: pd.DataFrame) -> pd.DataFrame:
    """rewind, level → x (weights left), value (mean over seeds), low, high, n, group."""
    keys = ["rewind", "level"]
    own = own.dropna(subset=["rewind"])
    of_seed = own.groupby([*keys, "seed"], as_index=False)[["value", "density"]].mean()
    shares = of_seed.groupby("level")["density"].mean()
    means = mean_intervals(of_seed, keys, "value").rename(columns={"mean": "value"})
    return means.assign(x=means["level"].map(shares))


def _names(barriers: pd.DataFrame) -> dict[int, str]:
    return {
        level: percent(share) if level else DENSE for level, share in levels_told(barriers).items()
    }


def _figures(barriers: pd.DataFrame, measure: Measure) -> list[Figure]:
    steps = sorted(set(barriers["rewind"]))
    figures = []
    if barriers["level"].nunique() > 1:
        names = {step: f"step {step:,.0f}" for step in steps[:MOST_LINES]}
        data = barriers.assign(group=barriers["rewind"].map(names)).dropna(subset=["group"])
        shares = data["x"].tolist()
        figures.append(
            _figure(data, measure, list(names.values()), "barrier", "parting at", shares)
        )
    if len(steps) > 1:
        names = _names(barriers)
        data = barriers.assign(group=barriers["level"].map(names)).dropna(subset=["group"])
        data = data.assign(x=data["rewind"])
        order = list(names.values())
        figures.append(_figure(data, measure, order, "barrier_rewind", "weights left", None))
    return figures


def _figure(
    data: pd.DataFrame,
    measure: Measure,
    order: list[str],
    name: str,
    title: str,
    shares: list[float] | None,
) -> Figure:
    steps = data["x"].tolist()
    chart = draw_lines(
        data,
        across=x_weights_left(shares) if shares else x_steps(steps, "step at which children part"),
        y_title=f"{_words(measure)} barrier",
        group_title=title,
        order=order,
        percent=measure.percent,
        reference=(THRESHOLD, "2 pp") if measure.percent else None,
    )
    against = "the weights left" if shares else "the step at which children part"
    caption = (
        f"The {_words(measure)} barrier between children against {against}. Points: means over "
        "seeds. Bands: 95 % intervals of these means."
    )
    columns = {"x": "weights_left" if shares else "step", "value": measure.metric, "group": title}
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)


def _words(measure: Measure) -> str:
    return metric_words(measure.metric.removeprefix("probe/barrier/"))


def _profiles(
    results: Results, own: pd.DataFrame, barriers: pd.DataFrame, measure: Measure
) -> list[Figure]:
    """The error along the line, mean over pairs and seeds, for each of a few levels or steps."""
    line = f"line/{measure.metric.removeprefix('probe/barrier/')}"
    probes = results.probes
    rows = probes[probes["name"] == line].merge(own.drop(columns="value"), on="run_id")
    if rows.empty:
        return []
    levels = _names(barriers)
    steps = sorted(set(barriers["rewind"]))
    rows = rows[rows["level"].isin(levels)].assign(x=rows["at"].astype(float))
    rows = rows.dropna(subset=["rewind"])
    if len(steps) < 2:
        rows["group"] = rows["level"].map(levels)
        return [_profile(rows, list(levels.values()), "weights left", measure, "line", "")]
    names = {step: f"step {step:,.0f}" for step in steps[:MOST_LINES]}
    rows["group"] = rows["rewind"].map(names)
    return [
        _profile(
            rows[rows["level"] == level],
            list(names.values()),
            "parting at",
            measure,
            f"line_level_{level}",
            " of the dense network" if level == 0 else f" of tickets at {text}",
        )
        for level, text in levels.items()
        if (rows["level"] == level).any()
    ]


def _profile(
    rows: pd.DataFrame, order: list[str], title: str, measure: Measure, name: str, whose: str
) -> Figure:
    of_seed = rows.groupby(["group", "x", "seed"], as_index=False).agg(value=("value", "mean"))
    data = mean_intervals(of_seed, ["group", "x"], "value").rename(columns={"mean": "value"})
    chart = draw_lines(
        data,
        across=x_share("place on the line from the network to its child"),
        y_title=_words(measure),
        group_title=title,
        order=[group for group in order if group in set(data["group"])],
        percent=measure.percent,
        points=False,
        height=260,
    )
    caption = (
        f"The {_words(measure)} along the straight line between children{whose}: mean over seeds, "
        "with 95 % intervals."
    )
    columns = {"x": "alpha", "group": title, "value": _words(measure).replace(" ", "_")}
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)
