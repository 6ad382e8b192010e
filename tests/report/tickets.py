"""Synthetic lottery studies with planted results, written through the store itself."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.report.results import Results, load_results
from orchestrator.store import Outcome, Store
from trainables.configs import to_plain
from trainables.configs.lottery import Node

KEPT = 0.6
"""Share of the weights that a level leaves of those before it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Network:
    """Where a planted network stands."""

    level: int
    control: str | None
    child: int
    seed: int
    rewind: int
    base: Mapping[str, Any]
    pruning: Mapping[str, Any]

    @property
    def density(self) -> float:
        return float(KEPT**self.level)


Planted = Callable[[Network], float | str]
"""→ the final test accuracy, or the status of a network that has none."""
More = Callable[[Network], Mapping[str, float]]
Probes = Callable[[Network], list[tuple[str, str, float]]]


def plant_tickets(
    folder: Path,
    planted: Planted,
    *,
    levels: int = 5,
    seeds: int = 3,
    controls: Sequence[str] = ("reinitialized",),
    children: int = 0,
    rewinds: Sequence[int] = (0,),
    prunings: Sequence[Mapping[str, Any]] = ({},),
    bases: Sequence[Mapping[str, Any]] = ({},),
    stop: Callable[[Network], int] = lambda network: 3,
    more: More = lambda network: {},
    probes: Probes = lambda network: [],
    objective: str = "valid/loss",
    measured: str = "accuracy",
    **meta: Any,
) -> Results:
    """Writes a store with every network of a lottery study; reads it.

    Args:
        stop: the evaluation (of 1 to 5) with the lowest validation loss.
        more: further final metrics of a pruned network or a child.
        probes: (name, at, value) of a network.
        measured: what the planted value is, on the test split.
    """
    runs, rows, outcomes, long = [], [], [], []
    for base, seed in itertools.product(bases, range(seeds)):
        for network in _networks(base, seed, levels, controls, children, rewinds, prunings):
            run_id = f"run{len(runs):05d}"
            runs.append((run_id, seed, _config(network)))
            result = planted(network)
            long += [
                {"run_id": run_id, "name": name, "at": at, "value": value}
                for name, at, value in probes(network)
            ]
            if result == "pending":
                continue
            points = [] if isinstance(result, str) else _history(network, result, stop, measured)
            rows += [{"run_id": run_id, **point} for point in points]
            final = {k: v for k, v in points[-1].items() if "/" in k} if points else {}
            of_node = network.level > 0 or network.child > 0
            if of_node and points:
                final |= {"probe/density": network.density, **more(network)}
            outcomes.append(_outcome(run_id, result, final))
    with Store.create(folder) as store:
        mode = "max" if objective.endswith("accuracy") else "min"
        store.set_meta(
            study="tickets",
            axes={},
            seeds=list(range(seeds)),
            objective={"metric": objective, "mode": mode},
            **meta,
        )
        store.plan_runs(runs)
        store.start_pack("pack", [outcome.run_id for outcome in outcomes], {})
        store.record("pack", rows, outcomes, measured=long)
    return load_results(folder)


def _networks(
    base: Mapping[str, Any],
    seed: int,
    levels: int,
    controls: Sequence[str],
    children: int,
    rewinds: Sequence[int],
    prunings: Sequence[Mapping[str, Any]],
) -> list[Network]:
    def at(level: int, **place: Any) -> Network:
        stands = {"control": None, "child": 0, "rewind": -1, "pruning": {}} | place
        return Network(level=level, seed=seed, base=base, **stands)

    found = [at(0)]
    for rewind in rewinds:
        found += [at(0, child=child, rewind=rewind) for child in range(1, children + 1)]
    for pruning, rewind, level in itertools.product(prunings, rewinds, range(1, levels + 1)):
        here = {"rewind": rewind, "pruning": pruning}
        found += [at(level, control=control, **here) for control in (None, *controls)]
        found += [at(level, child=child, **here) for child in range(1, children + 1)]
    return found


def _config(network: Network) -> dict[str, Any]:
    """A resolved configuration, as a launch stores it."""
    config: dict[str, Any] = {
        "optimizer": {"name": "sgd", "lr": 0.1} | dict(network.base),
        "train": {"epochs": 4.0, "steps": None, "batch_size": 11},
        "seed": network.seed,
        "lottery": None,
    }
    if network.level or network.child:
        node = Node(
            level=network.level,
            control=network.control,
            child=network.child,
            **network.pruning,
        )
        config["lottery"] = to_plain(node) | {"rewind_to": {"steps": network.rewind}}
        if network.rewind == 0:
            config["lottery"]["rewind_to"] = 0.0
    return config


def _history(
    network: Network, result: float, stop: Callable[[Network], int], measured: str
) -> list[dict[str, float]]:
    at = stop(network)
    return [
        {
            "level": network.level,
            "step": 7 * row,
            "epoch": 0.8 * row,
            "examples": 77 * row,
            "seconds": 0.1 * row,
            "valid/loss": 1 - result + 0.1 * abs(row - at),
            f"valid/{measured}": result - 0.01,
            f"test/{measured}": result,
            "lr": 0.05 / row,
        }
        for row in range(1, 6)
    ]


def _outcome(run_id: str, result: float | str, final: Mapping[str, float]) -> Outcome:
    status = result if isinstance(result, str) else "completed"
    return Outcome(
        run_id=run_id,
        lane=0,
        status=status,
        reason="loss above 1e6" if status == "diverged" else "",
        steps=35,
        epochs=4.0,
        examples=385,
        wall_seconds=1.5,
        final=final,
        best=final,
    )


def write_masks(folder: Path, run_id: str, masks: Mapping[str, Any]) -> None:
    """The file that a study keeps a network's masks in."""
    arrays: dict[str, Any] = {}
    for name, mask in masks.items():
        arrays[name] = np.packbits(np.asarray(mask, dtype=bool).ravel())
        arrays[f"{name}:shape"] = np.asarray(np.shape(mask))
    (folder / "runs").mkdir(exist_ok=True)
    np.savez(folder / "runs" / f"{run_id}.masks.npz", **arrays)
