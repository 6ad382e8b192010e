"""Several objectives: the configurations that none beats in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from orchestrator.report.figures import draw_front
from orchestrator.report.pareto import pareto_front
from orchestrator.report.results import Objective, Results
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.statistics import MOST_DRAWN, thinned
from orchestrator.report.text import count, drawn_of, is_loss, listed, metric_words, number

TITLE = "The Pareto front"
MOST_ROWS = 30


def front_section(results: Results) -> Section | None:
    """None where the study has one objective."""
    objectives = results.objectives
    if len(objectives) < 2:
        return None
    words = [metric_words(objective.metric) for objective in objectives]
    lead = f"Configurations by their mean final {listed(words)} over seeds."
    means = _means(results, objectives)
    if means.empty:
        why = "No configuration has completed with every seed yet."
        return Section(title=TITLE, lead=lead, finding=why)
    signs = [1.0 if objective.mode == "min" else -1.0 for objective in objectives]
    on_front = pareto_front(means.to_numpy() * np.array(signs))
    first = objectives[0]
    front = means[on_front].sort_values(list(means.columns), ascending=first.mode == "min")
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(means, front, words),
        figures=[_figure(means, on_front, objectives)],
        tables=[_table(front, words)],
        notes=[
            "On the front: no other configuration is at least as good in every objective and"
            " better in one. Where values are noisy, so is who is on it."
        ],
    )


def _means(results: Results, objectives: Sequence[Objective]) -> pd.DataFrame:
    """Configuration → each objective's mean over seeds, where all had all of their training."""
    columns = [f"final/{objective.metric}" for objective in objectives]
    runs = results.runs.reindex(columns=["configuration", "seed", "whole", *columns])
    values = runs[columns].astype(float)
    good = runs["whole"].astype(bool) & np.isfinite(values.to_numpy()).all(axis=1)
    grouped = runs[good].groupby("configuration", sort=False)
    complete = grouped["seed"].nunique() >= len(results.seeds)
    means: pd.DataFrame = grouped[columns].mean().loc[complete]
    # Equal shares of hits must stay equal, however they were added up.
    return means.map(lambda value: float(f"{value:.12g}"))


def _finding(means: pd.DataFrame, front: pd.DataFrame, words: Sequence[str]) -> str:
    some = f"{len(front):,} of {count(len(means), 'configuration')}"
    if len(front) == 1:
        best = _described(front, 0, words)
        return f"One of {count(len(means), 'configuration')} is best in everything: {best}."
    ends = f"{_described(front, 0, words)} to {_described(front, len(front) - 1, words)}"
    verb = "are" if len(front) > 1 else "is"
    return f"{some} {verb} on the front, from {ends}."


def _described(front: pd.DataFrame, row: int, words: Sequence[str]) -> str:
    values = [f"{word} {number(value)}" for word, value in zip(words, front.iloc[row], strict=True)]
    return f"{front.index[row]} ({', '.join(values)})"


def _figure(means: pd.DataFrame, on_front: np.ndarray, objectives: Sequence[Objective]) -> Figure:
    names = [objective.metric for objective in objectives[:2]]
    data = pd.DataFrame(
        {
            "x": means.iloc[:, 0].to_numpy(),
            "y": means.iloc[:, 1].to_numpy(),
            "kind": np.where(on_front, "on the front", "dominated"),
            "configuration": means.index,
        }
    )
    kept = np.zeros(len(data), dtype=bool)
    kept[thinned(len(data), MOST_DRAWN)] = True
    drawn = data[kept | on_front]
    logs = [
        is_loss(name) and bool((data[column] > 0).all())
        for name, column in zip(names, "xy", strict=True)
    ]
    words = [metric_words(name) for name in names]
    chart = draw_front(drawn, x_title=words[0], y_title=words[1], log_x=logs[0], log_y=logs[1])
    more = " Other objectives are not drawn." if len(objectives) > 2 else ""
    caption = (
        f"Mean final {words[1]} against {words[0]}, a point a configuration. Light: dominated."
        f" The line leads the eye along the front.{more}{drawn_of(len(drawn), len(data))}"
    )
    columns = {"x": names[0], "y": names[1]}
    return Figure(name="front", chart=chart, caption=caption, data=data, columns=columns)


def _table(front: pd.DataFrame, words: Sequence[str]) -> Table:
    rows = [
        [str(label), *(number(value, 4, pad=True) for value in values)]
        for label, values in zip(front.index[:MOST_ROWS], front.to_numpy()[:MOST_ROWS], strict=True)
    ]
    left = len(front) - len(rows)
    caption = f"The front; {left:,} more are in the figure's CSV." if left else "The front."
    return Table(
        head=["configuration", *words], rows=rows, align="l" + "r" * len(words), caption=caption
    )
