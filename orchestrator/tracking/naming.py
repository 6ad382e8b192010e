"""How runs are named, described and ranked in W&B: pure functions of the runs frame."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from orchestrator.tracking.network_names import PLACE, PREFIX, network_words, pruning_axes, says

_LONGEST_NAME = 128
_LONGEST_TAG = 64


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain values by column."""
    return [
        {str(column): value for column, value in row.items()} for row in frame.to_dict("records")
    ]


def axes(runs: pd.DataFrame) -> dict[str, str]:
    """Configuration columns in which the runs differ, but for the seed → a short label.

    The label is the last word of the path (``lr``), the word before ``name``
    (``schedule``), or the whole path where two would be called the same.
    """
    columns = [
        str(column)
        for column in runs.columns
        if str(column).startswith("config.")
        and column != "config.seed"
        and not str(column).startswith(PREFIX)
    ]
    paths = [c.removeprefix("config.") for c in columns if runs[c].nunique(dropna=False) > 1]
    short = [path.removesuffix(".name").rpartition(".")[2] for path in paths]
    return {
        f"config.{path}": word if short.count(word) == 1 else path
        for path, word in zip(paths, short, strict=True)
    } | pruning_axes(runs)


def configuration_name(run: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Such as ``lr=0.1 schedule=cosine``; keys that a run does not have are left out.

    Of a lottery with the network: ``lr=0.1 level 3 shuffled``.
    """
    values = ((label, run[column]) for column, label in labels.items() if says(run, column))
    words = [f"{label}={_text(value)}" for label, value in values if not pd.isna(value)]
    return " ".join([*words, *network_words(run)])


def run_name(run: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """The configuration's name with the seed, cut to what W&B takes."""
    seed = f"seed={run['seed']}"
    return f"{configuration_name(run, labels)[: _LONGEST_NAME - len(seed) - 1]} {seed}".strip()


def tags(run: Mapping[str, Any]) -> list[str]:
    """The study and the names of its parts, to filter by in W&B; and which network it is."""
    parts = ("data", "model", "optimizer", "schedule", "procedure")
    names = [run["study"], run.get("config.trainable")]
    names += [run.get(f"config.{part}.name") for part in parts]
    names += network_words(run)
    texts = [str(name)[:_LONGEST_TAG] for name in names if name and not pd.isna(name)]
    return list(dict.fromkeys(texts))


def nested_config(run: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as a tree again, from its dotted columns."""
    tree: dict[str, Any] = {}
    for column, value in run.items():
        if not column.startswith("config.") or pd.isna(value):
            continue
        *parents, leaf = column.split(".")[1:]
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = _plain(value)
    return tree


def best_configurations(
    runs: pd.DataFrame, objective: Mapping[str, str], top: int
) -> list[tuple[float, list[str]]]:
    """Mean of the objective over seeds and the runs of the ``top`` best configurations.

    Best first. A configuration counts when all of its runs ended well (completed or
    stopped) with a number.
    """
    metric = f"final/{objective['metric']}"
    if metric not in runs:
        return []
    columns = [*axes(runs), *(column for column in PLACE if column in runs)]
    keys = runs[columns].astype(str).to_numpy().tolist()
    values = runs[metric].where(runs["status"].isin(["completed", "stopped"]))
    groups: dict[tuple[str, ...], list[tuple[float, str]]] = {}
    for key, value, run_id in zip(keys, values, runs["run_id"], strict=True):
        groups.setdefault(tuple(key), []).append((value, run_id))
    means = [
        (sum(value for value, _ in group) / len(group), [run_id for _, run_id in group])
        for group in groups.values()
    ]
    finite = [mean for mean in means if not pd.isna(mean[0])]
    sign = -1 if objective.get("mode") == "max" else 1
    return sorted(finite, key=lambda mean: sign * mean[0])[:top]


def without_missing(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """The values of ``columns`` that the row has."""
    return {column: row[column] for column in columns if not pd.isna(row[column])}


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """Lists stand as JSON text in the frame."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        with contextlib.suppress(ValueError):  # a text of the user's that only begins like it
            return json.loads(value)
    return value
