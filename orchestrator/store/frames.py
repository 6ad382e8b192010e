"""The store's tables as data frames in the export schema, and as files."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from orchestrator.store import probes as stored
from orchestrator.store.populations import Copied
from orchestrator.store.schema import HISTORY_KEYS, column

Form = Literal["parquet", "csv", "json"]
ROWS_AT_A_TIME = 20_000
_WHOLE = ("level", "step", "examples")
"""Columns of the history that count something."""


def runs(db: sqlite3.Connection, study: str) -> pd.DataFrame:
    """See ``Store.runs``."""
    frame = pd.read_sql_query("SELECT * FROM runs WHERE planned ORDER BY number", db)
    parsed = {name: frame.pop(name).map(json.loads) for name in ("config", "final", "best")}
    frame = frame.drop(columns=["number", "planned"])
    frame.insert(1, "study", study)
    order = ["run_id", "study", "status", "reason", "seed", "pack_id", "lane", "steps"]
    order += ["epochs", "examples", "wall_seconds", "error"]
    parts = [
        frame[order],
        _spread([flatten(config) for config in parsed["config"]], "config."),
        _spread(list(parsed["final"]), "final/"),
        _spread(list(parsed["best"]), "best/"),
    ]
    return pd.concat(parts, axis=1)


def history(db: sqlite3.Connection, metrics: Sequence[str]) -> pd.DataFrame:
    """See ``Store.history``."""
    names = dict(db.execute("SELECT number, run_id FROM runs WHERE planned ORDER BY number"))
    keys = [*HISTORY_KEYS, *metrics]
    columns = ", ".join(f'"{column(key)}"' for key in keys)
    cursor = db.execute(
        f"SELECT number, {columns} FROM history ORDER BY number, level, step"  # noqa: S608 - quoted
    )
    # All of it as Python's objects would take ten times the memory of the numbers.
    parts = [np.empty((0, 1 + len(keys)))]
    while some := cursor.fetchmany(ROWS_AT_A_TIME):
        parts.append(np.array(some, dtype=np.float64))
    numbers = np.concatenate(parts)
    planned = np.fromiter(names, np.float64, len(names))
    numbers = numbers[np.isin(numbers[:, 0], planned)]
    run_ids = pd.Series(list(names.values()), dtype="str")
    place = np.searchsorted(planned, numbers[:, 0])
    frame = pd.DataFrame(numbers[:, 1:], columns=keys)
    frame.insert(0, "run_id", run_ids.iloc[place].reset_index(drop=True))
    return frame.astype(dict.fromkeys(_WHOLE, np.int64))


def population(copies: Sequence[Copied], db: sqlite3.Connection) -> pd.DataFrame:
    """See ``Store.population``."""
    seeds = dict(db.execute("SELECT run_id, seed FROM runs"))
    rows = [
        {
            "run_id": copy.run_id,
            "seed": seeds[copy.run_id],
            "step": copy.step,
            "source": copy.source,
            **{f"optimizer.{name}": value for name, value in copy.values.items()},
        }
        for copy in copies
    ]
    return pd.DataFrame.from_records(rows)


def probes(db: sqlite3.Connection) -> pd.DataFrame:
    """See ``Store.probes``."""
    frame = pd.DataFrame.from_records(stored.read(db), columns=["run_id", "name", "at", "value"])
    return frame.astype({"value": np.float64})


def export(tables: Mapping[str, pd.DataFrame], folder: Path, form: Form) -> list[Path]:
    """Writes ``<name>.parquet`` (and ``.<form>`` where another is asked for); whole files only."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, table in tables.items():
        for ending in dict.fromkeys(("parquet", form)):
            path = folder / f"{name}.{ending}"
            part = path.with_suffix(".part")
            _WRITERS[ending](table, part)
            os.replace(part, path)
            written.append(path)
    return written


def _write_json(table: pd.DataFrame, path: Path) -> None:
    """A list with an object a row; what JSON has no number for (NaN, infinity) is null.

    Python's own writer: pandas' keeps 15 digits of a number at most, where some need 17.
    """
    separator = "["
    with path.open("w", encoding="utf-8") as out:
        for first in range(0, len(table), _ROWS_AT_ONCE):
            rows = table.iloc[first : first + _ROWS_AT_ONCE].astype(object)
            known = rows.notna() & ~rows.isin([np.inf, -np.inf])
            for row in rows.where(known, None).to_dict("records"):
                out.write(f"{separator}\n{json.dumps(row, allow_nan=False, ensure_ascii=False)}")
                separator = ","
        out.write("\n]\n" if len(table) else "[]\n")


_ROWS_AT_ONCE = 10_000
_WRITERS: dict[str, Callable[[pd.DataFrame, Path], object]] = {
    "parquet": lambda table, path: uniform(table).to_parquet(path, index=False),
    "csv": lambda table, path: table.to_csv(path, index=False),
    "json": _write_json,
}


def uniform(table: pd.DataFrame) -> pd.DataFrame:
    """Columns that hold several types (a user's own configuration may) as text: Parquet has one."""
    mixed = [
        str(column)
        for column in table
        if table[column].dtype == object
        and len({type(value) for value in table[column].dropna()}) > 1
    ]
    texts = {column: table[column].map(_as_text, na_action="ignore") for column in mixed}
    return table.assign(**texts)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted paths; lists become JSON text, so that a cell is a scalar."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, list | dict):
            flat[f"{prefix}{key}"] = json.dumps(value)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _spread(rows: list[dict[str, Any]], prefix: str) -> pd.DataFrame:
    frame = pd.DataFrame.from_records(rows) if any(rows) else pd.DataFrame(index=range(len(rows)))
    return frame.add_prefix(prefix)
