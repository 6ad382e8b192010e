"""Masks by themselves: what a masked network can do before it trains, and what seeds share."""

from __future__ import annotations

import functools

import pandas as pd

from orchestrator.report.figures import draw_lines, x_weights_left
from orchestrator.report.networks import TICKET
from orchestrator.report.results import Results
from orchestrator.report.sections.lottery.cell import (
    Cell,
    cell_of,
    drawn_tickets,
    leading,
    networks,
    which,
)
from orchestrator.report.sections.lottery.measure import SHARES, Measure, nearest, worded
from orchestrator.report.sections.lottery.overlap import overlaps
from orchestrator.report.sections.lottery.tickets import IN_WORDS, told
from orchestrator.report.sections.model import Figure, Section
from orchestrator.report.text import count, listed, number, percent
from orchestrator.store.masks import load_all

TITLE = "Masks"
_WHERE = "probe/supermask"
_CHOICE = ("test/accuracy", "valid/accuracy", "test/loss", "valid/loss")
SEEDS, RANDOM = "tickets of different seeds", "random masks"


def masks_section(results: Results) -> Section | None:
    """None where masks were neither measured nor kept."""
    base, setting = leading(results)
    supermask = _supermask(results, base, setting)
    shared, damage = _overlaps(results, base, setting)
    if supermask is None and shared.empty and not damage:
        return None
    figures, sentences = [], []
    if supermask is not None:
        cell, measure = supermask
        figures.append(_figure(cell, measure))
        sentences += _sentences(cell, measure)
    if not shared.empty:
        figures.append(_overlap_figure(shared))
        sentences += [_overlap_sentence(shared, level) for level in _levels(shared)]
    found = " ".join(filter(None, sentences)) or "No two masks can be compared yet."
    return Section(
        title=TITLE,
        lead="What a masked network can do before it trains, and what masks of different seeds have"
        " in common.",
        finding=found + which(results, base, setting),
        figures=figures,
        notes=[
            "Overlap: weights left in both masks over weights left in either (Jaccard). Random"
            " masks are those with as many weights left in each layer; where all layers keep the"
            " share d, they have d / (2 − d) in common.",
            *(f"Masks that cannot be read: {listed(damage, 3)}." for _ in range(bool(damage))),
        ],
    )


def _supermask(results: Results, base: str, setting: str) -> tuple[Cell, Measure] | None:
    for what in _CHOICE:
        measure = Measure(metric=f"{_WHERE}/{what}", higher_is_better=what.endswith("accuracy"))
        cell = cell_of(results, measure, base, setting)
        if cell.table["value"].notna().any():
            return cell, measure
    return None


def _words(measure: Measure) -> str:
    split, _, what = measure.metric.removeprefix(f"{_WHERE}/").partition("/")
    return f"{'validation' if split == 'valid' else split} {what} before training"


def _sentences(cell: Cell, measure: Measure) -> list[str]:
    sentences = []
    for kind in cell.kinds[1:]:
        better = told(cell, measure, kind, SHARES[1:2])
        other = IN_WORDS.get(kind, kind)
        sentences.append(worded(measure, better, other=other, subject="Untrained tickets"))
    tickets = drawn_tickets(cell)
    tickets = tickets[tickets["level"] > 0]
    if len(tickets):
        sign = 1 if measure.higher_is_better else -1
        best = tickets.iloc[int((sign * tickets["value"]).to_numpy().argmax())]
        sentences.insert(
            0,
            f"Masked but not trained, tickets come to {measure.value(float(best['value']))} "
            f"{_words(measure).removesuffix(' before training')} at best, at "
            f"{percent(float(best['x']))}.",
        )
    return sentences


def _figure(cell: Cell, measure: Measure) -> Figure:
    lines = cell.lines()
    data = lines[lines["level"] > 0]
    chart = draw_lines(
        data,
        across=x_weights_left(data["x"].tolist()),
        y_title=_words(measure),
        group_title="networks",
        order=list(dict.fromkeys(data["group"])),
        percent=measure.percent,
        height=280,
    )
    caption = (
        f"{_words(measure).capitalize()} of masked networks, with the weights that they train "
        "from, against the weights left. Means over seeds, with 95 % intervals."
    )
    columns = {"x": "weights_left", "group": "networks", "value": measure.metric}
    return Figure(name="supermasks", chart=chart, caption=caption, data=data, columns=columns)


def _overlaps(results: Results, base: str, setting: str) -> tuple[pd.DataFrame, list[str]]:
    if results.folder is None:
        return pd.DataFrame(), []
    table = networks(results)
    own = table[(table["base"] == base) & (table["setting"] == setting)]
    own = own[(own["kind"] == TICKET) & (own["child"] == 0)]
    return overlaps(own, functools.partial(load_all, results.folder))


def _levels(shared: pd.DataFrame) -> list[int]:
    return nearest(dict(zip(shared["level"], shared["x"], strict=True)), SHARES[1:])


def _overlap_sentence(shared: pd.DataFrame, level: int) -> str:
    at = shared[shared["level"] == level].iloc[0]
    value, expected = float(at["value"]), float(at["expected"])
    first = (
        f"At {percent(float(at['x']))}, masks of two seeds share {percent(value)} of the weights "
        f"that either keeps, random ones {percent(expected)}"
    )
    pairs = count(int(at["n"]), "pair")
    # The least overlap of any pair: beyond it, not one is as a random one would be.
    if at["low"] > 1.05 * expected:
        return f"{first}: {number(value / expected, 2)} times as much ({pairs})."
    if at["high"] < 0.95 * expected:
        return f"{first}: less than by chance ({pairs})."
    return f"{first}: not clearly more than by chance ({pairs})."


def _overlap_figure(shared: pd.DataFrame) -> Figure:
    random = shared.assign(value=shared["expected"], low=float("nan"), high=float("nan"))
    parts = [shared.assign(group=SEEDS), random.assign(group=RANDOM)]
    data = pd.concat(parts, ignore_index=True).drop(columns="expected")
    chart = draw_lines(
        data,
        across=x_weights_left(data["x"].tolist()),
        y_title="overlap",
        group_title="masks",
        order=[SEEDS, RANDOM],
        percent=True,
        height=280,
        counted="pairs",
    )
    caption = (
        "The overlap of masks of two seeds against the weights left: means over pairs, band from "
        "the least to the greatest; and that of random masks with as many weights in each layer."
    )
    columns = {"x": "weights_left", "group": "masks", "value": "overlap", "n": "pairs"}
    return Figure(name="overlap", chart=chart, caption=caption, data=data, columns=columns)
