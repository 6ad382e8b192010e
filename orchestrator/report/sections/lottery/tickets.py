"""Tickets and their controls against the weights that are left: do tickets win, and until when?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.report.figures import draw_lines, x_weights_left
from orchestrator.report.networks import DENSE, TICKET
from orchestrator.report.results import Results
from orchestrator.report.sections.lottery.cell import (
    Cell,
    cell_of,
    drawn_tickets,
    leading,
    ordered_bases,
    settings_of,
    which,
)
from orchestrator.report.sections.lottery.matching import matching_sentence, matching_until
from orchestrator.report.sections.lottery.measure import (
    SHARES,
    Measure,
    measures,
    nearest,
    worded,
)
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.statistics import Difference, summarize
from orchestrator.report.text import (
    NONE,
    decimals_for,
    listed,
    percent,
    plus_minus,
)

TITLE = "Tickets and their controls"
MOST_ROWS = 30
IN_WORDS = {
    "re-initialized": "re-initialization",
    "shuffled mask": "shuffled masks",
    "signs kept": "re-initialization that keeps the signs",
}


def tickets_section(results: Results) -> Section:
    looked_at = measures(results)
    base, setting = leading(results)
    cells = [cell_of(results, measure, base, setting) for measure in looked_at]
    words = looked_at[0].words
    lead = f"Final {words} against the weights that pruning has left."
    shown = which(results, base, setting)
    if cells[0].table.loc[cells[0].table["kind"] != DENSE, "value"].isna().all():
        why = f"No pruned network has been trained to its end yet.{shown}"
        return Section(title=TITLE, lead=lead, finding=why)
    tables = [_levels(cells[0], looked_at[0])]
    if (every := _every(results, looked_at[0])) is not None:
        tables.append(every)
    return Section(
        title=TITLE,
        lead=lead,
        finding=" ".join(_sentences(cells[0], looked_at[0])) + shown,
        figures=[_figure(*pair) for pair in zip(cells, looked_at, strict=True)],
        tables=tables,
        notes=_notes(cells[0], looked_at[0]),
    )


def _sentences(cell: Cell, measure: Measure) -> list[str]:
    sentences = [matching_sentence(cell, measure)]
    for kind in cell.kinds[1:]:
        better = told(cell, measure, kind)
        sentences.append(worded(measure, better, other=IN_WORDS.get(kind, kind)))
    sentences.append(_lost(cell))
    return [sentence for sentence in sentences if sentence]


def told(
    cell: Cell, measure: Measure, kind: str, shares: Sequence[float] = SHARES
) -> dict[str, Difference]:
    """Tickets against a control, near these shares of the weights left: what ``worded`` tells."""
    differences = cell.differences(kind)
    known = {level: cell.shares[level] for level in differences}
    return {
        f"at {percent(known[level])}": measure.better(differences[level])
        for level in nearest(known, shares)
    }


def _lost(cell: Cell) -> str:
    """How many networks have no value, and why."""
    parts = []
    for kind in [DENSE, *cell.kinds]:
        own = cell.table[cell.table["kind"] == kind]
        lost = own.loc[own["value"].isna(), "status"].value_counts(sort=False)
        if len(lost):
            reasons = listed([f"{n:,} {status}" for status, n in lost.items()])
            name = "dense networks" if kind == DENSE else kind
            parts.append(f"{int(lost.sum()):,} of {len(own):,} {name} ({reasons})")
    return f"Without a value: {listed(parts)}." if parts else ""


def _figure(cell: Cell, measure: Measure) -> Figure:
    data = cell.lines()
    dense = cell.dense_mean()
    chart = draw_lines(
        data,
        across=x_weights_left(data["x"].tolist()),
        y_title=measure.words,
        group_title="networks",
        order=list(dict.fromkeys(data["group"])),
        percent=measure.percent,
        log_y=measure.log and bool((data[["value", "low"]].min() > 0).all()),
        reference=(dense, DENSE) if dense == dense else None,
    )
    caption = (
        f"Final {measure.words} against the weights left; each line begins at the dense network. "
        "Points: means over seeds. Bands: 95 % intervals of these means."
    )
    columns = {"x": "weights_left", "group": "networks", "value": measure.metric}
    name = f"tickets_{measure.metric.replace('/', '_')}"
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)


def _levels(cell: Cell, measure: Measure) -> Table:
    """Every level: the tickets, and how they differ from the dense network and each control."""
    table = cell.table.dropna(subset=["value"])
    scale = 100 if measure.percent else 1
    own = table[table["kind"].isin([DENSE, TICKET])].assign(value=table["value"] * scale)
    found = summarize(own, "level", "value")
    decimals = decimals_for(found["sd"])
    spread = {
        level: (float(row["mean"]), float(row["sd"]), int(row["n"]))
        for level, (_, row) in zip(found.index, found.iterrows(), strict=True)
    }
    against = {kind: cell.differences(kind) for kind in (DENSE, *cell.kinds[1:])}
    rows = []
    for level, share in cell.shares.items():
        mean, deviation, seeds = spread.get(level, (math.nan, math.nan, 0))
        rows.append(
            [
                str(level),
                percent(share),
                plus_minus(mean, deviation, decimals),
                str(seeds),
                *(
                    measure.signed(found[level]) if level in found else NONE
                    for found in against.values()
                ),
            ]
        )
    unit = ", %" if measure.percent else ""
    minus = ", pp" if measure.percent else ""
    return Table(
        head=[
            *("level", "weights left", f"{measure.words}{unit}", "seeds"),
            *(f"tickets − {kind}{minus} [95 %]" for kind in against),
        ],
        rows=rows,
        align="rr" + "r" * (2 + len(against)),
        caption="Level by level: tickets (at level 0 the dense network), mean ± standard deviation,"
        " and how they differ by seed from the dense network and from each control.",
    )


def _every(results: Results, measure: Measure) -> Table | None:
    """All configurations and ways of pruning; None where there is one of each."""
    pairs = [(b, s) for b in ordered_bases(results) for s in settings_of(results, b)]
    if len(pairs) < 2:
        return None
    rows = []
    for base, setting in pairs[:MOST_ROWS]:
        cell = cell_of(results, measure, base, setting)
        dense = cell.dense_mean()
        known = measure.value(dense) if dense == dense else NONE
        until = matching_until(cell, measure)
        rows.append([base, setting or NONE, known, _middle(cell, measure), until])
    left = len(pairs) - len(rows)
    more = f"; {left:,} more are left out" if left else ""
    return Table(
        head=["configuration", "pruning", f"dense {measure.words}", "tickets", "matching down to"],
        rows=rows,
        align="llrrr",
        caption=f"All configurations and ways of pruning{more}.",
    )


def _middle(cell: Cell, measure: Measure) -> str:
    """The tickets' mean where about an eighth of the weights is left."""
    tickets = drawn_tickets(cell).set_index("level")["value"]
    shares = {int(str(level)): cell.shares[int(str(level))] for level in tickets.index}
    at = nearest(shares, SHARES[1:2])
    return f"{measure.value(tickets[at[0]])} at {percent(shares[at[0]])}" if at else NONE


def _notes(cell: Cell, measure: Measure) -> list[str]:
    notes = [
        "Tickets “match” the dense network while they are not shown to be worse: at no level so far"
        " does the 95 % Student-t interval of the difference (ticket − dense network of the same"
        " seed) lie on the worse side of 0. An interval that holds 0 does not prove them equal; its"
        " ends say how far apart the two may be.",
        "Each interval is for its level alone: of twenty, one misses by chance. A control has the"
        " ticket’s mask (where it is not shuffled) and its order of data.",
    ]
    counts = cell.means().groupby("kind")["n"].agg(["min", "max"])
    if (counts["min"] < counts["max"].max()).any():
        notes.append(
            "Some levels have fewer seeds than others: their means are of those that are there,"
            " which flatters what diverges. Differences are of the same seeds."
        )
    return notes
