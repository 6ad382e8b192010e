"""Comparing many candidates on shared seeds, honestly; and what they come to along training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from orchestrator.report.statistics import Difference, Floats, Mode

Key = TypeVar("Key")
LEVEL = 0.05
"""Below this corrected p two candidates are told apart."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A candidate against a reference on the seeds that they share."""

    difference: Difference
    """candidate − reference, in units of the measure, with its 95 % interval."""
    p: float
    """Of Student's t test that the mean difference is zero, two-sided; NaN below two pairs."""
    corrected: float
    """p after Holm's correction for all comparisons made at once; see :func:`holm`."""

    @property
    def told_apart(self) -> bool:
        return self.corrected < LEVEL

    @property
    def alone(self) -> bool:
        """Told apart by itself, but not among so many comparisons."""
        return self.p < LEVEL and not self.told_apart


def paired_test(
    values: Sequence[float] | Floats,
    reference: Sequence[float] | Floats,
    *,
    resolution: float = 0.0,
    confidence: float = 0.95,
) -> tuple[Difference, float]:
    """The mean of d = values − reference, paired by position: Student-t interval and two-sided p.

    t = mean(d) / s with s² = (sd(d)² + resolution²/6) / n. Both values may be known only up to a
    rounding upwards to a multiple of ``resolution``, as the steps of an evaluation are: a
    rounding error that is uniform has the variance resolution²/12, and a difference has two.
    Without it equal roundings would make intervals of no width. NaN below two pairs.
    """
    d = np.asarray(values, dtype=np.float64) - np.asarray(reference, dtype=np.float64)
    n, mean = d.size, float(d.mean()) if d.size else math.nan
    if n < 2:
        return Difference(mean=mean, low=math.nan, high=math.nan, pairs=n), math.nan
    error = math.sqrt((float(d.var(ddof=1)) + resolution**2 / 6) / n)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    difference = Difference(mean=mean, low=mean - half, high=mean + half, pairs=n)
    if error == 0:
        return difference, float(mean == 0)
    return difference, float(2 * stdtr(n - 1, -abs(mean) / error))


def holm(p: Sequence[float]) -> list[float]:
    """p values corrected so that the chance of any false one is below the level (Holm 1979).

    In ascending order p₍ᵢ₎ becomes max over j ≤ i of min(1, (m − j + 1) · p₍ⱼ₎), i from 1 to m. NaN
    stays, and does not count in m.
    """
    corrected = np.asarray(p, dtype=np.float64).copy()
    known = np.flatnonzero(np.isfinite(corrected))
    order = known[np.argsort(corrected[known], kind="stable")]
    weights = np.arange(order.size, 0, -1)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(weights * corrected[order]))
    return [float(value) for value in corrected]


def compare_all(
    pairs: Mapping[Key, tuple[pd.Series, pd.Series]], *, resolution: float = 0.0
) -> dict[Key, Comparison]:
    """Each (values, reference), seed → value, paired by seed; all corrected together."""
    tests = {}
    for name, (values, reference) in pairs.items():
        both = pd.concat([values, reference], axis=1, join="inner").dropna()
        pair = both.iloc[:, 0].to_numpy(), both.iloc[:, 1].to_numpy()
        tests[name] = paired_test(*pair, resolution=resolution)
    corrected = holm([p for _, p in tests.values()])
    return {
        name: Comparison(difference=difference, p=p, corrected=q)
        for (name, (difference, p)), q in zip(tests.items(), corrected, strict=True)
    }


def against(
    candidates: Mapping[str, pd.Series], reference: pd.Series, *, resolution: float = 0.0
) -> dict[str, Comparison]:
    """:func:`compare_all` with one reference."""
    pairs = {name: (values, reference) for name, values in candidates.items()}
    return compare_all(pairs, resolution=resolution)


def mean_along(history: pd.DataFrame, metric: str, clock: str = "step") -> pd.Series:
    """run_id → the mean of a metric along training, its area under the curve normalized.

    (1 / (t_n − t_1)) · Σᵢ ½ (yᵢ + yᵢ₋₁)(tᵢ − tᵢ₋₁), the trapezoidal rule over evaluations t₁ … t_n:
    in units of the metric. NaN for runs with one evaluation, and where a value is not finite.
    """
    # By numbers: a large study's names take ten times as long to sort and to group.
    codes, names = pd.factorize(history["run_id"])
    rows = history[[clock, metric]].assign(run=codes).sort_values(["run", clock], kind="stable")
    run, t = rows["run"], rows[clock].astype(float)
    y = rows[metric].astype(float).where(np.isfinite(rows[metric].astype(float)))
    same = run.eq(run.shift())
    areas = ((y + y.shift()) / 2 * t.diff()).where(same)
    bad = y.isna().groupby(run).any()
    spans = t.groupby(run).max() - t.groupby(run).min()
    means: pd.Series = areas.groupby(run).sum() / spans.where(spans > 0)
    return means.mask(bad).set_axis(names).rename_axis("run_id")


def first_beyond(
    history: pd.DataFrame, metric: str, value: float, mode: Mode, clock: str = "step"
) -> pd.Series:
    """run_id → the first evaluation that is strictly better than ``value``, as ``train.target``
    counts; runs that never are have no entry."""
    y = history[metric].astype(float)
    better = y < value if mode == "min" else y > value
    found: pd.Series = history[better].groupby("run_id")[clock].min().astype(float)
    return found


def kendall(a: Sequence[float] | Floats, b: Sequence[float] | Floats) -> float:
    """Kendall's τ_b of two rankings of the same candidates: 1 where they agree, −1 where reversed.

    τ_b = Σ sgn(aᵢ − aⱼ) sgn(bᵢ − bⱼ) / √(pairs untied in a · pairs untied in b), i < j. NaN where
    one of them is all ties.
    """
    signs = [
        np.sign(np.subtract.outer(x, x))[np.triu_indices(len(x), 1)]
        for x in (np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64))
    ]
    untied = math.sqrt(float(np.abs(signs[0]).sum()) * float(np.abs(signs[1]).sum()))
    return float((signs[0] * signs[1]).sum()) / untied if untied else math.nan
