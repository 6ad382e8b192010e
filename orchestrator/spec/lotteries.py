"""``procedure: {name: lottery}``: what goes with it, and configurations into networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from orchestrator.spec.errors import Problem, shown
from orchestrator.spec.findings import Finding, measured_in, unit_of
from orchestrator.spec.searches import MAX_RUNS, Optuna, Pbt, Search, Searcher
from orchestrator.spec.tree import Node, find
from trainables.configs import Lottery, Procedure, RunConfig, Train, run_id, to_plain
from trainables.configs.data import Characters
from trainables.configs.lottery import networks
from trainables.configs.schedules import Plateau


def _rewind_within_training(procedure: Procedure, train: Train) -> Finding | None:
    """As far as one unit tells; the launch looks at the rest, in steps."""
    if not isinstance(procedure, Lottery):
        return None
    unit, whole = unit_of(train)
    point = measured_in(unit, procedure.rewind_to, whole)
    if point is None or point < whole:
        return None
    got = shown(to_plain(procedure.rewind_to))
    message = f"must be shorter than training ({whole:g} {unit}), got {got}"
    return Finding(path=("procedure", "rewind_to"), message=message, related=("train", unit))


def _steps_of_one_size(procedure: Procedure, train: Train) -> Finding | None:
    fine_tunes = isinstance(procedure, Lottery) and procedure.after == "fine_tune"
    if not fine_tunes or train.batch_growth is None:
        return None
    message = (
        "fine_tune trains on at the last rate, and train.batch_growth leaves open with what"
        " batches; use rewind or learning_rate, or leave train.batch_growth out"
    )
    related = ("train", "batch_growth")
    return Finding(path=("procedure", "after"), message=message, related=related)


def _known_last_rate(procedure: Procedure, schedule: Any) -> Finding | None:
    fine_tunes = isinstance(procedure, Lottery) and procedure.after == "fine_tune"
    if not fine_tunes or not isinstance(schedule, Plateau):
        return None
    message = (
        "fine_tune trains on at the last rate, which plateau finds on the way; use rewind or"
        " learning_rate, or another schedule"
    )
    return Finding(path=("procedure", "after"), message=message, related=("schedule",))


def _inputs_of_criterion(procedure: Procedure, data: Any) -> Finding | None:
    if not isinstance(procedure, Lottery):
        return None
    why = wrong_criterion(procedure.criterion, data.name, tokens=isinstance(data, Characters))
    if why is None:
        return None
    return Finding(path=("procedure", "criterion"), message=why, related=("data",))


def wrong_criterion(criterion: str, name: str, *, tokens: bool) -> str | None:
    """Why a criterion cannot look at what the data ``name`` has."""
    if criterion == "synflow" and tokens:
        return f"synflow feeds numbers to the network, and {name} has tokens; use another criterion"
    return None


LOTTERY_CHECKS: tuple[tuple[str, Callable[[Any, Any], Finding | None]], ...] = (
    ("train", _rewind_within_training),
    ("train", _steps_of_one_size),
    ("schedule", _known_last_rate),
    ("data", _inputs_of_criterion),
)
"""The other section, and what looks at it and the procedure."""


def not_together(
    root: Node, search: Search, fixed: dict[str, Any], procedures: Iterable[Procedure]
) -> Iterator[Problem]:
    """Sections that a lottery does not go with."""
    if not any(isinstance(procedure, Lottery) for procedure in procedures):
        return
    if isinstance(search, Optuna | Searcher | Pbt):
        yield _at(
            root,
            "search",
            f"{search.name} does not go with the procedure lottery, whose networks come from each"
            " other; use grid, random or sobol",
        )
    if fixed["early_stopping"]:
        yield _at(
            root,
            "early_stopping",
            "does not go with the procedure lottery, whose networks come from others' ends;"
            " leave it out",
        )
    if fixed["execution"].save == "best":
        yield _at(
            root,
            "execution.save",
            "best would delete networks that others come from; with the procedure lottery all are"
            " kept: write all, or leave it out",
        )


def _at(root: Node, path: str, message: str) -> Problem:
    return Problem(find(root, path.split(".")).place, path, message)


def expanded(
    root: Node, points: Sequence[tuple[RunConfig, Procedure]], seeds: int
) -> tuple[list[RunConfig], list[Problem]]:
    """The networks of all points, each once, parents before what comes from them.

    Args:
        points: each dense network, with seed 0, and its procedure.
    """
    total = seeds * sum(network_count(procedure) for _, procedure in points)
    if total > MAX_RUNS:
        levels = find(root, ["procedure", "levels"])
        node = levels if levels is not root else find(root, ["sweep"])
        message = f"{total:,} networks with all seeds; at most {MAX_RUNS:,} are allowed"
        return [], [Problem(node.place, "procedure", message)]
    if not any(isinstance(procedure, Lottery) for _, procedure in points):
        return [run for run, _ in points], []
    found = (network for run, procedure in points for network in networks(run, procedure))
    return [*{run_id(network): network for network in found}.values()], []


def network_count(procedure: Procedure) -> int:
    """Networks of one configuration with one seed."""
    if not isinstance(procedure, Lottery):
        return 1
    with_children = procedure.levels + 1
    if procedure.children_at is not None:
        with_children = len(set(procedure.children_at))
    pruned = procedure.levels * (1 + len(procedure.controls))
    return 1 + pruned + procedure.children * with_children


def different(procedures: Iterable[Procedure]) -> tuple[Procedure, ...]:
    """Each once, in this order."""
    return tuple({repr(procedure): procedure for procedure in procedures}.values())
