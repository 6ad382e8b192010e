"""When each network was at its best: the step at which early stopping would have ended it."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.figures import draw_lines, x_weights_left
from orchestrator.report.networks import DENSE
from orchestrator.report.results import Results
from orchestrator.report.sections.lottery.cell import Cell, cell_of, leading, which
from orchestrator.report.sections.lottery.measure import SHARES, has_interval, nearest
from orchestrator.report.sections.lottery.tickets import IN_WORDS
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.statistics import Difference
from orchestrator.report.text import count, metric_words, number, percent, signed

TITLE = "How fast tickets learn"


def stopping_section(results: Results) -> Section | None:
    """None where no history has what is looked at."""
    metric, highest = _metric(results)
    if metric not in results.history or results.history[metric].isna().all():
        return None
    base, setting = leading(results)
    bare = cell_of(results, None, base, setting)
    whole = results.runs["whole"].astype(bool)[bare.table.index]
    steps = stop_steps(results.history, bare.table.loc[whole, "run_id"], metric, highest=highest)
    table = bare.table.assign(value=bare.table["run_id"].map(steps).where(whole).astype(float))
    cell = Cell(base=base, setting=setting, table=table)
    words = f"{'highest' if highest else 'lowest'} {metric_words(metric)}"
    lead = f"The step of the {words}, where early stopping would have ended training."
    if table.loc[table["kind"] != DENSE, "value"].isna().all():
        why = "No pruned network has been trained to its end yet."
        return Section(title=TITLE, lead=lead, finding=why)
    return Section(
        title=TITLE,
        lead=lead,
        finding=" ".join(_sentences(cell, words)) + which(results, base, setting),
        figures=[_figure(cell, words)],
        notes=[
            "Steps are those of evaluations: between two of them nothing is known. Of equal values"
            " the first counts."
        ],
    )


def _metric(results: Results) -> tuple[str, bool]:
    """What early stopping looks at, and whether more of it is better."""
    if "valid/loss" in results.history and results.history["valid/loss"].notna().any():
        return "valid/loss", False
    return results.metric, results.mode == "max"


def stop_steps(
    history: pd.DataFrame, run_ids: pd.Series, metric: str, *, highest: bool
) -> dict[str, float]:
    """run_id → the step of its best evaluation, the first of equal ones."""
    rows = history.loc[history["run_id"].isin(run_ids), ["run_id", "step", metric]].dropna()
    ordered = rows.sort_values([metric, "step"], ascending=[not highest, True], kind="stable")
    best = ordered.drop_duplicates("run_id")
    return dict(zip(best["run_id"], best["step"].astype(float), strict=True))


def _sentences(cell: Cell, words: str) -> list[str]:
    sentences = []
    for kind in (DENSE, *cell.kinds[1:]):
        differences = cell.differences(kind)
        shares = {level: cell.shares[level] for level in differences}
        other = "the dense network" if kind == DENSE else f"with {IN_WORDS.get(kind, kind)}"
        sentences += [
            _sentence(differences[level], f"Tickets at {percent(shares[level])}", words, other)
            for level in nearest(shares, SHARES[: 2 if kind == DENSE else 1])
        ]
    return [s for s in sentences if s] or ["No two networks of one seed can be compared yet."]


def _sentence(difference: Difference, subject: str, words: str, other: str) -> str:
    steps = f"{number(abs(difference.mean))} steps"
    way = "earlier" if difference.mean < 0 else "later"
    if not has_interval(difference):
        gap = f"{steps} {way} than" if difference.mean else "at the same step as"
        return f"{subject} are at their {words} {gap} {other} (one seed: it may be chance)."
    low, high = (signed(end, 0) for end in (difference.low, difference.high))
    interval = f"95 % interval {low} to {high}, paired, {count(difference.pairs, 'seed')}"
    if not difference.excludes_zero:
        return f"{subject} are not shown to be faster or slower than {other} ({interval})."
    return f"{subject} are at their {words} {steps} {way} than {other} ({interval})."


def _figure(cell: Cell, words: str) -> Figure:
    data = cell.lines()
    dense = cell.dense_mean()
    chart = draw_lines(
        data,
        across=x_weights_left(data["x"].tolist()),
        y_title=f"step of the {words}",
        group_title="networks",
        whole=True,
        order=list(dict.fromkeys(data["group"])),
        reference=(dense, DENSE) if dense == dense else None,
    )
    caption = (
        f"The step of the {words} against the weights left: earlier is faster. Points: means over "
        "seeds. Bands: 95 % intervals of these means."
    )
    columns = {"x": "weights_left", "group": "networks", "value": "step"}
    return Figure(name="early_stop", chart=chart, caption=caption, data=data, columns=columns)
