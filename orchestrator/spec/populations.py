"""``search: {name: pbt}``: configurations become the members of a population."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

from orchestrator.spec.axes import Axis
from orchestrator.spec.errors import Place, Problem, listed, shown
from orchestrator.spec.searches import Pbt
from orchestrator.spec.sections import checked
from orchestrator.spec.study import Execution, OwnObjective
from orchestrator.spec.tree import Node, find
from trainables.configs import RunConfig, to_plain
from trainables.configs.base import Duration, Epochs, Steps
from trainables.configs.optimizers import momentum_field
from trainables.configs.population import Mutable, Population
from trainables.configs.run import run_id
from trainables.configs.schedules import cycling

_MOST_CORNERS = 6
"""So many hyperparameters are checked at all combinations of their ranges' ends."""


def axis_problems(root: Node, axes: Sequence[Axis], *, own: bool) -> list[Problem]:
    """What a population cannot vary, as far as an axis shows by itself."""
    problems = []
    constraints = find(root, ["search", "constraints"])
    if constraints.content and isinstance(constraints.content, list):
        message = "do not go with pbt, whose members change within the axes' ranges; leave them out"
        problems.append(Problem(constraints.place, "search.constraints", message))
    for axis in axes:
        place, path = axis.spot or axis.place, f"sweep.{axis.name}"
        wrong = _wrong_axis(axis, own)
        if wrong:
            problems.append(Problem(place, path, wrong))
    return problems


def _wrong_axis(axis: Axis, own: bool) -> str | None:
    example = "{log_uniform: [a, b]} or {uniform: [a, b]}"
    if own:
        return "pbt copies lanes, and a trainable has none; use another search"
    if axis.path[0] != "optimizer" or len(axis.path) != 2 or axis.path[1] == "name":
        return (
            "pbt changes hyperparameters on the way, so only numbers of the optimizer can vary,"
            f" such as optimizer.lr; got {axis.name}"
        )
    if axis.when:
        return f"must be there in every member under pbt; write {example} without when"
    if axis.range is None or axis.range.whole:
        return f"must be a range under pbt, as values are multiplied; write {example}"
    if axis.range.step is not None:
        return f"takes no step under pbt, as values are multiplied; write {example}"
    return None


def populated(
    root: Node,
    search: Pbt,
    axes: Sequence[Axis],
    runs: Sequence[RunConfig],
    fixed: dict[str, Any],
) -> tuple[list[RunConfig], list[Problem]]:
    """The runs as members of one population, and why they are none.

    Args:
        runs: the population as it begins, each member with seed 0.
        axes: the ranges that members vary in.
        fixed: the sections that all runs share, and the rules of early stopping.
    """
    objectives: Sequence[OwnObjective] = fixed["objectives"]
    problems = [
        *_sizes(root, search, runs, fixed["execution"]),
        *_not_together(root, runs[0], objectives, fixed),
        *_intervals(root, search, runs[0]),
        *_hyperparameters(root, axes, runs[0]),
    ]
    if problems:
        return [], problems
    names = sorted(run_id(run) for run in runs)
    population = Population(
        size=search.population,
        interval=search.interval,
        quantile=search.quantile,
        resample=search.resample,
        factors=search.factors,
        seed=search.seed,
        metric=objectives[0].metric,
        mode=objectives[0].mode,
        space=tuple(_mutable(axis) for axis in axes),
        members=hashlib.sha256(",".join(names).encode()).hexdigest()[:16],
    )
    return [replace(run, population=population) for run in runs], []


def _mutable(axis: Axis) -> Mutable:
    assert axis.range is not None
    low, high = float(axis.range.low), float(axis.range.high)
    return Mutable(name=axis.path[1], low=low, high=high, log=axis.range.log)


def _at(root: Node, path: str, message: str) -> Problem:
    return Problem(find(root, path.split(".")).place, path, message)


def _sizes(
    root: Node, search: Pbt, runs: Sequence[RunConfig], execution: Execution
) -> Iterator[Problem]:
    if len(runs) < search.population:
        message = f"must be at most {len(runs)}: the space has no more points that differ"
        yield _at(root, "search.population", message)
    if search.quantile * search.population < 1 - 1e-9:
        yield _at(
            root,
            "search.quantile",
            f"must be at least 1 / population ({1 / search.population:.4g}), so that a member is"
            f" replaced, got {search.quantile:g}",
        )
    if execution.lanes is not None and execution.lanes < search.population:
        yield _at(
            root,
            "execution.lanes",
            f"must be at least {search.population}, as a population trains in one pack, got "
            f"{execution.lanes}",
        )


def _not_together(
    root: Node, run: RunConfig, objectives: Sequence[OwnObjective], fixed: dict[str, Any]
) -> Iterator[Problem]:
    """What would end or change members one by one."""
    if run.train.target is not None:
        yield _at(root, "train.target", "must be left out under pbt: members end together")
    if run.train.changes:
        yield _at(root, "train.changes", "must be left out under pbt, which finds the changes")
    if fixed["early_stopping"]:
        yield _at(root, "early_stopping", "does not go with pbt, which replaces members instead")
    if len(objectives) > 1:
        message = f"pbt ranks by one objective, got {len(objectives)}"
        yield _at(root, "objective", message)


def _intervals(root: Node, search: Pbt, run: RunConfig) -> Iterator[Problem]:
    """The interval must be whole evaluations, where both are known in one unit."""
    every, whole = run.train.evaluate_every, run.train.epochs or run.train.steps
    (interval, unit), (evaluation, other) = _measured(search.interval, run), _measured(every, run)
    if unit != other or whole is None:
        return
    ratio = interval / evaluation if evaluation else 0.0
    if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6:
        got = shown(to_plain(search.interval))
        message = f"must be a multiple of train.evaluate_every, {shown(to_plain(every))}, got {got}"
        yield _at(root, "search.interval", message)
    elif unit == _unit(run) and interval >= whole:
        got = shown(to_plain(search.interval))
        yield _at(
            root,
            "search.interval",
            f"must be shorter than training ({whole:g} {unit}), or nothing is exchanged, got {got}",
        )


def _unit(run: RunConfig) -> str:
    return "epochs" if run.train.steps is None else "steps"


def _measured(duration: Duration, run: RunConfig) -> tuple[float, str]:
    if isinstance(duration, Epochs):
        return duration.epochs, "epochs"
    if isinstance(duration, Steps):
        return float(duration.steps), "steps"
    return duration * float(run.train.epochs or run.train.steps or 0), _unit(run)


def _hyperparameters(root: Node, axes: Sequence[Axis], run: RunConfig) -> Iterator[Problem]:
    """Every value that a member may come to must be one that the optimizer takes."""
    kinds = {field.name: getattr(run.optimizer, field.name) for field in fields(run.optimizer)}
    numbers = [name for name, value in kinds.items() if isinstance(value, float)]
    whole = False
    for axis in axes:
        name = axis.path[1]
        if name not in numbers:
            whole = True
            yield Problem(
                axis.place,
                f"sweep.{axis.name}",
                f"is the same for all lanes of a pack; pbt can vary {listed(numbers)} of"
                f" {run.optimizer.name}",
            )
        elif cycling(run.schedule) is not None and name == momentum_field(run.optimizer):
            message = "has no effect, as the schedule cycles it; leave it out, or do not cycle it"
            yield Problem(axis.place, f"sweep.{axis.name}", message)
    if not whole:
        yield from _ends(axes, run)


def _ends(axes: Sequence[Axis], run: RunConfig) -> Iterator[Problem]:
    seen: set[Place] = set()
    written = to_plain(run.optimizer)
    ranges = [(axis, (axis.range.low, axis.range.high)) for axis in axes if axis.range is not None]
    corners = itertools.product(*(ends for _, ends in ranges[:_MOST_CORNERS]))
    for corner in corners:
        values = {axis.path[1]: float(at) for (axis, _), at in zip(ranges, corner, strict=False)}
        result: Any = checked("optimizer", written | values)
        for fault in result if isinstance(result, list) else ():
            axis = next((a for a in axes if a.path[1:] == tuple(fault.path)), axes[0])
            place = axis.spot or axis.place
            if place not in seen:
                seen.add(place)
                at = ", ".join(f"{name} = {value:g}" for name, value in values.items())
                message = f"{fault.message} (an end of the range: {at})"
                yield Problem(place, f"sweep.{axis.name}", message)
