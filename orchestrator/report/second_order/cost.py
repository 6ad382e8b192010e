"""What a step takes, and intervals of shares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

Z = 1.959963984540054
"""Of a normal distribution's 95 %."""


def measured_steps(
    packs: Sequence[Mapping[str, Any]], problem_of: Mapping[str, Any]
) -> dict[Any, float]:
    """What ``auto`` measured: key → seconds of one lane's step, the mean over its packs.

    Args:
        packs: as ``Store.packs`` has them.
        problem_of: run_id → key.
    """
    found: dict[Any, list[float]] = {}
    for pack in packs:
        key = next((problem_of[r] for r in pack["run_ids"] if r in problem_of), None)
        for choice in pack["settings"].get("choices", []):
            if key is not None and choice.get("seconds_per_step"):
                found.setdefault(key, []).append(float(choice["seconds_per_step"]))
    return {key: float(np.mean(values)) for key, values in found.items()}


def timed(trials: pd.DataFrame, packs: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """``seconds`` as steps × what ``auto`` measured of a step, on problems for all of whose methods
    it did; what there was as ``wall``.

    A run's own time holds evaluations, and whatever else the machine did meanwhile.
    """
    keys = list(zip(trials["problem"], trials["method"], strict=True))
    measured = measured_steps(packs, dict(zip(trials["run_id"], keys, strict=True)))
    lacking = {problem for problem, method in keys if (problem, method) not in measured}
    steps = [measured.get(key, math.nan) for key in keys]
    wall, whole = trials["seconds"], ~trials["problem"].isin(lacking)
    return trials.assign(wall=wall, seconds=wall.where(~whole, trials["steps"] * steps))


def relative_cost(
    trials: pd.DataFrame, reference: str, *, packs: Sequence[Mapping[str, Any]] = ()
) -> pd.DataFrame:
    """Seconds of a lane's step of each method, as a multiple of the reference's.

    Of a problem for all of whose methods packs have measured a step, that is taken; of others the
    time of their runs over the steps of these.

    Returns:
        One row a method: ``method``, ``value`` (geometric mean over problems of the multiple),
        ``low``, ``high`` (Student's interval of the logarithms; NaN of one problem), ``fastest``
        and ``slowest`` (seconds, over problems).
    """
    keys = dict(
        zip(trials["run_id"], zip(trials["problem"], trials["method"], strict=True), strict=True)
    )
    sums = (
        trials[trials["steps"] > 0]
        .groupby(["problem", "method"], sort=False)[["seconds", "steps"]]
        .sum()
    )
    spent = {key: float(row["seconds"] / row["steps"]) for key, row in sums.iterrows()}
    measured = measured_steps(packs, keys)
    methods = list(dict.fromkeys(trials["method"]))
    logs: dict[str, list[float]] = {method: [] for method in methods}
    seconds: dict[str, list[float]] = {method: [] for method in methods}
    for problem in dict.fromkeys(trials["problem"]):
        own = [(problem, method) for method in methods if (problem, method) in spent]
        table = measured if all(key in measured for key in own) else spent
        base = table.get((problem, reference), 0.0)
        for key in own:
            if base > 0 and table[key] > 0:
                logs[key[1]].append(math.log(table[key] / base))
                seconds[key[1]].append(table[key])
    rows = [
        {"method": m, **_mean(logs[m]), "fastest": min(seconds[m]), "slowest": max(seconds[m])}
        for m in methods
        if logs[m]
    ]
    return pd.DataFrame(rows, columns=["method", "value", "low", "high", "fastest", "slowest"])


def _mean(logs: Sequence[float]) -> dict[str, float]:
    n, mean = len(logs), float(np.mean(logs))
    if n < 2:
        return {"value": math.exp(mean), "low": math.nan, "high": math.nan}
    half = float(stdtrit(n - 1, 0.975) * np.std(logs, ddof=1) / math.sqrt(n))
    return {"value": math.exp(mean), "low": math.exp(mean - half), "high": math.exp(mean + half)}


def share_interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's interval (1927) of a share of n, 95 %."""
    share, square = hits / n, Z**2 / n
    middle = (share + square / 2) / (1 + square)
    half = Z / (1 + square) * math.sqrt(share * (1 - share) / n + square / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)
