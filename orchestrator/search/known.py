"""What the store knows of a search: suggestions that still count, and points with values."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from orchestrator.search.adaptive import Asked
from orchestrator.search.coding import lies_in, point_of
from orchestrator.search.searchers import Warm
from orchestrator.spec.space import PointError, Space, same
from orchestrator.spec.study import Study
from orchestrator.store import FINISHED, Outcome, Store
from trainables.configs.base import to_plain
from trainables.configs.function_run import FunctionRun, Run
from trainables.configs.run import run_id

Evaluated = tuple[dict[str, Any], list[float]]


def kept_suggestions(study: Study, store: Store) -> list[Asked]:
    """Suggestions of earlier launches whose points are the same configurations in the study as
    it is now, with all of its seeds; those that left the space do not count."""
    kept = []
    for one in store.suggestions():
        runs = runs_of(study, one.point)
        if runs.keys() & set(one.run_ids):
            kept.append(Asked(name=one.suggestion_id, point=one.point, runs=runs))
    return kept


def runs_of(study: Study, point: Mapping[str, Any]) -> dict[str, Run]:
    """run_id → the runs of a point, one a seed; none where it is not in the study's space."""
    assert study.space is not None
    if not lies_in(study.space, dict(point)):
        return {}
    try:
        configuration = study.configuration(point)
    except PointError:
        return {}
    seeded = (dataclasses.replace(configuration, seed=seed) for seed in study.seeds)
    return {run_id(run): run for run in seeded}


def asked_before(store: Store) -> int:
    """How often searchers were asked in earlier launches, as far as it can be known."""
    numbers = [int(one.suggestion_id.rpartition("-")[2]) for one in store.suggestions()]
    return max(numbers, default=-1) + 1


def warm_start(study: Study, store: Store, kept: Sequence[Asked]) -> Warm:
    """All that a searcher is to know before it is first asked in this launch."""
    assert study.space is not None
    outcomes = {outcome.run_id: outcome for outcome in store.outcomes(planned=False)}
    ended = {one.name for one in kept if _all_ended(one.runs, outcomes)}
    done = [one for one in kept if one.name in ended]
    points = [(dict(one.point), _values(study, one.runs, outcomes)) for one in done]
    points += _elsewhere(study, store, outcomes, {name for one in kept for name in one.runs})
    suggested = [one.point for one in kept]
    return Warm(
        evaluated=_with_worst(study, points),
        pending={one.name: one.point for one in kept if one.name not in ended},
        first=[p for p in first_suggestions(study) if not any(_covers(p, q) for q in suggested)],
        asked=asked_before(store),
    )


def first_suggestions(study: Study) -> list[dict[str, Any]]:
    """The points to try first, by the paths of their axes (they are written by name)."""
    assert study.space is not None
    paths = [dimension.path for dimension in study.space.dimensions]
    return [
        {_path(name, paths): value for name, value in point.items()} for point in study.search.first
    ]


def _path(name: str, paths: Sequence[str]) -> str:
    return name if name in paths else next(path for path in paths if path.endswith(f".{name}"))


def _covers(first: Mapping[str, Any], point: Mapping[str, Any]) -> bool:
    return all(path in point and same(point[path], value) for path, value in first.items())


def _all_ended(runs: Iterable[str], outcomes: Mapping[str, Outcome]) -> bool:
    """Failed runs are trained again."""
    return all(
        name in outcomes and outcomes[name].status in FINISHED and outcomes[name].status != "failed"
        for name in runs
    )


def _values(
    study: Study, runs: Iterable[str], outcomes: Mapping[str, Outcome]
) -> list[float] | None:
    """The mean of each objective over the runs; None where one has none."""
    metrics = [objective.metric for objective in study.objectives]
    rows = [[outcomes[name].final.get(metric, math.nan) for metric in metrics] for name in runs]
    bad = any(outcomes[name].status == "diverged" for name in runs)
    if bad or not all(math.isfinite(value) for row in rows for value in row):
        return None
    return [sum(column) / len(column) for column in zip(*rows, strict=True)]


def _elsewhere(
    study: Study, store: Store, outcomes: Mapping[str, Outcome], apart: set[str]
) -> list[tuple[dict[str, Any], list[float] | None]]:
    """Other configurations of the store (an earlier version of the study had a grid, say) that
    the space has, too, and that were trained with all seeds."""
    space = study.space
    assert space is not None
    ended = [name for name, o in outcomes.items() if o.status in FINISHED and name not in apart]
    found: dict[str, tuple[dict[str, Any], list[float] | None]] = {}
    for config in store.configurations(ended).values():
        point = point_of(space, _sections(study, config))
        runs = {} if point is None else runs_of(study, point)
        if point is None or not runs or not _all_ended(runs, outcomes):
            continue
        if not runs.keys() & apart:
            found[next(iter(runs))] = (point, _values(study, runs, outcomes))
    return list(found.values())


def _sections(study: Study, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration of the store as axes' paths see it: a function's own stands below config."""
    if study.trainable is None:
        return dict(config)
    run = FunctionRun(trainable=study.trainable)
    return {"config": {k: v for k, v in config.items() if k not in to_plain(run) or k == "config"}}


def _with_worst(
    study: Study, points: Sequence[tuple[dict[str, Any], list[float] | None]]
) -> list[Evaluated]:
    """Points that diverged have the worst values of the others: see ``AdaptiveSource``."""
    told = [values for _, values in points if values is not None]
    if not told:
        return []
    worst = [
        (max if objective.mode == "min" else min)(column)
        for objective, column in zip(study.objectives, zip(*told, strict=True), strict=True)
    ]
    return [(point, worst if values is None else values) for point, values in points]


def check_space(space: Space) -> str | None:
    """Why the space does not go with a search that suggests its points."""
    for dimension in space.dimensions:
        if dimension.path.split(".")[0] == "data" and dimension.range is not None:
            return (
                f"sweep.{dimension.path}: a search that suggests points takes data from a list,"
                " not from a range: all of it is loaded beforehand"
            )
    return None
