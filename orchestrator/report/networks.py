"""The networks of a lottery study as one table: where each stands, and what it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.report.labels import Axis, configuration_labels, find_axes
from orchestrator.report.text import number, percent

LOTTERY = "config.lottery"
DENSE, TICKET = "dense", "tickets"
KINDS = {
    "reinitialized": "re-initialized",
    "shuffled": "shuffled mask",
    "signs": "signs kept",
}
"""Control → what its line is called."""
_STANDING = ("level", "control", "child", "rewind_to")
"""What is no setting of the pruning, or (``rewind_to``) one that is told in steps."""


def is_of_lottery(column: str) -> bool:
    return column == LOTTERY or column.startswith(f"{LOTTERY}.")


def find_networks(
    runs: pd.DataFrame, base: pd.Series, declared: Mapping[str, Any]
) -> tuple[pd.DataFrame | None, list[Axis]]:
    """A row a run, indexed like the runs; None where no run stands in a lottery procedure.

    Args:
        runs: in the export schema.
        base: the label of each run's configuration, its place in the procedure aside.
        declared: the study's axes, path → values as written.

    Returns:
        The table, and the settings of the pruning that vary, as axes. Its columns: ``run_id``,
        ``base``, ``seed``, ``level``, ``child``; ``kind`` (``DENSE``, ``TICKET`` or a control's
        name); ``variant`` (label of the settings that vary, but for the rewind step; "" where
        none does, None at level 0); ``rewind`` (steps; NaN where not known) and ``setting``, the
        label of both; ``state`` (of the optimizer: reset or kept); ``density`` (share of the
        weights left).
    """
    level = f"{LOTTERY}.level"
    if level not in runs or runs[level].isna().all():
        return None, []
    pruned = runs[level].fillna(0) > 0
    variant, axes = _variants(runs, pruned, declared)
    rewind, text = _rewinds(runs, base)
    several = text[pruned].nunique() > 1
    setting = [
        ", ".join(part for part in (one, where if several else "") if part) if is_pruned else None
        for one, where, is_pruned in zip(variant, text, pruned, strict=True)
    ]
    table = pd.DataFrame(
        {
            "run_id": runs["run_id"],
            "base": base,
            "seed": runs["seed"],
            "level": runs[level].fillna(0).astype(int),
            "child": _column(runs, "child").fillna(0).astype(int),
            "kind": _kinds(runs),
            "variant": variant,
            "rewind": rewind,
            "rewind_text": text,
            "setting": pd.Series(setting, index=runs.index, dtype=object),
            "state": _column(runs, "optimizer_state"),
        }
    )
    return table.assign(density=_densities(runs, table)), axes


def network_labels(table: pd.DataFrame) -> pd.Series:
    """One label a network, with its configuration: ``lr 0.1 · level 3 · 51.3 % · tickets``."""
    of_dense = (table["level"] == 0) & (table["child"] > 0)
    where = table["setting"].fillna("").mask(of_dense, table["rewind_text"])
    columns = (table[name] for name in ("base", "level", "density", "kind", "child"))
    whole = zip(where, *columns, strict=True)
    labels = [
        " · ".join(
            part
            for part in (
                str(base),
                setting,
                f"level {level} · {percent(density)} · {kind}" if level else DENSE,
                f"child {child}" if child else "",
            )
            if part
        )
        for setting, base, level, density, kind, child in whole
    ]
    return pd.Series(labels, index=table.index, dtype=object)


def _column(runs: pd.DataFrame, name: str) -> pd.Series:
    none = pd.Series(None, index=runs.index, dtype=object)
    found: pd.Series = runs.get(f"{LOTTERY}.{name}", none)
    return found


def _kinds(runs: pd.DataFrame) -> pd.Series:
    control = _column(runs, "control")
    named = control.map(KINDS).fillna(control).fillna(TICKET)
    # A child of the dense network is one in another order of data.
    return named.where(runs[f"{LOTTERY}.level"].fillna(0) > 0, DENSE)


def _variants(
    runs: pd.DataFrame, pruned: pd.Series, declared: Mapping[str, Any]
) -> tuple[pd.Series, list[Axis]]:
    names = {str(c): str(c).removeprefix("config.") for c in runs if is_of_lottery(str(c))}
    kept = {c: n for c, n in names.items() if n != "lottery" and n.split(".")[1] not in _STANDING}
    configs = runs.loc[pruned, list(kept)].rename(columns=kept)
    written = {
        path.replace("procedure.", "lottery.", 1): values
        for path, values in declared.items()
        if path.startswith("procedure.") and path.split(".")[1] not in _STANDING
    }
    axes, values = find_axes(configs, written)
    labels = configuration_labels(axes, values) if axes else pd.Series("", index=configs.index)
    return labels.reindex(runs.index).astype(object).where(pruned, None), axes


def _rewinds(runs: pd.DataFrame, base: pd.Series) -> tuple[pd.Series, pd.Series]:
    """The step that each network is rewound to, as a number of batches and in words."""
    share, steps, epochs = (
        pd.to_numeric(_column(runs, f"rewind_to{unit}"), errors="coerce")
        for unit in ("", ".steps", ".epochs")
    )
    an_epoch, total = _lengths(runs, base)
    found = steps.fillna((epochs * an_epoch).round()).fillna((share * total).round())
    found = found.mask(share == 0, 0.0)
    texts = [
        f"rewound to step {number(at, 6)}"
        if at == at
        else f"rewound to epoch {number(e)}"
        if e == e
        else f"rewound to {number(s)} of training"
        if s == s
        else ""
        for at, e, s in zip(found, epochs, share, strict=True)
    ]
    return found, pd.Series(texts, index=runs.index, dtype=object)


def _lengths(runs: pd.DataFrame, base: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Batches in an epoch, and in the whole of training, of each run; NaN where not yet known."""
    unknown = pd.Series(np.nan, index=runs.index)
    size = runs.get("config.train.batch_size", unknown).astype(float)
    batches = (runs["examples"] / size).fillna(runs["steps"].astype(float))
    epochs = runs["epochs"].astype(float).where(runs["epochs"] > 0)
    an_epoch = (batches / epochs).groupby(base).transform("max")
    written = runs.get("config.train.steps", unknown).astype(float)
    of_epochs = (runs.get("config.train.epochs", unknown).astype(float) * an_epoch).round()
    longest = batches.where(batches > 0).groupby(base).transform("max")
    return an_epoch, written.fillna(of_epochs).fillna(longest)


def _densities(runs: pd.DataFrame, table: pd.DataFrame) -> pd.Series:
    """As measured; else that of others of the level and setting; else (1 − rate)^level."""
    measured = runs.get("final/probe/density", pd.Series(np.nan, index=runs.index)).astype(float)
    alike = measured.groupby([table["base"], table["setting"].fillna(""), table["level"]])
    rate = pd.to_numeric(_column(runs, "rate"), errors="coerce")
    planned = (1 - rate) ** table["level"]
    return measured.fillna(alike.transform("mean")).fillna(planned).where(table["level"] > 0, 1.0)
