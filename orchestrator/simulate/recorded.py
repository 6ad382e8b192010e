"""The learning curves of a study that was trained, from its store."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.early_stopping import Clock
from orchestrator.plan.packs import steps_per_epoch
from orchestrator.simulate.coordinates import Coordinates
from orchestrator.simulate.curve import Curve, SimulateError
from orchestrator.simulate.pace import pack_key
from orchestrator.spec.errors import listed
from orchestrator.spec.stored import stored_run
from orchestrator.spec.study import OwnObjective, Study
from orchestrator.store import Outcome, Store
from orchestrator.store.schema import HISTORY_KEYS
from trainables.configs.function_run import FunctionRun, Run
from trainables.configs.run import RunConfig

WHOLE = ("completed", "diverged")
"""How a run must have ended for its curve to be known to its end."""


class Recorded:
    """The same configurations by their run ids; for another point, the nearest one that has been
    trained to its end: see ``Curves`` and ``Coordinates``.

    Of the nearest point's runs the one with the same seed is taken, else one in turn.
    """

    def __init__(self, study: Study, folder: Path, metrics: Sequence[OwnObjective]) -> None:
        """
        Args:
            metrics: what must have been recorded.

        Raises:
            StoreError: there is no readable store in the folder.
            SimulateError: it has no curve to replay, or not of these metrics.
        """
        self._folder = folder
        self._coordinates = Coordinates(study.space)
        with Store.open(folder) as store:
            outcomes = {o.run_id: o for o in store.outcomes() if o.status in WHOLE}
            rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
            for row in store.reports():
                if row["run_id"] in outcomes:
                    rows[row["run_id"]].append(row)
            configs = store.configurations(list(rows))
            packs = store.packs()
        self._require(rows, metrics)
        self._own = study.trainable is not None
        self._configs = {name: self._sections(configs[name]) for name in rows}
        self._curves = {name: _curve(rows[name], outcomes[name], configs[name]) for name in rows}
        self._examples = _examples(rows)
        self.measured = _measured(packs, outcomes, self._configs, own=self._own)
        self._points, self._runs = self._grouped(configs)
        self._nearest: dict[str, tuple[str, float]] = {}

    def _require(
        self, rows: Mapping[str, Sequence[Mapping[str, Any]]], metrics: Sequence[OwnObjective]
    ) -> None:
        if not rows:
            raise SimulateError(f"{self._folder}: no run has been trained to its end")
        known = {key for some in rows.values() for row in some for key in row}
        for one in metrics:
            if one.metric not in known:
                found = listed(sorted(known - {*HISTORY_KEYS, "run_id"}), last="and")
                raise SimulateError(
                    f"{self._folder}: {one.metric} is not recorded; recorded are {found}"
                )

    def _sections(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """A configuration as the paths of axes see it: a function's own stands below config."""
        return {"config": config, "seed": config["seed"]} if self._own else config

    def _grouped(self, configs: Mapping[str, Mapping[str, Any]]) -> tuple[Any, list[list[str]]]:
        """The points that are recorded, (n, d), and the runs of each by seed."""
        groups: dict[tuple[str, ...], list[str]] = {}
        points: dict[tuple[str, ...], tuple[float, ...]] = {}
        for name in sorted(configs, key=lambda name: configs[name]["seed"]):
            point = self._coordinates.of(self._configs[name])
            key = tuple(map(repr, point))  # NaN is not equal to itself
            points[key] = point
            groups.setdefault(key, []).append(name)
        return np.array(list(points.values()), dtype=float), list(groups.values())

    def of(self, run_id: str, run: Run) -> Curve:
        """See ``Curves.of``."""
        if run_id in self._curves:
            return self._curves[run_id]
        if run_id not in self._nearest:
            self._nearest[run_id] = self._find(run)
        return self._curves[self._nearest[run_id][0]]

    def _find(self, run: Run) -> tuple[str, float]:
        apart = self._coordinates.distances(self._coordinates.of(run), self._points)
        index = int(apart.argmin())
        runs = self._runs[index]
        same = [name for name in runs if self._configs[name]["seed"] == run.seed]
        return (same or runs)[0 if same else run.seed % len(runs)], float(apart[index])

    def clock(self, run: Run) -> Clock:
        """See ``Curves.clock``."""
        if isinstance(run, FunctionRun):
            return Clock()
        per_epoch = steps_per_epoch(run)
        examples = self._examples if per_epoch is None else per_epoch * run.train.batch_size
        return Clock.of(run, examples)

    def notes(self) -> list[str]:
        """See ``Curves.notes``."""
        found = f"recorded curves of {self._folder}: {len(self._curves):,} runs"
        if not self._nearest:
            return [found]
        largest = max(distance for _, distance in self._nearest.values())
        count = len(self._nearest)
        runs = "1 run that is" if count == 1 else f"{count:,} runs that are"
        return [
            found,
            f"{runs} not recorded to the end {'has' if count == 1 else 'have'} the curve of the"
            f" nearest recorded point, at most {largest:.2g} away in the unit cube",
        ]


def _curve(rows: Sequence[Mapping[str, Any]], outcome: Outcome, config: Mapping[str, Any]) -> Curve:
    train = config.get("train")
    size = train.get("batch_size") if isinstance(train, Mapping) else None
    names = {key: None for row in rows for key in row if key not in {*HISTORY_KEYS, "run_id"}}
    return Curve(
        batches=[row["examples"] // size if size else row["step"] for row in rows],
        steps=[row["step"] for row in rows],
        epochs=[row["epoch"] for row in rows],
        examples=[row["examples"] for row in rows],
        values={name: [row.get(name, math.nan) for row in rows] for name in names},
        status=outcome.status,
        reason=outcome.reason,
    )


def _examples(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> int:
    """Examples of an epoch, at least one."""
    last = max((some[-1] for some in rows.values()), key=lambda row: row["examples"])
    return max(1, round(last["examples"] / last["epoch"])) if last["epoch"] else 1


def _measured(
    packs: Sequence[Mapping[str, Any]],
    outcomes: Mapping[str, Outcome],
    configs: Mapping[str, Mapping[str, Any]],
    *,
    own: bool,
) -> dict[str, list[tuple[int, float]]]:
    """Fusion key → (lanes, seconds for one step of one lane): as was measured when packs began,
    else by what their runs took in all, evaluations included."""
    found: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for pack in packs:
        known = [name for name in pack["run_ids"] if name in configs]
        if not known:
            continue
        key = "" if own else _key(configs[known[0]])
        choices = [c for c in pack["settings"].get("choices", []) if c["seconds_per_step"]]
        found[key] += [(choice["width"], choice["seconds_per_step"]) for choice in choices]
        if not choices:
            took = [outcomes[name] for name in known if outcomes[name].steps]
            seconds = sum(one.wall_seconds for one in took)
            steps = sum(one.steps for one in took)
            found[key] += [(len(pack["run_ids"]), seconds / steps)] if seconds > 0 else []
    return {key: some for key, some in found.items() if some}


def _key(config: Mapping[str, Any]) -> str:
    try:
        run: RunConfig = stored_run(config)
    except (ValueError, KeyError, TypeError):
        return ""  # of another version, or planted: its pace stands for all
    return pack_key(run)
