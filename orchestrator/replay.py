"""A run as a study of its own, with the changes of hyperparameters that a population made."""

from __future__ import annotations

from typing import Any

import yaml

from orchestrator.spec.sections import OF_A_RUN, checked
from orchestrator.store import Copied, Lineage, Outcome, Store, StoreError, lineage
from trainables.configs.run import chosen


def replay(store: Store, run_id: str | None = None) -> str:
    """See ``replay_study``."""
    meta = store.meta()
    if meta.get("trainable"):
        raise StoreError(f"{store.folder}: a trainable of one's own is not replayed")
    copies = store.copies()
    name = run_id or _best(store, meta)
    if name not in store.statuses():
        raise StoreError(f"{store.folder}: there is no run {name}; see runs.parquet")
    found = lineage(copies, name)
    configs = store.configurations([name, found.root])
    if configs[name].get("lottery"):
        raise StoreError(
            f"{store.folder}: {name} is a pruned network or a child, which no study trains alone;"
            " replay a dense one with --run"
        )
    study = {
        "study": f"{meta['study']}-replay"[:100],
        **_sections(configs[name], configs[found.root], found.copies),
        "seeds": [configs[name]["seed"]],
        "objective": meta["objective"],
    }
    return f"# {_words(meta, name, found)}\n{yaml.safe_dump(study, sort_keys=False)}"


def _best(store: Store, meta: dict[str, Any]) -> str:
    metric, mode = meta["objective"]["metric"], meta["objective"]["mode"]
    ended = [o for o in store.outcomes() if o.whole and metric in o.final]
    if not ended:
        raise StoreError(f"{store.folder}: no run has been completed yet")

    def value(outcome: Outcome) -> float:
        return outcome.final[metric]

    return (max if mode == "max" else min)(ended, key=value).run_id


def _sections(
    config: dict[str, Any], root: dict[str, Any], copies: tuple[Copied, ...]
) -> dict[str, Any]:
    """What decides the run: its own configuration, with the optimizer that its root began with."""
    changes = [{"step": copy.step, "optimizer": copy.values} for copy in copies]
    train = config["train"] | {"changes": [*config["train"].get("changes", []), *changes]}
    plain = config | {"optimizer": root["optimizer"], "train": train}
    sections = {}
    for name in OF_A_RUN:
        if name == "probes" and plain.get(name) is None:
            continue
        found: Any = checked(name, plain[name])
        if isinstance(found, list):
            raise StoreError(f"{name}: {found[0].message}")
        sections[name] = chosen(found)
    return sections


def _words(meta: dict[str, Any], name: str, found: Lineage) -> str:
    count = len(found.copies)
    copies = "never copied another" if not count else f"came of {found.root} by {count} copies"
    return f"Run {name} of the study {meta['study']}, which {copies}."
