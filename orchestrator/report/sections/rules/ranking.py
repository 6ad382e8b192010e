"""Which rule is best: at the end, along the way, and to a target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from orchestrator.report.comparisons import kendall
from orchestrator.report.figures import draw_forest
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.rules.rankings import Ranking, rankings_of
from orchestrator.report.sections.rules.trials import Entry, Trials, has_target, trials_of
from orchestrator.report.sections.rules.words import difference_text, separable, told
from orchestrator.report.text import (
    NONE,
    listed,
    metric_words,
    number,
    plus_minus,
)


def ranking_section(results: Results) -> Section | None:
    """None where a study compares no rules."""
    trials = trials_of(results)
    if trials is None:
        return None
    horizon = trials.horizons[-1]
    title = f"Which {trials.title()}"
    lead = (
        f"Each {trials.title()} at its best configuration, ranked in three ways: by the value at "
        "the end, by the mean along training, and by the steps to a target."
    )
    rankings, target = rankings_of(results, trials, horizon)
    shown = [ranking for ranking in rankings if ranking.entries]
    if not shown:
        why = f"No {trials.title()} has been trained to its end with every seed yet."
        return Section(title=title, lead=lead, finding=why)
    return Section(
        title=title,
        lead=lead,
        finding=_finding(trials, horizon, rankings),
        figures=[_figure(ranking, trials) for ranking in shown if len(ranking.entries) > 1],
        tables=[_overview(shown, trials), *(_table(ranking, trials) for ranking in shown)],
        notes=_notes(results, trials, target),
    )


def _finding(trials: Trials, horizon: float, rankings: Sequence[Ranking]) -> str:
    at = trials.words(horizon)
    head = f"With {at}, the longest of {len(trials.horizons)} lengths: " if at else ""
    sentences = [_sentence(ranking, trials) for ranking in rankings]
    first = sentences[0] if not head else f"{head}{sentences[0][:1].lower()}{sentences[0][1:]}"
    placed = [ranking for ranking in rankings if ranking.entries]
    return " ".join([first, *sentences[1:], *_agreement(placed)])


def _sentence(ranking: Ranking, trials: Trials) -> str:
    if not ranking.entries:
        return f"No {trials.title()} has {ranking.words} with every seed."
    best = ranking.entries[0]
    value = plus_minus(best.mean, best.sd, ranking.decimals)
    at = f" ({best.details})" if best.details else ""
    first = f"By {ranking.words}, {best.rule}{at} is first with {value}."
    return f"{first} {separable(ranking.entries)}{_lost(ranking)}"


def _lost(ranking: Ranking) -> str:
    if not ranking.unranked:
        return ""
    return f" Without a place: {listed(list(ranking.unranked))}."


def _agreement(rankings: Sequence[Ranking]) -> list[str]:
    if len(rankings) < 2:
        return []
    firsts = {ranking.name: ranking.entries[0].rule for ranking in rankings}
    if len(set(firsts.values())) == 1:
        number_words = {2: "both", 3: "all three"}[len(rankings)]
        head = f"{rankings[0].entries[0].rule} is first in {number_words} rankings."
    else:
        head = "The rankings have different winners."
    final, *others = rankings
    taus = []
    for other in others:
        both = [rule for rule in final.places if rule in other.places]
        tau = kendall([final.places[r] for r in both], [other.places[r] for r in both])
        if len(both) > 2 and math.isfinite(tau):
            taus.append(f"{number(tau, 2)} with {other.name}")
    agree = f"The order by {final.name} agrees (Kendall's τ) to {listed(taus)}." if taus else ""
    return [text for text in (head, agree) if text]


def _figure(ranking: Ranking, trials: Trials) -> Figure:
    data = forest_data(ranking.entries)
    x_title = f"{ranking.words}: difference to {ranking.entries[0].rule}"
    chart = draw_forest(
        data, x_title=x_title, group_title=trials.title(), order=data["group"].tolist()
    )
    caption = (
        f"{ranking.words.capitalize()}: how far each {trials.title()} is from the best, in pairs "
        "by seed, with 95 % intervals; told apart is after the correction for all of them."
    )
    columns = {"group": trials.title(), "value": "difference"}
    name = f"ranking_{ranking.name.replace(' ', '_').replace('-', '_')}"
    return Figure(name=name, chart=chart, caption=caption, data=data, columns=columns)


def forest_data(entries: Sequence[Entry]) -> pd.DataFrame:
    """A row a rule: group, details, value (difference to the first), low, high, kind."""
    rows = []
    for entry in entries:
        c = entry.comparison
        d = c.difference if c else None
        rows.append(
            {
                "group": entry.rule,
                "details": entry.details,
                "value": d.mean if d else 0.0,
                "low": d.low if d else np.nan,
                "high": d.high if d else np.nan,
                "kind": "best" if c is None else "told apart" if c.told_apart else "not told apart",
            }
        )
    return pd.DataFrame(rows)


def _overview(rankings: Sequence[Ranking], trials: Trials) -> Table:
    """Places side by side; = marks what cannot be told from the first."""
    order = [entry.rule for entry in rankings[0].entries]
    order += [rule for rule in trials.rules if rule not in order]
    marks = [
        {
            entry.rule: "=" if entry.comparison and not entry.comparison.told_apart else ""
            for entry in ranking.entries
        }
        for ranking in rankings
    ]
    rows = [
        [
            rule,
            *(
                f"{mark[rule]}{ranking.places[rule]}" if rule in ranking.places else NONE
                for ranking, mark in zip(rankings, marks, strict=True)
            ),
        ]
        for rule in order
    ]
    return Table(
        head=[trials.title(), *(ranking.name for ranking in rankings)],
        rows=rows,
        align="l" + "r" * len(rankings),
        caption="Places. = marks those that cannot be told from the first.",
    )


def _table(ranking: Ranking, trials: Trials) -> Table:
    rows = [
        [
            str(place),
            entry.rule,
            entry.details or NONE,
            plus_minus(entry.mean, entry.sd, ranking.decimals),
            difference_text(entry.comparison),
            told(entry.comparison),
        ]
        for place, entry in enumerate(ranking.entries, start=1)
    ]
    rows += [[NONE, rule, NONE, why, NONE, NONE] for rule, why in ranking.unranked.items()]
    return Table(
        head=[
            "#",
            trials.title(),
            "at",
            ranking.words,
            "difference to the first [95 %]",
            "told apart",
        ],
        rows=rows,
        align="rllrrl",
        caption=f"By {ranking.words}.",
        folded=True,
    )


def _notes(results: Results, trials: Trials, target: str) -> list[str]:
    split = metric_words(results.metric).split()[0]
    notes = [
        f"Of each {trials.title()} the configuration is taken that has the best mean on {split}, "
        "for each ranking its own; only those that every seed completed. Differences are paired by "
        "seed, with Student-t intervals. “Told apart” is at the 5 % level after Holm's correction "
        "for all that are compared; “alone” is without it. Choosing among configurations flatters "
        "all.",
    ]
    if results.metric in results.history and not has_target(results):
        notes.append(
            "The mean along training is the area under the curve over its length, from the first "
            "evaluation to the last."
        )
    if target:
        notes.append(
            f"The target is {target}. Steps are known up to the time between evaluations, which is "
            "part of the intervals. A run that does not reach it is censored: there is no mean, "
            "and no place, without every seed."
        )
    return notes
