"""The best configurations, ranked on the objective, with their spread over seeds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report.results import Results
from orchestrator.report.sections.model import Section, Table
from orchestrator.report.sections.stopped import stopped_table
from orchestrator.report.statistics import Difference, difference_between, summarize
from orchestrator.report.text import (
    NONE,
    count,
    decimals_for,
    fixed,
    listed,
    metric_words,
    number,
    plus_minus,
    signed,
)

TESTED = ("test/accuracy", "test/r2", "test/squared_error", "test/perplexity", "test/loss")


def headline_section(results: Results) -> Section:
    title = "The best configurations"
    ranked = results.ranked()
    words = metric_words(results.metric)
    lead = (
        f"Configurations by mean final {words} over seeds, "
        f"{'lowest' if results.mode == 'min' else 'highest'} first."
    )
    if ranked.empty:
        stopped = stopped_table(results, ranked)
        tables = [stopped] if stopped else []
        return Section(title=title, lead=lead, finding=_nothing(results), tables=tables)
    top = ranked.head(results.top)
    differences = {
        label: difference_between(results.runs, label, str(top.index[0])) for label in top.index[1:]
    }
    decimals = decimals_for(top["sd"])
    return Section(
        title=title,
        lead=lead,
        finding=_finding(results, ranked, differences, decimals),
        tables=[
            _table(results, top, differences, decimals),
            *filter(None, [stopped_table(results, ranked)]),
        ],
        notes=_notes(results, ranked),
    )


def _nothing(results: Results) -> str:
    """Why nothing is ranked."""
    finals = [str(c).removeprefix("final/") for c in results.runs if str(c).startswith("final/")]
    if finals and results.metric not in finals and results.runs["whole"].any():
        return f"No run has reported {results.metric}; reported were {listed(finals)}."
    return f"No configuration has been trained to its end{_all_seeds(results)} yet: {_NOTHING}."


_NOTHING = "nothing can be ranked"


def _all_seeds(results: Results) -> str:
    n = len(results.seeds)
    return "" if n == 1 else f" with all {n} seeds"


def _finding(
    results: Results, ranked: pd.DataFrame, differences: dict[str, Difference], decimals: int
) -> str:
    best = ranked.iloc[0]
    value = plus_minus(best["mean"], best["sd"], decimals)
    spread = (
        f" (mean ± standard deviation over {int(best['n'])} seeds; "
        f"{fixed(best['low'], decimals)} to {fixed(best['high'], decimals)})"
        if best["n"] > 1
        else " (one seed, so its spread is not known)"
    )
    first = f"Best: {ranked.index[0]}, {metric_words(results.metric)} {value}{spread}."
    if not differences:
        return f"{first} No other configuration can be compared with it."
    label, difference = next(iter(differences.items()))
    return f"{first} {_runner_up(label, difference, decimals)}{_ties(differences)}"


def _runner_up(label: str, difference: Difference, decimals: int) -> str:
    behind = f"The runner-up, {label}, {_behind(abs(difference.mean), decimals)}"
    if math.isnan(difference.low):
        return f"{behind}; with one shared seed nobody can say whether that is chance."
    interval = _interval(difference, decimals)
    verdict = (
        "the two are distinguishable"
        if difference.excludes_zero
        else "with these seeds it is not distinguishable from the best"
    )
    return f"{behind} (95 % interval of the difference {interval}): {verdict}."


def _behind(gap: float, decimals: int) -> str:
    if gap == 0:
        return "is equal to it"
    text = f"{gap:.{decimals}f}"
    return f"is {text if float(text) else f'less than {10**-decimals:.{decimals}f}'} behind"


def _ties(differences: dict[str, Difference]) -> str:
    known = [d for d in differences.values() if not math.isnan(d.low)]
    if len(known) < 2:
        return ""
    ties = sum(not d.excludes_zero for d in known)
    some = "None" if ties == len(known) else f"{len(known) - ties}"
    return f" {some} of the {len(known)} configurations next in line can be told from the best."


def _interval(difference: Difference, decimals: int) -> str:
    return f"{signed(difference.low, decimals)} to {signed(difference.high, decimals)}"


def _table(
    results: Results, top: pd.DataFrame, differences: dict[str, Difference], decimals: int
) -> Table:
    words = metric_words(results.metric)
    columns: dict[str, list[str]] = {
        "#": [str(i + 1) for i in range(len(top))],
        "configuration": [str(label) for label in top.index],
        words: [plus_minus(m, s, decimals) for m, s in zip(top["mean"], top["sd"], strict=True)],
    }
    if top["n"].max() > 1:
        columns["min – max"] = [
            f"{fixed(low, decimals)} – {fixed(high, decimals)}"
            for low, high in zip(top["low"], top["high"], strict=True)
        ]
    for metric in _tested(results.metric):
        if metric != results.metric and f"final/{metric}" in results.runs:
            columns[metric_words(metric)] = _means(results, metric, top.index)
    if (epochs := _epochs(results, top.index)) is not None:
        columns["epochs"] = epochs
    columns["seeds"] = [str(int(n)) for n in top["n"]]
    if differences:
        columns["difference to best [95 %]"] = [NONE] + [
            f"{signed(d.mean, decimals)} [{fixed(d.low, decimals)}, {fixed(d.high, decimals)}]"
            if not math.isnan(d.low)
            else signed(d.mean, decimals)
            for d in differences.values()
        ]
    rows = list(zip(*columns.values(), strict=True))
    return Table(head=list(columns), rows=rows, align="rl" + "r" * (len(columns) - 2))


def _epochs(results: Results, labels: pd.Index) -> list[str] | None:
    """How long the ranked ones trained, where that was not the same."""
    runs = results.runs[results.runs["configuration"].isin(labels)]
    means = runs.groupby("configuration")["epochs"].mean().loc[labels]
    return [number(float(mean)) for mean in means] if means.nunique() > 1 else None


def _tested(objective: str) -> list[str]:
    """Test metrics to show: errors in place of accuracies where the objective is an error."""
    rather = {"test/accuracy": "test/error"} if objective.endswith("/error") else {}
    return [rather.get(metric, metric) for metric in TESTED]


def _means(results: Results, metric: str, labels: pd.Index) -> list[str]:
    runs = results.runs[results.runs["configuration"].isin(labels)]
    summary = summarize(runs, "configuration", f"final/{metric}").loc[labels]
    decimals = decimals_for(summary["sd"])
    return [plus_minus(m, s, decimals) for m, s in zip(summary["mean"], summary["sd"], strict=True)]


def _notes(results: Results, ranked: pd.DataFrame) -> list[str]:
    notes = []
    left = results.runs[~results.runs["configuration"].isin(ranked.index)]
    if len(left):
        notes.append(
            f"Ranked: {count(len(ranked), 'configuration')} trained to the end"
            f"{_all_seeds(results)}. Not ranked: {_reasons(left)}{_why(results, left)}."
        )
    ended = results.runs[results.runs["whole"] & (results.runs["status"] == "stopped")]
    if len(ended):
        notes.append(
            f"Ended by patience, or by ASHA at its max, and ranked: {count(len(ended), 'run')}. "
            "That is all the training that the study gives them, whatever others come to."
        )
    split = metric_words(results.metric).split()[0]
    tested = any(f"final/{metric}" in results.runs for metric in TESTED)
    if split != "test" and (tested or not results.trainable):
        notes.append(
            f"Configurations are chosen by {split} alone; test figures are those of the chosen "
            "ones and played no part."
        )
    same = "" if results.trainable else " (same initialization and order of data)"
    notes.append(
        f"Differences are paired by seed{same}, with Student-t "
        "intervals; they are not corrected for having picked the best of "
        f"{count(len(ranked), 'configuration')}."
    )
    return notes


def _why(results: Results, left: pd.DataFrame) -> str:
    """Why it would not be fair to rank them."""
    why = []
    if (left["status"].eq("stopped") & ~left["whole"]).any():
        why.append("runs that were stopped had less training than those above")
    if len(results.seeds) > 1:
        why.append("a mean over the seeds that survive would flatter")
    return f", since {listed(why)}" if why else ""


def _reasons(left: pd.DataFrame) -> str:
    """Why configurations are not ranked: the gravest status among the runs of each."""
    order = ["failed", "diverged", "stopped", "running", "pending", "completed"]
    words = {
        "failed": "with a failed run",
        "diverged": "with a diverged run",
        "stopped": "stopped early",
        "running": "unfinished",
        "pending": "unfinished",
        "completed": "without a finite value",
    }
    rank = left["status"].map({status: i for i, status in enumerate(order)}).fillna(len(order) - 1)
    worst = rank.groupby(left["configuration"], sort=False).min().astype(int)
    reasons = [words[order[i]] for i in np.sort(worst.to_numpy())]
    return listed([f"{reasons.count(reason):,} {reason}" for reason in dict.fromkeys(reasons)])
