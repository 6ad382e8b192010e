"""Configurations that early stopping has ended: how far they came, and what they had by then."""

from __future__ import annotations

import pandas as pd

from orchestrator.report.results import Results
from orchestrator.report.sections.model import Table
from orchestrator.report.text import NONE, metric_words, number


def stopped_table(results: Results, ranked: pd.DataFrame) -> Table | None:
    """The stopped configurations that came furthest, the best of them first; None without any.

    They are not ranked with the others: their values were measured after less training.
    """
    runs = results.runs[~results.runs["configuration"].isin(ranked.index)]
    early = runs[runs["status"].eq("stopped") & ~runs["whole"]]
    if early.empty:
        return None
    clock = "epochs" if early["epochs"].max() > 0 else "steps"
    metric = f"final/{results.metric}"
    found = early.assign(last=early.get(metric, float("nan"))).groupby("configuration", sort=False)
    frame = found.agg(
        trained=(clock, "mean"),
        last=("last", "mean"),
        n=("seed", "nunique"),
        why=("reason", "first"),
    ).sort_values(["trained", "last"], ascending=[False, results.mode == "min"], kind="stable")
    shown = frame.head(results.top)
    words = metric_words(results.metric)
    rows = [
        [
            *("stopped", str(label), number(float(row["trained"])), _value(float(row["last"]))),
            *(str(row["n"]), str(row["why"])),
        ]
        for label, row in shown.iterrows()
    ]
    some = len(frame) > len(shown)
    which = f": the {len(shown):,} of {len(frame):,} that came furthest" if some else ""
    return Table(
        head=["status", "configuration", clock, f"{words} then", "seeds", "reason"],
        rows=rows,
        align="llrrrl",
        caption=f"Stopped early and not ranked{which}, with what they had by then.",
    )


def _value(value: float) -> str:
    return number(value, pad=True) if value == value else NONE
