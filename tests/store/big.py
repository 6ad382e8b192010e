"""A store of many pages, and how to leave one as a killed driver does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from orchestrator.store import Outcome, Store
from orchestrator.store.schema import BACKUP, FILE, STATE

RUNS, ROWS = 37, 61


def outcome(run_id: str, **values: Any) -> Outcome:
    numbers: dict[str, Any] = {"lane": 0, "reason": "", "epochs": 1.0, "examples": 3}
    numbers |= {"wall_seconds": 0.5, "status": "completed", "steps": ROWS, "final": {}, "best": {}}
    return Outcome(run_id=run_id, **(numbers | values))


def rows(run: int, last: int = ROWS) -> list[dict[str, Any]]:
    return [
        {"run_id": f"r{run}", "level": 0, "step": step, "epoch": 0.5, "examples": 3 * step}
        | {"seconds": 0.25, "valid/loss": run + 1 / step, "train/loss": run / step}
        for step in range(1, last + 1)
    ]


def plan(folder: Path) -> Store:
    store = Store.create(folder)
    store.set_meta(study="s")
    store.plan_runs((f"r{run}", run, {"note": "x" * 503}) for run in range(RUNS))
    store.plan_packs([("p", [f"r{run}" for run in range(RUNS)], {"ways": None})])
    return store


def finish(store: Store, first: int, last: int) -> None:
    for run in range(first, last):
        store.record("p", rows(run), [outcome(f"r{run}")])


def killed(store: Store, folder: Path) -> Path:
    """A copy of an open store's files in ``folder``: what a driver killed now leaves."""
    folder.mkdir()
    for name in (FILE, f"{FILE}-wal", BACKUP, STATE):
        if (store.folder / name).exists():
            shutil.copy2(store.folder / name, folder)
    return folder
