"""Whether the winner is still the winner when training is shorter."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from orchestrator.report.comparisons import Comparison, compare_all, kendall
from orchestrator.report.figures import draw_lines, x_steps
from orchestrator.report.results import Results
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.rules.trials import (
    Entry,
    Trials,
    best_of_each,
    has_target,
    trials_of,
)
from orchestrator.report.sections.rules.words import by, difference_text, told, verdict
from orchestrator.report.statistics import mean_intervals
from orchestrator.report.text import (
    NONE,
    decimals_for,
    is_loss,
    listed,
    metric_words,
    number,
    plus_minus,
)

TITLE = "Is the winner still the winner at another length?"
MOST_LINES = 8
Key = tuple[float, float]
"""(length at which two winners are compared, length that the other one won at)."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """Every length of training with its ranking."""

    entries: dict[float, dict[str, Entry]]
    """Length → rule → its best, best first; lengths without any are left out."""
    comparisons: dict[Key, Comparison]
    """At a length: the longest's winner against that of (another) length; see ``Key``."""

    @property
    def longest(self) -> float:
        return max(self.entries)

    def winner(self, length: float) -> str:
        return next(iter(self.entries[length]))

    def changes(self, length: float) -> bool:
        """Whether both winners are told apart at both lengths, each ahead at its own."""
        pair = [self.comparisons.get((at, length)) for at in (length, self.longest)]
        return all(c is not None and c.told_apart for c in pair)


def horizon_section(results: Results) -> Section | None:
    """None where all rules train equally long."""
    trials = trials_of(results)
    if trials is None or trials.horizon is None or has_target(results):
        return None
    unit = trials.horizon.path.rpartition(".")[2]
    words = metric_words(results.metric)
    lead = f"Each {trials.title()} at its best, for each length of training: final {words}."
    found = lengths_of(trials)
    if len(found.entries) < 2:
        why = f"Fewer than two lengths have a {trials.title()} that every seed has completed yet."
        return Section(title=TITLE, lead=lead, finding=why)
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(found, trials),
        figures=[_figure(found, trials, results, unit)],
        tables=[_table(found, trials, words)],
        notes=[
            "Each length has runs of its own, whose schedules end with them, and its best peak. "
            "Differences are paired by seed; told apart after Holm's correction for all "
            "comparisons of winners. A change of winner is shown only where both are told apart at "
            "both lengths. Kendall's τ is 1 where two orders agree, and 0 where they are unrelated."
        ],
    )


def lengths_of(trials: Trials) -> Lengths:
    entries = {
        h: own
        for h in trials.horizons
        if (own := best_of_each(trials.at(h), "objective", trials.seeds, trials.mode))
    }
    if not entries:
        return Lengths(entries=entries, comparisons={})
    last = max(entries)
    first = next(iter(entries[last]))
    pairs = {}
    for h, own in entries.items():
        winner = next(iter(own))
        for at in (h, last):
            here = entries[at]
            if winner != first and winner in here and first in here:
                pairs[at, h] = (here[first].values, here[winner].values)
    return Lengths(entries=entries, comparisons=compare_all(pairs))


def _finding(found: Lengths, trials: Trials) -> str:
    last = found.longest
    winner = found.winner(last)
    shorter = [h for h in found.entries if h != last]
    same = [h for h in shorter if found.winner(h) == winner]
    head = f"The winner with {trials.words(last)} is {winner}"
    if len(same) == len(shorter):
        return f"{head}, and so it is with {_listed(shorter, trials)}.{_taus(found, trials)}"
    also = f", and so it is with {_listed(same, trials)}" if same else ""
    moved = [_moved(found, trials, h) for h in shorter if h not in same]
    changed = [h for h in shorter if found.changes(h)]
    verdict = (
        f"So the winner depends on the length of training: {_listed(changed, trials)} shows it."
        if changed
        else "That the winner depends on the length of training is not shown."
    )
    return f"{head}{also}. {' '.join(moved)} {verdict}{_taus(found, trials)}"


def _moved(found: Lengths, trials: Trials, h: float) -> str:
    """At another length another one is first: by how much, there and at the longest."""
    last, winner = found.winner(found.longest), found.winner(h)
    here, there = found.comparisons.get((h, h)), found.comparisons.get((found.longest, h))
    head = f"With {trials.words(h)} it is {winner}"
    if here is None:
        return f"{head}; {last} has no value there with every seed."
    text = f"{head}, with {last} behind by {by(here.difference)}{verdict(here)}"
    if there is None:
        return f"{text}; with {trials.words(found.longest)} {winner} has no value with every seed."
    return (
        f"{text}; with {trials.words(found.longest)} it leads {winner} by {by(there.difference)}"
        f"{verdict(there)}."
    )


def _listed(lengths: list[float], trials: Trials) -> str:
    assert trials.horizon is not None
    unit = trials.horizon.path.rpartition(".")[2]
    return f"{listed([trials.horizon.texts[h] for h in lengths])} {unit}"


def _tau(found: Lengths, h: float) -> float:
    """How far the order there agrees with the order at the longest."""
    orders = [list(found.entries[at]) for at in (h, found.longest)]
    both = [rule for rule in orders[0] if rule in orders[1]]
    if len(both) < 3:
        return math.nan
    return kendall(*([float(order.index(rule)) for rule in both] for order in orders))


def _taus(found: Lengths, trials: Trials) -> str:
    known = {h: _tau(found, h) for h in found.entries if h != found.longest}
    parts = [f"{number(t, 2)} with {trials.words(h)}" for h, t in known.items() if t == t]
    last = trials.words(found.longest)
    return f" The order with {last} agrees (Kendall's τ) to {listed(parts)}." if parts else ""


def _figure(found: Lengths, trials: Trials, results: Results, unit: str) -> Figure:
    ranked = list(found.entries[found.longest])
    winners = {found.winner(h) for h in found.entries}
    shown = [r for r in ranked if r in winners]
    shown += [r for r in ranked if r not in winners][: max(0, MOST_LINES - len(shown))]
    rows = [
        {"x": h, "group": rule, "value": value}
        for h, own in found.entries.items()
        for rule, entry in own.items()
        if rule in shown
        for value in entry.values
    ]
    data = mean_intervals(pd.DataFrame(rows), ["group", "x"], "value").rename(
        columns={"mean": "value"}
    )
    # Bands of eight lines would hide them all; what matters are differences, which are paired.
    data = data.assign(low=math.nan, high=math.nan)
    words = metric_words(results.metric)
    order = [rule for rule in ranked if rule in shown]
    chart = draw_lines(
        data,
        across=x_steps([float(h) for h in found.entries], unit),
        y_title=words,
        group_title=trials.title(),
        order=order,
        log_y=is_loss(results.metric) and bool((data["value"] > 0).all()),
    )
    left = len(ranked) - len(shown)
    some = (
        f" Left out: {left} more that are behind with {trials.words(found.longest)}."
        if left
        else ""
    )
    caption = (
        f"Final {words} of each {trials.title()} at its best, against the length of training: "
        f"means over seeds.{some}"
    )
    columns = {"x": unit, "group": trials.title(), "value": results.metric}
    return Figure(name="horizons", chart=chart, caption=caption, data=data, columns=columns)


def _table(found: Lengths, trials: Trials, words: str) -> Table:
    best = found.winner(found.longest)
    firsts = {h: own[found.winner(h)] for h, own in found.entries.items()}
    decimals = decimals_for([entry.sd for entry in firsts.values()])
    rows = []
    for h, first in firsts.items():
        c = found.comparisons.get((h, h))
        tau = _tau(found, h)
        rows.append(
            [
                trials.words(h),
                first.rule,
                first.details or NONE,
                plus_minus(first.mean, first.sd, decimals),
                difference_text(c),
                told(c),
                number(tau, 2) if h != found.longest else NONE,
            ]
        )
    return Table(
        head=["length", "first", "at", words, f"{best} behind it [95 %]", "told apart", "τ"],
        rows=rows,
        align="lllrrlr",
    )
