"""Performance profiles over the problems, in steps, examples and seconds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from orchestrator.report.figures import draw_profile
from orchestrator.report.second_order.profile import (
    R_MAX,
    performance_profile,
    performance_ratios,
    score,
)
from orchestrator.report.second_order.to_target import interval
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.second_order.study import Floats, SecondOrder
from orchestrator.report.text import NONE, count, fixed, listed, percent

TITLE = "Performance profile"
VALUES = ("steps", "examples", "seconds")


class Scores(NamedTuple):
    """A method's score over the problems with its interval."""

    value: Floats
    low: Floats
    high: Floats
    draws: Floats
    """(resamples, methods)."""


def profile_section(study: SecondOrder) -> Section | None:
    """None where there is one problem: a profile would say what its ratios do."""
    if len(study.problems) < 2:
        return None
    found = {value: scores(study, value) for value in VALUES}
    lead = (
        f"ρ(τ): the share of {count(len(study.problems), 'problem')} that a method takes to the "
        f"target within τ times the fastest of all; the score is its mean from τ = 1 to {R_MAX:g}."
    )
    return Section(
        title=TITLE,
        lead=lead,
        finding=" ".join(_finding(study, value, found[value]) for value in ("steps", "seconds")),
        figures=[_figure(study, value) for value in ("steps", "seconds")],
        tables=[_table(study, found)],
        notes=[
            "Dolan & Moré 2002, scored as by AlgoPerf (Dahl et al. 2023): 1 for a method that is "
            "the fastest everywhere, 0 for one that never comes within "
            f"{R_MAX:g} times the fastest; a target that is not reached counts as infinitely far. "
            "Problems are tasks; where a task has several batch sizes, these share its weight."
        ],
    )


def scores(study: SecondOrder, value: str) -> Scores:
    weights = study.weights
    own = score(performance_ratios(study.best(value)), weights)
    draws = score(performance_ratios(study.resampled(value)), weights)
    ends = np.array([interval(draws[:, i]) for i in range(len(study.methods))])
    if study.trials["seed"].nunique() < 2:
        ends = np.full_like(ends, np.nan)
    return Scores(own, ends[:, 0], ends[:, 1], draws)


def _finding(study: SecondOrder, value: str, found: Scores) -> str:
    order = np.argsort(-found.value, kind="stable")
    first, second = int(order[0]), int(order[1])
    names = study.methods
    if found.value[first] == 0:
        return f"In {value} no method reaches any target."
    told = f"{names[first]} {_score(found, first)}, {names[second]} {_score(found, second)}"
    lead = found.draws[:, first] - found.draws[:, second]
    low, high = interval(lead)
    if study.trials["seed"].nunique() < 2:
        return f"In {value} {names[first]} has the highest score ({told}); one seed tells no more."
    if low > 0:
        ends = f"a lead of {fixed(low, 2)} to {fixed(high, 2)}"
        return f"In {value} {names[first]} has the highest score ({told}; {ends}, 95 %)."
    tied = [names[i] for i in order if interval(found.draws[:, first] - found.draws[:, i])[0] <= 0]
    return f"In {value} the highest scores are not told apart: {listed(tied, 6)} ({told})."


def _score(found: Scores, place: int) -> str:
    value = fixed(float(found.value[place]), 2)
    if np.isnan(found.low[place]):
        return value
    return f"{value} [{fixed(float(found.low[place]), 2)}, {fixed(float(found.high[place]), 2)}]"


def _figure(study: SecondOrder, value: str) -> Figure:
    ratios = performance_ratios(study.best(value))
    data = performance_profile(ratios, study.methods, study.weights)
    chart = draw_profile(
        data,
        x_title=f"τ: {value} to the target, as a multiple of the fastest method’s",
        y_title="share of problems within τ",
        order=study.methods,
    )
    caption = (
        f"Performance profile in {value}: the higher and the further left, the better.{study.twice}"
    )
    columns = {"group": "method", "x": "tau", "value": "share"}
    return Figure(name=f"profile_{value}", chart=chart, caption=caption, data=data, columns=columns)


def _table(study: SecondOrder, found: dict[str, Scores]) -> Table:
    order = np.argsort(-found["steps"].value, kind="stable")
    reached = np.isfinite(study.best("steps"))
    fastest = performance_ratios(study.best("steps")) == 1
    shares = study.weights / study.weights.sum()
    rows = [
        [
            study.methods[i],
            *(_score(found[value], i) for value in VALUES),
            percent(float(shares @ fastest[:, i]), 2),
            percent(float(shares @ reached[:, i]), 2) if reached[:, i].any() else NONE,
        ]
        for i in map(int, order)
    ]
    head = ["method", *(f"score, {value}" for value in VALUES), "fastest in steps", "reached"]
    return Table(head=head, rows=rows, align="lrrrrr", caption="Scores")
