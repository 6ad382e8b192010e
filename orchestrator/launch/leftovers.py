"""Folders of packs: which are still needed, and the end of those that are not."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.store import FINISHED, Store


def ancestors_of(pack_id: str, parents: Mapping[str, str], packs: Path) -> tuple[Path, ...]:
    """Folders of the packs that a pack was split off, the nearest first."""
    found: list[Path] = []
    while (parent := parents.get(pack_id)) is not None and packs / parent not in found:
        found.append(packs / parent)
        pack_id = parent
    return tuple(found)


def sweep(store: Store, folder: Path, ancestors: Sequence[Path]) -> None:
    """Removes an ended pack's checkpoints, and its ancestors' where no other part needs them."""
    shutil.rmtree(folder, ignore_errors=True)
    if ancestors:
        needed = _needed(store)
        for ancestor in ancestors:
            if ancestor not in needed:
                shutil.rmtree(ancestor, ignore_errors=True)


def tidy(store: Store) -> None:
    """Removes what no pack needs: a driver killed at the end of a pack leaves its folder."""
    needed = _needed(store)
    for folder in (store.folder / "packs").glob("*"):
        if folder not in needed:
            shutil.rmtree(folder, ignore_errors=True)


def _needed(store: Store) -> set[Path]:
    """Folders of packs with runs still to be trained, and of those that they were split off."""
    packs, parents, statuses = store.folder / "packs", store.parents(), store.statuses()
    joined: dict[str, list[str]] = {}
    for decision in store.decisions():
        joined.setdefault(decision.pack_id, []).extend(decision.join)
    needed: set[Path] = set()
    for pack in store.packs():
        going = pack["status"] in ("pending", "running")
        lanes = [*pack["run_ids"], *joined.get(pack["pack_id"], [])]
        if going and any(statuses.get(name, "pending") not in FINISHED for name in lanes):
            needed |= {packs / pack["pack_id"], *ancestors_of(pack["pack_id"], parents, packs)}
    return needed
