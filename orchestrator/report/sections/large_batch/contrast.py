"""Two ways to train, each at its best, at every batch size: how many times the steps one takes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from orchestrator.report import large_batch
from orchestrator.report.sections.large_batch.study import INCOMPLETE, REACHED
from orchestrator.report.statistics import paired_difference
from orchestrator.report.text import count, fixed

COLUMNS = ["batch_size", "first", "second", "value", "low", "high", "n"]


def contrast(trials: pd.DataFrame, ways: pd.Series, first: str, second: str) -> pd.DataFrame:
    """Steps of the best point of ``first`` as a multiple of those of ``second``.

    The mean of log ratios, paired by seed, with Student's interval; where no two seeds are shared,
    the ratio alone.

    Args:
        trials: see ``large_batch.trials``; ``ways`` is which way each of them went.

    Returns:
        One row a batch size at which both are known: ``batch_size``, ``first`` and ``second``
        (statuses), ``value``, ``low``, ``high`` (NaN where there is none), ``n`` (pairs).
    """
    # All that tells trials of one way apart is tuned.
    points = trials["group"].astype(str) + " | " + trials["point"].astype(str)
    table = trials.assign(group=ways, point=points)
    table = table[table["group"].isin([first, second])]
    if table.empty:
        return pd.DataFrame(columns=COLUMNS)
    best = large_batch.best(table).set_index(["group", "batch_size"])
    rows = []
    for size in sorted(set(table["batch_size"])):
        keys = [(way, size) for way in (first, second)]
        if not all(key in best.index for key in keys):
            continue
        statuses = [str(best.loc[key, "status"]) for key in keys]
        if INCOMPLETE in statuses:
            continue
        row = {"batch_size": size, "first": statuses[0], "second": statuses[1], "n": 0}
        row |= {"value": math.nan, "low": math.nan, "high": math.nan}
        if statuses == [REACHED, REACHED]:
            row |= _ratio(table, [(*key, best.loc[key, "point"]) for key in keys])
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def _ratio(table: pd.DataFrame, keys: list[tuple[str, int, str]]) -> dict[str, float]:
    logs = []
    for way, size, point in keys:
        own = table[
            (table["group"] == way) & (table["batch_size"] == size) & (table["point"] == point)
        ]
        steps = own["steps"].clip(lower=1).to_numpy(dtype=float)
        logs.append(pd.Series(np.log(steps), index=own["seed"]))
    both = pd.concat(logs, axis=1, join="inner", keys=["first", "second"])
    if both.empty:
        return {"value": math.exp(logs[0].mean() - logs[1].mean()), "n": 0}
    found = paired_difference(both["first"].to_numpy(), both["second"].to_numpy())
    ends = {"low": math.exp(found.low), "high": math.exp(found.high)}
    return {"value": math.exp(found.mean), "n": found.pairs, **ends}


def verdict(row: pd.Series, first: str, second: str) -> str:
    """What one batch size says: ``lars takes 0.8 times the steps of sgd (…): it is faster``."""
    if row["first"] != REACHED or row["second"] != REACHED:
        return _one_sided(row, first, second)
    times = f"{first} takes {fixed(float(row['value']), 2)} times the steps of {second}"
    if row["low"] != row["low"]:
        return f"{times} (one seed)" if row["n"] else f"{times} (no seed in common)"
    interval = f"95 % interval {fixed(float(row['low']), 2)} to {fixed(float(row['high']), 2)}"
    return f"{times} ({interval}, paired, {count(int(row['n']), 'seed')}): {_says(row)}"


def _says(row: pd.Series) -> str:
    if row["high"] < 1:
        return "it is faster"
    return "it is slower" if row["low"] > 1 else "no clear difference"


def _one_sided(row: pd.Series, first: str, second: str) -> str:
    if row["first"] == REACHED:
        return f"only {first} reaches the target ({second}: {row['second']})"
    if row["second"] == REACHED:
        return f"only {second} reaches the target ({first}: {row['first']})"
    return f"neither {first} nor {second} reaches the target"


def tally(rows: pd.DataFrame) -> str:
    """How often the first is clearly faster, clearly slower, or neither, over batch sizes."""
    fast = (rows["high"] < 1) | ((rows["first"] == REACHED) & (rows["second"] != REACHED))
    slow = (rows["low"] > 1) | ((rows["second"] == REACHED) & (rows["first"] != REACHED))
    total = count(len(rows), "batch size")
    return f"clearly faster at {int(fast.sum())}, clearly slower at {int(slow.sum())} of {total}"


def largest_useful(rows: pd.DataFrame) -> pd.Series | None:
    """The row of the largest batch size at which either has reached the target."""
    useful = rows[(rows["first"] == REACHED) | (rows["second"] == REACHED)]
    return None if useful.empty else useful.iloc[-1]
