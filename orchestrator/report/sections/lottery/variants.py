"""Ways of pruning against each other: criteria, scopes, rounds, what comes after."""

from __future__ import annotations

import math

import pandas as pd

from orchestrator.report.figures import draw_lines, x_weights_left
from orchestrator.report.networks import DENSE, TICKET
from orchestrator.report.results import Results
from orchestrator.report.sections.lottery.cell import (
    Cell,
    cell_of,
    drawn_tickets,
    leading,
    networks,
    which,
)
from orchestrator.report.sections.lottery.measure import (
    SHARES,
    Measure,
    measures,
    nearest,
    worded,
)
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import Difference, paired_difference
from orchestrator.report.text import listed, percent

TITLE = "Ways of pruning"
MOST_LINES = 8
_ALIKE = 1.25
"""Levels are compared where the shares of weights left differ by no more than this factor."""


def variants_section(results: Results) -> Section | None:
    """None where all tickets are pruned in one way."""
    base, first = leading(results)
    chosen = _settings(results, base, first)
    if len(chosen) < 2:
        return None
    measure = measures(results)[0]
    cells = {name: cell_of(results, measure, base, setting) for name, setting in chosen.items()}
    names = listed([axis.name for axis in results.pruning_axes])
    lead = f"Final {measure.words} of tickets for each {names}, against the weights left."
    data = {name: drawn_tickets(cell).assign(group=name) for name, cell in cells.items()}
    if all(line.empty for line in data.values()):
        why = "No ticket has been trained to its end yet."
        return Section(title=TITLE, lead=lead, finding=why)
    at_share = [_at(cells, share, len(results.seeds)) for share in SHARES]
    finding = " ".join(dict.fromkeys(filter(None, (_sentence(at, measure) for at in at_share))))
    shown = [name for name in cells if len(data[name])][:MOST_LINES]
    together = pd.concat([data[name] for name in shown], ignore_index=True)
    left = len(cells) - len(shown)
    more = f" Drawn: the first {len(shown)} of {len(cells)} that are there." if left else ""
    return Section(
        title=TITLE,
        lead=lead,
        finding=f"{finding or 'No two ways can be compared yet.'}{more}{which(results, base)}",
        figures=[_figure(together, shown, measure, next(iter(cells.values())).dense_mean())],
        notes=[
            "Ways are compared where they leave alike shares of the weights, and where every seed"
            " is there; differences are paired by seed, and not corrected for having picked the"
            " best."
        ],
    )


def _settings(results: Results, base: str, first: str) -> dict[str, str]:
    """Way of pruning → a setting of it: rewound to the same step as the first one, if any is."""
    table = networks(results)
    own = table[(table["base"] == base) & (table["level"] > 0)]
    rewind = own.loc[own["setting"] == first, "rewind_text"]
    alike = own["rewind_text"].isin(rewind).sort_values(ascending=False, kind="stable")
    ordered = own.loc[alike.index].drop_duplicates("variant")
    study = [str(v) for v in own["variant"].drop_duplicates()]
    found = dict(zip(ordered["variant"], ordered["setting"], strict=True))
    return {variant: str(found[variant]) for variant in study}


def _at(cells: dict[str, Cell], share: float, seeds: int) -> dict[str, tuple[float, pd.Series]]:
    """Way → the share that it leaves nearest to a wanted one, and its tickets' values by seed.

    All ways are taken near the share of the first one that has such a level.
    """
    found: dict[str, tuple[float, pd.Series]] = {}
    wanted = share
    for name, cell in cells.items():
        tickets = cell.table[(cell.table["kind"] == TICKET)].dropna(subset=["value"])
        full = tickets.groupby("level")["seed"].nunique()
        levels = {int(str(n)): cell.shares[int(str(n))] for n in full.index[full >= seeds]}
        for level in nearest(levels, (wanted,)):
            if not found:
                wanted = levels[level]
            if abs(math.log(levels[level] / wanted)) <= math.log(_ALIKE):
                values = tickets[tickets["level"] == level].groupby("seed")["value"].mean()
                found[name] = (levels[level], values)
    return found


def _sentence(at: dict[str, tuple[float, pd.Series]], measure: Measure) -> str:
    if len(at) < 2:
        return ""
    sign = -1 if measure.higher_is_better else 1
    ranked = sorted(at, key=lambda name: sign * float(at[name][1].mean()))
    best, second = ranked[:2]
    share, values = at[best]
    difference = measure.better(_difference(values, at[second][1]))
    verdict = worded(
        measure,
        {f"at {percent(share)}": difference},
        subject=f"Tickets of {best}",
        other=f"those of {second}, next in line,",
    )
    if len(ranked) < 3:
        return verdict
    last = measure.better(_difference(values, at[ranked[-1]][1]))
    return f"{verdict} The last of {len(ranked)}, {ranked[-1]}, is {measure.amount(last)} behind."


def _difference(values: pd.Series, others: pd.Series) -> Difference:
    both = pd.concat([values, others], axis=1, join="inner", keys=["a", "b"])
    return paired_difference(both["a"].to_numpy(), both["b"].to_numpy())


def _figure(data: pd.DataFrame, order: list[str], measure: Measure, dense: float) -> Figure:
    chart = draw_lines(
        data,
        across=x_weights_left(data["x"].tolist()),
        y_title=measure.words,
        group_title="pruning",
        order=order,
        percent=measure.percent,
        log_y=measure.log and bool((data[["value", "low"]].min() > 0).all()),
        reference=(dense, DENSE) if dense == dense else None,
    )
    caption = (
        f"Final {measure.words} of tickets against the weights left, a line for each way of "
        "pruning. Points: means over seeds. Bands: 95 % intervals of these means."
    )
    columns = {"x": "weights_left", "group": "pruning", "value": measure.metric}
    return Figure(name="pruning", chart=chart, caption=caption, data=data, columns=columns)
