"""What a search with fewer configurations would have come to."""

from __future__ import annotations

import math

import altair as alt
import pandas as pd

from orchestrator.report.figures.lines import Across, draw_lines
from orchestrator.report.figures.parts import axis, scale
from orchestrator.report.labels import Axis
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.text import count, is_loss, listed, metric_words, number
from orchestrator.report.tuning_curve import enough_tries, tuning_curve

TITLE = "What a smaller search would have found"
FEWEST = 8
"""Configurations of a group below which there is no curve to speak of."""
MOST_GROUPS = 8


def tuning_curve_section(results: Results) -> Section | None:
    """Nothing where no group has eight configurations of which all seeds have ended."""
    group = results.group_axis
    group = group if group is not None and not group.numeric else None
    values = final_values(results, group)
    sizes = values.groupby("group", sort=False).size()
    large = [label for label in sizes.index if sizes[label] >= FEWEST]
    if not large:
        return None
    best = values.groupby("group")["value"].agg(results.mode)
    order = sorted(large, key=lambda label: best[label] * (1 if results.mode == "min" else -1))
    order = order[:MOST_GROUPS]
    curves = {
        label: tuning_curve(values.loc[values["group"] == label, "value"].to_numpy(), results.mode)
        for label in order
    }
    data = pd.concat([curve.assign(group=label) for label, curve in curves.items()])
    data = data.dropna(subset=["value"])
    if data.empty:
        return None
    words = metric_words(results.metric)
    grid = (results.meta.get("search") or {}).get("name", "grid") == "grid"
    drawn = "drawn from the grid" if grid else "drawn as the search drew them"
    return Section(
        title=TITLE,
        lead=f"The median final {words} of the best of n configurations {drawn}, with a band that "
        "holds the whole curve with 95 % confidence.",
        finding=_finding(results, curves),
        figures=[_figure(results, data, group, order, words)],
        notes=[
            "A configuration counts with the mean of its seeds, and as worse than all others where "
            "one of them diverged or was lost. Curves compare methods at equal tuning budgets: "
            "where bands are apart, so are the methods. Bands end where so many tries would need "
            "more configurations than were made (Lourie, Cho & He 2024)."
        ],
    )


def final_values(results: Results, group: Axis | None) -> pd.DataFrame:
    """A row a configuration that has ended: group, value (mean over seeds; ±∞ where lost)."""
    runs = results.runs
    ended = ~runs["status"].isin(("pending", "running"))
    whole = ended.groupby(runs["configuration"]).transform("all")
    kept = runs[whole]
    labels = kept[group.column] if group is not None else pd.Series("all", index=kept.index)
    worst = math.inf if results.mode == "min" else -math.inf
    value = kept["objective"].fillna(worst)
    table = pd.DataFrame({"configuration": kept["configuration"], "group": labels, "value": value})
    found: pd.DataFrame = table.groupby(["group", "configuration"], sort=False, as_index=False).agg(
        value=("value", "mean")
    )
    return found


def _finding(results: Results, curves: dict[str, pd.DataFrame]) -> str:
    words = metric_words(results.metric)
    parts = []
    for label, curve in curves.items():
        last = curve.dropna(subset=["value"]).iloc[-1]
        tried = count(int(last["n"]), "try", "tries")
        text = "" if len(curves) == 1 else f"{label}: "
        text += f"{words} {number(float(last['value']))} with {tried}"
        tries = enough_tries(curve)
        if tries is not None:
            text += f", nine tenths of the gain with {tries}"
        parts.append(text)
    said = f"Medians. {listed(parts, 4, separator='; ')}."
    apart = _apart(curves, least=results.mode == "min")
    return f"{said} {apart}" if len(curves) > 1 else said


def _apart(curves: dict[str, pd.DataFrame], *, least: bool) -> str:
    """Whom the bands tell from the one that is best in the end."""
    ends = {label: float(curve["value"].dropna().iloc[-1]) for label, curve in curves.items()}
    best = (min if least else max)(ends, key=lambda label: ends[label])
    told = [
        label for label in curves if label != best and clear_of(curves[best], curves[label], least)
    ]
    if not told:
        return f"No band is clear of that of {best}, the best in the end."
    return f"The band of {best} is clear of {listed(told)} at some number of tries."


def clear_of(best: pd.DataFrame, other: pd.DataFrame, least: bool) -> bool:
    both = best.merge(other, on="x", suffixes=("", "_other"))
    ahead = both["high"] < both["low_other"] if least else both["low"] > both["high_other"]
    return bool(ahead.any())


def _figure(
    results: Results, data: pd.DataFrame, group: Axis | None, order: list[str], words: str
) -> Figure:
    most = float(data["x"].max())
    channel = alt.X(
        "x:Q", title="configurations tried", scale=scale(True), axis=axis(1, most, True, grid=False)
    )
    ends = data[["low", "value", "high"]]
    chart = draw_lines(
        data,
        across=Across(channel=channel, title="configurations tried"),
        y_title=f"best {words} (median)",
        group_title=group.name if group else "configurations",
        order=order,
        log_y=is_loss(results.metric) and bool((ends.min() > 0).all()),
        points=False,
        counted="configurations",
    )
    return Figure(
        name="tuning_curve",
        chart=chart,
        caption=f"The best {words} of so many configurations: median, and 95 % band.",
        data=data,
        columns={"x": "tries", "group": group.name if group else "group", "value": results.metric},
    )
