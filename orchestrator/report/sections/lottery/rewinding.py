"""The step that weights are rewound to, against what tickets come to."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import draw_lines, x_steps
from orchestrator.report.networks import DENSE, TICKET
from orchestrator.report.results import Results
from orchestrator.report.sections.lottery.cell import as_differences, leading, networks, which
from orchestrator.report.sections.lottery.measure import (
    SHARES,
    Measure,
    has_interval,
    measures,
    nearest,
    values_of,
    worded,
)
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import mean_intervals
from orchestrator.report.text import is_loss, number, percent

TITLE = "Rewinding"
MOST_LINES = 8


def rewinding_section(results: Results) -> Section | None:
    """None where all tickets are rewound to one step."""
    base, _ = leading(results)
    table = networks(results)
    own = table[(table["base"] == base) & (table["child"] == 0)]
    tickets = own[own["kind"] == TICKET].dropna(subset=["rewind"])
    if tickets["rewind"].nunique() < 2:
        return None
    measure = measures(results)[0]
    values = values_of(results, measure.column)
    tickets = tickets.assign(value=values[tickets.index]).dropna(subset=["value"])
    dense = own[own["kind"] == DENSE].set_index("seed")["run_id"].index
    dense_values = values[own.index[own["kind"] == DENSE]].set_axis(dense)
    lead = f"Final {measure.words} against the step that tickets are rewound to."
    if tickets.empty:
        why = "No ticket has been trained to its end yet."
        return Section(title=TITLE, lead=lead, finding=why)
    shares = tickets.groupby("level")["density"].mean()
    levels = nearest({int(str(n)): float(s) for n, s in shares.items()}, SHARES)
    named = {level: percent(float(shares[level])) for level in levels}
    first = _first_variant(tickets)
    sentences = [_sentence(first, level, named, measure) for level in levels]
    sentences += [_matching(first, dense_values, level, named, measure) for level in levels]
    found = " ".join(sentence for sentence in sentences if sentence)
    return Section(
        title=TITLE,
        lead=lead,
        finding=(found or "No two rewind steps can be compared yet.") + which(results, base),
        figures=_figures(tickets, named, measure, float(dense_values.mean())),
        notes=[
            "Differences are paired by seed. That between the best step and the first is not"
            " corrected for having picked the best of several."
        ],
    )


def _first_variant(tickets: pd.DataFrame) -> pd.DataFrame:
    chosen: pd.DataFrame = tickets[tickets["variant"] == tickets["variant"].iloc[0]]
    return chosen


def _by_step(tickets: pd.DataFrame, level: int) -> pd.DataFrame:
    """Seeds × rewind steps."""
    own = tickets[tickets["level"] == level]
    means = own.groupby(["seed", "rewind"], as_index=False).agg(value=("value", "mean"))
    return means.pivot(index="seed", columns="rewind", values="value")


def _sentence(tickets: pd.DataFrame, level: int, named: dict[int, str], measure: Measure) -> str:
    """The best step against the first one."""
    values = _by_step(tickets, level).dropna(axis="columns", how="any")
    if values.shape[1] < 2:
        return ""
    means = values.mean() * (1 if measure.higher_is_better else -1)
    best, first = float(str(means.idxmax())), float(values.columns[0])
    if best == first:
        steps = f"{values.shape[1]} steps is better than the first, {number(first, 6)}"
        return f"At {named[level]}, none of {steps}."
    frame = pd.DataFrame({"key": 0, "d": values[best] - values[first]})
    difference = measure.better(as_differences(mean_intervals(frame, ["key"], "d"))[0])
    return worded(
        measure,
        {f"at {named[level]}": difference},
        subject=f"Tickets rewound to step {number(best, 6)}",
        other=f"those rewound to step {number(first, 6)}",
    )


def _matching(
    tickets: pd.DataFrame,
    dense: pd.Series,
    level: int,
    named: dict[int, str],
    measure: Measure,
) -> str:
    """The earliest step from which on tickets are not shown to be worse than the dense network."""
    values = _by_step(tickets, level)
    apart = values.sub(dense, axis="index").melt(var_name="rewind", value_name="d")
    apart["rewind"] = apart["rewind"].astype(float)
    better = {
        step: measure.better(difference)
        for step, difference in as_differences(mean_intervals(apart, ["rewind"], "d")).items()
        if has_interval(difference)
    }
    steps = sorted(better)
    worse = [step for step in steps if better[step].high < 0]
    if not worse:
        return ""
    later = [step for step in steps if step > worse[-1]]
    if not later:
        last = number(steps[-1], 6)
        return (
            f"At {named[level]}, tickets are worse than the dense network up to step {last}, the "
            "last one tried."
        )
    return (
        f"At {named[level]}, tickets match the dense network from step {number(later[0], 6)} on, "
        f"and are worse than it up to step {number(worse[-1], 6)}."
    )


def _figures(
    tickets: pd.DataFrame, named: dict[int, str], measure: Measure, dense: float
) -> list[Figure]:
    """One figure with a line a level; where ways of pruning vary, one a level with a line a way."""
    variants = list(tickets["variant"].drop_duplicates())
    chosen = tickets[tickets["level"].isin(named)]
    if len(variants) < 2:
        grouped = chosen.assign(group=chosen["level"].map(named))
        order = list(named.values())
        return [_figure(grouped, order, "weights left", measure, dense, "rewinding", "")]
    return [
        _figure(
            chosen[chosen["level"] == level].assign(group=lambda rows: rows["variant"]),
            [str(variant) for variant in variants[:MOST_LINES]],
            "pruning",
            measure,
            dense,
            f"rewinding_level_{level}",
            f" at {text} of the weights",
        )
        for level, text in named.items()
    ]


def _figure(
    rows: pd.DataFrame,
    order: list[str],
    title: str,
    measure: Measure,
    dense: float,
    name: str,
    where: str,
) -> Figure:
    means = mean_intervals(rows[rows["group"].isin(order)], ["group", "rewind"], "value")
    data = means.rename(columns={"rewind": "x", "mean": "value"})
    chart = draw_lines(
        data,
        across=x_steps(data["x"].tolist(), "rewound to step"),
        y_title=measure.words,
        group_title=title,
        order=[group for group in order if group in set(data["group"])],
        percent=measure.percent,
        log_y=is_loss(measure.metric) and bool((data[["value", "low"]].min() > 0).all()),
        reference=(dense, DENSE) if dense == dense else None,
    )
    caption = (
        f"Final {measure.words} of tickets{where} against the step that they are rewound to. "
        "Points: means over seeds. Bands: 95 % intervals of these means."
    )
    columns = {"x": "rewind_step", "group": title, "value": measure.metric}
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)
