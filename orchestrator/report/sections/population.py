"""Population-based training: hyperparameters over time, and how the best member came to be."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import COPY, LINEAGE, MEMBER, draw_population
from orchestrator.report.results import Results, time_column
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.text import count, listed, metric_words, number
from orchestrator.store import Lineage, lineage

TITLE = "How hyperparameters moved"
_MOST_RATIO = 20.0
"""Values that differ by more are drawn on a logarithmic axis."""


def population_section(results: Results) -> Section:
    runs = results.runs
    lead = (
        "Hyperparameters over training in the population of the best member. Dots are members that"
        " went on as copies of better ones; the bold line is the best member's past, followed back"
        " through its copies."
    )
    names = [str(name) for name in results.history if str(name).startswith("optimizer.")]
    ended = runs.dropna(subset=["objective"]).sort_values(
        "objective", ascending=results.mode == "min", kind="stable"
    )
    if not len(ended) or not names:
        why = "No member has been trained to its end yet."
        return Section(title=TITLE, lead=lead, finding=why)
    best = ended.iloc[0]
    past = lineage(results.copies, str(best["run_id"]))
    population = runs[runs["seed"] == best["seed"]]
    clock = time_column(results.history)
    table = _moments(results, population, clock)
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(results, best, population, past, table, names),
        figures=[_figure(results, table, past, name, clock) for name in names],
        tables=[_populations(results), _table(past, table, names, clock)],
        notes=[
            "regatta replay writes the best member's past as a study of its own: one run, with"
            " these values as train.changes, which comes to the same result.",
        ],
    )


def _moments(results: Results, population: pd.DataFrame, clock: str) -> pd.DataFrame:
    """The evaluations of one population: x (time), and batches seen, as copies count them."""
    chosen = population[["run_id", "config.train.batch_size"]]
    rows = results.history.merge(chosen, on="run_id")
    batches = (rows["examples"] / rows["config.train.batch_size"]).round().astype(int)
    return rows.assign(batches=batches, x=rows[clock].astype(float))


def _of_past(past: Lineage, table: pd.DataFrame) -> pd.DataFrame:
    """The evaluations of those runs that the lineage leads through, each for its time."""
    runs = [past.root, *(copy.run_id for copy in past.copies)]
    ends = [*(copy.step for copy in past.copies), int(table["batches"].max())]
    parts, start = [], 0
    for run_id, end in zip(runs, ends, strict=True):
        own = table[table["run_id"] == run_id]
        parts.append(own[(own["batches"] > start) & (own["batches"] <= end)])
        start = end
    return pd.concat(parts, ignore_index=True)


def _from_the_start(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, with the first value of each member drawn from the start."""
    first = rows.drop_duplicates("member").assign(x=0.0)
    return pd.concat([first, rows], ignore_index=True)


def _figure(results: Results, table: pd.DataFrame, past: Lineage, name: str, clock: str) -> Figure:
    members = table.assign(kind=MEMBER, member=table["run_id"], value=table[name])
    own = _of_past(past, table)
    bold = own.assign(kind=LINEAGE, member="best", value=own[name])
    moments = table.drop_duplicates("batches").set_index("batches")["x"]
    present = set(table["run_id"])
    copies = [
        {"kind": COPY, "member": copy.run_id, "x": moments[copy.step], "value": copy.values[key]}
        for copy in results.copies
        for key in [name.removeprefix("optimizer.")]
        if copy.run_id in present and copy.step in moments.index and key in copy.values
    ]
    columns = ["kind", "member", "x", "value"]
    parts = [
        _from_the_start(members)[columns],
        _from_the_start(bold)[columns],
        pd.DataFrame(copies, columns=columns),
    ]
    data = pd.concat([part for part in parts if len(part)], ignore_index=True)
    low, high = data["value"].min(), data["value"].max()
    return Figure(
        name=f"population_{name.replace('.', '_')}",
        chart=draw_population(
            data,
            x_title=f"{clock}s",
            y_title=name,
            log_y=bool(low > 0 and high > _MOST_RATIO * low),
        ),
        caption=f"{name} over training: a line a member, the best one's past in bold.",
        data=data,
        columns={"x": clock, "value": name},
    )


def _populations(results: Results) -> Table:
    """What came out of each: a population is one result, so its members are no sample of it."""
    seed_of = dict(zip(results.runs["run_id"], results.runs["seed"], strict=True))
    made = pd.Series([seed_of.get(copy.run_id) for copy in results.copies], dtype=object)
    test = f"final/test/{results.metric.rpartition('/')[2]}"
    rows = []
    for seed, members in results.runs.groupby("seed"):
        ended = members.dropna(subset=["objective"]).sort_values("objective")
        ended = ended if results.mode == "min" else ended.iloc[::-1]
        if not len(ended):
            continue
        best, middle = ended.iloc[0], ended["objective"].median()
        figures = [best["objective"], middle, best.get(test, float("nan"))]
        copies = int((made == seed).sum())
        rows.append([str(seed), str(len(members)), str(copies), *(number(f, 4) for f in figures)])
    words = metric_words(results.metric)
    return Table(
        head=[
            "seed",
            "members",
            "copies",
            words,
            "median",
            f"{metric_words(test[6:])} of the best",
        ],
        rows=rows,
        align="rrrrrr",
        caption=f"The populations: {words} of the best member and of the middle one.",
    )


def _table(past: Lineage, table: pd.DataFrame, names: list[str], clock: str) -> Table:
    moments = table.drop_duplicates("batches").set_index("batches")["x"]
    first = table[table["run_id"] == past.root].sort_values("x").iloc[0]
    rows = [["0", "0", past.root, *(number(first[name]) for name in names)]]
    for copy in past.copies:
        at = moments.get(copy.step)
        values = [number(copy.values[name.removeprefix("optimizer.")]) for name in names]
        rows.append([number(at) if at is not None else "", str(copy.step), copy.run_id, *values])
    return Table(
        head=[clock, "batches", "run", *names],
        rows=rows,
        align="rrl" + "r" * len(names),
        caption="The best member's past: from when on it was which run, with which values.",
    )


def _finding(
    results: Results,
    best: pd.Series,
    population: pd.DataFrame,
    past: Lineage,
    table: pd.DataFrame,
    names: list[str],
) -> str:
    own = _of_past(past, table)
    moves = [f"{name} {_course(own[name])}" for name in names]
    roots = {lineage(results.copies, str(run_id)).root for run_id in population["run_id"]}
    words = f"{metric_words(results.metric)} {number(best['objective'])}"
    way = f"by {count(len(past.copies), 'copy', 'copies')}" if past.copies else "without a copy"
    size = len(population)
    return (
        f"The best of {count(len(results.runs), 'member')}, run {best['run_id']}, came to {words} "
        f"{way}: {listed(moves, 4)}. Of the {size} that its population began with, "
        f"{len(roots)} {'has' if len(roots) == 1 else 'have'} descendants at the end."
    )


def _course(values: pd.Series) -> str:
    first, last = float(values.iloc[0]), float(values.iloc[-1])
    if first == last == values.min() == values.max():
        return f"stayed at {number(first)}"
    ends = f"went from {number(first)} to {number(last)}"
    low, high = float(values.min()), float(values.max())
    between = [
        f"{word} {number(at)}"
        for word, at in (("up to", high), ("down to", low))
        if at not in (first, last)
    ]
    return f"{ends} ({' and '.join(between)} between)" if between else ends
