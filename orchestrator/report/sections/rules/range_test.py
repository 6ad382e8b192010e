"""The learning-rate range test: its curve, what it predicts, and what was measured."""

from __future__ import annotations

import math

import pandas as pd

from orchestrator.report.comparisons import compare_all
from orchestrator.report.figures import draw_range_test
from orchestrator.report.range_tests import geometric_interval
from orchestrator.report.results import Results, is_range_test
from orchestrator.report.sections.model import Figure, Section, Table
from orchestrator.report.sections.rules.predictions import (
    FEWEST_POINTS,
    Measured,
    curves_of_tests,
    measured,
    predictions,
    shortest,
    within,
)
from orchestrator.report.sections.rules.words import by, verdict
from orchestrator.report.text import NONE, count, is_loss, metric_words, number

TITLE = "What the range test predicts"
STEEPEST, BELOW = "steepest descent", "a tenth of the edge"
MOST_LINES = 8


def range_test_section(results: Results) -> Section | None:
    """None where no run is a range test."""
    tests = results.runs[is_range_test(results.runs)]
    if tests.empty or results.trainable:
        return None
    metric = "train/loss" if "train/loss" in results.history else results.metric
    lead = (
        "The learning rate grows during training (Smith 2017): where the loss falls fastest, and "
        "the largest rate before it diverges, guess the best peak."
    )
    if metric not in results.history or "lr" not in results.history or not is_loss(metric):
        why = "Not applicable: no loss was recorded beside the learning rate."
        return Section(title=TITLE, lead=lead, finding=why)
    curves = curves_of_tests(results, tests, metric)
    if curves.empty:
        return Section(title=TITLE, lead=lead, finding="No range test has been evaluated yet.")
    said = predictions(curves, tests)
    own = said[said["group"] == shortest(said)]
    guesses = {
        name: geometric_interval(own[column].to_numpy(dtype=float))
        for name, column in ((STEEPEST, "steepest"), (BELOW, "below_edge"))
    }
    found = measured(results)
    return Section(
        title=TITLE,
        lead=lead,
        finding=_finding(own, guesses, found),
        figures=[_figure(curves, said, guesses, found, metric)],
        tables=[_tests_table(said), *([_rules_table(found, guesses)] if found else [])],
        notes=[
            f"The loss is the mean {metric_words(metric)} between two evaluations, at the rate in "
            "their middle. “Steepest descent” is where it falls fastest for a decade of the rate; "
            "the edge is the last rate before half of what was gained is lost again, or the run "
            "diverges. Means and intervals are of the seeds, on the logarithmic axis. Of several "
            f"tests the shortest with {FEWEST_POINTS} evaluations predicts: in a long one the "
            "network has learned before the rate is large."
        ],
    )


def _finding(
    own: pd.DataFrame, guesses: dict[str, tuple[float, float, float]], found: Measured | None
) -> str:
    guessed = "; ".join(_guess(name, *guess) for name, guess in guesses.items())
    sentences = [f"{guessed[:1].upper()}{guessed[1:]}."]
    edges = geometric_interval(own["edge"].to_numpy(dtype=float))
    if math.isfinite(edges[0]):
        lost = int(own["diverged"].sum())
        sentences.append(
            f"The edge is at {_rate(*edges)}; {lost} of {count(len(own), 'test')} diverged."
        )
    else:
        sentences.append("The test ends before the loss diverges, so that it has no edge.")
    if found is None:
        return " ".join([*sentences, "No grid of peaks was measured to compare it with."])
    basin = found.basins[found.best]
    on_edge = f", on the {basin.edge} edge of the sweep" if basin.edge != "inside" else ""
    sentences.append(f"Measured best is {number(basin.best_x)}, with {found.best}{on_edge}.")
    for name, (guess, *_) in guesses.items():
        if math.isfinite(guess):
            sentences.append(_hit(name, guess, found))
    return " ".join(sentences)


def _guess(name: str, mean: float, low: float, high: float) -> str:
    return f"{name} predicts {_rate(mean, low, high) if math.isfinite(mean) else 'nothing'}"


def _rate(mean: float, low: float, high: float) -> str:
    if not math.isfinite(low):
        return number(mean, 2)
    return f"{number(mean, 2)} (95 % interval {number(low, 2)} to {number(high, 2)})"


def _hit(name: str, guess: float, found: Measured) -> str:
    """How far the guess is from the measured best, and what it would cost at the nearest peak."""
    best = found.basins[found.best].best_x
    ratio = guess / best
    far = f"{_factor(ratio)} it"
    inside = [rule for rule, basin in found.basins.items() if within(guess, basin)]
    share = (
        f"in the 10 % basin of {len(inside)} of {count(len(found.basins), 'rule')}"
        if len(found.basins) > 1
        else f"{'' if inside else 'not '}in its 10 % basin"
    )
    curve = found.curves[found.best]
    # Of the swept peaks the nearest on the logarithmic axis.
    near = float(min(curve.index, key=lambda x: abs(math.log(float(x) / guess))))
    head = f"{name[:1].upper()}{name[1:]} is {far}, {share}"
    if near == best:
        return f"{head}; the nearest peak swept is the best one."
    compared = compare_all({near: (curve.T[near], curve.T[best])})[near]
    return (
        f"{head}; at the nearest peak swept, {number(near)}, {found.best} is worse by "
        f"{by(compared.difference)}{verdict(compared)}."
    )


def _factor(ratio: float) -> str:
    """``2.1 times above``."""
    far = max(ratio, 1 / ratio)
    return f"{number(far, 2 if far < 99 else 3)} times {'above' if ratio >= 1 else 'below'}"


def _figure(
    curves: pd.DataFrame,
    said: pd.DataFrame,
    guesses: dict[str, tuple[float, float, float]],
    found: Measured | None,
    metric: str,
) -> Figure:
    groups = list(said.sort_values("points")["group"].drop_duplicates())[-MOST_LINES:]
    kept = curves[curves["group"].isin(groups)]
    first = float(kept.groupby("run_id")["loss"].first().max())
    # Beyond the edge the loss grows without bound; the picture ends soon after.
    kept = kept[kept["loss"] <= 3 * first]
    data = kept.groupby(["group", "step"], as_index=False).agg(
        x=("x", "mean"), value=("loss", "mean"), low=("loss", "min"), high=("loss", "max")
    )
    marks = {name: guess[0] for name, guess in guesses.items() if math.isfinite(guess[0])}
    if found is not None:
        marks["measured best"] = found.basins[found.best].best_x
    words = metric_words(metric)
    chart = draw_range_test(
        data,
        y_title=words,
        group_title="range test",
        order=groups,
        marks=marks,
        log_y=bool((data["low"] > 0).all()),
    )
    caption = (
        f"{words.capitalize()} while the learning rate grows: mean over seeds, band from minimum "
        "to maximum. Dashed: what the test predicts, and the measured best peak."
    )
    columns = {"x": "learning_rate", "group": "range_test", "value": metric}
    return Figure(name="range_test", chart=chart, caption=caption, data=data, columns=columns)


def _tests_table(said: pd.DataFrame) -> Table:
    rows = []
    for group, own in said.groupby("group", sort=False):
        cells = [
            _bracketed(*geometric_interval(own[column].to_numpy(dtype=float)))
            for column in ("steepest", "edge", "below_edge")
        ]
        rows.append([str(group), str(len(own)), *cells, str(int(own["diverged"].sum()))])
    head = [
        "range test",
        "seeds",
        f"{STEEPEST} [95 %]",
        "edge [95 %]",
        f"{BELOW} [95 %]",
        "diverged",
    ]
    return Table(head=head, rows=rows, align="lrrrrr")


def _bracketed(mean: float, low: float, high: float) -> str:
    if not math.isfinite(mean):
        return NONE
    ends = f" [{number(low, 2)}, {number(high, 2)}]" if math.isfinite(low) else ""
    return f"{number(mean, 2)}{ends}"


def _rules_table(found: Measured, guesses: dict[str, tuple[float, float, float]]) -> Table:
    known = {name: guess[0] for name, guess in guesses.items() if math.isfinite(guess[0])}
    rows = [
        [
            rule,
            number(basin.best_x),
            f"{number(basin.low)} – {number(basin.high)}",
            *(
                f"× {number(guess / basin.best_x, 2)}{'' if within(guess, basin) else ', outside'}"
                for guess in known.values()
            ),
        ]
        for rule, basin in found.basins.items()
    ]
    return Table(
        head=["rule", "best peak", "within 10 %", *known],
        rows=rows,
        align="lrr" + "r" * len(known),
        caption="What was measured, best first, and the predictions as multiples of the best peak.",
    )
