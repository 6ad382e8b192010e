"""What networks of a lottery are called: pure functions of the runs frame."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

PREFIX = "config.lottery"
PLACE = tuple(f"{PREFIX}.{field}" for field in ("level", "control", "child"))
"""Columns that say which network of its tree a run is."""
_OF_DENSE_CHILDREN = ("rewind_to", "optimizer_state")
"""What makes a child of a dense network, beside its number."""


def pruning_axes(runs: pd.DataFrame) -> dict[str, str]:
    """Columns of how networks are pruned in which those of level 1 and above differ → a label."""
    if PLACE[0] not in runs:
        return {}
    pruned = runs[runs[PLACE[0]] > 0]
    found = [
        str(column)
        for column in runs.columns
        if str(column).startswith(f"{PREFIX}.")
        and column not in PLACE
        and pruned[column].nunique(dropna=False) > 1
    ]
    return {column: column.removeprefix(f"{PREFIX}.") for column in found}


def says(run: Mapping[str, Any], column: str) -> bool:
    """Whether this column says something of the run: most do not of a dense network's child."""
    if not column.startswith(f"{PREFIX}.") or run[PLACE[0]] != 0:
        return True
    return column.removeprefix(f"{PREFIX}.").split(".")[0] in _OF_DENSE_CHILDREN


def network_words(run: Mapping[str, Any]) -> list[str]:
    """Such as ``level 3``, ``shuffled``; ``dense``; with ``child 2``. None of other studies."""
    if PLACE[0] not in run:
        return []
    level, control, child = (run[column] for column in PLACE)
    words = ["dense"]
    if not pd.isna(level) and level > 0:
        words = [f"level {int(level)}", "ticket" if pd.isna(control) else str(control)]
    return [*words, f"child {int(child)}"] if not pd.isna(child) and child > 0 else words
