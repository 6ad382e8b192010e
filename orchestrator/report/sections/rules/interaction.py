"""Whether the best weight decay, or momentum, depends on the rule, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from orchestrator.report.comparisons import Comparison, compare_all
from orchestrator.report.figures import draw_heat_map
from orchestrator.report.labels import Axis
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.sections.rules.trials import (
    Entry,
    Trials,
    best_of_each,
    has_target,
    trials_of,
)
from orchestrator.report.sections.rules.words import by
from orchestrator.report.text import count, is_loss, listed, metric_words, number

SETTINGS = ("weight_decay", "momentum", "beta1")
MOST_VALUES = 12
"""An axis with more values was drawn: there are no rows and columns."""
Cells = Mapping[str, Mapping[str, pd.Series]]
"""One of two choices → the other → seed → value."""


@dataclass(frozen=True, kw_only=True)
class Dependence:
    """How the best of one choice moves with the other."""

    common: str
    """What loses least over all of the other: in sum, each relative to the best there."""
    best: dict[str, str]
    """The other → what is best there."""
    comparisons: dict[tuple[str, str], Comparison]
    """(the other, a choice) against the common one there; all corrected together."""

    def better(self, sign: int) -> dict[str, Comparison]:
        """The other → where its best is told from the common choice, and better."""
        found = {at: self.comparisons[at, self.best[at]] for at in self.moved}
        return {at: c for at, c in found.items() if c.told_apart and sign * c.difference.mean < 0}

    @property
    def moved(self) -> list[str]:
        return [at for at, choice in self.best.items() if choice != self.common]


def interaction_section(results: Results) -> Section | None:
    """None where neither weight decay nor momentum varies beside rules, on a grid."""
    trials = trials_of(results)
    axes = [
        axis
        for axis in results.axes
        if axis.path.split(".")[-1] in SETTINGS
        and axis.numeric
        and 2 <= len(axis.texts) <= MOST_VALUES
    ]
    if trials is None or not axes or has_target(results):
        return None
    names = [axis.name for axis in axes]
    words = metric_words(results.metric)
    rule = trials.title()
    lead = (
        f"Final {words} for each {rule} and {listed(names)}, all else at its best for each pair: "
        f"does the best value of the one depend on the other?"
    )
    findings, figures = [], []
    for axis in axes:
        entries = _entries(results, trials, axis)
        finding, figure = _of_axis(entries, trials, axis, results)
        findings.append(finding)
        figures += [figure] if figure else []
    return Section(
        title="Weight decay and momentum" if len(axes) > 1 else f"The {rule} and the {names[0]}",
        lead=lead,
        finding=" ".join(findings),
        figures=figures,
        notes=[
            f"The common value is the one that loses least in sum over every {rule}, relative to "
            "its best. A dependence is shown where another value is better than the common one and "
            "told from it, in pairs by seed, after Holm's correction for all values tried; "
            "intervals are without it."
        ],
    )


def _entries(results: Results, trials: Trials, axis: Axis) -> dict[str, dict[str, Entry]]:
    """Text of the value → rule → the best configuration there, for the longest training."""
    table = trials.at(trials.horizons[-1])
    values = results.runs.loc[table.index, axis.column]
    return {
        text: best_of_each(table[values == value], "objective", trials.seeds, trials.mode)
        for value, text in axis.texts.items()
    }


def _of_axis(
    entries: dict[str, dict[str, Entry]], trials: Trials, axis: Axis, results: Results
) -> tuple[str, Figure | None]:
    whole = [rule for rule in trials.rules if all(rule in own for own in entries.values())]
    figure = _figure(entries, trials, axis, results) if any(entries.values()) else None
    if len(whole) < 2:
        why = f"Fewer than two {trials.title()}s have all values of {axis.name} with every seed."
        return why, figure
    sign = 1 if trials.mode == "min" else -1
    by_rule = {r: {text: own[r].values for text, own in entries.items()} for r in whole}
    by_value = {text: {r: own[r].values for r in whole} for text, own in entries.items()}
    missing = len(trials.rules) - len(whole)
    left = f" Left out: {count(missing, trials.title())} without all values." if missing else ""
    sentences = [
        _sentence(dependence(by_rule, sign), axis.name, trials.title(), sign),
        _sentence(dependence(by_value, sign), trials.title(), axis.name, sign),
    ]
    return " ".join(sentences) + left, figure


def dependence(cells: Cells, sign: int) -> Dependence:
    """Of the inner choice on the outer one.

    Args:
        cells: outer → inner → seed → value; every pair is there.
        sign: 1 where lower is better, −1 where higher is.
    """
    means = pd.DataFrame(
        {at: {choice: float(v.mean()) for choice, v in own.items()} for at, own in cells.items()}
    )
    lost = sign * means - (sign * means).min()
    common = str((lost / means.abs().where(lost == 0).max()).sum(axis=1).idxmin())
    pairs = {
        (at, choice): (values, own[common])
        for at, own in cells.items()
        for choice, values in own.items()
        if choice != common
    }
    best = {str(at): str(choice) for at, choice in (sign * means).idxmin().items()}
    return Dependence(common=common, best=best, comparisons=compare_all(pairs))


def _sentence(found: Dependence, choice: str, other: str, sign: int) -> str:
    """``The best weight decay is 0.001 for 4 of 6 schedules …``."""
    n = len(found.best)
    if not found.moved:
        return f"The best {choice} is the same for each {other}: {found.common}."
    same = n - len(found.moved)
    head = (
        f"The {choice} that suits best in common is {found.common}; it is the best for "
        f"{same or 'none'} of {n} values of the {other} ({_moved(found, other)})."
    )
    better = found.better(sign)
    if better:
        at = max(better, key=lambda key: -sign * better[key].difference.mean)
        return (
            f"{head} So the best {choice} depends on the {other}: for {_named(at, other)}, "
            f"{found.best[at]} beats {found.common} by {by(better[at].difference)}"
            f"{_also(better, at, other)}."
        )
    at = min(found.moved, key=lambda key: found.comparisons[key, found.best[key]].p)
    nearest = found.comparisons[at, found.best[at]].difference
    return (
        f"{head} That it depends on the {other} is not shown: most clearly {found.best[at]} beats "
        f"{found.common} for {_named(at, other)}, by {by(nearest)}."
    )


def _moved(found: Dependence, other: str) -> str:
    """``0.01 for step and linear, 0 for cosine``; ``linear for momentum 0 and 0.9``."""
    choices: dict[str, list[str]] = {}
    for at in found.moved:
        own = choices.setdefault(found.best[at], [])
        own.append(at if own else _named(at, other))
    return ", ".join(f"{choice} for {listed(places, 4)}" for choice, places in choices.items())


def _also(better: Mapping[str, Comparison], told: str, other: str) -> str:
    rest = [_named(at, other) for at in better if at != told]
    return f", and likewise for {listed(rest)}" if rest else ""


def _named(at: str, other: str) -> str:
    return at if at[:1].isalpha() else f"{other} {at}"


def _figure(
    entries: dict[str, dict[str, Entry]], trials: Trials, axis: Axis, results: Results
) -> Figure:
    cells = pd.DataFrame(
        [
            {"y": rule, "x": text, "value": own[rule].mean if rule in own else float("nan")}
            for text, own in entries.items()
            for rule in trials.rules
        ]
    )
    sign = 1 if trials.mode == "min" else -1
    best = (sign * cells["value"]).groupby(cells["y"]).transform("min") == sign * cells["value"]
    cells["text"] = [
        f"{number(value, pad=True)}{' *' if first else ''}"
        for value, first in zip(cells["value"], best, strict=True)
    ]
    words = metric_words(results.metric)
    chart = draw_heat_map(
        cells,
        x_title=axis.name,
        y_title=trials.title(),
        value_title=words,
        columns=list(axis.texts.values()),
        rows=list(trials.rules),
        log=is_loss(results.metric) and bool((cells["value"].dropna() > 0).all()),
        higher_is_better=results.mode == "max",
    )
    caption = (
        f"Mean final {words} over seeds for each {trials.title()} and {axis.name}, all else at "
        f"its best; * marks the best {axis.name} of each {trials.title()}. Grey: not complete with "
        "every seed."
    )
    columns = {"x": axis.path, "y": trials.title(), "value": results.metric}
    name = f"interaction_{axis.path.rpartition('.')[2]}"
    return Figure(name=name, chart=chart, caption=caption, data=cells, columns=columns)
