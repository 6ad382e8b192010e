"""Which batch size and learning rate to train with on N GPUs, how long it takes and what it costs.

N GPUs share a batch of B examples evenly, B / N each, so training takes S(B) · t(B / N) seconds: S
the fitted steps to the target, t the seconds of a step on one GPU. What GPUs take to exchange
gradients is in it only as far as it is in the throughputs that are given.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from orchestrator.report.large_batch.fit import Fit, fit
from orchestrator.report.large_batch.rates import Exponent, exponent
from orchestrator.report.large_batch.throughput import Throughput
from orchestrator.report.large_batch.trials import best, points

COUNTS = tuple(2**k for k in range(11))
"""GPUs in the table: 1 … 1,024."""
BETWEEN = 4
"""Steps from one measured batch size to the next, evenly in the log, that are tried."""
SLACK = 1.02
"""A measured batch size goes before one between them that would be faster by no more than this."""
EFFICIENT = 0.5
"""Returns diminish where more than this share of the GPUs' time is lost."""
WORTH = 0.95
"""What lies beyond the measured batch sizes is named where it would take less than this share."""


class AdviceError(Exception):
    """A study gives no advice. The message says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """The fastest way to the target with so many GPUs."""

    gpus: int
    batch_size: int
    per_gpu: float
    rate: float
    """Peak learning rate; NaN where the study has none."""
    rate_source: str
    steps: float
    seconds: float
    gpu_hours: float
    cost: float
    """NaN without a price."""
    efficiency: float
    """GPU-hours of the row that takes fewest, over those of this one."""
    extrapolated: bool
    """The batch size lies beyond what was measured: nothing here is known."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    group: str
    rows: tuple[Row, ...]
    """By ``COUNTS`` and the number that was asked for, ascending."""
    chosen: Row
    """Of the number that was asked for."""
    diminishing: Row
    """The most GPUs of the table of whose time less than half is lost, within what was measured."""
    fit: Fit
    exponent: Exponent | None
    throughput: Throughput
    others: tuple[tuple[str, float], ...]
    """Other groups that reached the target, with their seconds for as many GPUs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Known:
    """What is known of one group."""

    group: str
    fit: Fit
    exponent: Exponent | None
    measured: tuple[int, ...]
    rates: dict[int, float]


def advise_from(
    trials: pd.DataFrame,
    throughput: Throughput,
    gpus: int,
    *,
    price: float | None = None,
    group: str | None = None,
) -> Advice:
    """Advice from the trials of a study, for the group that is fastest with ``gpus`` GPUs.

    Args:
        price: of a GPU for an hour.
        group: this one, whichever is fastest.

    Raises:
        AdviceError: no group has two batch sizes that reached the target.
    """
    known = _known(trials, group)
    counts = sorted({*COUNTS, gpus})
    tables = {one.group: _rows(one, throughput, counts, price) for one in known}
    taken = {name: _of(rows, gpus).seconds for name, rows in tables.items()}
    # What is known goes before what is extrapolated, whatever that promises.
    first = min(
        known, key=lambda one: (_of(tables[one.group], gpus).extrapolated, taken[one.group])
    )
    rows = tables[first.group]
    inside = [row for row in rows if not row.extrapolated and row.efficiency >= EFFICIENT]
    return Advice(
        group=first.group,
        rows=tuple(rows),
        chosen=_of(rows, gpus),
        diminishing=inside[-1],
        fit=first.fit,
        exponent=first.exponent,
        throughput=throughput,
        others=tuple((name, took) for name, took in taken.items() if name != first.group),
    )


def _known(trials: pd.DataFrame, group: str | None) -> list[_Known]:
    names = list(dict.fromkeys(trials["group"]))
    if group is not None and group not in names:
        raise AdviceError(f"there is no group {group!r}; there are {', '.join(map(repr, names))}")
    found = []
    for name in names if group is None else [group]:
        some = trials[trials["group"] == name]
        judged = points(some)
        top = best(judged)
        curve = fit(some)
        if curve is None:
            continue
        reached = top[top["status"] == "reached"]
        rates = dict(zip(reached["batch_size"].tolist(), reached["rate"].tolist(), strict=True))
        largest = curve.b_crit.value
        slope = exponent(judged, largest=largest) if largest > 0 else None
        found.append(
            _Known(
                group=name,
                fit=curve,
                exponent=slope or exponent(judged),
                measured=tuple(sorted(rates)),
                rates=rates,
            )
        )
    if not found:
        sizes = trials["batch_size"].nunique()
        raise AdviceError(
            f"no two of its {sizes} batch sizes have reached the target; nothing can be predicted"
        )
    return found


def _of(rows: Sequence[Row], gpus: int) -> Row:
    return next(row for row in rows if row.gpus == gpus)


def _rows(
    known: _Known, throughput: Throughput, counts: Sequence[int], price: float | None
) -> list[Row]:
    plain = [_fastest(known, throughput, gpus) for gpus in counts]
    hours = [gpus * seconds / 3600 for gpus, (_, seconds) in zip(counts, plain, strict=True)]
    fewest = min(hours)
    rows = []
    for gpus, (size, seconds), spent in zip(counts, plain, hours, strict=True):
        rate, source = _rate(known, size)
        beyond = size > known.fit.largest
        rows.append(
            Row(
                gpus=gpus,
                batch_size=size,
                per_gpu=size / gpus,
                rate=rate,
                rate_source=source,
                steps=known.fit.steps(size),
                seconds=seconds,
                gpu_hours=spent,
                cost=math.nan if price is None else spent * price,
                efficiency=fewest / spent,
                extrapolated=beyond,
                notes=tuple(_notes(known, throughput, gpus, size, seconds)),
            )
        )
    return rows


def _fastest(known: _Known, throughput: Throughput, gpus: int) -> tuple[int, float]:
    """Batch size and seconds: the fastest among the measured sizes that all GPUs share
    evenly; where there are more GPUs than any has examples, an example each."""
    each = {size: _seconds(known, throughput, gpus, size) for size in _sizes(known.measured, gpus)}
    fastest = min(each, key=lambda size: (each[size], size))
    near = [s for s in known.measured if s in each and each[s] <= SLACK * each[fastest]]
    size = min(near, key=lambda size: (each[size], size)) if near else fastest
    return size, each[size]


def _seconds(known: _Known, throughput: Throughput, gpus: int, size: int) -> float:
    return known.fit.steps(size) * throughput.step_seconds(size / gpus)


def _sizes(measured: Sequence[int], gpus: int) -> list[int]:
    """Multiples of ``gpus``: the measured sizes that are, and some near and between them."""
    between = [np.geomspace(*ends, BETWEEN + 1).tolist() for ends in itertools.pairwise(measured)]
    nearest = (max(1, round(size / gpus)) * gpus for some in between for size in some)
    sizes = {size for size in nearest if measured[0] <= size <= measured[-1]}
    full = measured[-1] // gpus * gpus
    return sorted(sizes | {full} if full >= measured[0] else sizes) or [gpus]


def _rate(known: _Known, size: int) -> tuple[float, str]:
    if size in known.rates and not math.isnan(known.rates[size]):
        return known.rates[size], "the best that was measured"
    slope = known.exponent
    used = slope.batch_sizes if slope else ()
    if slope is not None and used[0] <= size <= used[-1]:
        return slope.rate(size), f"fitted, ∝ B^{slope.slope:.2f}"
    nearest = min(known.rates, key=lambda one: abs(math.log(one / size)))
    return known.rates[nearest], f"the best at batch size {nearest:,}"


def _notes(
    known: _Known, throughput: Throughput, gpus: int, size: int, seconds: float
) -> list[str]:
    notes = []
    largest = known.fit.largest
    if size > largest:
        notes.append(f"extrapolated: no batch size above {largest:,} was measured")
    elif size == largest:
        longer = [_seconds(known, throughput, gpus, largest * 2**k) for k in range(1, 6)]
        if min(longer) < WORTH * seconds:
            notes.append(f"larger batches may be faster; none above {largest:,} was measured")
    if not throughput.knows(size / gpus):
        notes.append("throughput extrapolated")
    return notes
